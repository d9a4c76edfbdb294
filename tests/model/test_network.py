"""Feed-forward networks: values, input slopes and parameter gradients, against differences."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from amp.model._network import forward, input_slopes, parameter_gradient
from amp.model.activations import activations

SHAPES = [(3,), (3, 4), (2, 5, 3)]  # inputs, then hidden layers


def network(widths, activation, last="linear", seed=0):
    """Draw weights and list the functions of a network with one output."""
    rng = np.random.default_rng(seed)
    widths = [*widths, 1]
    weights = [rng.normal(size=(n_in + 1, n_out)) * 0.6 for n_in, n_out in pairwise(widths)]
    return weights, [activations[activation]] * (len(weights) - 1) + [activations[last]]


def inputs(widths, n_atoms=4):
    return np.random.default_rng(1).normal(size=(n_atoms, widths[0]))


def five_point(function, x, step=1e-3):
    """Gradient of a function of an array, by differences of fourth order."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        near = function(x + shift) - function(x - shift)
        far = function(x + 2.0 * shift) - function(x - 2.0 * shift)
        gradient[place] = (8.0 * near - far) / (12.0 * step)
    return gradient


@pytest.mark.parametrize("widths", SHAPES)
def test_forward_is_the_formula_atom_by_atom(widths):
    weights, functions = network(widths, "tanh")
    x = inputs(widths)
    expected = []
    for row in x:
        a = list(row)
        for layer, w in enumerate(weights):
            z = [sum(a[i] * w[i, j] for i in range(len(a))) + w[-1, j] for j in range(w.shape[1])]
            a = z if layer == len(weights) - 1 else [math.tanh(value) for value in z]
        expected.append(a[0])
    assert_allclose(forward(x, weights, functions).output, expected, rtol=1e-13)


@pytest.mark.parametrize("last", ["linear", "activation"])
@pytest.mark.parametrize("activation", activations)
@pytest.mark.parametrize("widths", SHAPES)
def test_input_slopes_agree_with_differences(widths, activation, last):
    last = activation if last == "activation" else last
    weights, functions = network(widths, activation, last)
    x = inputs(widths)
    numerical = five_point(lambda y: forward(y, weights, functions).output.sum(), x)
    slopes = input_slopes(forward(x, weights, functions), weights)
    assert_allclose(slopes, numerical, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("with_tangent", [False, True])
@pytest.mark.parametrize("last", ["linear", "activation"])
@pytest.mark.parametrize("activation", activations)
@pytest.mark.parametrize("widths", SHAPES)
def test_parameter_gradients_agree_with_differences(widths, activation, last, with_tangent):
    last = activation if last == "activation" else last
    weights, functions = network(widths, activation, last)
    x = inputs(widths)
    rng = np.random.default_rng(2)
    output_bar = rng.normal(size=len(x))
    tangent = rng.normal(size=x.shape) if with_tangent else None
    factor = 0.7

    def total(weights):
        run = forward(x, weights, functions)
        value = output_bar @ run.output
        if tangent is not None:
            value += factor * np.sum(tangent * input_slopes(run, weights))
        return value

    run = forward(x, weights, functions)
    gradients, dot = parameter_gradient(run, weights, output_bar, tangent, factor)
    for layer, gradient in enumerate(gradients):

        def of_layer(w, layer=layer):
            return total([*weights[:layer], w, *weights[layer + 1 :]])

        numerical = five_point(of_layer, weights[layer])
        assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)
    along = np.zeros(len(x)) if tangent is None else (tangent * input_slopes(run, weights)).sum(1)
    assert_allclose(dot, along, rtol=1e-12, atol=1e-14)


def test_the_passes_change_neither_inputs_nor_weights():
    weights, functions = network((3, 4), "tanh")
    x, bar = inputs((3, 4)), np.ones(4)
    before = [x.copy(), bar.copy(), *(w.copy() for w in weights)]
    run = forward(x, weights, functions)
    input_slopes(run, weights)
    parameter_gradient(run, weights, bar, x, 1.0)
    for now, then in zip([x, bar, *weights], before, strict=True):
        assert_array_equal(now, then)


def test_a_network_of_no_atoms_gives_gradients_of_zero():
    weights, functions = network((3, 4), "tanh")
    x = np.empty((0, 3))
    run = forward(x, weights, functions)
    gradients, dot = parameter_gradient(run, weights, np.empty(0), x, 1.0)
    assert run.output.shape == dot.shape == (0,)
    for gradient, w in zip(gradients, weights, strict=True):
        assert_array_equal(gradient, np.zeros_like(w))
