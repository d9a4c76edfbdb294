"""Predictions of a potential beside the references that images carry: one pass over the images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.calculators.calculator import all_changes

from amp.calculator import Amp
from amp.core.errors import MissingDataError, ParameterError
from amp.core.images import get_hash, hash_images, read_images
from amp.core.logs import progress
from amp.core.typing import BoolArray, FloatArray, IntArray
from amp.model.loss import LossFunction
from amp.training.references import Demand, collect_references, has_volume

__all__ = ["Comparison", "compare", "load_calculator"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """References and predictions of some images.

    NaN marks references that are not known and predictions that were not needed.
    """

    keys: tuple[str, ...]  # n_images hashes
    indices: IntArray  # (n_images,)     place of the image among those given
    infos: tuple[Mapping[str, Any], ...]  # n_images, `atoms.info`
    image_starts: IntArray  # (n_images + 1,) atoms of image i: image_starts[i]:image_starts[i+1]
    numbers: IntArray  # (n_atoms,)      atomic numbers
    with_volume: BoolArray  # (n_images,)     whether stress is defined
    reference_energies: FloatArray  # (n_images,)     eV
    energies: FloatArray  # (n_images,)     eV
    reference_forces: FloatArray  # (n_atoms, 3)    eV/Å
    forces: FloatArray  # (n_atoms, 3)    eV/Å
    reference_stresses: FloatArray  # (n_images, 6)   eV/Å^3, Voigt xx yy zz yz xz xy
    stresses: FloatArray  # (n_images, 6)   eV/Å^3

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.keys)

    @property
    def n_atoms(self) -> IntArray:
        """Number of atoms of each image, shape (n_images,)."""
        return np.diff(self.image_starts)

    @property
    def image_of_atom(self) -> IntArray:
        """Image of each atom, shape (n_atoms,)."""
        return np.repeat(np.arange(self.n_images), self.n_atoms)

    @property
    def energy_errors(self) -> FloatArray:
        """Prediction minus reference, eV/atom, shape (n_images,); NaN without a reference."""
        return (self.energies - self.reference_energies) / self.n_atoms

    @property
    def force_errors(self) -> FloatArray:
        """Prediction minus reference, eV/Å, shape (n_atoms, 3); NaN without a reference."""
        return self.forces - self.reference_forces

    @property
    def stress_errors(self) -> FloatArray:
        """Prediction minus reference, eV/Å^3, shape (n_images, 6); NaN without a reference."""
        return self.stresses - self.reference_stresses


def compare(calc: Any, images: Any, forces: bool = True, stress: bool = True) -> Comparison:
    """Let a calculator predict what images have references for.

    Parameters
    ----------
    calc : calculator or path
        `Amp`, another calculator of ASE, or a potential (.amp) file.
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes.  Of equal images the last one counts, as in
        training.
    forces, stress : bool, default True
        Compare forces, and stresses of cells with a volume, where there are references.

    Returns
    -------
    Comparison

    Raises
    ------
    MissingDataError
        If no image has any of the references.
    ImageError
        If there are no images, or some cannot be used.
    UnsupportedElementError
        If an image has an element that the potential was not trained for.
    """
    calc = load_calculator(calc)
    stress = stress and "stress" in calc.implemented_properties
    hashed, indices = _hash_with_places(images)
    demand = Demand(energies=True, forces=forces, stress=stress)
    # A loss that asks for nothing: what images lack is left out here, and no mistake.
    ref = collect_references(hashed, demand, LossFunction(convergence={"energy_rmse": None}), {})
    references = (ref.energies, ref.forces, ref.stresses)
    if not any(np.isfinite(values).any() for values in references):
        wanted = ["energy", *(["forces"] if forces else []), *(["stress"] if stress else [])]
        raise MissingDataError(
            f"None of the {len(hashed)} images has a reference ({', '.join(wanted)}) to compare "
            "with. Give images that carry results, such as an extxyz file or a trajectory."
        )
    starts = np.concatenate([[0], np.cumsum([len(atoms) for atoms in hashed.values()])])
    predicted = tuple(np.full_like(values, np.nan) for values in references)
    for i, atoms in enumerate(progress(hashed.values(), "Evaluating", total=len(hashed))):
        block = slice(int(starts[i]), int(starts[i + 1]))
        places: tuple[Any, ...] = (i, block, i)
        needed = [
            name
            for name, values, place in zip(_PROPERTIES, references, places, strict=True)
            if np.isfinite(values[place]).any()
        ]
        if not needed:
            continue
        calc.calculate(atoms, needed, all_changes)
        for name, values, place in zip(_PROPERTIES, predicted, places, strict=True):
            if name in needed:
                values[place] = calc.results[name]
    return Comparison(
        keys=tuple(hashed),
        indices=indices,
        infos=tuple(atoms.info for atoms in hashed.values()),
        image_starts=starts.astype(np.int64),
        numbers=np.concatenate([atoms.numbers for atoms in hashed.values()]).astype(np.int64),
        with_volume=np.array([has_volume(atoms) for atoms in hashed.values()]),
        reference_energies=ref.energies,
        energies=predicted[0],
        reference_forces=ref.forces,
        forces=predicted[1],
        reference_stresses=ref.stresses,
        stresses=predicted[2],
    )


_PROPERTIES = ("energy", "forces", "stress")


def load_calculator(calc: Any, dblabel: str | None = None) -> Any:
    """Give a calculator, loading it where a file is given.

    Parameters
    ----------
    calc : calculator or path
    dblabel : str, optional
        For a loaded one, see `Amp`.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such file, or it is no potential.
    ParameterError
        If `calc` is neither.
    """
    if isinstance(calc, str | os.PathLike):
        return Amp.load(calc, dblabel=dblabel)
    if not callable(getattr(calc, "calculate", None)):
        raise ParameterError(f"Give a calculator or the path of a .amp file, not {calc!r}.")
    return calc


def _hash_with_places(images: Any) -> tuple[Mapping[str, Any], IntArray]:
    """Hash images, and tell where among the given ones each of them stands."""
    if isinstance(images, Mapping):
        return hash_images(images), np.arange(len(images))
    sequence = read_images(images)
    hashed = hash_images(sequence)
    place = {get_hash(atoms): index for index, atoms in enumerate(sequence)}
    return hashed, np.array([place[key] for key in hashed], dtype=np.int64)
