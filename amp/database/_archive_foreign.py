"""Read archives that other programs wrote: one gzip stream over all, several, or none.

They have no index, so all of such a file is read once to make one. On the way the state of the
decompression is kept every now and then, and reading a member goes on from the last such place
before it.
"""

from __future__ import annotations

import logging
import os
import tarfile
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from amp.core.errors import DamagedMemberError, ParameterError
from amp.database._archive_file import ArchiveFile
from amp.database._archive_pack import checked_name

__all__ = ["ForeignView"]

logger = logging.getLogger(__name__)

_CHUNK = 2**14  # compressed bytes read at once
_PIECE = 2**16  # bytes of a member looked at at once
_MOST_READ = 2**20  # bytes that a header of tar may have; hostile ones claim more
_SPACING = 2**20  # bytes between two states kept, at first
_MOST_STATES = 256  # each takes 40 kB


class ForeignView:
    """The members of an archive of another program, known by the last part of their names.

    Links, devices, and names that lead out of the folder are left out, and of several members
    with one name all but the last.

    Parameters
    ----------
    file : ArchiveFile
        The file.
    """

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file
        self._stamp = _stamp(file.status())
        self.is_whole = True  # it could be read to its end
        self._entries: dict[str, tuple[int, int, int]] = {}  # offset, size, CRC-32
        is_gzip = file.read_some(2, 0) == b"\x1f\x8b"
        start = _GzipCursor(file) if is_gzip else _PlainCursor(file)
        self._states: list[_Cursor] = [start.copy()]
        self._spacing = _SPACING
        self._recent: deque[_Cursor] = deque(maxlen=1)
        self._make_index(start)

    def is_current(self, status: os.stat_result) -> bool:
        """Tell whether the file at the path still is the one that was read."""
        return _stamp(status) == self._stamp

    def find(self, name: str) -> tuple[int, int] | None:
        """Return where in the tar file the data are, and their size; None if there are none."""
        entry = self._entries.get(name)
        return None if entry is None else entry[:2]

    def read(self, name: str) -> bytes:
        """Return the contents of a member.

        Raises
        ------
        KeyError
            If there is none.
        DamagedMemberError
            If it is not what it was when the file was first read.
        """
        offset, size, crc = self._entries[name]
        try:
            cursor = self._nearest(offset)
            cursor.skip(offset - cursor.position)
            data = cursor.read(size)
        except (EOFError, zlib.error):
            data = b""
        else:
            self._recent.append(cursor)
        if len(data) != size or zlib.crc32(data) != crc:
            raise DamagedMemberError(f"{name} in {self.file.path} is damaged.")
        return data

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        """Return the names of all members."""
        return list(self._entries)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each member's contents."""
        return {name: size for name, (_, size, _) in self._entries.items()}

    def live_bytes(self) -> int:
        """Return how many bytes of the file the members take; there is no telling them apart."""
        return self.file.size

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Give names and contents in the order of the file."""
        for name, _ in sorted(self._entries.items(), key=lambda item: item[1]):
            try:
                yield name, self.read(name)
            except DamagedMemberError as error:
                logger.warning("%s It is left out.", error)

    def _nearest(self, offset: int) -> _Cursor:
        """Return a cursor that stands before an offset: the last one, or a copy of a state."""
        place = bisect_right(self._states, offset, key=lambda state: state.position)
        state = self._states[place - 1]
        try:
            recent = self._recent.pop()  # nobody else has it now
        except IndexError:
            return state.copy()
        return recent if state.position <= recent.position <= offset else state.copy()

    def _make_index(self, cursor: _Cursor) -> None:
        """Read all of the file."""
        odd: list[str] = []
        trouble = ""
        tape = _Tape(cursor, self._keep_state)
        try:
            tar = tarfile.TarFile(fileobj=tape, errors="surrogateescape")  # type: ignore[arg-type]
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                if info.isdir():
                    continue
                name = _safe_name(info)
                if name is None or name in self._entries:
                    odd.append(info.name)
                if name is not None:
                    self._entries.pop(name, None)
                    self._entries[name] = (info.offset_data, info.size, tape.crc(info))
        except Exception as error:  # of hostile headers tarfile raises what comes up
            trouble = str(error)
        trouble = self._drain(cursor) or trouble
        if trouble:
            self.is_whole = False
            logger.warning(
                "%s cannot be read to its end (%s); %d members were found.",
                self.file.path,
                trouble,
                len(self._entries),
            )
        if odd:
            logger.warning(
                "%d members of %s are passed over, such as %r: they are replaced by later ones, no "
                "files, or lead elsewhere.",
                len(odd),
                self.file.path,
                odd[0],
            )

    def _drain(self, cursor: _Cursor) -> str:
        """Read what is left, since the checksum of a stream stands at its end.

        If it is wrong, so may be every member in that stream. Those of a stream that was merely
        cut are kept, unchecked: an altered stream may look like that.
        """
        try:
            while cursor.read(_PIECE):
                pass
        except EOFError as error:
            return str(error)
        except zlib.error as error:
            self._entries = {
                name: entry
                for name, entry in self._entries.items()
                if entry[0] + entry[1] <= cursor.stream_start
            }
            return str(error)
        return ""

    def _keep_state(self, cursor: _Cursor) -> None:
        """Remember how to go on from here, unless the last such place is near."""
        if cursor.position - self._states[-1].position < self._spacing:
            return
        self._states.append(cursor.copy())
        if len(self._states) > _MOST_STATES:
            del self._states[1::2]
            self._spacing *= 2


class _PlainCursor:
    """A place in a file that is not compressed."""

    def __init__(self, file: ArchiveFile, position: int = 0) -> None:
        self.file = file
        self.position = position
        self.stream_start = position

    def copy(self) -> _PlainCursor:
        return _PlainCursor(self.file, self.position)

    def skip(self, size: int) -> None:
        self.position += size

    def read(self, size: int) -> bytes:
        """Read on; fewer bytes only at the end."""
        self.file.update_size()
        data = self.file.read_some(min(size, max(0, self.file.size - self.position)), self.position)
        self.position += len(data)
        return data


class _GzipCursor:
    """A place in what gzip streams hold, from which reading goes on."""

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file
        self.position = 0
        self.stream_start = 0  # position at which the present stream began
        self._source = 0  # in the file
        self._inflate: Any = None  # between two streams

    def copy(self) -> _GzipCursor:
        other = _GzipCursor(self.file)
        other.position, other._source = self.position, self._source
        other._inflate = self._inflate and self._inflate.copy()
        return other

    def skip(self, size: int) -> None:
        while size > 0:
            data = self.read(min(size, _PIECE))
            if not data:
                raise EOFError
            size -= len(data)

    def read(self, size: int) -> bytes:
        """Read on; fewer bytes only at the end.

        Raises
        ------
        EOFError
            If the last stream is cut.
        zlib.error
            If it is damaged.
        """
        parts: list[bytes] = []
        while size > 0:
            try:
                data = self._read_once(size)
            except (EOFError, zlib.error):
                if parts:
                    break  # what comes before is right; the next call tells
                raise
            if data is None:
                break
            self.position += len(data)
            size -= len(data)
            parts.append(data)
        return b"".join(parts)

    def _read_once(self, size: int) -> bytes | None:
        """Inflate one piece of the file; None at the end."""
        raw = self.file.read_some(_CHUNK, self._source)
        if self._inflate is None:
            if not raw.startswith(b"\x1f\x8b"):
                return None  # the end, or padding behind it
            self._inflate = zlib.decompressobj(31)
            self.stream_start = self.position
        inflate = self._inflate
        data = inflate.decompress(raw, size)
        # At the end the tail is stale, or the same as what is unused.
        left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        self._source += len(raw) - len(left)
        if inflate.eof:
            self._inflate = None
        elif not raw and not data:
            raise EOFError("it ends within a gzip stream")
        return data


_Cursor = _PlainCursor | _GzipCursor


class _Tape:
    """What tarfile reads from: forward only, but for the last block."""

    def __init__(self, cursor: _Cursor, passed: Callable[[_Cursor], None]) -> None:
        self._cursor = cursor
        self._passed = passed
        self._start = 0  # of the buffer, in the tar file
        self._buffer = b""
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._start:
            raise ValueError("a header leads back")
        self._position = position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MOST_READ:
            raise ValueError(f"a header claims {size} bytes")
        parts: list[bytes] = []
        while size > 0:
            begin = self._position - self._start
            part = self._buffer[begin : begin + size]
            if part:
                parts.append(part)
                self._position += len(part)
                size -= len(part)
            elif not self._move_on():
                break
        return b"".join(parts)

    def crc(self, info: tarfile.TarInfo) -> int:
        """Read the data of a member and return their CRC-32."""
        self.seek(info.offset_data)
        left, crc = info.size, 0
        while left > 0:
            data = self.read(min(left, _PIECE))
            if not data:
                raise EOFError("it ends within a member")
            crc = zlib.crc32(data, crc)
            left -= len(data)
        return crc

    def _move_on(self) -> bool:
        """Replace the buffer by what follows it; False at the end."""
        self._passed(self._cursor)
        data = self._cursor.read(_PIECE)
        kept = self._buffer[-tarfile.BLOCKSIZE :]
        self._start += len(self._buffer) - len(kept)
        self._buffer = kept + data
        return bool(data)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes with a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _safe_name(info: tarfile.TarInfo) -> str | None:
    """Return the last part of a member's name; None if it is no file of this folder."""
    *folders, name = info.name.split("/")
    if not info.isreg() or info.issparse() or ".." in folders or folders[:1] == [""]:
        return None
    try:
        checked_name(name)
    except ParameterError:
        return None
    return name if info.size >= 0 else None
