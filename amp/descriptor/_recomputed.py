"""Derivatives of fingerprints that are not stored: products with them, computed from neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amp.core.fingerprints import Layout
from amp.core.neighbors import NeighborPairs
from amp.core.typing import FloatArray, IntArray
from amp.descriptor._evaluation import contract, fill_tangents
from amp.descriptor._plan import Plan

__all__ = ["Neighborhood", "RecomputedDerivatives"]


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """What kernels need of the neighbors of an image's atoms."""

    starts: IntArray  # (n_atoms + 1,)  pairs of an atom: starts[i]:starts[i + 1]
    second: IntArray  # (n_pairs,)
    vectors: FloatArray  # (n_pairs, 3) Å
    distances: FloatArray  # (n_pairs,) Å

    @classmethod
    def of(cls, pairs: NeighborPairs) -> Neighborhood:
        """Take what is needed, so that the rest can go."""
        return cls(pairs.starts, pairs.second, pairs.vectors, pairs.distances)

    @classmethod
    def nothing(cls) -> Neighborhood:
        """Stand in for neighbors that are not needed any more."""
        return cls(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0))

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        arrays = (self.starts, self.second, self.vectors, self.distances)
        return sum(array.nbytes for array in arrays)


@dataclass(frozen=True, slots=True)
class RecomputedDerivatives:
    """See `amp.core.fingerprints.DirectionalDerivatives`."""

    plan: Plan
    layout: Layout
    images: list[Neighborhood]
    has_strain: bool

    @property
    def nbytes(self) -> int:
        """Memory of what is kept, in bytes."""
        return sum(image.nbytes for image in self.images)

    @property
    def costs(self) -> IntArray:
        """Number of triplets of each image, which is what takes time, shape (n_images,)."""
        return np.array([np.sum(np.diff(n.starts) ** 2) + 1 for n in self.images])

    def contract(self, image: int, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) of an image from dE/dG of all images."""
        atoms = self.layout.atoms_of_image(image)
        return contract(
            self.plan, self.layout.species[atoms], self.images[image], self.layout.starts[atoms],
            slopes,
        )  # fmt: skip

    def tangents(
        self, image: int, velocities: FloatArray, strain_rate: FloatArray, out: FloatArray
    ) -> None:
        """Fill dG/dt of an image's atoms when these move at velocities (n_atoms, 3)."""
        atoms = self.layout.atoms_of_image(image)
        fill_tangents(
            self.plan, self.layout.species[atoms], self.images[image], velocities, strain_rate,
            self.layout.starts[atoms], out,
        )  # fmt: skip
