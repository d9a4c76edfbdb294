"""Look after databases: find, pack, list and check them, drop entries, remove them.

What `amp-compress` does. Nothing here knows what the values mean, and values are not decoded.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from amp.core.encoding import check
from amp.core.errors import (
    AmpError,
    AmpFileError,
    DamagedDataError,
    DamagedMemberError,
    OutputWriteError,
    ParameterError,
)
from amp.core.logs import progress, status
from amp.database import _listing as listing
from amp.database import _recognition as recognition
from amp.database._archive import Archive
from amp.database._keys import is_key, shard_of
from amp.database._listing import (
    SUFFIX,
    Entry,
    archive_of,
    archived_entries,
    checked_folder,
    is_database,
    loose_files,
    loose_folder,
    old_files,
    size_of,
)
from amp.database._loose import Packing
from amp.database.filedatabase import FileDatabase

__all__ = [
    "Change",
    "Contents",
    "Damage",
    "Entry",
    "Verification",
    "compress",
    "contents",
    "examine",
    "find",
    "prune",
    "remove",
    "verify",
]

logger = logging.getLogger(__name__)

_WORTH_A_BAR = 2000  # entries; fewer, unless they are large, are done before a bar is drawn
_LARGE = 2**25  # bytes

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a database."""

    entries: tuple[Entry, ...]  # by key; the loose one where there is an archived one as well
    size: int  # bytes of all files

    def at(self, *places: str) -> list[Entry]:
        """Give the entries at these places."""
        return [entry for entry in self.entries if entry.place in places]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a database, or would be."""

    n_entries: int  # packed or dropped
    n_bytes: int  # they took before
    n_left: int  # loose entries that could not be packed, as they are damaged or unreadable
    n_old: int  # files of Amp 1.0.1, which stay
    before: int  # bytes of all files
    after: int


@dataclass(frozen=True, slots=True)
class Damage:
    """An entry that is not as it was written."""

    key: str
    place: str  # 'loose', 'archive'
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found when all entries were read."""

    n_entries: int  # those that are archived and loose twice
    damaged: tuple[Damage, ...]


def find(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Find the databases in a folder and all folders below.

    Parameters
    ----------
    folder : path
        A folder; one whose name ends in .ampdb is a database itself. Symbolic links to folders
        are not followed.

    Yields
    ------
    str
        Folders whose names end in .ampdb, none inside another one; those of a folder, sorted,
        before those further below. One below that has neither loose entries nor an archive, such
        as an empty one, is no database: the log has a warning, and it is passed over.

    Raises
    ------
    ParameterError
        A `ValueError`, if the name is empty; of a script, it is a variable that was not set.
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    """
    if not os.fspath(folder):
        raise ParameterError("The name of the folder to look for databases in is empty.")
    top = os.path.normpath(os.fspath(folder))
    if not os.path.lexists(top):
        raise FileNotFoundError(f"There is no folder {top!r} to look for databases in.")
    if not os.path.isdir(top):
        raise NotADirectoryError(f"{top!r} is no folder to look for databases in.")

    def complain(error: OSError) -> None:
        logger.warning("%s cannot be read: %s.", error.filename, error.strerror)

    if top.endswith(SUFFIX):
        yield top
        return
    for place, folders, _ in os.walk(top, onerror=complain):
        folders.sort()
        paths = [os.path.normpath(os.path.join(place, name)) for name in folders]
        for path in paths:
            if path.endswith(SUFFIX) and not os.path.islink(path) and _is_not_other(path):
                yield path
        folders[:] = [name for name in folders if not name.endswith(SUFFIX)]


def contents(path: str | os.PathLike[str]) -> Contents:
    """List what is in a database, without reading values.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb.

    Returns
    -------
    Contents
        Entries, and the bytes of all files.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such folder, or it is no database.
    """
    name = checked_folder(path)
    entries = [*loose_files(name), *old_files(name)]
    loose = {entry.key for entry in entries if entry.place == "loose"}
    archived = archived_entries(name, archive_of(name))
    entries += [entry for entry in archived if entry.key not in loose]
    entries.sort(key=lambda entry: (entry.key, entry.place))
    return Contents(tuple(entries), size_of(name))


def compress(path: str | os.PathLike[str], dry_run: bool = False) -> Change:
    """Pack the loose entries of a database into its archive.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb. What Amp 1.0.1 left there stays as it is.
    dry_run : bool
        Write nothing.

    Returns
    -------
    Change
        How many entries were packed, or would be. A dry run reads them, as damaged ones are not
        packed.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such folder, or it is no database.
    OutputWriteError
        If it cannot be written; all entries are still there.
    DatabaseLockError
        If another program archives at the same moment.
    """
    name = checked_folder(path)
    loose = [entry for entry in loose_files(name) if entry.place == "loose"]
    n_bytes = sum(entry.size for entry in loose)
    before = after = size_of(name)
    packing = Packing()
    if dry_run:
        packing = _packed_dry(name, _shown(loose, f"Reading {name}", len(loose), n_bytes))
    elif loose or _is_sparse(name):

        def show(keys: list[str], n: int) -> Iterable[str]:
            return _shown(keys, f"Packing {name}", n, n_bytes)

        with FileDatabase(name, max_memory=1, lock_timeout=listing.WAIT) as database:
            packing = database.pack(show)
        after = size_of(name)
    n_old = len(old_files(name))
    return Change(packing.n_entries, packing.n_bytes, packing.n_left, n_old, before, after)


def prune(
    path: str | os.PathLike[str], is_unused: Callable[[str], bool], dry_run: bool = False
) -> Change:
    """Drop entries, and free the room they take.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb.
    is_unused : callable
        Tells of a key whether its entry is to be dropped.
    dry_run : bool
        Drop nothing.

    Returns
    -------
    Change
        How many entries were dropped, or would be.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such folder, or it is no database.
    OutputWriteError
        If it cannot be written. Without room for a new archive all archived entries are still
        there.
    DatabaseLockError
        If another program archives at the same moment.
    """
    name = checked_folder(path)
    archive = archive_of(name)
    files = loose_files(name)
    loose = [entry for entry in files if entry.place == "loose" and is_unused(entry.key)]
    archived = [entry for entry in archived_entries(name, archive) if is_unused(entry.key)]
    before = after = size_of(name)
    if (loose or archived) and not dry_run:
        folder = loose_folder(name)
        with archive.locked():
            # Were the loose ones the first to go, older values could be seen for a moment.
            if archived:
                with status(f"Pruning {name}"):
                    archive.compact(lambda key: not is_unused(key))
            for entry in loose:
                folder.remove(entry.key)
        after = size_of(name)
    n_entries = len({entry.key for entry in [*loose, *archived]})
    n_bytes = sum(entry.size for entry in [*loose, *archived])
    return Change(n_entries, n_bytes, 0, len(old_files(name)), before, after)


def verify(path: str | os.PathLike[str]) -> Verification:
    """Read every entry, loose and archived, and compare its checksum; change nothing.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb. Files of Amp 1.0.1 have no checksums and are passed over.

    Returns
    -------
    Verification
        How many there are, and which are damaged.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such folder, or it is no database.
    """
    name = checked_folder(path)
    loose = [(each.name, each.path) for _, each in loose_folder(name).files() if is_key(each.name)]
    archive = archive_of(name)
    archived = [entry.key for entry in archived_entries(name, archive)]
    damaged: list[Damage] = []
    n_entries = 0
    files = [*loose, *((key, "") for key in archived)]
    for key, file in _shown(files, f"Reading {name}", len(files), size_of(name)):
        try:
            data = _loose_data(file, key) if file else archive.read(key)
            n_entries += 1
            check(data, key)
        except (FileNotFoundError, KeyError):
            pass  # packed or removed meanwhile
        except (DamagedDataError, DamagedMemberError, OSError) as error:
            damaged.append(Damage(key, "loose" if file else "archive", str(error)))
    return Verification(n_entries, (*damaged, *_index_damage(archive)))


def examine(path: str | os.PathLike[str]) -> int:
    """Find out whether a folder is a database that can be removed.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb.

    Returns
    -------
    int
        Bytes of all files that would be removed.

    Raises
    ------
    AmpFileError
        If it is a symbolic link, cannot be looked through, has neither loose entries nor an
        archive, or has anything in it that is not of a database, of this Amp or of Amp 1.0.1.
    """
    name = checked_folder(path, for_removal=True)
    try:
        strange = list(recognition.strangers(name))
        size = size_of(name)
    except OSError as error:
        raise AmpFileError(f"{name} cannot be looked through: {error.strerror}.") from error
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise AmpFileError(
            f"{name} is left as it is: {', '.join(strange[:3])}{more} in it is not of a database. "
            "Move that elsewhere, or remove the folder by hand."
        )
    return size


def remove(path: str | os.PathLike[str]) -> int:
    """Remove a database, of this Amp or of Amp 1.0.1, with all its entries.

    Nothing outside the folder is touched, and nothing in it that is not of a database.

    Parameters
    ----------
    path : path
        The folder, NAME.ampdb; not a symbolic link.

    Returns
    -------
    int
        Bytes of all files that were removed.

    Raises
    ------
    AmpFileError
        As from `examine`; all of it is still there.
    OutputWriteError
        If it cannot be removed.
    DatabaseLockError
        If another program archives at the same moment.
    """
    size = examine(path)
    name = checked_folder(path, for_removal=True)
    try:
        with archive_of(name).locked(), recognition.opened_folder(name) as folder:
            recognition.remove_known(folder)
        os.rmdir(name)
    except AmpError:
        raise
    except OSError as error:
        raise OutputWriteError(f"{name} cannot be removed: {error.strerror}.") from error
    return size


def _shown(items: Iterable[Any], description: str, n: int, n_bytes: int) -> Iterator[Any]:
    """Show how far a loop has come, unless it is over before one can look."""
    if n >= _WORTH_A_BAR or n_bytes >= _LARGE:
        return progress(items, description, total=n)
    return iter(items)


def _is_not_other(path: str) -> bool:
    """Tell whether a folder is a database, or cannot be looked through, which is told later."""
    try:
        if is_database(path):
            return True
    except AmpFileError:
        return True
    logger.warning("%s is passed over: it has neither loose entries nor an archive.", path)
    return False


def _packed_dry(name: str, loose: Iterable[Entry]) -> Packing:
    """Tell which entries could be packed, by reading them."""
    packing = Packing()
    for entry in loose:
        try:
            data = _loose_data(
                os.path.join(name, "loose", shard_of(entry.key), entry.key), entry.key
            )
            check(data, entry.key)
        except FileNotFoundError:
            continue  # packed or removed meanwhile
        except (DamagedDataError, OSError):
            packing.n_left += 1
        else:
            packing.n_entries += 1
            packing.n_bytes += len(data)
    return packing


def _is_sparse(name: str) -> bool:
    """Tell whether most of the archive is room that removed and replaced members had."""
    archive = archive_of(name)
    if recognition.kind_of_file(archive.path) != recognition.OURS:
        return False
    size = archive.size
    return size.dead > size.live + 2**20


def _index_damage(archive: Archive) -> list[Damage]:
    """Tell whether members may be missing unnoticed, because the archive itself is damaged."""
    if recognition.kind_of_file(archive.path) == recognition.OLD or archive.is_whole:
        return []
    reason = "Its index is damaged, or its end is missing; entries may be lost."
    return [Damage("archive.tar.gz", "archive", reason)]


def _loose_data(file: str, key: str) -> bytes:
    """Read the file of an entry."""
    if os.path.basename(os.path.dirname(file)) != shard_of(key):
        raise DamagedDataError("It lies in the subfolder of other keys, where it is never found.")
    status = os.lstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise DamagedDataError("It is a symbolic link, or another thing that is no file.")
    descriptor = os.open(file, _READ)
    with open(descriptor, "rb") as opened:
        return opened.read()
