"""Triplets in single precision: against double precision, and next to the cutoff."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from descriptor.from_python import FromPython
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.neighbors import neighbor_pairs
from amp.descriptor import _row_kernels
from amp.descriptor._work import (
    ANGLES,
    BATCH,
    COSINE,
    FC,
    INVERSE_SIDE,
    LX,
    SIDE,
    SQUARES,
    STRIDE,
)
from amp.descriptor.cutoffs import Cosine, Polynomial, Quintic, Smoothstep, Tanh3
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.testing import forces_by_differences, random_potential

RC = 5.0
kernels = FromPython(_row_kernels)
CUTOFFS = [Cosine(RC), Polynomial(RC), Polynomial(RC, 2.5), Polynomial(RC, 12), Quintic(RC),
           Tanh3(RC), Smoothstep(RC, 2), Smoothstep(RC, 4)]  # fmt: skip


def rows(dtype, offset, numbers):
    """Make the work array of a batch with one of its rows filled, and the table of its rows."""
    parts = np.full(ANGLES + 8 * STRIDE, np.nan, dtype)
    parts[offset : offset + len(numbers)] = numbers
    return parts, parts.reshape(-1, STRIDE)


@njit
def compiled_exponential(x):
    return _row_kernels.exponential(x)


def test_exponential_keeps_the_precision_of_its_argument():
    for x in (0.0, -1e-30, -1e-5, *-np.linspace(0.01, 80, 4001)):
        single = np.float32(x)
        result = compiled_exponential(single)
        assert result == np.float32(result)
        assert result == pytest.approx(math.exp(single), rel=2e-7)
    assert 0 <= compiled_exponential(np.float32(-1e30)) < 1e-37


@pytest.mark.parametrize("function", CUTOFFS, ids=repr)
def test_cutoff_functions_agree_with_double_precision_up_to_the_cutoff_itself(function):
    near = RC - np.float32(5e-7) * np.arange(40)  # the last single numbers below it
    r = np.concatenate([np.linspace(0.3, RC, 200), near, [5.1, 7.0, 100.0]]).astype(np.float32)
    found = {}
    for dtype in (np.float32, np.float64):
        parts, _ = rows(dtype, SIDE, r)
        parts[INVERSE_SIDE : INVERSE_SIDE + len(r)] = 1 / r.astype(dtype)
        kernels.cutoff(np.array([[RC, function.code, function.gamma]]), 0, parts, len(r), True)
        fc, logs = parts[FC : FC + len(r)], parts[LX : LX + len(r)]
        assert np.isfinite(logs).all()
        assert_array_equal(fc[r >= RC], 0.0)
        found[dtype] = fc, fc * logs * r
    for single, double in zip(found[np.float32], found[np.float64], strict=True):
        assert_allclose(single, double, atol=3e-6)


@pytest.mark.parametrize("zeta", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 8.0, 16.0, 65.0, 300.0, 300.5])
@pytest.mark.parametrize("gamma", [1.0, -1.0, -0.7])
def test_angular_terms_agree_with_double_precision(zeta, gamma):
    cosine = np.array([-1.0 - 1e-7, -0.99, -0.5, 0.0, 0.3, 0.95, 1.0])
    terms = np.array([[gamma, zeta, 2.0 ** (1.0 - zeta)]])
    out, found = ANGLES // STRIDE, []
    for dtype in (np.float32, np.float64):
        parts, table = rows(dtype, COSINE, cosine)
        kernels.angular_terms(terms, 0, parts, table, len(cosine), out, out + 1, True)
        found.append(table[out : out + 2, : len(cosine)])
    assert_allclose(found[0][0], found[1][0], atol=3e-7 * zeta)
    assert_allclose(found[0][1], found[1][1], atol=3e-7 * zeta**2)


def test_lengths_are_exact_to_single_precision():
    squares = np.append(np.geomspace(1e-6, 1e4, BATCH - 1), -1e-9).astype(np.float32)
    parts, _ = rows(np.float32, SQUARES, squares)
    kernels.lengths(parts, BATCH)
    roots = np.sqrt(np.maximum(squares.astype(float), 1e-24))
    assert_allclose(parts[SIDE : SIDE + BATCH], roots, rtol=4e-7)
    assert_allclose(parts[INVERSE_SIDE : INVERSE_SIDE + BATCH], 1 / roots, rtol=4e-7)


def functions(elements):
    """Make functions of all kinds: sharp and flat, with and without an offset."""
    return [
        *make_symmetry_functions(elements, "G2", [0.05, 4.0, 80.0], offsets=[0.0, 2.0]),
        *make_symmetry_functions(
            elements, "G4", [0.005, 4.0], zetas=[1.0, 2.5, 64.0], gammas=[1.0, -1.0]
        ),
        *make_symmetry_functions(
            elements, "G4", [0.5, 80.0], zetas=[4.0], gammas=[1.0], offsets=[2.0]
        ),
        *make_symmetry_functions(
            elements, "G5", [0.05], zetas=[1.0, 3.0, 16.0], gammas=[1.0, -1.0]
        ),
        *make_symmetry_functions(elements, "G5", [80.0], zetas=[2.0], gammas=[-1.0], offsets=[1.5]),
    ]


def shaken(atoms, size=0.1):
    atoms.positions += np.random.default_rng(0).normal(0, size, atoms.positions.shape)
    return atoms


STRUCTURES = {
    "molecule": shaken(molecule("CH3CH2OH")),
    "cell smaller than the cutoff": shaken(bulk("NaCl", "rocksalt", a=4.2, cubic=False)),
    "one atom": bulk("Cu", a=3.6),
    "straight angles, rounded": Atoms("Cu3", [[0.1, 0.2, 0.3], [1.2, 1.3, 1.4], [2.3, 2.4, 2.5]]),
    "just within reach": Atoms(
        "Cu4", [[0, 0, 0], [np.nextafter(RC, 0), 0, 0], [0, RC - 1e-7, 1e-4], [0, 0, RC - 1e-5]]
    ),
}


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=repr)
@pytest.mark.parametrize("name", STRUCTURES)
def test_fingerprints_and_gradients_agree_with_double_precision(name, cutoff):
    atoms = STRUCTURES[name]
    elements = sorted(set(atoms.symbols))
    descriptor = Gaussian(cutoff, Gs=functions(elements), elements=elements)
    pairs = neighbor_pairs(atoms, RC)
    exact = descriptor.fingerprint(pairs, atoms.numbers)
    rounded = descriptor.fingerprint(pairs, atoms.numbers, dtype="float32")
    assert rounded.values.dtype == np.float64
    assert not np.array_equal(rounded.values, exact.values)
    assert_allclose(rounded.values, exact.values, atol=2e-6 * max(1.0, abs(exact.values).max()))
    slopes = np.random.default_rng(1).standard_normal(len(exact.values))
    gradient = descriptor.contract(pairs, exact, slopes)
    single = descriptor.contract(pairs, exact, slopes, dtype="float32")
    assert single.positions.dtype == single.strain.dtype == np.float64
    scale = max(1.0, abs(gradient.strain).max(), abs(gradient.positions).max())
    assert_allclose(single.positions, gradient.positions, atol=1e-5 * scale)
    assert_allclose(single.strain, gradient.strain, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["molecule", "cell smaller than the cutoff"])
def test_forces_match_differences_of_the_energy_in_double_precision(name):
    """Of fingerprints that vary by as much as they are large, as those of trained potentials do."""
    atoms = STRUCTURES[name].copy()
    larger = atoms.copy()
    larger.set_cell(1.2 * atoms.cell)
    larger.positions *= 1.2
    elements = sorted(set(atoms.symbols))
    Gs = [
        *make_symmetry_functions(elements, "G2", [0.05, 4.0], offsets=[0.0, 1.0]),
        *make_symmetry_functions(elements, "G4", [0.005], zetas=[1.0, 4.0], gammas=[1.0, -1.0]),
        *make_symmetry_functions(elements, "G5", [0.05], zetas=[2.0], gammas=[1.0, -1.0]),
    ]
    calc = random_potential(Gaussian(Cosine(RC), Gs=Gs), [atoms, larger, shaken(atoms.copy())])
    expected = forces_by_differences(atoms, calc)
    calc.dtype = "float32"
    atoms.calc = calc
    assert_allclose(atoms.get_forces(), expected, atol=1e-5 * max(1.0, abs(expected).max()))


def test_threads_leave_results_in_single_precision_unchanged():
    atoms = shaken(bulk("Cu", a=3.6, cubic=True) * (4, 4, 4))
    descriptor = Gaussian(4.0, Gs=functions(["Cu"]), elements=["Cu"])
    pairs = neighbor_pairs(atoms, 4.0)
    one, three = (descriptor.fingerprint(pairs, atoms.numbers, n, "float32") for n in (1, 3))
    assert_array_equal(one.values, three.values)
    alone = descriptor.contract(pairs, one, one.values, 1, "float32")
    shared = descriptor.contract(pairs, one, one.values, 3, "float32")
    assert_array_equal(alone.positions, shared.positions)
