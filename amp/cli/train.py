"""Train a potential on structures with reference energies, forces and stresses.

Writes LABEL.amp, or LABEL-untrained-parameters.amp if training ends before the errors are as small
as asked for, and LABEL-log.txt. An interrupted training goes on where it was when the command is
given again.

Exit status: 0 if training has converged, 2 if it has not, 1 after an error.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from amp.cli.arguments import UsageError

__all__ = ["add_arguments", "run"]

NOT_CONVERGED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `amp train`; those that are not given are None."""
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGES",
        help="files with structures and results, of any format that ASE reads; FILE@SLICE takes "
        "some of them, such as run.traj@::10",
    )
    add = partial(parser.add_argument, default=None)
    add("--label", help="beginning of the names of all files (default: amp)")
    add("--hidden", type=_nodes, nargs="+", action=_Joined, metavar="NODES",
        help="nodes of each hidden layer, as in 10 10 or 10,10 (default: 5 5)")  # fmt: skip
    add("--cutoff", type=float, metavar="RADIUS", help="cutoff radius (Å; default: 6.5)")
    add("--activation", help="activation function (default: tanh)")
    goal = partial(add, type=float, metavar="ERROR")
    goal("--energy-rmse", help="goal for energies (eV/atom; default: 0.001)")
    goal("--force-rmse", help="goal for forces (eV/Å; default: none)")
    weight = partial(add, type=float, metavar="WEIGHT")
    for name, what, default in (
        ("energy", "energies", "1"),
        ("force", "forces", "0.04; 0 leaves them out"),
        ("stress", "stresses", "none, stresses are not trained"),
    ):
        text = f"weight of the {what} in the loss (default: {default})"
        weight(f"--{name}-coefficient", help=text)
    add("--seed", type=int, help="seed of the first parameters (default: another in each run)")
    add("--maxiter", type=int, metavar="N", help="most evaluations of the loss, those of the runs "
        "that this one goes on from included (default: 100000)")  # fmt: skip
    add("--optimizer", help="optimizer (default: L-BFGS-B)")
    add("--cores", type=int, metavar="N", help="cores to use (default: all that are usable)")
    add("--derivatives", choices=("auto", "float64", "float32", "recomputed", "disk"),
        help="how derivatives of fingerprints are kept: in memory, computed again in each step, "
        "or in a file beside the label (default: auto, the first three being tried in this order)"
        )  # fmt: skip
    add("--memory", metavar="AMOUNT", help="most memory for the derivatives, such as 8GB (default: "
        "what is free, less a margin)")  # fmt: skip
    add("--cache", choices=("auto", "all", "fingerprints", "none"),
        help="what is kept on disk for the next training (default: auto, fingerprints and up to "
        "1 GB of their derivatives)")  # fmt: skip
    add("--dblabel", help="beginning of the names of the databases that keep it, which several "
        "labels may share (default: the label)")  # fmt: skip
    add("--overwrite", action="store_true", help="start anew and replace existing results")
    add("--device", help="train with torch on this device, such as cpu or cuda (default: train "
        "without torch)")  # fmt: skip
    add("--config", metavar="FILE", help="JSON file with arguments, {\"images\": [...], "
        "\"hidden\": [10, 10], ...}; those on the command line come first")  # fmt: skip
    parser.set_defaults(parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `amp train`."""
    given = _given(arguments)
    if not given.get("images"):
        raise UsageError("name the files with the images to train on (see amp train --help)")
    from amp.analysis import compare, summarize
    from amp.core.errors import TrainingConvergenceError
    from amp.core.images import read_images
    from amp.training.files import RunFiles

    calc = _calculator(given)
    images = read_images(given["images"])
    files = RunFiles(calc.label)
    print(f"{len(images)} images from {', '.join(given['images'])}.")
    print(f"Training; {files.log} says how it goes.", flush=True)
    converged, message = True, f"Converged. The potential is {files.trained}."
    try:
        calc.train(
            images,
            overwrite=bool(given.get("overwrite")),
            derivatives=given.get("derivatives", "auto"),
            memory=given.get("memory"),
            cache=given.get("cache", "auto"),
        )
    except TrainingConvergenceError as error:
        converged, message = False, str(error)
    print(message)
    # Stresses that were not trained are no measure of the training.
    errors = summarize(compare(calc, images, stress=bool(given.get("stress_coefficient"))))
    print(f"\nErrors on the images trained on:\n{errors.table()}")
    return 0 if converged else NOT_CONVERGED


class _Joined(argparse.Action):
    """Joins the lists that the words of an option give."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        setattr(namespace, self.dest, [each for value in values for each in value])


def _nodes(text: str) -> list[int]:
    """Read whole numbers with commas between them."""
    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None


def _calculator(given: Mapping[str, Any]) -> Any:
    """Make an untrained calculator; what is not given is left to the defaults."""
    from amp import Amp
    from amp.descriptor.gaussian import Gaussian
    from amp.model import LossFunction
    from amp.model.neuralnetwork import NeuralNetwork
    from amp.regression import Regressor

    def chosen(**names: str) -> dict[str, Any]:
        return {name: given[option] for name, option in names.items() if option in given}

    coefficients = ("energy_coefficient", "force_coefficient", "stress_coefficient")
    loss = LossFunction(
        convergence=chosen(energy_rmse="energy_rmse", force_rmse="force_rmse"),
        **chosen(maxiter="maxiter", **{name: name for name in coefficients}),
    )
    model = NeuralNetwork(
        lossfunction=loss,
        regressor=Regressor(**chosen(optimizer="optimizer")),
        **chosen(
            hiddenlayers="hidden", activation="activation", randomseed="seed", device="device"
        ),
    )
    descriptor = Gaussian(**chosen(cutoff="cutoff"))
    return Amp(descriptor, model, **chosen(label="label", dblabel="dblabel", cores="cores"))


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give the arguments of the command line, and of the configuration file where it has none."""
    given = _without_empty(arguments)
    if "config" not in given:
        return given
    config = arguments.parser.parse_args(_config_words(given["config"], arguments.parser))
    return {**_without_empty(config), **given}


def _without_empty(arguments: argparse.Namespace) -> dict[str, Any]:
    """Leave out what was not given."""
    return {name: value for name, value in vars(arguments).items() if value not in (None, [])}


def _config_words(path: str, parser: argparse.ArgumentParser) -> list[str]:
    """Turn a configuration file into words of a command line: one parser checks both."""
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"the configuration {path} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"the configuration {path} must be a JSON object")
    known = {action.dest for action in parser._actions} - {"help", "config", "traceback"}
    images: list[str] = []
    words: list[str] = []
    for key, value in config.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"the configuration {path} has an unknown entry {key!r}{hint}")
        values = value if isinstance(value, list) else [value]
        if any(isinstance(each, list | dict) for each in values):
            raise UsageError(f"the entry {key!r} of {path} must be a number, a text or a list")
        option = f"--{name.replace('_', '-')}"
        if name == "images":
            images += map(str, values)
        elif value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, *map(str, values)]
        elif value not in (None, False):
            words.append(f"{option}={value}")
    return [*words, "--", *images]
