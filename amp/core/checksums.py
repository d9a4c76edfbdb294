"""The checksum of data in parts: SHA-256, of long data on several threads."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from amp.core.cores import usable_cores

__all__ = ["PIECE", "checksum"]

PIECE = 2**18  # bytes; a part of every checksum of longer data
_MOST_THREADS = 4
_PIECES_PER_THREAD = 2  # fewer take no longer than the start of a thread


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

    def work() -> None:
        while (number := next(numbers)) < len(pieces):
            piece = hashlib.sha256()
            for part in pieces[number]:
                piece.update(part)  # others run meanwhile
            digests[number] = piece.digest()

    helpers = _started(work, min(_MOST_THREADS, len(pieces) // _PIECES_PER_THREAD) - 1)
    work()
    for helper in helpers:
        helper.join()
    return hashlib.sha256(b"".join(digests)).digest()


def _started(work: Callable[[], None], number: int) -> list[threading.Thread]:
    """Start threads, as many as there are processors for.

    They end with the work: a pool would not outlive a fork.
    """
    helpers: list[threading.Thread] = []
    for _ in range(min(number, usable_cores() - 1) if number > 0 else 0):
        helper = threading.Thread(target=work, daemon=True)
        try:
            helper.start()
        except RuntimeError:  # none to be had, such as at the end of the program
            break
        helpers.append(helper)
    return helpers


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
