"""The first calculation of a process, and what it took; run by `_start`, prints JSON.

Arguments: predict or train, a potential, a structure with energy and forces.
"""

import json
import sys
import tempfile
import time

from numba.core import event


def predict(potential, structure):
    """Compute energy, forces and stress."""
    from ase.io import read

    from amp import Amp

    atoms = read(structure)
    atoms.calc = Amp.load(potential)
    return float(atoms.get_forces().sum() + atoms.get_stress().sum())


def train(potential, structure):
    """Train for two steps on energies and forces."""
    from ase.io import read

    from amp import Amp
    from amp.core.errors import TrainingConvergenceError
    from amp.model import LossFunction

    with tempfile.TemporaryDirectory() as folder:
        calc = Amp.load(potential, label=f"{folder}/first")
        calc.model.lossfunction = LossFunction(maxiter=2, convergence={"force_rmse": 0.0})
        try:
            calc.train([read(structure)])
        except TrainingConvergenceError:
            return calc.model.lossfunction.latest.loss
    return 0.0


def main():
    work = {"predict": predict, "train": train}[sys.argv[1]]
    with event.install_recorder("numba:compile") as compiled:
        value = work(*sys.argv[2:])
    starts = [happened for _, happened in compiled.buffer if happened.is_start]
    import amp

    answer = {
        "value": value,
        "seconds": time.process_time(),  # since the process began
        "compilations": len(starts),
        "torch": "torch" in sys.modules,
        "package": amp.__file__,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
