"""What the commands share in reading their arguments and writing their results."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["ArgumentParser", "UsageError", "check_free", "write_json"]


class UsageError(Exception):
    """The command line makes no sense."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process, with the status that commands may use."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def check_free(path: str, overwrite: bool) -> None:
    """Refuse to replace a file.

    Raises
    ------
    OutputExistsError
        If it exists and `overwrite` is not set.
    """
    from amp.core.errors import OutputExistsError

    if Path(path).exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already. Use another name, or --overwrite.")


def write_json(data: Any, path: str) -> None:
    """Write plain data as JSON to a file, or to standard output for '-'.

    Parameters
    ----------
    data : object
        Of what JSON has.
    path : str
        Name of the file; an existing one is replaced.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    from amp.core.serialization import write_atomic

    write_atomic(path, text)
