"""The choice of how derivatives are kept, and arrays in files."""

import logging
import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from amp.core.errors import InsufficientMemoryError, OutputWriteError, ParameterError
from amp.core.storage import WAYS, Storage, file_array

NEEDS = {"float64": 800, "float32": 400, "recomputed": 100, "disk": 50}


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(1000, "float64"), (800, "float64"), (799, "float32"), (400, "float32"), (399, "recomputed"),
     (100, "recomputed")],
)  # fmt: skip
def test_the_first_way_that_fits_is_taken(memory, expected, caplog):
    caplog.set_level(logging.INFO, "amp")
    assert Storage.of("auto", memory).choose(NEEDS, memory) == expected
    (message,) = [record.getMessage() for record in caplog.records]
    for text in ("800 bytes in float64", "400 bytes in float32", "100 bytes recomputed",
                 f"Chosen: {expected}, "):  # fmt: skip
        assert text in message


def test_where_nothing_fits_the_error_says_what_each_takes_and_what_to_do():
    with pytest.raises(InsufficientMemoryError) as error:
        Storage.of("auto", 99).choose(NEEDS, 99)
    for text in ("800 bytes", "400 bytes", "100 bytes", "99 bytes", "'disk'", "fewer images"):
        assert text in str(error.value)


def test_a_way_that_was_asked_for_is_not_exchanged():
    assert Storage.of("float64", None).choose(NEEDS, 10**6) == "float64"
    with pytest.raises(InsufficientMemoryError, match="derivatives='float32'"):
        Storage.of("float64", 500).choose(NEEDS, 500)


def test_a_way_that_was_asked_for_may_exceed_an_estimate_of_what_is_free(caplog):
    assert Storage.of("float64", None).choose(NEEDS, 500) == "float64"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "may not fit" in caplog.text


def test_where_memory_is_not_known_the_first_way_is_taken(caplog):
    caplog.set_level(logging.INFO, "amp")
    assert Storage.of("auto", None).choose(NEEDS, None) == "float64"
    assert "not known" in caplog.text


def test_the_budget_is_the_memory_given():
    assert Storage.of("auto", "2 kB").budget() == 2000


def test_of_the_free_memory_a_tenth_is_left(monkeypatch):
    monkeypatch.setattr("amp.core.storage.available_memory", lambda: 1000)
    assert Storage.of("auto", None).budget() == 900
    monkeypatch.setattr("amp.core.storage.available_memory", lambda: None)
    assert Storage.of("auto", None).budget() is None


@pytest.mark.parametrize("given", ["float16", "", None, 3])
def test_unknown_ways_are_refused(given):
    with pytest.raises(ParameterError, match="'recomputed', 'disk'"):
        Storage.of(given, None)


def test_torch_is_not_offered_what_it_cannot_use():
    assert Storage.of("auto", None, only_stored=True).ways == ("float64", "float32")
    with pytest.raises(ParameterError, match="leave device out"):
        Storage.of("recomputed", None, only_stored=True)
    assert [Storage.of(way, None).ways for way in WAYS] == [(way,) for way in WAYS]


def test_an_array_in_a_file_is_that_of_the_file(tmp_path):
    path = tmp_path / "values"
    array = file_array(str(path), 5)
    assert_array_equal(array, np.zeros(5))
    array[:] = np.arange(5.0)
    assert_array_equal(np.fromfile(path), np.arange(5.0))
    assert type(array) is np.ndarray  # which is what numba takes
    path.unlink()
    assert_array_equal(array, np.arange(5.0))


def test_an_array_of_nothing_may_be_in_a_file(tmp_path):
    assert file_array(str(tmp_path / "values"), 0).shape == (0,)


def test_a_file_that_is_there_is_not_trusted(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(bytes(40))
    with pytest.raises(OutputWriteError, match="cannot be made"):
        file_array(str(path), 5)
    assert path.read_bytes() == bytes(40)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is not reserved here")
def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputWriteError, match=r"40 bytes on disk: No space left.*recomputed"):
        file_array(str(tmp_path / "values"), 5)
    assert list(tmp_path.iterdir()) == []
