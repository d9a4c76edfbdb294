"""Goals out of reach: the best parameters are kept, and the next run goes on from there."""

from ase.build import molecule
from ase.calculators.emt import EMT

from amp import Amp
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.utilities import TrainingConvergenceError

images = []
for n in range(4):
    atoms = molecule("NH3")
    atoms.rattle(0.03, seed=n)
    atoms.calc = EMT()
    atoms.get_forces()
    images.append(atoms)


def train(maxiter, checkpoints):
    calc = Amp(
        descriptor=Gaussian(cutoff=4.0),
        model=NeuralNetwork(hiddenlayers=(3, 3), checkpoints=checkpoints, randomseed=1),
        label="ammonia",
        cores=1,
    )
    calc.model.lossfunction = LossFunction(convergence={"energy_rmse": 1e-9}, maxiter=maxiter)
    try:
        calc.train(images=images)
    except TrainingConvergenceError as error:
        return calc, error
    raise SystemExit("converged, which cannot be")


first, error = train(20, 5)
untrained = Amp.load("ammonia-untrained-parameters.amp")
checkpoint = Amp.load("ammonia-checkpoint.amp")
second, _ = train(60, -10)
