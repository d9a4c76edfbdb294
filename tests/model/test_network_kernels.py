"""Compiled networks against the formulas that `_network` writes with numpy."""

from itertools import pairwise

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.fingerprints import Fingerprints, flat_layout
from amp.model import _evaluation
from amp.model._network_kernels import _tanh
from amp.model.neuralnetwork import NeuralNetwork

# Less than a register, just one, and some; the kernels take 8 or 16 atoms and 8 nodes at a time.
WIDTHS = [(3, 1), (3, 4), (2, 5, 3), (7, 8, 16), (15, 12), (36, 20, 20)]
COUNTS = [1, 8, 17, 100]


def potential(widths, activation="tanh", output="linear", seed=0):
    """Draw a network of one element, with uneven ranges of its inputs."""
    rng = np.random.default_rng(seed)
    layers = enumerate(pairwise([*widths, 1]), 1)
    weights = {layer: rng.normal(size=(n + 1, n_out)) * 0.6 for layer, (n, n_out) in layers}
    low = rng.normal(size=widths[0])
    return NeuralNetwork(
        widths[1:],
        activation,
        {"X": weights},
        {"X": {"intercept": 0.3, "slope": 1.7}},
        {"X": list(zip(low, low + rng.uniform(0.5, 2.0, widths[0]), strict=True))},
        output=output,
    )


def atoms(n_atoms, n_functions):
    layout = flat_layout(
        ("X",), np.array([n_functions]), np.zeros(n_atoms, dtype=int), np.array([0, n_atoms])
    )
    return Fingerprints(layout, np.random.default_rng(1).normal(size=layout.size))


def results(model, fingerprints, with_tangent=True):
    """Give energies, slopes and the gradient of some sum of both."""
    rng = np.random.default_rng(2)
    evaluation = model.evaluate(fingerprints)
    energy_bar = rng.normal(size=fingerprints.layout.n_atoms)
    slope_bar = rng.normal(size=fingerprints.layout.size) if with_tangent else None
    gradient = evaluation.gradient(energy_bar, slope_bar)
    return evaluation.atomic_energies, evaluation.slopes, gradient


def by_numpy(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(_evaluation, "_COMPILED", {})
        return results(*arguments)


@pytest.mark.parametrize("n_atoms", COUNTS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_compiled_networks_agree_with_numpy_for_any_shape(monkeypatch, widths, n_atoms):
    model, fingerprints = potential(widths), atoms(n_atoms, widths[0])
    expected = by_numpy(monkeypatch, model, fingerprints)
    for found, value in zip(results(model, fingerprints), expected, strict=True):
        assert_allclose(found, value, rtol=1e-12, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("with_tangent", [False, True])
@pytest.mark.parametrize("output", ["linear", "activation"])
@pytest.mark.parametrize("activation", _evaluation._COMPILED)
def test_compiled_networks_agree_with_numpy_for_any_function(
    monkeypatch, activation, output, with_tangent
):
    model, fingerprints = potential((2, 5, 3), activation, output), atoms(9, 2)
    expected = by_numpy(monkeypatch, model, fingerprints, with_tangent)
    for found, value in zip(results(model, fingerprints, with_tangent), expected, strict=True):
        assert_allclose(found, value, rtol=1e-12, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("compiled", [True, False])
def test_threads_change_no_bit(monkeypatch, compiled):
    model, fingerprints = potential((3, 4)), atoms(5000, 3)
    rng = np.random.default_rng(0)
    bars = rng.normal(size=5000), rng.normal(size=fingerprints.layout.size)
    if not compiled:
        monkeypatch.setattr(_evaluation, "_COMPILED", {})
    alone, shared = (model.evaluate(fingerprints, threads=threads) for threads in (1, 3))
    assert_array_equal(alone.atomic_energies, shared.atomic_energies)
    assert_array_equal(alone.slopes, shared.slopes)
    assert_array_equal(alone.gradient(*bars, threads=1), shared.gradient(*bars, threads=3))
    # Cut into ranges, it is the same as a whole but for rounding.
    monkeypatch.setattr(_evaluation, "_FEWEST", 5000)
    whole = model.evaluate(fingerprints)
    assert_array_equal(whole.slopes, shared.slopes)
    gradient = whole.gradient(*bars)
    scale = np.abs(gradient).max()
    assert_allclose(gradient, shared.gradient(*bars, threads=3), atol=1e-13 * scale)


def test_a_network_of_no_atoms_has_a_gradient_of_zero():
    model, fingerprints = potential((3, 4)), atoms(0, 3)
    energies, slopes, gradient = results(model, fingerprints)
    assert energies.size == slopes.size == 0
    assert_array_equal(gradient, np.zeros_like(model.vector))


def test_atoms_do_not_depend_on_their_neighbors_in_the_registers():
    model = potential((3, 4))
    many = atoms(21, 3)
    energies, slopes, _ = results(model, many)
    for atom in (0, 7, 8, 15, 16, 20):
        layout = flat_layout(("X",), np.array([3]), np.zeros(1, dtype=int), np.array([0, 1]))
        one = model.evaluate(Fingerprints(layout, many.of_atom(atom).copy()))
        assert_array_equal(one.atomic_energies, energies[atom : atom + 1])
        assert_array_equal(one.slopes, slopes[3 * atom : 3 * atom + 3])


def test_a_nan_among_the_inputs_of_an_atom_stays_with_it():
    model, fingerprints = potential((3, 4)), atoms(20, 3)
    fingerprints.values[3 * 9] = np.nan
    evaluation = model.evaluate(fingerprints)
    assert_array_equal(np.flatnonzero(np.isnan(evaluation.atomic_energies)), [9])


def test_nan_among_the_weights_is_told_in_the_gradient():
    model, fingerprints = potential((3, 4)), atoms(20, 3)
    vector = model.vector
    vector[0] = np.nan
    evaluation = model.evaluate(fingerprints, vector)
    assert np.isnan(evaluation.atomic_energies).all()
    assert np.isnan(evaluation.gradient(np.ones(20), np.ones(60))[0])


@njit
def tanh(values):
    return np.array([_tanh(value) for value in values])


def test_tanh_is_right_to_the_last_digits():
    z = np.concatenate([np.linspace(-25, 25, 2001), np.logspace(-300, 0, 301), [0.0, 1e308]])
    found = tanh(z)
    assert_allclose(found, np.tanh(z), rtol=6e-16, atol=0.0)
    assert np.isnan(tanh(np.array([np.nan])))
    assert_array_equal(tanh(np.array([-np.inf, np.inf])), [-1.0, 1.0])
