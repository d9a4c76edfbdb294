"""Values as bytes: everything comes back exactly, and nothing else is believed."""

import json
import math
import struct
import time
from collections import Counter, OrderedDict
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from amp.core.encoding import (
    ALIGNMENT,
    HEADER_SIZE,
    MAGIC,
    MAX_DEPTH,
    decode,
    encode,
    read_header,
)
from amp.core.errors import AmpError, DamagedDataError, ParameterError
from amp.core.parameters import Parameters

DTYPES = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.unsigned_integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | npst.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | npst.unicode_string_dtypes(endianness="?", max_len=5)
    | npst.byte_string_dtypes(max_len=5)
)
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.tuples(npst.arrays(DTYPES, SHAPES), st.sampled_from("CF")).map(
    lambda pair: np.array(pair[0], order=pair[1])
)
TEXTS = st.text() | st.text(st.characters(categories=("Cs", "Ll")))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.complex_numbers()
    | TEXTS
    | st.binary()
)
SCALARS = ARRAYS.filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0])
HASHABLES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
VALUES = st.recursive(
    LEAVES | ARRAYS | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLES, inner, max_size=4)
        | st.lists(st.tuples(HASHABLES, inner), max_size=4).map(OrderedDict)
        | st.dictionaries(st.text(), inner, max_size=3).map(Parameters)
    ),
    max_leaves=8,
)


def packed(value, name=""):
    return b"".join(encode(value, name))


def identical(a, b):
    """Whether two values are the same to the last bit, type and order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        flags = a.flags.c_contiguous, a.flags.f_contiguous
        return (
            (a.dtype.str, a.shape, flags)
            == (b.dtype.str, b.shape, (b.flags.c_contiguous, b.flags.f_contiguous))
        ) and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return identical((a.real, a.imag), (b.real, b.imag))
    if isinstance(a, dict):
        return identical(list(a.items()), list(b.items()))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return bool(a == b)


def forged(skeleton, blocks=b"", header=()):
    """Make encoded data with a right checksum and anything in them."""
    text = skeleton if isinstance(skeleton, bytes) else json.dumps(skeleton).encode()
    body = text
    if blocks:
        body += bytes(-(HEADER_SIZE + len(body)) % ALIGNMENT) + blocks
    fields = {
        "magic": MAGIC,
        "version": 1,
        "name": 0,
        "length": HEADER_SIZE + len(body),
        "skeleton": len(text),
    } | dict(header)
    start = struct.pack("<8sIIQQ", *fields.values())
    return start + sha256(start + body).digest() + body


@given(VALUES, TEXTS.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
@settings(deadline=None, max_examples=300)
def test_everything_comes_back_exactly(value, name):
    data = packed(value, name)
    assert identical(decode(data, name), value)
    assert read_header(data).length == len(data)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0],
        -0.0,
        math.inf,
        [1.5, -math.inf],
        5e-324,
        2**63 - 1,
        2**64,
        -(2**63) - 1,
        10**10000,
        True,
        "\ud83d\ude00",
        "\ud800 lone",
        "Größe 😀",
        "a\0b",
        b"",
        bytes(range(256)) * 3,
        np.str_("Cu\0"),
        np.bytes_(b"Cu\0"),
        np.float64(math.nan),
        np.float16(1.5),
        np.complex64(1 + 2j),
        np.bool_(True),
        np.array(5.0),
        np.array(["Cu", "O"]),
        np.array([b"Cu", b"O"]),
        np.zeros((0, 3)),
        np.zeros((5, 0, 2), order="F"),
        np.arange(6000.0).reshape(2, 3, 1000),
        np.asfortranarray(np.arange(6000.0).reshape(2, 3, 1000)),
        np.arange(3, dtype=">i4"),
        np.array([True, False]),
        {1: 2, "1": 3, None: 4, (1, (2.5, "a")): [5], b"b": (), 1.5: {}},
        OrderedDict([("b", 1), ("a", 2)]),
        Parameters(cutoff=6.5, keys=[1]),
        [[[]], (), {}],
        ["a", "l", ["f", "00"]],
        [None, True, "x", 1, 2.5],
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_special_values_come_back_exactly(value):
    assert identical(decode(packed(value)), value)


@pytest.mark.parametrize("step", [slice(None, None, 2), slice(None, None, -1)])
@pytest.mark.parametrize("size", [10, 10000])
def test_arrays_with_gaps_come_back_without(step, size):
    array = np.arange(float(size)).reshape(-1, 2)[step]
    assert identical(decode(packed(array)), np.ascontiguousarray(array))
    crossed = np.arange(float(size)).reshape(5, -1, 2)[:, step].transpose(1, 0, 2)
    assert identical(decode(packed(crossed)), np.ascontiguousarray(crossed))


@pytest.mark.parametrize("order", "CF")
def test_large_arrays_are_copied_neither_way(order):
    array = np.zeros((300, 400), order=order)
    parts = encode([array])
    data = b"".join(parts)
    (part,) = (part for part in parts if len(part) == array.nbytes)
    assert np.shares_memory(np.frombuffer(part, np.uint8), array)
    (back,) = decode(data)
    assert np.shares_memory(back, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_arrays_that_are_read_cannot_be_written_to(kind):
    for array in decode(kind(packed([np.arange(5.0), np.zeros((0, 2)), np.array(1)]))):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_blocks_lie_where_memory_maps_can_be_viewed():
    data = packed([np.full(3, 7, np.int8), np.full(5, 7.5), b"xyz", np.full(2, 9.25)], "name")
    for raw in (bytes([7, 7, 7]), struct.pack("d", 7.5), b"xyz", struct.pack("d", 9.25)):
        assert data.index(raw, HEADER_SIZE + 50) % ALIGNMENT == 0


def test_equal_values_are_equal_bytes_and_others_are_not():
    value = {"a": [np.arange(5.0), (1, 2)]}
    assert packed(value, "a") == packed({"a": [np.arange(5.0), (1, 2)]}, "a")
    digests = {
        read_header(packed(each, name)).digest
        for each, name in [(value, "a"), (value, "b"), ([1], "a"), ((1,), "a"), (1, "a"), (1.0, "")]
    }
    assert len(digests) == 6


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Unknown(), "The value is of a type that is not written (Unknown)"),
        ({"a": [1, {2, 3}]}, "The value['a'][1] is of a type that is not written (set)"),
        (
            [(1, np.array([None]))],
            "The value[0][1] is of a type that is not written (array of object)",
        ),
        ({(1, ...): 3}, "(its key (1, Ellipsis))[1] is of a type that is not written (ellipsis)"),
        (type("Complex", (complex,), {})(2j), "(Complex)"),
        (np.zeros(2, [("x", "f8")]), "array of [('x', '<f8')]"),
        (np.zeros(2, "M8[s]"), "array of datetime64[s]"),
        (np.zeros(2, np.longdouble), "array of float128"),
        (np.longdouble(2), "(longdouble)"),
        (np.ma.zeros(2), "(MaskedArray)"),
        (bytearray(3), "(bytearray)"),
        (type("Int", (int,), {})(3), "(Int)"),
        (type("Dict", (dict,), {})(), "(Dict)"),
    ],
    ids=lambda each: each[:30] if isinstance(each, str) else "",
)
def test_other_types_are_refused_with_their_place(value, message):
    if "float128" in message and np.longdouble(0).itemsize == 8:
        pytest.skip("long double is double here")
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert message in str(caught.value)
    assert isinstance(caught.value, AmpError)


def test_an_error_names_what_the_value_belongs_to():
    with pytest.raises(TypeError, match=r"^The value of 'copper'\['x'\]\[1\] is of a type"):
        encode({"x": [1, Counter("a")]}, "copper")


def test_complex_numbers_keep_signs_and_kinds_of_their_parts():
    value = [complex(-0.0, 0.0), complex(0.0, -0.0), complex(math.nan, -math.inf), 1.5 - 2j]
    assert identical(decode(packed(value)), value)


def test_values_that_are_too_deep_or_contain_themselves_are_refused():
    deep = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert decode(packed(deep)) == deep
    with pytest.raises(ParameterError, match="deeper than 100"):
        encode([deep])
    circle = {}
    circle["self"] = [circle]
    with pytest.raises(ParameterError, match="contains itself"):
        encode(circle)
    with pytest.raises(ParameterError, match="name"):
        encode(1, "x" * 70000)


def test_data_found_under_another_name_are_refused():
    data = packed([1], "right")
    assert decode(data) == decode(data, "right") == [1]
    with pytest.raises(DamagedDataError, match="belong to 'right', not to 'wrong'"):
        decode(data, "wrong")


SAMPLE = packed({"a": [np.arange(4.0), b"xy", (1.5, None)], "b": np.array(["Cu"])}, "sample")


@pytest.mark.parametrize("length", range(len(SAMPLE)))
def test_data_that_are_cut_anywhere_are_refused(length):
    with pytest.raises(DamagedDataError):
        decode(SAMPLE[:length])


@pytest.mark.parametrize("bit", range(8))
def test_data_with_any_bit_turned_are_refused(bit):
    for position in range(len(SAMPLE)):
        altered = bytearray(SAMPLE)
        altered[position] ^= 1 << bit
        with pytest.raises(DamagedDataError):
            decode(altered)


def test_data_with_something_behind_them_are_refused():
    with pytest.raises(DamagedDataError, match="bytes of"):
        decode(SAMPLE + b"\0")


@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    with pytest.raises(DamagedDataError):
        decode(noise)
    with pytest.raises(DamagedDataError):
        decode(MAGIC + noise)


FORGERIES = {
    "no JSON": (b"[", b""),
    "no ASCII": (b'"\xff"', b""),
    "nan": (b"NaN", b""),
    "an object": ({}, b""),
    "an object in a list": (["l", 1, {}], b""),
    "an empty part": ([], b""),
    "an unknown part": (["z", 1], b""),
    "an unhashable kind": ([[], 1], b""),
    "a number for a kind": ([1, 2], b""),
    "a huge array": (["a", "<f8", "C", 2**62], bytes(64)),
    "a huge array of few bytes": (["a", "|b1", "C", 2**40], b"\0"),
    "an impossible shape": (["a", "<f8", "C", 0, 2**70], b""),
    "many axes": (["a", "<f8", "C", *[1] * 100], bytes(8)),
    "a negative axis": (["a", "<f8", "C", -1, -1], bytes(8)),
    "an axis of 1.0": (["a", "<f8", "C", 1.0], bytes(8)),
    "a true axis": (["a", "<f8", "C", True], bytes(8)),
    "no order": (["a", "<f8", "K", 1], bytes(8)),
    "no type": (["a", 8, "C", 1], bytes(8)),
    "objects": (["a", "|O", "C", 1], bytes(8)),
    "fields": (["a", "f8,f8", "C", 1], bytes(16)),
    "large texts": (["a", "<U999999999", "C", 1], bytes(8)),
    "texts of no length": (["a", "<U0", "C", 1], b""),
    "an array without anything": (["a"], b""),
    "boolean 2": (["a", "|b1", "C", 2], b"\1\2"),
    "characters that there are not": (["a", "<U1", "C", 1], b"\xff\xff\xff\x7f"),
    "big-endian characters that there are not": (["a", ">U1", "C", 1], b"\0\x11\0\0"),
    "a scalar of an array's size": (["n", "<f8", "00" * 16], b""),
    "a scalar of objects": (["n", "|O", "00" * 8], b""),
    "a boolean scalar 2": (["n", "|b1", "02"], b""),
    "a scalar without digits": (["n", "<f8", "zz" * 8], b""),
    "a float of 7 bytes": (["f", "00" * 7], b""),
    "an integer with underscores": (["i", "1_0"], b""),
    "a list for an integer": (["i", ["1"]], b""),
    "a text that is none": (["s", "ff"], b""),
    "a text in a text": (["u", ["u", "a"]], b""),
    "bytes that are not there": (["b", 100], bytes(8)),
    "bytes of negative length": (["b", -5], bytes(8)),
    "bytes before the blocks": (["l", ["b", -64], ["b", 128]], bytes(64)),
    "half bytes": (["b", 1.5], bytes(8)),
    "a key twice": (["d", "a", 1, "a", 2], b""),
    "equal keys of two types": (["d", 1, 1, True, 2], b""),
    "a key without a value": (["d", "a"], b""),
    "a list as a key": (["d", ["l"], 1], b""),
    "an array as a key": (["d", ["a", "<f8", "C", 1], 1], bytes(8)),
    "something behind the blocks": (["a", "<f8", "C", 1], bytes(16)),
    "blocks without anybody": (["l"], bytes(8)),
    "a number of many digits": (b"1" * 5000, b""),
    "deep": (b'["l",' * 102 + b"1" + b"]" * 102, b""),
    "very deep": (b'["l",' * 10**5 + b"1" + b"]" * 10**5, b""),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_forged_data_are_refused_quickly(case):
    data = forged(*FORGERIES[case])
    start = time.process_time()
    with pytest.raises(DamagedDataError):
        decode(data)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    "header",
    [
        {"magic": b"\x93NUMPY\0\0"},
        {"version": 0},
        {"version": 2},
        {"name": 5},
        {"name": 2**32 - 1},
        {"length": 2**63},
        {"length": 0},
        {"skeleton": 2**63},
        {"skeleton": 1},
        {"skeleton": 0},
    ],
    ids=str,
)
def test_forged_headers_are_refused(header):
    assert decode(forged(["l", 1.5])) == [1.5]
    with pytest.raises(DamagedDataError):
        decode(forged(["l", 1.5], header=header))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=3)
        | st.sampled_from(
            ["a", "l", "t", "d", "o", "p", "b", "f", "i", "n", "s", "u", "y", "<f8", "C"]
        ),
        lambda inner: st.lists(inner, max_size=6),
    ),
    st.binary(max_size=200),
)
@settings(deadline=None)
def test_any_skeleton_is_a_value_or_refused(skeleton, blocks):
    try:
        value = decode(forged(skeleton, blocks))
    except DamagedDataError:
        return
    assert identical(decode(packed(value)), value)


def test_small_arrays_take_microseconds():
    array = np.arange(512.0)
    best = math.inf
    for _ in range(200):
        start = time.perf_counter()
        decode(packed(array, "a" * 32), "a" * 32)
        best = min(best, time.perf_counter() - start)
    assert best < 200e-6  # about 25 where nothing else runs
