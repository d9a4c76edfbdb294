"""What lies in the folder of a database: entries, loose and archived, and their sizes."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from amp.core.errors import AmpFileError
from amp.database import _recognition as recognition
from amp.database._archive import Archive
from amp.database._keys import BROKEN, SUFFIX, is_key, shard_of
from amp.database._loose import LooseFolder

__all__ = [
    "SUFFIX",
    "Entry",
    "archive_of",
    "archived_entries",
    "checked_folder",
    "is_database",
    "loose_files",
    "loose_folder",
    "old_files",
    "size_of",
]

ARCHIVE = "archive.tar.gz"
WAIT = 10.0  # s; whoever archives longer than that is reported


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, or another file that takes room in a database."""

    key: str  # of 'broken' and 'old' ones the name of the file
    place: str  # 'loose', 'archive'; 'broken': set aside as damaged; 'old': of Amp 1.0.1
    size: int  # bytes of its file, or that it takes in the archive


def checked_folder(path: str | os.PathLike[str], for_removal: bool = False) -> str:
    """Return the name of a folder that is a database, as far as one sees from outside.

    Raises
    ------
    FileNotFoundError, AmpFileError
        If there is no such folder, or it is no database. One to be removed may be no symbolic
        link.
    """
    name = os.fspath(path).rstrip("/") or os.fspath(path)[:1]
    if not name:
        raise AmpFileError("The name of a database is empty.")
    if not name.endswith(SUFFIX):
        hint = f" Is {name}{SUFFIX} meant?" if os.path.isdir(name + SUFFIX) else ""
        raise AmpFileError(f"{name} is no database: their names end in {SUFFIX}.{hint}")
    if not os.path.lexists(name):
        raise FileNotFoundError(f"There is no database {name!r}.")
    if not os.path.isdir(name):
        raise AmpFileError(f"{name} is no database: it is no folder.")
    if for_removal and os.path.islink(name):
        raise AmpFileError(f"{name} is a symbolic link and is left as it is. Name the folder.")
    if not is_database(name):
        raise AmpFileError(
            f"{name} is no database and is left as it is: it has neither loose entries nor an "
            "archive."
        )
    return name


def is_database(name: str) -> bool:
    """Tell whether a folder has what makes it a database: loose entries, or an archive.

    Raises
    ------
    AmpFileError
        If it cannot be looked through.
    """
    try:
        return not {"loose", ARCHIVE}.isdisjoint(os.listdir(name))
    except OSError as error:
        raise AmpFileError(f"{name} cannot be looked through: {error.strerror}.") from error


def archive_of(name: str) -> Archive:
    """Return the archive of a database, for which nobody waits long."""
    return Archive(os.path.join(name, ARCHIVE), lock_timeout=WAIT)


def loose_folder(name: str) -> LooseFolder:
    """Return the folder of loose entries."""
    return LooseFolder(os.path.join(name, "loose"), durable=False)


def loose_files(name: str) -> list[Entry]:
    """List the loose entries, and those that were set aside."""
    found: list[Entry] = []
    for shard, entry in loose_folder(name).files():
        file = entry.name
        place = "broken" if file.endswith(BROKEN) else "loose"
        key = file.removesuffix(BROKEN)
        if is_key(key) and shard_of(key) == shard and entry.is_file(follow_symlinks=False):
            found += _as_entry(entry, place)
    return found


def old_files(name: str) -> list[Entry]:
    """List files and archives of Amp 1.0.1."""
    found: list[Entry] = []
    loose = os.path.join(name, "loose")
    if os.path.isdir(loose) and not os.path.islink(loose):
        with os.scandir(loose) as files:
            for entry in files:
                if is_key(entry.name) and entry.is_file(follow_symlinks=False):
                    found += _as_entry(entry, "old")
    with os.scandir(name) as files:
        for entry in files:
            if entry.name.startswith(ARCHIVE) and _is_old(entry.path):
                found += _as_entry(entry, "old")
    return found


def archived_entries(name: str, archive: Archive) -> list[Entry]:
    """List what is in the archive; of one of Amp 1.0.1 nothing.

    Raises
    ------
    AmpFileError
        If it cannot be read.
    """
    try:
        if recognition.kind_of_file(archive.path) == recognition.OLD:
            return []
        sizes = archive.sizes()
    except OSError as error:
        raise AmpFileError(f"{archive.path} cannot be read: {error.strerror}.") from error
    return [Entry(key, "archive", size) for key, size in sizes.items() if is_key(key)]


def size_of(name: str) -> int:
    """Return the bytes of all files in a folder and below."""
    size = 0
    with os.scandir(name) as found:
        entries = list(found)
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                size += size_of(entry.path)
            elif entry.is_file(follow_symlinks=False):
                size += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue  # packed or replaced meanwhile
    return size


def _is_old(path: str) -> bool:
    """Tell whether a file is an archive of Amp 1.0.1; one that cannot be read is not."""
    try:
        return recognition.kind_of_file(path) == recognition.OLD
    except OSError:
        return False


def _as_entry(entry: os.DirEntry[str], place: str) -> Collection[Entry]:
    """Describe a file; nothing if it is there no more."""
    try:
        return (Entry(entry.name, place, entry.stat(follow_symlinks=False).st_size),)
    except FileNotFoundError:
        return ()
