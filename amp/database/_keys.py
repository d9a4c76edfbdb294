"""Names of databases and keys: which are possible, and where the files of keys lie."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from amp.core.errors import ParameterError, WrongTypeError

__all__ = ["BROKEN", "MOST_BYTES", "SUFFIX", "checked_key", "checked_path", "is_key", "shard_of"]

MOST_BYTES = 200  # of a key in UTF-8; file names have 255, and something is put behind them
SUFFIX = ".ampdb"
MOST_OF_NAME = 255  # bytes of the name of a folder; no common file system has more
BROKEN = ".broken"  # what is put behind the name of a damaged entry


def checked_path(filename: Any) -> str:
    """Return the folder of a database.

    Parameters
    ----------
    filename : str or os.PathLike
        The name that a user has given; ``.ampdb`` is put behind it if it is not there.

    Returns
    -------
    str
        The folder, relative if the name was.

    Raises
    ------
    WrongTypeError
        A `TypeError`, if it is neither text nor a path.
    ParameterError
        A `ValueError`, if no folder can have this name.
    """
    path = filename.__fspath__() if isinstance(filename, os.PathLike) else filename
    if not isinstance(path, str):
        raise WrongTypeError(f"The name of a database is a text or a path, not {filename!r:.100}.")
    path = path.rstrip("/")
    last = os.path.basename(path)
    reason = None
    if last in ("", ".", "..", SUFFIX):
        reason = "it names no database, as a text such as 'copper' does"
    elif "\0" in path:
        reason = "it has a character NUL, which names of files cannot have"
    else:
        path = path if path.endswith(SUFFIX) else path + SUFFIX
        try:
            longest = max(map(len, os.fsencode(path).split(b"/")))
        except UnicodeEncodeError:
            reason = "it has characters that names of files cannot have"
        else:
            if longest > MOST_OF_NAME:
                reason = f"a part of it has {longest} bytes, of at most {MOST_OF_NAME}"
    if reason is not None:
        raise ParameterError(f"{filename!r:.100} cannot be the name of a database: {reason}.")
    return path


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
    WrongTypeError
        A `TypeError`, if it is neither text nor an integer.
    ParameterError
        A `ValueError`, if no file can have this name, or it would be read as something else.
    """
    if type(key) is not str:
        if isinstance(key, str):
            key = str.__str__(key)
        elif isinstance(key, int | np.integer) and not isinstance(key, bool):
            key = str(int(key))
        else:
            raise WrongTypeError(f"Keys of a database are texts or integers, not {key!r:.100}.")
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
