"""What is told when kernels have to be compiled, which takes long once after an installation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amp.core.logs import status

__all__ = ["told_if_compiled"]

logger = logging.getLogger(__name__)

MESSAGE = "Compiling kernels, once per installation (about half a minute)"


@contextmanager
def told_if_compiled(kernel: Any) -> Iterator[None]:
    """Say in the log and on a terminal that a kernel called inside is going to be compiled.

    Parameters
    ----------
    kernel : numba dispatcher
        Function that has not run in this process.
    """
    if not _is_to_be_compiled(kernel):
        yield
        return
    logger.info("%s.", MESSAGE)
    with status(MESSAGE):
        yield


def _is_to_be_compiled(kernel: Any) -> bool:
    """Tell whether a kernel is neither loaded nor in numba's cache on disk.

    How numba keeps its cache is not documented; where it has changed nothing is said.
    """
    if getattr(kernel, "overloads", True):  # loaded, or no dispatcher: JIT is switched off
        return False
    try:
        return not kernel._cache._cache_file._load_index()  # empty also for an older source
    except (AttributeError, OSError):
        return False
