"""What descriptors produce and models consume: fingerprints of images and their derivatives.

One class holds one image or a whole training set: atoms of all images stand one after the other.
Fingerprints lie element by element in one flat buffer, so that all atoms of an element are one
matrix for the model, and so that a kernel finds any atom's fingerprint by one offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from amp.core.typing import FloatArray, IntArray, RealArray

__all__ = [
    "Derivatives",
    "DirectionalDerivatives",
    "FingerprintStore",
    "Fingerprints",
    "Layout",
    "flat_layout",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each atom's fingerprint lies in a flat, element-major buffer."""

    elements: tuple[str, ...]  # sorted symbols; a species is an index into it
    lengths: IntArray  # (n_elements,)    functions per element
    species: IntArray  # (n_atoms,)       species of each atom
    image_starts: IntArray  # (n_images + 1,)  atoms of image i: image_starts[i]:image_starts[i+1]
    starts: IntArray  # (n_atoms,)       offset of each atom's fingerprint
    element_starts: IntArray  # (n_elements + 1,) offset of each element's matrix

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all images."""
        return len(self.species)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.image_starts) - 1

    @property
    def size(self) -> int:
        """Length of a flat buffer."""
        return int(self.element_starts[-1])

    @property
    def image_of_atom(self) -> IntArray:
        """Image index of each atom, shape (n_atoms,)."""
        return np.repeat(np.arange(self.n_images), np.diff(self.image_starts))

    def matrix(self, flat: FloatArray, species: int) -> FloatArray:
        """Give the rows of one element, shape (n_atoms_of_element, n_functions), as a view."""
        rows = flat[self.element_starts[species] : self.element_starts[species + 1]]
        length = int(self.lengths[species])
        return rows.reshape(-1, length) if length else rows.reshape(self.count(species), 0)

    def count(self, species: int) -> int:
        """Count the atoms of one element."""
        return int(np.count_nonzero(self.species == species))

    def row(self, flat: FloatArray, atom: int) -> FloatArray:
        """Give one atom's fingerprint as a view, shape (n_functions,)."""
        start = self.starts[atom]
        return flat[start : start + self.lengths[self.species[atom]]]

    def atoms_of_image(self, image: int) -> slice:
        """Give the slice of atoms that belong to one image."""
        return slice(int(self.image_starts[image]), int(self.image_starts[image + 1]))


def flat_layout(
    elements: tuple[str, ...], lengths: IntArray, species: IntArray, image_starts: IntArray
) -> Layout:
    """Lay fingerprints out element by element, atoms in their order within each element."""
    sizes = np.array(
        [np.count_nonzero(species == s) * lengths[s] for s in range(len(elements))], dtype=np.int64
    )
    element_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    starts = np.empty(len(species), dtype=np.int64)
    for s in range(len(elements)):
        atoms = np.flatnonzero(species == s)
        starts[atoms] = element_starts[s] + lengths[s] * np.arange(len(atoms))
    return Layout(elements, lengths, species, image_starts, starts, element_starts)


@dataclass(frozen=True, slots=True)
class Derivatives:
    """How fingerprints change when atoms or the cell move; sparse, and stored.

    A run holds d fingerprint(center) / d position(atom) for all atoms of one species near one
    center, all periodic images of an atom moving together: run `center * n_elements + species`.
    The derivative with respect to the center's own position is minus the sum of its runs and is
    not stored.  Of a fingerprint only the functions that can see the moved atoms' element are
    kept: `slots` lists them for each pair of species.

    A run is the matrix of its functions and of the directions of its atoms (x, y, z of the first,
    of the second ...).  The longer of the two sides lies contiguous, for loops to be long.
    """

    values: RealArray  # (n_values,)    runs one after the other; float64 or float32
    run_starts: IntArray  # (n_runs + 1,)  offset of each run in values
    atom_starts: IntArray  # (n_runs + 1,)  offset of each run in atoms
    atoms: IntArray  # (n_blocks,)    the atoms that move, counted over all images
    slot_starts: IntArray  # (n_elements**2 + 1,) slots of pair (center s, moved t): s * n + t
    slots: IntArray  # (n_slots,)     positions in the center's fingerprint
    strain: RealArray | None  # (6 * size,) d fingerprint / d strain, Voigt, each atom (6, length)

    @property
    def has_strain(self) -> bool:
        """Whether there are derivatives with respect to strain."""
        return self.strain is not None

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        arrays = [self.values, self.run_starts, self.atom_starts, self.atoms, self.slot_starts,
                  self.slots]  # fmt: skip
        return sum(a.nbytes for a in arrays) + (0 if self.strain is None else self.strain.nbytes)

    def run(self, index: int) -> tuple[IntArray, RealArray]:
        """Give a run's atoms, and their derivatives (n_atoms, 3, n_functions) as a view."""
        atoms = self.atoms[self.atom_starts[index] : self.atom_starts[index + 1]]
        values = self.values[self.run_starts[index] : self.run_starts[index + 1]]
        n_directions = 3 * len(atoms)
        if n_directions == 0:
            return atoms, values.reshape(0, 3, 0)
        width = len(values) // n_directions
        if n_directions >= width:
            return atoms, values.reshape(width, len(atoms), 3).transpose(1, 2, 0)
        return atoms, values.reshape(len(atoms), 3, width)


class DirectionalDerivatives(Protocol):
    """Derivatives that are not stored: products with them are computed each time."""

    @property
    def has_strain(self) -> bool:
        """Whether strain is asked for."""

    @property
    def nbytes(self) -> int:
        """Memory of what is kept, in bytes."""

    @property
    def costs(self) -> IntArray:
        """Work of each image in any unit, to share it out, shape (n_images,)."""

    def contract(self, image: int, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) of an image from dE/dG of all images."""

    def tangents(
        self, image: int, velocities: FloatArray, strain_rate: FloatArray, out: FloatArray
    ) -> None:
        """Fill dG/dt of an image's atoms when these move at velocities (n_atoms, 3).

        strain_rate (3, 3) times a vector between atoms is the velocity that it adds; out is flat
        and for all images.
        """


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints of one image or many, with derivatives on request."""

    layout: Layout
    values: FloatArray  # (layout.size,)
    derivatives: Derivatives | DirectionalDerivatives | None = None

    def of_element(self, species: int) -> FloatArray:
        """Give all fingerprints of an element, shape (n_atoms_of_element, n_functions)."""
        return self.layout.matrix(self.values, species)

    def of_atom(self, atom: int) -> FloatArray:
        """Give one atom's fingerprint, shape (n_functions,)."""
        return self.layout.row(self.values, atom)


class FingerprintStore(Protocol):
    """Arrays of single images that were computed earlier, with one descriptor and code."""

    def find(self, key: str, kind: str) -> Mapping[str, Any] | None:
        """Give what is kept of an image (its hash), None if there is nothing; from any thread."""

    def keep(self, key: str, kind: str, arrays: Mapping[str, Any]) -> None:
        """Keep what was computed; from any thread. That it cannot be kept is no error."""
