"""Forces and stresses in the loss: from dE/dG to residuals, and back to dL/d(dE/dG).

Both directions are products with the derivatives J of the fingerprints: forces are -J^T slopes,
and the way back is -J times what the loss asks of the forces.  One function reads derivatives that
are stored, the other has each product computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from amp.core.fingerprints import Derivatives, DirectionalDerivatives, Fingerprints, Layout
from amp.core.threads import for_ranges
from amp.core.typing import BoolArray, FloatArray, IntArray

__all__ = ["Coefficients", "ImageSums", "Known", "References", "force_terms"]


@dataclass(frozen=True, slots=True)
class References:
    """What training compares with; NaN marks what is not known or not to be trained."""

    keys: tuple[str, ...]  # n_images hashes
    energies: FloatArray  # (n_images,)   eV
    forces: FloatArray  # (n_atoms, 3)    eV/Å
    stresses: FloatArray  # (n_images, 6) eV/Å^3, Voigt xx yy zz yz xz xy
    volumes: FloatArray  # (n_images,)    Å^3; 1 where there is no cell
    weights: FloatArray  # (n_images,)    weight of each image in all sums


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Weights of the terms of a loss; 0 leaves a term out."""

    energy: float
    force: float
    stress: float
    overfit: float


@dataclass(frozen=True, slots=True)
class Known:
    """Which images have something to compare with, each (n_images,) bool."""

    energies: BoolArray
    forces: BoolArray
    stresses: BoolArray

    @classmethod
    def of(cls, references: References, layout: Layout) -> Known:
        """Look for finite references."""
        atoms = np.isfinite(references.forces).any(axis=1)
        return cls(
            np.isfinite(references.energies),
            np.logical_or.reduceat(atoms, layout.image_starts[:-1]),
            np.asarray(np.isfinite(references.stresses).any(axis=1)),
        )


@dataclass(frozen=True, slots=True)
class ImageSums:
    """Mean squares and largest residuals of forces and stresses, image by image."""

    force: FloatArray
    force_max: FloatArray
    stress: FloatArray
    stress_max: FloatArray

    @classmethod
    def zeros(cls, n_images: int) -> ImageSums:
        """Begin with nothing."""
        return cls(*(np.zeros(n_images) for _ in range(4)))


def force_terms(
    fingerprints: Fingerprints,
    references: References,
    coefficients: Coefficients,
    slopes: FloatArray,
    gradient: bool,
    threads: int,
    room: FloatArray | None = None,
) -> tuple[FloatArray | None, ImageSums]:
    """Compare forces and stresses with the references.

    Parameters
    ----------
    fingerprints : Fingerprints
        Without derivatives there is nothing to compare.
    references : References
    coefficients : Coefficients
    slopes : ndarray, shape (layout.size,)
        dE/dG (eV).
    gradient : bool
        Go back, too.
    threads : int
        Threads over images; results do not depend on it.
    room : ndarray, shape (layout.size,), optional
        Memory for slope_bar, so that what is called often asks the system for none each time.

    Returns
    -------
    slope_bar : ndarray, shape (layout.size,), or None
        dL/d(slopes), if asked for and if there is something.
    sums : ImageSums
    """
    layout, primes = fingerprints.layout, fingerprints.derivatives
    sums = ImageSums.zeros(layout.n_images)
    if primes is None or not (coefficients.force or coefficients.stress):
        return None, sums
    if room is None:
        room = np.empty(layout.size)
    slope_bar = room if gradient else room[:0]
    if isinstance(primes, Derivatives):
        ends = primes.run_starts[layout.image_starts[1:] * len(layout.elements)]
        work = _stored(layout, primes, references, coefficients, slopes, slope_bar, sums)
    else:
        ends = np.cumsum(primes.costs)
        work = _recomputed(layout, primes, references, coefficients, slopes, slope_bar, sums)
    for_ranges(work, _ranges(ends, threads), threads)
    return (slope_bar if gradient else None), sums


Work = Callable[[int, int], None]  # does a range of images


def _stored(
    layout: Layout,
    primes: Derivatives,
    ref: References,
    coefficients: Coefficients,
    slopes: FloatArray,
    slope_bar: FloatArray,
    sums: ImageSums,
) -> Work:
    """Read stored derivatives once, both ways in one pass."""
    from amp.model._kernels import force_pass

    strain = np.empty(0, primes.values.dtype) if primes.strain is None else primes.strain

    def work(first: int, last: int) -> None:
        force_pass(
            (first, last),
            (layout.image_starts, layout.species, layout.starts, layout.lengths),
            (primes.values, primes.run_starts, primes.atom_starts, primes.atoms,
             primes.slot_starts, primes.slots),
            strain, slopes, ref.forces, coefficients.force * ref.weights, ref.stresses,
            coefficients.stress * ref.weights, ref.volumes,
            slope_bar, sums.force, sums.force_max, sums.stress, sums.stress_max,
        )  # fmt: skip

    return work


def _recomputed(
    layout: Layout,
    primes: DirectionalDerivatives,
    ref: References,
    coefficients: Coefficients,
    slopes: FloatArray,
    slope_bar: FloatArray,
    sums: ImageSums,
) -> Work:
    """Have the products computed: J^T slopes, then J times what the loss asks of the forces."""
    from amp.model._kernels import residuals

    force_scale = 2.0 * coefficients.force * ref.weights
    stress_scale = 2.0 * coefficients.stress * ref.weights

    def work(first: int, last: int) -> None:
        for i in range(first, last):
            atoms = layout.atoms_of_image(i)
            forces, strain = primes.contract(i, slopes)
            np.negative(forces, out=forces)
            if force_scale[i]:
                sums.force[i], sums.force_max[i] = residuals(
                    forces, ref.forces[atoms], force_scale[i]
                )
            else:
                forces[:] = 0.0
            stress = np.zeros((1, 6))
            if stress_scale[i]:
                stress[0] = strain[_ROWS, _COLUMNS] / ref.volumes[i]
                sums.stress[i], sums.stress_max[i] = residuals(
                    stress, ref.stresses[i : i + 1], stress_scale[i]
                )
            if slope_bar.size:
                rate = np.zeros((3, 3))
                rate[_ROWS, _COLUMNS] = stress[0] / ref.volumes[i]
                primes.tangents(i, -forces, rate, slope_bar)

    return work


_ROWS, _COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])  # of Voigt's order


def _ranges(ends: IntArray, threads: int) -> list[tuple[int, int]]:
    """Cut the images into one range per thread, of about equal work; ends are its sums."""
    targets = ends[-1] * np.arange(1, threads) / threads
    cuts = [0, *np.searchsorted(ends, targets).tolist(), len(ends)]
    return [(a, b) for a, b in pairwise(cuts) if a < b]
