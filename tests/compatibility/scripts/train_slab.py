"""Train on EMT molecular dynamics, as the first tutorial of Amp 1.0.1 had its users do."""

import numpy as np
from ase import Atom, Atoms, units
from ase.build import fcc110
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import Trajectory, read
from ase.md import VelocityVerlet

from amp import Amp
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor


def generate_data(count, filename="training.traj"):
    traj = Trajectory(filename, "w")
    atoms = fcc110("Pt", (2, 2, 2), vacuum=7.0)
    top = atoms[7].position
    atoms.extend(Atoms([Atom("Cu", top + np.array([0, 0, h])) for h in (2.5, 5.0)]))
    atoms.set_constraint(FixAtoms(indices=[0, 2]))
    atoms.calc = EMT()
    atoms.rattle(0.05, seed=1)
    atoms.get_potential_energy()
    traj.write(atoms)
    dyn = VelocityVerlet(atoms, 1.0 * units.fs)
    for _ in range(count - 1):
        dyn.run(30)
        traj.write(atoms)
    traj.close()


generate_data(12)

calc = Amp(
    descriptor=Gaussian(),
    model=NeuralNetwork(hiddenlayers=(10, 10, 10), randomseed=4),
    label="calc",
    cores=1,
)
calc.model.lossfunction = LossFunction(convergence={"energy_rmse": 0.02, "force_rmse": 0.2})
calc.model.regressor = Regressor(optimizer="BFGS")
calc.train(images="training.traj")

images = read("training.traj", ":")
errors = []
for image in images:
    atoms = image.copy()
    atoms.calc = calc
    errors.append(
        (
            atoms.get_potential_energy() - image.get_potential_energy(),
            atoms.get_forces(apply_constraint=False) - image.get_forces(apply_constraint=False),
        )
    )
