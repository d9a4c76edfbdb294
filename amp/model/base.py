"""The contract of models: fingerprints in, atomic energies and their slopes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from amp.core.fingerprints import Fingerprints
from amp.core.parameters import Parameters
from amp.core.registry import Registry
from amp.core.typing import FloatArray

__all__ = ["Evaluation", "Model", "models"]

models: Registry = Registry("model")


class Evaluation(Protocol):
    """A model evaluated on some fingerprints."""

    atomic_energies: FloatArray  # (n_atoms,) eV
    slopes: FloatArray  # (layout.size,) dE/dG, eV

    def gradient(
        self, energy_bar: FloatArray, slope_bar: FloatArray | None, threads: int = 1
    ) -> FloatArray:
        """Give d/d(vector) of sum(energy_bar * atomic_energies) + sum(slope_bar * slopes)."""


@runtime_checkable
class Model(Protocol):
    """What every model owes the calculator and the trainer."""

    parameters: Parameters  # settings; what training settles is set anew, never in place
    vector: FloatArray  # all parameters that training changes, flat
    device: str | None  # where torch trains it; None for training without torch

    def initialize(self, fingerprints: Fingerprints, energies: FloatArray) -> None:
        """Settle all parameters that were not given, from the training data."""

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take all that training settles from a description of the same model."""

    def evaluate(
        self, fingerprints: Fingerprints, vector: FloatArray | None = None, threads: int = 1
    ) -> Evaluation:
        """Evaluate with the given vector, or the model's own; threads change no bit."""

    def overfit_mask(self) -> FloatArray:
        """Give 1 for the parameters that the overfit term of a loss restrains, 0 for others."""

    def to_dict(self) -> dict[str, Any]:
        """Describe the model as plain data."""
