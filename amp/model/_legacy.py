"""Energies and forces from the nested lists and dictionaries of Amp 1.0.1's scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from amp.core.fingerprints import Fingerprints, flat_layout
from amp.core.typing import FloatArray

if TYPE_CHECKING:
    from amp.model._evaluation import NetworkEvaluation
    from amp.model.neuralnetwork import NeuralNetwork

__all__ = ["energy", "forces"]


def energy(model: NeuralNetwork, fingerprints: Sequence[tuple[str, FloatArray]]) -> float:
    """Sum the atomic energies of an image."""
    return float(_evaluate(model, fingerprints).atomic_energies.sum())


def forces(
    model: NeuralNetwork,
    fingerprints: Sequence[tuple[str, FloatArray]],
    primes: Mapping[tuple[int, str, int, str, int], FloatArray],
) -> FloatArray:
    """Contract dE/dG with dG/dr; key (m, symbol, n, symbol, direction): n's change when m moves."""
    evaluation = _evaluate(model, fingerprints)
    layout = evaluation.fingerprints.layout
    result = np.zeros((layout.n_atoms, 3))
    for (moved, _, center, _, direction), prime in primes.items():
        result[moved, direction] -= layout.row(evaluation.slopes, center) @ np.asarray(prime)
    return result


def _evaluate(
    model: NeuralNetwork, fingerprints: Sequence[tuple[str, FloatArray]]
) -> NetworkEvaluation:
    """Evaluate the model on one image."""
    elements = model.elements
    species = np.array([elements.index(symbol) for symbol, _ in fingerprints], dtype=np.int64)
    lengths = np.array([len(model.parameters.fprange[e]) for e in elements], dtype=np.int64)
    layout = flat_layout(elements, lengths, species, np.array([0, len(species)]))
    values = np.empty(layout.size)
    for atom, (_, vector) in enumerate(fingerprints):
        layout.row(values, atom)[:] = vector
    return model.evaluate(Fingerprints(layout, values))
