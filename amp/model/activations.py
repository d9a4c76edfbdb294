"""Activation functions with the two derivatives that training on forces needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from amp.core.registry import Registry
from amp.core.typing import FloatArray

__all__ = ["Activation", "activations"]

# z -> f(z), f'(z), f''(z)
Activation = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]

activations: Registry = Registry("activation function")


@activations.register("tanh")
def tanh(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hyperbolic tangent."""
    a = np.tanh(z)
    d = 1.0 - a * a
    return a, d, -2.0 * a * d


@activations.register("sigmoid")
def sigmoid(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logistic function, 1 / (1 + exp(-z))."""
    a = 0.5 * (1.0 + np.tanh(0.5 * z))  # does not overflow
    d = a * (1.0 - a)
    return a, d, d * (1.0 - 2.0 * a)


@activations.register("linear")
def linear(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Identity."""
    return z, np.ones_like(z), np.zeros_like(z)


@activations.register("softplus")
def softplus(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Smooth rectifier, ln(1 + exp(z))."""
    d, d2, _ = sigmoid(z)
    return np.logaddexp(0.0, z), d, d2


@activations.register("silu")
def silu(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sigmoid-weighted linear unit, z sigmoid(z), also called swish."""
    s, ds, d2s = sigmoid(z)
    return z * s, s + z * ds, 2.0 * ds + z * d2s
