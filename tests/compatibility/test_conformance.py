"""Every number that Amp 1.0.1 computed for the reference cases comes out here too."""

import io
from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_numbers
from numpy.testing import assert_allclose

from amp import Amp
from amp.core.images import get_hash, hash_images
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.loss import References
from amp.model.neuralnetwork import NeuralNetwork


def assert_conforms(ours, theirs):
    assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def assert_same_gradient(ours, theirs):
    assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10 * np.abs(theirs).max())


@pytest.fixture(scope="module")
def case(conformance_case):
    return conformance_case


@pytest.fixture(scope="module")
def potential(case):
    return Amp.load(case.potential)


@pytest.fixture(scope="module")
def described(case, potential):
    """The descriptor of the file, with fingerprints as old scripts read them."""
    potential.descriptor.calculate_fingerprints(
        hash_images(case.images), calculate_derivatives=True
    )
    return potential.descriptor


def test_there_are_cases_of_every_kind(conformance_folder):
    names = {path.name for path in conformance_folder.iterdir() if path.is_dir()}
    assert names >= {
        "customG-cosine-tinycell-PtPd",
        "default-cosine-molecule-NH3-linear",
        "default-cosine-slab-CuO",
        "default-poly4-molecule-CH3OH-sigmoid",
        "energyonly-cosine-tinycell-Cu",
    }


def test_hashes_are_the_same(case):
    for i, atoms in enumerate(case.images):
        assert get_hash(atoms) == str(case.expected[f"{i}/hash"])


def test_fingerprints_are_the_same(case, described):
    for i, atoms in enumerate(case.images):
        expected = case.expected[f"{i}/fingerprints"]
        ours = described.fingerprints[get_hash(atoms)]
        assert [symbol for symbol, _ in ours] == atoms.get_chemical_symbols()
        assert len(ours) == len(expected)
        for (_, vector), row in zip(ours, expected, strict=True):
            assert_conforms(vector, row[~np.isnan(row)])


def test_numbers_of_neighbors_are_the_same(case, described):
    for i, atoms in enumerate(case.images):
        neighbors = described.neighborlist[get_hash(atoms)]
        ours = [len(indices) for indices, _ in neighbors]
        assert ours == case.expected[f"{i}/n_neighbors"].tolist()


def test_neighbor_offsets_lead_to_the_neighbors(case, described):
    for atoms in case.images:
        for i, (indices, offsets) in enumerate(described.neighborlist[get_hash(atoms)]):
            places = atoms.positions[indices] + offsets @ atoms.cell.array
            distances = np.linalg.norm(places - atoms.positions[i], axis=1)
            assert (distances < described.cutoff).all()
            assert len(np.unique(np.round(places, 8), axis=0)) == len(indices)


def test_derivatives_have_the_same_keys_and_values(case, described):
    for i, atoms in enumerate(case.images):
        ours = described.fingerprintprimes[get_hash(atoms)]
        keys = [tuple(key) for key in case.expected[f"{i}/derivative_keys"].tolist()]
        values = case.expected[f"{i}/derivatives"]
        as_numbers = {
            (m, atomic_numbers[symbol_m], n, atomic_numbers[symbol_n], direction): vector
            for (m, symbol_m, n, symbol_n, direction), vector in ours.items()
        }
        assert set(as_numbers) == set(keys)
        for key, row in zip(keys, values, strict=True):
            assert_conforms(as_numbers[key], row[~np.isnan(row)])


def test_energies_and_forces_are_the_same_through_ase(case, potential):
    for i, image in enumerate(case.images):
        atoms = image.copy()
        atoms.calc = potential
        assert_conforms(atoms.get_potential_energy(), case.expected[f"{i}/energy"])
        assert_conforms(atoms.get_potential_energies(), case.expected[f"{i}/atomic_energies"])
        assert_conforms(atoms.get_forces(), case.expected[f"{i}/forces"])


def test_model_gives_them_from_the_dictionaries_of_old_scripts(case, potential, described):
    for i, atoms in enumerate(case.images):
        fingerprints = described.fingerprints[get_hash(atoms)]
        primes = described.fingerprintprimes[get_hash(atoms)]
        model = potential.model
        assert_conforms(model.calculate_energy(fingerprints), case.expected[f"{i}/energy"])
        assert_conforms(model.calculate_forces(fingerprints, primes), case.expected[f"{i}/forces"])


def test_dictionaries_that_amp_made_give_its_energies_and_forces(case, potential):
    """The model alone, fed with what Amp stored."""
    for i, atoms in enumerate(case.images):
        rows = case.expected[f"{i}/fingerprints"]
        symbols = atoms.get_chemical_symbols()
        fingerprints = [(s, row[~np.isnan(row)]) for s, row in zip(symbols, rows, strict=True)]
        keys = case.expected[f"{i}/derivative_keys"].tolist()
        primes = {
            (m, symbols[m], n, symbols[n], d): row[~np.isnan(row)]
            for (m, _, n, _, d), row in zip(keys, case.expected[f"{i}/derivatives"], strict=True)
        }
        model = potential.model
        assert_conforms(model.calculate_energy(fingerprints), case.expected[f"{i}/energy"])
        assert_conforms(model.calculate_forces(fingerprints, primes), case.expected[f"{i}/forces"])


def test_stored_images_file_has_the_same_structures(case, conformance_folder):
    from ase.io import read

    stored = read(conformance_folder / case.name / "images.extxyz", ":")
    assert len(stored) == len(case.images)
    for i, (rounded, exact) in enumerate(zip(stored, case.images, strict=True)):
        assert_allclose(rounded.positions, exact.positions, atol=6e-9)
        assert_allclose(
            rounded.get_potential_energy(), case.expected[f"{i}/reference_energy"], atol=6e-9
        )


# -- training set-up -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["molecule-NH3-linear", "slab-CuO", "molecule-CH3OH-sigmoid"])
def test_default_symmetry_functions_are_the_same(name, conformance_folder):
    (folder,) = conformance_folder.glob(f"default-*-{name}")
    theirs = Amp.load(folder / "model.amp").descriptor.parameters
    fresh = Gaussian(cutoff=theirs.cutoff)
    fresh.prepare(theirs.elements)
    assert set(fresh.parameters.Gs) == set(theirs.Gs)
    for element, functions in theirs.Gs.items():
        ours = fresh.parameters.Gs[element]
        assert len(ours) == len(functions) >= 20
        for one, other in zip(ours, functions, strict=True):
            assert set(one) == set(other)
            for key, value in other.items():
                assert one[key] == (pytest.approx(value, rel=1e-12) if key == "eta" else value)


def test_fingerprint_ranges_of_the_training_images_are_the_same(case, potential):
    n_train = int(case.expected["n_train"])
    fingerprints = potential.descriptor.fingerprint_images(hash_images(case.images[:n_train]))
    model = NeuralNetwork(randomseed=0)
    model.initialize(fingerprints, np.zeros(n_train))
    theirs = potential.model.parameters.fprange
    assert set(model.parameters.fprange) == set(theirs)
    for element, ranges in theirs.items():
        assert_conforms(model.parameters.fprange[element], ranges)


@pytest.fixture(scope="module")
def training(case, potential):
    """Fingerprints with derivatives, and references, of the images that Amp trained on."""
    n_train = int(case.expected["n_train"])
    images = hash_images(case.images[:n_train])
    references = References(
        keys=tuple(images),
        energies=np.array([float(case.expected[f"{i}/reference_energy"]) for i in range(n_train)]),
        forces=np.concatenate([case.expected[f"{i}/reference_forces"] for i in range(n_train)]),
        stresses=np.full((n_train, 6), np.nan),
        volumes=np.ones(n_train),
        weights=np.ones(n_train),
    )
    descriptor = potential.descriptor
    return descriptor.fingerprint_images(images, derivatives=True), references


@pytest.mark.parametrize("at", ["trained", "shifted"])
def test_loss_its_parts_and_its_gradient_are_the_same(case, potential, training, at):
    for number in range(int(case.loss["n_cases"])):
        settings = {
            name: float(case.loss[f"{number}/{name}"])
            for name in ("energy_coefficient", "force_coefficient", "overfit")
        }
        if np.isnan(settings["force_coefficient"]):
            settings["force_coefficient"] = None
        loss = LossFunction(**settings, raise_ConvergenceOccurred=False)
        loss.attach(potential.model, *training)
        here = f"{number}/{at}"
        ours = loss.get_loss(case.loss[f"{here}/vector"], lossprime=True)
        for name in ("loss", "energy_loss", "force_loss", "energy_maxresid", "force_maxresid"):
            theirs = case.loss[f"{here}/{name}"]
            assert_allclose(ours[name], theirs, rtol=1e-8, atol=1e-12, err_msg=f"{here} {name}")
        assert_same_gradient(ours["dloss_dparameters"], case.loss[f"{here}/gradient"])


def test_loss_with_energies_alone_needs_no_derivatives(case, potential, training):
    (number,) = (
        c for c in range(int(case.loss["n_cases"]))
        if np.isnan(case.loss[f"{c}/force_coefficient"])
    )  # fmt: skip
    fingerprints, references = training
    loss = LossFunction(force_coefficient=None, raise_ConvergenceOccurred=False)
    loss.attach(potential.model, replace(fingerprints, derivatives=None), references)
    ours = loss.get_loss(case.loss[f"{number}/shifted/vector"])
    assert_allclose(ours["loss"], case.loss[f"{number}/shifted/loss"], rtol=1e-8)
    assert_same_gradient(ours["dloss_dparameters"], case.loss[f"{number}/shifted/gradient"])


def test_loss_functions_with_overfit_and_without_forces_are_among_them(conformance_folder):
    seen = set()
    for path in sorted(conformance_folder.glob("*/loss.npz")):
        with np.load(path) as loss:
            for c in range(int(loss["n_cases"])):
                seen.add("overfit" if loss[f"{c}/overfit"] > 0 else "plain")
                seen.add("energy" if np.isnan(loss[f"{c}/force_coefficient"]) else "forces")
    assert seen == {"overfit", "plain", "energy", "forces"}


def test_trained_vector_is_that_of_the_file(case, potential):
    assert_allclose(potential.model.vector, case.loss["0/trained/vector"], rtol=1e-14)


def test_rmse_of_amp_is_the_root_of_the_mean_loss(case, potential, training):
    loss = LossFunction(raise_ConvergenceOccurred=False)
    loss.attach(potential.model, *training)
    ours = loss.get_loss(case.loss["0/trained/vector"], lossprime=False)
    assert ours["dloss_dparameters"] is None
    n_images = len(training[1].keys)
    assert ours["energy_rmse"] == pytest.approx(np.sqrt(ours["energy_loss"] / n_images))
    assert ours["force_rmse"] == pytest.approx(np.sqrt(ours["force_loss"] / n_images))


# -- files -----------------------------------------------------------------------------------


def test_open_files_load_like_paths(case, potential):
    text = case.potential.read_text()
    with open(case.potential) as opened, open(case.potential, "rb") as binary:
        for file in (opened, binary, io.StringIO(text), str(case.potential)):
            assert_allclose(Amp.load(file).model.vector, potential.model.vector, rtol=0)


def test_file_saved_again_gives_the_same_energies_and_forces(case, potential, tmp_path):
    name = potential.save(tmp_path / "again.amp")
    again = Amp.load(name)
    for i, image in enumerate(case.images):
        atoms = image.copy()
        atoms.calc = again
        assert_conforms(atoms.get_potential_energy(), case.expected[f"{i}/energy"])
        assert_conforms(atoms.get_forces(), case.expected[f"{i}/forces"])
