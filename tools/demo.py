"""Train a potential and look at it: `python3 tools/demo.py`.

The first run makes a virtual environment (`.venv`) in the checkout and installs Amp there, in about
a minute. Then `examples/train_molecule.py` trains on the data in `examples`, reports the errors on
images that the potential has not seen, draws the parity plot and runs a short molecular dynamics,
in one to three minutes. Its files are left in `demo-run`. Arguments go to the example.

Interrupted by Ctrl-C, training goes on when this is started again. To use the environment yourself:
`source .venv/bin/activate`.
"""

import sys

from _environment import CHECKOUT, prepare, quit_if_python_is_too_old, run, say


def main():
    """Prepare the environment and run the example in it."""
    quit_if_python_is_too_old()
    if sys.argv[1:] in (["-h"], ["--help"]):
        say(__doc__)
        return 0
    python = prepare(["plots"])
    folder = CHECKOUT / "demo-run"
    folder.mkdir(exist_ok=True)
    status = run(
        [python, CHECKOUT / "examples" / "train_molecule.py", *sys.argv[1:]],
        cwd=str(folder),
        MPLBACKEND="Agg",
    )
    if status == 0:
        say(f"The files of this run are in {folder}")
    return status


if __name__ == "__main__":
    sys.exit(main())
