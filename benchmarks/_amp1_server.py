"""Time Amp 1.0.1 on request; run by its own Python, which is older than ours.

    python _amp1_server.py IMAGES.extxyz FOLDER

Every line on standard input names one thing to do; the answer is a line of JSON with the processor
time it took (s). Whatever Amp 1.0.1 prints goes to standard error, what it writes to FOLDER.
"""

import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import ase  # noqa: E402
import numpy as np  # noqa: E402
from ase.io import read  # noqa: E402

from amp import Amp  # noqa: E402
from amp.descriptor.gaussian import Gaussian  # noqa: E402
from amp.model import LossFunction  # noqa: E402
from amp.model.neuralnetwork import NeuralNetwork  # noqa: E402
from amp.utilities import get_hash, hash_images  # noqa: E402


def silent(message, **keywords):
    """Stand in for Amp's log."""


class Bench:
    """Images, what was computed of them, and loss functions that have been set up."""

    def __init__(self, images):
        self.images = images
        self.hashed = hash_images(images)
        self.n_descriptors = 0
        self.descriptors = {}
        self.models = {}
        self.calculators = []  # which descriptors and models know as their parent

    def versions(self):
        """Say what is run."""
        return {"python": sys.version.split()[0], "numpy": np.__version__, "ase": ase.__version__}

    def hashing(self):
        """Hash every image."""
        return timed(lambda: [get_hash(atoms) for atoms in self.images])

    def fingerprints(self):
        """Compute neighbors and fingerprints, without any file of an earlier time."""
        return self._fingerprints(derivatives=False)

    def derivatives(self):
        """Compute neighbors, fingerprints and their derivatives."""
        return self._fingerprints(derivatives=True)

    def loss(self, *layers):
        """Evaluate loss and gradient of energies and forces; set up before, if need be."""
        if layers not in self.models:
            self.models[layers] = self._model(layers)
        model = self.models[layers]
        vector = model.vector
        return timed(lambda: model.lossfunction.get_loss(vector, lossprime=True))

    def _fingerprints(self, derivatives):
        self.n_descriptors += 1  # what is in the files of an earlier one is not computed again
        descriptor = Gaussian(dblabel=f"bench-{self.n_descriptors}")
        seconds = timed(
            lambda: descriptor.calculate_fingerprints(
                self.hashed, parallel={"cores": 1}, log=silent, calculate_derivatives=derivatives
            )
        )
        self.descriptors[derivatives] = descriptor
        return seconds

    def _model(self, layers):
        if True not in self.descriptors:
            self.derivatives()
        convergence = {"energy_rmse": 1e-12, "force_rmse": 1e-12}  # never met
        model = NeuralNetwork(hiddenlayers=layers, randomseed=0, checkpoints=None)
        model.lossfunction = LossFunction(convergence=convergence, log_losses=False)
        descriptor = self.descriptors[True]
        for name in ("neighborlist", "fingerprints", "fingerprintprimes"):
            kept = getattr(descriptor, name)  # which reads a file every time it is looked at
            setattr(descriptor, name, {key: kept[key] for key in self.hashed})
        label = "bench-" + "-".join(map(str, layers))
        self.calculators.append(Amp(descriptor, model, label=label, cores=1, logging=False))
        model.fit(self.hashed, descriptor, log=silent, parallel={"cores": 1}, only_setup=True)
        model.lossfunction.get_loss(model.vector, lossprime=True)  # hands its data to Fortran
        return model


def timed(work):
    """Give the processor time of a call (s)."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main():
    images, folder = sys.argv[1:]
    answers = sys.stdout
    sys.stdout = sys.stderr
    bench = Bench(read(images, ":"))
    os.chdir(folder)
    for line in iter(sys.stdin.readline, ""):
        words = line.split()
        answer = getattr(bench, words[0])(*[int(word) for word in words[1:]])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
