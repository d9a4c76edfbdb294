"""Feed-forward networks in compiled loops, a few atoms at a time: no call per layer, all in cache.

The formulas are those of `_network`.  Numbers of a node lie side by side for 8 atoms, in rows of
a table.  Tables come in pairs that pass through the same weights together: 8 atoms and 8 more, or
8 atoms and their derivatives along a tangent.  One node more per layer, whose output is always 1,
takes the biases.  Sums over nodes and over atoms are kept in registers, which compilers do not
find by themselves.  While some atoms are computed, memory of the next is on its way: rows are too
short, and too far apart in time, for processors to fetch them ahead.
"""

# mypy: allow-untyped-defs, disable-error-code="call-arg, unreachable, var-annotated"
# numba gives functions arguments and types of its own

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from amp.core.compiling import kept

__all__ = ["energies_and_slopes", "gradient"]

_WIDE = 8  # numbers that vector registers are written for; narrower ones take several
_LINE = 8  # numbers of a line of the cache
_NEAREST = 3  # the cache that memory is asked into; asking it into the next gains half as much
_TILE = 2  # nodes whose sums are built together: more would not fit registers of 256 bits

# Only compiled code calls these: what would let others call them takes long to compile.  Called
# from Python they end the process.
_PARTS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"},
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip
_inlined: Any = njit(**_PARTS | {"forceinline": True})
_called: Any = njit(**_PARTS)
_entry: Any = kept(nogil=True, error_model="numpy", fastmath={"contract"})


# -- vector registers --------------------------------------------------------------------------

_FLOAT, _INT = ir.DoubleType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, _WIDE)
_I, _A = types.int64, types.float64[::1]


class _Registers:
    """Instructions on vector registers, and on arrays by their offsets."""

    def __init__(self, context, builder, arrays):
        self.builder = builder
        self.data = [context.make_array(_A)(context, builder, a).data for a in arrays]

    def _address(self, array, offset):
        return self.builder.gep(self.data[array], [offset])

    def load(self, array, offset):
        """Load a register."""
        address = self.builder.bitcast(self._address(array, offset), _VECTOR.as_pointer())
        return self.builder.load(address, align=8)

    def store(self, value, array, offset):
        """Store a register."""
        address = self.builder.bitcast(self._address(array, offset), _VECTOR.as_pointer())
        self.builder.store(value, address, align=8)

    def everywhere(self, array, offset):
        """Fill a register with one number."""
        value = self.builder.load(self._address(array, offset))
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, nothing, _lanes([0] * _WIDE))

    def add_product(self, total, a, b):
        """Add a product to a register that is kept on the stack, for the compiler to lift it."""
        product = self.builder.fmul(a, b, flags=("contract",))
        found = self.builder.load(total)
        self.builder.store(self.builder.fadd(found, product, flags=("contract",)), total)

    def zeros(self, count):
        """Make registers of zeros."""
        kept = [cgutils.alloca_once(self.builder, _VECTOR) for _ in range(count)]
        for total in kept:
            self.builder.store(ir.Constant(_VECTOR, [0.0] * _WIDE), total)
        return kept

    def steps(self, first, step, count):
        """Give first, first + step, first + 2 step ..."""
        offsets = [first]
        for _ in range(count - 1):
            offsets.append(self.builder.add(offsets[-1], step))
        return offsets

    def at(self, first, step, index):
        """Give first + step * index."""
        return self.builder.add(first, self.builder.mul(step, index))


def _lanes(indices):
    """Give a constant that names lanes of registers."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), list(indices))


def _tile(count):
    """Make the product of some rows of weights with two tables.

    Row to + j of out is the sum over i < n of weights[first + j out_step + i in_step] times row
    row + i of a table, for j < count.
    """

    @intrinsic
    def tile(typingctx, weights, first, out_step, in_step, n, a, b, row, out_a, out_b, to):
        def codegen(context, builder, signature, args):
            weights, first, out_step, in_step, n, a, b, row, out_a, out_b, to = args
            r = _Registers(context, builder, (weights, a, b, out_a, out_b))
            sums_a, sums_b = r.zeros(count), r.zeros(count)
            wide = ir.Constant(_INT, _WIDE)
            with cgutils.for_range(builder, n) as loop:
                place = builder.mul(builder.add(row, loop.index), wide)
                of_a, of_b = r.load(1, place), r.load(2, place)
                places = r.steps(r.at(first, in_step, loop.index), out_step, count)
                for sum_a, sum_b, place in zip(sums_a, sums_b, places, strict=True):
                    weight = r.everywhere(0, place)
                    r.add_product(sum_a, weight, of_a)
                    r.add_product(sum_b, weight, of_b)
            places = r.steps(builder.mul(to, wide), wide, count)
            for sum_a, sum_b, place in zip(sums_a, sums_b, places, strict=True):
                r.store(builder.load(sum_a), 3, place)
                r.store(builder.load(sum_b), 4, place)

        return types.void(_A, _I, _I, _I, _I, _A, _A, _I, _A, _A, _I), codegen

    return tile


def _outer(count):
    """Make the sum over atoms of products: numbers of some nodes times those of eight others.

    sums[to + j step + ...] += sum over c < _WIDE of atoms[k + c step + ...] a[row + j, c], and
    over c < n of atoms[k + (_WIDE + c) step + ...] b[row + j, c], for j < count.
    """

    @intrinsic
    def outer(typingctx, atoms, k, step, a, b, n, row, sums, to):
        def codegen(context, builder, signature, args):
            atoms, k, step, a, b, n, row, sums, to = args
            r = _Registers(context, builder, (atoms, a, b, sums))
            totals, places = r.zeros(count), r.steps(to, step, count)
            for total, place in zip(totals, places, strict=True):
                builder.store(r.load(3, place), total)
            wide = ir.Constant(_INT, _WIDE)
            row = builder.mul(row, wide)
            for table, n_atoms in ((1, wide), (2, n)):
                with cgutils.for_range(builder, n_atoms) as loop:
                    numbers = r.load(0, r.at(k, step, loop.index))
                    factors = r.steps(builder.add(row, loop.index), wide, count)
                    for total, factor in zip(totals, factors, strict=True):
                        r.add_product(total, r.everywhere(table, factor), numbers)
                k = r.at(k, step, wide)
            for total, place in zip(totals, places, strict=True):
                r.store(builder.load(total), 3, place)

        return types.void(_A, _I, _I, _A, _A, _I, _I, _A, _I), codegen

    return outer


@intrinsic
def _transpose(typingctx, rows, row, row_step, out, to, to_step):
    """Transpose a square of numbers, _WIDE a side."""

    def codegen(context, builder, signature, args):
        rows, row, row_step, out, to, to_step = args
        r = _Registers(context, builder, (rows, out))
        square = [r.load(0, place) for place in r.steps(row, row_step, _WIDE)]
        side = 1
        while side < _WIDE:  # swap squares off the diagonal, of side 1, 2, 4
            first = [i if not i & side else i - side + _WIDE for i in range(_WIDE)]
            second = [i + side if not i & side else i + _WIDE for i in range(_WIDE)]
            swapped = list(square)
            for i in range(_WIDE):
                if not i & side:
                    a, b = square[i], square[i + side]
                    swapped[i] = builder.shuffle_vector(a, b, _lanes(first))
                    swapped[i + side] = builder.shuffle_vector(a, b, _lanes(second))
            square, side = swapped, 2 * side
        for value, place in zip(square, r.steps(to, to_step, _WIDE), strict=True):
            r.store(value, 1, place)

    return types.void(_A, _I, _I, _A, _I, _I), codegen


@intrinsic
def _power_of_two(typingctx, number):
    """Give 2^k of a number that is k + _SHIFT."""

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], _INT)
        bits = builder.add(bits, ir.Constant(_INT, 1023))
        return builder.bitcast(builder.shl(bits, ir.Constant(_INT, 52)), _FLOAT)

    return types.float64(types.float64), codegen


@intrinsic
def _fetch(typingctx, array, offset):
    """Ask for the line of memory that a number is in, without waiting for it."""

    def codegen(context, builder, signature, args):
        array, offset = args
        byte, how = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, how, how, how])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = context.make_array(_A)(context, builder, array).data
        address = builder.bitcast(builder.gep(address, [offset]), byte)
        builder.call(prefetch, [address, how(0), how(_NEAREST), how(1)])

    return types.void(_A, _I), codegen


_tile_all, _tile_one = _tile(_TILE), _tile(1)
_outer_all, _outer_one = _outer(_TILE), _outer(1)


@_called
def _products(weights, first, out_step, in_step, n_out, n, a, b, row, out_a, out_b, to):
    """Multiply a pair of tables with a matrix of weights."""
    j = 0
    while j < n_out:
        w = first + j * out_step
        if n_out - j >= _TILE:
            _tile_all(weights, w, out_step, in_step, n, a, b, row, out_a, out_b, to + j)
            j += _TILE
        else:
            _tile_one(weights, w, out_step, in_step, n, a, b, row, out_a, out_b, to + j)
            j += 1


@_called
def _add_outer(atoms, width, a, b, n, n_out, sums, to):
    """Add to sums (n_out, width) the products of atoms (16, width) with the first rows of a, b.

    The second eight atoms are those of b; n of them count.
    """
    for k in range(0, width, _WIDE):
        j = 0
        while j < n_out:
            place = to + j * width + k
            if n_out - j >= _TILE:
                _outer_all(atoms, k, width, a, b, n, j, sums, place)
                j += _TILE
            else:
                _outer_one(atoms, k, width, a, b, n, j, sums, place)
                j += 1


@_called
def _to_rows(atoms, width, a, b, row):
    """Turn numbers (16, width) of atoms into rows of two tables."""
    for k in range(0, width, _WIDE):
        _transpose(atoms, k, width, a, (row + k) * _WIDE, _WIDE)
        _transpose(atoms, _WIDE * width + k, width, b, (row + k) * _WIDE, _WIDE)


@_called
def _to_atoms(a, b, row, atoms, width):
    """Turn rows of two tables into numbers (16, width) of atoms."""
    for k in range(0, width, _WIDE):
        _transpose(a, (row + k) * _WIDE, _WIDE, atoms, k, width)
        _transpose(b, (row + k) * _WIDE, _WIDE, atoms, _WIDE * width + k, width)


# -- activation functions ------------------------------------------------------------------------

_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_SHIFT = 1.5 * 2.0**52  # adding it leaves whole numbers in the last bits
_SERIES = tuple(1.0 / math.factorial(k) for k in range(14))


@_inlined
def _tanh(z):
    """From exp(y) - 1 with y = -2|z|, which is 2^k q + (2^k - 1) with q = exp(f) - 1."""
    y = max(-2.0 * abs(z), -50.0)
    shifted = y * _LOG2_E + _SHIFT
    k = shifted - _SHIFT
    f = (y - k * _LN2_HIGH) - k * _LN2_LOW
    p = _SERIES[10] + f * (_SERIES[11] + f * (_SERIES[12] + f * _SERIES[13]))
    p = _SERIES[6] + f * (_SERIES[7] + f * (_SERIES[8] + f * (_SERIES[9] + f * p)))
    q = f * (
        1.0 + f * (_SERIES[2] + f * (_SERIES[3] + f * (_SERIES[4] + f * (_SERIES[5] + f * p))))
    )
    scale = _power_of_two(shifted)
    less = scale * q + (scale - 1.0)
    t = less / (2.0 + less)
    return t if z < 0.0 else -t


@_inlined
def _of_tanh(z):
    a = _tanh(z)
    d = 1.0 - a * a
    return a, d, -2.0 * a * d


@_inlined
def _of_sigmoid(z):
    a = 0.5 * (1.0 + _tanh(0.5 * z))
    d = a * (1.0 - a)
    return a, d, d * (1.0 - 2.0 * a)


@_inlined
def _of_linear(z):
    return z, 1.0, 0.0


@_inlined
def _of_softplus(z):
    a, d, _ = _of_sigmoid(z)
    return max(z, 0.0) + math.log1p(math.exp(-abs(z))), a, d


@_inlined
def _of_silu(z):
    s, d, d2 = _of_sigmoid(z)
    return z * s, s + z * d, 2.0 * d + z * d2


def _loops(function):
    """Make the loops over nodes first to last of tables."""

    @_called
    def values(table, slopes, first, last):
        """Of z make outputs, in place, and f'(z)."""
        for i in range(np.uintp(first * _WIDE), np.uintp(last * _WIDE)):
            table[i], slopes[i], _ = function(table[i])

    @_called
    def duals(table, along, slopes, bends, first, last):
        """Of z and z' make outputs and their derivatives, in place, f'(z), and f''(z) z'."""
        for i in range(np.uintp(first * _WIDE), np.uintp(last * _WIDE)):
            a, d, d2 = function(table[i])
            z_dot = along[i]
            table[i] = a
            slopes[i] = d
            bends[i] = d2 * z_dot
            along[i] = d * z_dot

    return values, duals


_linear_values, _linear_duals = _loops(_of_linear)
_tanh_values, _tanh_duals = _loops(_of_tanh)
_sigmoid_values, _sigmoid_duals = _loops(_of_sigmoid)
_softplus_values, _softplus_duals = _loops(_of_softplus)
_silu_values, _silu_duals = _loops(_of_silu)


@_called
def _activate(code, table, slopes, first, last):
    """Apply an activation function to some nodes."""
    if code == 1:
        _tanh_values(table, slopes, first, last)
    elif code == 2:
        _sigmoid_values(table, slopes, first, last)
    elif code == 3:
        _softplus_values(table, slopes, first, last)
    elif code == 4:
        _silu_values(table, slopes, first, last)
    else:
        _linear_values(table, slopes, first, last)


@_called
def _activate_duals(code, table, along, slopes, bends, first, last):
    """Apply an activation function to some nodes and their derivatives."""
    if code == 1:
        _tanh_duals(table, along, slopes, bends, first, last)
    elif code == 2:
        _sigmoid_duals(table, along, slopes, bends, first, last)
    elif code == 3:
        _softplus_duals(table, along, slopes, bends, first, last)
    elif code == 4:
        _silu_duals(table, along, slopes, bends, first, last)
    else:
        _linear_duals(table, along, slopes, bends, first, last)


# -- the network ---------------------------------------------------------------------------------


@_called
def _padded(n):
    """Round up to whole registers, with room for the node of the biases."""
    return (n + _WIDE) // _WIDE * _WIDE


@_called
def _plan(widths):
    """Give where each layer's rows, weights and sums begin; the last entries are totals."""
    rows = np.zeros(widths.size + 1, dtype=np.int64)
    weights = np.zeros(widths.size, dtype=np.int64)
    sums = np.zeros(widths.size, dtype=np.int64)
    for layer in range(widths.size):
        rows[layer + 1] = rows[layer] + _padded(widths[layer])
        if layer:
            n, n_out = widths[layer - 1], widths[layer]
            weights[layer] = weights[layer - 1] + (n + 1) * n_out
            sums[layer] = sums[layer - 1] + _padded(n) * n_out
    return rows, weights, sums


@_called
def _folded(weights, scale, shift, widths):
    """Give the weights with the scaling of the fingerprints folded into the first layer."""
    folded = weights.copy()
    n, n_out = widths[0], widths[1]
    for k in range(n):
        for j in range(n_out):
            w = weights[k * n_out + j]
            folded[k * n_out + j] = scale[k] * w
            folded[n * n_out + j] += shift[k] * w
    return folded


@_called
def _lines(n):
    """Make n rows of zeros that begin where lines of the cache begin."""
    table = np.zeros((n + 1) * _WIDE)
    first = (64 - table.ctypes.data % 64) % 64 // 8
    return table[first : first + n * _WIDE]


@_called
def _copy_atoms(source, first, count, n, atoms, place, width, one):
    """Copy rows of n numbers, each with the output of the node of the biases."""
    for c in range(count):
        start, to = np.uintp((first + c) * n), np.uintp((place + c) * width)
        for k in range(np.uintp(n)):
            atoms[to + k] = source[start + k]
        atoms[to + np.uintp(n)] = one


@_called
def _ask_for(source, first, count, n, part, parts):
    """Ask for one part of several of the numbers of some atoms that come next.

    A few lines at a time, since processors drop what they cannot take at once.  Atoms beyond the
    last do no harm: nothing is read.
    """
    total = count * n
    last = first * n + total * (part + 1) // parts
    for place in range(first * n + total * part // parts, last, _LINE):
        _fetch(source, place)


@_called
def _fill_row(table, row, value):
    for i in range(row * _WIDE, (row + 1) * _WIDE):
        table[i] = value


@_entry
def energies_and_slopes(x, widths, codes, weights, scaling, energies, slopes):
    """Fill atomic energies (n_atoms,) and dE/dG (n_atoms * n_inputs,).

    x as slopes; widths (n_layers + 1,) inputs first; codes (n_layers,) as in `_activate`;
    weights layer by layer, each (inputs + 1, outputs); scaling of inputs (scale, shift) and of
    the output (intercept, slope).
    """
    scale, shift, intercept, slope = scaling
    n_in, depth = widths[0], codes.size
    rows, starts, _ = _plan(widths)
    w = _folded(weights, scale, shift, widths)
    width, most, n_rows = _padded(n_in), _padded(widths.max()), rows[depth + 1]
    a, b, d_a, d_b = _lines(n_rows), _lines(n_rows), _lines(n_rows), _lines(n_rows)
    bar_a, bar_b, next_a, next_b = _lines(most), _lines(most), _lines(most), _lines(most)
    atoms = _lines(2 * width)
    for layer in range(1, depth):
        _fill_row(a, rows[layer] + widths[layer], 1.0)
        _fill_row(b, rows[layer] + widths[layer], 1.0)
    end = rows[depth] * _WIDE
    for first in range(0, energies.size, 2 * _WIDE):
        count = min(2 * _WIDE, energies.size - first)
        _copy_atoms(x, first, count, n_in, atoms, 0, width, 1.0)
        _to_rows(atoms, width, a, b, 0)
        for layer in range(depth):
            n, n_out, to = widths[layer], widths[layer + 1], rows[layer + 1]
            _products(w, starts[layer], 1, n_out, n_out, n + 1, a, b, rows[layer], a, b, to)
            _activate(codes[layer], a, d_a, to, to + n_out)
            _activate(codes[layer], b, d_b, to, to + n_out)
            _ask_for(x, first + 2 * _WIDE, 2 * _WIDE, n_in, layer, 2 * depth)
            _ask_for(slopes, first, count, n_in, layer, 2 * depth)
        for c in range(count):
            output = a[end + c] if c < _WIDE else b[end + c - _WIDE]
            energies[first + c] = intercept + slope * output
        for c in range(_WIDE):
            bar_a[c] = slope * d_a[end + c]
            bar_b[c] = slope * d_b[end + c]
        for layer in range(depth - 1, -1, -1):
            n, n_out = widths[layer], widths[layer + 1]
            _products(w, starts[layer], n_out, 1, n, n_out, bar_a, bar_b, 0, next_a, next_b, 0)
            bar_a, bar_b, next_a, next_b = next_a, next_b, bar_a, bar_b
            _ask_for(x, first + 2 * _WIDE, 2 * _WIDE, n_in, 2 * depth - 1 - layer, 2 * depth)
            _ask_for(slopes, first, count, n_in, 2 * depth - 1 - layer, 2 * depth)
            if layer:
                _multiply(bar_a, d_a, rows[layer], n)
                _multiply(bar_b, d_b, rows[layer], n)
        _to_atoms(bar_a, bar_b, 0, atoms, width)
        for c in range(count):
            place, to = np.uintp(c * width), np.uintp((first + c) * n_in)
            for k in range(np.uintp(n_in)):
                slopes[to + k] = atoms[place + k]


@_called
def _multiply(bars, slopes, row, n):
    """Multiply the first n rows with those of another table from some row on."""
    start = np.uintp(row * _WIDE)
    for i in range(np.uintp(n * _WIDE)):
        bars[i] *= slopes[start + i]


@_entry
def gradient(x, widths, codes, weights, scaling, energy_bar, tangent, result):
    """Fill d(sum(energy_bar energies) + sum(tangent slopes))/d(weights, intercept, slope).

    Arguments as above; tangent as x, or empty.
    """
    scale, shift, _, slope = scaling
    n_in, depth = widths[0], codes.size
    rows, starts, sum_starts = _plan(widths)
    w = _folded(weights, scale, shift, widths)
    width, most, n_rows = _padded(n_in), _padded(widths.max()), rows[depth + 1]
    a, dot, d, bend = _lines(n_rows), _lines(n_rows), _lines(n_rows), _lines(n_rows)
    bar, dot_bar, next_bar, next_dot = _lines(most), _lines(most), _lines(most), _lines(most)
    inputs, atoms = _lines(2 * width), _lines(2 * most)
    sums = np.zeros(sum_starts[depth])
    in_energy, in_slope = 0.0, 0.0
    n_tangents = _WIDE if tangent.size else 0
    for layer in range(1, depth):
        _fill_row(a, rows[layer] + widths[layer], 1.0)
    end = rows[depth] * _WIDE
    for first in range(0, energy_bar.size, _WIDE):
        count = min(_WIDE, energy_bar.size - first)
        _copy_atoms(x, first, count, n_in, inputs, 0, width, 1.0)
        if n_tangents:
            _copy_atoms(tangent, first, count, n_in, inputs, _WIDE, width, 0.0)
        _to_rows(inputs, width, a, dot, 0)
        for layer in range(depth):
            n, n_out, to = widths[layer], widths[layer + 1], rows[layer + 1]
            _products(w, starts[layer], 1, n_out, n_out, n + 1, a, dot, rows[layer], a, dot, to)
            _activate_duals(codes[layer], a, dot, d, bend, to, to + n_out)
            _ask_for(x, first + _WIDE, _WIDE, n_in, layer, 2 * depth)
            _ask_for(tangent, first + _WIDE, n_tangents, n_in, layer, 2 * depth)
        _fill_row(bar, 0, 0.0)
        _fill_row(dot_bar, 0, 0.0)
        for c in range(count):
            bar[c] = slope * energy_bar[first + c]
            dot_bar[c] = slope
            in_energy += energy_bar[first + c]
            in_slope += energy_bar[first + c] * a[end + c] + dot[end + c]
        for layer in range(depth - 1, -1, -1):
            n, n_out, padded = widths[layer], widths[layer + 1], _padded(widths[layer])
            _through_activation(bar, dot_bar, d, bend, rows[layer + 1], n_out)
            _ask_for(x, first + _WIDE, _WIDE, n_in, 2 * depth - 1 - layer, 2 * depth)
            _ask_for(tangent, first + _WIDE, n_tangents, n_in, 2 * depth - 1 - layer, 2 * depth)
            if layer == 0:
                _add_outer(inputs, width, bar, dot_bar, n_tangents, n_out, sums, 0)
                break
            _to_atoms(a, dot, rows[layer], atoms, padded)
            _add_outer(atoms, padded, bar, dot_bar, n_tangents, n_out, sums, sum_starts[layer])
            _products(w, starts[layer], n_out, 1, n, n_out, bar, dot_bar, 0, next_bar, next_dot, 0)
            bar, dot_bar, next_bar, next_dot = next_bar, next_dot, bar, dot_bar
    for layer in range(depth):
        n, n_out, padded = widths[layer], widths[layer + 1], _padded(widths[layer])
        for k in range(n + 1):
            for j in range(n_out):
                total = sums[sum_starts[layer] + j * padded + k]
                if layer == 0 and k < n:  # undo the folding: W' = diag(scale) W, b' = b + shift W
                    total = scale[k] * total + shift[k] * sums[j * padded + n]
                result[starts[layer] + k * n_out + j] = total
    result[starts[depth]] = in_energy
    result[starts[depth] + 1] = in_slope


@_called
def _through_activation(bar, dot_bar, slopes, bends, row, n):
    """Of dL/da and dL/da' make dL/dz and dL/dz', in place."""
    start = np.uintp(row * _WIDE)
    for i in range(np.uintp(n * _WIDE)):
        d = slopes[start + i]
        bar[i] = bar[i] * d + dot_bar[i] * bends[start + i]
        dot_bar[i] *= d
