"""Log files with timers, progress bars, and the lines that say what ran where."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import IO, Any, TypeVar

from amp.core.errors import ParameterError, UnknownNameError

__all__ = ["Logger", "logo", "make_filename", "now", "progress", "status", "version_header"]

Item = TypeVar("Item")
Label = str | None  # None is the timer without a label

LOGGED_PACKAGES = ("numpy", "scipy", "numba", "ase")

logo = r"""
    _
   / \   _ __ ___  _ __
  / _ \ | '_ ` _ \| '_ \
 / ___ \| | | | | | |_) |
/_/   \_\_| |_| |_| .__/
                  |_|
"""


class Logger:
    """A log file, one line a call, with timers.

    Parameters
    ----------
    file : None, str, os.PathLike or file object
        None makes a logger that does nothing and whose every method returns None. A path is
        opened for appending. An open file object (anything with ``write``) is written to.
    overwrite : bool
        Empty the file at `file` first.

    Attributes
    ----------
    file : file object or None
        What is written to.
    filename : str or None
        Its path; None when there is none.
    tics : dict
        The running timers: label -> start on the clock of `time.perf_counter` (s).

    Examples
    --------
    >>> import sys
    >>> log = Logger(sys.stdout)
    >>> log("Training.")
    Training.
    """

    def __init__(
        self, file: "str | os.PathLike[str] | IO[str] | None", overwrite: bool = False
    ) -> None:
        self.file: Any = None
        self.filename: str | None = None
        self.tics: dict[Label, float] = {}
        self._owns_file = False
        if isinstance(file, str | os.PathLike):
            self.filename = os.fspath(file)
            if overwrite:
                with open(self.filename, "w", encoding="utf-8"):
                    pass
            self._open()
        elif file is not None:
            name = getattr(file, "name", None)
            self.file = file
            if isinstance(name, str) and not name.startswith("<"):  # not "<stdout>"
                self.filename = name

    @classmethod
    def from_logging(cls, name: str, level: int = logging.INFO) -> "Logger":
        """Make a logger whose lines go to Python's `logging` instead of a file.

        Parameters
        ----------
        name : str
            Name of the `logging` logger.
        level : int
            Level of the records.

        Returns
        -------
        Logger
            Object to be called with lines.
        """
        return cls(_LoggingStream(name, level))  # type: ignore[arg-type]

    def __call__(
        self,
        message: str,
        toc: bool | str | None = False,
        tic: bool | str | None = False,
        check: bool | str | None = False,
        flush: bool = True,
    ) -> None:
        """Write one line.

        Parameters
        ----------
        message : str
            Text of the line, without the line end.
        toc : bool or str
            Append the time since the timer (True: the one without a label) and end the timer.
        tic : bool or str
            Start a timer after writing, without a label (True) or with one.
        check : bool or str
            As `toc`, but the timer keeps running.
        flush : bool
            Hand the line to the operating system at once. Files that this object opened
            itself always do, so that several processes can write to one file.

        Raises
        ------
        ParameterError
            If both `toc` and `check` are asked for.
        UnknownNameError
            If no such timer runs.
        RuntimeError
            If a timer of the label `tic` runs already.
        """
        if self._is_silent():
            return
        if toc and check:
            raise ParameterError("Ask for toc (ends the timer) or check (keeps it), not both.")
        if toc:
            message += self._elapsed(toc)
            del self.tics[_label(toc)]
        elif check:
            message += self._elapsed(check)
        self._write(f"{message}\n", flush)
        if tic:
            self.tic(_label(tic))

    def tic(self, label: str | None = None) -> None:
        """Start a timer.

        Parameters
        ----------
        label : str, optional
            Name of the timer. Without it the one timer that has no label is started anew.

        Raises
        ------
        RuntimeError
            If a timer of this label runs already.
        """
        if self._is_silent():
            return
        if label is not None and label in self.tics:
            raise RuntimeError(
                f"The timer {label!r} runs already; end it with toc={label!r} or use another label."
            )
        self.tics[label] = time.perf_counter()

    def handler(self, level: int = logging.NOTSET) -> logging.Handler:
        """Give a `logging` handler that writes its records into this log.

        Parameters
        ----------
        level : int
            Lowest level to write.

        Returns
        -------
        logging.Handler
            To be added to, and later removed from, a `logging` logger.
        """
        return _LineHandler(self, level)

    def close(self) -> None:
        """Close the file if this object opened it; the next line opens it again."""
        if self._owns_file and self.file is not None:
            self.file.close()

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Old scripts never close their logs; this spares them the ResourceWarning.
        if getattr(self, "_owns_file", False):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        # An open file can be neither copied nor sent; its name can.
        return {"filename": self.filename, "tics": dict(self.tics)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.file, self._owns_file = None, False
        self.filename, self.tics = state["filename"], state["tics"]

    def _is_silent(self) -> bool:
        """Tell whether there is nothing to write to."""
        return self.file is None and self.filename is None

    def _open(self) -> None:
        """Open the file for appending; line-buffered, so each line is one write."""
        assert self.filename is not None
        self.file = open(self.filename, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._owns_file = True

    def _write(self, text: str, flush: bool) -> None:
        """Write in one piece, after opening the file again where that is needed."""
        is_closed = self.file is None or getattr(self.file, "closed", False)
        if is_closed and self.filename is not None:
            self._open()
        self.file.write(text)
        if flush and hasattr(self.file, "flush"):
            self.file.flush()

    def _elapsed(self, timer: bool | str) -> str:
        """Return the time since the start of a timer, as it is appended to a line."""
        label = _label(timer)
        if label not in self.tics:
            known = ", ".join(repr(known) for known in self.tics if known is not None) or "none"
            missing = "without a label" if label is None else repr(label)
            raise UnknownNameError(
                f"No timer {missing} was started; running timers with a label: {known}."
            )
        return _duration(time.perf_counter() - self.tics[label])


def make_filename(label: "str | os.PathLike[str] | None", base_filename: str) -> str | None:
    """Name a file of a run.

    Parameters
    ----------
    label : str or None
        Label of the run; may contain folders, which are not made here.
    base_filename : str
        What the name ends in, such as ``'-log.txt'``.

    Returns
    -------
    str or None
        Label and base name joined without a separator; None if `label` is None.

    Examples
    --------
    >>> make_filename("lab", "-log.txt")
    'lab-log.txt'
    """
    return None if label is None else f"{os.fspath(label)}{base_filename}"


def now(with_utc: bool = False) -> str:
    """Return the local time.

    Parameters
    ----------
    with_utc : bool
        Add the time in UTC.

    Returns
    -------
    str
        Such as ``'2026-11-21T20:57:24'``, and with UTC
        ``'2026-11-21T20:57:24 (2026-11-21T19:57:24 UTC)'``.
    """
    moment = datetime.now(timezone.utc)
    local = moment.astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    return f"{local} ({moment:%Y-%m-%dT%H:%M:%S} UTC)" if with_utc else local


def progress(
    iterable: Iterable[Item], description: str = "", total: float | None = None
) -> Iterator[Item]:
    """Show how far a loop has come, on the terminal only.

    Nothing is shown, and nothing loaded for it, unless standard error is a terminal.

    Parameters
    ----------
    iterable : iterable
        What is looped over.
    description : str
        What is being done.
    total : float, optional
        Number of items where `iterable` has no length.

    Yields
    ------
    object
        The items of `iterable`, unchanged.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(
        iterable, description, total=total, console=Console(stderr=True), transient=True
    )


@contextmanager
def status(description: str) -> Iterator[Callable[[str], None]]:
    """Show what goes on in work of unknown length, on the terminal only.

    Parameters
    ----------
    description : str
        What is being done.

    Yields
    ------
    callable
        Takes a text to show instead; does nothing unless standard error is a terminal.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(description) as shown:
        yield lambda text: shown.update(text)


def version_header(packages: Iterable[str] = LOGGED_PACKAGES) -> list[str]:
    """Describe what runs, where and when, as the first lines of a log.

    Parameters
    ----------
    packages : iterable of str
        Distributions whose versions are given, besides Amp and Python.

    Returns
    -------
    list of str
        One line each: versions, host, platform, time.
    """
    import platform
    import socket

    amp = sys.modules[__name__.partition(".")[0]]  # what runs, installed or not
    versions = {"Amp": amp.__version__, "Python": platform.python_version()}
    versions.update((package, _version(package)) for package in packages)
    about = {**versions, "Host": socket.gethostname(), "Platform": platform.platform()}
    about["Time"] = now(with_utc=True)
    return [f"{name}: {value}" for name, value in about.items()]


def _version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    from importlib import metadata  # takes longer to load than the rest of this module

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _label(timer: bool | str | None) -> Label:
    """Turn an argument that asks for a timer into its label."""
    return timer if isinstance(timer, str) else None


def _duration(seconds: float) -> str:
    """Return a duration with one decimal in the unit that suits it, after a blank."""
    if seconds > 60.0:
        return f" {seconds / 60.0:.1f} min."
    if seconds > 1.0:
        return f" {seconds:.1f} s"
    if seconds > 1e-3:
        return f" {seconds * 1e3:.1f} ms"
    return f" {seconds * 1e6:.1f} us"


class _LineHandler(logging.Handler):
    """Writes `logging` records into a `Logger`."""

    def __init__(self, log: Logger, level: int) -> None:
        super().__init__(level)
        self._log: Callable[[str], None] = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._log(self.format(record))
        except Exception:
            self.handleError(record)


class _LoggingStream:
    """A file whose lines become `logging` records."""

    def __init__(self, name: str, level: int) -> None:
        self._logger, self._level = logging.getLogger(name), level

    def write(self, text: str) -> int:
        """Send one line on."""
        self._logger.log(self._level, "%s", text.rstrip("\n"))
        return len(text)
