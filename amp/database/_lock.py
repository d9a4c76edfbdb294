"""A lock between processes, held on a file beside what it protects."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from amp.core.errors import DatabaseLockError
from amp.database._files import locking_failed

__all__ = ["FileLock"]

logger = logging.getLogger(__name__)

_PAUSE = 0.02  # s between two tries


class FileLock:
    """An exclusive lock; the system drops it when the process that holds it ends.

    One object is re-entrant: the thread that holds the lock may take it again. Other threads
    and other processes wait.

    Parameters
    ----------
    path : str
        File to hold the lock on. It is made, stays empty, and is never removed, because somebody
        may wait for it.
    timeout : float
        Longest time to wait (s).
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._forget()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        DatabaseLockError
            A `TimeoutError`, if somebody else holds it for too long, or the file system has no
            locks.
        OutputWriteError
            If the file cannot be made.
        """
        if self._process != os.getpid():  # a forked child holds nothing of its parent's
            self._forget()
        process = self._process
        start = time.monotonic()
        if not self._threads.acquire(timeout=self.timeout):
            raise self._too_long()
        try:
            if self._depth == 0:
                self._descriptor = self._acquired(start)
            self._depth += 1
            try:
                yield
            finally:
                if process == os.getpid():  # else a child leaves what its parent entered
                    self._depth -= 1
                    if self._depth == 0:
                        self._release()
        finally:
            if process == os.getpid():
                self._threads.release()

    def _forget(self) -> None:
        """Begin without the lock."""
        self._process = os.getpid()
        self._threads = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    def _acquired(self, start: float) -> int:
        """Wait for the lock and return its open file."""
        import fcntl

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise locking_failed(self.path, error) from error
        is_told = False
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                        raise DatabaseLockError(
                            f"{self.path} cannot be locked ({error.strerror}); without locks two "
                            "programs could write at once. Keep the database on a file system "
                            "that has them."
                        ) from error
                waited = time.monotonic() - start
                if waited > self.timeout:
                    raise self._too_long()
                if waited > 1.0 and not is_told:
                    logger.info("Waiting for %s, which another program holds.", self.path)
                    is_told = True
                time.sleep(_PAUSE)
        except BaseException:
            os.close(descriptor)
            raise

    def _release(self) -> None:
        """Give the lock back."""
        import fcntl

        descriptor, self._descriptor = self._descriptor, -1
        try:
            # Closing alone would leave it to a child that inherited the file.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _too_long(self) -> DatabaseLockError:
        return DatabaseLockError(
            f"{self.path} has been locked by another program for {self.timeout:.0f} s. Wait "
            "until that has finished archiving; the lock of one that was killed is free."
        )
