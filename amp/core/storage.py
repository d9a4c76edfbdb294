"""Where derivatives of fingerprints are kept: what each way takes, and which one fits."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amp.core.errors import InsufficientMemoryError, OutputWriteError, ParameterError
from amp.core.memory import available_memory, format_bytes, parse_memory
from amp.core.typing import FloatArray

__all__ = ["WAYS", "Storage", "file_array"]

logger = logging.getLogger(__name__)

WAYS = ("float64", "float32", "recomputed", "disk")
_MARGIN = 0.1  # of the free memory, for what else goes on in this process and beside it


@dataclass(frozen=True, slots=True)
class Storage:
    """Ways in which derivatives may be kept, the first that fits being taken.

    `float64` and `float32` are kept in memory, in the latter case with errors of 6e-8; all
    arithmetic is of double precision. `recomputed` keeps neighbors alone, and computes products
    with the derivatives whenever they are needed. `disk` is `float64` in a file.
    """

    ways: tuple[str, ...] = ("float64",)
    memory: int | None = None  # most bytes that derivatives and neighbors may take
    file: str | None = None  # of `disk`; must not exist
    limited: bool = True  # without `memory`, that which is free is the limit

    @classmethod
    def of(
        cls, derivatives: Any, memory: Any, file: str | None = None, only_stored: bool = False
    ) -> Storage:
        """Read what the user of a training asks for.

        Parameters
        ----------
        derivatives : str
            'auto' or one of `WAYS`.
        memory : int, str or None
            Most memory for them, see `amp.core.memory.parse_memory`.
        file : str, optional
            File of 'disk'.
        only_stored : bool, default False
            What reads them needs them stored.

        Raises
        ------
        ParameterError
            If there is no such way, or it is not to be had.
        """
        if derivatives != "auto" and derivatives not in WAYS:
            raise ParameterError(
                f"derivatives is one of 'auto', {', '.join(map(repr, WAYS))}, not {derivatives!r}."
            )
        if derivatives == "recomputed" and only_stored:
            raise ParameterError(
                "Training with torch (device) needs stored derivatives: use derivatives='auto', "
                "'float64', 'float32' or 'disk', or leave device out."
            )
        if derivatives != "auto":
            return cls((derivatives,), parse_memory(memory), file, limited=False)
        ways = ("float64", "float32") if only_stored else ("float64", "float32", "recomputed")
        return cls(ways, parse_memory(memory), file)

    def budget(self) -> int | None:
        """Give how many bytes all of this may take; None where there is no telling.

        Of the free memory a margin is left, because other things grow, too.
        """
        if self.memory is not None:
            return self.memory
        free = available_memory()
        return None if free is None else int((1.0 - _MARGIN) * free)

    def choose(self, needs: Mapping[str, int], budget: int | None) -> str:
        """Take the first way that fits, and tell the log.

        Parameters
        ----------
        needs : mapping
            Way -> bytes.
        budget : int or None
            Bytes that there are.

        Raises
        ------
        InsufficientMemoryError
            If none fits; the message says what each takes, and what can be done.
        """
        estimate = (
            f"Derivatives and neighbors take {format_bytes(needs['float64'])} in float64, "
            f"{format_bytes(needs['float32'])} in float32, "
            f"{format_bytes(needs['recomputed'])} recomputed; "
        )
        if budget is None:
            estimate += "how much memory there is, is not known"
        else:
            whose = "may be used (memory)" if self.memory is not None else "can be used"
            estimate += f"{format_bytes(budget)} {whose}"
        for way in self.ways:
            if budget is None or needs[way] <= budget:
                reason = "as asked for" if len(self.ways) == 1 else "the first of these that fits"
                logger.info("%s. Chosen: %s, %s.", estimate, way, reason)
                return way
        if not self.limited and self.memory is None:
            logger.warning(
                "%s. Taken all the same: %s, as asked for. It may not fit.", estimate, self.ways[0]
            )
            return self.ways[0]
        raise InsufficientMemoryError(f"{estimate}: {self._advice(needs, budget)}")

    def _advice(self, needs: Mapping[str, int], budget: int | None) -> str:
        """Say what can be done when nothing fits."""
        fitting = [way for way in WAYS if way not in self.ways and needs[way] <= (budget or 0)]
        advice = ["fewer images, a shorter cutoff", "fewer symmetry functions"]
        if fitting:
            advice.insert(0, f"derivatives={fitting[0]!r}")
        if self.memory is not None:
            advice.insert(0, "more memory (the argument)")
        return f"too little for {' or '.join(self.ways)}. Use {', '.join(advice)}, or no forces."


def file_array(path: str, size: int) -> FloatArray:
    """Make a file of numbers that is read and written as an array in memory.

    Parameters
    ----------
    path : str
        File to make. One that exists is an error: nothing in it could be trusted.
    size : int
        Number of values.

    Returns
    -------
    ndarray, shape (size,)
        Zeros; the file lives as long as its name or this array.

    Raises
    ------
    OutputWriteError
        If the file exists, or there is no room for it.
    """
    n_bytes = max(1, size) * 8
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except OSError as error:
        raise OutputWriteError(f"{path} cannot be made: {error.strerror}.") from error
    try:
        if hasattr(os, "posix_fallocate"):  # a disk that is full later would end the process
            os.posix_fallocate(handle, 0, n_bytes)
        else:
            os.ftruncate(handle, n_bytes)
        memory = mmap.mmap(handle, n_bytes)
    except OSError as error:
        os.unlink(path)
        raise OutputWriteError(
            f"{path} needs {format_bytes(n_bytes)} on disk: {error.strerror}. Use a label on "
            "another disk, or derivatives='recomputed', which takes time instead."
        ) from error
    finally:
        os.close(handle)
    return np.frombuffer(memory, dtype=np.float64)[:size]
