"""Everything by position, as terse scripts do."""

from ase.build import molecule
from ase.calculators.emt import EMT

from amp import Amp
from amp.descriptor.cutoffs import Cosine
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor

images = []
for n in range(5):
    atoms = molecule("H2O")
    atoms.rattle(0.03, seed=n)
    atoms.calc = EMT()
    atoms.get_forces()
    images.append(atoms)

Gs = make_symmetry_functions(["H", "O"], "G2", [0.05, 2.0], [0.0, 1.0])
Gs += make_symmetry_functions(["H", "O"], "G4", [0.005], None, [1.0], [1.0, -1.0])
descriptor = Gaussian(Cosine(4.0), Gs, "water-db", ["H", "O"], "2015.12", True, "atom-centered")
regressor = Regressor("L-BFGS-B", {"options": {"maxcor": 20}}, True)
lossfunction = LossFunction(
    2.0, 0.1, {"energy_rmse": 0.01, "force_rmse": 0.3}, None, 1e-8, True, True, None, False, 5000
)
model = NeuralNetwork(
    (4, 4), "tanh", None, None, None, "atom-centered", "2015.12", regressor, lossfunction,
    False, 10, 3, False,
)  # fmt: skip
water = images[0].copy()
calc = Amp(descriptor, model, "water", "water-db", 1, None, True, water)
calc.train(images, True)
energy = water.get_potential_energy()
name = calc.save("copy.amp", True)
loaded = Amp.load("copy.amp", Gaussian, NeuralNetwork, label="other")
