"""The loss of a model on reference data and its gradient, as sums over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from amp.core.fingerprints import Fingerprints, Layout
from amp.core.typing import BoolArray, FloatArray
from amp.model.base import Model

__all__ = [
    "Coefficients",
    "Evaluator",
    "ImageSums",
    "Known",
    "LossTerms",
    "NumpyEvaluator",
    "References",
    "combine",
]


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
class LossTerms:
    """A loss, its parts, and the residuals behind them."""

    loss: float
    energy_loss: float
    force_loss: float
    stress_loss: float
    overfit_loss: float
    energy_rmse: float  # eV/atom
    energy_maxresid: float  # eV/atom
    force_rmse: float  # eV/Å
    force_maxresid: float  # eV/Å
    stress_rmse: float  # eV/Å^3
    stress_maxresid: float  # eV/Å^3
    gradient: FloatArray | None


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


class Evaluator(Protocol):
    """Computes the terms of a loss for a parameter vector."""

    def __call__(self, vector: FloatArray, gradient: bool) -> LossTerms:
        """Evaluate the loss, with its gradient on request."""


class NumpyEvaluator:
    """Evaluate with numpy and compiled loops, on the derivatives as they are stored.

    Parameters
    ----------
    model : Model
    fingerprints : Fingerprints
        With derivatives if forces or stresses count, with those for strain if stresses do.
    references : References
    coefficients : Coefficients
    threads : int
        Results do not depend on it: each image's sums are its own.
    """

    def __init__(
        self,
        model: Model,
        fingerprints: Fingerprints,
        references: References,
        coefficients: Coefficients,
        threads: int = 1,
    ) -> None:
        self.model = model
        self.fingerprints = fingerprints
        self.references = references
        self.coefficients = coefficients
        self.threads = max(1, threads)
        self.n_atoms = np.diff(fingerprints.layout.image_starts).astype(float)
        self.mask = model.overfit_mask() if coefficients.overfit else None
        self.known = Known.of(references, fingerprints.layout)

    def __call__(self, vector: FloatArray, gradient: bool) -> LossTerms:
        """Evaluate the loss, with its gradient on request."""
        layout, ref, coefficients = self.fingerprints.layout, self.references, self.coefficients
        evaluation = self.model.evaluate(self.fingerprints, vector)
        energies = np.add.reduceat(evaluation.atomic_energies, layout.image_starts[:-1])
        residuals = np.where(self.known.energies, energies - ref.energies, 0.0) / self.n_atoms
        slope_bar, sums = self._force_terms(evaluation.slopes)
        overfit = 0.0
        if self.mask is not None:
            overfit = float(np.sum((self.mask * vector) ** 2))
        terms = combine(coefficients, ref.weights, self.known, residuals, sums, overfit)
        if not gradient:
            return terms
        bar = 2.0 * coefficients.energy * ref.weights * residuals / self.n_atoms
        total = evaluation.gradient(bar[layout.image_of_atom], slope_bar)
        if self.mask is not None:
            total += 2.0 * coefficients.overfit * self.mask * vector
        return replace(terms, gradient=total)

    def _force_terms(self, slopes: FloatArray) -> tuple[FloatArray | None, ImageSums]:
        """Run the kernel over all images; dL/d(slopes) and each image's sums."""
        from amp.model._kernels import force_pass

        layout, ref, coefficients = self.fingerprints.layout, self.references, self.coefficients
        sums = ImageSums.zeros(layout.n_images)
        primes = self.fingerprints.derivatives
        if primes is None or not (coefficients.force or coefficients.stress):
            return None, sums
        slope_bar = np.empty(layout.size)
        strain = np.empty(0) if primes.strain is None else primes.strain

        def work(images: tuple[int, int]) -> None:
            force_pass(
                images,
                (layout.image_starts, layout.species, layout.starts, layout.lengths),
                (primes.values, primes.center_blocks, primes.block_atoms, primes.block_starts,
                 primes.slot_starts, primes.slots),
                strain, slopes, ref.forces, coefficients.force * ref.weights, ref.stresses,
                coefficients.stress * ref.weights, ref.volumes,
                slope_bar, sums.force, sums.force_max, sums.stress, sums.stress_max,
            )  # fmt: skip

        _run(work, self._ranges(), self.threads)
        return slope_bar, sums

    def _ranges(self) -> list[tuple[int, int]]:
        """Cut the images into one range per thread, of about equal work."""
        layout, primes = self.fingerprints.layout, self.fingerprints.derivatives
        assert primes is not None
        if self.threads == 1:
            return [(0, layout.n_images)]
        ends = primes.block_starts[primes.center_blocks[layout.image_starts[1:]]]
        targets = ends[-1] * np.arange(1, self.threads) / self.threads
        cuts = [0, *np.searchsorted(ends, targets).tolist(), layout.n_images]
        return [(a, b) for a, b in pairwise(cuts) if a < b]


@dataclass(frozen=True, slots=True)
class ImageSums:
    """Mean squares and largest residuals of forces and stresses, image by image."""

    force: FloatArray
    force_max: FloatArray
    stress: FloatArray
    stress_max: FloatArray

    @classmethod
    def zeros(cls, n_images: int) -> ImageSums:
        return cls(*(np.zeros(n_images) for _ in range(4)))


def combine(
    coefficients: Coefficients,
    weights: FloatArray,
    known: Known,
    residuals: FloatArray,
    sums: ImageSums,
    overfit: float,
) -> LossTerms:
    """Add the images up; residuals are those of the energies per atom."""
    energy_loss = float(weights @ residuals**2)
    force_loss = float(weights @ sums.force)
    stress_loss = float(weights @ sums.stress)
    loss = (
        coefficients.energy * energy_loss
        + coefficients.force * force_loss
        + coefficients.stress * stress_loss
        + coefficients.overfit * overfit
    )
    return LossTerms(
        loss=loss,
        energy_loss=energy_loss,
        force_loss=force_loss,
        stress_loss=stress_loss,
        overfit_loss=overfit,
        energy_rmse=_rms(energy_loss, weights, known.energies),
        energy_maxresid=float(np.abs(residuals).max()),
        force_rmse=_rms(force_loss, weights, known.forces),
        force_maxresid=float(sums.force_max.max()),
        stress_rmse=_rms(stress_loss, weights, known.stresses),
        stress_maxresid=float(sums.stress_max.max()),
        gradient=None,
    )


def _rms(total: float, weights: FloatArray, counted: BoolArray) -> float:
    """Root of the weighted mean over the images that count."""
    norm = float(weights[counted].sum())
    return float(np.sqrt(total / norm)) if norm > 0 else 0.0


def _run(
    work: Callable[[tuple[int, int]], None], ranges: Sequence[tuple[int, int]], threads: int
) -> None:
    """Do the ranges, in threads where there are several; kernels release the interpreter."""
    if len(ranges) == 1:
        work(ranges[0])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, ranges))
