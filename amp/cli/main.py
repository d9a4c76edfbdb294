"""The `amp` command: reads the command line and runs one of the commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import amp
from amp.cli import evaluate, info, train
from amp.cli.arguments import ArgumentParser, UsageError

__all__ = ["COMMANDS", "main"]

# In the order of `amp --help`.  A command is a module with a docstring whose first line is its
# help, `add_arguments(parser)` and `run(arguments)`, which returns the exit status; it imports
# what takes time to load inside `run`.
COMMANDS = {"train": train, "evaluate": evaluate, "info": info}

FAILED, INTERRUPTED = 1, 130

# What messages for those who write scripts are called on the command line.
AS_OPTIONS = {
    "Load it with Amp.load(), use another label": "Use another label",
    "another label": "another --label",
    "overwrite=True": "--overwrite",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `amp` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0 if all is well, 1 after an error, 130 after Ctrl-C, others as the commands
        say.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser().parse_args(argv)
        return arguments.run(arguments)
    except KeyboardInterrupt as interrupt:
        print(f"amp: {_joined(str(interrupt)) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if "--traceback" in argv and not isinstance(error, UsageError):
            import traceback

            traceback.print_exc()
        print(f"amp: error: {_one_line(error)}", file=sys.stderr)
        return FAILED


def _parser() -> ArgumentParser:
    """Make the parser of all commands."""
    parser = ArgumentParser(
        prog="amp", description="Machine-learned interatomic potentials: train them, use them."
    )
    parser.add_argument("--version", action="version", version=f"amp {amp.__version__}")
    every = ArgumentParser(add_help=False)
    every.add_argument(
        "--traceback", action="store_true", help="show where in the code an error came from"
    )
    parser.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            parents=[every],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _one_line(error: Exception) -> str:
    """Give the message of an error as one line."""
    from amp.core.errors import AmpError

    text = _joined(str(error))
    if isinstance(error, AmpError):
        for words, option in AS_OPTIONS.items():
            text = text.replace(words, option)
    if isinstance(error, FileNotFoundError) and "working folder" not in text:
        text = f"{text.removeprefix('[Errno 2] ')} (working folder: {os.getcwd()!r})"
    expected = isinstance(error, AmpError | UsageError | OSError | ImportError)
    if expected and text:
        return text
    return f"{type(error).__name__}: {text} (--traceback shows where it comes from)"


def _joined(text: str) -> str:
    """Make one line of several."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


if __name__ == "__main__":
    sys.exit(main())
