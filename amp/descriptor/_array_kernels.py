"""Arithmetic on short arrays, one pass each, in the form that compilers turn into vector code.

The triplets of an atom are worked on a few hundred at a time: each step below goes over all of
them with a few operations on arrays that stay in the innermost cache.  That is several times
faster than doing everything for one triplet after the other, provided that nothing in a loop
branches or calls a library; hence the exponential and the cosine cutoff are written out here, both
exact to the last digits.  n is how many entries count.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "FAST",
    "add_pair_product",
    "add_product",
    "add_scaled",
    "angular_terms",
    "cutoff_arrays",
    "dot",
    "exponential",
    "gaussian_arrays",
    "lengths",
    "product",
    "scale",
    "take",
]

# Sums may be taken in any order and products fused; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz"}

_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (
    1.0 / math.factorial(k) for k in range(2, 14)
)
# Taylor coefficients of cos(t) and sin(t) / t in t^2; |t| <= pi / 2, where the next is below 1e-16.
_COS = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(12))
_SIN = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(12))


@intrinsic
def _float_of_bits(typingctx, bits):
    """Read the bits of a 64-bit integer as a float."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def exponential(x):
    """exp(x) for x <= 0: 2^k times the Taylor series of what is left, below ln(2) / 2."""
    x = max(x, -700.0)
    k = math.floor(x * _LOG2_E + 0.5)
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    high = _E8 + f * (_E9 + f * (_E10 + f * (_E11 + f * (_E12 + f * _E13))))
    low = _E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * (_E6 + f * (_E7 + f * high)))))
    return (1.0 + f * (1.0 + f * low)) * _float_of_bits((np.int64(k) + 1023) << 52)  # type: ignore[call-arg]


@njit(cache=True, nogil=True, fastmath=FAST)
def lengths(squares, n, out, inverse):
    """Fill out with square roots and inverse with 1 over them."""
    for t in range(n):
        # Squares come as differences, which rounding may take below 0 for no real triplet.
        out[t] = math.sqrt(max(squares[t], 1e-24))
        inverse[t] = 1.0 / out[t]


@njit(cache=True, nogil=True)
def cutoff_arrays(term, r, inverse, n, fc, slopes):
    """Cutoff function of a radial term, and its derivative divided by r; see cutoffs.py."""
    code = int(term[3])
    if code == 0:
        _cosine_cutoff(r, term[2], n, fc, slopes)
    elif code == 1:
        _polynomial_cutoff(r, term[2], term[4], n, fc, slopes)
    elif code == 2:
        _quintic_cutoff(r, term[2], n, fc, slopes)
    elif code == 4:
        _smoothstep_cutoff(r, term[2], int(term[4]), n, fc, slopes)
    else:
        _tanh_cutoff(r, inverse, term[2], n, fc, slopes)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _cosine_cutoff(r, rc, n, fc, slopes):
    """(1 + cos(pi x)) / 2 = cos(t)^2 with t = pi x / 2; no root or division is needed."""
    to_square = (0.5 * math.pi / rc) ** 2
    for i in range(n):
        y = min(r[i] * r[i], rc * rc) * to_square
        c = _COS[11]
        s = _SIN[11]
        c = _COS[10] + y * c
        s = _SIN[10] + y * s
        c = _COS[9] + y * c
        s = _SIN[9] + y * s
        c = _COS[8] + y * c
        s = _SIN[8] + y * s
        c = _COS[7] + y * c
        s = _SIN[7] + y * s
        c = _COS[6] + y * c
        s = _SIN[6] + y * s
        c = _COS[5] + y * c
        s = _SIN[5] + y * s
        c = _COS[4] + y * c
        s = _SIN[4] + y * s
        c = _COS[3] + y * c
        s = _SIN[3] + y * s
        c = _COS[2] + y * c
        s = _SIN[2] + y * s
        c = _COS[1] + y * c
        s = _SIN[1] + y * s
        c = 1.0 + y * c
        s = 1.0 + y * s
        inside = 1.0 if r[i] < rc else 0.0
        fc[i] = inside * c * c
        slopes[i] = inside * -2.0 * to_square * c * s


@njit(cache=True, nogil=True)
def _polynomial_cutoff(r, rc, gamma, n, fc, slopes):
    for i in range(n):
        x = max(min(r[i] / rc, 1.0), 1e-100)  # p is not finite at 0 where gamma is below 2
        p = x ** (gamma - 2.0)
        fc[i] = 1.0 + p * x * x * (gamma * x - (gamma + 1.0))
        slopes[i] = gamma * (gamma + 1.0) * p * (x - 1.0) / (rc * rc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _quintic_cutoff(r, rc, n, fc, slopes):
    for i in range(n):
        x = min(r[i] / rc, 1.0)
        fc[i] = 1.0 + x * x * x * (-10.0 + x * (15.0 - 6.0 * x))
        slopes[i] = -30.0 * x * (1.0 - x) * (1.0 - x) / (rc * rc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _smoothstep_cutoff(r, rc, order, n, fc, slopes):
    """With y = 1 - x: y^(N+1) sum C(N+k, k) x^k, and -(2N+1) C(2N, N) x^N y^N."""
    top = 1.0  # C(2N, N)
    for k in range(1, order + 1):
        top *= (order + k) / k
    factor = -(2 * order + 1) * top / (rc * rc)
    for i in range(n):
        x = min(r[i] / rc, 1.0)
        y = 1.0 - x
        coefficient = top
        total = top
        power = 1.0  # (x y)^(N-1)
        end = y  # y^(N+1)
        for k in range(order, 0, -1):
            coefficient *= k / (order + k)
            total = total * x + coefficient
            end *= y
            if k > 1:
                power *= x * y
        fc[i] = end * total
        slopes[i] = factor * power * y


@njit(cache=True, nogil=True, fastmath={"contract"})
def _tanh_cutoff(r, inverse, rc, n, fc, slopes):
    for i in range(n):
        e = exponential(-2.0 * max(1.0 - r[i] / rc, 0.0))
        t = (1.0 - e) / (1.0 + e)
        fc[i] = t * t * t
        slopes[i] = -3.0 * t * t * (1.0 - t * t) * inverse[i] / rc


@njit(cache=True, nogil=True, fastmath={"contract"})
def gaussian_arrays(term, r, inverse, fc, dfc, n, out, slopes):
    """Radial term exp(-eta (r - offset)^2) fc, and its derivative divided by r."""
    eta, offset = term[0], term[1]
    # Few arrays to a loop: compilers give up where too many might overlap.
    for i in range(n):
        shifted = r[i] - offset
        out[i] = exponential(-eta * shifted * shifted)
    for i in range(n):
        slopes[i] = out[i] * (dfc[i] - 2.0 * eta * (1.0 - offset * inverse[i]) * fc[i])
    for i in range(n):
        out[i] *= fc[i]


@njit(cache=True, nogil=True, fastmath=FAST)
def angular_terms(cosine, term, n, out, slopes):
    """Fill out with 2^(1 - zeta) (1 + gamma cos)^zeta, slopes with its derivative in cos."""
    gamma, zeta, prefactor = term[0], term[1], term[2]
    # slopes takes base^(zeta - 1) first; the usual exponents in one pass each.
    if zeta == 1.0:
        for t in range(n):
            slopes[t] = 1.0
    elif zeta == 2.0:
        for t in range(n):
            slopes[t] = 1.0 + gamma * cosine[t]
    elif zeta == 4.0:
        for t in range(n):
            b = 1.0 + gamma * cosine[t]
            slopes[t] = b * b * b
    elif zeta == 8.0:
        for t in range(n):
            b = 1.0 + gamma * cosine[t]
            b3 = b * b * b
            slopes[t] = b3 * b3 * b
    elif zeta == 16.0:
        for t in range(n):
            b = 1.0 + gamma * cosine[t]
            b3 = b * b * b
            b5 = b3 * b * b
            slopes[t] = b5 * b5 * b5
    else:
        _general_power(cosine, gamma, zeta, n, out, slopes)
    factor = gamma * zeta * prefactor
    if zeta == int(zeta):
        for t in range(n):
            out[t] = prefactor * slopes[t] * (1.0 + gamma * cosine[t])
            slopes[t] *= factor
    else:
        for t in range(n):
            # Rounding may take a straight angle below 0, where the power does not exist.
            out[t] = prefactor * slopes[t] * max(1.0 + gamma * cosine[t], 0.0)
            slopes[t] *= factor


@njit(cache=True, nogil=True, fastmath=FAST)
def _general_power(cosine, gamma, zeta, n, work, out):
    """Fill out with (1 + gamma cos)^(zeta - 1), by squaring if zeta is whole."""
    rest = int(zeta) - 1
    if zeta != int(zeta):
        for t in range(n):
            out[t] = max(1.0 + gamma * cosine[t], 0.0) ** (zeta - 1.0)
        return
    for t in range(n):
        out[t] = 1.0
        work[t] = 1.0 + gamma * cosine[t]
    while rest:
        if rest & 1:
            for t in range(n):
                out[t] *= work[t]
        rest >>= 1
        if rest:
            for t in range(n):
                work[t] *= work[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def take(source, index, n, out):
    """Fill out with source[index]."""
    for t in range(n):
        out[t] = source[index[t]]


@njit(cache=True, nogil=True, fastmath=FAST)
def product(a, b, n, out):
    """Fill out with a * b."""
    for t in range(n):
        out[t] = a[t] * b[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_pair_product(a, b, n, out):
    """Add a * b to out."""
    for t in range(n):
        out[t] += a[t] * b[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_product(a, b, c, n, out):
    """Add a * b * c to out."""
    for t in range(n):
        out[t] += a[t] * b[t] * c[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def scale(factor, a, b, n, out_a, out_b):
    """Fill two arrays with factor * a and factor * b."""
    for t in range(n):
        out_a[t] = factor * a[t]
        out_b[t] = factor * b[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_scaled(factor, a, b, n, out_a, out_b):
    """Add factor * a and factor * b to two arrays."""
    for t in range(n):
        out_a[t] += factor * a[t]
        out_b[t] += factor * b[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def dot(a, b, n):
    """Sum a * b."""
    total = 0.0
    for t in range(n):
        total += a[t] * b[t]
    return total
