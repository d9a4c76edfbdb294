"""Small trainings: images with energies, forces and stresses, and calculators that fit them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from amp import Amp
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor


def with_results(atoms, **results):
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def waters():
    """Six water molecules with EMT energies and forces."""
    return _rattled(molecule("H2O"), 6, 0.05)


@pytest.fixture
def solids():
    """Five periodic cells of Cu and Pd with EMT energies, forces and stresses."""
    atoms = bulk("Cu", cubic=True, a=3.7)
    atoms.symbols[1] = "Pd"
    return _rattled(atoms, 5, 0.1, stress=True)


def _rattled(atoms, n_images, amplitude, stress=False):
    rng = np.random.default_rng(11)
    images = []
    for _ in range(n_images):
        image: Atoms = atoms.copy()
        image.positions += rng.normal(size=(len(atoms), 3)) * amplitude
        image.calc = EMT()
        results = {"energy": image.get_potential_energy(), "forces": image.get_forces()}
        if stress:
            results["stress"] = image.get_stress()
        images.append(with_results(image, **results))
    return images


@pytest.fixture
def make_calc(tmp_path, monkeypatch):
    """Make a calculator whose files are in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(label="calc", elements="HO", optimizer="BFGS", cores=1, **settings):
        loss = settings.pop("loss", {})
        loss = {"convergence": {"energy_rmse": 1e-9}, "maxiter": 8, **loss}
        symbols = ["H", "O"] if elements == "HO" else ["Cu", "Pd"]
        functions = make_symmetry_functions(symbols, "G2", [0.5, 4.0, 16.0])
        functions += make_symmetry_functions(symbols, "G4", [0.005], zetas=[1.0], gammas=[1.0, -1])
        cutoff = settings.pop("cutoff", 4.0)
        model = NeuralNetwork(
            **{"hiddenlayers": (4, 3), "randomseed": 1, "checkpoints": 3, **settings},
            lossfunction=LossFunction(**loss),
            regressor=Regressor(optimizer) if isinstance(optimizer, str) else optimizer,
        )
        return Amp(Gaussian(cutoff, functions), model, label=label, cores=cores)

    return make
