"""The open file of an archive, which closes when nobody reads from it any more."""

from __future__ import annotations

import os
import stat

from amp.core.errors import AmpFileError

__all__ = ["ArchiveFile", "DamagedIndexError"]


class DamagedIndexError(Exception):
    """The index of an archive is not as it was written; its members may be."""


class ArchiveFile:
    """A file open for reading at given places, by several threads and forked processes at once.

    It has no position that these could take from each other, and is closed with its last user: a
    thread that reads goes on when another one finds that the archive was replaced.

    Parameters
    ----------
    path : str
        A regular file; symbolic links are not followed.

    Raises
    ------
    AmpFileError
        If it is no regular file.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise AmpFileError(
                f"{path} is a symbolic link; an archive is a file in its folder. "
                "Put the file itself there."
            )
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(path, flags)
        status = self.status()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no file"
            raise AmpFileError(f"{path} is {what}, where an archive belongs. Move it away.")
        self.path = path
        self.identity = (status.st_dev, status.st_ino)
        self.size = status.st_size

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Read bytes at a place; never more than the file has.

        Raises
        ------
        DamagedIndexError
            If the file ends before.
        """
        if offset + size > self.size:
            self.update_size()
            if offset + size > self.size:
                raise DamagedIndexError
        try:
            data = os.pread(self._descriptor, size, offset)
        except MemoryError:  # a file with a hole may claim any size
            raise DamagedIndexError from None
        while len(data) < size:
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                raise DamagedIndexError
            data += more
        return data

    def read_some(self, size: int, offset: int) -> bytes:
        """Read at most so many bytes at a place; fewer only at the end of the file."""
        return os.pread(self._descriptor, size, offset)

    def status(self) -> os.stat_result:
        """Ask the system about the file."""
        return os.fstat(self._descriptor)

    def update_size(self) -> None:
        """Ask again how long the file is."""
        self.size = self.status().st_size
