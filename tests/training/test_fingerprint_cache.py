import logging
import os
import shutil

import numpy as np
import pytest
from ase.build import molecule
from numpy.testing import assert_array_equal

from amp.core.errors import ParameterError
from amp.core.images import hash_images
from amp.core.storage import Storage
from amp.database import FileDatabase
from amp.descriptor import _images
from amp.descriptor import gaussian as gaussian_module
from amp.descriptor.cutoffs import Polynomial
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.training import fingerprint_cache
from amp.training.fingerprint_cache import FingerprintCache, identity_digest

ELEMENTS = ["H", "O"]


def water(n=4):
    images = []
    for i in range(n):
        atoms = molecule("H2O", cell=[5.0, 6.0, 7.0], pbc=True)
        atoms.rattle(0.05, seed=i)
        images.append(atoms)
    return hash_images(images)


def descriptor(eta=4.0, cutoff=4.0, elements=ELEMENTS):
    functions = make_symmetry_functions(elements, "G2", [0.05, eta])
    functions += make_symmetry_functions(elements, "G4", [0.005], zetas=[1.0], gammas=[1.0])
    gaussian = Gaussian(cutoff=cutoff, Gs=functions, elements=elements)
    gaussian.prepare(ELEMENTS)
    return gaussian


@pytest.fixture
def computed(monkeypatch):
    """How many images were computed, and not found."""
    counts = []

    def counting(name):
        original = getattr(_images, name)

        def call(*arguments, **more):
            counts.append(name)
            return original(*arguments, **more)

        monkeypatch.setattr(_images, name, call)

    counting("fill_values")
    counting("fill_derivatives")
    return counts


def run(gaussian, label, images=None, way="float64", strain=True, cache="all", derivatives=True):
    storage = Storage((way,), limited=False) if derivatives else False
    with FingerprintCache(str(label), gaussian.identity(), cache) as store:
        return gaussian.fingerprint_images(images or water(), storage, strain, store)


def assert_same(one, other):
    assert_array_equal(one.values, other.values)
    assert_array_equal(one.derivatives.values, other.derivatives.values, strict=True)
    assert_array_equal(one.derivatives.strain, other.derivatives.strain, strict=True)


@pytest.mark.parametrize("way", ["float64", "float32"])
def test_what_is_found_is_what_was_computed(way, tmp_path, computed):
    first = run(descriptor(), tmp_path / "a", way=way)
    assert len(computed) == 4
    again = run(descriptor(), tmp_path / "a", way=way)
    assert len(computed) == 4
    assert_same(first, again)
    assert_same(first, descriptor().fingerprint_images(water(), Storage((way,)), True))


def test_only_what_is_missing_is_computed(tmp_path, computed):
    run(descriptor(), tmp_path / "a", images=water(2))
    computed.clear()
    found = run(descriptor(), tmp_path / "a", images=water(5))
    assert len(computed) == 3
    assert_same(found, descriptor().fingerprint_images(water(5), Storage(), True))


def polynomial():
    gaussian = descriptor()
    functions = gaussian.parameters.Gs
    other = Gaussian(cutoff=Polynomial(4.0, gamma=3.0), Gs=functions, elements=ELEMENTS)
    other.prepare(ELEMENTS)
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda: (descriptor(eta=5.0), "float64"),
        lambda: (descriptor(cutoff=4.5), "float64"),
        lambda: (polynomial(), "float64"),
        lambda: (descriptor(elements=["Cu", "H", "O"]), "float64"),
        lambda: (descriptor(), "float32"),
    ],
    ids=["eta", "cutoff", "cutoff function", "elements", "dtype"],
)
def test_a_change_is_computed_anew_and_going_back_finds_the_earlier(change, tmp_path, computed):
    before = run(descriptor(), tmp_path / "a")
    computed.clear()
    changed, way = change()
    after = run(changed, tmp_path / "a", way=way)
    assert len(computed) == 4
    assert_same(after, changed.fingerprint_images(water(), Storage((way,)), True))
    computed.clear()
    assert_same(before, run(descriptor(), tmp_path / "a"))
    assert computed == []


def test_other_code_is_computed_anew(tmp_path, computed, monkeypatch):
    run(descriptor(), tmp_path / "a")
    computed.clear()
    gaussian = descriptor()
    changed = {**gaussian.identity(), "code": "other"}
    monkeypatch.setattr(gaussian, "identity", lambda: changed)
    run(gaussian, tmp_path / "a")
    assert len(computed) == 4


def test_an_image_that_moved_under_its_key_is_computed_anew(tmp_path, computed):
    """A mapping's keys are taken as they are, and name other structures in another script."""
    atoms = next(iter(water(1).values()))
    run(descriptor(), tmp_path / "a", images={"first": atoms})
    atoms.rattle(0.1, seed=9)
    computed.clear()
    moved = run(descriptor(), tmp_path / "a", images={"first": atoms})
    assert len(computed) == 1
    assert_same(moved, descriptor().fingerprint_images({"first": atoms}, Storage(), True))


def test_fingerprints_without_derivatives_are_kept_beside_them(tmp_path, computed):
    for _ in range(2):
        run(descriptor(), tmp_path / "a", derivatives=False, strain=False)
        run(descriptor(), tmp_path / "a", strain=False)
        run(descriptor(), tmp_path / "a")
    assert len(computed) == 4 * 3
    assert len(FileDatabase(tmp_path / "a-fingerprints")) == 4
    assert len(FileDatabase(tmp_path / "a-fingerprint-primes")) == 8


def test_two_labels_share_a_database(tmp_path, computed):
    run(descriptor(), tmp_path / "shared")
    run(descriptor(eta=7.0), tmp_path / "shared")
    computed.clear()
    run(descriptor(eta=7.0), tmp_path / "shared")
    run(descriptor(), tmp_path / "shared")
    assert computed == []


def test_damaged_and_strange_entries_are_computed_anew(tmp_path, computed, caplog):
    first = run(descriptor(), tmp_path / "a")
    database = FileDatabase(tmp_path / "a-fingerprint-primes")
    one, other, third, _ = database
    database[one] = {**database[one], "runs": np.zeros(3)}
    database[other] = "a text"
    folder = tmp_path / "a-fingerprint-primes.ampdb" / "loose"
    (path,) = folder.glob(f"*/{third}")
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    database.close()
    computed.clear()
    assert_same(first, run(descriptor(), tmp_path / "a"))
    assert len(computed) == 3
    assert third in caplog.text
    computed.clear()
    assert_same(first, run(descriptor(), tmp_path / "a"))
    assert computed == []


def test_archived_entries_are_found(tmp_path, computed):
    first = run(descriptor(), tmp_path / "a")
    assert FileDatabase(tmp_path / "a-fingerprint-primes").archive() == 4
    computed.clear()
    assert_same(first, run(descriptor(), tmp_path / "a"))
    assert computed == []


def test_what_cannot_be_written_is_told_once_and_does_no_harm(tmp_path, computed, caplog):
    (tmp_path / "a-fingerprint-primes.ampdb").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        found = run(descriptor(), tmp_path / "a")
    assert_same(found, descriptor().fingerprint_images(water(), Storage(), True))
    told = [r for r in caplog.records if "not kept for later" in r.getMessage()]
    assert len(told) == 1


def test_no_more_derivatives_are_kept_than_may_be(tmp_path, computed, monkeypatch):
    size = sum(a.nbytes for a in _one_entry(tmp_path / "b").values())
    monkeypatch.setattr(fingerprint_cache, "MOST_BYTES", 2.5 * size)
    monkeypatch.setattr(fingerprint_cache, "WORTH_KEEPING", {"fingerprints": 0, "derivatives": 0})
    for cache, n in (("auto", 2), ("fingerprints", 0), ("all", 4)):
        label = str(tmp_path / cache)
        gaussian = descriptor()
        with FingerprintCache(label, gaussian.identity(), cache) as store:
            gaussian.fingerprint_images(water(), True, True, store)
            assert any("2 images are not kept" in line for line in store.report()) == (n == 2)
        assert len(FileDatabase(f"{label}-fingerprint-primes")) == n


@pytest.mark.parametrize(("derivatives", "smallest"), [(True, 100_000), (False, 8_000)])
def test_what_is_computed_as_fast_as_it_is_read_is_not_kept(tmp_path, derivatives, smallest):
    """Small molecules are not, slabs are."""
    small, large = next(iter(water(1).values())), molecule("H2O", cell=[3, 3, 3], pbc=True)
    large = large * (5, 5, 5)
    images = hash_images([small, large])
    gaussian = descriptor(cutoff=5.0)
    with FingerprintCache(str(tmp_path / "a"), gaussian.identity()) as store:
        gaussian.fingerprint_images(images, derivatives, False, store)
        assert "Those of 1 images are not" in store.report()[1]
    kind = "fingerprint-primes" if derivatives else "fingerprints"
    ((key, entry),) = FileDatabase(tmp_path / f"a-{kind}").items()
    assert key.startswith(list(images)[1])
    assert sum(array.nbytes for array in entry.values()) >= smallest


def _one_entry(label):
    run(descriptor(), label, images=water(1))
    ((_, entry),) = FileDatabase(f"{label}-fingerprint-primes").items()
    return entry


def test_an_unknown_way_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="cache is one of 'auto'"):
        FingerprintCache(str(tmp_path / "a"), {}, "everything")
    assert os.listdir(tmp_path) == []


def test_the_digest_knows_values_and_neither_order_nor_form():
    one = {"a": (1, 2.5), "b": {"x": True, "y": None}}
    other = {"b": {"y": None, "x": True}, "a": [1.0, np.float64(2.5)]}
    assert identity_digest(one) == identity_digest(other)
    for changed in ({**one, "a": (1, 2.6)}, {**one, "b": {"x": 1.0, "y": None}}, {"a": (1, 2.5)}):
        assert identity_digest(changed) != identity_digest(one)


def test_code_that_changed_while_it_runs_is_no_identity(monkeypatch, tmp_path):
    """What this process computes is of the code that it has loaded, whatever lies on the disk."""
    gaussian = descriptor()
    assert gaussian.identity()["code"] == gaussian_module._CODE
    room = tmp_path / "descriptor"
    shutil.copytree(gaussian_module._ROOM, room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(gaussian_module, "_SOURCES", (room, *gaussian_module._SOURCES[1:]))
    assert gaussian.identity()["code"] == gaussian_module._CODE
    with (room / "_row_kernels.py").open("a") as file:
        file.write("# another kernel\n")
    assert gaussian.identity() is None
