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

_FLAT = frozenset({type(None), bool, int, float, complex, str, bytes})
_PER_ENTRY = 400  # bytes: key, tuple, closure and their places in the dictionary
_PER_ARRAY = 200
_COUNTERS = 64  # of changes; keys share them, so that one may stop another one from being kept
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
        self._changes = [0] * _COUNTERS
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

    def state(self, name: str) -> int:
        """Return what tells `put` that nobody has changed an entry since."""
        return self._changes[hash(name) % _COUNTERS]

    def put(self, name: str, value: Any, n_bytes: int, state: int) -> Give:
        """Keep a value that was read.

        Parameters
        ----------
        name : str
            The key.
        value : object
            The value.
        n_bytes : int
            How much memory its arrays are views of.
        state : int
            The state before it was read. A value that another thread has replaced since is not
            kept.

        Returns
        -------
        callable
            What makes the value, whether or not it is kept.
        """
        give, size = _giver(value, n_bytes)
        with self._lock:
            if self.state(name) == state:
                self._keep(name, give, size)
        return give

    def begin_change(self, name: str) -> int:
        """Keep an entry no more, which is about to be changed; return the state."""
        with self._lock:
            self._changes[hash(name) % _COUNTERS] += 1
            self._drop(name)
            return self.state(name)

    def end_change(self, name: str, state: int, data: bytes | None = None) -> None:
        """Keep what was written, to be decoded when somebody asks for it.

        Parameters
        ----------
        name : str
            The key.
        state : int
            What `begin_change` has returned. Of two threads that change an entry at the same time
            neither knows whose value is on the disk, and nothing is kept.
        data : bytes, optional
            The encoded value; without it, nothing is kept.
        """
        with self._lock:
            self._drop(name)
            if data is not None and self.state(name) == state:
                self._keep(name, partial(self._decoded, name, data), len(data))
            # A thread that reads an older value at this moment may not keep that.
            self._changes[hash(name) % _COUNTERS] += 1

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._changes = [count + 1 for count in self._changes]
            self._entries.clear()
            self.size = 0

    def restart(self) -> None:
        """Begin anew in a forked process; a thread that is not there may hold the lock."""
        self._lock = threading.Lock()
        self._entries = OrderedDict()
        self.size = 0

    def _decoded(self, name: str, data: bytes) -> Any:
        """Decode a value that was kept encoded, and keep that instead."""
        give, size = _giver(decode(data, verified=True), len(data))
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None and _is_of(entry[0], data):
                self._drop(name)
                self._keep(name, give, size)
        return give()

    def _keep(self, name: str, give: Give, size: int) -> None:
        """Keep something, and give up what is too much; the lock is held."""
        self._drop(name)
        size += _PER_ENTRY + len(name)
        if self.limit is not None and size > self.limit:
            return
        self._entries[name] = (give, size)
        self.size += size
        while self.limit is not None and self.size > self.limit:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed
            self.evictions += 1

    def _drop(self, name: str) -> None:
        """Keep something no more; the lock is held."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self.size -= entry[1]


_LAYERS: weakref.WeakSet[MemoryLayer] = weakref.WeakSet()


def _restart_all() -> None:
    for layer in list(_LAYERS):
        layer.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all)


def _is_of(give: Give, data: bytes) -> bool:
    """Tell whether something makes a value from these very data."""
    return isinstance(give, partial) and len(give.args) == 2 and give.args[1] is data


def _giver(value: Any, n_bytes: int) -> tuple[Give, int]:
    """Return what makes a value from one that is kept, and how many bytes that takes."""
    size, is_mutable, has_arrays = _examined(value)
    if has_arrays:
        size += n_bytes
    if type(value) is np.ndarray:
        return value.view, size
    return partial(_fresh if is_mutable or has_arrays else _same, value), size


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
