"""The arithmetic on rows against the formulas, compiled and interpreted."""

import math
from fractions import Fraction

import numpy as np
import pytest
from descriptor.from_python import FromPython
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

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
    WEIGHT,
)
from amp.descriptor.cutoffs import Cosine, Polynomial, Quintic, Smoothstep, Tanh3

RC = 5.0
kernels = FromPython(_row_kernels)


def exact_cutoff(function, r):
    """Each cutoff function as its definition says, and its derivative."""
    x = min(r / RC, 1.0)
    if isinstance(function, Cosine):
        return 0.5 * (math.cos(math.pi * x) + 1), -0.5 * math.pi / RC * math.sin(math.pi * x)
    if isinstance(function, Polynomial):
        g = function.gamma
        return 1 + g * x ** (g + 1) - (g + 1) * x**g, g * (g + 1) * (x**g - x ** (g - 1)) / RC
    if isinstance(function, Quintic):
        return 1 - 10 * x**3 + 15 * x**4 - 6 * x**5, -30 * (x * (1 - x)) ** 2 / RC
    if isinstance(function, Smoothstep):
        return exact_smoothstep(function.order, x)
    t = math.tanh(1 - x)
    return t**3, -3 * t**2 * (1 - t**2) / RC


# Powers of x and their coefficients, multiplied out.
SMOOTHSTEPS = {
    1: {0: 1, 2: -3, 3: 2},
    2: {0: 1, 3: -10, 4: 15, 5: -6},
    3: {0: 1, 4: -35, 5: 84, 6: -70, 7: 20},
    4: {0: 1, 5: -126, 6: 420, 7: -540, 8: 315, 9: -70},
}


def exact_smoothstep(order, x):
    """Add up the powers in rational numbers: in floating point little is left near the cutoff."""
    x = Fraction(x)
    terms = SMOOTHSTEPS[order].items()
    slope = sum(k * c * x ** (k - 1) for k, c in terms if k)
    return float(sum(c * x**k for k, c in terms)), float(slope / Fraction(RC))


def rows(**given):
    """Make the work array of a batch with some of its rows filled, and the table of its rows."""
    parts = np.full(ANGLES + 8 * STRIDE, np.nan)
    for name, numbers in given.items():
        offset = {"cosine": COSINE, "side": SIDE, "squares": SQUARES, "weight": WEIGHT}[name]
        parts[offset : offset + len(numbers)] = numbers
    return parts, parts.reshape(-1, STRIDE)


@njit
def compiled_exponential(x):
    return _row_kernels.exponential(x)


def test_exponential_is_exact_to_the_last_digits():
    assert compiled_exponential(0.0) == 1.0
    for x in (-1e-300, -1e-9, *-np.linspace(0.01, 60, 4001), -300.0, -690.0):
        assert compiled_exponential(x) == pytest.approx(math.exp(x), rel=4e-16)
    assert 0 <= compiled_exponential(-1e6) < 1e-300


@pytest.mark.parametrize(
    "function", [Cosine(RC), Polynomial(RC), Polynomial(RC, 2.5), Polynomial(RC, 1), Quintic(RC),
                 Tanh3(RC), *(Smoothstep(RC, order) for order in SMOOTHSTEPS)], ids=repr
)  # fmt: skip
def test_cutoff_functions_follow_their_definitions(function):
    r = np.concatenate([np.linspace(0.3, RC, 200, endpoint=False), [RC, RC + 1e-9, 7.0, 100.0]])
    parts, _ = rows(side=r)
    parts[INVERSE_SIDE : INVERSE_SIDE + len(r)] = 1 / r
    kernels.cutoff(np.array([[RC, function.code, function.gamma]]), 0, parts, len(r), True)
    fc, logs = parts[FC : FC + len(r)], parts[LX : LX + len(r)]
    exact = np.array([exact_cutoff(function, x) for x in r])
    assert_allclose(fc, exact[:, 0], rtol=1e-14, atol=2e-15)
    assert_allclose(fc * logs * r, exact[:, 1], rtol=1e-13, atol=3e-15)
    assert_array_equal(fc[r >= RC], 0.0)
    assert np.isfinite(logs).all()


@pytest.mark.parametrize(
    "function", [Cosine(RC), Polynomial(RC), Polynomial(RC, 2.5), Quintic(RC), Tanh3(RC),
                 Smoothstep(RC, 3)], ids=repr
)  # fmt: skip
def test_slopes_are_exact_next_to_the_cutoff(function):
    """Where the functions nearly vanish, the product with the logarithmic derivative must not."""
    r = RC * (1.0 - np.array([1e-3, 1e-5, 1e-7, 1e-9]))
    parts, _ = rows(side=r)
    parts[INVERSE_SIDE : INVERSE_SIDE + len(r)] = 1 / r
    kernels.cutoff(np.array([[RC, function.code, function.gamma]]), 0, parts, len(r), True)
    products = parts[FC : FC + len(r)] * parts[LX : LX + len(r)] * r
    # The distance from the cutoff is what rounding leaves of it.
    left = [float(1 - Fraction(x) / Fraction(RC)) for x in r]
    leading = {Cosine: math.pi**2 / 2, Polynomial: None, Quintic: 30, Tanh3: 3, Smoothstep: 140}
    factor = leading[type(function)] or function.gamma * (function.gamma + 1)
    power = {Cosine: 1, Polynomial: 1, Quintic: 2, Tanh3: 2, Smoothstep: 3}[type(function)]
    expected = [-factor * y**power / RC for y in left]
    assert_allclose(products[1:], expected[1:], rtol=2e-4)


@pytest.mark.parametrize("bends", [False, True])
@pytest.mark.parametrize("zeta", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 8.0, 16.0, 65.0])
@pytest.mark.parametrize("gamma", [1.0, -1.0, -0.7, 1.6])
def test_angular_terms_and_their_derivatives_follow_the_formula(zeta, gamma, bends):
    cosine = np.array([-0.99, -0.5, 0.0, 0.3, 0.95])
    base = 1 + gamma * cosine
    if zeta != int(zeta):
        base = np.maximum(base, 0.0)
    parts, table = rows(cosine=cosine)
    out, slopes = ANGLES // STRIDE, ANGLES // STRIDE + 1
    terms = np.array([[gamma, zeta, 2.0 ** (1.0 - zeta)]])
    kernels.angular_terms(terms, 0, parts, table, 5, out, slopes, bends)
    assert_allclose(table[out, :5], 2 ** (1 - zeta) * base**zeta, rtol=1e-13, atol=1e-300)
    if bends:
        expected = 2 ** (1 - zeta) * zeta * gamma * base ** (zeta - 1)
        assert_allclose(table[slopes, :5], expected, rtol=1e-13, atol=1e-300)


def test_rounding_beyond_a_straight_angle_gives_zero_and_not_nan():
    parts, table = rows(cosine=[-1.0 - 1e-15])
    out = ANGLES // STRIDE
    kernels.angular_terms(np.array([[1.0, 2.5, 2**-1.5]]), 0, parts, table, 1, out, out + 1, True)
    assert_array_equal(table[out : out + 2, 0], [0.0, 0.0])


def test_lengths_are_exact_to_the_last_digits():
    squares = np.concatenate([np.geomspace(1e-6, 1e4, BATCH - 1), [4.0]])
    parts, _ = rows(squares=squares)
    kernels.lengths(parts, BATCH)
    assert_allclose(parts[SIDE : SIDE + BATCH], np.sqrt(squares), rtol=4e-16)
    assert_allclose(parts[INVERSE_SIDE : INVERSE_SIDE + BATCH], 1 / np.sqrt(squares), rtol=4e-16)


def test_lengths_survive_squares_that_rounding_took_below_zero():
    parts, _ = rows(squares=[4.0, -1e-17])
    kernels.lengths(parts, 2)
    assert_allclose(parts[SIDE : SIDE + 2], [2.0, 1e-12])
    assert_allclose(parts[INVERSE_SIDE : INVERSE_SIDE + 2], [0.5, 1e12])


def test_four_rows_are_combined_and_weighed_at_once():
    rng = np.random.default_rng(0)
    source, weight = rng.standard_normal((5, 9)), rng.standard_normal(9)
    parts, table = rows(weight=weight)
    first = ANGLES // STRIDE
    table[first : first + 5, :9] = source
    four, factors = (0, 2, 4, 4), (1.0, -2.0, 0.5, 0.0)
    expected = source[0] - 2 * source[2] + 0.5 * source[4]
    kernels.combine(table, first, four, factors, 9, parts, SIDE, True)
    assert_allclose(parts[SIDE : SIDE + 9], expected)
    kernels.combine(table, first, four, factors, 9, parts, SIDE, False)
    assert_allclose(parts[SIDE : SIDE + 9], 2 * expected)
    sums = kernels.weigh(table, first, four, parts, WEIGHT, 9)
    assert_allclose(sums, source[list(four)] @ weight)
