"""Structures in n2p2's format (input.data) read and written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from amp.convert._lines import Line, read_lines
from amp.convert._n2p2_units import ATOMIC_UNITS, Units, in_ase_units
from amp.core.elements import ATOMIC_NUMBERS
from amp.core.errors import AmpFileError, ImageError, MissingDataError, OutputExistsError
from amp.core.images import Images, has_result, read_images
from amp.core.serialization import write_atomic

__all__ = ["read_n2p2_data", "write_n2p2_data"]


def read_n2p2_data(path: str | os.PathLike[str], *, units: Units = ATOMIC_UNITS) -> list[Atoms]:
    """Read structures with energies and forces from a file of n2p2 or RuNNer.

    Parameters
    ----------
    path : path
        The file, usually called `input.data`.
    units : tuple of str, default ('bohr', 'hartree')
        Units of length (bohr, angstrom, nm) and energy (hartree, eV, rydberg, kcal/mol, kJ/mol) of
        the file.

    Returns
    -------
    list of ase.Atoms
        Periodic if there is a lattice.  Energy, forces and, if any is not 0, atomic charges are
        results; comment and total charge are in `info`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AmpFileError
        If a line is damaged, or there are no structures.
    """
    scales = in_ase_units(units)
    images = []
    structure: _Structure | None = None
    for line in read_lines(path):
        if structure is None:
            if line.keyword != "begin":
                raise line.damaged("a structure starts with the line begin")
            structure = _Structure(line)
        elif line.keyword == "end":
            images.append(structure.atoms(*scales))
            structure = None
        else:
            structure.add(line)
    if structure is not None:
        raise structure.begin.damaged("this structure has no end")
    if not images:
        raise AmpFileError(f"There are no structures in {os.fspath(path)!r}.")
    return images


def write_n2p2_data(
    path: str | os.PathLike[str],
    images: Images,
    *,
    units: Units = ATOMIC_UNITS,
    overwrite: bool = False,
    accept_missing: bool = False,
) -> None:
    """Write structures with energies and forces to a file for n2p2 or RuNNer.

    Parameters
    ----------
    path : path
        The file, usually called `input.data`.
    images : list of Atoms, path, or mapping
        Structures as training takes them.  Calculators are asked for what is not stored.  Comment
        and total charge are taken from `info`, atomic charges from results.
    units : tuple of str, default ('bohr', 'hartree')
        Units of length (bohr, angstrom, nm) and energy (hartree, eV, rydberg, kcal/mol, kJ/mol) to
        write.
    overwrite : bool, default False
        Replace an existing file.
    accept_missing : bool, default False
        Write 0 for energies and forces that images lack, as for prediction.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is not set.
    MissingDataError
        If images lack energy or forces and `accept_missing` is not set.
    ImageError
        If there are no images, or one is periodic in some directions only.
    """
    length, energy = in_ase_units(units)
    if os.path.exists(path) and not overwrite:
        raise OutputExistsError(
            f"{os.fspath(path)} exists already. Use another name, or overwrite=True."
        )
    structures = read_images(images)
    _check(structures, accept_missing)
    lines = [line for atoms in structures for line in _lines_of(atoms, length, energy)]
    write_atomic(path, "\n".join(lines) + "\n")


class _Structure:
    """One structure of the file while its lines are read."""

    def __init__(self, begin: Line) -> None:
        self.begin = begin
        self.comments: list[str] = []
        self.lattice: list[list[float]] = []
        self.symbols: list[str] = []
        self.rows: list[list[float]] = []  # x y z charge fx fy fz
        self.totals: dict[str, float] = {}  # energy and charge

    def add(self, line: Line) -> None:
        """Take a line between begin and end."""
        keyword = line.keyword
        if keyword == "atom":
            if len(line.words) < 10 or line.words[4] not in ATOMIC_NUMBERS:
                raise line.damaged("it needs x y z, symbol, charge, a number, and three forces")
            self.symbols.append(line.words[4])
            self.rows.append([line.real(i) for i in (1, 2, 3, 5, 7, 8, 9)])
        elif keyword == "lattice":
            if len(self.lattice) == 3:
                raise line.damaged("there are three lattice vectors already")
            self.lattice.append([line.real(i) for i in (1, 2, 3)])
        elif keyword in ("energy", "charge"):
            self.totals[keyword] = line.real(1)
        elif keyword == "comment":
            self.comments.append(" ".join(line.words[1:]))
        else:
            raise line.damaged("n2p2 has no such keyword in structures")

    def atoms(self, length: float, energy: float) -> Atoms:
        """Make the image; the units are in Å and eV."""
        if not self.symbols:
            raise self.begin.damaged("this structure has no atoms")
        if len(self.lattice) not in (0, 3):
            raise self.begin.damaged(f"this structure has {len(self.lattice)} lattice vectors")
        rows = np.array(self.rows)
        atoms = Atoms(self.symbols, positions=rows[:, :3] * length)
        if self.lattice:
            atoms.cell[:] = np.array(self.lattice) * length
            atoms.pbc = True
        if self.comments:
            atoms.info["comment"] = "\n".join(self.comments)
        if "charge" in self.totals:
            atoms.info["charge"] = self.totals["charge"]
        results: dict[str, Any] = {"forces": rows[:, 4:] * (energy / length)}
        if "energy" in self.totals:
            results["energy"] = self.totals["energy"] * energy
        if rows[:, 3].any():
            results["charges"] = rows[:, 3]
        atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms


def _check(structures: list[Atoms], accept_missing: bool) -> None:
    """Refuse images that cannot be written."""
    slabs = [i for i, atoms in enumerate(structures) if atoms.pbc.any() and not atoms.pbc.all()]
    if slabs:
        raise ImageError(
            f"Image {slabs[0]} is periodic in some directions only, which n2p2 has no words for. "
            "Set atoms.pbc to True with enough vacuum, or to False."
        )
    lacking = {
        kind: [i for i, atoms in enumerate(structures) if not has_result(atoms, kind)]
        for kind in ("energy", "forces")
    }
    if not accept_missing and any(lacking.values()):
        faults = "; ".join(
            f"{len(found)} of {len(structures)} images lack {kind}, first image {found[0]}"
            for kind, found in lacking.items()
            if found
        )
        raise MissingDataError(f"{faults}. Compute them, or write zeros with accept_missing=True.")


def _lines_of(atoms: Atoms, length: float, energy: float) -> Iterator[str]:
    """Write one structure; the units are in Å and eV."""
    n = len(atoms)
    total = atoms.get_potential_energy() if has_result(atoms, "energy") else 0.0
    has_forces = has_result(atoms, "forces")
    forces = atoms.get_forces(apply_constraint=False) if has_forces else np.zeros((n, 3))
    charges = atoms.calc.results["charges"] if _has_charges(atoms) else np.zeros(n)
    yield "begin"
    for comment in str(atoms.info.get("comment", "")).splitlines():
        yield f"comment {comment}"
    if atoms.pbc.all():
        for vector in atoms.cell.array / length:
            yield "lattice" + _columns(vector)
    rows = zip(atoms.symbols, atoms.positions / length, charges, forces * (length / energy),
               strict=True)  # fmt: skip
    for symbol, position, charge, force in rows:
        yield f"atom{_columns(position)} {symbol:2}{_columns([charge, 0.0])}{_columns(force)}"
    yield "energy" + _columns([total / energy])
    yield "charge" + _columns([float(atoms.info.get("charge", 0.0))])
    yield "end"


def _has_charges(atoms: Atoms) -> bool:
    """Say whether atomic charges are stored; no calculator is asked for them."""
    return isinstance(atoms.calc, SinglePointCalculator) and has_result(atoms, "charges")


def _columns(values: Any) -> str:
    return "".join(f" {value: .16E}" for value in values)
