"""A database: values under keys, a file each, in layers: memory over files over an archive."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, ItemsView, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from amp.core.encoding import check, decode, encode, read_header
from amp.core.errors import AmpError, AmpFileError, DamagedDataError, DamagedMemberError
from amp.core.memory import parse_memory
from amp.database import _recognition as recognition
from amp.database._archive import Archive
from amp.database._files import writing_failed
from amp.database._keys import checked_key, checked_path, is_key
from amp.database._loose import JOIN_UP_TO, LooseFolder, Packing
from amp.database._memory import Give, MemoryLayer

__all__ = ["FileDatabase", "Statistics"]

logger = logging.getLogger(__name__)

_BATCH = 50_000  # entries archived before their files are removed


@dataclass(slots=True)
class Statistics:
    """How often what happened, since a database was opened."""

    memory: int = 0  # values that were in memory
    loose: int = 0  # values read from files of their own
    archived: int = 0  # values read from the archive
    misses: int = 0  # keys that were not there
    damaged: int = 0  # entries that were found damaged, or not readable when they were packed
    written: int = 0
    unchanged: int = 0  # values set that were there already, and not written
    evicted: int = 0  # values that memory had no room for any more


class FileDatabase(MutableMapping[str, Any]):
    """Values under keys, in files that many processes may read and write at once.

    Values are None, booleans, numbers (complex ones too), texts, bytes, lists, tuples,
    dictionaries and numpy arrays, nested at will; they come back exactly, see
    `amp.core.encoding.encode`. Arrays come back as ones that cannot be written to.

    A damaged entry is never returned: it is reported, set aside as ``KEY.broken``, and not there.

    Parameters
    ----------
    filename : str or os.PathLike
        The folder; ``.ampdb`` is put behind it if it is not there. It is made when something is
        written.
    max_memory : int, str or None
        Most memory for values that were used (bytes, or a text as '500 MB'); None for no limit.
    durable : bool
        Bring each entry to the disk before setting it returns. Otherwise entries outlive a
        program that is killed, but of those written just before a power cut some may be lost.
        In neither case is one of them wrong.
    lock_timeout : float
        How long to wait for another program that archives (s).

    Raises
    ------
    WrongTypeError, ParameterError
        A `TypeError` or `ValueError`, if no folder can have this name. A file that is in the way
        of the folder is an `AmpFileError` when something is read, an `OutputWriteError` when
        something is written.

    Attributes
    ----------
    path : str
        The folder, as it was named.
    loosepath, tarpath : str
        The folder of loose entries, and the archive; absolute, so that the database stays the
        same when the program changes its folder.

    Notes
    -----
    An entry is read from disk once, and from memory after that. What others (another process, or
    another `FileDatabase` of the same folder) do is seen like this: what they add, at once; what
    they change or remove, at once by ``in``, `len`, `keys` and iteration, and by whoever reads an
    entry for the first time. A value that was read stays what it was until `refresh`. Entries of
    a cache have all they depend on in their keys, so that they never need to be changed.

    Examples
    --------
    >>> db = FileDatabase("example")
    >>> db["a"] = {"energies": [1.5, 2.5]}
    >>> db["a"]
    {'energies': [1.5, 2.5]}
    >>> db.archive()
    1
    >>> list(db)
    ['a']
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        max_memory: int | str | None = 2**30,
        durable: bool = False,
        lock_timeout: float = 600.0,
    ) -> None:
        self.path = checked_path(filename)
        # Not `abspath`, which drops a link in front of '..'.
        self._folder = self.path
        if not os.path.isabs(self.path):
            self._folder = os.path.join(os.getcwd(), self.path)
        self.loosepath = os.path.join(self._folder, "loose")
        self.tarpath = os.path.join(self._folder, "archive.tar.gz")
        self._memory = MemoryLayer(parse_memory(max_memory))
        self._loose = LooseFolder(self.loosepath, durable)
        self._archive = Archive(self.tarpath, lock_timeout)
        self._counts = Statistics()
        self._is_checked = False  # for old files
        self._archive_seen: tuple[int, ...] | None = None
        self._archive_is_old = False

    @classmethod
    def open(cls, filename: str | os.PathLike[str], flag: Any = None) -> FileDatabase:
        """Return the database of this name.

        Parameters
        ----------
        filename : str or os.PathLike
            As for the class.
        flag : object
            Has no effect; `shelve.open` has it. As 'n' empties a shelf there, and nothing here,
            the log has a warning of it.
        """
        if flag == "n":
            logger.warning(
                "%s is opened as it is: the flag 'n' empties no database. To do that, use clear().",
                checked_path(filename),
            )
        return cls(filename)

    def close(self) -> None:
        """Give up what is in memory and close files; the database may be used again."""
        self.refresh()
        self._archive.close()

    def refresh(self) -> None:
        """Forget what is in memory, so that what others have changed is seen."""
        self._memory.clear()
        self._loose.forget()

    def __enter__(self) -> FileDatabase:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    # Comparing all values, as mappings do, is nobody's wish.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def statistics(self) -> Statistics:
        """How often what happened, since the database was opened; a copy."""
        counts = {name: getattr(self._counts, name) for name in Statistics.__slots__}
        return Statistics(**counts | {"evicted": self._memory.evictions})

    # ---------------------------------------------------------------- reading

    def __getitem__(self, key: str) -> Any:
        try:
            give = self._memory.get(key)
        except TypeError:  # it is not even hashable, which `_found` tells
            give = None
        if give is None:
            return self._found(key)
        self._counts.memory += 1
        return give()

    def _found(self, key: Any) -> Any:
        """Return a value that is not in memory under this very key."""
        name = checked_key(key)
        if name is not key:  # an integer
            give = self._memory.get(name)
            if give is not None:
                self._counts.memory += 1
                return give()
        give = self._read_loose(name) or self._read_archived(name)
        if give is None:
            self._refuse_file()
            self._check_for_old_files()
            self._counts.misses += 1
            raise KeyError(key)
        return give()

    def _read_loose(self, name: str) -> Give | None:
        """Read the file of an entry; None if there is no good one."""
        state = self._memory.state(name)
        found = self._loose.read(name)
        if found is None:
            return None
        try:
            value = decode(found.data, name, verified=found.is_verified)
        except DamagedDataError as error:
            self._counts.damaged += 1
            self._loose.set_aside(name, found.signature, str(error))
            return None
        self._loose.accept(name, found)
        self._counts.loose += 1
        return self._memory.put(name, value, len(found.data), state)

    def _read_archived(self, name: str) -> Give | None:
        """Read an entry from the archive; None if there is no good one."""
        state = self._memory.state(name)
        data = self._archived(name)
        if data is None:
            return None
        try:
            value = decode(data, name)
        except DamagedDataError as error:
            if not self._has_old_archive():
                self._counts.damaged += 1
                logger.warning("%s in %s is damaged: %s", name, self.tarpath, error)
            return None
        self._counts.archived += 1
        return self._memory.put(name, value, len(data), state)

    def _archived(self, name: str) -> bytes | None:
        """Return what the archive has under a name; None if there is nothing to be read."""
        try:
            return self._archive.read(name)
        except KeyError:
            return None
        except DamagedMemberError as error:
            self._counts.damaged += 1
            logger.warning("%s", error)
        except (AmpFileError, OSError) as error:
            logger.warning("%s cannot be read: %s", self.tarpath, error)
        return None

    def __contains__(self, key: object) -> bool:
        """Tell whether there is an entry on the disk, whatever is in memory.

        A damaged one that nobody has read yet counts.
        """
        name = checked_key(key)
        if self._loose.has(name):
            return True
        self._refuse_file()
        try:
            return name in self._archive and not self._has_old_archive()
        except (AmpError, OSError) as error:
            logger.warning("%s cannot be read: %s", self.tarpath, error)
            return False

    def keys(self) -> list[str]:  # type: ignore[override]
        """Return all keys on the disk, sorted."""
        self._refuse_file()
        self._check_for_old_files()
        names = set(self._loose.names())
        try:
            if not self._has_old_archive():
                names.update(filter(is_key, self._archive.names()))
        except (AmpError, OSError) as error:
            logger.warning("%s cannot be read: %s", self.tarpath, error)
        return sorted(names)

    def values(self) -> list[Any]:  # type: ignore[override]
        """Return all values in the order of the keys; they are read and kept in memory."""
        return [value for _, value in self.items()]

    def items(self) -> _Items:
        """Return a view of keys and values, which are read one after the other."""
        return _Items(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    # ---------------------------------------------------------------- writing

    def __setitem__(self, key: str, value: Any) -> None:
        name = checked_key(key)
        parts = encode(value, name)
        header = read_header(parts[0])
        data = b"".join(parts) if header.length <= JOIN_UP_TO else None
        state = self._memory.begin_change(name)
        kept = None  # a larger one is mapped as soon as somebody asks for it
        try:
            if self._loose.has_equal(name, header) or self._is_archived_equal(name, header.digest):
                self._counts.unchanged += 1
            else:
                self._loose.write(name, parts if data is None else [data])
                self._counts.written += 1
            kept = data
        finally:
            self._memory.end_change(name, state, kept)

    def _is_archived_equal(self, name: str, digest: bytes) -> bool:
        """Tell whether the archive has a good entry with this checksum, and no file is newer."""
        if not os.access(self.tarpath, os.R_OK):  # the usual case; quicker than an exception
            return False
        try:
            if name not in self._archive or self._loose.has(name):
                return False
            return check(self._archive.read(name), name).digest == digest
        except (KeyError, AmpError, OSError):
            return False

    def __delitem__(self, key: str) -> None:
        name = checked_key(key)
        if not self._remove([name]):
            raise KeyError(key)

    def clear(self) -> None:
        """Remove all entries."""
        self._remove(self.keys())

    def _remove(self, names: list[str]) -> int:
        """Remove entries; return how many there were."""
        states = [self._memory.begin_change(name) for name in names]
        try:
            return self._removed(names)
        finally:
            for name, state in zip(names, states, strict=True):
                self._memory.end_change(name, state)

    def _removed(self, names: list[str]) -> int:
        """Remove entries on the disk; return how many there were."""
        if not os.path.isdir(self._folder):
            self._refuse_file()
            return 0
        with self._archive.locked():  # nobody archives meanwhile
            archived = (
                set() if self._has_old_archive() else {n for n in names if n in self._archive}
            )
            # Were the file the first to go, an older value could be seen for a moment.
            if archived:
                self._archive.remove(archived)
            return sum([self._loose.remove(name) or name in archived for name in names])

    # ---------------------------------------------------------------- archiving

    def archive(self) -> int:
        """Move loose entries to the archive, which is one file.

        They take less room there if they can be compressed, and else up to about 1.2 kB each
        more. Others may read and write meanwhile. What an interruption leaves is whole. Damaged
        entries are reported and set aside.

        Returns
        -------
        int
            Number of entries that were moved.

        Raises
        ------
        AmpFileError
            If the folder or the archive is something else.
        OutputWriteError
            If the archive cannot be written; all entries are still there.
        DatabaseLockError
            If another process archives for too long, or the file system has no locks.
        """
        return self.pack(lambda keys, number: keys).n_entries

    def pack(self, show: Callable[[list[str], int], Iterable[str]]) -> Packing:
        """Do what `archive` does, show how far it is, and tell more of it.

        Parameters
        ----------
        show : callable
            Gets the keys and their number, and gives the keys on, each when its turn has come,
            so that it can show how far the work is.

        Returns
        -------
        Packing
            Numbers of entries that were moved (``n_entries``), of bytes of their files
            (``n_bytes``), and of entries that are damaged or cannot be read (``n_left``).

        Raises
        ------
        AmpFileError, OutputWriteError, DatabaseLockError
            As from `archive`.
        """
        packing = Packing()
        if not os.path.isdir(self.loosepath):
            self._refuse_file()
            return packing
        with self._archive.locked():
            self._check_for_old_files()
            if self._has_old_archive():
                self._move_old_archive()
            names = self._loose.names()
            shown = iter(show(names, len(names)))
            for _ in range(0, len(names), _BATCH):
                packing.digests.clear()
                self._archive.append(self._loose.packable(islice(shown, _BATCH), packing))
                self._loose.remove_packed(packing.digests)
            n_stale = self._loose.remove_stale()
            size = self._archive.size
            if size.dead > size.live + 2**20:
                self._archive.compact()
        self._counts.damaged += packing.n_left
        logger.info("Packed %d entries into %s.", packing.n_entries, self.tarpath)
        if n_stale:
            logger.info("Removed %d temporary files of programs that were killed.", n_stale)
        return packing

    def _refuse_file(self) -> None:
        """Refuse a file in the way of the folder, which otherwise would look like no entries."""
        if not os.path.isdir(self._folder) and os.path.lexists(self._folder):
            raise AmpFileError(
                f"{self.path} is no database: it is no folder. Move it away, or use another name."
            )

    # ---------------------------------------------------------------- old databases

    def _check_for_old_files(self) -> None:
        """Tell the log once if there are files of Amp 1.0.1."""
        if self._is_checked:
            return
        self._is_checked = True
        n_old = self._loose.old_files()
        try:
            is_old = self._has_old_archive()
        except (AmpError, OSError):
            is_old = False
        if n_old or is_old:
            logger.warning(
                "%s has entries of Amp 1.0.1 (%s). They are not read, and what is needed of them "
                "is computed anew. To remove old databases, use: amp-compress -r -d FOLDER",
                self.path,
                " and ".join([f"{n_old} files"] * bool(n_old) + ["an archive"] * is_old),
            )

    def _has_old_archive(self) -> bool:
        """Tell whether the archive is one of Amp 1.0.1, whose members are pickles."""
        try:
            status = os.lstat(self.tarpath)
        except OSError:
            return False
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != self._archive_seen:
            self._archive_is_old = recognition.kind_of_file(self.tarpath) == recognition.OLD
            self._archive_seen = seen
        return self._archive_is_old

    def _move_old_archive(self) -> None:
        """Make room for an archive; the lock is held."""
        target = f"{self.tarpath}.old"
        number = 1
        while os.path.lexists(target):
            number += 1
            target = f"{self.tarpath}.old{number}"
        try:
            os.rename(self.tarpath, target)
        except OSError as error:
            raise writing_failed(target, error) from error
        logger.info("The archive of Amp 1.0.1 is now %s.", target)


class _Items(ItemsView[str, Any]):
    """Keys and values; entries that turn out to be damaged or removed are left out."""

    def __init__(self, database: FileDatabase) -> None:
        super().__init__(database)
        self._database = database

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for key in self._database:
            try:
                value = self._database[key]
            except KeyError:
                continue
            yield key, value
