"""The networks of all elements evaluated on some fingerprints, and differentiated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amp.core.fingerprints import Fingerprints
from amp.core.threads import for_ranges, ranges
from amp.core.typing import FloatArray
from amp.model import _network
from amp.model.activations import activations

__all__ = ["ElementNetwork", "NetworkEvaluation"]

_BLOCK = 1024  # atoms that numpy takes together: few enough that all they need stays in the cache
# Activation functions that compiled loops know, and the numbers by which they do.
_COMPILED = {"linear": 0, "tanh": 1, "sigmoid": 2, "softplus": 3, "silu": 4}
_FEWEST = 1024  # atoms that are worth handing to another thread


@dataclass(slots=True)
class ElementNetwork:
    """The network of one element on all its atoms."""

    atoms: np.ndarray  # (n,) indices over all images
    element: str
    scaling: tuple[FloatArray, FloatArray]  # of the fingerprints: slope, shift
    weights: list[FloatArray]
    activations: list[str]  # layer by layer
    output_scaling: tuple[float, float]  # intercept, slope
    fingerprints: FloatArray  # (n, n_functions)

    def run(self, slopes: FloatArray, threads: int) -> FloatArray:
        """Give atomic energies (n,), and fill dE/dG (n, n_functions)."""
        energies = np.empty(len(self.fingerprints))

        def work(first: int, last: int) -> None:
            self._of_atoms(first, last)._fill(energies[first:last], slopes[first:last])

        for_ranges(work, ranges(len(energies), _FEWEST), threads)
        return energies

    def gradient(
        self, energy_bar: FloatArray, tangent: FloatArray | None, threads: int
    ) -> FloatArray:
        """Give the gradient in the weights, flat, and in intercept and slope, which come last."""
        parts = ranges(len(energy_bar), _FEWEST)
        results = np.zeros((len(parts), sum(w.size for w in self.weights) + 2))

        def work(first: int, last: int) -> None:
            along = None if tangent is None else tangent[first:last]
            self._of_atoms(first, last)._add_gradient(
                energy_bar[first:last], along, results[parts.index((first, last))]
            )

        for_ranges(work, parts, threads)
        return np.asarray(results.sum(axis=0))

    def _of_atoms(self, first: int, last: int) -> ElementNetwork:
        """Take some of the atoms."""
        return replace(
            self, atoms=self.atoms[first:last], fingerprints=self.fingerprints[first:last]
        )

    def _fill(self, energies: FloatArray, slopes: FloatArray) -> None:
        """Fill in atomic energies (n,) and dE/dG (n, n_functions)."""
        if self._is_compiled():
            from amp.model._network_kernels import energies_and_slopes

            energies_and_slopes(*self._arguments(), energies, slopes.reshape(-1))
            return
        intercept, slope = self.output_scaling
        weights = self._folded()
        for block, state in self._blocks():
            energies[block] = intercept + slope * state.output
            np.multiply(slope, _network.input_slopes(state, weights), out=slopes[block])

    def _add_gradient(
        self, energy_bar: FloatArray, tangent: FloatArray | None, result: FloatArray
    ) -> None:
        """Fill in the gradient; the result is zero before."""
        if self._is_compiled():
            from amp.model._network_kernels import gradient

            rows = np.empty(0) if tangent is None else tangent.reshape(-1)
            gradient(*self._arguments(), energy_bar, rows, result)
            return
        slope, weights = self.output_scaling[1], self._folded()
        scale, shift = self.scaling
        for block, state in self._blocks():
            along = None if tangent is None else tangent[block]
            parts, dot = _network.parameter_gradient(
                state, weights, slope * energy_bar[block], along, slope
            )
            # Undo the folding: W' = diag(scale) W and b' = b + shift W.
            first = parts[0]
            first[:-1] = scale[:, None] * first[:-1] + shift[:, None] * first[-1]
            of_scaling = energy_bar[block].sum(), energy_bar[block] @ state.output + dot.sum()
            result += np.concatenate([*(part.ravel() for part in parts), of_scaling])

    def layers(self) -> list[FloatArray]:
        """Give what each layer's nodes put out, (n, n_nodes)."""
        # What enters a layer is what the layer before it gave.
        blocks = ([*state.inputs[1:], state.output[:, None]] for _, state in self._blocks())
        return [np.concatenate(layer) for layer in zip(*blocks, strict=True)]

    def _is_compiled(self) -> bool:
        """Whether there are compiled loops for all activation functions; others are registered."""
        return all(name in _COMPILED for name in self.activations)

    def _arguments(self) -> tuple[Any, ...]:
        """Give what the compiled loops take first."""
        widths = np.array([self.fingerprints.shape[1], *(w.shape[1] for w in self.weights)])
        codes = np.array([_COMPILED[name] for name in self.activations])
        weights = np.concatenate([w.ravel() for w in self.weights])
        return (
            self.fingerprints.reshape(-1), widths, codes, weights,
            (*self.scaling, *self.output_scaling),
        )  # fmt: skip

    def _blocks(self) -> Iterator[tuple[slice, _network.Pass]]:
        """Evaluate with numpy, block by block."""
        weights = self._folded()
        functions = [activations[name] for name in self.activations]
        for first in range(0, len(self.fingerprints), _BLOCK):
            block = slice(first, first + _BLOCK)
            yield block, _network.forward(self.fingerprints[block], weights, functions)

    def _folded(self) -> list[FloatArray]:
        """Give the weights with the fingerprint scaling folded into the first layer."""
        scale, shift = self.scaling
        first = self.weights[0]
        folded = np.empty_like(first)
        folded[:-1] = scale[:, None] * first[:-1]
        folded[-1] = first[-1] + shift @ first[:-1]
        return [folded, *self.weights[1:]]


@dataclass(slots=True)
class NetworkEvaluation:
    """Atomic energies and slopes of some fingerprints, ready to be differentiated."""

    atomic_energies: FloatArray  # (n_atoms,) eV
    slopes: FloatArray  # (layout.size,) dE/dG, eV
    fingerprints: Fingerprints
    parts: list[ElementNetwork]
    sizes: dict[str, int]  # number of weights of every element, also of those that do not occur

    def gradient(
        self, energy_bar: FloatArray, slope_bar: FloatArray | None, threads: int = 1
    ) -> FloatArray:
        """Give d/d(vector) of sum(energy_bar * atomic_energies) + sum(slope_bar * slopes).

        Parameters
        ----------
        energy_bar : ndarray, shape (n_atoms,)
        slope_bar : ndarray, shape (layout.size,), optional
        threads : int, default 1
            Threads over atoms; results do not depend on it.
        """
        layout = self.fingerprints.layout
        weights = {element: np.zeros(size) for element, size in self.sizes.items()}
        scalings = {element: np.zeros(2) for element in self.sizes}
        for s, part in enumerate(self.parts):
            tangent = None if slope_bar is None else layout.matrix(slope_bar, s)
            of_part = part.gradient(energy_bar[part.atoms], tangent, threads)
            weights[part.element], scalings[part.element] = of_part[:-2], of_part[-2:]
        return np.concatenate([*weights.values(), *scalings.values()])
