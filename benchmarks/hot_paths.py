"""Time what decides how long people wait: an MD step, fingerprint derivatives, loss and gradient.

    python benchmarks/hot_paths.py                      # structures made here
    AMP_SHARED_DATA=FOLDER python benchmarks/hot_paths.py   # and those in FOLDER, if there

One thread, processor time, the least of several runs: other work on the machine disturbs it little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - after the number of threads is set
from ase import units  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.io import read  # noqa: E402

from amp import Amp, __version__  # noqa: E402
from amp.core.images import get_hash, hash_images  # noqa: E402
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions  # noqa: E402
from amp.model import LossFunction  # noqa: E402
from amp.model.neuralnetwork import NeuralNetwork  # noqa: E402
from amp.training import prepare  # noqa: E402


def least(work, repeats):
    """Give the least processor time of several runs (s), after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def silicon(n):
    """Shaken diamond cells, n x n x n, and the 27 functions that n2p2 was timed with."""
    atoms = bulk("Si", "diamond", a=5.469, cubic=True) * (n, n, n)
    atoms.positions += np.random.RandomState(0).normal(0, 0.1, atoms.positions.shape)
    cutoff = 10.3935 * units.Bohr
    etas = [eta * 10.3935**2 for eta in (0.01, 0.02, 0.05)]
    functions = make_symmetry_functions(["Si"], "G2", etas, offsets=[7.5589 * units.Bohr])
    functions += make_symmetry_functions(["Si"], "G4", etas, zetas=[1, 2, 4, 16], gammas=[1, -1])
    descriptor, model = Gaussian(cutoff=cutoff, Gs=functions), NeuralNetwork((24, 24), randomseed=0)
    descriptor.prepare(["Si"])
    model.initialize(descriptor.fingerprint_images(hash_images([atoms])), np.zeros(1))
    return atoms, Amp(descriptor, model)


def md_step(atoms, calc, repeats):
    """Time energy, forces and stress after a small move (µs per atom)."""
    atoms.calc = calc
    rng = np.random.default_rng(0)

    def step():
        atoms.positions += 1e-3 * rng.standard_normal(atoms.positions.shape)
        atoms.get_forces()

    return 1e6 * least(step, repeats) / len(atoms)


def training(images, layers, repeats):
    """Time preparation (ms per atom, all of it) and loss with gradient (ms)."""
    descriptor, model = Gaussian(), NeuralNetwork(layers, randomseed=0)
    model.lossfunction = LossFunction(raise_ConvergenceOccurred=False, log_losses=False)
    data = prepare(descriptor, model, images)
    start = time.process_time()
    descriptor.fingerprint_images(data.images, derivatives=True)
    n_atoms = sum(len(atoms) for atoms in data.images.values())
    derivatives = 1e3 * (time.process_time() - start) / n_atoms
    model.lossfunction.attach(model, data.fingerprints, data.references)
    vector = model.vector
    loss = 1e3 * least(lambda: model.lossfunction.evaluate(vector, True), repeats)
    return derivatives, loss


def main(argv=None):
    """Run all that there are structures for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the results here too")
    options = parser.parse_args(argv)
    rows = []

    def report(what, value, unit):
        rows.append({"what": what, "value": value, "unit": unit})
        print(f"{what:62s} {value:10.3f} {unit}", flush=True)

    for n in (2, 4, 8):
        atoms, calc = silicon(n)
        value = md_step(atoms, calc, options.repeats)
        report(
            f"energy and forces, {len(atoms)} Si atoms, 27 functions, net 24-24", value, "µs/atom"
        )
    folder = Path(os.environ.get("AMP_SHARED_DATA", "."))
    slab = folder / "slab_CuPtO.extxyz"
    if not slab.exists():
        print("slab_CuPtO.extxyz is not in AMP_SHARED_DATA: training is not timed.")
    else:
        images = read(slab, ":")
        hashing = 1e6 * least(lambda: [get_hash(atoms) for atoms in images], options.repeats)
        report("hashing, 37 atoms", hashing / len(images), "µs/image")
        for layers in ((5, 5), (20, 20)):
            derivatives, loss = training(images, layers, options.repeats)
            report(f"loss and gradient, 100 x 37 atoms, forces, net {layers}", loss, "ms")
        report("fingerprints and derivatives, 36 functions per element", derivatives, "ms/atom")
    if options.json:
        about = {"amp": __version__, "machine": platform.processor() or platform.machine(),
                 "python": platform.python_version(), "results": rows}  # fmt: skip
        options.json.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
