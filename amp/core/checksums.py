"""The checksum of data in parts: SHA-256, of long data on several threads."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from amp.core.cores import usable_cores

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["PIECE", "checksum"]

PIECE = 2**18  # bytes; a part of every checksum of longer data
_MOST_THREADS = 4
_PIECES_PER_THREAD = 2  # fewer are done before another thread wakes up


def checksum(parts: Iterable[Any]) -> bytes:
    """Return a checksum of the data that some parts make when put one after the other.

    That of data up to 256 KiB is their SHA-256. That of longer data is the SHA-256 of the SHA-256
    of each 256 KiB of them, which several threads can find at once.

    Parameters
    ----------
    parts : iterable of bytes-like
        The data; where one part ends and the next one begins has no influence.

    Returns
    -------
    bytes
        32 bytes.
    """
    kept = list(parts)
    if sum(map(len, kept)) <= PIECE:
        return hashlib.sha256(b"".join(kept)).digest()
    pieces = _pieces([memoryview(part) for part in kept])
    digests = [b""] * len(pieces)
    numbers = itertools.count()

    def find(number: int) -> bytes:
        piece = hashlib.sha256()
        for part in pieces[number]:
            piece.update(part)  # others run meanwhile
        return piece.digest()

    def work() -> None:
        while (number := next(numbers)) < len(pieces):
            digests[number] = find(number)

    n_helpers = min(_MOST_THREADS, len(pieces) // _PIECES_PER_THREAD, _cores()) - 1
    helpers = _submitted(work, n_helpers)
    work()
    for helper in helpers:
        if not helper.cancel():  # that has not begun, which is no more needed
            helper.result()
    # One that could not be submitted may have begun all the same, and not be done.
    whole = [digest or find(number) for number, digest in enumerate(digests)]
    return hashlib.sha256(b"".join(whole)).digest()


def _submitted(work: Callable[[], None], number: int) -> list[Future[None]]:
    """Let other threads work, too; fewer where they are not to be had."""
    helpers: list[Future[None]] = []
    try:
        for _ in range(number):
            helpers.append(_pool().submit(work))
    except RuntimeError:  # none to be had, such as at the end of the program
        pass
    return helpers


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Keep threads: starting one takes as long as hashing 100 kB."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_MOST_THREADS - 1, thread_name_prefix="amp-checksum")


@functools.cache
def _cores() -> int:
    """Keep the number, which the system tells in a file."""
    return usable_cores()


def _forget() -> None:
    """Begin anew in a forked process: threads do not survive that."""
    _pool.cache_clear()
    _cores.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _pieces(parts: list[memoryview]) -> list[list[memoryview]]:
    """Cut data into pieces of the same length, the last being shorter."""
    pieces: list[list[memoryview]] = []
    room = 0
    for part in parts:
        start = 0
        while start < len(part):
            if room == 0:
                pieces.append([])
                room = PIECE
            taken = part[start : start + room]
            pieces[-1].append(taken)
            start += len(taken)
            room -= len(taken)
    return pieces
