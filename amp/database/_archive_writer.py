"""Write an archive: members first, then the index, and last the pointer that makes them count."""

from __future__ import annotations

import os
from collections.abc import Iterable

from amp.core.errors import DamagedMemberError, OutputWriteError
from amp.database._archive_file import ArchiveFile, DamagedIndexError
from amp.database._archive_index import Entry, Reference, Segment, merged, segment_streams
from amp.database._archive_scan import scanned
from amp.database._archive_streams import (
    END,
    MOST_TEXT,
    REMOVAL,
    contents_of,
    plain_stream,
)
from amp.database._archive_view import (
    HEAD_SIZE,
    Slot,
    commit_stream,
    head_stream,
    open_view,
    recovered_view,
)

__all__ = ["Writer"]

_BUFFER = 2**20  # bytes gathered for one call
_MOST_ENTRIES = 16384  # members and bytes that one commit has; an interrupted append loses
_MOST_BYTES = 2**28  # no more than that
_MOST_SEGMENTS = 1000  # what a commit has room for


class Writer:
    """Appends to the file of an archive; for whoever holds its lock.

    Parameters
    ----------
    path : str
        A file for which `is_ours` is true. What stands behind its last commit is cut off.
    is_damaged : bool
        Make a new index, although that of the file looks right at first sight.

    Raises
    ------
    OutputWriteError
        If it cannot be written.
    """

    def __init__(self, path: str, is_damaged: bool = False) -> None:
        self.path = path
        self._commits_early = True
        self._is_changed = False
        self._descriptor = -1
        self._entries: list[Entry] = []
        self._parts: list[bytes | memoryview] = []
        self._buffered = 0
        file = ArchiveFile(path)
        view = recovered_view(file) if is_damaged else open_view(file)
        self.salt = view.salt
        self.end = self._position = view.end  # behind the last commit; behind what was written
        self._generation = view.generation
        self._segments = list(view.segments)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            os.ftruncate(self._descriptor, view.end)
            if view.is_recovered:
                self._mend()
        except OSError as error:
            self.close()
            raise self._failed(error) from error

    @classmethod
    def create(cls, path: str, salt: bytes | None = None) -> Writer:
        """Make the file of an empty archive and open it.

        Parameters
        ----------
        path : str
            A file that does not exist.
        salt : bytes, optional
            That of the archive whose members will be copied.
        """
        salt = os.urandom(4) if salt is None else salt
        commit = commit_stream(salt, 0, [])
        head = head_stream(salt, Slot(0, HEAD_SIZE, len(commit)))
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
            with open(descriptor, "wb") as file:
                file.write(head + commit + plain_stream(END, salt))
        except OSError as error:
            raise OutputWriteError(f"{path} cannot be written: {error.strerror}.") from error
        writer = cls(path)
        writer._commits_early = False  # nobody reads it before it is complete
        return writer

    def close(self) -> None:
        """Close the file; what was not committed does not count."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def add(self, name: bytes, parts: Iterable[bytes | memoryview]) -> None:
        """Write the stream of a member."""
        self._is_changed = True
        start = self._position
        for part in parts:
            self._write(part)
        self._entries.append((name, start, self._position - start))
        is_enough = self._position - self.end > _MOST_BYTES
        if self._commits_early and (is_enough or len(self._entries) >= _MOST_ENTRIES):
            self.commit(is_last=False)
        elif len(self._entries) >= _MOST_ENTRIES:
            self._gather()

    def remove(self, names: Iterable[bytes]) -> None:
        """Write that names are members no more."""
        self._is_changed = True
        group: list[bytes] = []
        size = 0
        for name in names:
            if group and size + len(name) + 1 > MOST_TEXT:
                self._write(plain_stream(REMOVAL, self.salt, text=b"\0".join(group)))
                group, size = [], 0
            group.append(name)
            size += len(name) + 1
            self._entries.append((name, 0, 0))
        if group:
            self._write(plain_stream(REMOVAL, self.salt, text=b"\0".join(group)))

    def commit(self, is_last: bool = True) -> None:
        """Make all that was written count, and bring it to the disk.

        Members and index reach the disk before the pointer in the head is changed; a program that
        is killed in between leaves the archive as it was before.

        Parameters
        ----------
        is_last : bool
            Nothing is to follow soon: small parts of the index are merged.
        """
        if not self._is_changed:
            return
        self._gather()
        if is_last or len(self._segments) > _MOST_SEGMENTS:
            try:
                self._segments = merged(self._segments)
            except DamagedIndexError:
                self._flush()
                self._mend()
                return
        slot = self._write_index()
        self._put(slot.packed(self.salt), slot.place)
        self._sync()

    def rollback(self) -> None:
        """Undo what was written since the last commit."""
        self._parts, self._buffered, self._entries = [], 0, []
        self._segments = [each for each in self._segments if each.reference is not None]
        try:
            os.ftruncate(self._descriptor, self.end)
            os.pwrite(self._descriptor, plain_stream(END, self.salt), self.end)
        except OSError:
            pass  # it does not count, and the next writer cuts it off
        self._position = self.end

    def _gather(self) -> None:
        """Make a part of the index of what was written."""
        if self._entries:
            self._segments.append(Segment.of_entries(self._entries))
            self._entries = []

    def _mend(self) -> None:
        """Write a new index of the members that can be found and are whole."""
        file = ArchiveFile(self.path)
        whole: list[Entry] = []
        for name, offset, length in scanned(file, HEAD_SIZE, self.salt or None).entries:
            try:
                if length:
                    contents_of(file.read(length, offset), name, self.salt)
            except (DamagedMemberError, DamagedIndexError):
                continue  # an older one of that name may be whole
            whole.append((name, offset, length))
        self.salt = self.salt or os.urandom(4)
        self._segments = [Segment.of_entries(whole)]
        slot = self._write_index()
        self._put(head_stream(self.salt, slot), 0)
        self._sync()

    def _write_index(self) -> Slot:
        """Bring everything to the disk, with a commit; return what will point to it."""
        references: list[Reference] = []
        for segment in self._segments:
            if segment.reference is None:
                streams, segment.reference = segment_streams(segment, self.salt, self._position)
                self._write(streams)
            references.append(segment.reference)
        offset = self._position
        commit = commit_stream(self.salt, self._generation + 1, references)
        self._write(commit)
        end = self._position
        self._write(plain_stream(END, self.salt))
        self._flush()
        self._sync()
        self._generation += 1
        self.end = self._position = end
        return Slot(self._generation, offset, len(commit))

    def _write(self, part: bytes | memoryview) -> None:
        """Write behind what was written before."""
        self._parts.append(part)
        self._buffered += len(part)
        self._position += len(part)
        if self._buffered >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        """Hand what was gathered to the system."""
        if self._parts:
            data = b"".join(self._parts)
            self._put(data, self._position - len(data))
            self._parts, self._buffered = [], 0

    def _put(self, data: bytes, offset: int) -> None:
        """Write at a place, all of it."""
        view = memoryview(data)
        try:
            while view:
                n = os.pwrite(self._descriptor, view, offset)
                view, offset = view[n:], offset + n
        except OSError as error:
            raise self._failed(error) from error

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputWriteError:
        if isinstance(error, OutputWriteError):
            return error
        return OutputWriteError(f"{self.path} cannot be written: {error.strerror}.")
