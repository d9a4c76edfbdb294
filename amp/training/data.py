"""Container of values per image that computes what is missing, for scripts of Amp 1.0.1."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from amp.core.errors import CalculationError, ParameterError
from amp.core.logs import progress
from amp.database import FileDatabase

__all__ = ["Data", "ItemCalculator"]

logger = logging.getLogger(__name__)

LOCAL = ("localhost", "127.0.0.1")
WAITING_PER_WORKER = 4  # tasks handed out at once: enough to be busy, few to take back
SHOWN = 3  # failures that an error tells with their traceback


class ItemCalculator(Protocol):
    """What computes the value of one image."""

    def calculate(self, image: Any, key: str) -> Any:
        """Give a value that the database can hold."""


class Data:
    """Values by image, in a database, computed when they are asked for and missing.

    Parameters
    ----------
    filename : path
        Name of the database; that of a `FileDatabase` ends in .ampdb, which is added.
    db : class
        What opens it with ``db.open(filename, flag)``: `FileDatabase`, or something like `shelve`
        or `dbm`, which is then used from this process alone.
    calculator : object, optional
        With `calculate(image, key)`; needed to compute.

    Attributes
    ----------
    d : mapping or None
        The open database.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        db: Any = FileDatabase,
        calculator: ItemCalculator | None = None,
    ) -> None:
        self.filename = os.fspath(filename)
        self.db = db
        self.calc = calculator
        self.d: Any = None

    def __enter__(self) -> Data:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getitem__(self, key: str) -> Any:
        self.open()
        return self.d[key]

    def __contains__(self, key: object) -> bool:
        self.open()
        return key in self.d

    def __iter__(self) -> Iterator[str]:
        self.open()
        return iter(self.d.keys())

    def __len__(self) -> int:
        self.open()
        return len(self.d)

    def open(self, mode: str = "r") -> None:
        """Open the database if it is closed.

        Parameters
        ----------
        mode : {'r', 'c'}
            Whether to read only, or to make it and write; a `FileDatabase` can always do both.
        """
        if self.d is None:
            self.d = self.db.open(self.filename, mode)

    def close(self) -> None:
        """Close the database if it is open."""
        if self.d is not None:
            self.d.close()
            self.d = None

    def calculate_items(
        self,
        images: Mapping[str, Any],
        parallel: Mapping[str, Any] | None = None,
        log: Callable[..., Any] | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Compute the values that are missing, and write each as soon as it is there.

        Killed and started again, it goes on with what is not there yet. What another process
        computes meanwhile is not computed again.

        Parameters
        ----------
        images : mapping
            Key -> image.
        parallel : dict, optional
            'cores' is a number, or a dict of hosts and numbers that names no host but this one: so
            many threads of this process, which help if `calculate` releases the interpreter, as
            compiled code does. For processes, give an `executor`.
        log : callable, optional
            Takes lines of text, such as a `Logger`.
        executor : concurrent.futures.Executor, optional
            Where to compute, instead of `parallel`; the calculator and the images must be such
            as it can take.

        Raises
        ------
        ParameterError
            If there is no calculator, or `parallel` names other hosts.
        CalculationError
            If images failed, after all others are done; it names them.
        """
        calculate = getattr(self.calc, "calculate", None)
        if calculate is None:
            raise ParameterError(
                f"{self.filename} cannot be filled: make Data with calculator=..., an object "
                f"with calculate(image, key); this one is {self.calc!r}."
            )
        if not isinstance(images, Mapping):
            raise ParameterError(
                "Data wants images by their keys, as hash_images(images) gives them, not "
                f"{type(images).__name__}."
            )
        say = log or (lambda line, **timers: logger.info("%s", line))
        n_workers = 1 if executor is not None else _local_cores(parallel)
        say(f" Data stored in file {self.filename}.")
        self.close()
        self.open("c")
        try:
            missing = [key for key in images if key not in self.d]
            say(
                f" File exists with {len(self.d)} total images, {len(images) - len(missing)} of "
                "which are needed."
            )
            say(f" {len(missing)} new calculations needed.")
            begin = time.perf_counter()
            run = _Run(self.filename, self.d, images, calculate)
            if executor is not None:
                run.hand_out(missing, executor, os.cpu_count() or 1)
            elif n_workers > 1:
                with ThreadPoolExecutor(n_workers) as pool:
                    run.hand_out(missing, pool, n_workers)
            else:
                run.compute(missing)
        finally:
            self.close()
        if missing:
            seconds = time.perf_counter() - begin
            say(f" Calculated {len(missing) - len(run.failures)} in {seconds:.1f} s.")
        if run.failures:
            raise _failed(run.failures, len(missing))


@dataclass(slots=True)
class _Run:
    """Computes what is missing, and writes it into the open database."""

    name: str
    database: MutableMapping[str, Any]
    images: Mapping[str, Any]
    calculate: Callable[[Any, str], Any]
    failures: dict[str, Exception] = field(default_factory=dict)

    def compute(self, keys: list[str]) -> None:
        """Compute one after the other."""
        for key in progress(keys, self.name):
            self._write(key, partial(self.calculate, self.images[key], key))

    def hand_out(self, keys: list[str], executor: Executor, n_workers: int) -> None:
        """Keep a few tasks going, so that little is lost and little waits in memory."""
        waiting: dict[Future[Any], str] = {}
        try:
            for key in progress(keys, self.name):
                if key not in self.database:  # no other process was quicker
                    waiting[executor.submit(self.calculate, self.images[key], key)] = key
                if len(waiting) >= WAITING_PER_WORKER * n_workers:
                    self._collect(waiting)
            while waiting:
                self._collect(waiting)
        finally:
            for future in waiting:
                future.cancel()

    def _collect(self, waiting: dict[Future[Any], str]) -> None:
        """Write what is done."""
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            self._write(waiting.pop(future), future.result)

    def _write(self, key: str, compute: Callable[[], Any]) -> None:
        """Write one value, or note why there is none."""
        if key in self.database:
            return
        try:
            value = compute()
        except Exception as error:
            self._note(key, error)
            return
        try:
            self.database[key] = value
        except (TypeError, ValueError) as error:  # it is no value for this database
            self._note(key, error)

    def _note(self, key: str, error: Exception) -> None:
        """Tell the log that there is no value of an image."""
        logger.warning("%s: image %s failed.\n%s", self.name, key, _traceback(error))
        self.failures[key] = error


def _local_cores(parallel: Mapping[str, Any] | None) -> int:
    """Read how many cores of this machine are to be used."""
    if not isinstance(parallel, Mapping | None):
        raise ParameterError(f"parallel is a dict such as {{'cores': 4}}, not {parallel!r}.")
    cores = 1 if parallel is None else parallel.get("cores", 1)
    if isinstance(cores, Mapping):
        strangers = [host for host in cores if host not in LOCAL]
        if strangers:
            raise ParameterError(
                f"Data computes on this machine or through an executor; {', '.join(strangers)} "
                "can be reached by calculate_items(..., executor=...) only."
            )
        cores = sum(cores.values())
    if not isinstance(cores, int) or isinstance(cores, bool) or cores < 1:
        raise ParameterError(
            f"parallel={{'cores': ...}} is 1 or more, or {{'localhost': n}}, not {cores!r}."
        )
    return cores


def _failed(failures: Mapping[str, Exception], n_tried: int) -> CalculationError:
    """Say what failed, the first ones in full."""
    shown = list(failures.items())[:SHOWN]
    texts = "\n".join(f"{key}:\n{_traceback(error)}" for key, error in shown)
    more = f"\nand {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    return CalculationError(
        f"{len(failures)} of {n_tried} images failed; the others are done and kept.\n{texts}{more}"
    )


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
