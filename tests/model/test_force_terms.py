"""Derivatives stored, of single precision, on disk or recomputed: the loss is the same."""

import itertools

import numpy as np
import pytest
from ase.build import bulk, molecule
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.fingerprints import Derivatives
from amp.core.images import hash_images
from amp.core.storage import Storage
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.loss import References
from amp.model.neuralnetwork import NeuralNetwork

# How far loss and gradient may be from those with float64 in memory, relative to the largest.
# Single precision gives up to 1e-8 and 2.4e-8 here; recomputing differs by the order of sums.
TOLERANCES = {"recomputed": (1e-13, 1e-13), "disk": (0.0, 0.0), "float32": (3e-8, 7e-8)}


def solids():
    """Two elements in cells smaller than the cutoff, and a larger one of one element."""
    images = []
    for seed, symbol in enumerate(("Cu", "Cu", "Pd", "Cu")):
        atoms = bulk("Pd", cubic=True) if seed < 3 else bulk("Pd") * (2, 2, 2)
        atoms.symbols[0] = symbol
        atoms.rattle(0.15, seed=seed)
        images.append(atoms)
    return images


def molecules():
    """Molecules of several sizes, and an atom alone."""
    images = [molecule(name) for name in ("CH3OH", "H2O", "H", "CO2")]
    for seed, atoms in enumerate(images):
        atoms.rattle(0.1, seed=seed)
    return images


def functions(elements):
    """Few functions for some pairs and many for others, so that runs lie both ways round."""
    few = make_symmetry_functions(elements, "G2", [0.5]) + make_symmetry_functions(
        elements, "G4", [0.005], zetas=[2.0], gammas=[1.0]
    )
    many = few + make_symmetry_functions(elements[:1], "G2", np.linspace(1.0, 8.0, 12))
    return {element: many if element == elements[-1] else few for element in elements}


def spoil_nothing(references):
    """Leave all references."""


def spoil_some(references):
    """Take away an energy, an atom's forces, and parts of forces and stresses."""
    references.energies[0] = np.nan
    references.forces[1] = np.nan
    references.forces[4, 2] = np.nan
    references.stresses[1] = np.nan
    references.stresses[2, 3:] = np.nan


def nearest_force(references):
    """Of the first image only one atom's force counts, as with nft_ids."""
    references.energies[0] = np.nan
    references.forces[1:3] = np.nan


LOSSES = {
    "forces": lambda: LossFunction(force_coefficient=0.3),
    "forces alone": lambda: LossFunction(energy_coefficient=None, force_coefficient=0.3),
    "stress too": lambda: LossFunction(force_coefficient=0.3, stress_coefficient=20.0),
    "stress alone": lambda: LossFunction(
        energy_coefficient=None, force_coefficient=None, stress_coefficient=20.0
    ),
}


def attach(way, images, loss, folder, spoil=spoil_nothing, threads=1):
    """Attach random references near what a random network predicts; give loss and vector."""
    elements = sorted({symbol for atoms in images for symbol in atoms.symbols})
    descriptor = Gaussian(4.0, functions(elements), elements=elements)
    fingerprints = descriptor.fingerprint_images(
        hash_images(images), Storage((way,), file=str(folder / "values")), loss.wants_stress
    )
    rng = np.random.default_rng(4)
    n_images, n_atoms = len(images), sum(len(atoms) for atoms in images)
    references = References(
        keys=tuple(hash_images(images)),
        energies=rng.normal(size=n_images),
        forces=rng.normal(size=(n_atoms, 3)),
        stresses=rng.normal(size=(n_images, 6)) * 0.05,
        volumes=np.array([a.get_volume() if a.cell.rank == 3 else 1.0 for a in images]),
        weights=np.array([1.0, 0.3, 0.0, 2.0]),
    )
    spoil(references)
    model = NeuralNetwork((3, 2), randomseed=3, lossfunction=loss)
    model.initialize(fingerprints, references.energies)
    vector = model.vector + 0.1 * rng.normal(size=len(model.vector))
    loss.attach(model, fingerprints, references, threads=threads)
    return loss, vector


CASES = [
    *itertools.product(LOSSES, ["solids"], ["all", "some", "nearest"]),
    *itertools.product(["forces"], ["molecules"], ["all", "some", "nearest"]),
]
IMAGES = {"solids": solids, "molecules": molecules}
SPOILS = {"all": spoil_nothing, "some": spoil_some, "nearest": nearest_force}


@pytest.mark.parametrize(("loss", "images", "known"), CASES)
@pytest.mark.parametrize("way", TOLERANCES)
def test_loss_and_gradient_are_those_of_derivatives_stored_in_memory(
    way, loss, images, known, tmp_path
):
    arguments = (tmp_path, SPOILS[known])
    stored, vector = attach("float64", IMAGES[images](), LOSSES[loss](), *arguments)
    other, _ = attach(way, IMAGES[images](), LOSSES[loss](), *arguments)
    expected, found = stored.evaluate(vector, True), other.evaluate(vector, True)
    loss_tolerance, gradient_tolerance = TOLERANCES[way]
    assert_allclose(found.loss, expected.loss, rtol=loss_tolerance)
    largest = np.abs(expected.gradient).max()
    assert_allclose(found.gradient, expected.gradient, rtol=0.0, atol=gradient_tolerance * largest)
    for name in ("force_rmse", "force_maxresid", "stress_rmse", "stress_maxresid"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=3e-7)
    assert expected.force_rmse > 0.0 or expected.stress_rmse > 0.0


@pytest.mark.parametrize("way", ["float64", *TOLERANCES])
def test_gradients_agree_with_differences(way, tmp_path):
    loss, vector = attach(way, solids(), LOSSES["stress too"](), tmp_path, spoil_some)
    gradient = loss.evaluate(vector, True).gradient
    step = 1e-3
    for i in range(0, len(vector), 5):
        shift = np.zeros_like(vector)
        shift[i] = step
        values = [loss.evaluate(vector + k * shift, False).loss for k in (-2, -1, 1, 2)]
        numerical = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * step)
        assert_allclose(gradient[i], numerical, rtol=1e-6, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("way", ["float64", *TOLERANCES])
def test_threads_change_not_a_bit(way, tmp_path):
    results = []
    for threads in (1, 2, 3, 7):  # more than there are images, too
        folder = tmp_path / str(threads)
        folder.mkdir()
        loss, vector = attach(way, solids(), LOSSES["stress too"](), folder, threads=threads)
        results.append(loss.evaluate(vector, True))
    for other in results[1:]:
        assert other.loss == results[0].loss
        assert_array_equal(other.gradient, results[0].gradient)


@pytest.mark.parametrize("way", ["float64", *TOLERANCES])
def test_without_the_gradient_the_loss_is_the_same(way, tmp_path):
    loss, vector = attach(way, solids(), LOSSES["stress too"](), tmp_path)
    plain = loss.evaluate(vector, False)
    assert plain.gradient is None
    assert plain.loss == loss.evaluate(vector, True).loss


def test_runs_lie_both_ways_round(tmp_path):
    loss, _ = attach("float64", solids(), LOSSES["forces"](), tmp_path)
    stored = loss._evaluator.fingerprints.derivatives
    assert isinstance(stored, Derivatives)
    sides = [stored.run(i)[1].shape for i in range(len(stored.run_starts) - 1)]
    by_function = [3 * n >= width for n, _, width in sides if n]
    assert any(by_function)
    assert not all(by_function)
