"""Loose entries of a database: one file each, in 256 subfolders.

A file is never changed: an entry is replaced by a new file that is moved over the old one. So a
reader has the old or the new value, and needs no lock. What takes files away (archiving, setting
aside) must not take a newer one than it has looked at, and has a lock against those who write,
who share it.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import stat
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from amp.core.encoding import HEADER_SIZE, Header, check, read_header
from amp.core.errors import DamagedDataError, OutputWriteError
from amp.database._files import (
    SharedLock,
    make_database,
    new_file,
    read_all,
    signature_of,
    sync_folder,
    unlink_quietly,
    write_all,
    writing_failed,
)
from amp.database._keys import BROKEN, is_key, shard_of

__all__ = ["Found", "LooseFolder", "Packing"]

logger = logging.getLogger(__name__)

MAP_FROM = 2**19  # bytes; a file from this size on is mapped, not read
MOST_MAPS = 256  # at a time in a process: each keeps a file open, of which there may be 1024
JOIN_UP_TO = 2**16  # bytes; so much is copied rather than written in parts
STALE = 3600.0  # s; a temporary file that old has lost its writer
LOCK = ".lock"

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


class Found(NamedTuple):
    """The file of an entry, as it was found."""

    data: bytes | mmap.mmap
    signature: tuple[int, ...]
    is_verified: bool  # this very file has been found good before


@dataclass(slots=True)
class Packing:
    """What has been given to the archive."""

    digests: dict[str, bytes] = field(default_factory=dict)  # by key, of those still to be removed
    n_entries: int = 0
    n_bytes: int = 0
    n_left: int = 0  # damaged ones, and those that cannot be read


class LooseFolder:
    """Loose entries of a database.

    Parameters
    ----------
    path : str
        The folder, ``NAME.ampdb/loose``. It is made when something is written.
    durable : bool
        Bring every entry to the disk before the call that writes it returns.
    """

    def __init__(self, path: str, durable: bool) -> None:
        self.path = path
        self.durable = durable
        self._shards: dict[str, str] = {}  # folders that were seen to be folders
        self._verified: dict[str, tuple[int, ...]] = {}
        self._has_missed = False  # the last entry asked for was not here

    def forget(self) -> None:
        """Forget what was seen on the disk."""
        self._shards = {}
        self._verified = {}

    # ---------------------------------------------------------------- reading

    def read(self, name: str) -> Found | None:
        """Return the file of an entry, None if there is none; look at nothing in it."""
        shard = self._shard(shard_of(name))
        if shard is None:
            return None
        path = f"{shard}/{name}"
        # Where entries are archived, one question is quicker than an exception for each.
        if self._has_missed and not os.access(path, os.F_OK, follow_symlinks=False):
            return None
        self._has_missed = False
        try:
            descriptor = os.open(path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            self._has_missed = True
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                self.set_aside(name, None, "It is a symbolic link.")
                return None
            if error.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.ENXIO):
                logger.warning("%s/%s cannot be read: %s.", shard, name, error.strerror)
                return None
            raise
        try:
            return self._read_from(descriptor, name)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            logger.warning("%s/%s cannot be read: %s.", shard, name, error.strerror)
            return None
        finally:
            os.close(descriptor)

    def _read_from(self, descriptor: int, name: str) -> Found | None:
        """Read or map an open file."""
        status = os.fstat(descriptor)
        signature = signature_of(status)
        if not stat.S_ISREG(status.st_mode):
            self.set_aside(name, signature, "It is no file.")
            return None
        size = status.st_size
        if size >= MAP_FROM and len(_maps) < MOST_MAPS:
            is_verified = self._verified.get(name) == signature
            try:
                data = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            except (ValueError, OSError):  # cut meanwhile; no memory maps here
                pass
            else:
                _maps.add(data)
                return Found(data, signature, is_verified)
        return Found(read_all(descriptor, size), signature, False)

    def accept(self, name: str, found: Found) -> None:
        """Remember that a mapped file is good, so that it need not be read as a whole again."""
        if type(found.data) is mmap.mmap:
            self._verified[name] = found.signature

    def has(self, name: str) -> bool:
        """Tell whether there is a file of an entry."""
        shard = self._shard(shard_of(name))
        if shard is None:
            return False
        try:
            return stat.S_ISREG(os.lstat(f"{shard}/{name}").st_mode)
        except OSError:
            return False

    def names(self) -> list[str]:
        """Return the keys of all entries, damaged ones that nobody has read included.

        A file in the subfolder of other keys is none: it is found under no key.
        """
        return [
            entry.name
            for shard, entry in self.files()
            if is_key(entry.name)
            and shard_of(entry.name) == shard
            and entry.is_file(follow_symlinks=False)
        ]

    def old_files(self) -> int:
        """Count the files that lie where Amp 1.0.1 had them."""
        try:
            with os.scandir(self.path) as found:
                return sum(
                    each.name[0] != "." and each.is_file(follow_symlinks=False) for each in found
                )
        except OSError:
            return 0

    def files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Give what lies in the subfolders, with the name of the subfolder."""
        for number in range(256):
            shard_name = f"{number:02x}"
            shard = self._shard(shard_name)
            if shard is None:
                continue
            try:
                with os.scandir(shard) as found:
                    entries = list(found)
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("%s cannot be read: %s.", shard, error.strerror)
                continue
            for entry in entries:
                yield shard_name, entry

    # ---------------------------------------------------------------- writing

    def has_equal(self, name: str, header: Header) -> bool:
        """Tell whether there is a good entry with the same contents.

        It is read as a whole: a file that has been damaged since may not stop its repair.
        """
        shard = self._shard(shard_of(name))
        if shard is None or not os.access(f"{shard}/{name}", os.R_OK):  # quicker than an exception
            return False
        try:
            descriptor = os.open(f"{shard}/{name}", _READ)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if status.st_size != header.length or not stat.S_ISREG(status.st_mode):
                return False
            if read_header(os.pread(descriptor, HEADER_SIZE, 0)) != header:
                return False
            check(read_all(descriptor, status.st_size), name)
            if self.durable:
                os.fsync(descriptor)
                sync_folder(shard)
            return True
        except (OSError, DamagedDataError):
            return False
        finally:
            os.close(descriptor)

    def write(self, name: str, parts: list[bytes | memoryview]) -> None:
        """Write an entry.

        Raises
        ------
        OutputWriteError
            If it cannot be written; an entry that was there before still is.
        """
        shard_name = shard_of(name)
        for _ in range(20):
            shard = self._shard(shard_name) or self._make_shard(shard_name)
            try:
                self._write_to(shard, name, parts)
                return
            except FileNotFoundError:
                # Somebody has removed the folder, or this temporary file, as one that is old.
                self._shards.pop(shard_name, None)
            except OutputWriteError:
                raise
            except OSError as error:
                raise writing_failed(f"{shard}/{name}", error) from error
        raise OutputWriteError(f"{self.path}/{shard_name}/{name} is being removed by somebody.")

    def _write_to(self, shard: str, name: str, parts: list[bytes | memoryview]) -> None:
        """Write a file and move it to its name."""
        temporary, descriptor = new_file(shard)
        try:
            try:
                write_all(descriptor, parts)
                if self.durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with self._locked(is_shared=True):
                os.replace(temporary, f"{shard}/{name}")
        except BaseException:
            unlink_quietly(temporary)
            raise
        if self.durable:
            sync_folder(shard)

    # ---------------------------------------------------------------- taking away

    def remove(self, name: str) -> bool:
        """Remove an entry; tell whether there was one.

        Raises
        ------
        OutputWriteError
            If it cannot be removed.
        """
        shard = self._shard(shard_of(name))
        if shard is None:
            return False
        try:
            os.unlink(f"{shard}/{name}")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise writing_failed(f"{shard}/{name}", error) from error
        if self.durable:
            sync_folder(shard)
        return True

    def remove_packed(self, packed: Mapping[str, bytes]) -> None:
        """Remove entries that have been archived.

        Parameters
        ----------
        packed : mapping
            Key -> SHA-256 of what was archived; an entry that has been written since is kept.
        """
        names = sorted(packed, key=shard_of)
        try:
            for start in range(0, len(names), 256):  # those who write wait no longer than that
                with self._locked(is_shared=False) as is_locked:
                    if not is_locked:
                        return
                    for name in names[start : start + 256]:
                        self._remove_if(name, packed[name])
        except OutputWriteError:
            raise
        except OSError as error:
            raise writing_failed(f"{self.path}/{LOCK}", error) from error

    def _remove_if(self, name: str, digest: bytes) -> None:
        """Remove an entry if it has this checksum; the lock is held."""
        path = f"{self.path}/{shard_of(name)}/{name}"
        try:
            descriptor = os.open(path, _READ)
            try:
                is_same = read_header(os.pread(descriptor, HEADER_SIZE, 0)).digest == digest
            finally:
                os.close(descriptor)
            if is_same:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except DamagedDataError:
            pass
        except OSError as error:
            raise writing_failed(path, error) from error

    def set_aside(self, name: str, signature: tuple[int, ...] | None, reason: str) -> None:
        """Report a damaged entry, and move it out of the way if that is still the same file."""
        path = f"{self.path}/{shard_of(name)}/{name}"
        try:
            with self._locked(is_shared=False) as is_locked:
                status = os.lstat(path)
                is_same = signature is None and stat.S_ISLNK(status.st_mode)
                if is_locked and (is_same or signature_of(status) == signature):
                    os.replace(path, path + BROKEN)
                    logger.warning("%s is damaged: %s It is now %s%s.", path, reason, name, BROKEN)
                else:
                    logger.warning("%s was damaged: %s", path, reason)
        except OSError as error:
            why = error.strerror or str(error).rstrip(".")
            logger.warning("%s is damaged: %s It cannot be set aside (%s).", path, reason, why)

    def remove_stale(self) -> int:
        """Remove temporary files whose writers have been killed; return how many."""
        removed = 0
        now = time.time()
        for _, entry in self.files():
            name = entry.name
            if not (name.startswith(".") and name.endswith(".tmp")):
                continue
            try:
                if now - entry.stat(follow_symlinks=False).st_mtime > STALE:
                    os.unlink(entry.path)
                    removed += 1
            except OSError:
                continue
        return removed

    # ---------------------------------------------------------------- for archiving

    def packable(self, names: Iterable[str], packing: Packing) -> Iterator[tuple[str, Any]]:
        """Give keys and contents of entries that are as they were written.

        Parameters
        ----------
        names : iterable of str
            The keys.
        packing : Packing
            Gets the checksum of each that is given, and counts.
        """
        for name in names:
            found = self.read(name)
            if found is None:
                packing.n_left += self.has(name)  # else somebody has removed it
                continue
            try:
                digest = check(found.data, name, verified=found.is_verified).digest
            except DamagedDataError as error:
                self.set_aside(name, found.signature, str(error))
                packing.n_left += 1
                continue
            packing.digests[name] = digest
            packing.n_entries += 1
            packing.n_bytes += len(found.data)
            yield name, found.data

    # ---------------------------------------------------------------- folders, lock

    def _shard(self, shard_name: str) -> str | None:
        """Return a subfolder, None if there is none; one that leads elsewhere is none."""
        shard = self._shards.get(shard_name)
        if shard is None:
            path = f"{self.path}/{shard_name}"
            for each in (self.path, path):
                try:
                    mode = os.lstat(each).st_mode
                except (FileNotFoundError, NotADirectoryError):
                    return None
                if not stat.S_ISDIR(mode):
                    logger.warning("%s is no folder, and is not used.", each)
                    return None
            self._shards[shard_name] = shard = path
        return shard

    def _make_shard(self, shard_name: str) -> str:
        """Make a subfolder, and the database if need be."""
        path = f"{self.path}/{shard_name}"
        try:
            for _ in range(20):
                if os.path.islink(self.path):
                    break
                try:
                    os.mkdir(path)
                    if self.durable:
                        sync_folder(self.path)
                    break
                except FileExistsError:
                    break
                except FileNotFoundError:
                    make_database(os.path.dirname(self.path), self.durable)
        except OSError as error:
            raise writing_failed(path, error) from error
        shard = self._shard(shard_name)
        if shard is None:
            raise OutputWriteError(f"{path} is no folder, and nothing is written to it. Remove it.")
        return shard

    def _locked(self, is_shared: bool) -> SharedLock:
        return SharedLock(f"{self.path}/{LOCK}", is_shared)
