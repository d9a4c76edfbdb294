"""The arithmetic on rows against the formulas, compiled and interpreted."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from amp.descriptor import _kernels as arrays
from amp.descriptor.cutoffs import Cosine, Polynomial, Quintic, Smoothstep, Tanh3

RC = 5.0


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


def test_exponential_is_exact_to_the_last_digits():
    for x in (0.0, -1e-300, -1e-9, *-np.linspace(0.01, 60, 4001), -300.0, -690.0):
        assert compiled_exponential(x) == pytest.approx(math.exp(x), rel=5e-16)
    assert 0 <= compiled_exponential(-1e6) < 1e-300


def compiled_exponential(x):
    """Reach the exponential through the loop that inlines it: no cutoff, no offset."""
    rows = np.array([[1.0], [1.0], [1.0], [0.0], [np.nan], [np.nan]])
    terms = np.array([[-x, 0.0, RC, 0.0, 0.0]])
    arrays.gaussian_row(terms, 0, rows, 0, 1, 0, 1, rows, 2, 3, rows, 4, rows, 5)
    return rows[4, 0]


@pytest.mark.parametrize(
    "function", [Cosine(RC), Polynomial(RC), Polynomial(RC, 2.5), Polynomial(RC, 1), Quintic(RC),
                 Tanh3(RC), *(Smoothstep(RC, order) for order in SMOOTHSTEPS)], ids=repr
)  # fmt: skip
def test_cutoff_functions_follow_their_definitions(function):
    r = np.concatenate([np.linspace(0.3, RC, 200, endpoint=False), [RC, RC + 1e-9, 7.0, 100.0]])
    rows = np.array([r, 1 / r, *np.full((2, len(r)), np.nan)])
    terms = np.array([[0.0, 0.0, RC, function.code, function.gamma]])
    arrays.cutoff_row(terms, 0, rows, 0, 1, 0, len(r), rows, 2, 3)
    fc, slopes = rows[2:]
    exact = np.array([exact_cutoff(function, x) for x in r])
    assert_allclose(fc, exact[:, 0], rtol=1e-14, atol=2e-15)
    assert_allclose(slopes * r, exact[:, 1], rtol=1e-13, atol=3e-15)
    assert_allclose(fc[r >= RC], 0.0, atol=1e-15)
    assert_allclose(slopes[r >= RC], 0.0, atol=1e-15)


def test_radial_terms_and_their_derivatives_follow_the_formula():
    r = np.linspace(0.5, 4.9, 57)
    eta, offset = 1.3, 2.1
    rows = np.array([r, 1 / r, *np.full((4, len(r)), np.nan)])
    terms = np.array([[eta, offset, RC, 0.0, 0.0]])
    lo, n = 5, len(r) - 5
    arrays.cutoff_row(terms, 0, rows, 0, 1, lo, n, rows, 2, 3)
    arrays.gaussian_row(terms, 0, rows, 0, 1, lo, n, rows, 2, 3, rows, 4, rows, 5)
    assert np.isnan(rows[4:, :lo]).all()
    r, out, slopes = r[lo:], rows[4, lo:], rows[5, lo:]
    gauss = np.exp(-eta * (r - offset) ** 2)
    exact = np.array([exact_cutoff(Cosine(RC), x) for x in r]).T
    assert_allclose(out, gauss * exact[0], rtol=1e-13, atol=1e-16)
    expected = gauss * (exact[1] - 2 * eta * (r - offset) * exact[0])
    assert_allclose(slopes * r, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kernel", [arrays.angular_terms, arrays.angular_terms.py_func])
@pytest.mark.parametrize("zeta", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 8.0, 16.0, 65.0])
@pytest.mark.parametrize("gamma", [1.0, -1.0, -0.7, 1.6])
def test_angular_terms_and_their_derivatives_follow_the_formula(kernel, zeta, gamma):
    cosine = np.array([-0.99, -0.5, 0.0, 0.3, 0.95])
    base = 1 + gamma * cosine
    if zeta != int(zeta):
        base = np.maximum(base, 0.0)
    rows = np.array([cosine, *np.full((2, 5), np.nan)])
    kernel(np.array([[gamma, zeta, 2.0 ** (1.0 - zeta)]]), 0, rows, 0, 5, rows[1:2], rows[2:3], 0)
    out, slopes = rows[1:]
    assert_allclose(out, 2 ** (1 - zeta) * base**zeta, rtol=1e-13, atol=1e-300)
    expected = 2 ** (1 - zeta) * zeta * gamma * base ** (zeta - 1)
    assert_allclose(slopes, expected, rtol=1e-13, atol=1e-300)


def test_rounding_beyond_a_straight_angle_gives_zero_and_not_nan():
    rows, out, slopes = np.array([[-1.0 - 1e-15]]), np.full((1, 1), np.nan), np.empty((1, 1))
    arrays.angular_terms(np.array([[1.0, 2.5, 2**-1.5]]), 0, rows, 0, 1, out, slopes, 0)
    assert_array_equal([out[0, 0], slopes[0, 0]], [0.0, 0.0])


def test_lengths_survive_squares_that_rounding_took_below_zero():
    rows = np.array([[4.0, -1e-17], [np.nan, np.nan]])
    arrays.lengths(rows, 0, 1, 2)
    assert_allclose(rows[0], [2.0, 1e-12])
    assert_allclose(rows[1], [0.5, 1e12])


def test_four_rows_are_combined_and_weighed_at_once():
    rng = np.random.default_rng(0)
    source, rows = rng.standard_normal((5, 9)), rng.standard_normal((2, 9))
    four, factors = (0, 2, 4, 4), (1.0, -2.0, 0.5, 0.0)
    expected = source[0] - 2 * source[2] + 0.5 * source[4]
    arrays.combine(source, four, factors, 9, rows, 0, True)
    assert_allclose(rows[0], expected)
    arrays.combine(source, four, factors, 9, rows, 0, False)
    assert_allclose(rows[0], 2 * expected)
    assert_allclose(arrays.weigh(source, four, rows, 1, 9), source[list(four)] @ rows[1])
