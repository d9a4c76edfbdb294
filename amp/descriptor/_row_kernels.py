"""Arithmetic on rows of numbers: exponentials, cutoff functions, powers and sums.

Nothing here branches or calls a library within a loop, so that it runs in vector registers; hence
exponential, root and cutoff functions are written out, exact to the last digits.  n is how many
entries of a row count.
"""

from __future__ import annotations

import math

import numpy as np

from amp.descriptor._jit import called, inlined, summing
from amp.descriptor._register_kernels import bits_of_float, float_of_bits
from amp.descriptor._work import COSINE, FC, INVERSE_SIDE, LX, SIDE, SQUARES

__all__ = ["angular_terms", "combine", "cutoff", "exponential", "lengths", "weigh"]

_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10


def _interpolated(function, degree):
    """Give the coefficients of a polynomial on [-1, 1] whose error is spread evenly."""
    nodes = np.polynomial.chebyshev.chebinterpolate(function, degree)
    return tuple(np.polynomial.chebyshev.cheb2poly(nodes).tolist())


def _tanh_over_y(w):
    """tanh(y) / y with y = sqrt((1 + w) / 2), in [0, 1]."""
    y = np.sqrt(0.5 * (w + 1.0))
    return np.tanh(y) / y


def _rest_of_exponential(w):
    """(exp(f) - 1 - f) / f^2 with f = w ln(2) / 2."""
    series = [1.0 / math.factorial(k + 2) for k in range(16)]
    return np.polynomial.polynomial.polyval(0.5 * math.log(2.0) * w, series)


_TANH = _interpolated(_tanh_over_y, 15)
# The coefficients of f instead of w.
_EXP = tuple(
    c / (0.5 * math.log(2.0)) ** k for k, c in enumerate(_interpolated(_rest_of_exponential, 9))
)
# Taylor coefficients of cos(t) and sin(t) / t in t^2; |t| <= pi / 2, where the next is below 1e-16.
_COS = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(12))
_SIN = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(12))

_TINY = 1e-100  # what a cutoff function is divided by where it vanishes


@inlined
def exponential(x):
    """exp(x) for x <= 0: 2^k times 1 + f + f^2 P(f), where what is left is below ln(2) / 2."""
    x = max(x, -700.0)
    k = math.floor(x * _LOG2_E + 0.5)
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _EXP[6] + f * (_EXP[7] + f * (_EXP[8] + f * _EXP[9]))
    p = _EXP[2] + f * (_EXP[3] + f * (_EXP[4] + f * (_EXP[5] + f * p)))
    p = _EXP[0] + f * (_EXP[1] + f * p)
    return (1.0 + f * (1.0 + f * p)) * float_of_bits((np.int64(k) + 1023) << 52)


@inlined
def lengths(parts, n):
    """Compute third sides of a batch and 1 over them, both to the last digits.

    The root comes from halving the exponent, right to 3.5 %, and two steps of a series.
    """
    for t in range(n):
        # Squares come as differences, which rounding may take below 0 for no real triplet.
        square = max(parts[SQUARES + t], 1e-24)
        root = float_of_bits(0x5FE6EB50C7B537A9 - (bits_of_float(square) >> 1))
        e = 1.0 - square * root * root
        root += root * e * (0.5 + e * (0.375 + e * (0.3125 + e * 0.2734375)))
        e = 1.0 - square * root * root
        root += root * e * (0.5 + e * 0.375)
        parts[INVERSE_SIDE + t] = root
        parts[SIDE + t] = square * root


@called
def cutoff(cutoffs, c, parts, n, slopes):
    """Fill FC with the cutoff function of the distances SIDE; see cutoffs.py.

    With slopes, fill LX with its logarithmic derivative divided by the distance, some finite number
    where the function is 0.
    """
    code, rc = int(cutoffs[c, 1]), cutoffs[c, 0]
    if code == 0:
        _cosine_cutoff(rc, parts, n, slopes)
    elif code == 1:
        _polynomial_cutoff(rc, cutoffs[c, 2], parts, n, slopes)
    elif code == 2:
        _quintic_cutoff(rc, parts, n, slopes)
    elif code == 4:
        _smoothstep_cutoff(rc, int(cutoffs[c, 2]), parts, n, slopes)
    else:
        _tanh_cutoff(rc, parts, n, slopes)


@inlined
def _cosine_cutoff(rc, parts, n, slopes):
    """(1 + cos(pi x)) / 2 = cos(t)^2 with t = pi x / 2; no root is needed."""
    to_square = (0.5 * math.pi / rc) ** 2
    for i in range(n):
        y = min(parts[SIDE + i] * parts[SIDE + i], rc * rc) * to_square
        c = _COS[8] + y * (_COS[9] + y * (_COS[10] + y * _COS[11]))
        c = _COS[4] + y * (_COS[5] + y * (_COS[6] + y * (_COS[7] + y * c)))
        c = max(1.0 + y * (_COS[1] + y * (_COS[2] + y * (_COS[3] + y * c))), _TINY)
        parts[FC + i] = c * c if parts[SIDE + i] < rc else 0.0
        if slopes:
            s = _SIN[8] + y * (_SIN[9] + y * (_SIN[10] + y * _SIN[11]))
            s = _SIN[4] + y * (_SIN[5] + y * (_SIN[6] + y * (_SIN[7] + y * s)))
            s = 1.0 + y * (_SIN[1] + y * (_SIN[2] + y * (_SIN[3] + y * s)))
            parts[LX + i] = -2.0 * to_square * s / c


@inlined
def _polynomial_cutoff(rc, gamma, parts, n, slopes):
    """1 + gamma x^(gamma + 1) - (gamma + 1) x^gamma, derivative -gamma (gamma + 1) x^(gamma-1) y.

    With y = 1 - x; for whole gamma y^2 (1 + 2 x + ... + gamma x^(gamma - 1)), all of it positive.
    """
    to_x, factor = 1.0 / rc, -gamma * (gamma + 1.0) / (rc * rc)
    if gamma == int(gamma) and 2 <= gamma <= 16:
        whole = int(gamma)
        for i in range(n):
            x = min(parts[SIDE + i] * to_x, 1.0)
            total, power = gamma, factor
            for k in range(whole - 1, 0, -1):
                total = total * x + k
            parts[FC + i] = (1.0 - x) * (1.0 - x) * total
            if slopes:
                for _ in range(whole - 2):
                    power *= x
                parts[LX + i] = power / (max(1.0 - x, _TINY) * total)
        return
    for i in range(n):
        # The power need not be finite at 0.
        x = max(min(parts[SIDE + i] * to_x, 1.0), _TINY)
        y = 1.0 - x
        power = x ** (gamma - 2.0)
        least = -0.5 * factor * rc * rc * y * y * min(power * x, 1.0)  # and little more, near rc
        value = max(1.0 + power * x * x * (gamma * x - (gamma + 1.0)), least)
        parts[FC + i] = value if x < 1.0 else 0.0
        if slopes:
            parts[LX + i] = factor * power * y / max(value, _TINY)


@inlined
def _quintic_cutoff(rc, parts, n, slopes):
    """1 - 10 x^3 + 15 x^4 - 6 x^5 = y^3 (1 + 3 x + 6 x^2) with y = 1 - x."""
    to_x, factor = 1.0 / rc, -30.0 / (rc * rc)
    for i in range(n):
        x = min(parts[SIDE + i] * to_x, 1.0)
        y, rest = 1.0 - x, 1.0 + x * (3.0 + 6.0 * x)
        parts[FC + i] = y * y * y * rest
        if slopes:
            parts[LX + i] = factor * x / (max(y, _TINY) * rest)


@inlined
def _smoothstep_cutoff(rc, order, parts, n, slopes):
    """With y = 1 - x: y^(N+1) sum C(N+k, k) x^k, and -(2N+1) C(2N, N) x^N y^N."""
    top = 1.0  # C(2N, N)
    for k in range(1, order + 1):
        top *= (order + k) / k
    to_x, factor = 1.0 / rc, -(2 * order + 1) * top / (rc * rc)
    for i in range(n):
        x = min(parts[SIDE + i] * to_x, 1.0)
        coefficient, total, end = top, top, 1.0 - x
        for k in range(order, 0, -1):
            coefficient *= k / (order + k)
            total = total * x + coefficient
            end *= 1.0 - x
        parts[FC + i] = end * total
        if slopes:
            power = factor
            for _ in range(order - 1):
                power *= x
            parts[LX + i] = power / (max(1.0 - x, _TINY) * total)


@inlined
def _tanh_cutoff(rc, parts, n, slopes):
    """tanh(y)^3 with y = 1 - x."""
    to_x = 1.0 / rc
    for i in range(n):
        y = min(max(1.0 - parts[SIDE + i] * to_x, 1e-30), 1.0)
        w = 2.0 * y * y - 1.0
        p = _TANH[12] + w * (_TANH[13] + w * (_TANH[14] + w * _TANH[15]))
        p = _TANH[8] + w * (_TANH[9] + w * (_TANH[10] + w * (_TANH[11] + w * p)))
        p = _TANH[4] + w * (_TANH[5] + w * (_TANH[6] + w * (_TANH[7] + w * p)))
        t = y * (_TANH[0] + w * (_TANH[1] + w * (_TANH[2] + w * (_TANH[3] + w * p))))
        parts[FC + i] = t * t * t if parts[SIDE + i] < rc else 0.0
        if slopes:
            parts[LX + i] = -3.0 * to_x * (1.0 - t * t) * parts[INVERSE_SIDE + i] / t


@called
def angular_terms(terms, term, parts, table, n, out, slopes, bends):
    """Fill out with 2^(1 - zeta) (1 + gamma cos)^zeta, slopes with its derivative if asked."""
    gamma, zeta, prefactor = terms[term, 0], terms[term, 1], terms[term, 2]
    factor = gamma * zeta * prefactor
    # The usual exponents in one pass.
    if zeta == 1.0:
        for t in range(n):
            table[out, t] = prefactor * (1.0 + gamma * parts[COSINE + t])
        if bends:
            for t in range(n):
                table[slopes, t] = factor
    elif zeta == 2.0:
        for t in range(n):
            b = 1.0 + gamma * parts[COSINE + t]
            table[out, t] = prefactor * b * b
        if bends:
            for t in range(n):
                table[slopes, t] = factor * (1.0 + gamma * parts[COSINE + t])
    elif zeta == 4.0:
        for t in range(n):
            b = 1.0 + gamma * parts[COSINE + t]
            table[out, t] = prefactor * (b * b) * (b * b)
        if bends:
            for t in range(n):
                b = 1.0 + gamma * parts[COSINE + t]
                table[slopes, t] = factor * b * b * b
    elif zeta == 8.0:
        for t in range(n):
            b = 1.0 + gamma * parts[COSINE + t]
            b4 = (b * b) * (b * b)
            table[out, t] = prefactor * b4 * b4
        if bends:
            for t in range(n):
                b = 1.0 + gamma * parts[COSINE + t]
                b3 = b * b * b
                table[slopes, t] = factor * (b3 * b3) * b
    elif zeta == 16.0:
        for t in range(n):
            b = 1.0 + gamma * parts[COSINE + t]
            b4 = (b * b) * (b * b)
            b8 = b4 * b4
            table[out, t] = prefactor * b8 * b8
        if bends:
            for t in range(n):
                b = 1.0 + gamma * parts[COSINE + t]
                b5 = (b * b) * (b * b) * b
                table[slopes, t] = factor * (b5 * b5) * b5
    else:
        _general_power(gamma, zeta, parts, table, n, out, slopes)
        for t in range(n):
            # Rounding may take a straight angle below 0, where broken powers do not exist.
            b = 1.0 + gamma * parts[COSINE + t]
            table[out, t] = prefactor * table[slopes, t] * (max(b, 0.0) if zeta % 1.0 else b)
        for t in range(n):
            table[slopes, t] *= factor


@summing
def _general_power(gamma, zeta, parts, table, n, work, out):
    """Fill out with (1 + gamma cos)^(zeta - 1), by squaring if zeta is whole."""
    rest = int(zeta) - 1
    if zeta != int(zeta):
        for t in range(n):
            table[out, t] = max(1.0 + gamma * parts[COSINE + t], 0.0) ** (zeta - 1.0)
        return
    for t in range(n):
        table[out, t] = 1.0
    for t in range(n):
        table[work, t] = 1.0 + gamma * parts[COSINE + t]
    while rest:
        if rest & 1:
            for t in range(n):
                table[out, t] *= table[work, t]
        rest >>= 1
        if rest:
            for t in range(n):
                table[work, t] *= table[work, t]


@summing
def combine(table, source, four, factors, n, parts, to, is_first):
    """Fill a row with (or add to it) the sum of four rows from source on, each times its factor."""
    a, b, c, d = source + four[0], source + four[1], source + four[2], source + four[3]
    fa, fb, fc, fd = factors
    if is_first:
        for t in range(n):
            parts[to + t] = (
                fa * table[a, t] + fb * table[b, t] + fc * table[c, t] + fd * table[d, t]
            )
    else:
        for t in range(n):
            parts[to + t] += (
                fa * table[a, t] + fb * table[b, t] + fc * table[c, t] + fd * table[d, t]
            )


@summing
def weigh(table, source, four, parts, weight, n):
    """Sum each of four rows from source on times a weight."""
    a, b, c, d = source + four[0], source + four[1], source + four[2], source + four[3]
    sa, sb, sc, sd = 0.0, 0.0, 0.0, 0.0
    for t in range(n):
        w = parts[weight + t]
        sa += w * table[a, t]
        sb += w * table[b, t]
        sc += w * table[c, t]
        sd += w * table[d, t]
    return sa, sb, sc, sd
