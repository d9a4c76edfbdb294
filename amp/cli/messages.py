"""How the commands tell what went wrong: one line for each error."""

from __future__ import annotations

import os
import sys

__all__ = ["as_one_line", "one_line", "tell"]

# What messages for those who write scripts are called on the command line.
AS_OPTIONS = {
    "Load it with Amp.load(), use another label": "Use another label",
    "another label": "another --label",
    "overwrite=True": "--overwrite",
}


def tell(error: BaseException, program: str, with_traceback: bool = False) -> None:
    """Write an error to standard error.

    Parameters
    ----------
    error : Exception
        What went wrong.
    program : str
        Name of the command, with which the line begins.
    with_traceback : bool
        Show where in the code it came from first.
    """
    if with_traceback:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)
    print(f"{program}: error: {one_line(error)}", file=sys.stderr)


def one_line(error: BaseException) -> str:
    """Give the message of an error as one line."""
    from amp.cli.arguments import UsageError
    from amp.core.errors import AmpError

    text = as_one_line(str(error))
    if isinstance(error, AmpError):
        for words, option in AS_OPTIONS.items():
            text = text.replace(words, option)
    if isinstance(error, FileNotFoundError) and "working folder" not in text:
        text = f"{text.removeprefix('[Errno 2] ')} (working folder: {os.getcwd()!r})"
    expected = isinstance(error, AmpError | UsageError | OSError | ImportError)
    if expected and text:
        return text
    return f"{type(error).__name__}: {text} (--traceback shows where it comes from)"


def as_one_line(text: str) -> str:
    """Make one line of several."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
