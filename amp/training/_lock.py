"""One training at a time per label: a file that names who holds it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amp.core.errors import LabelInUseError, OutputWriteError

__all__ = ["hold"]

# What this process holds.  A file with our own number that is not among these is of an earlier
# process that had the same number, as in containers, where it is often 1.
_held: set[str] = set()


@contextmanager
def hold(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a file while the block runs; nobody else can hold it meanwhile.

    Parameters
    ----------
    path : path
        File to make; its folder exists. One of a process of this host that is gone is replaced.

    Raises
    ------
    LabelInUseError
        If another run holds it; the message names process and host.
    OutputWriteError
        If the file cannot be written.
    """
    name, me = os.path.abspath(path), _text(os.getpid(), socket.gethostname())
    try:
        _make(name, me)
    except FileExistsError:
        raise _in_use(name) from None
    except OSError as error:
        raise OutputWriteError(f"{name} cannot be written: {error.strerror}.") from error
    _held.add(name)
    try:
        yield
    finally:
        _held.discard(name)
        if _read(name) == me:  # not if somebody removed it and began another run
            Path(name).unlink(missing_ok=True)


def _make(name: str, text: str) -> None:
    """Make the file, after removing one that was left by a process that is gone."""
    if _is_left_over(name):
        Path(name).unlink(missing_ok=True)
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _is_left_over(name: str) -> bool:
    """Say whether a file is of a process of this host that is gone."""
    pid, host = _owner(_read(name))
    if pid is None or host != socket.gethostname():
        return False
    return name not in _held if pid == os.getpid() else not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    """Say whether a process of this host runs; where that cannot be asked, it may."""
    if os.name != "posix":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _in_use(name: str) -> LabelInUseError:
    pid, host = _owner(_read(name))
    who = "another run" if pid is None else f"process {pid} on {host}"
    return LabelInUseError(
        f"The label is in use: {who} trains with it and would write the same files. Wait for it, "
        f"or use another label. If that run is gone, remove {name}."
    )


def _text(pid: int, host: str) -> str:
    return f"process {pid} on {host}\n"


def _owner(text: str) -> tuple[int | None, str]:
    """Read process number and host; no number where there is none."""
    words = text.split()
    if len(words) != 4 or not words[1].isdecimal():
        return None, ""
    return int(words[1]), words[3]


def _read(name: str) -> str:
    """Give the text of a file; empty if it cannot be read."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
