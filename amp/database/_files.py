"""Files and folders of a database: made, written, read and locked."""

from __future__ import annotations

import errno
import itertools
import os
from contextlib import suppress

from amp.core.errors import OutputWriteError

__all__ = [
    "SharedLock",
    "locking_failed",
    "make_database",
    "new_file",
    "read_all",
    "signature_of",
    "sync_folder",
    "unlink_quietly",
    "write_all",
    "writing_failed",
]

_PARTS = 512  # of one call to write; systems allow 1024
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_IN_THE_WAY = {
    errno.ELOOP: "it is a symbolic link",
    errno.EMLINK: "it is a symbolic link",  # as some systems say
    errno.EISDIR: "it is a folder",
    errno.ENXIO: "it is no file",
}
_temporary_number = itertools.count()
_process_token = os.urandom(4).hex()


class SharedLock:
    """The lock of the loose entries: shared by those who write, not by those who take away."""

    __slots__ = ("_descriptor", "_is_shared", "_path")

    def __init__(self, path: str, is_shared: bool) -> None:
        self._path = path
        self._is_shared = is_shared

    def __enter__(self) -> bool:
        """Take the lock; tell whether there is such a thing here."""
        import fcntl

        try:
            self._descriptor = os.open(self._path, _LOCK, 0o666)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise locking_failed(self._path, error) from error
            raise
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH if self._is_shared else fcntl.LOCK_EX)
        except OSError:  # file systems without locks have no archiving either
            return False
        except BaseException:
            os.close(self._descriptor)
            raise
        return True

    def __exit__(self, *exception: object) -> None:
        import fcntl

        try:
            # Closing alone would leave it to a process that was forked meanwhile.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError:
            pass
        finally:
            os.close(self._descriptor)


def writing_failed(path: str, error: OSError) -> OutputWriteError:
    """Return the error that says that a file of a database cannot be written."""
    advice = {
        errno.ENOSPC: " Make room, or pack or remove old entries.",
        errno.EDQUOT: " Make room, or pack or remove old entries.",
        errno.EACCES: " Ask its owner, or use a database of your own.",
        errno.EROFS: " Use a database elsewhere.",
        errno.ENOTDIR: " A file is in the way of a folder; move it, or use another name.",
    }.get(error.errno or 0, "")
    reason = error.strerror or error
    failure = OutputWriteError(
        f"{path} cannot be written: {reason}. What was there before still is.{advice}"
    )
    failure.errno = error.errno
    return failure


def locking_failed(path: str, error: OSError) -> OutputWriteError:
    """Return the error that says that the file of a lock cannot be used."""
    reason = _IN_THE_WAY.get(error.errno or 0)
    if reason is None:
        text = f"{path} cannot be made: {error.strerror}. Whoever writes needs it."
    else:
        text = f"{path} cannot be locked: {reason}. Remove it; an empty file takes its place."
    failure = OutputWriteError(text)
    failure.errno = error.errno
    return failure


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from others that have had its name."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_all(descriptor: int, size: int) -> bytes:
    """Read a file from its beginning; it may have become shorter."""
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    chunks = [data]
    while data:  # systems read no more than 2 GiB at once
        data = os.read(descriptor, size)
        chunks.append(data)
    return b"".join(chunks)[:size]


def new_file(folder: str) -> tuple[str, int]:
    """Make a temporary file that nobody else has; its name is that of no entry."""
    while True:
        token = f"{os.getpid():x}-{_process_token}-{next(_temporary_number):x}"
        path = f"{folder}/.{token}.tmp"
        try:
            return path, os.open(path, _CREATE, 0o666)
        except FileExistsError:
            continue


def write_all(descriptor: int, parts: list[bytes | memoryview]) -> None:
    """Write all parts one after the other."""
    if len(parts) == 1:
        n = os.write(descriptor, parts[0])
        if n == len(parts[0]):
            return
        parts = [memoryview(parts[0])[n:]]
    views = [memoryview(part) for part in parts]
    while views:
        n = os.writev(descriptor, views[:_PARTS])
        while views and n >= len(views[0]):
            n -= len(views.pop(0))
        if n:
            views[0] = views[0][n:]


def unlink_quietly(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def sync_folder(folder: str) -> None:
    """Bring the names in a folder to the disk, where the system can do that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_database(path: str, durable: bool) -> None:
    """Make the folder of a database with all that belongs to it, or nothing."""
    parent = os.path.dirname(path) or "."
    os.makedirs(parent, exist_ok=True)
    if os.path.isdir(path):  # an archive that somebody has put there
        os.makedirs(f"{path}/loose", exist_ok=True)
        return
    # Without the name, with which it could be longer than a name may be.
    temporary = f"{parent}/.ampdb-{os.urandom(8).hex()}.tmp"
    os.mkdir(temporary)
    try:
        os.mkdir(f"{temporary}/loose")
        os.rename(temporary, path)
    except OSError as error:
        if os.path.isdir(f"{temporary}/loose"):
            os.rmdir(f"{temporary}/loose")
        os.rmdir(temporary)
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    if durable:
        sync_folder(path)
        sync_folder(parent)
