"""The loss of a model on reference data and its gradient, as sums over images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from amp.core.fingerprints import Fingerprints
from amp.core.typing import BoolArray, FloatArray
from amp.model._force_terms import Coefficients, ImageSums, Known, References, force_terms
from amp.model.base import Model

__all__ = [
    "Evaluator",
    "LossTerms",
    "NumpyEvaluator",
    "combine",
]


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
        self._room: FloatArray | None = None  # kept, as new memory costs a tenth of an evaluation

    def __call__(self, vector: FloatArray, gradient: bool) -> LossTerms:
        """Evaluate the loss, with its gradient on request."""
        layout, ref, coefficients = self.fingerprints.layout, self.references, self.coefficients
        evaluation = self.model.evaluate(self.fingerprints, vector, self.threads)
        energies = np.add.reduceat(evaluation.atomic_energies, layout.image_starts[:-1])
        residuals = np.where(self.known.energies, energies - ref.energies, 0.0) / self.n_atoms
        if self._room is None:
            self._room = np.empty(layout.size)
        slope_bar, sums = force_terms(
            self.fingerprints,
            ref,
            coefficients,
            evaluation.slopes,
            gradient,
            self.threads,
            self._room,
        )
        overfit = 0.0
        if self.mask is not None:
            overfit = float(np.sum((self.mask * vector) ** 2))
        terms = combine(coefficients, ref.weights, self.known, residuals, sums, overfit)
        if not gradient:
            return terms
        bar = 2.0 * coefficients.energy * ref.weights * residuals / self.n_atoms
        total = evaluation.gradient(bar[layout.image_of_atom], slope_bar, self.threads)
        if self.mask is not None:
            total += 2.0 * coefficients.overfit * self.mask * vector
        return replace(terms, gradient=total)


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
