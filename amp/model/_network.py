"""A feed-forward network on many atoms at once: values, input slopes, and parameter gradients.

With a_0 = x, z_l = a_(l-1) W_l + b_l and a_l = f_l(z_l), the output is a_L.  Weights come as one
array per layer, (inputs + 1, outputs), the last row being the bias b_l.

`_network_kernels` does the same in compiled loops for the activation functions that it knows; this
is for all others, and where the nodes' outputs are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amp.core.typing import FloatArray
from amp.model.activations import Activation

__all__ = ["Pass", "forward", "input_slopes", "parameter_gradient"]


@dataclass(frozen=True, slots=True)
class Pass:
    """What the forward pass leaves for the others, layer by layer."""

    inputs: list[FloatArray]  # a_(l-1), (n_atoms, n_inputs of layer l)
    first: list[FloatArray]  # f'(z_l), (n_atoms, n_outputs of layer l)
    second: list[FloatArray]  # f''(z_l)
    output: FloatArray  # a_L, (n_atoms,)


def forward(x: FloatArray, weights: Sequence[FloatArray], functions: Sequence[Activation]) -> Pass:
    """Evaluate the network for inputs x, shape (n_atoms, n_inputs)."""
    inputs, first, second = [], [], []
    a = x
    for w, function in zip(weights, functions, strict=True):
        inputs.append(a)
        z = a @ w[:-1]
        z += w[-1]
        a, d, d2 = function(z)
        first.append(d)
        second.append(d2)
    return Pass(inputs, first, second, a[:, 0])


def input_slopes(run: Pass, weights: Sequence[FloatArray]) -> FloatArray:
    """Give d output / d x, shape (n_atoms, n_inputs)."""
    slope = run.first[-1]
    for layer in range(len(weights) - 1, 0, -1):
        slope = slope @ _transposed(weights[layer])
        slope *= run.first[layer - 1]
    return slope @ _transposed(weights[0])


def parameter_gradient(
    run: Pass,
    weights: Sequence[FloatArray],
    output_bar: FloatArray,
    tangent: FloatArray | None,
    factor: float,
) -> tuple[list[FloatArray], FloatArray]:
    """Give the gradient of  sum(output_bar output) + factor sum(tangent slopes)  in all weights.

    The second sum is the derivative of the outputs when the inputs move along `tangent`: a
    forward sweep carries that derivative through the layers, and one backward sweep goes through
    both.  A bar marks the derivative of the sums with respect to a quantity, a dot the derivative
    along the tangent.

    Parameters
    ----------
    run : Pass
        The forward pass.
    weights : sequence of ndarray
        The weights it was made with.
    output_bar : ndarray, shape (n_atoms,)
    tangent : ndarray, shape (n_atoms, n_inputs), optional
    factor : float

    Returns
    -------
    gradients : list of ndarray
        One per layer, shaped as the weights.
    output_dot : ndarray, shape (n_atoms,)
        Derivative of the output along the tangent; zeros without one.
    """
    depth = len(weights)
    a_dots, z_dots = _forward_tangent(run, weights, tangent)
    a_bar = output_bar[:, None]
    a_dot_bar = np.full_like(a_bar, factor) if tangent is not None else None
    ones = np.ones(len(a_bar))  # sums over atoms are faster as products
    gradients: list[FloatArray] = [np.empty(0)] * depth
    for layer in range(depth - 1, -1, -1):
        z_bar = a_bar * run.first[layer]
        gradient = np.empty_like(weights[layer])
        if a_dot_bar is not None:
            bend = run.second[layer] * z_dots[layer]
            bend *= a_dot_bar
            z_bar += bend
            z_dot_bar = a_dot_bar * run.first[layer]
            gradient[:-1] = run.inputs[layer].T @ z_bar + a_dots[layer].T @ z_dot_bar
            a_dot_bar = z_dot_bar @ _transposed(weights[layer]) if layer else None
        else:
            gradient[:-1] = run.inputs[layer].T @ z_bar
        gradient[-1] = ones @ z_bar
        gradients[layer] = gradient
        if layer:
            a_bar = z_bar @ _transposed(weights[layer])
    output_dot = a_dots[depth][:, 0] if tangent is not None else np.zeros_like(run.output)
    return gradients, output_dot


def _transposed(weights: FloatArray) -> FloatArray:
    """Give the transpose of the weights without biases, contiguous, which is faster to read."""
    return np.ascontiguousarray(weights[:-1].T)


def _forward_tangent(
    run: Pass, weights: Sequence[FloatArray], tangent: FloatArray | None
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Carry a tangent of the inputs through the layers: derivatives of all a_l and z_l."""
    if tangent is None:
        return [], []
    a_dots, z_dots = [tangent], []
    for layer, w in enumerate(weights):
        z_dots.append(a_dots[-1] @ w[:-1])
        a_dots.append(run.first[layer] * z_dots[-1])
    return a_dots, z_dots
