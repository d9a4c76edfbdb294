"""Reference energies, forces and stresses of images, as arrays to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amp.core.errors import ImageError, MissingDataError, ParameterError
from amp.core.images import MetaDict, check_images, has_result, image_places, stored_result
from amp.core.typing import FloatArray
from amp.model.loss import LossFunction, References

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Demand", "collect_references", "decide_demand", "has_volume"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What of the images is trained on."""

    energies: bool
    forces: bool
    stress: bool

    def __str__(self) -> str:
        names = ("energies", "forces", "stress")
        return ", ".join(name for name in names if getattr(self, name)) or "nothing"


def decide_demand(images: Mapping[str, Atoms], loss: LossFunction) -> Demand:
    """Decide what to train on: what the loss function wants and the images have.

    Parameters
    ----------
    images : mapping
        Key -> Atoms.
    loss : LossFunction

    Returns
    -------
    Demand

    Raises
    ------
    MissingDataError
        If images lack what is asked for; it counts and lists them.
    ParameterError
        If nothing is left to train on.
    """
    forces = loss.wants_forces and (
        loss.needs_forces or any(has_result(atoms, "forces") for atoms in images.values())
    )
    demand = Demand(loss.energy_coefficient != 0.0, forces, loss.wants_stress)
    if str(demand) == "nothing":
        raise ParameterError(
            "There is nothing to train on: the loss leaves energies out, and no image has forces."
        )
    _check_nft_ids(loss.nft_ids or [], images)
    if loss.accept_missing:
        kinds = ("energy", "forces")
        if not any(has_result(atoms, kind) for atoms in images.values() for kind in kinds):
            raise MissingDataError("No image has an energy or forces. Compute some first.")
        return demand
    check_images(images, forces=forces)
    if demand.stress:
        solids = MetaDict({key: atoms for key, atoms in images.items() if has_volume(atoms)})
        solids.metadata = getattr(images, "metadata", {})
        if not solids:
            raise MissingDataError(
                "Stresses are to be trained (stress_coefficient), but no image has a cell with "
                "three vectors. Leave the coefficient out, or add such images."
            )
        check_images(solids, forces, stress=True)
    return demand


def collect_references(
    images: Mapping[str, Atoms],
    demand: Demand,
    loss: LossFunction,
    duplicates: Mapping[str, int],
) -> References:
    """Take energies, forces and stresses from the images; a live calculator computes them.

    Parameters
    ----------
    images : mapping
        Key -> Atoms.
    demand : Demand
        What is trained on; the rest is NaN.
    loss : LossFunction
        Knows weights and nearest-force images.
    duplicates : mapping
        Key -> number of times an image was given.

    Returns
    -------
    amp.model.loss.References
        With NaN for all that is not trained on.

    Raises
    ------
    ImageError
        If a calculator fails, or a result has a wrong shape.
    MissingDataError
        If a criterion of convergence has nothing to compare with.
    """
    n_atoms = np.array([len(atoms) for atoms in images.values()])
    ends = np.cumsum(n_atoms)
    energies = np.full(len(images), np.nan)
    forces = np.full((int(ends[-1]), 3), np.nan)
    stresses = np.full((len(images), 6), np.nan)
    volumes = np.ones(len(images))
    for i, (place, (key, atoms)) in enumerate(
        zip(image_places(images), images.items(), strict=True)
    ):
        where = f"Image {place} ({key[:8]})"
        if demand.energies and (value := _value(atoms, "energy", where)) is not None:
            energies[i] = value
        if demand.forces and (value := _value(atoms, "forces", where)) is not None:
            forces[ends[i] - n_atoms[i] : ends[i]] = value
        if has_volume(atoms):
            volumes[i] = atoms.get_volume()
            if demand.stress and (value := _value(atoms, "stress", where)) is not None:
                stresses[i] = _voigt(value)
    keys = tuple(images)
    _restrict_to_nearest(keys, loss, energies, forces, ends - n_atoms)
    _check_criteria(loss, {"energy": energies, "force": forces, "stress": stresses})
    weights = np.array([loss.image_weights.get(key, 1.0) for key in keys], dtype=float)
    if loss.weight_duplicates:
        weights *= [duplicates.get(key, 1) for key in keys]
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise ParameterError("image_weights must be finite and not negative.")
    return References(keys, energies, forces, stresses, volumes, weights)


def has_volume(atoms: Atoms) -> bool:
    """Say whether the cell has three vectors, so that stress is defined."""
    return atoms.cell.rank == 3


def _check_criteria(loss: LossFunction, references: Mapping[str, FloatArray]) -> None:
    """Refuse criteria that hold at once because there is nothing to compare with."""
    criteria = [name for name, limit in loss.convergence.items() if limit is not None]
    empty = [n for n in criteria if not np.isfinite(references[n.partition("_")[0]]).any()]
    # The criterion of energies is there by default: nearest-force training need not switch it off.
    asked = [name for name in empty if not name.startswith("energy")]
    if asked or (empty and empty == criteria):
        raise MissingDataError(
            f"The criterion of convergence {(asked or empty)[0]} would hold at once, because no "
            "image has a value to compare with. Give criteria of what is trained, such as "
            "convergence={'force_rmse': 0.05}."
        )


def _restrict_to_nearest(
    keys: tuple[str, ...],
    loss: LossFunction,
    energies: FloatArray,
    forces: FloatArray,
    starts: np.ndarray,
) -> None:
    """Of the images named for nearest-force training keep the named atoms' forces alone."""
    if not loss.nft_ids:
        return
    index = {key: i for i, key in enumerate(keys)}
    ends = np.append(starts[1:], len(forces))
    kept = np.zeros(len(forces), dtype=bool)
    named = {index[key] for key, _ in loss.nft_ids}
    for key, atom in loss.nft_ids:
        kept[starts[index[key]] + atom] = True
    for i in named:
        energies[i] = np.nan
        block = slice(int(starts[i]), int(ends[i]))
        forces[block][~kept[block]] = np.nan


def _check_nft_ids(nft_ids: Sequence[tuple[str, int]], images: Mapping[str, Atoms]) -> None:
    for key, atom in nft_ids:
        if key not in images or not 0 <= atom < len(images[key]):
            raise ParameterError(
                f"nft_ids names atom {atom} of image {key!r}, which is not among the images."
            )


def _value(atoms: Atoms, name: str, where: str) -> Any:
    """Look a result up, or compute it with a live calculator; None if there is none."""
    plural = name == "forces"
    value = stored_result(atoms, name)
    if value is None and has_result(atoms, name):
        try:
            value = atoms.calc.get_property(name, atoms)
        except Exception as error:
            raise ImageError(
                f"{where}: its calculator failed to give the {name}: {error}"
            ) from error
        if not np.isfinite(value).all():
            are = "are" if plural else "is"
            raise ImageError(f"{where}: its calculator gave {name} that {are} not finite: {value}.")
    if value is not None and np.isinf(value).any():
        raise ImageError(f"{where}: its {name} is infinite; mend the image or leave it out.")
    shapes: dict[str, list[tuple[int, ...]]] = {
        "energy": [()], "forces": [(len(atoms), 3)], "stress": [(6,), (3, 3)],
    }  # fmt: skip
    if value is not None and np.shape(value) not in shapes[name]:
        raise ImageError(
            f"{where}: its {name} {'have' if plural else 'has'} the shape {np.shape(value)}, not "
            f"{shapes[name][0]}. Does it belong to another image?"
        )
    return value


def _voigt(stress: Any) -> FloatArray:
    """Turn a stress, Voigt or 3x3, into Voigt order xx yy zz yz xz xy."""
    s = np.asarray(stress, dtype=float)
    if s.shape == (3, 3):
        return np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
    return s
