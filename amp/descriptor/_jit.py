"""How kernels are compiled, and when compiled code that is kept on disk is still good.

Division is as numpy does it: a check for 0 would be a branch in every loop.  Products may be fused
with sums everywhere; NaN and infinity keep their meaning.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from amp.core.compiling import kept

__all__ = ["INLINED", "called", "entry", "inlined", "summing"]

# For functions that only compiled code calls: what would let others call them takes a third of
# the time of compiling.  Called from Python such a function ends the process.
PARTS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"},
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip
# Compilers call functions of the size of kernels, with a hundred arguments, unless told not to.
INLINED: dict[str, Any] = {**PARTS, "forceinline": True}
inlined = njit(**INLINED)
# The same where sums may be taken in any order, which lets them run in vector registers.
summing = njit(**INLINED | {"fastmath": {"reassoc", "contract", "nsz"}})
called = njit(**PARTS)  # large, from many places


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep it on disk with all that it calls.

    By itself numba notices changes only in the file that the function stands in; here a change in
    any file of the room counts.
    """
    kernel = kept(nogil=True, error_model="numpy")(function)
    # How numba marks what it keeps is not documented.  Where that has changed, its own mark holds,
    # which is enough for those who change no code.
    with contextlib.suppress(AttributeError, OSError):
        file = kernel._cache._cache_file
        file._source_stamp = (file._source_stamp, _state())
    return kernel


@functools.cache
def _state() -> tuple[tuple[str, float, int], ...]:
    """Give times and sizes of all files that kernels may be made of."""
    files = sorted(Path(__file__).parent.glob("_*.py"))
    return tuple((f.name, f.stat().st_mtime, f.stat().st_size) for f in files)
