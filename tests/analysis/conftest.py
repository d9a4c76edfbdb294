"""A small potential, trained once, with its images and files; calculators with known answers."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Octahedron

from amp import Amp
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork


class Trained(NamedTuple):
    """A potential of Cu and Pt clusters and what its training left."""

    calc: Amp
    images: list[Atoms]
    potential: Path
    checkpoint: Path
    log: Path


class Zero(Calculator):
    """Predicts 0 for everything, so that errors are minus the references; counts its calls."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - ASE's interface

    def __init__(self):
        super().__init__()
        self.calls = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls.append(tuple(properties))
        zeros = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}
        self.results = {name: zeros[name] for name in properties}


@pytest.fixture
def zero():
    return Zero()


@pytest.fixture(scope="session")
def with_results():
    """Attach results to a structure, as reading a file does."""

    def attach(atoms, **results):
        atoms = atoms.copy()
        atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    return attach


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    rng = np.random.default_rng(3)
    images = []
    for i in range(6):
        atoms = Octahedron("Cu", 2)
        atoms.rattle(0.1, rng=rng)
        if i % 2:
            atoms.symbols[0] = "Pt"
        atoms.info["config_type"] = "alloy" if i % 2 else "pure"
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    folder = tmp_path_factory.mktemp("trained")
    loss = LossFunction(convergence={"energy_rmse": 0.05, "force_rmse": 1.0})
    model = NeuralNetwork((3, 2), randomseed=1, lossfunction=loss, checkpoints=2)
    calc = Amp(Gaussian(cutoff=4.0), model, label=str(folder / "run"), cores=1)
    calc.train(images)
    return Trained(
        calc, images, folder / "run.amp", folder / "run-checkpoint.amp", folder / "run-log.txt"
    )
