"""Run the tests: `python3 tools/check.py`.

The first run makes a virtual environment (`.venv`) in the checkout, with what the tests need in it.
Every other argument goes to pytest: `python3 tools/check.py tests/core -k images`.
"""

import argparse
import sys

from _environment import CHECKOUT, prepare, quit_if_python_is_too_old, run


def main():
    """Prepare the environment and run pytest in it."""
    quit_if_python_is_too_old()
    parser = argparse.ArgumentParser(
        description="Run Amp's tests in an environment of their own.",
        epilog="Every other argument goes to pytest, for example: tests/core -k images -n 4",
    )
    parser.add_argument("--slow", action="store_true", help="run the slow tests as well")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="test what this Python has installed; without it, a virtual environment (.venv) is "
        "made in the checkout",
    )
    options, for_pytest = parser.parse_known_args()
    python = options.python or prepare(["tests"])
    selection = [] if options.slow else ["-m", "not slow"]
    return run(
        # Isolated, and the variable for subprocesses: the checkout must not hide the installed amp.
        [python, "-I", "-m", "pytest", "-n", "2", *selection, *for_pytest],
        cwd=str(CHECKOUT),
        PYTHONSAFEPATH="1",
        # Two processes with a pool of threads each would only wait for one another.
        OMP_NUM_THREADS="1",
    )


if __name__ == "__main__":
    sys.exit(main())
