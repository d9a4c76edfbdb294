"""What a process keeps in memory of a database: the values used last, up to a limit."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from amp.core.encoding import decode
from amp.core.parameters import Parameters

__all__ = ["MemoryLayer"]

Give = Callable[[], Any]

_FLAT = frozenset({type(None), bool, int, float, str, bytes})
_PER_ENTRY = 400  # bytes: key, tuple, closure and their places in the dictionary
_PER_ARRAY = 200
_PER_ITEM = 16  # of a list or dictionary, beside the item itself


class MemoryLayer:
    """Values by key, those used longest ago being given up first.

    Nothing that is done to a value that was given out changes what is kept: lists and
    dictionaries are given out as new ones, arrays as views that cannot be written to.

    Parameters
    ----------
    limit : int or None
        Most bytes to keep; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.evictions = 0
        self.size = 0  # bytes
        self._entries: OrderedDict[str, tuple[Give, int]] = OrderedDict()
        self._lock = threading.Lock()
        _LAYERS.add(self)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Any) -> bool:
        return name in self._entries

    def get(self, name: Any) -> Give | None:
        """Return what makes the value of a key, None if it is not kept."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        try:  # noqa: SIM105, as suppressing takes as long as all else here
            self._entries.move_to_end(name)
        except KeyError:
            pass  # another thread has just given it up
        return entry[0]

    def put(self, name: str, value: Any, n_bytes: int) -> Give:
        """Keep a value whose arrays are views of something that is `n_bytes` large.

        Returns
        -------
        callable
            What makes the value, whether or not it is kept.
        """
        size, is_mutable, has_arrays = _examined(value)
        if type(value) is np.ndarray:
            give: Give = value.view
        elif is_mutable or has_arrays:
            give = partial(_fresh, value)
        else:
            give = partial(_same, value)
        self._keep(name, give, size + (n_bytes if has_arrays else 0))
        return give

    def put_encoded(self, name: str, data: bytes) -> None:
        """Keep a value that was just encoded; it is decoded when somebody asks for it."""
        self._keep(name, partial(self._decoded, name, data), len(data))

    def pop(self, name: str) -> None:
        """Keep a value no more."""
        with self._lock:
            entry = self._entries.pop(name, None)
            if entry is not None:
                self.size -= entry[1]

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
            self.size = 0

    def restart(self) -> None:
        """Begin anew in a forked process; a thread that is not there may hold the lock."""
        self._lock = threading.Lock()
        self._entries = OrderedDict()
        self.size = 0

    def _decoded(self, name: str, data: bytes) -> Any:
        return self.put(name, decode(data, verified=True), len(data))()

    def _keep(self, name: str, give: Give, size: int) -> None:
        """Keep something, and give up what is too much."""
        size += _PER_ENTRY + len(name)
        with self._lock:
            old = self._entries.pop(name, None)
            if old is not None:
                self.size -= old[1]
            if self.limit is not None and size > self.limit:
                return
            self._entries[name] = (give, size)
            self.size += size
            while self.limit is not None and self.size > self.limit:
                _, (_, freed) = self._entries.popitem(last=False)
                self.size -= freed
                self.evictions += 1


_LAYERS: weakref.WeakSet[MemoryLayer] = weakref.WeakSet()


def _restart_all() -> None:
    for layer in list(_LAYERS):
        layer.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all)


def _same(value: Any) -> Any:
    return value


def _fresh(value: Any) -> Any:
    """Return a value whose containers are new, with views of the same arrays."""
    kind = type(value)
    if kind in _FLAT:
        return value
    if kind is np.ndarray:
        return value.view()
    if kind is list:
        return [item if type(item) in _FLAT else _fresh(item) for item in value]
    if kind is tuple:
        return tuple([item if type(item) in _FLAT else _fresh(item) for item in value])
    if isinstance(value, dict):
        return kind([(key, _fresh(item)) for key, item in value.items()])
    return value  # a numpy scalar


def _examined(value: Any) -> tuple[int, bool, bool]:
    """Return the bytes of a value's objects, and whether it has containers and arrays."""
    kind = type(value)
    if kind is np.ndarray:
        return _PER_ARRAY, False, True
    if kind in (list, tuple):
        parts = list(value)
    elif kind in (dict, OrderedDict, Parameters):
        parts = [*value.keys(), *value.values()]
    else:
        return sys.getsizeof(value), False, False
    size, is_mutable, has_arrays = 100, kind is not tuple, False
    for part in parts:
        part_size, part_is_mutable, part_has_arrays = _examined(part)
        size += part_size + _PER_ITEM
        is_mutable |= part_is_mutable
        has_arrays |= part_has_arrays
    return size, is_mutable, has_arrays
