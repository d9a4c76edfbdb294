"""Work on ranges of atoms shared out to threads, the same ranges however many threads there are."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

__all__ = ["for_ranges", "ranges"]

_MOST_RANGES = 16


def ranges(n: int, fewest: int = 64) -> list[tuple[int, int]]:
    """Cut `n` atoms into at most 16 ranges of nearly equal length.

    They do not depend on the number of threads, so that neither do the last bits of sums over
    them. No range is shorter than `fewest` unless it is all there is: to hand one to another
    thread takes as long as the forces on some atoms.
    """
    count = max(1, min(_MOST_RANGES, n // fewest))
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]


def for_ranges(
    work: Callable[[int, int], object], parts: Sequence[tuple[int, int]], threads: int
) -> None:
    """Call work(first, last) for every range, on this thread and `threads - 1` others.

    Parameters
    ----------
    work : callable
        Releases the interpreter for most of its time, as compiled kernels do.
    parts : sequence of (first, last)
        The ranges.
    threads : int
        Threads to use, this one included.
    """
    if threads == 1 or len(parts) < 2:
        for part in parts:
            work(*part)
        return
    pool = _pool(threads - 1)
    waiting = [pool.submit(work, *part) for part in parts]
    try:
        for future, part in zip(reversed(waiting), reversed(parts), strict=True):
            if future.cancel():  # nobody has begun it: this thread works too
                work(*part)
    finally:
        for future in waiting:
            if not future.cancelled():
                future.result()


@functools.cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Keep threads: starting them takes as long as the forces on some atoms."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix="amp")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)
