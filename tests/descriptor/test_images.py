"""Fingerprints of many images: how derivatives are kept, and what that takes."""

import logging
import re

import numpy as np
import pytest
from ase.build import bulk, molecule
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import InsufficientMemoryError, ParameterError
from amp.core.fingerprints import Derivatives
from amp.core.images import hash_images
from amp.core.storage import Storage
from amp.descriptor.gaussian import Gaussian
from amp.testing.fingerprints import dense_derivatives, dense_strain_derivatives

WAYS = ["float64", "float32", "recomputed", "disk"]


@pytest.fixture(scope="module")
def images():
    """Molecules and crystals of two elements, of several sizes."""
    found = []
    for seed, atoms in enumerate(
        [molecule("H2O"), bulk("O", "sc", a=2.5), bulk("O", "fcc", a=3.6, cubic=True)]
    ):
        atoms.rattle(0.1, seed=seed)
        found.append(atoms)
    found[2].symbols[:2] = "H"
    return hash_images(found)


def kept(way, images, folder, strain=True, **settings):
    """Fingerprints with derivatives kept in some way."""
    storage = Storage((way,), file=str(folder / "values"), **settings)
    descriptor = Gaussian(4.0)
    descriptor.prepare(["H", "O"])
    return descriptor.fingerprint_images(images, storage, strain)


@pytest.mark.parametrize("way", WAYS)
def test_fingerprints_do_not_depend_on_how_derivatives_are_kept(way, images, tmp_path):
    descriptor = Gaussian(4.0)
    descriptor.prepare(["H", "O"])
    alone = descriptor.fingerprint_images(images)
    assert_allclose(kept(way, images, tmp_path).values, alone.values, rtol=1e-13)


@pytest.mark.parametrize(("way", "error"), [("float32", 6e-8), ("disk", 0.0)])
def test_stored_derivatives_are_the_same_up_to_their_precision(way, error, images, tmp_path):
    expected, found = kept("float64", images, tmp_path), kept(way, images, tmp_path)
    for dense in (dense_derivatives, dense_strain_derivatives):
        assert_allclose(dense(found), dense(expected), rtol=2.0 * error, atol=error)
    assert found.derivatives.values.dtype == (np.float32 if way == "float32" else np.float64)


@pytest.mark.parametrize("strain", [False, True])
def test_recomputed_products_are_those_with_stored_derivatives(strain, images, tmp_path):
    stored = kept("float64", images, tmp_path)
    primes = kept("recomputed", images, tmp_path, strain).derivatives
    layout = stored.layout
    dense, by_strain = dense_derivatives(stored), dense_strain_derivatives(stored)
    rng = np.random.default_rng(2)
    slopes, velocities = rng.normal(size=layout.size), rng.normal(size=(layout.n_atoms, 3))
    rates = rng.normal(size=6)
    rate = np.zeros((3, 3))
    rate[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] = rates
    out = np.full(layout.size, np.nan)
    voigt = np.zeros(6)
    for i in range(layout.n_images):
        atoms = layout.atoms_of_image(i)
        gradient, strain_gradient = primes.contract(i, slopes)
        assert_allclose(gradient, np.einsum("g,gad->ad", slopes, dense)[atoms], atol=1e-11)
        voigt += strain_gradient[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        primes.tangents(i, velocities[atoms], rate, out)
    assert_allclose(voigt, slopes @ by_strain, atol=1e-11)
    moved = np.einsum("gad,ad->g", dense, velocities)
    assert_allclose(out, moved + by_strain @ rates, atol=1e-11)
    assert primes.has_strain is strain


@pytest.mark.parametrize("strain", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_estimate_is_what_is_allocated(way, strain, images, tmp_path):
    needed = kept(way, images, tmp_path, strain).derivatives.nbytes
    if way != "recomputed":
        needed += kept("recomputed", images, tmp_path).derivatives.nbytes  # neighbors
    if way == "disk":
        needed -= (tmp_path / "values").stat().st_size
        (tmp_path / "values").unlink()
    kept(way, images, tmp_path, strain, memory=needed)
    (tmp_path / "values").unlink(missing_ok=True)
    with pytest.raises(InsufficientMemoryError):
        kept(way, images, tmp_path, strain, memory=needed - 1)


def test_the_estimate_is_told(images, tmp_path, caplog):
    caplog.set_level(logging.INFO, "amp")
    kept("float32", images, tmp_path, memory=10**9)
    pattern = r"take [\d.]+ kB in float64, [\d.]+ kB in float32, [\d.]+ kB recomputed; 1 GB"
    assert re.search(pattern, caplog.text)


def test_without_being_asked_nothing_is_told(images, caplog):
    caplog.set_level(logging.INFO, "amp.core")
    descriptor = Gaussian(4.0)
    descriptor.prepare(["H", "O"])
    assert isinstance(descriptor.fingerprint_images(images, True).derivatives, Derivatives)
    assert caplog.text == ""


def test_neighbors_that_fill_the_memory_are_told_before_they_do(images, tmp_path):
    with pytest.raises(InsufficientMemoryError, match=r"neighbors alone take .* image 1 of 3"):
        kept("recomputed", images, tmp_path, memory=400)


def test_disk_needs_a_file(images):
    descriptor = Gaussian(4.0)
    descriptor.prepare(["H", "O"])
    with pytest.raises(ParameterError, match="need a file"):
        descriptor.fingerprint_images(images, Storage(("disk",)))


def test_runs_are_views_of_the_values(images, tmp_path):
    stored = kept("float64", images, tmp_path).derivatives
    seen = set()
    for index in range(len(stored.run_starts) - 1):
        atoms, values = stored.run(index)
        assert values.shape[:2] == (len(atoms), 3)
        assert values.size == stored.run_starts[index + 1] - stored.run_starts[index]
        assert values.size == 0 or np.shares_memory(values, stored.values)
        seen.update(atoms.tolist())
    assert_array_equal(sorted(seen), [0, 1, 2, 4, 5, 6, 7])  # no other atom near the lone one
