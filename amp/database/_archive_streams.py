"""The gzip streams that an archive consists of: how each is written, recognized and read.

Every stream says in an extra field of its header what it is, how long it is, and to which file it
belongs, under a checksum; docs/archive_format.rst has the layout. Programs that know nothing of
this see gzip streams one after the other, and in them a tar file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from amp.core.errors import DamagedMemberError

__all__ = [
    "COMMIT",
    "END",
    "HEAD",
    "INDEX",
    "MEMBER",
    "MOST_TEXT",
    "PREFIX_SIZE",
    "REMOVAL",
    "Stream",
    "contents_of",
    "member_stream",
    "parse",
    "plain_stream",
    "streams_in",
]

HEAD, MEMBER, REMOVAL, INDEX, COMMIT, END = b"H", b"M", b"R", b"I", b"C", b"E"

MAGIC = b"\x1f\x8b\x08\x04"  # gzip, deflate, with an extra field
FIELD_ID = b"Am"
VERSION = 1
# magic, time, two bytes of gzip; size of all fields; id and size of ours; kind, version, salt,
# length of the stream, number (of bytes in a member), size of the text. Text and CRC-32 follow.
_PREFIX = struct.Struct("<4sI2sH2sHcB4sQQH")
_CRC = struct.Struct("<I")
_TRAILER = struct.Struct("<II")
PREFIX_SIZE = _PREFIX.size
_OUTSIDE = 12  # bytes before the fields that their size counts
_EMPTY = b"\x03\x00" + bytes(8)  # deflate of nothing, its CRC and size
_END_BLOCKS = bytes(1024)
_TAR_OWNER = b"0000644\0" + 2 * b"0000000\0"  # mode, user, group
_TAR_END = bytes(100) + b"ustar\0" + b"00" + bytes(247)
MOST_TEXT = 60000

BLOCK = 512
_STORED = 65535  # most bytes in one stored block of deflate
_WORTH_IT = 0.8  # what does not become smaller than this is stored, and read 5 times faster
_SAMPLES = 8  # pieces of a large member that are compressed to see whether it is worth it
_SAMPLE = 4096  # bytes of each
_MOST_EXPANSION = 1032  # of deflate
MOST_BYTES = 8**11 - 1  # of a member, in the header of tar


@dataclass(frozen=True, slots=True)
class Stream:
    """What the header of a stream says."""

    kind: bytes
    salt: bytes
    time: int
    length: int  # of the whole stream (bytes)
    number: int  # bytes in a member; of others 0
    text: bytes  # name of a member, names removed, table of a commit
    size: int  # of all that stands before the deflate data, without `body`
    body: int  # bytes of the extra field behind text and checksum


def plain_stream(kind: bytes, salt: bytes, text: bytes = b"", body: bytes = b"") -> bytes:
    """Write a stream in which tar sees nothing, or its end."""
    data = _EMPTY
    if kind == END:
        data = b"".join(_deflated([memoryview(_END_BLOCKS)]))
        data += _TRAILER.pack(zlib.crc32(_END_BLOCKS), len(_END_BLOCKS))
    return _header(kind, salt, 0, 0, text, len(body), len(data)) + body + data


def member_stream(salt: bytes, name: bytes, data: memoryview, time: int) -> list[memoryview]:
    """Write a member as a stream of its own.

    What hardly becomes smaller is stored. Otherwise deflate looks for runs only: of derivatives
    of fingerprints, which have many zeros, it leaves as much as the thorough search, in a third
    of the time.
    """
    pieces = [memoryview(tar_header(name, len(data), time)), data, memoryview(_padding(len(data)))]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    total = sum(map(len, pieces))
    body = _deflated(pieces) if _may_shrink(data) else None
    if body is None or sum(map(len, body)) > _WORTH_IT * total:
        body = _stored(pieces)
    size = sum(map(len, body))
    trailer = _TRAILER.pack(crc, total & 0xFFFFFFFF)
    header = _header(MEMBER, salt, time, len(data), name, 0, size + len(trailer))
    return [memoryview(header), *body, memoryview(trailer)]


def parse(data: bytes | memoryview, start: int = 0) -> Stream | None:
    """Read the header of a stream; None if there is none of ours, or not all of it."""
    if len(data) - start < PREFIX_SIZE:
        return None
    (
        magic, time, _, fields, field_id, field, kind, version, salt, length, number, n_text,
    ) = _PREFIX.unpack_from(data, start)  # fmt: skip
    if magic != MAGIC or field_id != FIELD_ID or version != VERSION or fields != field + 4:
        return None
    end = start + PREFIX_SIZE + n_text
    size = end + _CRC.size - start
    body = _OUTSIDE + fields - size
    if len(data) < end + _CRC.size or body < 0 or length < size + body + len(_EMPTY):
        return None
    if zlib.crc32(data[start:end]) != _CRC.unpack_from(data, end)[0]:
        return None
    text = bytes(data[end - n_text : end])
    return Stream(kind, salt, time, length, number, text, size, body)


def contents_of(raw: bytes, name: bytes, salt: bytes) -> bytes:
    """Read a member; never more than what its size allows is taken from memory.

    Parameters
    ----------
    raw : bytes
        The stream.
    name, salt : bytes
        What its header must say.

    Raises
    ------
    DamagedMemberError
        If anything in it is not as it was written. The name and file are for the caller to add.
    """
    head = parse(raw)
    if head is None or (head.kind, head.salt, head.text) != (MEMBER, salt, name):
        raise DamagedMemberError("its header is damaged")
    if head.length != len(raw) or head.body:
        raise DamagedMemberError("it is not as long as its header says")
    tar = tar_header(name, head.number, head.time)
    total = len(tar) + head.number + -head.number % BLOCK
    if total > _MOST_EXPANSION * len(raw):
        raise DamagedMemberError("it cannot hold as much as its header says")
    crc, isize = _TRAILER.unpack_from(raw, len(raw) - _TRAILER.size)
    if isize != total & 0xFFFFFFFF:
        raise DamagedMemberError("its size is wrong")
    packed = memoryview(raw)[head.size : -_TRAILER.size]
    parts = _stored_parts(packed)
    if parts is not None and parts[0] == tar:
        found = 0
        for part in parts:
            found = zlib.crc32(part, found)
        has_padding = head.number % BLOCK != 0
        data = b"".join(parts[1:-1] if has_padding else parts[1:])
        if len(data) == head.number and found == crc and sum(map(len, parts)) == total:
            return data
        raise DamagedMemberError("its checksum is wrong")
    return _inflated(packed, tar, head.number, total, crc)


def streams_in(data: bytes) -> Iterator[int]:
    """Find where headers of streams may begin in some bytes."""
    start = data.find(MAGIC)
    while start >= 0:
        yield start
        start = data.find(MAGIC, start + 1)


def tar_header(name: bytes, size: int, time: int) -> bytes:
    """Write what tar has before the data of a regular file.

    A function of its arguments alone, so that reading can compare every byte. Names of over 100
    bytes stand in a member of their own, as GNU tar has it: the form of POSIX (pax) knows names
    of characters only, and some programs complain where the locale does not have these.
    """
    block = _tar_block(name[:100], size, time, b"0")
    if len(name) <= 100:
        return block
    long = _tar_block(b"././@LongLink", len(name) + 1, time, b"L")
    return long + name + b"\0" + _padding(len(name) + 1) + block


def _tar_block(name: bytes, size: int, time: int, kind: bytes) -> bytes:
    """Write one header block; the fields are those of POSIX 1003.1 (ustar)."""
    start = name.ljust(100, b"\0") + _TAR_OWNER + b"%011o\0%011o\0" % (size, time)
    end = kind + _TAR_END
    # The checksum is the sum of all bytes, which is less than 2**16; itself it counts as blanks.
    checksum = zlib.adler32(end, zlib.adler32(start, 8 * ord(" "))) & 0xFFFF
    return b"%b%06o\0 %b" % (start, checksum, end)


def _padding(size: int) -> bytes:
    """Fill the last block."""
    return bytes(-size % BLOCK)


def _header(
    kind: bytes, salt: bytes, time: int, number: int, text: bytes, body: int, data: int
) -> bytes:
    """Write the header of a stream whose further parts have the sizes `body` and `data`."""
    size = PREFIX_SIZE + len(text) + _CRC.size
    fields = size - _OUTSIDE + body
    prefix = _PREFIX.pack(
        MAGIC, time, b"\x00\xff", fields, FIELD_ID, fields - 4, kind, VERSION, salt,
        size + body + data, number, len(text),
    )  # fmt: skip
    start = prefix + text
    return start + _CRC.pack(zlib.crc32(start))


def _may_shrink(data: memoryview) -> bool:
    """Try on some pieces whether compressing the whole is worth its time."""
    if len(data) < 2 * _SAMPLES * _SAMPLE:
        return True
    step = len(data) // _SAMPLES
    sample = [data[i : i + _SAMPLE] for i in range(0, step * _SAMPLES, step)]
    return sum(map(len, _deflated(sample))) < (1 + _WORTH_IT) / 2 * _SAMPLES * _SAMPLE


def _deflated(pieces: list[memoryview]) -> list[memoryview]:
    """Compress."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    packed = [*map(deflate.compress, pieces), deflate.flush()]
    return [memoryview(part) for part in packed if part]


def _stored(pieces: list[memoryview]) -> list[memoryview]:
    """Write deflate without compression; every piece begins a block."""
    blocks = [
        piece[i : i + _STORED] for piece in pieces if piece for i in range(0, len(piece), _STORED)
    ]
    result: list[memoryview] = []
    for number, block in enumerate(blocks, 1):
        n = len(block)
        result.append(memoryview(struct.pack("<BHH", number == len(blocks), n, n ^ 0xFFFF)))
        result.append(block)
    return result


def _stored_parts(packed: memoryview) -> list[memoryview] | None:
    """Read what `_stored` wrote, which needs no inflating; None if it is anything else."""
    parts: list[memoryview] = []
    position, end = 0, len(packed)
    while position + 5 <= end:
        final, n, check = struct.unpack_from("<BHH", packed, position)
        if final > 1 or n ^ check != 0xFFFF:
            return None
        position += 5
        parts.append(packed[position : position + n])
        position += n
        if final:
            return parts if position == end else None
    return None


def _inflated(packed: memoryview, tar: bytes, size: int, total: int, crc: int) -> bytes:
    """Inflate a member, at most one byte more than it may have."""
    inflate = zlib.decompressobj(-15)
    try:
        data = inflate.decompress(packed, total + 1)
    except zlib.error:
        raise DamagedMemberError("it cannot be inflated") from None
    if len(data) != total or not inflate.eof or inflate.unused_data:
        raise DamagedMemberError("its size is wrong")
    if zlib.crc32(data) != crc or not data.startswith(tar):
        raise DamagedMemberError("its checksum is wrong")
    return data[len(tar) : len(tar) + size]
