"""Train on a set of images, test on another, and print the errors as a table.

    python benchmarks/accuracy.py --cutoff 6.5 Li_train.extxyz Li_test.extxyz

Symmetry functions, network, loss and seed are the same for all data sets: shifted shells (G2) and
shifted angular functions (G5) on even grids between the shortest distance in the training images
and the cutoff, two layers of 16 nodes, L-BFGS on energies and forces for a fixed number of steps.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.io import read

from amp import Amp, __version__
from amp.analysis import evaluate
from amp.core.neighbors import neighbor_pairs
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.utilities import TrainingConvergenceError


def shifted_functions(images, cutoff, n_shells, n_angular):
    """Gaussians on even grids from the shortest distance to the cutoff, as wide as the spacing."""
    elements = sorted({symbol for atoms in images for symbol in atoms.symbols})
    shortest = min(neighbor_pairs(atoms, cutoff).distances.min() for atoms in images)
    functions = []
    for type, n, end, angles in (
        ("G2", n_shells, cutoff - 0.3, {}),
        ("G5", n_angular, cutoff - 0.8, {"zetas": [1, 2, 4, 8], "gammas": [1, -1]}),
    ):
        centers = np.linspace(shortest, end, n)
        eta = 0.5 * (cutoff / (centers[1] - centers[0])) ** 2
        functions += make_symmetry_functions(elements, type, [eta], offsets=centers, **angles)
    return functions


def train_and_test(train, test, options):
    """Train on one file and test on another; errors and times as a row."""
    images = read(train, ":")
    functions = shifted_functions(images, options.cutoff, options.shells, options.angular)
    with tempfile.TemporaryDirectory() as folder:
        calc = Amp(
            Gaussian(cutoff=options.cutoff, Gs=functions),
            NeuralNetwork(hiddenlayers=(16, 16), randomseed=options.seed, checkpoints=None),
            label=f"{folder}/accuracy",
        )
        calc.model.lossfunction = LossFunction(
            force_coefficient=options.force_coefficient,
            convergence={"energy_rmse": 0.0, "force_rmse": 0.0},
            maxiter=options.steps,
        )
        start = time.perf_counter()
        with contextlib.suppress(TrainingConvergenceError):  # the number of steps ends it
            calc.train(images)
        seconds = time.perf_counter() - start
    evaluation = evaluate(calc, test)
    return {
        "train": Path(train).name,
        "test": Path(test).name,
        "functions": len(functions),
        "parameters": len(calc.model.vector),
        "training_seconds": round(seconds, 1),
        "evaluation": evaluation,
    }


def main(argv=None):
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="TRAIN TEST [TRAIN TEST ...]")
    parser.add_argument("--cutoff", type=float, default=6.0, help="Å")
    parser.add_argument("--shells", type=int, default=10, help="number of G2 centers")
    parser.add_argument("--angular", type=int, default=5, help="number of G5 centers")
    parser.add_argument("--steps", type=int, default=500, help="loss evaluations")
    parser.add_argument("--force-coefficient", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the results here too")
    options = parser.parse_args(argv)
    if len(options.files) % 2:
        parser.error("files come in pairs: TRAIN TEST")
    pairs = zip(options.files[::2], options.files[1::2], strict=True)
    rows = [train_and_test(train, test, options) for train, test in pairs]
    columns = ("E MAE", "E RMSE", "F MAE", "F RMSE", "train s")
    print(f"{'test set':24s}", *(f"{column:>8s}" for column in columns))
    for row in rows:
        energy, force = row["evaluation"].energy, row["evaluation"].forces
        print(
            f"{row['test']:24s} {1000 * energy.mae:8.2f} {1000 * energy.rmse:8.2f} "
            f"{force.mae:8.4f} {force.rmse:8.4f} {row['training_seconds']:8.1f}"
        )
    print("energies in meV/atom, forces in eV/Å")
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k not in ("files", "json")}
        results = [{**row, "evaluation": row["evaluation"].to_dict()} for row in rows]
        report = {
            "amp": __version__, "machine": platform.machine(), "python": platform.python_version(),
            "settings": settings, "results": results,
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
