"""Symmetry functions of one's own, another cutoff, layers per element; energies only."""

import numpy as np
from ase.build import molecule
from ase.calculators.emt import EMT

from amp import Amp
from amp.descriptor.cutoffs import Polynomial
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork

images = []
for n in range(8):
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=n)
    atoms.calc = EMT()
    atoms.get_potential_energy()
    images.append(atoms)

elements = ["C", "H", "O"]
G = make_symmetry_functions(
    elements=elements, type="G2", etas=np.logspace(np.log10(0.05), np.log10(5.0), num=4)
)
G += make_symmetry_functions(
    elements=elements, type="G5", etas=[0.005], zetas=[1.0, 4.0], gammas=[+1.0, -1.0]
)
G = {"C": G, "H": G, "O": G[:6]}

calc = Amp(
    Gaussian(Gs=G, cutoff=Polynomial(5.0, gamma=4)),
    NeuralNetwork(hiddenlayers={"C": (5, 5), "H": (3,), "O": (4, 2)}, activation="sigmoid"),
    label="methanol/energies",
    dblabel="methanol/db",
    cores=1,
)
calc.model.lossfunction = LossFunction(force_coefficient=None, convergence={"energy_rmse": 0.005})
calc.train(images, overwrite=True)

again = Amp(
    Gaussian(
        cutoff={"name": "Polynomial", "kwargs": {"Rc": 5.0, "gamma": 4}}, Gs=G, elements=elements
    ),
    NeuralNetwork(
        hiddenlayers=calc.model.parameters.hiddenlayers,
        activation=calc.model.parameters.activation,
        weights=calc.model.parameters.weights,
        scalings=calc.model.parameters.scalings,
        fprange=calc.model.parameters.fprange,
    ),
)
atoms = molecule("CH3OH")
atoms.calc = calc
energy = atoms.get_potential_energy()
