"""Nested values as bytes and back, exactly: the form of cache entries and of messages.

Nothing that is read is executed. A reader believes nothing before the checksum is right, and
no size before it has compared it with what is there. The form itself is described on the page
"Files of a database" of the documentation.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from amp.core.checksums import checksum
from amp.core.errors import DamagedDataError, ParameterError, WrongTypeError
from amp.core.parameters import Parameters

__all__ = ["HEADER_SIZE", "MAGIC", "Header", "check", "decode", "encode", "read_header"]

MAGIC = b"\x93AMPDATA"  # no text, no pickle and no gzip stream begins like this
VERSION = 1
ALIGNMENT = 64  # of arrays; what vector registers and memory maps like
MAX_DEPTH = 100  # of nesting
MAX_NAME = 2**16

_HEADER = struct.Struct("<8sIIQQ32s")  # magic, version, three lengths, checksum
HEADER_SIZE = _HEADER.size
_HASHED = HEADER_SIZE - 32  # bytes of the header that the checksum covers

_SMALL = 16384  # bytes; an array below is copied sooner than a view of it is made
_PADDING = bytes(ALIGNMENT)
_NUMBERS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
_DTYPES = {
    np.dtype(order + name).str: np.dtype(order + name) for name in _NUMBERS for order in "<>"
}
_TEXT_DTYPE = re.compile(r"\|S[1-9][0-9]{0,8}|[<>]U[1-9][0-9]{0,8}")
_HEXADECIMAL = re.compile(r"-?[0-9a-f]+")
_JSON_INTEGERS = range(-(2**63), 2**64)  # others may have more digits than `json` reads

_CONSTANTS = (type(None), bool)
_MAPPINGS: dict[type, str] = {dict: "d", OrderedDict: "o", Parameters: "p"}


class Header(NamedTuple):
    """What the first `HEADER_SIZE` bytes of encoded data say."""

    length: int  # of everything, this header included
    name_length: int
    skeleton_length: int
    digest: bytes  # checksum of everything else: equal data have equal ones


def encode(value: Any, name: str = "") -> list[bytes | memoryview]:
    """Turn nested data into bytes that `decode` brings back exactly.

    Parameters
    ----------
    value : object
        None, bool, int, float, complex, str, bytes, list, tuple, dict, `OrderedDict`, `Parameters`,
        numpy arrays and scalars of booleans, numbers up to double precision and texts; nested at
        will. Keys of dictionaries may be anything of these that is hashable.
    name : str
        What the data belong to. The checksum covers it, so that data found under another name
        are noticed.

    Returns
    -------
    list of bytes and memoryview
        The parts, to be written one after the other. Large arrays are not copied: write the
        parts before an array changes.

    Raises
    ------
    WrongTypeError
        A `TypeError`, if something is of another type, be it derived from one of these; the
        message says where it stands.
    ParameterError
        A `ValueError`, if the nesting is deeper than 100 or the name is too long.

    Notes
    -----
    Arrays keep type, byte order, shape and the order of their axes in memory (one with gaps
    comes back in C order). Nan keeps its bits, and texts their lone surrogates.
    """
    blocks: list[bytes | memoryview] = []
    try:
        skeleton = _JSON_ENCODER.encode(_described(value, blocks, 0)).encode("ascii")
    except _UnknownTypeError:
        raise WrongTypeError(_complaint(value, name)) from None
    label = name.encode()
    if len(label) > MAX_NAME:
        raise ParameterError(f"A name has {len(label)} bytes; at most {MAX_NAME} are possible.")
    parts: list[bytes | memoryview] = [b"", label + skeleton]
    position = HEADER_SIZE + len(label) + len(skeleton)
    for block in blocks:
        gap = -position % ALIGNMENT
        if gap:
            parts.append(_PADDING[:gap])
        parts.append(block)
        position += gap + len(block)
    start = _HEADER.pack(MAGIC, VERSION, len(label), position, len(skeleton), bytes(32))[:_HASHED]
    parts[0] = start
    parts[0] = start + checksum(parts)
    return parts


def read_header(data: Any) -> Header:
    """Read the header of encoded data.

    Parameters
    ----------
    data : bytes-like
        At least `HEADER_SIZE` bytes; others after them are not looked at.

    Returns
    -------
    Header
        What it says, unchecked but for the lengths fitting each other.

    Raises
    ------
    DamagedDataError
        A `ValueError`, if this is no header that can be read.
    """
    if len(data) < HEADER_SIZE:
        raise DamagedDataError(f"There are {len(data)} bytes; a header has {HEADER_SIZE}.")
    magic, version, name_length, length, skeleton_length, digest = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise DamagedDataError(f"Encoded data begin with {MAGIC!r}, not with {magic!r}.")
    if version != VERSION:
        raise DamagedDataError(f"The data are of version {version}; known is {VERSION}.")
    if name_length > MAX_NAME or HEADER_SIZE + name_length + skeleton_length > length:
        raise DamagedDataError("The lengths in the header contradict each other.")
    return Header(length, name_length, skeleton_length, digest)


def check(data: Any, name: str | None = None, *, verified: bool = False) -> Header:
    """Find out whether encoded data are as they were written, without decoding them.

    Parameters
    ----------
    data, name, verified
        As in `decode`.

    Returns
    -------
    Header
        Their header.

    Raises
    ------
    DamagedDataError
        A `ValueError`, if the data are cut, altered or named otherwise.
    """
    header = read_header(data)
    if header.length != len(data):
        raise DamagedDataError(f"There are {len(data)} bytes of {header.length}.")
    if not verified:
        with memoryview(data) as view:
            found_digest = checksum([view[:_HASHED], view[HEADER_SIZE:]])
        if found_digest != header.digest:
            raise DamagedDataError("The checksum is wrong: the data have been altered.")
    found = bytes(data[HEADER_SIZE : HEADER_SIZE + header.name_length])
    if name is not None and found != name.encode():
        text = found.decode(errors="replace")
        raise DamagedDataError(f"The data belong to {text!r}, not to {name!r}.")
    return header


def decode(data: Any, name: str | None = None, *, verified: bool = False) -> Any:
    """Bring back what `encode` wrote.

    Parameters
    ----------
    data : bytes-like
        Everything from the first byte to the last: bytes, or a memory map.
    name : str, optional
        The name that the data should have; without one, any is right.
    verified : bool, default False
        The checksum has been found right before.

    Returns
    -------
    object
        The value. Its arrays are views of `data` and cannot be written to.

    Raises
    ------
    DamagedDataError
        A `ValueError`, if the data are cut, altered, named otherwise, or were never encoded by
        `encode`.
    """
    header = check(data, name, verified=verified)
    start = HEADER_SIZE + header.name_length
    end = start + header.skeleton_length
    reader = _Reader(data, end)
    try:
        text = str(data[start:end], "ascii")
        skeleton, length = _JSON_DECODER.raw_decode(text)
        if length != len(text):
            _refuse("there is something behind the skeleton")
        value = reader.value(skeleton, 0)
    except RecursionError:
        raise DamagedDataError("The data are nested too deeply.") from None
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, DamagedDataError):
            raise
        raise DamagedDataError(f"The data cannot be read: {error}") from error
    if reader.position != len(data):
        raise DamagedDataError("The data are longer than what they describe.")
    return value


# ------------------------------------------------------------------------------ writing


class _UnknownTypeError(TypeError):
    """Something is of a type that is not written; where, is found out afterwards."""


def _described(value: Any, blocks: list[bytes | memoryview], depth: int) -> Any:
    """Turn a value into what JSON has; arrays and bytes go to the blocks."""
    kind = type(value)
    if kind is np.ndarray:
        return _described_array(value, blocks)
    if kind is str:
        return value if value.isascii() else _described_text(value)
    if kind is float:
        return value if math.isfinite(value) else ["f", struct.pack(">d", value).hex()]
    if kind is int:
        return value if value in _JSON_INTEGERS else ["i", format(value, "x")]
    if kind in _CONSTANTS:
        return value
    if kind is complex:
        return ["c", struct.pack(">dd", value.real, value.imag).hex()]
    if kind is bytes:
        blocks.append(value)
        return ["b", len(value)]
    if depth >= MAX_DEPTH:
        raise ParameterError(f"A value is nested deeper than {MAX_DEPTH}, or contains itself.")
    if kind is list:
        return ["l", *_described_items(value, blocks, depth)]
    if kind is tuple:
        return ["t", *_described_items(value, blocks, depth)]
    if kind in _MAPPINGS:
        flat = [part for item in value.items() for part in item]
        return [_MAPPINGS[kind], *_described_items(flat, blocks, depth)]
    if isinstance(value, np.generic):
        return _described_scalar(value)
    raise _UnknownTypeError


def _described_items(
    values: list[Any] | tuple[Any, ...], blocks: list[bytes | memoryview], depth: int
) -> Iterable[Any]:
    """Turn each of the values into what JSON has."""
    if set(map(type, values)) == {float} and all(map(math.isfinite, values)):
        return values
    return [_described(value, blocks, depth + 1) for value in values]


def _described_text(text: str) -> Any:
    """Keep a text as it is, unless it has surrogates, which JSON would join to pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return ["s", text.encode("utf-8", "surrogatepass").hex()]
    return text


def _described_array(array: np.ndarray[Any, Any], blocks: list[bytes | memoryview]) -> list[Any]:
    """Describe an array, whose numbers become a block."""
    dtype = array.dtype.str
    if dtype not in _DTYPES and (array.dtype.names or not _TEXT_DTYPE.fullmatch(dtype)):
        raise _UnknownTypeError
    flags = array.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    if array.nbytes <= _SMALL:
        blocks.append(array.tobytes(order))  # type: ignore[arg-type]  # "C" or "F"
    else:
        straight = array.T if order == "F" else np.ascontiguousarray(array)
        blocks.append(straight.reshape(-1).view(np.uint8).data)
    return ["a", dtype, order, *array.shape]


def _described_scalar(scalar: np.generic) -> list[Any]:
    """Describe a numpy scalar; texts apart, since arrays drop NUL at their ends."""
    if type(scalar) is np.str_:
        return ["u", _described_text(str.__str__(scalar))]  # plain str drops NUL
    if type(scalar) is np.bytes_:
        return ["y", bytes(scalar).hex()]
    if scalar.dtype.str not in _DTYPES:
        raise _UnknownTypeError
    return ["n", scalar.dtype.str, scalar.tobytes().hex()]


def _complaint(value: Any, name: str) -> str:
    """Say what cannot be written and where it stands."""
    place = ""
    while True:
        step, inner = _first_unknown_part(value)
        if step is None:
            break
        place += step
        value = inner
    kind = f"array of {value.dtype}" if type(value) is np.ndarray else type(value).__name__
    whose = f" of {name!r}" if name else ""
    return (
        f"The value{whose}{place} is of a type that is not written ({kind}); turn it into numbers, "
        "texts, bytes, lists, tuples, dictionaries or arrays of numbers."
    )


def _first_unknown_part(value: Any) -> tuple[str | None, Any]:
    """Return the first part of a value that cannot be written; None if there is none."""
    parts: list[tuple[str, Any]] = []
    if type(value) in (list, tuple):
        parts = [(f"[{index}]", item) for index, item in enumerate(value)]
    elif type(value) in _MAPPINGS:
        for key, item in value.items():
            parts += [(f" (its key {key!r:.100})", key), (f"[{key!r:.100}]", item)]
    for step, part in parts:
        try:
            _described(part, [], 0)
        except _UnknownTypeError:
            return step, part
    return None, None


# ------------------------------------------------------------------------------ reading


class _Reader:
    """Brings back a value from its skeleton and the blocks, which follow in its order."""

    __slots__ = ("data", "position")

    def __init__(self, data: Any, position: int) -> None:
        self.data = data
        self.position = position  # behind the last block

    def value(self, data: Any, depth: int) -> Any:
        """Bring back a value."""
        if type(data) is not list:
            if type(data) is dict:
                _refuse("an object of JSON stands in the skeleton")
            return data
        if depth > MAX_DEPTH:
            _refuse("the nesting is too deep")
        tag = data[0] if data else None
        if tag == "a":
            return self.array(data)
        if tag == "l":
            return self.items(data, depth)
        if tag == "t":
            return tuple(self.items(data, depth))
        if type(tag) is str and tag in _FACTORIES:
            return self.mapping(data, depth)
        if tag == "b":
            start, end = self.block(_only(data, int))
            return bytes(self.data[start:end])
        if type(tag) is str and tag in _LEAVES:
            return _LEAVES[tag](data)
        _refuse(f"there is a part of an unknown kind, {tag!r:.40}")

    def items(self, data: list[Any], depth: int) -> list[Any]:
        """Bring back all but the first, the tag."""
        del data[0]
        kinds = set(map(type, data))
        if list in kinds or dict in kinds:
            return [self.value(item, depth + 1) for item in data]
        return data

    def mapping(self, data: list[Any], depth: int) -> Any:
        """Bring back a dictionary, in which no key is twice."""
        make = _FACTORIES[data[0]]
        flat = self.items(data, depth)
        mapping = make(zip(flat[::2], flat[1::2], strict=True))
        if 2 * len(mapping) != len(flat):
            _refuse("a dictionary has the same key twice")
        return mapping

    def block(self, length: int) -> tuple[int, int]:
        """Return where the next block begins and ends."""
        start = self.position + -self.position % ALIGNMENT
        end = start + length
        if length < 0 or end > len(self.data):
            _refuse(f"a block of {length:.6g} bytes does not fit into the data")
        self.position = end
        return start, end

    def array(self, data: list[Any]) -> np.ndarray[Any, Any]:
        """Bring back an array as a view of the data."""
        _, name, order, *shape = data
        dtype = _dtype(name)
        if order not in ("C", "F") or not all(type(n) is int and n >= 0 for n in shape):
            _refuse("an array has a shape that is none")
        start, end = self.block(math.prod(shape) * dtype.itemsize)
        if start == end:
            array = np.empty(shape, dtype, order)
        else:
            array = np.ndarray(shape, dtype, self.data, start, order=order)
            if dtype.kind in "bU":
                _check_contents(dtype, self.data, start, end)
        array.flags.writeable = False
        return array


def _dtype(name: Any) -> np.dtype[Any]:
    """Return an element type by its name."""
    if type(name) is str:
        if name in _DTYPES:
            return _DTYPES[name]
        if _TEXT_DTYPE.fullmatch(name):
            return np.dtype(name)
    _refuse(f"an array is of an unknown type, {name!r:.40}")


def _check_contents(dtype: np.dtype[Any], data: Any, start: int, end: int) -> None:
    """Refuse bytes that are no booleans or no characters, with which numpy does anything."""
    size = 1 if dtype.kind == "b" else 4
    codes = np.frombuffer(data, f"{dtype.str[0]}u{size}", (end - start) // size, start)
    if codes.max() > (1 if dtype.kind == "b" else 0x10FFFF):
        _refuse("an array has booleans or characters that there are not")


def _only(data: list[Any], kind: type) -> Any:
    """Return the only thing behind a tag, of this type."""
    if len(data) != 2 or type(data[1]) is not kind:
        _refuse(f"a part of the kind {data[0]!r} is malformed")
    return data[1]


def _integer(data: list[Any]) -> int:
    digits = _only(data, str)
    if not _HEXADECIMAL.fullmatch(digits):
        _refuse("a number has other digits than hexadecimal ones")
    return int(digits, 16)


def _float(data: list[Any]) -> float:
    value: float = struct.unpack(">d", _raw(_only(data, str), 8))[0]
    return value


def _complex(data: list[Any]) -> complex:
    return complex(*struct.unpack(">dd", _raw(_only(data, str), 16)))


def _text(data: list[Any]) -> str:
    return bytes.fromhex(_only(data, str)).decode("utf-8", "surrogatepass")


def _numpy_text(data: list[Any]) -> np.str_:
    text = data[1] if len(data) == 2 else None
    if type(text) is list and text[:1] == ["s"]:
        text = _text(text)
    if type(text) is not str:
        _refuse("a text is malformed")
    return np.str_(text)


def _numpy_bytes(data: list[Any]) -> np.bytes_:
    return np.bytes_(bytes.fromhex(_only(data, str)))


def _scalar(data: list[Any]) -> Any:
    _, name, digits = data
    if name not in _DTYPES or type(digits) is not str:
        _refuse(f"a number is of an unknown type, {name!r:.40}")
    raw = _raw(digits, _DTYPES[name].itemsize)
    if _DTYPES[name].kind == "b":
        _check_contents(_DTYPES[name], raw, 0, 1)
    return np.frombuffer(raw, _DTYPES[name])[0]


def _raw(digits: str, length: int) -> bytes:
    """Return bytes written in hexadecimal digits."""
    raw = bytes.fromhex(digits)
    if len(raw) != length:
        _refuse(f"a number has {len(raw)} bytes instead of {length}")
    return raw


def _refuse(what: str) -> NoReturn:
    raise DamagedDataError(f"The data cannot be read: {what}.")


_FACTORIES: dict[str, Callable[..., Any]] = {tag: kind for kind, tag in _MAPPINGS.items()}
_LEAVES: dict[str, Callable[[list[Any]], Any]] = {
    "c": _complex,
    "f": _float,
    "i": _integer,
    "n": _scalar,
    "s": _text,
    "u": _numpy_text,
    "y": _numpy_bytes,
}
_JSON_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False)
_JSON_DECODER = json.JSONDecoder(parse_constant=lambda name: _refuse(f"{name} stands in it"))
