"""The loss as optimizers see it, remembering the best point on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from amp.core.errors import ConvergenceOccurred
from amp.core.typing import FloatArray
from amp.model.loss import LossFunction, LossTerms

__all__ = ["TrainingProblem"]


class TrainingProblem:
    """Value and gradient of an attached loss function, each point evaluated once.

    Parameters
    ----------
    loss : LossFunction
        With data attached.
    start : ndarray
        Parameter vector to begin with.
    after_step : callable, optional
        Called after every evaluation with this object.

    Attributes
    ----------
    best : ndarray
        The vector of lowest loss, or the one that met the criteria of convergence.
    best_terms : LossTerms or None
        Loss and residuals there.
    converged : bool
        Whether the criteria were met.
    """

    def __init__(
        self,
        loss: LossFunction,
        start: FloatArray,
        after_step: Callable[[TrainingProblem], None] | None = None,
    ) -> None:
        self.loss = loss
        self.vector = np.array(start, dtype=float)
        self.after_step = after_step
        self.best = self.vector
        self.best_terms: LossTerms | None = None
        self.converged = False
        self.wants_gradient = True
        self._latest: tuple[FloatArray, float, FloatArray | None] | None = None

    def get_loss(self, parametervector: FloatArray) -> float:
        """Give the loss.

        Raises
        ------
        ConvergenceOccurred, IterationLimitReached
            From the loss function.
        """
        return self._evaluate(parametervector)[1]

    def get_lossprime(self, parametervector: FloatArray) -> FloatArray:
        """Give the gradient of the loss."""
        self.wants_gradient = True
        gradient = self._evaluate(parametervector)[2]
        assert gradient is not None
        return gradient.copy()  # optimizers may write into what they get

    def _evaluate(self, vector: FloatArray) -> tuple[FloatArray, float, FloatArray | None]:
        """Evaluate a point, or recall it: minimizers ask for value and gradient in turn."""
        latest = self._latest
        same = latest is not None and np.array_equal(latest[0], vector)
        if latest is not None and same and (latest[2] is not None or not self.wants_gradient):
            return latest
        point = np.array(vector, dtype=float)
        before = self.loss.latest
        try:
            result = self.loss.get_loss(point, lossprime=self.wants_gradient)
        except ConvergenceOccurred:
            self.converged = True
            raise
        finally:  # also when Ctrl-C comes between the evaluation and its line in the log
            if self.loss.latest is not before:
                self._remember(point)
        self._latest = (point, result["loss"], result["dloss_dparameters"])
        if self.after_step is not None:
            self.after_step(self)
        return self._latest

    def _remember(self, point: FloatArray) -> None:
        """Keep the point if it is the best, or the one that converged."""
        terms = self.loss.latest
        assert terms is not None
        best = self.best_terms
        lower = best is None or np.isnan(best.loss) or terms.loss < best.loss
        if self.converged or lower:
            self.best, self.best_terms = point, terms
