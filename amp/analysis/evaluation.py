"""Errors of a potential: MAE, RMSE and maximum, by property, element and kind of image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from amp.analysis.comparison import Comparison, compare, load_calculator
from amp.core.errors import ParameterError
from amp.core.images import hash_images
from amp.core.typing import BoolArray, FloatArray, IntArray

__all__ = ["Errors", "Evaluation", "Worst", "calc_rmse", "evaluate", "summarize"]

UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å^3"}
GROUP_KEYS = ("config_type", "group")  # in `atoms.info`, looked for in this order
NO_GROUP = "(none)"  # images without the key, where others have it


@dataclass(frozen=True, slots=True)
class Errors:
    """Statistics of prediction minus reference of one property."""

    n: int  # values compared: energies, or components of forces or stresses
    n_images: int  # images that they come from
    mae: float
    rmse: float
    max: float  # largest absolute value


@dataclass(frozen=True, slots=True)
class Worst:
    """The image with the largest error of a property."""

    index: int  # its place among the images given
    key: str  # its hash
    error: float  # largest absolute error in it


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How far a potential is off its references.

    Properties are `energy` (eV/atom), `forces` (components, eV/Å) and `stress` (components,
    eV/Å^3); those without any reference are left out.
    """

    n_images: int
    n_atoms: int
    errors: Mapping[str, Errors]  # by property
    worst: Mapping[str, Worst]  # by property
    missing: Mapping[str, int]  # by property: images without reference, if any
    elements: Mapping[str, Errors]  # of forces, by symbol
    group_by: str | None  # key of `atoms.info` that groups the images
    groups: Mapping[str, Mapping[str, Errors]]  # by value of that key, then by property
    comparison: Comparison = field(repr=False, compare=False)  # the numbers behind it

    @property
    def energy(self) -> Errors | None:
        """Errors of energies per atom (eV/atom)."""
        return self.errors.get("energy")

    @property
    def forces(self) -> Errors | None:
        """Errors of force components (eV/Å)."""
        return self.errors.get("forces")

    @property
    def stress(self) -> Errors | None:
        """Errors of stress components (eV/Å^3)."""
        return self.errors.get("stress")

    def table(self) -> str:
        """Give the errors as text tables."""
        lines = [f"{self.n_images} images, {self.n_atoms} atoms"]
        lines += _block("", ((_named(p), e, self.worst[p]) for p, e in self.errors.items()))
        for name, count in self.missing.items():
            lines.append(f"{count} image(s) have no {name} to compare with.")
        if len(self.elements) > 1:
            rows = ((symbol, e, None) for symbol, e in self.elements.items())
            lines += _block(f"forces by element ({UNITS['forces']})", rows)
        for name in self.errors if len(self.groups) > 1 else ():  # one is all of them
            rows = ((g, e[name], None) for g, e in self.groups.items() if name in e)
            lines += _block(f"{name} by {self.group_by} ({UNITS[name]})", rows)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give the errors as plain data, ready for JSON."""
        return {
            "n_images": self.n_images,
            "n_atoms": self.n_atoms,
            "units": {name: UNITS[name] for name in self.errors},
            "errors": {name: asdict(e) for name, e in self.errors.items()},
            "worst": {name: asdict(w) for name, w in self.worst.items()},
            "missing": dict(self.missing),
            "elements": {symbol: asdict(e) for symbol, e in self.elements.items()},
            "group_by": self.group_by,
            "groups": {
                group: {name: asdict(e) for name, e in errors.items()}
                for group, errors in self.groups.items()
            },
        }


def evaluate(calc: Any, images: Any, group_by: str | None = None) -> Evaluation:
    """Compare a potential with the references that images carry.

    Each image is calculated once.  References that are NaN do not count, and images without a
    reference of some property are left out of that property's errors.

    Parameters
    ----------
    calc : calculator or path
        `Amp`, another calculator of ASE, or a potential (.amp) file.
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes.
    group_by : str, optional
        Key of `atoms.info` by whose value errors are given too; 'config_type' or 'group' if
        images have one of these.

    Returns
    -------
    Evaluation

    Raises
    ------
    MissingDataError
        If no image has any reference.
    ParameterError
        If no image has the key `group_by`.
    ImageError, UnsupportedElementError
        If images cannot be used.
    """
    return summarize(compare(calc, images), group_by)


def summarize(comparison: Comparison, group_by: str | None = None) -> Evaluation:
    """Compute the errors of a comparison.

    Parameters
    ----------
    comparison : Comparison
    group_by : str, optional
        As in `evaluate`.

    Returns
    -------
    Evaluation

    Raises
    ------
    ParameterError
        If no image has the key `group_by`.
    """
    c = comparison
    residuals = _residuals(c)
    errors = _errors(residuals)
    worst = {}
    for name in errors:
        image, error = residuals[name].worst()
        worst[name] = Worst(int(c.indices[image]), c.keys[image], error)
    could_have = {"energy": c.n_images, "forces": c.n_images, "stress": int(c.with_volume.sum())}
    lacking = {name: could_have[name] - e.n_images for name, e in errors.items()}
    elements = {
        chemical_symbols[z]: found
        for z in np.unique(c.numbers)
        if (found := residuals["forces"].of(c.numbers == z).errors())
    }
    key, names = _groups(c.infos, group_by)
    groups = {}
    for group in dict.fromkeys(names):
        members = np.array([name == group for name in names])
        groups[group] = _errors({p: r.of(members[r.images]) for p, r in residuals.items()})
    return Evaluation(
        n_images=c.n_images,
        n_atoms=len(c.numbers),
        errors=errors,
        worst=worst,
        missing={name: count for name, count in lacking.items() if count},
        elements=elements,
        group_by=key,
        groups=groups,
        comparison=c,
    )


def calc_rmse(
    calc_paths: Any,
    images: Any,
    cores: int | None = None,
    dblabel: str | None = None,
    energy_coefficient: float | None = 1.0,
    force_coefficient: float | None = 0.04,
) -> tuple[FloatArray, FloatArray]:
    """Compute the RMSEs of several potentials as training defines them.

    The force RMSE weighs images equally whatever their number of atoms, as the loss function
    does; `evaluate` weighs all force components equally.

    Parameters
    ----------
    calc_paths : list of paths or calculators
        Potential (.amp) files; a single one will do.
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes.
    cores : int, optional
        Accepted for old scripts.
    dblabel : str, optional
        See `Amp`.
    energy_coefficient, force_coefficient : float or None
        None or 0 leaves energies or forces out.

    Returns
    -------
    energy_rmse, force_rmse : ndarray, shape (n_potentials,)
        In eV/atom and eV/Å; NaN where there is nothing to compare with or it is left out.

    Raises
    ------
    MissingDataError
        If no image has any reference.
    """
    if isinstance(calc_paths, str) or not isinstance(calc_paths, Sequence):
        calc_paths = [calc_paths]
    images = hash_images(images)
    rmses = []
    for calc in calc_paths:
        loaded = load_calculator(calc, dblabel)
        c = compare(loaded, images, forces=bool(force_coefficient), stress=False)
        energy_known = np.isfinite(c.reference_energies) & bool(energy_coefficient)
        # As in the loss: the mean of an image is that of the components that have a reference.
        known = np.isfinite(c.reference_forces)
        squares = np.where(known, c.force_errors**2, 0.0).sum(axis=1)
        sums = np.add.reduceat(squares, c.image_starts[:-1])
        counts = np.add.reduceat(known.sum(axis=1), c.image_starts[:-1])
        means = sums[counts > 0] / counts[counts > 0]
        rmses.append([_rms(c.energy_errors[energy_known]), _rms(np.sqrt(means))])
    energy_rmse, force_rmse = np.array(rmses).reshape(-1, 2).T
    return energy_rmse, force_rmse


def _errors(residuals: Mapping[str, _Residuals]) -> dict[str, Errors]:
    """Compute the statistics of the properties that have any."""
    return {name: e for name, r in residuals.items() if (e := r.errors()) is not None}


def _rms(values: FloatArray) -> float:
    """Root of the mean square; NaN of nothing."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


@dataclass(frozen=True, slots=True)
class _Residuals:
    """Residuals of one property, a row per energy, atom or stress."""

    values: FloatArray  # (n_rows, n_components)
    known: BoolArray  # (n_rows, n_components) whether there is a reference
    images: IntArray  # (n_rows,)

    def of(self, rows: BoolArray) -> _Residuals:
        return _Residuals(self.values[rows], self.known[rows], self.images[rows])

    def errors(self) -> Errors | None:
        """Compute the statistics; None if nothing is known."""
        if not self.known.any():
            return None
        sizes = np.abs(self.values[self.known])
        return Errors(
            n=len(sizes),
            n_images=len(np.unique(self.images[self.known.any(axis=1)])),
            mae=float(sizes.mean()),
            rmse=_rms(sizes),
            max=float(sizes.max()),
        )

    def worst(self) -> tuple[int, float]:
        """Find the image with the largest error, a prediction of NaN being the largest."""
        sizes = np.where(self.known, np.abs(self.values), -1.0)
        row, component = np.unravel_index(np.argmax(sizes), sizes.shape)  # NaN wins
        return int(self.images[row]), float(sizes[row, component])


def _residuals(c: Comparison) -> dict[str, _Residuals]:
    images = np.arange(c.n_images)
    return {
        "energy": _Residuals(
            c.energy_errors[:, None], np.isfinite(c.reference_energies)[:, None], images
        ),
        "forces": _Residuals(c.force_errors, np.isfinite(c.reference_forces), c.image_of_atom),
        "stress": _Residuals(c.stress_errors, np.isfinite(c.reference_stresses), images),
    }


def _groups(
    infos: Sequence[Mapping[str, Any]], group_by: str | None
) -> tuple[str | None, list[str]]:
    """Choose the key that groups images, and give each image's group; nothing without a key."""
    found = [key for key in (group_by or "", *GROUP_KEYS) if any(key in info for info in infos)]
    if group_by is None and not found:
        return None, []
    key = found[0] if group_by is None else group_by
    if key not in found:
        known = sorted({str(name) for info in infos for name in info})
        raise ParameterError(
            f"No image has {key!r} in its info to group by; there are: "
            f"{', '.join(known) or 'none'}."
        )
    return key, [str(info[key]) if key in info else NO_GROUP for info in infos]


def _named(name: str) -> str:
    return f"{name} ({UNITS[name]})"


def _block(title: str, rows: Iterable[tuple[str, Errors, Worst | None]]) -> list[str]:
    """Lay out one table, with an empty line before it."""
    rows = list(rows)
    width = max([len(title), 20, *(len(name) for name, _, _ in rows)])
    header = f"{title:<{width}} {'MAE':>11} {'RMSE':>11} {'max':>11} {'values':>9} {'images':>7}"
    with_worst = any(worst is not None for _, _, worst in rows)
    lines = ["", header + ("  worst image" if with_worst else "")]
    for name, e, worst in rows:
        line = (
            f"{name:<{width}} {e.mae:11.4g} {e.rmse:11.4g} {e.max:11.4g} {e.n:9d} {e.n_images:7d}"
        )
        lines.append(line + (f"  {worst.index} ({worst.key[:8]})" if worst else ""))
    return lines
