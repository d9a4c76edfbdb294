"""Trainings whose derivatives are kept in memory, on disk, or not at all."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from amp import Amp
from amp.core.errors import InsufficientMemoryError, ParameterError, TrainingConvergenceError
from amp.core.storage import WAYS, Storage
from amp.training import prepare

STRESS = {"stress_coefficient": 1.0}


def train_until_limit(calc, images, **settings):
    """Train a calculator that cannot converge in its few steps."""
    with pytest.raises(TrainingConvergenceError):
        calc.train(images, **settings)
    return calc


def log():
    return Path("calc-log.txt").read_text()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_trains_to_the_same_parameters(way, make_calc, solids):
    expected = train_until_limit(make_calc("memory", "CuPd", loss=STRESS), solids)
    calc = make_calc(elements="CuPd", loss=STRESS)
    train_until_limit(calc, solids, derivatives=way)
    assert_allclose(calc.model.vector, expected.model.vector, rtol=1e-5, atol=1e-6)
    assert f"Chosen: {way}, as asked for." in log()


@pytest.mark.parametrize("keep_log", [True, False])
def test_the_estimate_is_told_before_fingerprints_are_computed(
    keep_log, make_calc, waters, caplog, monkeypatch
):
    caplog.set_level("INFO", "amp")
    monkeypatch.setattr(
        "amp.descriptor._images._fill", lambda *arguments: pytest.fail("too early"), raising=True
    )
    calc = make_calc()
    calc.logging = keep_log
    with pytest.raises(pytest.fail.Exception, match="too early"):
        calc.train(waters)
    assert "Chosen: float64" in caplog.text
    if keep_log:
        assert "Chosen: float64" in log()


def test_memory_decides_how_derivatives_are_kept(make_calc, waters):
    calc = make_calc()
    n_bytes = {}
    for way in ("float64", "float32", "recomputed"):
        data = prepare(calc.descriptor, calc.model, waters, storage=Storage((way,)))
        n_bytes[way] = data.fingerprints.derivatives.nbytes
    stored, single = (n_bytes[w] + n_bytes["recomputed"] for w in ("float64", "float32"))
    chosen = []
    for memory in (stored, stored - 1, single - 1):
        train_until_limit(make_calc(), waters, overwrite=True, memory=memory)
        chosen.append(next(way for way in WAYS if f"Chosen: {way}, " in log()))
    assert chosen == ["float64", "float32", "recomputed"]


def test_too_little_memory_is_told_before_any_work(make_calc, waters):
    with pytest.raises(InsufficientMemoryError, match=r"fewer images|Use .* fewer"):
        make_calc().train(waters, memory="200 B")
    assert not Path("calc-initial-parameters.amp").exists()
    with pytest.raises(InsufficientMemoryError, match="derivatives='float32'"):
        make_calc().train(waters, memory="7 kB", derivatives="float64")


@pytest.mark.parametrize(
    "settings", [{"derivatives": "float16"}, {"memory": "much"}, {"memory": -1}]
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    settings, make_calc, waters
):
    with pytest.raises(ParameterError):
        make_calc().train(waters, **settings)
    assert list(Path().iterdir()) == []


def test_a_training_goes_on_with_derivatives_kept_otherwise(make_calc, waters):
    train_until_limit(make_calc(), waters, derivatives="float64")
    train_until_limit(make_calc(loss={"maxiter": 12}), waters, derivatives="recomputed")
    assert "Going on from step 8" in log()


def test_energies_alone_need_no_derivatives(make_calc, waters):
    loss = {"force_coefficient": None}
    train_until_limit(make_calc(loss=loss), waters, memory=1)
    assert "Derivatives" not in log()


class Looker:
    """A regressor that looks at the files, and evaluates the loss once."""

    def __init__(self, error=None):
        self.error = error
        self.size = None

    def regress(self, problem, log):
        self.size = Path("calc-derivatives.bin").stat().st_size
        problem.get_loss(problem.vector)
        if self.error:
            raise self.error
        return False


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ZeroDivisionError()])
def test_the_file_is_there_while_training_runs(error, make_calc, waters):
    looker = Looker(error)
    kind = type(error) if error else TrainingConvergenceError
    with pytest.raises(kind):
        make_calc(optimizer=looker).train(waters, derivatives="disk")
    calc = make_calc()
    stored = prepare(calc.descriptor, calc.model, waters).fingerprints.derivatives
    assert looker.size == stored.values.nbytes
    assert not Path("calc-derivatives.bin").exists()


@pytest.mark.parametrize("way", ["disk", "float64"])
def test_a_file_that_a_killed_run_left_is_not_trusted_and_goes(way, make_calc, waters):
    expected = train_until_limit(make_calc("memory"), waters)
    calc = make_calc()
    stored = prepare(calc.descriptor, calc.model, waters).fingerprints.derivatives
    np.full_like(stored.values, 7.0).tofile("calc-derivatives.bin")
    train_until_limit(calc, waters, derivatives=way)
    assert_array_equal(calc.model.vector, expected.model.vector)
    assert not Path("calc-derivatives.bin").exists()


def test_torch_trains_on_stored_derivatives_alone(make_calc, waters):
    pytest.importorskip("torch")
    with pytest.raises(ParameterError, match="leave device out"):
        make_calc(device="cpu").train(waters, derivatives="recomputed")
    calc = train_until_limit(make_calc(device="cpu"), waters, derivatives="float32")
    expected = train_until_limit(make_calc("memory"), waters)
    assert_allclose(calc.model.vector, expected.model.vector, rtol=1e-5, atol=1e-6)


def test_prepare_keeps_derivatives_as_told(make_calc, waters):
    calc = make_calc()
    data = prepare(calc.descriptor, calc.model, waters, storage=Storage(("float32",)))
    assert data.fingerprints.derivatives.values.dtype == np.float32


def test_how_derivatives_are_kept_is_given_by_name():
    parameters = inspect.signature(Amp.train).parameters
    for name in ("derivatives", "memory"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
