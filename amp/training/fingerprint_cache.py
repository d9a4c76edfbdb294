"""Fingerprints of images and their derivatives on disk, so that none is computed twice.

The name of an entry holds all that its value depends on: the hash of the image, a digest of what
the descriptor says of itself (settings and code), and what kind of arrays it is, with their
precision.  A change of any makes another name, so that nothing that is found can be out of date;
going back to earlier settings finds the earlier entries.

Neighbors are not kept: to find them anew takes no longer than to read them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amp.core.errors import AmpError, ParameterError
from amp.core.logs import make_filename
from amp.core.memory import format_bytes
from amp.database import FileDatabase

__all__ = ["KEPT", "FingerprintCache", "check_cache", "identity_digest"]

logger = logging.getLogger(__name__)

KEPT = ("auto", "all", "fingerprints", "none")  # what `cache` of a training may be
DATABASES = ("-fingerprints", "-fingerprint-primes")  # as those of Amp 1.0.1 are called
# What derivatives of one training may take without being asked for: reading them is two to three
# times as fast as computing them, which takes 5 s per gigabyte on one core.
MOST_BYTES = 10**9
MOST_OF_DISK = 0.1  # of the free space
# Smaller arrays are computed about as fast as a file is found and read.
WORTH_KEEPING = {"fingerprints": 8_000, "derivatives": 100_000}  # bytes of an image's arrays


class FingerprintCache:
    """Keep the arrays of single images in LABEL-fingerprints.ampdb, LABEL-fingerprint-primes.ampdb.

    An `amp.core.fingerprints.FingerprintStore`; several processes may use the same label at once.

    Parameters
    ----------
    label : str
        Beginning of the names of the databases.
    identity : mapping
        What the descriptor says of itself, see `amp.descriptor.base.Descriptor`.
    cache : {'auto', 'all', 'fingerprints'}
        What is kept besides what is there already. 'all' is everything, and 'fingerprints' no
        derivatives. 'auto' is what is read faster than it is computed (fingerprints of an image
        from 8 kB on, derivatives from 100 kB on), until derivatives of this training have taken
        1 GB or a tenth of the disk's free space.

    Raises
    ------
    ParameterError
        If there is no such way to keep them.
    """

    def __init__(self, label: str, identity: Mapping[str, Any], cache: str = "auto") -> None:
        check_cache(cache)
        self.label = label
        self.digest = identity_digest(identity)
        self._mode = cache
        self._limit: float | None = None if cache == "auto" else np.inf
        # Every entry is read once; what the memory could keep is in the arrays of the training.
        self._databases = [
            FileDatabase(str(make_filename(label, name)), max_memory=1) for name in DATABASES
        ]
        self._lock = threading.Lock()
        self._found = self._kept = self._small = self._left_out = 0
        self._kept_bytes = 0
        self._broken: str | None = None

    def __enter__(self) -> FingerprintCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def find(self, key: str, kind: str) -> Mapping[str, Any] | None:
        """Give the arrays of an image (its hash), None if they are not there."""
        try:
            value = self._database(kind).get(self._name(key, kind))
        except (AmpError, OSError) as error:
            self._complain(error)
            return None
        if not isinstance(value, dict):
            return None
        with self._lock:
            self._found += 1
        return value

    def keep(self, key: str, kind: str, arrays: Mapping[str, Any]) -> None:
        """Write the arrays of an image; where that fails, the log says so, and work goes on."""
        if self._broken is not None or not self._takes(kind, arrays):
            return
        try:
            self._database(kind)[self._name(key, kind)] = dict(arrays)
        except (AmpError, OSError) as error:
            with self._lock:
                self._kept_bytes -= _size(arrays)
            self._complain(error)
            return
        with self._lock:
            self._kept += 1

    def report(self) -> list[str]:
        """Say in lines for a log what was found and kept."""
        lines = [
            f"Fingerprints on disk ({self.label}{DATABASES[0]}.ampdb, {DATABASES[1]}.ampdb): those "
            f"of {self._found} images were found, those of {self._kept} "
            f"({format_bytes(self._kept_bytes)}) are kept now."
        ]
        if self._small:
            lines.append(
                f"Those of {self._small} images are not: they are so small that reading them "
                "would take no less than computing them. cache='all' keeps them all the same."
            )
        if self._left_out:
            lines.append(
                f"Derivatives of {self._left_out} images are not kept: they would take more of "
                "the disk than they may. cache='all' keeps them all the same."
            )
        return lines

    def close(self) -> None:
        """Close the databases."""
        for database in self._databases:
            database.close()

    def _database(self, kind: str) -> FileDatabase:
        return self._databases[kind.startswith("derivatives")]

    def _name(self, key: str, kind: str) -> str:
        return f"{key}-{self.digest}-{kind}"

    def _takes(self, kind: str, arrays: Mapping[str, Any]) -> bool:
        """Say whether arrays are to be written, and count them."""
        what, n_bytes = kind.partition("-")[0], _size(arrays)
        if self._mode == "fingerprints" and what != "fingerprints":
            return False
        with self._lock:
            if self._mode == "auto" and n_bytes < WORTH_KEEPING[what]:
                self._small += 1
                return False
            if what == "derivatives":
                if self._limit is None:
                    self._limit = min(MOST_BYTES, MOST_OF_DISK * _free_space(self.label))
                if self._kept_bytes + n_bytes > self._limit:
                    self._left_out += 1
                    return False
            self._kept_bytes += n_bytes
        return True

    def _complain(self, error: Exception) -> None:
        """Say once that the databases cannot be used, and write no more to them."""
        with self._lock:
            first, self._broken = self._broken is None, str(error)
        if first:
            logger.warning(
                "Fingerprints are not kept for later: %s The training goes on without.", error
            )


def _size(arrays: Mapping[str, Any]) -> int:
    """Give the bytes of some arrays."""
    return sum(array.nbytes for array in arrays.values())


def check_cache(cache: str) -> str:
    """Make sure that there is such a way to keep fingerprints."""
    if cache not in KEPT:
        raise ParameterError(f"cache is one of {', '.join(map(repr, KEPT))}, not {cache!r}.")
    return cache


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Sum up what a descriptor says of itself, as entries of the cache name it.

    Parameters
    ----------
    identity : mapping
        Nested dictionaries, lists, tuples, texts, numbers, booleans and None.

    Returns
    -------
    str
        32 hexadecimal digits; the same for the same settings in any order and numeric type.
    """
    text = json.dumps(_plain(identity), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Bring data to one form: lists for tuples, float for every number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    return value


def _free_space(label: str) -> int:
    """Give the bytes that are free where files with this label go."""
    folder = Path(os.path.abspath(label)).parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
