"""The arithmetic on arrays against the formulas, compiled and interpreted."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from amp.descriptor import _array_kernels as arrays
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
    one, out, slopes = np.ones(1), np.empty(1), np.empty(1)
    term = np.array([-x, 0.0, RC, 0.0, 0.0])
    arrays.gaussian_arrays(term, one, one, one, np.zeros(1), 1, out, slopes)
    return out[0]


@pytest.mark.parametrize(
    "function", [Cosine(RC), Polynomial(RC), Polynomial(RC, 2.5), Polynomial(RC, 1), Quintic(RC),
                 Tanh3(RC), *(Smoothstep(RC, order) for order in SMOOTHSTEPS)], ids=repr
)  # fmt: skip
def test_cutoff_functions_follow_their_definitions(function):
    r = np.concatenate([np.linspace(0.3, RC, 200, endpoint=False), [RC, RC + 1e-9, 7.0, 100.0]])
    fc, slopes = np.empty_like(r), np.empty_like(r)
    term = np.array([0.0, 0.0, RC, function.code, function.gamma])
    arrays.cutoff_arrays(term, r, 1 / r, len(r), fc, slopes)
    exact = np.array([exact_cutoff(function, x) for x in r])
    assert_allclose(fc, exact[:, 0], rtol=1e-14, atol=2e-15)
    assert_allclose(slopes * r, exact[:, 1], rtol=1e-13, atol=3e-15)
    assert_allclose(fc[r >= RC], 0.0, atol=1e-15)
    assert_allclose(slopes[r >= RC], 0.0, atol=1e-15)


def test_radial_terms_and_their_derivatives_follow_the_formula():
    r = np.linspace(0.5, 4.9, 57)
    eta, offset = 1.3, 2.1
    fc, dfc, out, slopes = (np.empty_like(r) for _ in range(4))
    term = np.array([eta, offset, RC, 0.0, 0.0])
    arrays.cutoff_arrays(term, r, 1 / r, len(r), fc, dfc)
    arrays.gaussian_arrays(term, r, 1 / r, fc, dfc, len(r), out, slopes)
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
    out, slopes = np.empty(5), np.empty(5)
    kernel(cosine, np.array([gamma, zeta, 2.0 ** (1.0 - zeta)]), 5, out, slopes)
    assert_allclose(out, 2 ** (1 - zeta) * base**zeta, rtol=1e-13, atol=1e-300)
    expected = 2 ** (1 - zeta) * zeta * gamma * base ** (zeta - 1)
    assert_allclose(slopes, expected, rtol=1e-13, atol=1e-300)


def test_rounding_beyond_a_straight_angle_gives_zero_and_not_nan():
    out, slopes = np.empty(1), np.empty(1)
    arrays.angular_terms(np.array([-1.0 - 1e-15]), np.array([1.0, 2.5, 2**-1.5]), 1, out, slopes)
    assert_array_equal([out[0], slopes[0]], [0.0, 0.0])


def test_lengths_survive_squares_that_rounding_took_below_zero():
    out, inverse = np.empty(2), np.empty(2)
    arrays.lengths(np.array([4.0, -1e-17]), 2, out, inverse)
    assert_allclose(out, [2.0, 1e-12])
    assert np.isfinite(inverse).all()
