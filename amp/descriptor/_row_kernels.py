"""Arithmetic on rows of numbers: exponentials, cutoff functions, powers and sums.

Rows are of double or of single precision.  Every number that meets them is made `real`, what they
are made of: one of double precision would make doubles of all that follows.  What else differs is
chosen when a kernel is compiled.

Nothing here branches or calls a library within a loop, so that it runs in vector registers; hence
exponential, root and cutoff functions are written out, exact to the last digits.  n is how many
entries of a row count.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from amp.descriptor._jit import INLINED, called, inlined, summing
from amp.descriptor._register_kernels import bits_of_float, float_of_bits
from amp.descriptor._work import COSINE, FC, INVERSE_SIDE, LX, SIDE, SQUARES

__all__ = ["angular_terms", "combine", "cutoff", "exponential", "is_single", "lengths", "weigh"]

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

_EXP_SINGLE = tuple(
    np.float32(c / (0.5 * math.log(2.0)) ** k)
    for k, c in enumerate(_interpolated(_rest_of_exponential, 4))
)
_LOG2_E_SINGLE = np.float32(_LOG2_E)
_LN2_HIGH_SINGLE = np.float32(0.693359375)
_LN2_LOW_SINGLE = np.float32(math.log(2.0) - 0.693359375)
_LEAST_SINGLE = np.float32(-87.0)
_TO_WHOLE = np.float32(1.5 * 2**23)  # added, leaves whole numbers only
_ONE = np.float32(1.0)


def exponential(x):
    """exp(x) for x <= 0."""
    return math.exp(x)


@overload(exponential, jit_options=INLINED)
def _choose_exponential(x):
    return _exponential_single if x == types.float32 else _exponential


def _exponential(x):
    """2^k times 1 + f + f^2 P(f), where what is left is below ln(2) / 2."""
    x = max(x, -700.0)
    k = math.floor(x * _LOG2_E + 0.5)
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _EXP[6] + f * (_EXP[7] + f * (_EXP[8] + f * _EXP[9]))
    p = _EXP[2] + f * (_EXP[3] + f * (_EXP[4] + f * (_EXP[5] + f * p)))
    p = _EXP[0] + f * (_EXP[1] + f * p)
    return (1.0 + f * (1.0 + f * p)) * float_of_bits((np.int64(k) + 1023) << 52)


def _exponential_single(x):
    """Compute the same from fewer terms."""
    x = max(x, _LEAST_SINGLE)
    whole = x * _LOG2_E_SINGLE + _TO_WHOLE
    k = whole - _TO_WHOLE
    f = (x - k * _LN2_HIGH_SINGLE) - k * _LN2_LOW_SINGLE
    p = _EXP_SINGLE[2] + f * (_EXP_SINGLE[3] + f * _EXP_SINGLE[4])
    p = _EXP_SINGLE[0] + f * (_EXP_SINGLE[1] + f * p)
    power = float_of_bits(np.int32((bits_of_float(whole) << 23) + (127 << 23)))
    return (_ONE + f * (_ONE + f * p)) * power


@inlined
def is_single(parts):
    """Tell whether rows are of single precision."""
    return parts.itemsize == 4


@inlined
def _tiny(parts):
    """Give what a cutoff function is divided by where it vanishes."""
    return parts.dtype.type(1e-18 if is_single(parts) else 1e-100)


@inlined
def lengths(parts, n):
    """Compute third sides of a batch and 1 over them, both to the last digits.

    The root comes from halving the exponent, right to 3.5 %, and steps of a series.
    """
    real = parts.dtype.type
    for t in range(n):
        # Squares come as differences, which rounding may take below 0 for no real triplet.
        square = max(parts[SQUARES + t], real(1e-24))
        root = _first_root(square)
        e = real(1.0) - square * root * root
        root += root * e * (
            real(0.5) + e * (real(0.375) + e * (real(0.3125) + e * real(0.2734375)))
        )  # fmt: skip
        e = real(1.0) - square * root * root
        root += root * e * (real(0.5) + e * real(0.375))
        parts[INVERSE_SIDE + t] = root
        parts[SIDE + t] = square * root


def _first_root(square):
    return 1.0 / math.sqrt(square)


@overload(_first_root, jit_options=INLINED)
def _choose_first_root(square):
    if square == types.float32:
        return lambda square: float_of_bits(np.int32(0x5F3759DF - (bits_of_float(square) >> 1)))
    return lambda square: float_of_bits(0x5FE6EB50C7B537A9 - (bits_of_float(square) >> 1))


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
    real = parts.dtype.type
    square = (0.5 * math.pi / rc) ** 2
    to_square, factor, most = real(square), real(-2.0 * square), real(rc * rc)
    rc, tiny, one, zero = real(rc), _tiny(parts), real(1.0), real(0.0)
    for i in range(n):
        y = min(parts[SIDE + i] * parts[SIDE + i], most) * to_square
        c, s = zero, zero
        if not is_single(parts):
            c = _add_terms(y, _COS[8:12], zero)
        c = _add_terms(y, _COS[4:8], c)
        c = max(one + y * _add_three(y, _COS[1:4], c), tiny)
        parts[FC + i] = c * c if parts[SIDE + i] < rc else zero
        if slopes:
            if not is_single(parts):
                s = _add_terms(y, _SIN[8:12], zero)
            s = _add_terms(y, _SIN[4:8], s)
            s = one + y * _add_three(y, _SIN[1:4], s)
            parts[LX + i] = factor * s / c


@inlined
def _add_terms(y, terms, rest):
    """Evaluate a polynomial with four terms before the rest."""
    real = type(y)
    return real(terms[0]) + y * _add_three(y, terms[1:], rest)


@inlined
def _add_three(y, terms, rest):
    """Evaluate a polynomial with three terms before the rest."""
    real = type(y)
    return real(terms[0]) + y * (real(terms[1]) + y * (real(terms[2]) + y * rest))


@inlined
def _polynomial_cutoff(rc, gamma, parts, n, slopes):
    """1 + gamma x^(gamma + 1) - (gamma + 1) x^gamma, derivative -gamma (gamma + 1) x^(gamma-1) y.

    With y = 1 - x; for whole gamma y^2 (1 + 2 x + ... + gamma x^(gamma - 1)), all of it positive.
    """
    real = parts.dtype.type
    whole = int(gamma) if gamma == int(gamma) and 2 <= gamma <= 16 else 0
    to_x, factor = real(1.0 / rc), real(-gamma * (gamma + 1.0) / (rc * rc))
    rc, gamma, tiny = real(rc), real(gamma), _tiny(parts)
    zero, half, one, two = real(0.0), real(0.5), real(1.0), real(2.0)
    if whole:
        for i in range(n):
            x = min(parts[SIDE + i] * to_x, one)
            total, power = gamma, factor
            for k in range(whole - 1, 0, -1):
                total = total * x + real(k)
            parts[FC + i] = (one - x) * (one - x) * total
            if slopes:
                for _ in range(whole - 2):
                    power *= x
                parts[LX + i] = power / (max(one - x, tiny) * total)
        return
    for i in range(n):
        # The power need not be finite at 0.
        x = max(min(parts[SIDE + i] * to_x, one), tiny)
        y = one - x
        power = x ** (gamma - two)
        least = -half * factor * rc * rc * y * y * min(power * x, one)  # and little more, near rc
        value = max(one + power * x * x * (gamma * x - (gamma + one)), least)
        parts[FC + i] = value if x < one else zero
        if slopes:
            parts[LX + i] = factor * power * y / max(value, tiny)


@inlined
def _quintic_cutoff(rc, parts, n, slopes):
    """1 - 10 x^3 + 15 x^4 - 6 x^5 = y^3 (1 + 3 x + 6 x^2) with y = 1 - x."""
    real = parts.dtype.type
    to_x, factor, tiny = real(1.0 / rc), real(-30.0 / (rc * rc)), _tiny(parts)
    one, three, six = real(1.0), real(3.0), real(6.0)
    for i in range(n):
        x = min(parts[SIDE + i] * to_x, one)
        y, rest = one - x, one + x * (three + six * x)
        parts[FC + i] = y * y * y * rest
        if slopes:
            parts[LX + i] = factor * x / (max(y, tiny) * rest)


@inlined
def _smoothstep_cutoff(rc, order, parts, n, slopes):
    """With y = 1 - x: y^(N+1) sum C(N+k, k) x^k, and -(2N+1) C(2N, N) x^N y^N."""
    top = 1.0  # C(2N, N)
    for k in range(1, order + 1):
        top *= (order + k) / k
    real = parts.dtype.type
    to_x, factor = real(1.0 / rc), real(-(2 * order + 1) * top / (rc * rc))
    tiny, one = _tiny(parts), real(1.0)
    for i in range(n):
        x = min(parts[SIDE + i] * to_x, one)
        coefficient, total, end = top, real(top), one - x
        for k in range(order, 0, -1):
            coefficient *= k / (order + k)
            total = total * x + real(coefficient)
            end *= one - x
        parts[FC + i] = end * total
        if slopes:
            power = factor
            for _ in range(order - 1):
                power *= x
            parts[LX + i] = power / (max(one - x, tiny) * total)


@inlined
def _tanh_cutoff(rc, parts, n, slopes):
    """tanh(y)^3 with y = 1 - x."""
    real = parts.dtype.type
    to_x, factor, rc = real(1.0 / rc), real(-3.0 * (1.0 / rc)), real(rc)
    zero, one, two = real(0.0), real(1.0), real(2.0)
    least = real(1e-18 if is_single(parts) else 1e-30)
    for i in range(n):
        y = min(max(one - parts[SIDE + i] * to_x, least), one)
        w = two * y * y - one
        p = zero
        if not is_single(parts):
            p = _add_terms(w, _TANH[12:16], zero)
        p = _add_terms(w, _TANH[8:12], p)
        t = y * _add_terms(w, _TANH[0:4], _add_terms(w, _TANH[4:8], p))
        parts[FC + i] = t * t * t if parts[SIDE + i] < rc else zero
        if slopes:
            parts[LX + i] = factor * (one - t * t) * parts[INVERSE_SIDE + i] / t


@called
def angular_terms(terms, term, parts, table, n, out, slopes, bends):
    """Fill out with 2^(1 - zeta) (1 + gamma cos)^zeta, slopes with its derivative if asked."""
    real, zeta = parts.dtype.type, terms[term, 1]
    gamma, prefactor = real(terms[term, 0]), real(terms[term, 2])
    factor, one = real(terms[term, 0] * zeta * terms[term, 2]), real(1.0)
    # The usual exponents in one pass.
    if zeta == 1.0:
        for t in range(n):
            table[out, t] = prefactor * (one + gamma * parts[COSINE + t])
        if bends:
            for t in range(n):
                table[slopes, t] = factor
    elif zeta == 2.0:
        for t in range(n):
            b = one + gamma * parts[COSINE + t]
            table[out, t] = prefactor * b * b
        if bends:
            for t in range(n):
                table[slopes, t] = factor * (one + gamma * parts[COSINE + t])
    elif zeta == 4.0:
        for t in range(n):
            b = one + gamma * parts[COSINE + t]
            table[out, t] = prefactor * (b * b) * (b * b)
        if bends:
            for t in range(n):
                b = one + gamma * parts[COSINE + t]
                table[slopes, t] = factor * b * b * b
    elif zeta == 8.0:
        for t in range(n):
            b = one + gamma * parts[COSINE + t]
            b4 = (b * b) * (b * b)
            table[out, t] = prefactor * b4 * b4
        if bends:
            for t in range(n):
                b = one + gamma * parts[COSINE + t]
                b3 = b * b * b
                table[slopes, t] = factor * (b3 * b3) * b
    elif zeta == 16.0:
        for t in range(n):
            b = one + gamma * parts[COSINE + t]
            b4 = (b * b) * (b * b)
            b8 = b4 * b4
            table[out, t] = prefactor * b8 * b8
        if bends:
            for t in range(n):
                b = one + gamma * parts[COSINE + t]
                b5 = (b * b) * (b * b) * b
                table[slopes, t] = factor * (b5 * b5) * b5
    else:
        # In single precision powers of 2 might be too large: there halves are raised.
        scale = 2.0 ** (zeta - 1.0) if is_single(parts) else 1.0
        prefactor = real(terms[term, 2] * scale)
        factor = real(terms[term, 0] * zeta * terms[term, 2] * scale)
        _general_power(gamma, zeta, parts, table, n, out, slopes)
        zero, is_broken = real(0.0), zeta != int(zeta)
        for t in range(n):
            # Rounding may take a straight angle below 0, where broken powers do not exist.
            b = one + gamma * parts[COSINE + t]
            table[out, t] = prefactor * table[slopes, t] * (max(b, zero) if is_broken else b)
        for t in range(n):
            table[slopes, t] *= factor


@summing
def _general_power(gamma, zeta, parts, table, n, work, out):
    """Fill out with (1 + gamma cos)^(zeta - 1), by squaring if zeta is whole.

    In single precision divided by 2^(zeta - 1).
    """
    real, rest = parts.dtype.type, int(zeta) - 1
    scale = real(0.5 if is_single(parts) else 1.0)
    one, gamma = scale * real(1.0), scale * gamma
    if zeta != int(zeta):
        zero, power = real(0.0), real(zeta - 1.0)
        for t in range(n):
            table[out, t] = max(one + gamma * parts[COSINE + t], zero) ** power
        return
    for t in range(n):
        table[out, t] = real(1.0)
    for t in range(n):
        table[work, t] = one + gamma * parts[COSINE + t]
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
    real = parts.dtype.type
    fa, fb, fc, fd = real(factors[0]), real(factors[1]), real(factors[2]), real(factors[3])
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
    zero = parts.dtype.type(0.0)
    sa, sb, sc, sd = zero, zero, zero, zero
    for t in range(n):
        w = parts[weight + t]
        sa += w * table[a, t]
        sb += w * table[b, t]
        sc += w * table[c, t]
        sd += w * table[d, t]
    return sa, sb, sc, sd
