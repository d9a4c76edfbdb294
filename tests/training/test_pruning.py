"""Entries are known to be of no use by the names that the fingerprint cache gives them."""

import json

import pytest
from ase.build import molecule

from amp import Amp
from amp.core.errors import AmpFileError
from amp.core.images import hash_images
from amp.core.storage import Storage
from amp.database import FileDatabase
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork
from amp.training.fingerprint_cache import DATABASES, FingerprintCache
from amp.training.pruning import is_unused, used_digests

UNKNOWN = frozenset({"0" * 32})


def saved(path, cutoff):
    """Save an untrained potential, and return its descriptor."""
    descriptor = Gaussian(cutoff=cutoff, elements=["H", "O"])
    descriptor.prepare(["H", "O"])
    calc = Amp(descriptor, NeuralNetwork(hiddenlayers=(2,)), label=str(path.with_suffix("")))
    calc.save(str(path))
    return calc.descriptor


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two potentials, and the keys of what is kept for the first of them."""
    folder = tmp_path_factory.mktemp("pruning")
    descriptor = saved(folder / "one.amp", 4.0)
    saved(folder / "other.amp", 4.5)
    images = hash_images([molecule("H2O")])
    storage = Storage(("float64",), limited=False)
    with FingerprintCache(str(folder / "db"), descriptor.identity(), "all") as store:
        descriptor.fingerprint_images(images, store=store)
        descriptor.fingerprint_images(images, storage, store=store)
        descriptor.fingerprint_images(images, storage, strain=True, store=store)
    keys = [key for name in DATABASES for key in FileDatabase(f"{folder / 'db'}{name}")]
    return folder, keys


def test_entries_of_a_potential_that_is_given_are_used(kept):
    folder, keys = kept
    assert len(keys) == 3
    digests = used_digests([folder / "other.amp", folder / "one.amp"])
    assert len(digests) == 2
    assert not any(is_unused(key, digests) for key in keys)


def test_entries_of_other_descriptors_are_not_used(kept):
    folder, keys = kept
    digests = used_digests([folder / "other.amp"])
    assert all(is_unused(key, digests) for key in keys)


@pytest.mark.parametrize(
    "key",
    [
        "a" * 32,
        f"{'a' * 32}-{'b' * 32}",
        f"{'a' * 32}-{'b' * 32}-",
        f"{'a' * 31}-{'b' * 32}-fingerprints",
        f"{'a' * 32}-{'b' * 31}-fingerprints",
        f"{'a' * 32}-{'b' * 33}-fingerprints",
        f"{'A' * 32}-{'b' * 32}-fingerprints",
        f"x{'a' * 32}-{'b' * 32}-fingerprints",
        "my-own-key",
    ],
)
def test_keys_of_another_form_are_never_unused(key):
    assert not is_unused(key, UNKNOWN)
    assert is_unused(f"{'a' * 32}-{'b' * 32}-fingerprints", UNKNOWN)


@pytest.mark.parametrize("text", ["", "no potential", json.dumps({"format": "other"})])
def test_a_file_that_is_no_potential_is_an_error(kept, tmp_path, text):
    folder, _ = kept
    (tmp_path / "bad.amp").write_text(text)
    with pytest.raises(AmpFileError, match=r"bad\.amp"):
        used_digests([folder / "one.amp", tmp_path / "bad.amp"])
    with pytest.raises(FileNotFoundError):
        used_digests([tmp_path / "none.amp"])
