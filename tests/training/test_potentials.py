"""Potential files: what they keep, how they are written, and the text format of Amp 1.0.1."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose, assert_array_equal

import amp
from amp import Amp
from amp.core.errors import AmpFileError, OutputExistsError, TrainingConvergenceError
from amp.descriptor.cutoffs import Polynomial
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.training import prepare, read_potential, write_potential


@pytest.fixture
def calc(make_calc, waters):
    """A calculator that has random parameters but could be used."""
    calc = make_calc()
    prepare(calc.descriptor, calc.model, waters)
    return calc


def energy_and_forces(calc, atoms):
    atoms = atoms.copy()
    atoms.calc = calc
    return atoms.get_potential_energy(), atoms.get_forces()


def test_a_saved_potential_gives_the_same_results_bit_for_bit(calc):
    assert calc.save("water.amp") == "water.amp"
    loaded = Amp.load("water.amp", label="again")
    assert loaded.label == "again"
    for one, other in zip(
        energy_and_forces(loaded, molecule("H2O")),
        energy_and_forces(calc, molecule("H2O")),
        strict=True,
    ):
        assert_array_equal(one, other)


def test_saving_what_was_loaded_writes_the_same_file(calc):
    calc.save("one.amp")
    Amp.load("one.amp").save("two.amp")
    assert Path("one.amp").read_bytes() == Path("two.amp").read_bytes()


def test_settings_of_descriptor_and_model_come_back(waters, make_calc):
    make_calc()
    model = NeuralNetwork({"H": (2,), "O": (3, 3)}, "silu", output="activation", randomseed=9)
    descriptor = Gaussian(Polynomial(5.0, gamma=3.0))
    prepare(descriptor, model, waters)
    write_potential("other.amp", descriptor, model)
    loaded = Amp.load("other.amp")
    assert loaded.descriptor.to_dict() == descriptor.to_dict()
    assert loaded.model.parameters.hiddenlayers == {"H": (2,), "O": (3, 3)}
    assert loaded.model.parameters.activation == "silu"
    assert loaded.model.parameters.output == "activation"
    assert loaded.model.parameters.randomseed == 9


def test_a_file_says_what_it_is_and_who_wrote_it(calc):
    calc.save("water.amp")
    data = json.loads(Path("water.amp").read_text())
    assert data["format"] == "amp-potential"
    assert data["format_version"] == 1
    assert data["amp_version"] == amp.__version__
    assert data["descriptor"]["kind"] == "gaussian"
    assert data["model"]["kind"] == "neuralnetwork"


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_an_open_file_can_be_loaded(calc, mode):
    calc.save("water.amp")
    with open("water.amp", mode) as file:
        loaded = Amp.load(file)
    assert_array_equal(loaded.model.vector, calc.model.vector)
    stream = io.StringIO(Path("water.amp").read_text())
    assert_array_equal(Amp.load(stream).model.vector, calc.model.vector)


def test_a_path_object_serves_as_well(calc):
    calc.save(Path("water.amp"))
    assert_array_equal(Amp.load(Path("water.amp")).model.vector, calc.model.vector)


def test_a_calculator_without_parameters_can_be_saved_and_trained_later(make_calc, waters):
    make_calc().save("raw.amp")
    loaded = Amp.load("raw.amp", label="trained", cores=1)
    loaded.model.lossfunction.maxiter = 3
    with pytest.raises(TrainingConvergenceError):
        loaded.train(waters)
    assert np.isfinite(loaded.model.vector).all()


def test_saving_over_a_file_needs_overwrite(calc):
    Path("there.amp").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"there.amp exists already.*overwrite=True"):
        calc.save("there.amp")
    assert Path("there.amp").read_text() == "precious"
    calc.save("there.amp", overwrite=True)
    Amp.load("there.amp")


def test_a_missing_file_is_a_file_not_found_error(make_calc):
    make_calc()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.amp"):
        Amp.load("nowhere.amp")


def test_classes_of_the_user_take_the_place_of_those_in_the_file(calc):
    class Mine(NeuralNetwork):
        pass

    calc.save("water.amp")
    assert type(Amp.load("water.amp", Model=Mine).model) is Mine


def test_an_unknown_kind_is_told_with_what_to_do(calc):
    calc.save("water.amp")
    data = json.loads(Path("water.amp").read_text())
    data["model"]["kind"] = "kernelridge"
    Path("water.amp").write_text(json.dumps(data))
    with pytest.raises(AmpFileError, match=r"no model called 'kernelridge'.*Give Model= to load"):
        Amp.load("water.amp")


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file_whole_and_nothing_else(calc, monkeypatch, failing):
    calc.save("water.amp")
    before = Path("water.amp").read_bytes()
    calc.model.vector = calc.model.vector + 1.0

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            calc.save("water.amp", overwrite=True)
    assert Path("water.amp").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["water.amp"]


def test_an_interrupt_while_writing_leaves_the_old_check_point(make_calc, waters, monkeypatch):
    calc = make_calc(loss={"maxiter": 50}, checkpoints=3)
    real, calls = os.replace, []

    def interrupted(*arguments):
        calls.extend(target for target in arguments[1:] if str(target).endswith(".amp"))
        if len(calls) == 3:  # initial parameters, first check point, second
            raise KeyboardInterrupt
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises((OSError, KeyboardInterrupt)):
            calc.train(waters)
    state = read_potential("calc-checkpoint.amp")["checkpoint"]
    assert state["step"] == 3
    assert sorted(path.name for path in Path().iterdir()) == [
        "calc-checkpoint.amp",        "calc-initial-parameters.amp", "calc-log.txt",
    ]  # fmt: skip


def test_parameters_that_are_not_finite_are_not_written(calc):
    vector = calc.model.vector
    vector[3] = np.nan
    calc.model.vector = vector
    with pytest.raises(ValueError, match="holds nan"):
        calc.save("water.amp")
    assert not Path("water.amp").exists()


# -- Amp 1.0.1 -------------------------------------------------------------------------------------


def test_files_of_amp_1_load_and_give_its_energies_and_forces(conformance_case):
    calc = Amp.load(conformance_case.potential)
    for i, atoms in enumerate(conformance_case.images):
        energy, forces = energy_and_forces(calc, atoms)
        expected = conformance_case.expected
        assert_allclose(energy, expected[f"{i}/energy"], rtol=1e-10)
        assert_allclose(forces, expected[f"{i}/forces"], rtol=1e-8, atol=1e-9)


def test_files_of_amp_1_become_files_of_ours(conformance_case, tmp_path):
    calc = Amp.load(conformance_case.potential)
    calc.save(tmp_path / "new.amp")
    again = Amp.load(tmp_path / "new.amp")
    assert_array_equal(again.model.vector, calc.model.vector)
    atoms = conformance_case.images[0]
    assert energy_and_forces(again, atoms)[0] == energy_and_forces(calc, atoms)[0]


def test_files_of_amp_1_can_be_trained_further(conformance_case, make_calc, waters):
    make_calc()
    calc = Amp.load(conformance_case.potential, label="further", cores=1)
    before = calc.model.vector
    calc.model.lossfunction = LossFunction(convergence={"energy_rmse": 1e-9}, maxiter=12)
    images = []
    for i, atoms in enumerate(conformance_case.images[:2]):
        image = atoms.copy()
        energy = float(conformance_case.expected[f"{i}/reference_energy"]) + 1.0
        forces = conformance_case.expected[f"{i}/reference_forces"]
        image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
        images.append(image)
    with pytest.raises(TrainingConvergenceError):
        calc.train(images)
    assert_array_equal(Amp.load("further-initial-parameters.amp").model.vector, before)
    assert np.any(calc.model.vector != before)
