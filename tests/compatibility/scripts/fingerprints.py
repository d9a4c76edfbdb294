"""Look at fingerprints and feed them to a model, without ASE's interface."""

import numpy as np
from ase.build import molecule

from amp import Amp
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork
from amp.utilities import Logger, get_hash, hash_images

atoms = molecule("CH4")
images = hash_images([atoms])
descriptor = Gaussian(cutoff=4.0)
descriptor.calculate_fingerprints(
    images=images,
    parallel={"cores": 1},
    log=Logger("fingerprints-log.txt"),
    calculate_derivatives=True,
)
key = get_hash(atoms)
fingerprints = descriptor.fingerprints[key]
primes = descriptor.fingerprintprimes[key]

n = len(fingerprints[0][1])
rng = np.random.RandomState(1)
weights = {
    element: {1: rng.rand(n + 1, 3) - 0.5, 2: rng.rand(4, 1) - 0.5} for element in ("C", "H")
}
model = NeuralNetwork(
    hiddenlayers=(3,),
    weights=weights,
    scalings={element: {"intercept": -1.0, "slope": 2.0} for element in ("C", "H")},
    fprange={element: [(0.0, 2.0)] * n for element in ("C", "H")},
    mode="atom-centered",
)
energy = model.calculate_energy(fingerprints)
forces = model.calculate_forces(fingerprints, primes)
atoms.calc = Amp(descriptor, model)
