"""Solid harmonics of the directions to neighbors, and sums with them, in vector registers.

Harmonics of WIDE neighbors, which are one register, lie together: number i of neighbor j is at
((j // WIDE) width + i) WIDE + j % WIDE, width being the number of harmonics.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from amp.descriptor._jit import inlined
from amp.descriptor._register_kernels import _address, _load, _repeat, _store
from amp.descriptor._work import INVERSE, WIDE, X, Y, Z

__all__ = ["fields_at", "load_harmonics", "sum_harmonics"]

_FLOAT, _INT64 = ir.DoubleType(), ir.IntType(64)


@inlined
def load_harmonics(plan, work, harmonics, width, n):
    """Compute the harmonics of the first n neighbors; padding has those of the vector 0."""
    steps, factors, rows = plan.harmonic_steps, plan.harmonic_factors, work.rows
    for begin in range(0, n, WIDE):
        at = begin * width
        for j in range(WIDE):
            inverse = rows[INVERSE, begin + j]
            harmonics[at + j] = 1.0
            harmonics[at + WIDE + j] = 0.5 * rows[Y, begin + j] * inverse
            harmonics[at + 2 * WIDE + j] = rows[Z, begin + j] * inverse
            harmonics[at + 3 * WIDE + j] = 0.5 * rows[X, begin + j] * inverse
        for i in range(4, width):
            set_products(
                harmonics, at, i, steps[i, 0], steps[i, 1], steps[i, 2], steps[i, 3],
                factors[i, 0], factors[i, 1],
            )  # fmt: skip


@intrinsic
def set_products(typingctx, rows, at, to, a, b, c, d, f, g):
    """Set register `to` of those that begin at rows[at] to f times a b plus g times c d."""
    i, number = types.int64, types.float64
    signature = types.void(rows, i, i, i, i, i, i, number, number)

    def codegen(context, builder, signature, args):
        rows, at, to, a, b, c, d, f, g = args

        def register(which):
            where = builder.add(at, builder.mul(which, ir.Constant(_INT64, WIDE)))
            return _address(context, builder, signature.args[0], rows, where)

        def product(p, q, factor):
            scaled = builder.fmul(_load(builder, register(p), WIDE), _repeat(builder, factor, WIDE))
            return builder.fmul(scaled, _load(builder, register(q), WIDE), flags=("contract",))

        total = builder.fadd(product(a, b, f), product(c, d, g), flags=("contract",))
        _store(builder, total, register(to))

    return signature, codegen


@intrinsic
def sum_harmonics(typingctx, harmonics, width, i, weights, row, first, last):
    """Sum harmonic i times weights[row] over neighbors first:last, whole registers of them."""
    n = types.int64
    signature = types.float64(harmonics, n, n, weights, n, n, n)

    def codegen(context, builder, signature, args):
        harmonics, width, i, weights, row, first, last = args
        kinds, kind = signature.args, ir.VectorType(_FLOAT, WIDE)
        wide = ir.Constant(_INT64, WIDE)
        total = cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * WIDE))
        with cgutils.for_range_slice(builder, first, last, wide, inc=True) as (j, _):
            where = builder.add(builder.mul(j, width), builder.mul(i, wide))
            harmonic = _load(builder, _address(context, builder, kinds[0], harmonics, where), WIDE)
            weight = _load(builder, _address(context, builder, kinds[3], weights, row, j), WIDE)
            product = builder.fmul(harmonic, weight, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_FLOAT, [_FLOAT, kind]),
            f"llvm.vector.reduce.fadd.v{WIDE}f64",
        )  # fmt: skip
        start = ir.Constant(_FLOAT, 0.0)
        return builder.call(function, [start, builder.load(total)], fastmath=("reassoc",))

    return signature, codegen


@intrinsic
def fields_at(typingctx, harmonics, width, fields, size, j, out, to):
    """Fill four rows of `out` from `to` on with sums of harmonics times fields, (4, .), at j.

    That is, at WIDE neighbors from j on.

    The first `size` harmonics count.
    """
    n = types.int64
    signature = types.void(harmonics, n, fields, n, n, out, n)

    def codegen(context, builder, signature, args):
        harmonics, width, fields, size, j, out, to = args
        kinds, kind = signature.args, ir.VectorType(_FLOAT, WIDE)
        zero = ir.Constant(kind, [0.0] * WIDE)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(4)]
        begin = builder.mul(j, width)
        with cgutils.for_range(builder, size) as loop:
            where = builder.add(begin, builder.mul(loop.index, ir.Constant(_INT64, WIDE)))
            harmonic = _load(builder, _address(context, builder, kinds[0], harmonics, where), WIDE)
            for d, total in enumerate(totals):
                row = ir.Constant(_INT64, d)
                field = builder.load(_address(context, builder, kinds[2], fields, row, loop.index))
                product = builder.fmul(harmonic, _repeat(builder, field, WIDE), flags=("contract",))
                added = builder.fadd(builder.load(total), product, flags=("contract",))
                builder.store(added, total)
        for d, total in enumerate(totals):
            row = builder.add(to, ir.Constant(_INT64, d))
            where = _address(context, builder, kinds[5], out, row, j)
            _store(builder, builder.load(total), where)

    return signature, codegen
