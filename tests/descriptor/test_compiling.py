"""What is told when kernels are compiled."""

import importlib.util
import logging

import numpy as np
import pytest
from ase.build import molecule

from amp.core.neighbors import neighbor_pairs
from amp.descriptor import _derivative_kernels, _kernels
from amp.descriptor._compiling import MESSAGE, told_if_compiled
from amp.descriptor.gaussian import Gaussian

SOURCE = """
from numba import njit

@njit(cache=True)
def double(x):
    return 2 * x
"""


@pytest.fixture
def load(tmp_path):
    """Load a small kernel as a new process would; compiled code is kept beside it."""
    path = tmp_path / "small_kernels.py"
    path.write_text(SOURCE)

    def anew():
        spec = importlib.util.spec_from_file_location("small_kernels", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.double

    return anew


def call(kernel):
    with told_if_compiled(kernel, (21,)):
        return kernel(21)


def test_it_is_told_once_and_not_again_when_compiled_code_is_found(load, caplog):
    caplog.set_level(logging.INFO, "amp")
    kernel = load()
    assert call(kernel) == 42
    assert [record.getMessage() for record in caplog.records] == [f"{MESSAGE}."]
    assert call(kernel) == 42
    assert call(load()) == 42
    assert len(caplog.records) == 1


def test_compiled_code_of_an_older_source_does_not_count(load, caplog, tmp_path):
    call(load())
    (tmp_path / "small_kernels.py").write_text(SOURCE + "\n# newer\n")
    caplog.set_level(logging.INFO, "amp")
    call(load())
    assert len(caplog.records) == 1


def test_a_change_in_any_file_of_the_room_makes_compiled_code_old(monkeypatch):
    """Kernels call those of other files, whose changes numba does not notice."""
    from amp.descriptor import _jit

    def double(x):
        return 2 * x

    before = _jit.entry(double)._cache._cache_file._source_stamp
    assert _jit.entry(double)._cache._cache_file._source_stamp == before
    assert {name for name, _, _ in before[1]} >= {"_kernels.py", "_row_kernels.py", "_plan.py"}
    newer = tuple((name, time + 1, size) for name, time, size in before[1])
    monkeypatch.setattr(_jit, "_state", lambda: newer)
    assert _jit.entry(double)._cache._cache_file._source_stamp != before


def test_plain_functions_are_called_without_a_word(caplog):
    caplog.set_level(logging.INFO, "amp")
    assert call(lambda x: 2 * x) == 42
    assert not caplog.records


class Fresh:
    """A kernel that this process has not called and no cache has."""

    def __init__(self, kernel):
        self.kernel, self.overloads, self._cache, self._cache_file = kernel, {}, self, self

    def _load_index(self):
        return {}

    def __call__(self, *arguments):
        self.overloads = {"some": "signature"}
        return self.kernel(*arguments)


@pytest.mark.parametrize("derivatives", [False, True])
def test_fingerprints_of_images_tell_it(monkeypatch, caplog, derivatives):
    module, name = (_derivative_kernels, "derivatives") if derivatives else (_kernels, "values")
    monkeypatch.setattr(module, name, Fresh(getattr(module, name)))
    caplog.set_level(logging.INFO, "amp")
    descriptor = Gaussian(3.0)
    descriptor.prepare(["H", "O"])
    images = {str(i): molecule("H2O") for i in range(5)}
    for _ in range(2):
        descriptor.fingerprint_images(images, derivatives=derivatives)
    assert [record.getMessage() for record in caplog.records] == [f"{MESSAGE}."]


def test_predictions_tell_it(monkeypatch, caplog):
    for name in ("values", "contract"):
        monkeypatch.setattr(_kernels, name, Fresh(getattr(_kernels, name)))
    caplog.set_level(logging.INFO, "amp")
    descriptor, atoms = Gaussian(3.0), molecule("H2O")
    descriptor.prepare(["H", "O"])
    pairs = neighbor_pairs(atoms, 3.0)
    for _ in range(2):
        result = descriptor.fingerprint(pairs, atoms.numbers)
        descriptor.contract(pairs, result, np.ones(len(result.values)))
    assert [record.getMessage() for record in caplog.records] == 2 * [f"{MESSAGE}."]


def test_another_precision_is_told_too(load, caplog):
    caplog.set_level(logging.INFO, "amp")
    kernel = load()
    for argument in (np.zeros(2), np.zeros(3), np.zeros(2, np.float32)):
        with told_if_compiled(kernel, (argument,)):
            kernel(argument)
    assert [record.getMessage() for record in caplog.records] == 2 * [f"{MESSAGE}."]
