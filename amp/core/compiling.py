"""Compiled functions that are kept on disk, wherever that is possible."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["kept"]

logger = logging.getLogger(__name__)


def kept(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is first called, and keep the code for other processes.

    Next to the source, in the user's cache folder or in NUMBA_CACHE_DIR, as numba finds them; where
    nothing can be written every process compiles anew, and is told what to do.

    Parameters
    ----------
    **options
        For `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        from numba import njit

        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # no folder can be written to
            _warn()
            return njit(**options)(function)

    return decorate


@functools.cache
def _warn() -> None:
    """Say once what cannot be kept."""
    logger.warning(
        "There is no folder to keep compiled code in: neither that of Amp nor the user's cache "
        "can be written to. Every start takes half a minute longer. Set the environment variable "
        "NUMBA_CACHE_DIR to a folder that can be written to."
    )
