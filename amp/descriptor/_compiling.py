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
def told_if_compiled(kernel: Any, arguments: tuple[Any, ...]) -> Iterator[None]:
    """Say in the log and on a terminal that a kernel called inside is going to be compiled.

    Parameters
    ----------
    kernel : numba dispatcher
        Function.
    arguments : tuple
        What it is going to be called with.
    """
    if not _is_to_be_compiled(kernel, arguments):
        yield
        return
    logger.info("%s.", MESSAGE)
    with status(MESSAGE):
        yield


def _is_to_be_compiled(kernel: Any, arguments: tuple[Any, ...]) -> bool:
    """Tell whether a kernel for these arguments is neither loaded nor in numba's cache on disk.

    How numba keeps its cache is not documented; where it has changed nothing is said.
    """
    if not hasattr(kernel, "overloads"):  # JIT is switched off
        return False
    from numba import typeof

    signature = tuple(typeof(argument) for argument in arguments)
    try:
        # Empty also for an older source.
        index = kernel._cache._cache_file._load_index()
        return signature not in {*kernel.overloads, *(key[0] for key in index)}
    except (AttributeError, OSError, TypeError):
        return False
