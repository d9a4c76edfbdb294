"""The compiled loops against the same loops run by Python, where errors have readable traces."""

import numpy as np
import pytest
from ase import Atoms
from descriptor.from_python import open_parts
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.neighbors import neighbor_pairs
from amp.descriptor import _derivative_kernels, _kernels
from amp.descriptor._plan import make_plan
from amp.descriptor.cutoffs import Cosine, Tanh3
from amp.descriptor.gaussian import Gaussian
from amp.descriptor.symmetry_functions import check_symmetry_functions, make_symmetry_functions

ELEMENTS = ("H", "O")


@pytest.fixture
def interpreted(monkeypatch):
    """Let Python run the loops, which call compiled parts."""
    open_parts(monkeypatch, _kernels, _derivative_kernels)


@pytest.fixture(scope="module")
def problem():
    """A skewed cell with three atoms, and functions of every kind: what the kernels take."""
    Gs = check_symmetry_functions(
        [
            *make_symmetry_functions(ELEMENTS, "G2", [1.0], offsets=[0.0, 1.0]),
            *make_symmetry_functions(ELEMENTS, "G4", [0.1], zetas=[1, 2.5], gammas=[1, -1]),
            *make_symmetry_functions(ELEMENTS, "G5", [0.1], offsets=[0.5], zetas=[3], gammas=[1]),
            {"type": "G5", "elements": ["O", "O"], "eta": 0.1, "zeta": 1, "gamma": 1,
             "cutoff": Tanh3(2.5)},
        ],
        ELEMENTS,
    )  # fmt: skip
    plan = make_plan(Gs, ELEMENTS, Cosine(4.0))
    atoms = Atoms("OHO", positions=[[0, 0, 0], [1.1, 0.2, 0.1], [0.3, 1.6, 1.4]], pbc=True)
    atoms.set_cell([[3.0, 0, 0], [0.4, 3.2, 0], [0.1, -0.3, 3.4]])
    species = np.array([1, 0, 1])
    pairs = neighbor_pairs(atoms, plan.cutoff)
    starts = np.arange(4) * plan.lengths[0]
    return plan, species, pairs, starts


def fingerprints(kernel, problem):
    plan, species, pairs, starts = problem
    out = np.full(starts[-1], np.nan)
    kernel(
        0, 3, plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances,
        starts[:-1], out, np.empty(0),
    )  # fmt: skip
    return out


def test_values_are_the_same_interpreted(problem, interpreted):
    compiled = fingerprints(_kernels.values, problem)
    assert np.isfinite(compiled).all()
    assert (np.abs(compiled) > 1e-6).mean() > 0.9
    assert_allclose(fingerprints(_kernels.values.py_func, problem), compiled, rtol=1e-12)


def contraction(kernel, problem, slopes):
    plan, species, pairs, starts = problem
    gradient, strain = np.zeros((3, 3)), np.zeros((3, 3))
    kernel(
        0, 3, plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances,
        starts[:-1], slopes, gradient, strain, np.empty(0),
    )  # fmt: skip
    return gradient, strain


def test_contraction_is_the_same_interpreted(problem, interpreted):
    slopes = np.random.default_rng(0).standard_normal(problem[3][-1])
    for compiled, interpreted in zip(
        contraction(_kernels.contract, problem, slopes),
        contraction(_kernels.contract.py_func, problem, slopes),
        strict=True,
    ):
        assert np.any(compiled)
        assert_allclose(interpreted, compiled, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "kernel", [_derivative_kernels.tangents, _derivative_kernels.tangents.py_func]
)
def test_tangents_are_the_transpose_of_the_contraction(kernel, problem, interpreted):
    plan, species, pairs, starts = problem
    rng = np.random.default_rng(1)
    slopes, velocities = rng.standard_normal(starts[-1]), rng.standard_normal((3, 3))
    rates, turns = rng.standard_normal((2, 3, 3))
    arguments = (plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances)
    gradient, strain = contraction(_kernels.contract, problem, slopes)
    for v, e in ((velocities, 0.0 * rates), (0.0 * velocities, rates), (velocities, turns)):
        out = np.full(starts[-1], np.nan)
        kernel(*arguments, v, e, starts[:-1], out)
        expected = np.sum(gradient * v) + np.sum(strain * e)
        assert_allclose(slopes @ out, expected, rtol=1e-11)


def test_derivatives_are_the_same_interpreted(problem, interpreted):
    plan, species, pairs, starts = problem
    _, atoms, block_of_pair = _derivative_kernels.pair_blocks(pairs.starts, pairs.second)
    widest = 3 * plan.lengths.max()
    results = []
    for kernel in (_derivative_kernels.derivatives, _derivative_kernels.derivatives.py_func):
        out, strain = np.empty(starts[-1]), np.empty(6 * starts[-1])
        blocks = np.zeros(len(atoms) * widest)
        kernel(
            plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances,
            starts[:-1], out, block_of_pair, np.arange(len(atoms) + 1) * widest, blocks, strain,
        )  # fmt: skip
        results.append((out, blocks, strain))
    for compiled, interpreted in zip(*results, strict=True):
        assert np.any(compiled)
        assert_allclose(interpreted, compiled, rtol=1e-11, atol=1e-12)
    assert_allclose(results[0][0], fingerprints(_kernels.values, problem), rtol=1e-14)


@pytest.mark.parametrize(
    "kernel", [_derivative_kernels.pair_blocks, _derivative_kernels.pair_blocks.py_func]
)
def test_every_other_atom_in_reach_has_one_block_and_own_images_none(kernel, interpreted):
    starts, second = np.array([0, 4, 6, 6]), np.array([1, 0, 2, 1, 0, 0])
    center_blocks, atoms, block_of_pair = kernel(starts, second)
    assert_array_equal(center_blocks, [0, 2, 3, 3])
    assert_array_equal(atoms, [1, 2, 0])
    assert_array_equal(block_of_pair, [0, -1, 1, 0, 2, 2])


def test_results_do_not_depend_on_threads():
    rng = np.random.default_rng(2)
    atoms = Atoms("HO" * 200, positions=12.0 * rng.random((400, 3)), cell=[12.0] * 3, pbc=True)
    descriptor = Gaussian(cutoff=4.0, elements=ELEMENTS)
    descriptor.prepare(ELEMENTS)
    pairs = neighbor_pairs(atoms, 4.0)
    one, three = (descriptor.fingerprint(pairs, atoms.numbers, threads) for threads in (1, 3))
    assert_array_equal(one.values, three.values)
    slopes = rng.standard_normal(len(one.values))
    alone = descriptor.contract(pairs, one, slopes)
    shared = descriptor.contract(pairs, one, slopes, threads=3)
    assert_array_equal(alone.positions, shared.positions)
    assert_array_equal(alone.strain, shared.strain)
    # Summed as a whole, it is the same but for rounding.
    whole = np.zeros((400, 3)), np.zeros((3, 3))
    plan, species, starts = descriptor._ready().plan, one.layout.species, one.layout.starts
    _kernels.contract(
        0, 400, plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances,
        starts, slopes, *whole, np.empty(0),
    )  # fmt: skip
    scale = np.abs(alone.positions).max()
    assert_allclose(alone.positions, whole[0], atol=1e-13 * scale)
    assert_allclose(alone.strain, whole[1], atol=1e-12 * np.abs(whole[1]).max())


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("values", "float64"), ("values", "float32"), ("contract", "float64"),
     ("contract", "float32"), ("tangents", "float64"), ("derivatives", "float64")],
)  # fmt: skip
def test_nothing_is_read_that_was_not_written(name, dtype, problem, monkeypatch, interpreted):
    """Work arrays begin with whatever was in memory: here with what spoils all that it touches."""
    module = _kernels if name in ("values", "contract") else _derivative_kernels
    kernel = getattr(module, name).py_func
    make_work = kernel.__globals__["make_work"]

    def make_spoiled_work(*arguments):
        work = make_work(*arguments)
        for array in (work.rows, work.vectors, work.parts, work.sums):
            array[:] = np.nan
        return work

    monkeypatch.setitem(kernel.__globals__, "make_work", make_spoiled_work)
    plan, species, pairs, starts = problem
    arguments = (plan, species, pairs.starts, pairs.second, pairs.vectors, pairs.distances)
    numbers = np.random.default_rng(3).standard_normal((3, 3))
    out, strain = np.empty(starts[-1]), np.zeros((3, 3))
    if name == "values":
        kernel(0, 3, *arguments, starts[:-1], out, np.empty(0, dtype))
    elif name == "contract":
        out = np.zeros((3, 3))
        like = np.empty(0, dtype)
        kernel(0, 3, *arguments, starts[:-1], np.ones(starts[-1]), out, strain, like)
    elif name == "tangents":
        kernel(*arguments, numbers, numbers, starts[:-1], out)
    else:
        _, atoms, block_of_pair = _derivative_kernels.pair_blocks(pairs.starts, pairs.second)
        block_starts = np.arange(len(atoms) + 1) * 3 * plan.lengths.max()
        blocks, strain = np.zeros(block_starts[-1]), np.empty(6 * starts[-1])
        kernel(*arguments, starts[:-1], out, block_of_pair, block_starts, blocks, strain)
        assert np.isfinite(blocks).all()
    assert np.isfinite(out).all()
    assert np.isfinite(strain).all()
