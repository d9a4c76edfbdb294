"""The archive of a database: a tar file that is read at any place and grows at its end.

``tar xzf`` opens it. Yet each member is a gzip stream of its own, and an index says where it
stands, so that reading one takes a look into the index, one read and the inflation of that member
alone, whatever the size of the archive. docs/archive_format.rst describes the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amp.core.errors import DamagedMemberError, OutputWriteError
from amp.database._archive_file import ArchiveFile, DamagedIndexError
from amp.database._archive_pack import checked_name, packed
from amp.database._archive_streams import MEMBER, parse
from amp.database._archive_view import View, is_ours, open_view, recovered_view
from amp.database._archive_writer import Writer
from amp.database._lock import FileLock

if TYPE_CHECKING:  # it takes as long to load as all the rest, and is seldom needed
    from amp.database._archive_foreign import ForeignView

__all__ = ["Archive", "ArchiveSize"]

logger = logging.getLogger(__name__)

_COPIED = 2**22  # bytes copied at once


@dataclass(frozen=True, slots=True)
class ArchiveSize:
    """How large an archive is."""

    members: int
    live: int  # bytes of file that the members take
    dead: int  # bytes of replaced and removed members, and of the index


class Archive:
    """Named bytes in one file, which several threads and processes may use at once.

    Readers see what was appended when their call began. Nothing that `append` has returned from
    is lost, whenever a program is killed. What is damaged in the file is an error or a miss, never
    wrong bytes; but in an archive that another program wrote, plain tar has no checksums, and a
    gzip stream that seems to be cut has lost its own. Entries of a database have checksums of
    their own, so that none of them is ever a wrong value.

    Parameters
    ----------
    path : str or os.PathLike
        The file, by custom ``archive.tar.gz``; made when something is appended. It may also be an
        archive that another program wrote, which is slower to read.
    lock_timeout : float
        How long to wait for another program that writes (s).
    """

    def __init__(self, path: str | os.PathLike[str], lock_timeout: float = 600.0) -> None:
        self.path = os.fspath(path)
        self._view: View | ForeignView | None = None
        self._lock = FileLock(self.path + ".lock", lock_timeout)

    def read(self, name: str) -> bytes:
        """Return the contents of a member.

        Raises
        ------
        KeyError
            If there is no such member.
        DamagedMemberError
            If it is not as it was written.
        """
        view = self._current()
        if view is None:
            raise KeyError(name)
        try:
            return view.read(name)
        except DamagedIndexError:
            return self._recovered(view).read(name)

    def __contains__(self, name: object) -> bool:
        view = self._current()
        if view is None or not isinstance(name, str):
            return False
        try:
            return view.find(name) is not None
        except DamagedIndexError:
            return self._recovered(view).find(name) is not None

    def __len__(self) -> int:
        view = self._current()
        if view is None:
            return 0
        try:
            return len(view)
        except DamagedIndexError:
            return len(self._recovered(view))

    def names(self) -> list[str]:
        """Return the names of all members, in the order of the file."""
        view = self._current()
        if view is None:
            return []
        try:
            return view.names()
        except DamagedIndexError:
            return self._recovered(view).names()

    def sizes(self) -> dict[str, int]:
        """Return the bytes that each member takes, by name, in the order of the file.

        In an archive that another program wrote, the bytes of its contents.
        """
        view = self._current()
        if view is None:
            return {}
        try:
            return view.sizes()
        except DamagedIndexError:
            return self._recovered(view).sizes()

    @property
    def is_whole(self) -> bool:
        """Whether members cannot be missing unnoticed, as far as was read.

        They can where the index is damaged, so that they had to be looked for, or where the file
        of another program is cut.
        """
        view = self._current()
        return view is None or view.is_whole

    @property
    def size(self) -> ArchiveSize:
        """How many members there are, and what they take on the disk."""
        view = self._current()
        if view is None:
            return ArchiveSize(0, 0, 0)
        try:
            members, live = len(view), view.live_bytes()
        except DamagedIndexError:
            view = self._recovered(view)
            members, live = len(view), view.live_bytes()
        view.file.update_size()
        return ArchiveSize(members, live, max(0, view.file.size - live))

    def verify(self) -> Iterator[tuple[str, str]]:
        """Read every member, in the order of the file.

        Yields
        ------
        str, str
            Name of a member that is damaged, and what is wrong with it.
        """
        for name in self.names():
            try:
                self.read(name)
            except KeyError:
                pass  # removed meanwhile
            except DamagedMemberError as error:
                yield name, str(error)

    def append(self, members: Iterable[tuple[str, Any]]) -> None:
        """Add members; of several with one name the last counts.

        They are on the disk when this returns. Not more of them than can be worked on at once are
        in memory, and of the index what was added.

        Parameters
        ----------
        members : iterable of (str, bytes-like)
            Names and contents. If it raises, a part of what came before may have been added.

        Raises
        ------
        ParameterError
            If a name cannot be one; it has 1 to 200 bytes in UTF-8 and no ``/``.
        OutputWriteError
            If there is no room, or no permission. All former members are still there.
        DatabaseLockError
            If another program writes for too long.
        """
        with self.locked(), self._writing() as writer:
            for name, parts in packed(members, writer.salt):
                writer.add(name, parts)

    def remove(self, names: Iterable[str]) -> None:
        """Remove members; the file becomes smaller only with `compact`.

        Parameters
        ----------
        names : iterable of str
            Names; those of no member are passed over.

        Raises
        ------
        OutputWriteError, DatabaseLockError
            As for `append`.
        """
        with self.locked():
            known = [checked_name(name) for name in dict.fromkeys(names) if name in self]
            if known:
                with self._writing() as writer:
                    writer.remove(known)

    def compact(self, keep: Callable[[str], bool] | None = None) -> None:
        """Write the file anew, without what was replaced or removed.

        Members are copied as they are. Others may read meanwhile.

        Parameters
        ----------
        keep : callable, optional
            Tells by its name whether a member is to be kept; by default all are.

        Raises
        ------
        OutputWriteError, DatabaseLockError
            As for `append`; the former archive is still there.
        """
        with self.locked():
            view = self._current()
            if view is not None and not isinstance(view, View):
                self._rewrite(view, keep)
            elif view is not None:
                # A writer mends what is damaged first.
                Writer(self.path, is_damaged=not view.is_whole).close()
                view = self._current()
                assert isinstance(view, View)
                self._rewrite(view, keep)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other programs from writing; may be nested.

        Raises
        ------
        DatabaseLockError
            If another program writes for too long, or the file system has no locks.
        OutputWriteError
            If the folder cannot be written.
        """
        with self._lock.held():
            yield

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._view = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _current(self) -> View | ForeignView | None:
        """Return what the file holds now; None if there is no file.

        Looked at before every read: another program may have replaced a member or the file.
        """
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            self._view = None
            return None
        view = self._view
        if view is None or not view.is_current(status):
            view = self._view = self._opened(view)
        return view

    def _opened(self, known: View | ForeignView | None) -> View | ForeignView | None:
        """Open the file, or look again into the one that is open."""
        try:
            file = ArchiveFile(self.path)
        except FileNotFoundError:
            return None
        if not is_ours(file):
            from amp.database._archive_foreign import ForeignView

            return ForeignView(file)
        if isinstance(known, View) and known.file.identity == file.identity:
            known.file.update_size()
            return open_view(known.file, known)
        return open_view(file)

    def _recovered(self, view: View | ForeignView) -> View:
        """Replace a view whose index turned out to be damaged."""
        recovered = self._view = recovered_view(view.file)
        return recovered

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        """Give a writer to the file, which is made or brought into our form if need be."""
        view = self._current()
        is_damaged = False
        if isinstance(view, View):
            is_damaged = not view.is_whole
        else:
            self._rewrite(view)
        writer = Writer(self.path, is_damaged)
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.rollback()
            raise
        finally:
            writer.close()

    def _rewrite(
        self, view: View | ForeignView | None, keep: Callable[[str], bool] | None = None
    ) -> None:
        """Write a new file with the members of a view, and put it in place of the old one."""
        folder, name = os.path.split(os.path.abspath(self.path))
        self._remove_stale(folder, name)
        temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}.tmp")
        try:
            writer = Writer.create(temporary, view.salt if isinstance(view, View) else None)
            try:
                if isinstance(view, View):
                    _copy(view, writer, keep)
                elif view is not None:
                    kept = (item for item in view.members() if keep is None or keep(item[0]))
                    for encoded, parts in packed(kept, writer.salt):
                        writer.add(encoded, parts)
                writer.commit()
            finally:
                writer.close()
            self._put_in_place(temporary, folder, view)
        except BaseException:
            if os.path.lexists(temporary):
                os.remove(temporary)
            raise

    def _put_in_place(self, temporary: str, folder: str, view: View | ForeignView | None) -> None:
        """Give the new file the name and permissions of the old one."""
        try:
            if view is not None:
                os.chmod(temporary, os.stat(self.path).st_mode & 0o777)
            if view is not None and not (isinstance(view, View) or view.is_whole):
                aside = f"{self.path}.{os.urandom(4).hex()}.broken"
                os.link(self.path, aside)
                logger.warning("What was in %s is kept as %s.", self.path, aside)
            os.replace(temporary, self.path)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputWriteError(f"{self.path} cannot be written: {error.strerror}.") from error

    @staticmethod
    def _remove_stale(folder: str, name: str) -> None:
        """Remove what programs that were killed have left; for whoever holds the lock."""
        try:
            for entry in os.listdir(folder):
                if entry.startswith(f".{name}.") and entry.endswith(".tmp"):
                    os.remove(os.path.join(folder, entry))
        except OSError:
            pass  # told when the new file is made


def _copy(view: View, writer: Writer, keep: Callable[[str], bool] | None) -> None:
    """Copy the streams of the members that are to be kept, as they are."""
    for name, offset, length in view.places():
        if keep is not None and not keep(name.decode(errors="replace")):
            continue
        head = parse(view.file.read_some(min(length, 1024), offset))
        if head is None or (head.kind, head.text, head.length) != (MEMBER, name, length):
            logger.warning("%r in %s is damaged and left out.", name, view.file.path)
            continue
        writer.add(
            name,
            (
                view.file.read(min(_COPIED, length - start), offset + start)
                for start in range(0, length, _COPIED)
            ),
        )
