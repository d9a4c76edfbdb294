"""Arithmetic on short arrays, one pass each, in the form that compilers turn into vector code.

The triplets of an atom are worked on a few hundred at a time: each step below goes over all of
them with a few operations on arrays that stay in the innermost cache.  That is several times
faster than doing everything for one triplet after the other, provided that nothing in a loop
branches or calls a library; hence the exponential and the cosine cutoff are written out here, both
exact to the last digits.

Arrays come as rows of two-dimensional ones, named by their index, because cutting a row out costs
as much as a pass over it.  n is how many entries of a row count.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "FAST",
    "add_product",
    "add_triple_product",
    "angular_terms",
    "combine",
    "cutoff_row",
    "exponential",
    "gaussian_row",
    "lengths",
    "product",
    "take",
    "weigh",
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
def lengths(rows, square, inverse, n):
    """Replace squares by square roots and fill another row with 1 over them."""
    for t in range(n):
        # Squares come as differences, which rounding may take below 0 for no real triplet.
        length = math.sqrt(max(rows[square, t], 1e-24))
        rows[square, t] = length
        rows[inverse, t] = 1.0 / length


@njit(cache=True, nogil=True)
def cutoff_row(terms, term, rows, r, inverse, lo, n, out, fc, dfc):
    """Cutoff function of a radial term, and its derivative divided by r; see cutoffs.py.

    Distances are rows[r, lo : lo + n], the results out[fc, :n] and out[dfc, :n].
    """
    code = int(terms[term, 3])
    if code == 0:
        _cosine_cutoff(terms[term, 2], rows, r, lo, n, out, fc, dfc)
    elif code == 1:
        _polynomial_cutoff(terms[term, 2], terms[term, 4], rows, r, lo, n, out, fc, dfc)
    elif code == 2:
        _quintic_cutoff(terms[term, 2], rows, r, lo, n, out, fc, dfc)
    elif code == 4:
        _smoothstep_cutoff(terms[term, 2], int(terms[term, 4]), rows, r, lo, n, out, fc, dfc)
    else:
        _tanh_cutoff(terms[term, 2], rows, r, inverse, lo, n, out, fc, dfc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _cosine_cutoff(rc, rows, r, lo, n, out, fc, dfc):
    """(1 + cos(pi x)) / 2 = cos(t)^2 with t = pi x / 2; no root or division is needed."""
    to_square = (0.5 * math.pi / rc) ** 2
    for i in range(n):
        y = min(rows[r, lo + i] * rows[r, lo + i], rc * rc) * to_square
        c = _COS[10] + y * _COS[11]
        s = _SIN[10] + y * _SIN[11]
        c = _COS[8] + y * (_COS[9] + y * c)
        s = _SIN[8] + y * (_SIN[9] + y * s)
        c = _COS[6] + y * (_COS[7] + y * c)
        s = _SIN[6] + y * (_SIN[7] + y * s)
        c = _COS[4] + y * (_COS[5] + y * c)
        s = _SIN[4] + y * (_SIN[5] + y * s)
        c = _COS[2] + y * (_COS[3] + y * c)
        s = _SIN[2] + y * (_SIN[3] + y * s)
        c = 1.0 + y * (_COS[1] + y * c)
        s = 1.0 + y * (_SIN[1] + y * s)
        inside = 1.0 if rows[r, lo + i] < rc else 0.0
        out[fc, i] = inside * c * c
        out[dfc, i] = inside * -2.0 * to_square * c * s


@njit(cache=True, nogil=True)
def _polynomial_cutoff(rc, gamma, rows, r, lo, n, out, fc, dfc):
    for i in range(n):
        # p is not finite at 0 where gamma is below 2.
        x = max(min(rows[r, lo + i] / rc, 1.0), 1e-100)
        p = x ** (gamma - 2.0)
        out[fc, i] = 1.0 + p * x * x * (gamma * x - (gamma + 1.0))
        out[dfc, i] = gamma * (gamma + 1.0) * p * (x - 1.0) / (rc * rc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _quintic_cutoff(rc, rows, r, lo, n, out, fc, dfc):
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
        out[fc, i] = 1.0 + x * x * x * (-10.0 + x * (15.0 - 6.0 * x))
        out[dfc, i] = -30.0 * x * (1.0 - x) * (1.0 - x) / (rc * rc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _smoothstep_cutoff(rc, order, rows, r, lo, n, out, fc, dfc):
    """With y = 1 - x: y^(N+1) sum C(N+k, k) x^k, and -(2N+1) C(2N, N) x^N y^N."""
    top = 1.0  # C(2N, N)
    for k in range(1, order + 1):
        top *= (order + k) / k
    factor = -(2 * order + 1) * top / (rc * rc)
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
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
        out[fc, i] = end * total
        out[dfc, i] = factor * power * y


@njit(cache=True, nogil=True, fastmath={"contract"})
def _tanh_cutoff(rc, rows, r, inverse, lo, n, out, fc, dfc):
    for i in range(n):
        e = exponential(-2.0 * max(1.0 - rows[r, lo + i] / rc, 0.0))
        t = (1.0 - e) / (1.0 + e)
        out[fc, i] = t * t * t
        out[dfc, i] = -3.0 * t * t * (1.0 - t * t) * rows[inverse, lo + i] / rc


@njit(cache=True, nogil=True, fastmath={"contract"})
def gaussian_row(terms, term, rows, r, inverse, lo, n, cuts, fc, dfc, out, row, slopes, slope_row):
    """Radial term exp(-eta (r - offset)^2) fc, and its derivative divided by r.

    Distances are rows[r, lo : lo + n], the results out[row, lo : lo + n] and slopes likewise.
    """
    eta, offset = terms[term, 0], terms[term, 1]
    # Few arrays to a loop: compilers give up where too many might overlap.
    for i in range(n):
        shifted = rows[r, lo + i] - offset
        out[row, lo + i] = exponential(-eta * shifted * shifted)
    for i in range(n):
        inward = 2.0 * eta * (1.0 - offset * rows[inverse, lo + i])
        slopes[slope_row, lo + i] = out[row, lo + i] * (cuts[dfc, i] - inward * cuts[fc, i])
    for i in range(n):
        out[row, lo + i] *= cuts[fc, i]


@njit(cache=True, nogil=True, fastmath=FAST)
def angular_terms(table, term, rows, cosine, n, out, slopes, row):
    """Fill out with 2^(1 - zeta) (1 + gamma cos)^zeta, slopes with its derivative in cos."""
    gamma, zeta, prefactor = table[term, 0], table[term, 1], table[term, 2]
    # slopes takes base^(zeta - 1) first; the usual exponents in one pass each.
    if zeta == 1.0:
        for t in range(n):
            slopes[row, t] = 1.0
    elif zeta == 2.0:
        for t in range(n):
            slopes[row, t] = 1.0 + gamma * rows[cosine, t]
    elif zeta == 4.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            slopes[row, t] = b * b * b
    elif zeta == 8.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            b3 = b * b * b
            slopes[row, t] = b3 * b3 * b
    elif zeta == 16.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            b3 = b * b * b
            b5 = b3 * b * b
            slopes[row, t] = b5 * b5 * b5
    else:
        _general_power(gamma, zeta, rows, cosine, n, out, slopes, row)
    factor = gamma * zeta * prefactor
    if zeta == int(zeta):
        for t in range(n):
            out[row, t] = prefactor * slopes[row, t] * (1.0 + gamma * rows[cosine, t])
    else:
        for t in range(n):
            # Rounding may take a straight angle below 0, where the power does not exist.
            out[row, t] = prefactor * slopes[row, t] * max(1.0 + gamma * rows[cosine, t], 0.0)
    for t in range(n):
        slopes[row, t] *= factor


@njit(cache=True, nogil=True, fastmath=FAST)
def _general_power(gamma, zeta, rows, cosine, n, work, out, row):
    """Fill out with (1 + gamma cos)^(zeta - 1), by squaring if zeta is whole."""
    rest = int(zeta) - 1
    if zeta != int(zeta):
        for t in range(n):
            out[row, t] = max(1.0 + gamma * rows[cosine, t], 0.0) ** (zeta - 1.0)
        return
    for t in range(n):
        out[row, t] = 1.0
        work[row, t] = 1.0 + gamma * rows[cosine, t]
    while rest:
        if rest & 1:
            for t in range(n):
                out[row, t] *= work[row, t]
        rest >>= 1
        if rest:
            for t in range(n):
                work[row, t] *= work[row, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def take(source, row, index, which, n, out, to):
    """Fill a row of out with source[row] at index[which]."""
    for t in range(n):
        out[to, t] = source[row, index[which, t]]


@njit(cache=True, nogil=True, fastmath=FAST)
def product(rows, a, b, n, to):
    """Fill a row with a * b."""
    for t in range(n):
        rows[to, t] = rows[a, t] * rows[b, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_product(rows, a, b, n, to):
    """Add a * b to a row."""
    for t in range(n):
        rows[to, t] += rows[a, t] * rows[b, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_triple_product(rows, a, b, c, n, to):
    """Add a * b * c to a row."""
    for t in range(n):
        rows[to, t] += rows[a, t] * rows[b, t] * rows[c, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def combine(source, four, factors, n, rows, to, is_first):
    """Fill a row with (or add to it) the sum of four rows of source, each times its factor."""
    a, b, c, d = four
    fa, fb, fc, fd = factors
    if is_first:
        for t in range(n):
            rows[to, t] = (
                fa * source[a, t] + fb * source[b, t] + fc * source[c, t] + fd * source[d, t]
            )
    else:
        for t in range(n):
            rows[to, t] += (
                fa * source[a, t] + fb * source[b, t] + fc * source[c, t] + fd * source[d, t]
            )


@njit(cache=True, nogil=True, fastmath=FAST)
def weigh(source, four, rows, weight, n):
    """Sum each of four rows of source times a weight."""
    a, b, c, d = four
    sa, sb, sc, sd = 0.0, 0.0, 0.0, 0.0
    for t in range(n):
        w = rows[weight, t]
        sa += w * source[a, t]
        sb += w * source[b, t]
        sc += w * source[c, t]
        sd += w * source[d, t]
    return sa, sb, sc, sd
