"""Activation functions and their two derivatives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import UnknownNameError
from amp.model.activations import activations

Z = np.linspace(-6.0, 6.0, 241)


def five_point(function, z, step):
    """Derivative of fourth order in the step."""
    near = function(z + step) - function(z - step)
    far = function(z + 2.0 * step) - function(z - 2.0 * step)
    return (8.0 * near - far) / (12.0 * step)


@pytest.mark.parametrize("name", activations)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_agree_with_differences(name, order):
    function = activations[name]
    numerical = five_point(lambda z: function(z)[order - 1], Z, 1e-3)
    assert_allclose(function(Z)[order], numerical, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tanh", np.tanh(0.7)),
        ("sigmoid", 1.0 / (1.0 + np.exp(-0.7))),
        ("linear", 0.7),
        ("softplus", np.log(1.0 + np.exp(0.7))),
        ("silu", 0.7 / (1.0 + np.exp(-0.7))),
    ],
)
def test_functions_are_what_their_names_say(name, value):
    assert_allclose(activations[name](np.array([0.7]))[0], [value], rtol=1e-15)


def test_these_functions_are_known():
    assert set(activations) == {"tanh", "sigmoid", "linear", "softplus", "silu"}


@pytest.mark.parametrize("name", activations)
def test_large_arguments_neither_overflow_nor_give_nan(name):
    for part in activations[name](np.array([-1e4, -750.0, 750.0, 1e4])):  # warnings are errors
        assert np.isfinite(part).all()


@pytest.mark.parametrize("name", activations)
def test_shapes_are_kept(name):
    z = np.arange(6.0).reshape(2, 3)
    for part in activations[name](z):
        assert part.shape == (2, 3)


@pytest.mark.parametrize("name", activations)
def test_arguments_are_not_changed(name):
    z = np.array([-1.0, 2.0])
    activations[name](z)
    assert_array_equal(z, [-1.0, 2.0])


def test_an_unknown_name_is_told_with_the_nearest_known_one():
    with pytest.raises(UnknownNameError, match=r"called 'tahn'.*Did you mean 'tanh'"):
        activations["tahn"]
