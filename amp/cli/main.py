"""The `amp` command: reads the command line and runs one of the commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import amp
from amp.cli import compress, evaluate, info, train
from amp.cli.arguments import ArgumentParser, UsageError
from amp.cli.messages import as_one_line, tell

__all__ = ["COMMANDS", "main", "run_alone"]

# In the order of `amp --help`.  A command is a module with a docstring whose first line is its
# help, `add_arguments(parser)` and `run(arguments)`, which returns the exit status; it imports
# what takes time to load inside `run`.
COMMANDS = {"train": train, "evaluate": evaluate, "info": info, "compress": compress}

FAILED, INTERRUPTED = 1, 130


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
    return _run("amp", _parser, argv)


def run_alone(module: Any, program: str, argv: Sequence[str] | None = None) -> int:
    """Run one of the commands as a program of its own.

    Parameters
    ----------
    module : module
        The command, see `COMMANDS`.
    program : str
        What it is called.
    argv, returns
        As for `main`.
    """

    def parser() -> ArgumentParser:
        return _declared(module, ArgumentParser(program, **_described(module), parents=[_every()]))

    return _run(program, parser, argv)


def _run(
    program: str, make_parser: Callable[[], ArgumentParser], argv: Sequence[str] | None
) -> int:
    """Run what the command line asks for, and tell errors in one line."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = make_parser().parse_args(argv)
        arguments.program, arguments.traceback = program, "--traceback" in argv
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        print(f"{program}: {as_one_line(str(interrupt)) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  or Python complains at its end
        return FAILED
    except Exception as error:
        tell(error, program, "--traceback" in argv and not isinstance(error, UsageError))
        return FAILED


def _parser() -> ArgumentParser:
    """Make the parser of all commands."""
    parser = ArgumentParser(
        prog="amp", description="Machine-learned interatomic potentials: train them, use them."
    )
    parser.add_argument("--version", action="version", version=f"amp {amp.__version__}")
    parser.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    every = _every()
    for name, module in COMMANDS.items():
        described = _described(module)
        first = described["description"].splitlines()[0]
        _declared(module, commands.add_parser(name, help=first, parents=[every], **described))
    return parser


def _every() -> ArgumentParser:
    """Make the parser of what all commands have."""
    every = ArgumentParser(add_help=False)
    every.add_argument(
        "--traceback", action="store_true", help="show where in the code an error came from"
    )
    return every


def _described(module: Any) -> dict[str, Any]:
    """Give what the parser of a command says of it."""
    return {
        "description": (module.__doc__ or "").strip(),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _declared(module: Any, parser: ArgumentParser) -> ArgumentParser:
    """Add the arguments of a command to its parser."""
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
