"""What an archive held at one moment, as its readers see it."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from amp.core.errors import DamagedMemberError
from amp.database._archive_file import ArchiveFile, DamagedIndexError
from amp.database._archive_index import Reference, Segment, digest_of, live
from amp.database._archive_scan import scanned
from amp.database._archive_streams import (
    COMMIT,
    HEAD,
    MOST_TEXT,
    PREFIX_SIZE,
    contents_of,
    parse,
    plain_stream,
)

__all__ = [
    "HEAD_SIZE",
    "Slot",
    "View",
    "commit_stream",
    "head_stream",
    "is_ours",
    "open_view",
    "recovered_view",
]

logger = logging.getLogger(__name__)

_SLOT = struct.Struct("<QQI")
_CRC = struct.Struct("<I")
_GENERATION = struct.Struct("<Q")
SLOT_SIZE = _SLOT.size + _CRC.size
_SLOTS = PREFIX_SIZE + _CRC.size  # where in the file the first slot is
HEAD_SIZE = len(plain_stream(HEAD, bytes(4), body=bytes(2 * SLOT_SIZE)))
_TRIES = 5  # to read a head that somebody writes at the same moment


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the newest commit is; the head of a file has two, written in turn."""

    generation: int
    offset: int
    length: int

    def packed(self, salt: bytes) -> bytes:
        """Return its bytes."""
        data = _SLOT.pack(self.generation, self.offset, self.length)
        return data + _CRC.pack(zlib.crc32(salt + data))

    @property
    def place(self) -> int:
        """Where in the file it stands."""
        return _SLOTS + self.generation % 2 * SLOT_SIZE


class View:
    """The members of an archive at one moment; streams never move, so it stays valid.

    Parameters
    ----------
    file : ArchiveFile
        The file.
    head : bytes
        The head of the file when this was made.
    salt : bytes
        What all streams of this file have in their headers.
    generation : int
        Number of the commit.
    end : int
        Where in the file the next stream is to be written.
    segments : tuple of Segment
        The index, oldest part first.
    is_recovered : bool
        The index was lost, and the members found by looking for them.
    """

    def __init__(
        self,
        file: ArchiveFile,
        head: bytes,
        salt: bytes,
        generation: int,
        end: int,
        segments: tuple[Segment, ...],
        is_recovered: bool = False,
    ) -> None:
        self.file = file
        self.head = head
        self.salt = salt
        self.generation = generation
        self.end = end
        self.segments = segments
        self.is_recovered = is_recovered
        self._size = file.size

    def is_current(self, status: os.stat_result) -> bool:
        """Tell whether the file at the path still is as it was.

        Two cheap calls: the name still leads to this file, and its head is the same.
        """
        if (status.st_dev, status.st_ino) != self.file.identity:
            return False
        if self.is_recovered and status.st_size != self._size:
            return False
        return self.file.read_some(HEAD_SIZE, 0) == self.head

    def find(self, name: str) -> tuple[int, int] | None:
        """Return offset and length of a member's stream; None if there is none."""
        digest = digest_of(name.encode("utf-8", "surrogatepass"))
        for segment in reversed(self.segments):
            place = segment.find(digest)
            if place is not None:
                return place if place[1] else None
        return None

    def read(self, name: str) -> bytes:
        """Return the contents of a member.

        Raises
        ------
        KeyError
            If there is none.
        DamagedMemberError
            If it is not as it was written.
        """
        place = self.find(name)
        if place is None:
            raise KeyError(name)
        try:
            raw = self.file.read(place[1], place[0])
            return contents_of(raw, name.encode(), self.salt)
        except DamagedIndexError:
            reason = "the file ends before it does"
        except (DamagedMemberError, MemoryError) as error:
            reason = str(error) or "there is not enough memory for it"
        raise DamagedMemberError(f"{name} in {self.file.path} is damaged: {reason}.")

    def __len__(self) -> int:
        return len(self._live)

    def places(self) -> Iterator[tuple[bytes, int, int]]:
        """Give name, offset and length of every member, in the order of the file."""
        if not self.segments:
            return
        names = [name for segment in self.segments for name in segment.names()]
        records = np.concatenate([segment.records for segment in self.segments])
        chosen = self._live[np.argsort(records["offset"][self._live], kind="stable")]
        found = records[chosen]
        for place, offset, length in zip(
            chosen.tolist(), found["offset"].tolist(), found["length"].tolist(), strict=True
        ):
            yield names[place], offset, length

    def names(self) -> list[str]:
        """Return the names of all members, in the order of the file."""
        return [text for name, _, _ in self.places() if (text := _text(name)) is not None]

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each member's stream, in the order of the file."""
        return {
            text: length for name, _, length in self.places() if (text := _text(name)) is not None
        }

    @property
    def is_whole(self) -> bool:
        """Whether the index is as it was written."""
        return not self.is_recovered

    def live_bytes(self) -> int:
        """Return how many bytes of the file the members take."""
        if not self.segments:
            return 0
        lengths = np.concatenate([segment.records["length"] for segment in self.segments])
        return int(lengths[self._live].sum())

    @cached_property
    def _live(self) -> np.ndarray:
        """Places of the members among all records."""
        return live(self.segments) if self.segments else np.empty(0, np.int64)


def head_stream(salt: bytes, slot: Slot) -> bytes:
    """Write the first stream of a file, with the same slot twice."""
    return plain_stream(HEAD, salt, body=2 * slot.packed(salt))


def commit_stream(salt: bytes, generation: int, references: list[Reference]) -> bytes:
    """Write the stream that says which segments the index has."""
    text = _GENERATION.pack(generation) + b"".join(each.packed() for each in references)
    return plain_stream(COMMIT, salt, text=text)


def is_ours(file: ArchiveFile) -> bool:
    """Tell whether a file, perhaps damaged or cut, was written by this package."""
    start = file.read_some(HEAD_SIZE, 0)
    if len(start) < HEAD_SIZE:
        whole = head_stream(bytes(4), Slot(0, 0, 0))
        return start[:4] == whole[: len(start)][:4] and start[10:14] == whole[: len(start)][10:14]
    if (head := parse(start)) is not None and head.kind == HEAD:
        return True
    first = parse(file.read_some(1024, HEAD_SIZE))
    return first is not None and first.kind == COMMIT


def open_view(file: ArchiveFile, known: View | None = None) -> View:
    """Read the index of a file; where it is damaged, look for the members.

    Parameters
    ----------
    file : ArchiveFile
        A file for which `is_ours` is true.
    known : View, optional
        An earlier view of the same file; what is still valid is not read again.

    Returns
    -------
    View
        The members that the last commit has, or those that can be found.
    """
    previous = b""
    for _ in range(_TRIES):
        head = file.read_some(HEAD_SIZE, 0)
        if head == previous:
            break  # nobody is just writing it
        try:
            return _committed(file, head, known)
        except DamagedIndexError:
            previous = head
    return recovered_view(file)


def recovered_view(file: ArchiveFile) -> View:
    """Look for the members of a file whose index is damaged."""
    head = file.read_some(HEAD_SIZE, 0)
    first = parse(head)
    salt = first.salt if first is not None and first.kind == HEAD else None
    found = scanned(file, HEAD_SIZE, salt)
    slots = _slots(head, found.salt or b"")
    generation = max((slot.generation for slot in slots if slot is not None), default=0)
    segment = Segment.of_entries(found.entries)
    view = View(file, head, found.salt or b"", generation, found.end, (segment,), is_recovered=True)
    logger.warning(
        "The index of %s is damaged or cut; %d members were found without it.",
        file.path,
        len(view),
    )
    return view


def _slots(head: bytes, salt: bytes) -> list[Slot | None]:
    """Read the slots of a head; None for one that is damaged."""
    slots: list[Slot | None] = []
    for start in (_SLOTS, _SLOTS + SLOT_SIZE):
        data = head[start : start + SLOT_SIZE]
        if len(data) == SLOT_SIZE and Slot(*_SLOT.unpack(data[:-4])).packed(salt) == data:
            slots.append(Slot(*_SLOT.unpack(data[:-4])))
        else:
            slots.append(None)
    return slots


def _committed(file: ArchiveFile, head: bytes, known: View | None) -> View:
    """Read what the last commit says.

    A slot that is damaged may have been the newer one, so both are needed.
    """
    first = parse(head)
    if first is None or first.kind != HEAD:
        raise DamagedIndexError
    one, other = _slots(head, first.salt)
    if one is None or other is None:
        raise DamagedIndexError
    slot = max(one, other, key=lambda slot: slot.generation)
    if slot.length > 2 * MOST_TEXT:
        raise DamagedIndexError
    commit = parse(file.read(slot.length, slot.offset))
    if commit is None or (commit.kind, commit.salt) != (COMMIT, first.salt):
        raise DamagedIndexError
    table = commit.text[_GENERATION.size :]
    if commit.text[: _GENERATION.size] != _GENERATION.pack(slot.generation) or (
        len(table) % Reference.SIZE
    ):
        raise DamagedIndexError
    loaded = {segment.reference: segment for segment in known.segments} if known else {}
    segments = tuple(
        loaded.get(reference) or Segment(file, reference) for reference in Reference.unpacked(table)
    )
    end = slot.offset + slot.length
    return View(file, head, first.salt, slot.generation, end, segments)


def _text(name: bytes) -> str | None:
    """Return a name as text; None for one that this package would not have written."""
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        return None
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None
