"""Load what was trained, in another run, and use it."""

from ase.io import read
from ase.optimize import BFGS

from amp import Amp

calc = Amp.load("calc.amp", label="again", cores=1)
atoms = read("training.traj", 0).copy()
atoms.calc = calc
energy = atoms.get_potential_energy()
forces = atoms.get_forces()
dyn = BFGS(atoms, logfile=None)
dyn.run(fmax=0.05, steps=5)
relaxed = atoms.get_potential_energy()
hiddenlayers = calc.model.parameters.hiddenlayers
cutoff = calc.descriptor.parameters["cutoff"]
scalings = calc.model.parameters.scalings
