"""Where in an archive each member stands: tables that are sorted by a digest of the name.

An archive has several such segments, each written once and never changed; of two that know a
name the later one is right. Small ones are merged into larger ones, as in a log-structured merge
tree, so that n additions write O(n log n) records.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from amp.core.typing import IntArray
from amp.database._archive_file import ArchiveFile, DamagedIndexError
from amp.database._archive_streams import INDEX, plain_stream

__all__ = ["Entry", "Reference", "Segment", "digest_of", "live", "merged", "segment_streams"]

_RECORD = np.dtype([("digest", "S16"), ("offset", "<u8"), ("length", "<u8")])
_RECORD_FIELDS = struct.Struct("<16sQQ")  # quicker than numpy for a single record
_REFERENCE = struct.Struct("<QQQII")
_PAGE = 65280  # bytes of a table in one stream, whose extra field has at most 65535
_AROUND = len(plain_stream(INDEX, bytes(4)))  # bytes of a stream around its part of the table

Entry = tuple[bytes, int, int]  # name, offset and length of its stream; length 0: removed


def digest_of(name: bytes) -> bytes:
    """Return what a name is looked up by; other names cannot be made to have the same."""
    return hashlib.blake2b(name, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a segment stands in the file, and what it must look like."""

    offset: int
    count: int
    name_bytes: int  # bytes of the table of names, which stands behind that of records
    record_crc: int
    name_crc: int

    SIZE = _REFERENCE.size

    def packed(self) -> bytes:
        """Return the form in which a commit has it."""
        return _REFERENCE.pack(
            self.offset, self.count, self.name_bytes, self.record_crc, self.name_crc
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Sequence[Reference]:
        """Read those of a commit."""
        return [cls(*fields) for fields in _REFERENCE.iter_unpack(data)]


class Segment:
    """A table of members, read when it is first needed.

    Parameters
    ----------
    file : ArchiveFile or None
        What to read from; None if the tables are given.
    reference : Reference or None
        Where it stands; None until it is written.
    records : ndarray, shape (count,)
        The records, sorted by digest; None if they are in the file.
    names : list of bytes
        The names in the same order; None if they are in the file.
    """

    def __init__(
        self,
        file: ArchiveFile | None,
        reference: Reference | None,
        records: npt.NDArray[np.void] | None = None,
        names: list[bytes] | None = None,
    ) -> None:
        self.file = file
        self.reference = reference
        self._given = records
        self._names = names

    @classmethod
    def of_entries(cls, entries: Iterable[Entry]) -> Segment:
        """Make a table of what was written; of entries with the same name the last one counts."""
        last = {digest_of(name): (name, offset, length) for name, offset, length in entries}
        digests = sorted(last)
        records = np.empty(len(digests), _RECORD)
        for column, values in (
            ("digest", digests),
            ("offset", [last[digest][1] for digest in digests]),
            ("length", [last[digest][2] for digest in digests]),
        ):
            records[column] = values
        return cls(None, None, records, [last[digest][0] for digest in digests])

    def __len__(self) -> int:
        if self.reference is not None:
            return self.reference.count
        return len(self.records)

    @cached_property
    def records(self) -> npt.NDArray[np.void]:
        """Digest, offset and length of each member, sorted by digest."""
        if self._given is not None:
            return self._given
        assert self.file is not None
        assert self.reference is not None
        size = self.reference.count * _RECORD.itemsize
        data = _read_pages(self.file, self.reference.offset, size, self.reference.record_crc)
        return np.frombuffer(data, _RECORD)

    @cached_property
    def digests(self) -> npt.NDArray[np.bytes_]:
        """The digests alone: what is searched lies close together."""
        return np.ascontiguousarray(self.records["digest"])

    @cached_property
    def _table(self) -> memoryview:
        """The bytes of the records."""
        return np.ascontiguousarray(self.records).view(np.uint8).data

    def names(self) -> list[bytes]:
        """Return the names in the order of the records; an empty one if the name is removed."""
        if self._names is not None:
            return self._names
        assert self.file is not None
        assert self.reference is not None
        count = self.reference.count
        start = self.reference.offset + _paged_size(count * _RECORD.itemsize)
        table = _read_pages(self.file, start, self.reference.name_bytes, self.reference.name_crc)
        if len(table) < 2 * count:
            raise DamagedIndexError
        text = bytes(table[2 * count :])
        ends = np.cumsum(np.frombuffer(table[: 2 * count], "<u2"), dtype=np.int64).tolist()
        if (ends[-1] if ends else 0) != len(text):
            raise DamagedIndexError
        return [text[a:b] for a, b in pairwise([0, *ends])]

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return offset and length of a member, length 0 if removed; None if it is not here."""
        place = int(self.digests.searchsorted(np.bytes_(digest)))
        if place == len(self.digests):
            return None
        found, offset, length = _RECORD_FIELDS.unpack_from(self._table, place * _RECORD.itemsize)
        return (offset, length) if found == digest else None


def live(segments: Sequence[Segment]) -> IntArray:
    """Choose the members that count among the records of all segments, laid end to end."""
    return _latest(segments, with_removed=False)


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Join segments so that each is larger than all later ones together."""
    counts = [len(segment) for segment in segments]
    for first in range(len(segments) - 1):
        if counts[first] <= sum(counts[first + 1 :]):
            joined = _joined(segments[first:], with_removed=first > 0)
            return [*segments[:first], joined]
    return list(segments)


def segment_streams(segment: Segment, salt: bytes, offset: int) -> tuple[bytes, Reference]:
    """Write a segment as streams that stand at an offset."""
    records = segment.records.tobytes()
    names = segment.names()
    table = np.array([len(name) for name in names], "<u2").tobytes() + b"".join(names)
    reference = Reference(offset, len(segment), len(table), zlib.crc32(records), zlib.crc32(table))
    return _pages(records, salt) + _pages(table, salt), reference


def _latest(segments: Sequence[Segment], with_removed: bool) -> IntArray:
    """Return for every name the place of its last record, in the order of digests."""
    lengths = np.concatenate([segment.records["length"] for segment in segments])
    if len(segments) == 1:
        places = np.arange(len(lengths))
    else:
        digests = np.concatenate([segment.digests for segment in segments])
        order = np.argsort(digests, kind="stable")
        ordered = digests[order]
        is_last = np.ones(len(order), bool)
        is_last[:-1] = ordered[1:] != ordered[:-1]
        places = order[is_last]
    return places if with_removed else places[lengths[places] > 0]


def _joined(segments: Sequence[Segment], with_removed: bool) -> Segment:
    """Make one segment of several."""
    places = _latest(segments, with_removed)
    records = np.concatenate([segment.records for segment in segments])[places]
    names = [name for segment in segments for name in segment.names()]
    return Segment(None, None, records, [names[place] for place in places.tolist()])


def _pages(table: bytes, salt: bytes) -> bytes:
    """Spread a table over the extra fields of streams."""
    view = memoryview(table)
    return b"".join(
        plain_stream(INDEX, salt, body=bytes(view[i : i + _PAGE]))
        for i in range(0, len(table), _PAGE)
    )


def _paged_size(size: int) -> int:
    """Return how many bytes of file a table takes."""
    return size + -(-size // _PAGE) * _AROUND


def _read_pages(file: ArchiveFile, offset: int, size: int, crc: int) -> memoryview:
    """Read a table that was spread over streams.

    Nothing but its checksum is looked at: a wrong header in between does no harm here.
    """
    raw = file.read(_paged_size(size), offset)
    before = _AROUND - 10  # what stands before the table; deflate and its checksum follow
    full, rest = divmod(size, _PAGE)
    stride = _AROUND + _PAGE
    pages = np.frombuffer(raw, np.uint8, full * stride).reshape(full, stride)
    table = np.empty(size, np.uint8)
    table[: full * _PAGE].reshape(full, _PAGE)[:] = pages[:, before : before + _PAGE]
    start = full * stride + before
    table[full * _PAGE :] = np.frombuffer(raw, np.uint8)[start : start + rest]
    if zlib.crc32(table.data) != crc:
        raise DamagedIndexError
    return table.data
