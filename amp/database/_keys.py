"""Keys of a database: which are possible, and where their files lie."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from amp.core.errors import ParameterError

__all__ = ["BROKEN", "MOST_BYTES", "checked_key", "is_key", "shard_of"]

MOST_BYTES = 200  # of a key in UTF-8; file names have 255, and something is put behind them
BROKEN = ".broken"  # what is put behind the name of a damaged entry


def checked_key(key: Any) -> str:
    """Return a key as text.

    Parameters
    ----------
    key : str or int
        The key; integers become text.

    Returns
    -------
    str
        A text that is a safe file name.

    Raises
    ------
    TypeError
        If it is neither text nor an integer.
    ParameterError
        A `ValueError`, if no file can have this name, or it would be read as something else.
    """
    if type(key) is not str:
        if isinstance(key, str):
            key = str.__str__(key)
        elif isinstance(key, int | np.integer) and not isinstance(key, bool):
            key = str(int(key))
        else:
            raise TypeError(f"Keys of a database are texts or integers, not {key!r:.100}.")
    reason = _objection(key)
    if reason is not None:
        raise ParameterError(
            f"{key!r:.250} cannot be the key of an entry: {reason}. Keys are names of files; a "
            "hash of what the value depends on, in hexadecimal digits, is a good one."
        )
    text: str = key
    return text


def is_key(name: str) -> bool:
    """Tell whether a name that was found is that of an entry."""
    return _objection(name) is None


def shard_of(name: str) -> str:
    """Return the subfolder of an entry: the first two digits of the key's MD5."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:2]


def _objection(name: str) -> str | None:
    """Return why a name cannot be that of an entry, None if it can."""
    if not name:
        return "it is empty"
    if name[0] == ".":
        return "it begins with a dot"
    if "/" in name or "\\" in name:
        return "it has a slash"
    if not name.isprintable():
        return "it has characters that cannot be seen"
    if name.endswith(BROKEN):
        return f"damaged entries end in {BROKEN}"
    if len(name) * 4 > MOST_BYTES and len(name.encode()) > MOST_BYTES:
        return f"it has more than {MOST_BYTES} bytes"
    return None
