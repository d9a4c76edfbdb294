"""Operations on whole vector registers, where compilers do not find them by themselves."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from amp.descriptor._work import DOTS, FIRST, R2, SECOND, SQUARES, WIDE, X, Y, Z

__all__ = ["add_scaled", "bits_of_float", "float_of_bits", "pack"]

_FLOAT, _INT64, _INT32 = ir.DoubleType(), ir.IntType(64), ir.IntType(32)


@intrinsic
def float_of_bits(typingctx, bits):
    """Read the bits of an integer as a float."""
    number = types.float32 if bits == types.int32 else types.float64

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(number))

    return number(bits if bits == types.int32 else types.int64), codegen


@intrinsic
def bits_of_float(typingctx, number):
    """Read the bits of a float as an integer."""
    bits = types.int32 if number == types.float32 else types.int64

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(bits))

    return bits(number if number == types.float32 else types.float64), codegen


@intrinsic
def pack(
    typingctx, rows, x, y, z, r2, some, first, last, reach2, across2, index, j, parts, n
):  # fmt: skip
    """Append those of WIDE neighbors to a batch that are in reach of the center and of j.

    x, y, z, r2 are of neighbor j; its partners lie in first:last, of which those from `some` on
    are looked at.  Returns the new length of the batch.  Written out for vector registers, since
    compilers make scalar code of a loop that keeps some of its items, at four times the cost.
    """
    i, f = types.int64, types.float64
    signature = i(rows, f, f, f, f, i, i, i, f, f, index, i, parts, i)

    def codegen(context, builder, signature, args):
        rows, x, y, z, r2, some, first, last, reach2, across2, index, j, parts, n = args
        kinds = signature.args

        def everywhere(value):
            return _repeat(builder, value, WIDE)

        def number(value):
            return builder.trunc(value, _INT32)

        def row(which):
            where = ir.Constant(_INT64, which)
            return _load(builder, _address(context, builder, kinds[0], rows, where, some), WIDE)

        def append(value, kind, array, offset):
            if value.type.element == _FLOAT and kinds[12].dtype == types.float32:
                value = builder.fptrunc(value, ir.VectorType(ir.FloatType(), WIDE))
            where = builder.add(n, ir.Constant(_INT64, offset))
            _store(builder, value, _address(context, builder, kind, array, where))

        def multiply_add(a, b, c):
            return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))

        r2_k = row(R2)
        dot = builder.fmul(row(X), everywhere(x))
        dot = multiply_add(row(Y), everywhere(y), dot)
        dot = multiply_add(row(Z), everywhere(z), dot)
        minus_two = everywhere(ir.Constant(_FLOAT, -2.0))
        square = multiply_add(dot, minus_two, builder.fadd(r2_k, everywhere(r2)))
        steps = ir.Constant(ir.VectorType(_INT32, WIDE), list(range(WIDE)))
        k = builder.add(everywhere(number(some)), steps)
        conditions = (
            builder.icmp_signed(">=", k, everywhere(number(first))),
            builder.icmp_signed("<", k, everywhere(number(last))),
            builder.fcmp_ordered("<", r2_k, everywhere(reach2)),
            builder.fcmp_ordered("<", square, everywhere(across2)),
        )
        mask = conditions[0]
        for condition in conditions[1:]:
            mask = builder.and_(mask, condition)
        append(everywhere(number(j)), kinds[10], index, FIRST)
        append(_compress(builder, k, mask), kinds[10], index, SECOND)
        append(_compress(builder, dot, mask), kinds[12], parts, DOTS)
        append(_compress(builder, square, mask), kinds[12], parts, SQUARES)
        count = builder.ctpop(builder.bitcast(mask, ir.IntType(WIDE)))
        return builder.add(n, builder.zext(count, _INT64))

    return signature, codegen


@intrinsic
def add_scaled(typingctx, out, i, factor, rows, j):
    """Add a factor times the four numbers of row j to those of row i of another array."""
    signature = types.void(out, types.int64, types.float64, rows, types.int64)

    def codegen(context, builder, signature, args):
        out, i, factor, rows, j = args
        zero = ir.Constant(_INT64, 0)
        to = _address(context, builder, signature.args[0], out, i, zero)
        what = _load(builder, _address(context, builder, signature.args[3], rows, j, zero), 4)
        scaled = builder.fmul(what, _repeat(builder, factor, 4), flags=("contract",))
        _store(builder, builder.fadd(_load(builder, to, 4), scaled, flags=("contract",)), to)

    return signature, codegen


def _address(context, builder, kind, array, *indices):
    """Give the address of an entry of an array."""
    found = context.make_array(kind)(context, builder, array)
    shape, strides = (cgutils.unpack_tuple(builder, x) for x in (found.shape, found.strides))
    return cgutils.get_item_pointer2(
        context, builder, found.data, shape, strides, kind.layout, list(indices)
    )


def _load(builder, address, count):
    """Load several floats, wherever they lie."""
    pointer = ir.VectorType(_FLOAT, count).as_pointer()
    return builder.load(builder.bitcast(address, pointer), align=8)


def _store(builder, value, address):
    """Store several numbers, wherever they lie."""
    align = 8 if value.type.element == _FLOAT else 4
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=align)


def _repeat(builder, value, count):
    """Fill a register with one number."""
    kind = ir.VectorType(value.type, count)
    nothing, zero = ir.Constant(kind, ir.Undefined), ir.Constant(_INT32, 0)
    one = builder.insert_element(nothing, value, zero)
    zeros = ir.Constant(ir.VectorType(_INT32, count), [0] * count)
    return builder.shuffle_vector(one, nothing, zeros)


def _compress(builder, value, mask):
    """Move what the mask chooses to the front of a register."""
    kind = ir.FunctionType(value.type, [value.type, mask.type, value.type])
    of = "f64" if value.type.element == _FLOAT else "i32"
    name = f"llvm.experimental.vector.compress.v{value.type.count}{of}"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [value, mask, ir.Constant(value.type, ir.Undefined)])
