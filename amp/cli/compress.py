"""Pack the databases that keep fingerprints; list, check, prune or delete them.

Loose entries of each database (.ampdb) go to its archive, which is one file. There they take less
room if they can be compressed, and else up to about 1.2 kB each more. Others may read and write
meanwhile, and what an interruption leaves is whole. A damaged entry is set aside and not packed.
It and a database that cannot be worked on are told, and all others are done.

Exit status: 0 if all is well, 1 if anything could not be done or is damaged.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from amp.cli.arguments import UsageError
from amp.cli.messages import tell

if TYPE_CHECKING:
    from amp.database.maintenance import Change

__all__ = ["add_arguments", "main", "run"]

SUFFIX = ".ampdb"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `amp-compress`, which is the same as `amp compress`; see `amp.cli.main.main`."""
    from amp.cli import compress
    from amp.cli.main import run_alone

    return run_alone(compress, "amp-compress", argv)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `amp compress`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="database (.ampdb), or with -r any folder"
    )
    add = partial(parser.add_argument, action="store_true")
    add("-r", "--recursive", help="every database in the folders given and below them; symbolic "
        "links to folders are not followed, and folders .ampdb with neither loose entries nor an "
        "archive passed over")  # fmt: skip
    one = partial(parser.add_mutually_exclusive_group().add_argument, action="store_true")
    one("-d", "--delete", help="delete the databases found, those of Amp 1.0.1 too, after asking; "
        "only with -r. Folders with other things in them are left")  # fmt: skip
    one("--list", help="list entries: bytes, place, database/key. Places are loose, archive, "
        "broken (damaged and set aside) and old (of Amp 1.0.1)")  # fmt: skip
    one("--verify", help="read every entry and compare its checksum; nothing is changed")
    text = "drop entries of descriptors that none of these files (.amp) has, and free their room"
    one("--prune", action="extend", nargs="+", metavar="POTENTIAL", help=text)
    add(
        "-n",
        "--dry-run",
        help="tell what would be done, and write nothing; to pack, it reads entries",
    )
    add("-y", "--yes", help="delete without asking")


def run(arguments: argparse.Namespace) -> int:
    """Run `amp compress`."""
    _check(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of folders may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    errors = _Errors(arguments)
    paths = list(dict.fromkeys(_paths(arguments, errors)))
    if arguments.recursive and not paths and not errors:
        print(f"There are no databases in {', '.join(arguments.names)}.")
    if arguments.delete:
        _delete(paths, arguments, errors)
    elif arguments.list:
        _list(paths, errors)
    elif arguments.verify:
        _verify(paths, errors)
    else:
        _change(paths, arguments, errors)
    return 1 if errors else 0


class _Errors:
    """Tells errors of single databases, and that there were any."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._n = 0

    def __bool__(self) -> bool:
        return self._n > 0

    def add(self, error: Exception | None = None) -> None:
        """Count an error, and write it unless it was told before."""
        self._n += 1
        if error is not None:
            sys.stdout.flush()
            tell(error, self._arguments.program, self._arguments.traceback)

    def each(self, paths: Iterable[str], work: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        """Do something with every database, and give what it returns where it succeeds."""
        from amp.core.errors import AmpError

        for path in paths:
            try:
                result = work(path)
            except (AmpError, OSError) as error:
                self.add(error)
            else:
                yield path, result


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what makes no sense, before anything is looked at."""
    for name in arguments.prune or ():
        if name.rstrip("/").endswith(SUFFIX):
            raise UsageError(f"{name} stands behind --prune; name databases before it")
    if "" in [*arguments.names, *(arguments.prune or ())]:
        raise UsageError("a name is empty; is it of a variable that was not set?")
    if not arguments.names:
        if arguments.recursive:
            raise UsageError("name the folders to look for databases in; '.' is the current one")
        raise UsageError("name databases (.ampdb), or with -r folders to look for them in")
    if arguments.delete and not arguments.recursive:
        raise UsageError("--delete works only with --recursive, as in: amp-compress -r -d FOLDER")
    if arguments.delete and any(os.path.realpath(name) == "/" for name in arguments.names):
        # What "$FOLDER/" is where the variable is not set.
        raise UsageError("--delete is refused for the whole machine; name the folders")
    if arguments.yes and not arguments.delete:
        raise UsageError("--yes is for --delete")
    if arguments.delete and not (arguments.yes or arguments.dry_run or _has_terminal()):
        raise UsageError("there is no terminal to ask whether to delete; --yes answers")


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _paths(arguments: argparse.Namespace, errors: _Errors) -> Iterator[str]:
    """Give the databases that are meant."""
    if not arguments.recursive:
        yield from (name.rstrip("/") or name for name in arguments.names)
        return
    from amp.database.maintenance import find

    for _, found in errors.each(arguments.names, lambda name: list(find(name))):
        yield from found


def _change(paths: list[str], arguments: argparse.Namespace, errors: _Errors) -> None:
    """Pack or prune databases, and tell sizes before and after."""
    from amp.core.memory import format_bytes
    from amp.database.maintenance import compress, prune

    work: Callable[[str], Change] = partial(compress, dry_run=arguments.dry_run)
    done, nothing = "packed", "nothing to pack"
    if arguments.prune:
        is_unused, used_digests = _pruning()
        # Before anything is dropped: one that cannot be read must not count as not given.
        digests = used_digests(arguments.prune)
        work = partial(
            prune,
            is_unused=lambda key: is_unused(key, digests),
            dry_run=arguments.dry_run,
        )
        done, nothing = "dropped", "nothing to drop"
    if arguments.dry_run:
        done = f"would be {done}"
    n = n_entries = n_bytes = before = after = 0
    for path, change in errors.each(paths, work):
        text = f"{_entries(change.n_entries)} ({format_bytes(change.n_bytes)}) {done}"
        print(f"{path}: {text if change.n_entries else nothing}; {_sizes(change, arguments)}")
        for note in _notes(change, arguments.dry_run):
            print(f"{path}: {note}")
        if change.n_left:
            errors.add()
        n, n_entries, n_bytes = n + 1, n_entries + change.n_entries, n_bytes + change.n_bytes
        before, after = before + change.before, after + change.after
    if n > 1:
        text = f"{n} databases: {_entries(n_entries)} ({format_bytes(n_bytes)}) {done}; "
        sizes = f"{format_bytes(before)} before, {format_bytes(after)} after"
        print(text + (format_bytes(before) if arguments.dry_run else sizes))


def _pruning() -> tuple[Callable[[str, Collection[str]], bool], Callable[..., frozenset[str]]]:
    """Load what knows potentials; it needs more than the rest of this command does."""
    try:
        from amp.training.pruning import is_unused, used_digests
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--prune reads potentials, for which this Python ({sys.executable}) lacks the module "
            f"{error.name!r}; use the amp-compress of an environment in which Amp is installed"
        ) from error
    return is_unused, used_digests


def _sizes(change: Change, arguments: argparse.Namespace) -> str:
    """Tell the bytes of a database before and after; once where nothing was done."""
    from amp.core.memory import format_bytes

    if arguments.dry_run or (change.n_entries == 0 and change.before == change.after):
        return format_bytes(change.before)
    return f"{format_bytes(change.before)} before, {format_bytes(change.after)} after"


def _notes(change: Change, is_dry: bool) -> Iterator[str]:
    """Say what was not done."""
    if change.n_left:
        done = "would not be packed" if is_dry else "not packed"
        yield f"{done}, because damaged or not readable: {_entries(change.n_left)}"
    if change.n_old:
        yield (
            f"not read, because of Amp 1.0.1: {_counted(change.n_old, 'file', 'files')}; "
            "amp-compress -r -d FOLDER deletes databases"
        )


def _list(paths: list[str], errors: _Errors) -> None:
    """Print a line for every entry, and one for all of a database."""
    from amp.database.maintenance import contents

    for path, found in errors.each(paths, contents):
        for entry in found.entries:
            print(f"{entry.size:>12}  {entry.place:<7}  {path}/{entry.key}")
        loose, archived = found.at("loose"), found.at("archive")
        print(
            f"{found.size:>12}  total    {path}: {_entries(len(loose) + len(archived))}, "
            f"{len(loose)} loose ({sum(entry.size for entry in loose)} bytes), "
            f"{len(archived)} archived ({sum(entry.size for entry in archived)} bytes)"
        )


def _verify(paths: list[str], errors: _Errors) -> None:
    """Tell which entries are damaged."""
    from amp.database.maintenance import verify

    for path, found in errors.each(paths, verify):
        for damage in found.damaged:
            errors.add()
            reason = " ".join(damage.reason.split())
            print(f"{path}: damaged: {damage.key} ({damage.place}): {reason}")
        print(f"{path}: {_entries(found.n_entries)} read, {len(found.damaged)} damaged")


def _delete(paths: list[str], arguments: argparse.Namespace, errors: _Errors) -> None:
    """Show databases, ask, and delete them."""
    from amp.core.memory import format_bytes
    from amp.database.maintenance import examine, remove

    sizes = dict(errors.each(paths, examine))
    for path, size in sizes.items():
        print(f"{path}: {format_bytes(size)}")
    if not sizes:
        return
    all_of_them = f"{_databases(len(sizes))}, {format_bytes(sum(sizes.values()))}"
    if arguments.dry_run:
        print(f"{all_of_them}, would be deleted")
        return
    if not arguments.yes and not _is_confirmed(f"Delete {all_of_them}? [y/N] "):
        print("Nothing was deleted.")
        return
    removed = dict(errors.each(sizes, remove))
    print(f"{_databases(len(removed))}, {format_bytes(sum(removed.values()))}, deleted")


def _entries(n: int) -> str:
    return _counted(n, "entry", "entries")


def _databases(n: int) -> str:
    return _counted(n, "database", "databases")


def _counted(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"


def _is_confirmed(question: str) -> bool:
    """Ask on the terminal."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())
