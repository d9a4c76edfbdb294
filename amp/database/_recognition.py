"""What belongs to a database, and what does not; told by names, places and how files begin.

Whoever removes a database relies on it, so what is not known is a stranger. Files of Amp 1.0.1 are
pickles; they are told by their first bytes, and nothing in them is executed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from amp.core.encoding import MAGIC
from amp.database._archive_streams import HEAD, parse
from amp.database._archive_view import HEAD_SIZE
from amp.database._keys import BROKEN, is_key, shard_of

__all__ = [
    "EMPTY",
    "OLD",
    "OURS",
    "STRANGE",
    "TAR",
    "archive_kind",
    "is_old_value",
    "kind_of_file",
    "opened_folder",
    "remove_known",
    "strangers",
]

# What an archive can be.
OURS, TAR, OLD, EMPTY, STRANGE = "ours", "tar", "old", "empty", "strange"

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
_START = 2**16  # bytes that are looked at

_SHARD = re.compile(r"[0-9a-f]{2}")
_TEMPORARY_ENTRY = re.compile(r"\.[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\.tmp")
_ARCHIVE = re.compile(r"archive\.tar\.gz(\.old[0-9]*|\.[0-9a-f]{8}\.broken)?")
_TEMPORARY_ARCHIVE = re.compile(r"\.archive\.tar\.gz\.[0-9a-f]{16}\.tmp")

# The codes of a pickle of protocol 0, with their arguments, which end with the line. The first one
# makes something; the last one is a full stop.
_CODES = re.compile(
    rb"(?=[(FILNSVc])(?:[(0abdlstNR]|F[-+.0-9a-z]+\n|[IL]-?[0-9]+L?\n"
    rb"|S(?:'[^\n]*'|\"[^\n]*\")\n|[VP][^\n]*\n|[gp][0-9]+\n"
    rb"|[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n)+(\.\Z)?"
)


def is_old_value(start: bytes) -> bool:
    """Tell whether a file that begins like this is, whole or cut, one that Amp 1.0.1 wrote."""
    match = _CODES.match(start)
    if match is None:
        return not start
    rest = start[match.end() :]  # a code that is cut
    is_cut = b"\n" in match[0] and rest.count(b"\n") <= (rest[:1] in (b"c", b"i"))
    return match[1] is not None or is_cut


def archive_kind(descriptor: int) -> str:
    """Tell what an archive is by how it begins.

    Parameters
    ----------
    descriptor : int
        The open file.

    Returns
    -------
    {'ours', 'tar', 'old', 'empty', 'strange'}
        Written by this package; by another program, with our entries; with values of Amp 1.0.1;
        without anything; none of these.
    """
    raw = os.pread(descriptor, _START, 0)
    head = parse(raw[:HEAD_SIZE]) if len(raw) >= HEAD_SIZE else None
    if head is not None and head.kind == HEAD:
        return OURS
    start = _inflated(raw) if raw[:2] == b"\x1f\x8b" else raw
    if not start.strip(b"\0"):
        return EMPTY if not raw or start else STRANGE
    import tarfile

    try:
        with tarfile.TarFile(fileobj=io.BytesIO(start)) as tar:
            info = tar.next()
    except Exception:  # of hostile headers tarfile raises what comes up
        return STRANGE
    if info is None or not info.isreg() or "/" in info.name.removeprefix("./"):
        return STRANGE
    value = start[info.offset_data : info.offset_data + info.size]
    if value.startswith(MAGIC):
        return TAR
    return OLD if value and is_old_value(value) else STRANGE


def kind_of_file(path: str) -> str | None:
    """Tell what an archive is, see `archive_kind`; None if there is no such file, or it is none.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        descriptor = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return archive_kind(descriptor)
    finally:
        os.close(descriptor)


def strangers(path: str) -> Iterator[str]:
    """Give what is in the folder of a database and not of it.

    Parameters
    ----------
    path : str
        The folder; a symbolic link is none.

    Yields
    ------
    str
        Names as seen from the folder.
    """
    with opened_folder(path) as folder:
        yield from _strangers(folder, "")


def remove_known(folder: int, place: str = "") -> None:
    """Remove what is of a database, and leave everything else, with the folders it is in.

    Parameters
    ----------
    folder : int
        The open folder. All is done relative to it, so that nothing outside is reached although
        somebody moves folders or puts links in their places meanwhile.
    place : str
        Where in the database it is.
    """
    for entry in _listed(folder):
        if _is_folder(place, entry):
            with opened_folder(entry.name, folder) as inner:
                remove_known(inner, f"{place}{entry.name}/")
            with suppress(OSError):  # it is not empty
                os.rmdir(entry.name, dir_fd=folder)
        elif _is_file(folder, place, entry):
            os.unlink(entry.name, dir_fd=folder)


@contextmanager
def opened_folder(name: str, inside: int | None = None) -> Iterator[int]:
    """Open a folder, which no symbolic link can stand for."""
    descriptor = os.open(name, _FOLDER, dir_fd=inside)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _strangers(folder: int, place: str) -> Iterator[str]:
    for entry in _listed(folder):
        if _is_folder(place, entry):
            with opened_folder(entry.name, folder) as inner:
                yield from _strangers(inner, f"{place}{entry.name}/")
        elif not _is_file(folder, place, entry):
            yield place + entry.name


def _listed(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def _is_folder(place: str, entry: os.DirEntry[str]) -> bool:
    """Tell whether this is a folder of a database."""
    is_known = (place == "" and entry.name == "loose") or (
        place == "loose/" and _SHARD.fullmatch(entry.name) is not None
    )
    return is_known and entry.is_dir(follow_symlinks=False)


def _is_file(folder: int, place: str, entry: os.DirEntry[str]) -> bool:
    """Tell whether this is a file of a database."""
    name = entry.name
    if not entry.is_file(follow_symlinks=False):
        return False
    if place == "":
        if name == "archive.tar.gz.lock" or _TEMPORARY_ARCHIVE.fullmatch(name):
            return True
        return bool(_ARCHIVE.fullmatch(name)) and _kind_in(folder, name) != STRANGE
    if place == "loose/":
        return name == ".lock" or (is_key(name) and is_old_value(_start_in(folder, name)))
    key = name.removesuffix(BROKEN)
    is_entry = is_key(key) and place == f"loose/{shard_of(key)}/"
    return is_entry or _TEMPORARY_ENTRY.fullmatch(name) is not None


def _kind_in(folder: int, name: str) -> str:
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        return archive_kind(descriptor)
    finally:
        os.close(descriptor)


def _start_in(folder: int, name: str) -> bytes:
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        return os.read(descriptor, _START)
    finally:
        os.close(descriptor)


def _inflated(raw: bytes) -> bytes:
    """Inflate the beginning of gzip streams; as far as they are good."""
    parts: list[bytes] = []
    size = 0
    try:
        while raw.startswith(b"\x1f\x8b") and size < _START:
            inflate = zlib.decompressobj(31)
            parts.append(inflate.decompress(raw, _START))
            size += len(parts[-1])
            raw = inflate.unused_data
    except zlib.error:
        pass
    return b"".join(parts)
