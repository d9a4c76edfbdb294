"""Compress members, several at once where there are processors for it, and keep their order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from amp.core.cores import usable_cores
from amp.core.errors import ParameterError
from amp.database._archive_streams import MOST_BYTES, member_stream

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["checked_name", "packed"]

_WORTH_A_THREAD = 2**16  # bytes; handing a smaller member over takes longer than packing it
_MOST_NAME = 200  # bytes

Packed = list[memoryview]


def packed(members: Iterable[tuple[str, Any]], salt: bytes) -> Iterator[tuple[bytes, Packed]]:
    """Make the streams of members.

    Parameters
    ----------
    members : iterable of (str, bytes-like)
        Names and contents; read only as far ahead as there are processors to work.
    salt : bytes
        That of the archive.

    Yields
    ------
    bytes, list of memoryview
        The name, and the parts of its stream.

    Raises
    ------
    ParameterError
        If a name cannot be one, or a member is too large for tar.
    """
    now = int(time.time()) & 0xFFFFFFFF
    cores = usable_cores()
    waiting: deque[tuple[bytes, Future[Packed]]] = deque()
    pool: ThreadPoolExecutor | None = None
    try:
        for text, contents in members:
            name, data = checked_name(text), _checked(text, contents)
            if cores == 1 or (len(data) < _WORTH_A_THREAD and not waiting):
                yield name, member_stream(salt, name, data, now)
                continue
            if pool is None:
                from concurrent.futures import ThreadPoolExecutor

                pool = ThreadPoolExecutor(cores, thread_name_prefix="amp-archive")
            waiting.append((name, pool.submit(member_stream, salt, name, data, now)))
            if len(waiting) > 2 * cores:
                name, future = waiting.popleft()
                yield name, future.result()
        while waiting:
            name, future = waiting.popleft()
            yield name, future.result()
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def checked_name(name: str) -> bytes:
    """Return the bytes of a name that any tar can extract here and nowhere else.

    Raises
    ------
    ParameterError
        A `ValueError`, if there is no file of that name.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or len(encoded) > _MOST_NAME or name in (".", "..") or {"/", "\0"} & set(name):
        raise ParameterError(
            f"{name[:250]!r} cannot name a member of an archive: a name has 1 to {_MOST_NAME} "
            "bytes, no '/' and no zero byte, and is not '.' or '..'."
        )
    return encoded


def _checked(name: str, contents: Any) -> memoryview:
    """Return the contents as bytes, if tar can hold them."""
    data = memoryview(contents)
    data = data.cast("B") if data.nbytes else memoryview(b"")
    if len(data) > MOST_BYTES:
        raise ParameterError(
            f"{name} has {len(data)} bytes; a member of an archive has at most {MOST_BYTES}."
        )
    return data
