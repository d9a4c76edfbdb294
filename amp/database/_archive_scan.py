"""Find the members of an archive whose index is lost: hop from stream to stream."""

from __future__ import annotations

from dataclasses import dataclass

from amp.database._archive_file import ArchiveFile
from amp.database._archive_index import Entry
from amp.database._archive_streams import (
    END,
    HEAD,
    MEMBER,
    MOST_TEXT,
    PREFIX_SIZE,
    REMOVAL,
    Stream,
    parse,
    streams_in,
)

__all__ = ["Found", "scanned"]

_WINDOW = 65536  # bytes read at once; small members need no call of their own
_LONGEST_HEADER = PREFIX_SIZE + MOST_TEXT + 4


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds, by its streams alone."""

    entries: list[Entry]
    salt: bytes | None  # None if there is not one stream
    end: int  # behind the last whole stream, that of the end of tar not counted


def scanned(file: ArchiveFile, start: int, salt: bytes | None) -> Found:
    """Hop over the streams of a file; where there is none, look for the next.

    Parameters
    ----------
    file : ArchiveFile
        The file.
    start : int
        Where the first stream should be.
    salt : bytes or None
        What the streams of this file have in common; None to take that of the first one. Without
        it a member that is an archive itself could be taken for a part of this one.

    Returns
    -------
    Found
        All members that are there from their first byte to their last.
    """
    file.update_size()
    entries: list[Entry] = []
    window = _Window(file)
    position = end = start
    while position < file.size:
        stream = window.parsed(position)
        is_whole = (
            stream is not None
            and stream.kind != HEAD
            and salt in (None, stream.salt)
            and position + stream.length <= file.size
        )
        if stream is None or not is_whole:
            position = window.next_start(position + 1)
            continue
        salt = stream.salt
        if stream.kind == MEMBER:
            entries.append((stream.text, position, stream.length))
        elif stream.kind == REMOVAL:
            entries.extend((name, 0, 0) for name in stream.text.split(b"\0"))
        position += stream.length
        if stream.kind != END:
            end = position
    return Found(entries, salt, end)


class _Window:
    """A piece of the file, moved along as it is read."""

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file
        self.start = 0
        self.data = b""

    def parsed(self, position: int) -> Stream | None:
        """Read the header at a position."""
        stream = self._parsed(position, PREFIX_SIZE + 256)
        if stream is None and self.data[position - self.start :].startswith(b"\x1f\x8b"):
            stream = self._parsed(position, _LONGEST_HEADER)
        return stream

    def next_start(self, position: int) -> int:
        """Return where the next header may be, at or behind a position."""
        while position < self.file.size:
            self._move(position, PREFIX_SIZE)
            for found in streams_in(self.data):
                if self.start + found >= position:
                    return self.start + found
            # The last bytes may be the begin of one.
            position = max(position + 1, self.start + len(self.data) - 3)
        return self.file.size

    def _parsed(self, position: int, size: int) -> Stream | None:
        self._move(position, size)
        return parse(self.data, position - self.start)

    def _move(self, position: int, size: int) -> None:
        """Have that many bytes behind a position at hand, if the file has them."""
        end = min(position + size, self.file.size)
        if position < self.start or end > self.start + len(self.data):
            self.start = position
            self.data = self.file.read_some(max(size, _WINDOW), position)
