"""Training runs: their files and logs, what they reach, and how they end and go on."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose, assert_array_equal

import amp
from amp import Amp
from amp.core.errors import (
    AmpFileError,
    CheckpointMismatchError,
    ImageError,
    LabelInUseError,
    MissingDataError,
    OutputExistsError,
    ParameterError,
    TrainingConvergenceError,
)
from amp.core.images import get_hash, hash_images
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor
from amp.training import RunFiles, prepare, read_potential, train

EASY = {"convergence": {"energy_rmse": 0.1}, "maxiter": 500}


def files():
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())


def train_until_limit(calc, images, **settings):
    """Train a calculator that cannot converge in its few steps."""
    with pytest.raises(TrainingConvergenceError):
        calc.train(images, **settings)
    return calc


def steps(log="calc-log.txt"):
    """Rows of the loss table, split into words."""
    rows = [line.split() for line in Path(log).read_text().splitlines()]
    return [row for row in rows if len(row) > 3 and row[0].isdigit() and "T" in row[1]]


def results(calc, images):
    """Energies and forces of images, by a calculator."""
    energies, forces = [], []
    for image in images:
        atoms = image.copy()
        atoms.calc = calc
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return np.array(energies), np.concatenate(forces)


def without_results(images, *names):
    """Copies of images whose results lack something."""
    copies = []
    for image in images:
        atoms = image.copy()
        kept = {k: v for k, v in image.calc.results.items() if k not in names}
        atoms.calc = SinglePointCalculator(atoms, **kept)
        copies.append(atoms)
    return copies


# -- files and log ---------------------------------------------------------------------------------


def test_a_run_that_converges_leaves_these_files(make_calc, waters):
    make_calc(loss=EASY).train(waters)
    assert files() == [
        "calc-checkpoint.amp",
        "calc-initial-parameters.amp",
        "calc-log.txt",
        "calc.amp",
    ]


def test_a_run_that_does_not_converge_leaves_these_files(make_calc, waters):
    train_until_limit(make_calc(), waters)
    assert files() == [
        "calc-checkpoint.amp",
        "calc-initial-parameters.amp",
        "calc-log.txt",
        "calc-untrained-parameters.amp",
    ]


def test_a_label_with_a_folder_makes_the_folder(make_calc, waters):
    make_calc(label="deep/er/name", loss=EASY).train(waters)
    assert "deep/er/name.amp" in files()


def test_without_logging_there_is_no_log(make_calc, waters):
    calc = make_calc(loss=EASY)
    calc.logging = False
    calc.train(waters)
    assert "calc-log.txt" not in files()
    assert "calc.amp" in files()


def test_the_log_says_what_ran_on_what(make_calc, waters):
    make_calc(loss=EASY).train([*waters, waters[2]])
    log = Path("calc-log.txt").read_text()
    for package in ("Python", "numpy", "scipy", "numba", "ase"):
        assert re.search(rf"^{package}: \d+\.\d+", log, re.MULTILINE)
    assert f"Amp: {amp.__version__}" in log
    assert "Host: " in log
    assert "Trained on: energies, forces." in log
    assert "given more than once: 1; they count once (weight_duplicates=False)" in log
    assert get_hash(waters[2]) in log
    assert "Cosine(Rc=4.0)" in log
    assert "symmetry functions of H:" in log
    assert "Random initial weights, seed 1." in log
    assert "Optimizer: BFGS" in log
    assert "energy_rmse: 0.1" in log
    assert "Converged. Potential: calc.amp" in log


def test_the_log_has_a_row_for_every_step_with_its_marks(make_calc, waters):
    criteria = {"energy_rmse": 1e-9, "force_rmse": 1e9}
    train_until_limit(make_calc(loss={"convergence": criteria}), waters)
    rows = steps()
    assert [int(row[0]) for row in rows] == list(range(8))
    assert all(row[4::2] == ["-", "C", "C", "C"] for row in rows)
    assert all(np.isfinite(float(row[2])) for row in rows)
    assert "Not converged. Best parameters: calc-untrained-parameters.amp" in (
        Path("calc-log.txt").read_text()
    )


def test_a_log_of_converged_training_ends_with_marks_c(make_calc, waters):
    make_calc(loss=EASY).train(waters)
    assert steps()[-1][4] == "C"


def test_every_file_loads_and_gives_the_same_energies_bit_for_bit(make_calc, waters):
    calc = train_until_limit(make_calc(), waters)
    trained = make_calc(label="other", loss=EASY)
    trained.train(waters)
    expected = {
        "calc-untrained-parameters.amp": calc,
        "calc-checkpoint.amp": calc,
        "other.amp": trained,
    }
    for name, source in expected.items():
        energies, forces = results(source, waters)
        loaded = results(Amp.load(name), waters)
        assert_array_equal(loaded[0], energies)
        assert_array_equal(loaded[1], forces)
    initial = Amp.load("calc-initial-parameters.amp")
    prepared = make_calc()
    prepare(prepared.descriptor, prepared.model, waters)
    assert_array_equal(initial.model.vector, prepared.model.vector)
    assert_array_equal(results(initial, waters)[0], results(prepared, waters)[0])


# -- reproducibility and quality -------------------------------------------------------------------


def test_a_seed_makes_runs_equal_bit_for_bit(make_calc, waters):
    first = train_until_limit(make_calc(label="first"), waters)
    second = train_until_limit(make_calc(label="second"), waters)
    assert_array_equal(first.model.vector, second.model.vector)
    other = train_until_limit(make_calc(label="other", randomseed=2), waters)
    assert np.any(other.model.vector != first.model.vector)


def test_threads_change_not_a_bit(make_calc, waters, solids):
    one = train_until_limit(make_calc(label="one", cores=1), waters)
    two = train_until_limit(make_calc(label="two", cores=2), waters)
    assert_array_equal(one.model.vector, two.model.vector)
    stress = {"stress_coefficient": 1.0}
    one = train_until_limit(make_calc("one-s", "CuPd", cores=1, loss=stress), solids)
    two = train_until_limit(make_calc("two-s", "CuPd", cores=2, loss=stress), solids)
    assert_array_equal(one.model.vector, two.model.vector)


def test_the_logged_errors_are_those_of_the_calculator(make_calc, waters):
    calc = train_until_limit(make_calc(), waters)
    energies, forces = results(calc, waters)
    reference = np.array([image.get_potential_energy() for image in waters])
    expected = np.sqrt(np.mean((energies - reference) ** 2)) / 3
    rows = steps()
    best = min(rows, key=lambda row: float(row[2]))
    assert_allclose(float(best[3]), expected, rtol=1e-4)
    residuals = forces - np.concatenate([image.get_forces() for image in waters])
    assert_allclose(float(best[7]), np.sqrt(np.mean(residuals**2)), rtol=1e-4)


def test_training_reaches_its_criteria(make_calc, waters):
    criteria = {"energy_rmse": 0.002, "force_maxresid": 0.2}
    calc = make_calc(loss={"convergence": criteria, "maxiter": 3000, "force_coefficient": 0.1})
    calc.train(waters)
    energies, forces = results(calc, waters)
    reference = np.array([image.get_potential_energy() for image in waters])
    assert np.sqrt(np.mean((energies - reference) ** 2)) / 3 <= 0.002
    residuals = forces - np.concatenate([image.get_forces() for image in waters])
    assert np.abs(residuals).max() <= 0.2


def test_energies_alone_are_trained_with_the_default_force_coefficient(make_calc, waters):
    images = without_results(waters, "forces")
    calc = make_calc(loss=EASY)
    assert calc.model.lossfunction.force_coefficient == 0.04
    calc.train(images)
    log = Path("calc-log.txt").read_text()
    assert "Trained on: energies." in log
    assert "force_coefficient has no effect" in log
    energies, _ = results(calc, waters)
    reference = [image.get_potential_energy() for image in waters]
    assert np.sqrt(np.mean((energies - reference) ** 2)) / 3 <= 0.1


def test_forces_alone_are_trained_without_energies_in_the_loss(make_calc, waters):
    loss = {
        "energy_coefficient": None, "force_coefficient": 1.0, "maxiter": 500,
        "convergence": {"force_rmse": 0.3},
    }  # fmt: skip
    calc = make_calc(loss=loss)
    calc.train(waters)
    _, forces = results(calc, waters)
    residuals = forces - np.concatenate([image.get_forces() for image in waters])
    assert np.sqrt(np.mean(residuals**2)) <= 0.3


def test_stress_training_lowers_the_error_of_stresses(make_calc, solids):
    def stress_rmse(calc):
        total = []
        for image in solids:
            atoms = image.copy()
            atoms.calc = calc
            total.append(atoms.get_stress() - image.get_stress())
        return np.sqrt(np.mean(np.square(total)))

    errors = {}
    for coefficient in (None, 100.0):
        loss = {"stress_coefficient": coefficient, "maxiter": 60}
        calc = make_calc(f"c{coefficient}", "CuPd", loss=loss)
        prepared = make_calc("prepared", "CuPd", loss=loss)
        prepare(prepared.descriptor, prepared.model, solids)
        train_until_limit(calc, solids)
        errors[coefficient] = stress_rmse(calc)
    assert errors[100.0] < 0.2 * stress_rmse(prepared)
    assert errors[100.0] < errors[None]
    row = min(steps("c100.0-log.txt"), key=lambda row: float(row[2]))
    assert_allclose(float(row[11]), errors[100.0], rtol=1e-4)


def test_live_calculators_are_asked_for_references(make_calc, waters):
    live = [image.copy() for image in waters]
    for image in live:
        image.calc = EMT()
    stored = train_until_limit(make_calc(label="stored"), waters)
    computed = train_until_limit(make_calc(label="live"), live)
    assert_array_equal(computed.model.vector, stored.model.vector)


def test_a_file_of_images_serves_as_well(make_calc, waters, tmp_path):
    from ase.io import write

    write("waters.traj", waters)
    from_file = train_until_limit(make_calc(label="file"), "waters.traj")
    from_list = train_until_limit(make_calc(label="list"), waters)
    assert_allclose(from_file.model.vector, from_list.model.vector, rtol=1e-6)


def test_duplicates_count_once_or_as_often_as_given(make_calc, waters):
    images = [*waters, waters[0], waters[0]]
    plain = train_until_limit(make_calc(label="plain"), waters)
    once = train_until_limit(make_calc(label="once"), images)
    assert_array_equal(once.model.vector, plain.model.vector)
    often = train_until_limit(make_calc("often", loss={"weight_duplicates": True}), images)
    weights = {get_hash(waters[0]): 3.0}
    weighted = train_until_limit(make_calc("weighted", loss={"image_weights": weights}), waters)
    assert_array_equal(often.model.vector, weighted.model.vector)
    assert np.any(often.model.vector != plain.model.vector)


def test_weighted_duplicates_are_the_sum_over_all_that_were_given(make_calc, waters):
    calc = make_calc(loss={"weight_duplicates": True})
    data = prepare(calc.descriptor, calc.model, [*waters, waters[0], waters[0]])
    loss = calc.model.lossfunction
    loss.attach(calc.model, data.fingerprints, data.references)
    terms = loss.evaluate(calc.model.vector, False)
    total, squares = 0.0, 0.0
    for image, times in zip(waters, (3, 1, 1, 1, 1, 1), strict=True):
        energies, forces = results(calc, [image])
        total += times * ((energies[0] - image.get_potential_energy()) / 3) ** 2
        squares += times * np.sum((forces - image.get_forces()) ** 2) / 9
    assert_allclose(terms.loss, total + 0.04 * squares, rtol=1e-10)
    assert_allclose(terms.energy_rmse, np.sqrt(total / 8), rtol=1e-10)


def test_images_that_lack_something_are_trained_on_where_accepted(make_calc, waters):
    images = [*waters[:3], *without_results(waters[3:5], "forces")]
    images += without_results(waters[5:], "energy")
    calc = make_calc(loss={"accept_missing": True})
    data = prepare(calc.descriptor, calc.model, images)
    assert np.isnan(data.references.energies).tolist() == [False] * 5 + [True]
    lacking = np.isnan(data.references.forces).all(axis=1).reshape(6, 3).all(axis=1)
    assert lacking.tolist() == [False] * 3 + [True] * 2 + [False]
    train_until_limit(calc, images)
    with pytest.raises(MissingDataError, match=r"energy in 1 image.*forces in 2 image"):
        make_calc(label="strict").train(images)


def test_nearest_force_training_fits_the_forces_that_are_named(make_calc, waters):
    nearest = [(get_hash(image), 0) for image in waters[3:]]
    # What is not named may be anything.
    wrong = []
    for image in waters[3:]:
        atoms, forces = image.copy(), image.get_forces().copy()
        forces[1:] = 1e3
        atoms.calc = SinglePointCalculator(atoms, energy=1e5, forces=forces)
        wrong.append(atoms)
    loss = {"nft_ids": nearest, "maxiter": 30}
    named = train_until_limit(make_calc("named", loss=loss), waters)
    same = train_until_limit(make_calc("same", loss=loss), [*waters[:3], *wrong])
    assert_array_equal(named.model.vector, same.model.vector)
    plain = train_until_limit(make_calc("plain", loss={"maxiter": 30}), waters[:3])
    assert np.any(plain.model.vector != named.model.vector)

    def error(calc):
        _, forces = results(calc, waters[3:])
        reference = np.concatenate([image.get_forces() for image in waters[3:]])
        return np.sqrt(np.mean((forces - reference)[::3] ** 2))

    assert error(named) < error(plain)


@pytest.mark.parametrize("named", [("nothing", 0), (0, 7)])
def test_nearest_force_training_refuses_what_is_not_there(make_calc, waters, named):
    key = get_hash(waters[0]) if named[0] == 0 else named[0]
    calc = make_calc(loss={"nft_ids": [(key, named[1])]})
    with pytest.raises(ParameterError, match=f"nft_ids names atom {named[1]} of image '{key}'"):
        calc.train(waters)


# -- check points ----------------------------------------------------------------------------------


def test_check_points_are_written_every_so_many_steps(make_calc, waters, monkeypatch):
    written = []
    real = amp.training.trainer.write_checkpoint

    def write(path, descriptor, model, checkpoint):
        written.append((path, checkpoint.step))
        real(path, descriptor, model, checkpoint)

    monkeypatch.setattr(amp.training.trainer, "write_checkpoint", write)
    train_until_limit(make_calc(checkpoints=3), waters)
    # After 3 and 6 steps, and at the end.
    assert written == [("calc-checkpoint.amp", step) for step in (3, 6, 8)]


def test_a_negative_number_keeps_every_check_point(make_calc, waters):
    train_until_limit(make_calc(checkpoints=-3), waters)
    assert [name for name in files() if "checkpoint" in name] == [
        f"calc-checkpoints/{step}.amp" for step in (3, 6, 8)
    ]
    losses = []
    calc = make_calc(label="loss")
    data = prepare(calc.descriptor, calc.model, waters)
    calc.model.lossfunction.attach(calc.model, data.fingerprints, data.references)
    for step in (3, 6, 8):
        vector = Amp.load(f"calc-checkpoints/{step}.amp").model.vector
        losses.append(calc.model.lossfunction.evaluate(vector, False).loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_none_writes_no_check_point(make_calc, waters):
    train_until_limit(make_calc(checkpoints=None), waters)
    assert not any("checkpoint" in name for name in files())
    assert "calc-untrained-parameters.amp" in files()


@pytest.mark.parametrize("checkpoints", [3, -3])
def test_a_run_stopped_by_maxiter_goes_on_where_it_stopped(make_calc, waters, checkpoints):
    first = train_until_limit(make_calc(checkpoints=checkpoints), waters)
    longer = make_calc(checkpoints=checkpoints, loss={"maxiter": 14})
    train_until_limit(longer, waters)
    rows = steps()
    assert [int(row[0]) for row in rows] == list(range(14))
    best = min(float(row[2]) for row in rows[:8])
    assert float(rows[8][2]) == best  # the check point itself comes first
    assert min(float(row[2]) for row in rows[8:]) <= best
    assert "Going on from step 8 of" in Path("calc-log.txt").read_text()
    assert np.any(longer.model.vector != first.model.vector)


def test_going_on_until_convergence_leaves_the_potential(make_calc, waters):
    train_until_limit(make_calc(loss={"maxiter": 2}), waters)
    make_calc(loss=EASY).train(waters)
    assert "calc.amp" in files()


def test_going_on_does_not_need_the_seed_nor_the_same_start(make_calc, waters):
    train_until_limit(make_calc(), waters)
    there = Amp.load("calc-checkpoint.amp").model.vector
    calc = train_until_limit(make_calc(randomseed=77, loss={"maxiter": 9}), waters)
    assert_array_equal(calc.model.vector, there)  # one step: the check point


@pytest.mark.parametrize("maxiter", [8, 3])
def test_where_maxiter_is_used_up_nothing_is_evaluated(make_calc, waters, maxiter):
    calc = train_until_limit(make_calc(), waters)
    before = Path("calc-checkpoint.amp").read_bytes()
    for _ in range(2):
        again = make_calc(loss={"maxiter": maxiter})
        with pytest.raises(TrainingConvergenceError) as caught:
            again.train(waters)
        assert f"maxiter={maxiter} is used up: calc-checkpoint.amp is at step 8" in str(
            caught.value
        )
        assert "Raise maxiter" in str(caught.value)
        assert_array_equal(again.model.vector, calc.model.vector)
        assert Path("calc-checkpoint.amp").read_bytes() == before
    assert len(steps()) == 8
    results(again, waters)


def test_the_same_calculator_can_go_on(make_calc, waters):
    calc = train_until_limit(make_calc(), waters)
    calc.model.lossfunction.maxiter = 12
    train_until_limit(calc, waters)
    assert [int(row[0]) for row in steps()] == list(range(12))


def test_elements_that_no_image_has_do_not_hinder_going_on(make_calc, waters):
    calc = make_calc()
    calc.descriptor = type(calc.descriptor)(4.0, elements=["H", "O", "C"])
    train_until_limit(calc, waters)
    train_until_limit(calc, waters)
    assert "Going on from step 8" in Path("calc-log.txt").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutoff": 4.5}, r"descriptor\.cutoff\.kwargs\.Rc: 4\.0 -> 4\.5"),
        ({"hiddenlayers": (4, 2)}, r"model\.hiddenlayers"),
        ({"activation": "sigmoid"}, r"model\.activation: tanh -> sigmoid"),
        ({"output": "activation"}, r"model\.output: linear -> activation"),
        ({"loss": {"force_coefficient": 0.5}}, r"loss\.force_coefficient: 0\.04 -> 0\.5"),
        ({"loss": {"overfit": 0.1}}, r"loss\.overfit: 0\.0 -> 0\.1"),
    ],
)
def test_a_check_point_of_other_settings_is_refused(make_calc, waters, change, message):
    train_until_limit(make_calc(), waters)
    before = Path("calc-checkpoint.amp").read_bytes()
    with pytest.raises(CheckpointMismatchError, match=message) as caught:
        make_calc(**change).train(waters)
    assert "calc-checkpoint.amp" in str(caught.value)
    assert "overwrite=True" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3  # names nothing else
    assert Path("calc-checkpoint.amp").read_bytes() == before


def test_a_check_point_of_other_images_is_refused(make_calc, waters):
    train_until_limit(make_calc(), waters)
    with pytest.raises(CheckpointMismatchError, match="number of images: 6 -> 5"):
        make_calc().train(waters[:5])
    other = waters[0].copy()
    other.rattle(0.1, seed=3)
    results = {"energy": 1.0, "forces": np.zeros((3, 3))}
    other.calc = SinglePointCalculator(other, **results)
    with pytest.raises(CheckpointMismatchError, match="as many, but not the same ones"):
        make_calc().train([other, *waters[1:]])


@pytest.mark.parametrize("name", ["energy", "forces"])
def test_a_check_point_of_other_references_is_refused(make_calc, waters, name):
    train_until_limit(make_calc(), waters)
    results = dict(waters[0].calc.results)
    results[name] = results[name] + 1e-6
    relabelled = waters[0].copy()
    relabelled.calc = SinglePointCalculator(relabelled, **results)
    with pytest.raises(CheckpointMismatchError, match="or with other references"):
        make_calc().train([relabelled, *waters[1:]])


def test_a_check_point_of_other_stresses_is_refused(make_calc, solids):
    loss = {"stress_coefficient": 1.0}
    train_until_limit(make_calc(elements="CuPd", loss=loss), solids)
    results = dict(solids[0].calc.results)
    results["stress"] = results["stress"] + 1e-6
    relabelled = solids[0].copy()
    relabelled.calc = SinglePointCalculator(relabelled, **results)
    with pytest.raises(CheckpointMismatchError, match="or with other references"):
        make_calc(elements="CuPd", loss=loss).train([relabelled, *solids[1:]])


def test_a_check_point_of_other_multiplicities_is_refused_where_they_count(make_calc, waters):
    loss = {"weight_duplicates": True}
    train_until_limit(make_calc(loss=loss), waters)
    with pytest.raises(CheckpointMismatchError, match="images"):
        make_calc(loss=loss).train([*waters, waters[0]])


def test_a_check_point_of_another_training_is_told_before_fingerprints(
    make_calc, waters, monkeypatch
):
    train_until_limit(make_calc(), waters)
    calc = make_calc(activation="sigmoid")
    monkeypatch.setattr(calc.descriptor, "fingerprint_images", pytest.fail)
    with pytest.raises(CheckpointMismatchError):
        calc.train(waters)


@pytest.mark.parametrize("damage", ["truncated", "a potential", "emptied"])
def test_a_damaged_check_point_is_told_with_what_to_do(make_calc, waters, damage):
    train_until_limit(make_calc(), waters)
    path = Path("calc-checkpoint.amp")
    text = path.read_text()
    if damage == "truncated":
        path.write_text(text[: len(text) // 2])
    elif damage == "emptied":
        path.write_text("")
    else:
        path.write_bytes(Path("calc-untrained-parameters.amp").read_bytes())
    with pytest.raises(AmpFileError, match=r"calc-checkpoint\.amp, .*overwrite=True") as caught:
        make_calc().train(waters)
    assert not re.search("copy|Remove|  |\\.\\.", str(caught.value))  # one way out, not two
    train_until_limit(make_calc(), waters, overwrite=True)


# -- existing results ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["trained", "untrained"])
def test_existing_results_are_refused_before_any_work(make_calc, waters, monkeypatch, kind):
    calc = make_calc()
    existing = Path(getattr(RunFiles("calc"), kind))
    existing.write_text("precious")
    monkeypatch.setattr(calc.descriptor, "fingerprint_images", pytest.fail)
    monkeypatch.setattr(amp.training.trainer, "hash_images", pytest.fail)
    with pytest.raises(OutputExistsError, match=rf"{existing} exists already.*overwrite=True"):
        calc.train(waters)
    assert files() == [str(existing)]
    assert existing.read_text() == "precious"


def test_a_label_that_another_run_uses_is_refused(make_calc, waters):
    running = Path(RunFiles("calc").running)
    running.write_text("process 1 on elsewhere")
    for overwrite in (False, True):
        with pytest.raises(LabelInUseError, match=r"process 1 on elsewhere.*calc-running"):
            make_calc().train(waters, overwrite=overwrite)
    assert files() == ["calc-running"]
    running.unlink()
    train_until_limit(make_calc(), waters)
    assert not running.exists()


def test_the_label_is_held_while_training_runs(make_calc, waters):
    seen = []

    def optimizer(fun, x0, jac):
        seen.append(Path("calc-running").read_text())
        with pytest.raises(LabelInUseError, match=str(os.getpid())):
            make_calc().train(waters)
        fun(x0)

    train_until_limit(make_calc(optimizer=Regressor(optimizer)), waters)
    assert str(os.getpid()) in seen[0]
    assert len(steps()) == 1


def test_overwrite_starts_anew(make_calc, waters):
    easy = make_calc(loss=EASY)
    easy.train(waters)
    steps_before = len(steps())
    make_calc(loss=EASY).train(waters, overwrite=True)
    assert len(steps()) == steps_before  # the old log is gone, the old check point not used
    assert "Going on" not in Path("calc-log.txt").read_text()


def test_overwrite_is_no_reason_to_use_a_check_point_of_other_settings(make_calc, waters):
    train_until_limit(make_calc(checkpoints=-3), waters)
    train_until_limit(make_calc(checkpoints=-3, activation="sigmoid"), waters, overwrite=True)
    assert [int(row[0]) for row in steps()] == list(range(8))
    loaded = Amp.load("calc-checkpoints/8.amp")
    assert loaded.model.parameters.activation == "sigmoid"


def test_bad_images_cost_no_old_results_even_with_overwrite(make_calc, waters):
    train_until_limit(make_calc(), waters)
    before = {name: Path(name).read_bytes() for name in files() if name.endswith(".amp")}
    with pytest.raises(ImageError, match="no images"):
        make_calc().train([], overwrite=True)
    assert {name: Path(name).read_bytes() for name in files() if name.endswith(".amp")} == before


# -- ways to end -----------------------------------------------------------------------------------


def test_training_that_fails_keeps_the_best_parameters(make_calc, waters):
    calc = make_calc()
    with pytest.raises(TrainingConvergenceError) as caught:
        calc.train(waters)
    message = str(caught.value)
    assert "stopped after 8 steps" in message
    assert re.search(r"energy_rmse [\d.e-]+ \(wanted 1e-09\)", message)
    assert "calc-untrained-parameters.amp" in message
    saved = Amp.load("calc-untrained-parameters.amp")
    assert_array_equal(saved.model.vector, calc.model.vector)
    best = min(float(row[2]) for row in steps())
    loss = calc.model.lossfunction
    data = prepare(calc.descriptor, calc.model, waters)
    loss.attach(calc.model, data.fingerprints, data.references)
    assert_allclose(loss.evaluate(calc.model.vector, False).loss, best, rtol=1e-4)
    results(calc, waters)  # and it can be used


def test_an_older_potential_that_stays_is_told(make_calc, waters):
    make_calc(loss=EASY).train(waters)
    before = Path("calc.amp").read_bytes()
    note = r"calc\.amp is still that of an earlier training"
    with pytest.raises(TrainingConvergenceError, match=note):
        make_calc().train(waters, overwrite=True)
    assert Path("calc.amp").read_bytes() == before
    with pytest.raises(TrainingConvergenceError) as caught:
        make_calc(label="other").train(waters)
    assert "earlier training" not in str(caught.value)


@pytest.mark.parametrize(("maxiter", "text"), [(1, "after 1 step "), (2, "after 2 steps ")])
def test_steps_are_counted_in_words(make_calc, waters, maxiter, text):
    with pytest.raises(TrainingConvergenceError, match=text):
        make_calc(loss={"maxiter": maxiter}).train(waters)


@pytest.mark.parametrize("maxiter", [1, 2])
def test_very_few_steps_keep_what_they_found(make_calc, waters, maxiter):
    calc = train_until_limit(make_calc(loss={"maxiter": maxiter}), waters)
    assert len(steps()) == maxiter
    assert_array_equal(Amp.load("calc-untrained-parameters.amp").model.vector, calc.model.vector)


def test_the_last_of_the_steps_counts_too(make_calc, waters):
    """With maxiter=n the result is the best of n evaluations, not of n - 1."""

    def optimizer(fun, x0, jac):
        fun(x0 + 1.0)
        fun(x0)

    calc = make_calc(optimizer=Regressor(optimizer), loss={"maxiter": 2})
    prepared = make_calc()
    prepare(prepared.descriptor, prepared.model, waters)
    train_until_limit(calc, waters)
    assert_array_equal(calc.model.vector, prepared.model.vector)


def test_the_best_parameters_are_kept_not_the_last(make_calc, waters):
    seen = []

    def optimizer(fun, x0, jac):
        rng = np.random.default_rng(0)
        for _ in range(6):
            x = x0 + rng.normal(size=len(x0))
            seen.append((fun(x), x))

    calc = train_until_limit(make_calc(optimizer=Regressor(optimizer)), waters)
    best = min(seen, key=lambda pair: pair[0])[1]
    assert_array_equal(calc.model.vector, best)
    assert best is not seen[-1][1]


def test_criteria_met_without_the_exception_count_as_converged(make_calc, waters):
    loss = {**EASY, "raise_ConvergenceOccurred": False, "maxiter": 60}
    make_calc(loss=loss).train(waters)
    assert "calc.amp" in files()
    assert len(steps()) == 60


def test_without_criteria_training_goes_on_to_the_end(make_calc, waters):
    with pytest.raises(TrainingConvergenceError, match="there are no criteria"):
        make_calc(loss={"convergence": {"energy_rmse": None}}).train(waters)
    assert len(steps()) == 8


class Interrupted(Regressor):
    """A regressor that is interrupted after some evaluations."""

    def __init__(self, after, error=KeyboardInterrupt):
        super().__init__("BFGS")
        self.after, self.error = after, error

    def regress(self, model, log=None):
        calls = []

        class Watched:
            vector = model.vector
            get_lossprime = staticmethod(model.get_lossprime)

            @staticmethod
            def get_loss(vector):
                calls.append(vector)
                if len(calls) > self.after:
                    raise self.error
                return model.get_loss(vector)

        return super().regress(Watched, log)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_run_keeps_its_best_and_goes_on_later(make_calc, waters, error):
    calc = make_calc(optimizer=Interrupted(5, error), checkpoints=100)
    with pytest.raises(error):
        calc.train(waters)
    assert files() == [
        "calc-checkpoint.amp",
        "calc-initial-parameters.amp",
        "calc-log.txt",
    ]
    saved = Amp.load("calc-checkpoint.amp")
    assert_array_equal(saved.model.vector, calc.model.vector)
    initial = Amp.load("calc-initial-parameters.amp")
    assert np.any(saved.model.vector != initial.model.vector)
    assert f"Training was interrupted: {error.__name__}" in Path("calc-log.txt").read_text()
    best = min(float(row[2]) for row in steps())
    train_until_limit(make_calc(), waters)
    rows = steps()
    assert [int(row[0]) for row in rows] == list(range(8))
    assert float(rows[5][2]) == best


@pytest.mark.parametrize(
    ("checkpoints", "where"),
    [
        (3, "in calc-checkpoint.amp; run again to go on."),
        (-3, f"in {Path('calc-checkpoints') / '5.amp'}; run again to go on."),
        (None, "only in the calculator (checkpoints=None); save them with its save()."),
    ],
)
def test_an_interrupt_says_where_the_parameters_are(make_calc, waters, checkpoints, where):
    with pytest.raises(KeyboardInterrupt) as caught:
        make_calc(optimizer=Interrupted(5), checkpoints=checkpoints).train(waters)
    assert str(caught.value) == f"Interrupted at step 5; the best parameters are {where}"
    assert caught.value.__suppress_context__


def test_an_interrupt_before_the_first_step_leaves_the_start(make_calc, waters):
    calc = make_calc(optimizer=Interrupted(0))
    with pytest.raises(KeyboardInterrupt, match="before the first step; run again"):
        calc.train(waters)
    assert_array_equal(calc.model.vector, Amp.load("calc-initial-parameters.amp").model.vector)
    train_until_limit(make_calc(), waters)


def test_a_regressor_that_does_nothing_is_told(make_calc, waters):
    class Idle:
        def regress(self, model, log=None):
            return False

    with pytest.raises(TrainingConvergenceError, match="without a single evaluation"):
        make_calc(optimizer=Idle()).train(waters)


SCRIPT = """
    import sys
    import time
    from ase.io import read
    from amp import Amp
    from amp.descriptor.gaussian import Gaussian
    from amp.model import LossFunction
    from amp.model.neuralnetwork import NeuralNetwork

    class Slow(LossFunction):  # it must not end before it is interrupted
        def evaluate(self, vector, gradient):
            time.sleep(0.02)
            return super().evaluate(vector, gradient)

    loss = Slow(convergence={"energy_rmse": 1e-15}, maxiter=int(sys.argv[1]))
    model = NeuralNetwork(randomseed=1, checkpoints=10**6, lossfunction=loss)
    Amp(Gaussian(4.0), model, label="run", cores=1).train(read("waters.traj", ":"))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_ctrl_c_keeps_the_best_and_a_later_run_goes_on(make_calc, waters):
    from ase.io import write

    write("waters.traj", waters)
    Path("script.py").write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, "script.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    log = Path("run-log.txt")
    with subprocess.Popen(
        [*command, "1000000"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 60.0
        while not (log.exists() and len(steps(log)) > 20):
            assert process.poll() is None, process.stdout.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)[0].decode()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in output
    rows = steps(log)
    best = min(float(row[2]) for row in rows)
    n_steps = len(rows)
    Amp.load("run-checkpoint.amp")
    again = subprocess.run(
        [*command, str(n_steps + 5)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "TrainingConvergenceError" in again.stderr
    rows = steps(log)
    # The interrupt may come between an evaluation and its count, or its line in the log.
    assert abs(int(rows[n_steps][0]) - n_steps) <= 1
    assert float(rows[n_steps][2]) <= best
    assert "run-untrained-parameters.amp" in files()


def test_the_log_takes_messages_of_the_package_only_while_it_runs(make_calc, waters):
    import logging

    package = logging.getLogger("amp")
    before = (package.level, list(package.handlers))
    train_until_limit(make_calc(), waters)
    assert (package.level, list(package.handlers)) == before
    length = len(Path("calc-log.txt").read_text())
    package.error("later")
    assert len(Path("calc-log.txt").read_text()) == length


# -- references ------------------------------------------------------------------------------------


class Broken(Calculator):
    """A live calculator that gives what it was told to."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, energy=0.0, forces=None):
        super().__init__()
        self.energy, self.forces = energy, forces

    def calculate(self, atoms=None, properties=(), system_changes=()):
        if self.energy is None:
            raise RuntimeError("no license")
        self.results = {"energy": self.energy, "forces": self.forces}


def broken(image, **given):
    atoms = image.copy()
    atoms.calc = Broken(**{"forces": np.zeros((len(atoms), 3)), **given})
    return atoms


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"energy": None}, "its calculator failed to give the energy: no license"),
        ({"energy": np.nan}, "its calculator gave energy that is not finite: nan"),
        ({"forces": np.full((3, 3), np.inf)}, "forces that are not finite"),
        ({"forces": np.zeros(3)}, r"shape \(3,\), not \(3, 3\)"),
    ],
)
def test_live_calculators_that_fail_are_told_with_their_image(make_calc, waters, given, message):
    images = [*waters[:2], broken(waters[2], **given), *waters[3:]]
    with pytest.raises(ImageError, match=message) as caught:
        make_calc().train(images)
    assert f"Image 2 ({get_hash(waters[2])[:8]})" in str(caught.value)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3), (9,)])
def test_stored_forces_of_a_wrong_shape_are_refused(make_calc, waters, shape):
    atoms = waters[1].copy()
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros(shape))
    with pytest.raises(ImageError, match=r"Image 1 \(.*its forces have the shape"):
        make_calc().train([waters[0], atoms])


def test_stress_cannot_be_trained_on_molecules(make_calc, waters):
    with pytest.raises(MissingDataError, match="no image has a cell with three vectors"):
        make_calc(loss={"stress_coefficient": 1.0}).train(waters)


def test_stress_must_be_there_where_it_is_trained(make_calc, solids):
    images = [*solids[:3], *without_results(solids[3:], "stress")]
    with pytest.raises(
        MissingDataError, match=r"Missing stress in 2 image.*stress_coefficient=None"
    ):
        make_calc(elements="CuPd", loss={"stress_coefficient": 1.0}).train(images)


def test_a_full_stress_matrix_serves_as_well(make_calc, solids):
    matrices = []
    for image in solids:
        atoms = image.copy()
        full = image.get_stress(voigt=False)
        atoms.calc = SinglePointCalculator(
            atoms, energy=image.get_potential_energy(), forces=image.get_forces(), stress=full
        )
        matrices.append(atoms)
    calc = make_calc(elements="CuPd", loss={"stress_coefficient": 1.0})
    expected = prepare(calc.descriptor, calc.model, solids).references.stresses
    assert_array_equal(prepare(calc.descriptor, calc.model, matrices).references.stresses, expected)


@pytest.mark.parametrize(
    "loss",
    [
        {"convergence": {"force_rmse": 0.1}, "accept_missing": True},
        {"convergence": {"force_maxresid": 0.1, "energy_rmse": None}, "accept_missing": True},
    ],
)
def test_criteria_of_what_no_image_has_are_refused(make_calc, waters, loss):
    images = without_results(waters, "forces")
    with pytest.raises(MissingDataError, match=r"force_.* would hold at once"):
        make_calc(loss=loss).train(images)


def test_the_default_criterion_is_refused_where_no_image_has_an_energy(make_calc, waters):
    images = without_results(waters, "energy")
    loss = {"convergence": {"energy_rmse": 0.001}, "accept_missing": True}
    with pytest.raises(MissingDataError, match="energy_rmse would hold at once"):
        make_calc(loss=loss).train(images)


def test_nothing_to_train_on_is_told(make_calc, waters):
    images = without_results(waters, "forces")
    loss = {"energy_coefficient": None, "convergence": {}}
    with pytest.raises(ParameterError, match="nothing to train on"):
        make_calc(loss=loss).train(images)


# -- without the calculator ------------------------------------------------------------------------


def test_train_returns_the_terms_of_the_parameters_that_are_kept(make_calc, waters):
    calc = make_calc(loss=EASY)
    terms = train(calc.descriptor, calc.model, waters, RunFiles("calc"), threads=1)
    energies, _ = results(calc, waters)
    reference = np.array([image.get_potential_energy() for image in waters])
    expected = np.sqrt(np.mean((energies - reference) ** 2)) / 3
    assert_allclose(terms.energy_rmse, expected, rtol=1e-10)


def test_prepare_takes_hashed_images_and_writes_no_file(make_calc, waters):
    calc = make_calc()
    data = prepare(calc.descriptor, calc.model, hash_images(waters))
    assert list(data.images) == list(data.references.keys) == [get_hash(a) for a in waters]
    assert files() == []


def test_the_default_regressor_serves_where_none_is_given(make_calc, waters):
    calc = make_calc(loss=EASY)
    calc.model.regressor = None
    calc.train(waters)
    assert "Optimizer: L-BFGS-B" in Path("calc-log.txt").read_text()


@pytest.mark.parametrize("optimizer", ["L-BFGS-B", "CG", "TNC", "Newton-CG", "Nelder-Mead"])
def test_every_optimizer_lowers_the_loss(make_calc, waters, optimizer):
    loss = {"convergence": {"energy_rmse": 1e-9}, "maxiter": 120}
    train_until_limit(make_calc(optimizer=optimizer, loss=loss), waters)
    values = [float(row[2]) for row in steps()]
    assert min(values) < values[0]


def test_old_scripts_may_assign_loss_and_regressor_later(make_calc, waters):
    calc = make_calc()
    calc.model.lossfunction = LossFunction(**EASY)
    calc.model.regressor = Regressor(optimizer="L-BFGS-B")
    calc.train(images=waters)
    assert "format" in read_potential("calc.amp")


def test_components_of_stress_that_are_nan_do_not_count(tmp_path):
    images = [atoms.copy() for atoms in (bulk("Cu", a=3.6), bulk("Cu", a=3.7))]
    for atoms in images:
        atoms.calc = EMT()
        results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces")}
        stress = atoms.get_stress()
        stress[[2, 3]] = np.nan
        atoms.calc = SinglePointCalculator(atoms, stress=stress, **results)
    loss = LossFunction(
        stress_coefficient=100.0, convergence={"stress_rmse": 1e9, "energy_rmse": 1e9}
    )
    calc = Amp(
        Gaussian(cutoff=4.0),
        NeuralNetwork((2,), lossfunction=loss, randomseed=0),
        str(tmp_path / "x"),
    )
    calc.train(images)
    residual = [
        calc.get_property("stress", atoms) - atoms.calc.results["stress"] for atoms in images
    ]
    expected = np.sqrt(np.nanmean(np.square(residual)))
    assert loss.latest.stress_rmse == pytest.approx(expected, rel=1e-10)


def test_going_on_takes_ranges_and_scalings_from_the_check_point(make_calc, waters):
    first = train_until_limit(make_calc(), waters)
    best = min(float(row[2]) for row in steps())
    wider = {
        element: [(low - 5.0, high + 7.0) for low, high in ranges]
        for element, ranges in first.model.parameters.fprange.items()
    }
    n_before = len(steps())
    again = train_until_limit(make_calc(fprange=wider, loss={"maxiter": 14}), waters)
    assert float(steps()[n_before][2]) == pytest.approx(best, rel=1e-4)
    assert again.model.parameters.fprange == first.model.parameters.fprange


def test_a_full_disk_at_a_check_point_does_not_end_a_training(make_calc, waters, monkeypatch):
    from amp.core.errors import OutputWriteError
    from amp.training import trainer

    def full(path, *arguments):
        raise OutputWriteError(f"{path} cannot be written: No space left on device.")

    monkeypatch.setattr(trainer, "write_checkpoint", full)
    calc = train_until_limit(make_calc(), waters)
    assert len(steps()) == 8
    assert calc.model.vector.size
    assert Path("calc-log.txt").read_text().count("Check point not written") >= 2
    assert not Path("calc-checkpoint.amp").exists()


def test_what_a_killed_run_left_half_written_is_removed(make_calc, waters):
    leftover, other = Path(".calc-checkpoint.amp.0123.tmp"), Path(".calc2-checkpoint.amp.45.tmp")
    leftover.write_text("half")
    other.write_text("of another label")
    train_until_limit(make_calc(), waters)
    assert not leftover.exists()
    assert other.exists()


def test_no_file_is_written_when_there_is_no_such_device(make_calc, waters):
    pytest.importorskip("torch")
    with pytest.raises(ParameterError, match="available"):
        make_calc(device="nonsense").train(waters)
    assert files() == []
