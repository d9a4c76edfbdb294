"""Wrong input: every mistake gives an error that says what it is, where it is, and what to do."""

import contextlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from amp import Amp
from amp.core.errors import (
    AmpError,
    AmpFileError,
    ConflictingImagesError,
    ImageError,
    LabelInUseError,
    MissingDataError,
    OutputExistsError,
    OutputWriteError,
    ParameterError,
    UnknownNameError,
    UnsupportedElementError,
)
from amp.core.images import get_hash
from amp.descriptor.cutoffs import Polynomial, dict2cutoff
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor
from amp.training import prepare

FUNCTIONS = make_symmetry_functions(["H", "O"], "G2", [0.5, 4.0])
CONFORMANCE = Path(__file__).parent / "data" / "amp-1.0.1"


def image(seed=0, symbols=None, **results):
    """A water molecule with an energy and forces, or those given; None leaves one out."""
    atoms = molecule("H2O")
    if symbols is not None:
        atoms.symbols = symbols
    atoms.rattle(0.05, seed=seed)
    found = {"energy": float(seed), "forces": np.full((3, 3), 0.1), **results}
    found = {name: value for name, value in found.items() if value is not None}
    atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms


def waters(n_images=4):
    return [image(seed) for seed in range(n_images)]


def calculator(**settings):
    model = NeuralNetwork(
        (2,),
        randomseed=1,
        lossfunction=LossFunction(convergence={"energy_rmse": 1e3}),
        regressor=Regressor("BFGS"),
    )
    return Amp(Gaussian(4.0, FUNCTIONS, **settings), model, label="run", cores=1)


def trained():
    calc = calculator()
    prepare(calc.descriptor, calc.model, waters())
    return calc


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    """The bytes of a good potential file."""
    path = tmp_path_factory.mktemp("potential") / "good.amp"
    trained().save(path)
    return path.read_bytes()


def assert_nothing_was_written():
    """Nothing but a log says that there was a training."""
    left = {path.name for path in Path().iterdir()}
    assert left <= {"run-log.txt"}


def names(error, *indices):
    """Tell whether an error names images by index and key."""
    text = str(error.value)
    return all(f"{i}" in text and get_hash(waters(i + 1)[i])[:8] in text for i in indices)


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [[], (), {}, iter([])], ids=["list", "tuple", "dict", "iter"])
def test_no_images(images):
    with pytest.raises(ImageError, match=r"There are no images: the list or file given is empty"):
        calculator().train(images)
    assert_nothing_was_written()


@pytest.mark.parametrize("images", [3, 2.5, None, True], ids=repr)
def test_images_that_are_none(images):
    with pytest.raises(
        TypeError, match=f"Images are Atoms, paths or a list of these, not {images}"
    ):
        calculator().train(images)
    assert_nothing_was_written()


@pytest.mark.parametrize("images", [[1, 2], [waters(1)[0], None], [waters(2)]], ids=str)
def test_a_list_of_other_things(images):
    with pytest.raises(TypeError, match=r"Item \d of the images is neither Atoms nor a path but"):
        calculator().train(images)


def test_a_file_of_images_that_does_not_exist():
    with pytest.raises(FileNotFoundError, match=r"There is no file 'waters\.traj' to read images"):
        calculator().train("waters.traj")
    assert_nothing_was_written()


def test_a_file_of_images_that_is_no_such_file():
    Path("waters.xyz").write_text("Dear diary,\n")
    with pytest.raises(ImageError, match=r"cannot read images from 'waters\.xyz'"):
        calculator().train("waters.xyz")


def test_an_image_without_atoms():
    empty = Atoms()
    empty.calc = SinglePointCalculator(empty, energy=0.0, forces=np.empty((0, 3)))
    with pytest.raises(ImageError, match=r"image 1 \(\w{8}\): it has no atoms"):
        calculator().train([waters(1)[0], empty])


def test_a_structure_with_two_energies_is_named_with_both():
    images = waters(4)
    again = images[1].copy()
    again.calc = SinglePointCalculator(again, energy=7.5, forces=images[1].get_forces())
    with pytest.raises(ConflictingImagesError) as error:
        calculator().train([*images, again])
    message = str(error.value)
    assert "images [1, 4]" in message
    assert get_hash(again) in message
    assert "energy [1.0, 7.5] eV" in message
    assert "keep those" in message
    assert_nothing_was_written()


def test_a_structure_with_two_kinds_of_forces_is_named():
    images = waters(2)
    again = images[0].copy()
    again.calc = SinglePointCalculator(again, energy=0.0, forces=np.zeros((3, 3)))
    with pytest.raises(ConflictingImagesError, match=r"images \[0, 2\].*forces.*0\.1 eV/Å"):
        calculator().train([*images, again])


@pytest.mark.parametrize("name", ["energy", "forces"])
def test_missing_results_are_counted_and_listed(name):
    images = waters(5)
    for i in (1, 3):
        images[i] = image(i, **{name: None})
    with pytest.raises(MissingDataError, match=rf"Missing {name} in 2 image\(s\)") as error:
        calculator().train(images)
    assert names(error, 1, 3)
    assert not names(error, 2)
    assert "Compute these images" in str(error.value)
    assert_nothing_was_written()


def test_images_without_a_calculator_are_missing_everything():
    images = waters(2)
    images[1].calc = None
    with pytest.raises(MissingDataError, match=r"energy in 1 image.*\n.*no calculator"):
        calculator().train(images)


def test_images_that_were_moved_after_their_calculation_are_missing_everything():
    images = waters(2)
    images[1].positions[0] += 0.1
    with pytest.raises(MissingDataError, match="changed after its calculation"):
        calculator().train(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["energy", "forces"])
def test_results_that_are_not_finite_count_as_missing(name, value):
    images = waters(3)
    spoiled = {"energy": value} if name == "energy" else {"forces": np.full((3, 3), value)}
    images[2] = image(2, **spoiled)
    with pytest.raises(MissingDataError, match=rf"Missing {name} in 1 image.*\n.*not finite") as e:
        calculator().train(images)
    assert names(e, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["positions", "cell"])
def test_structures_that_are_not_finite_are_all_named(what, value):
    images = waters(4)
    for i in (1, 2):
        getattr(images[i], what)[2, 1] = value
    with pytest.raises(ImageError, match=r"2 image\(s\) cannot be used; repair them") as error:
        calculator().train(images)
    message = str(error.value)
    assert "image 1 (" in message
    assert "image 2 (" in message
    assert "image 3 (" not in message
    assert ("atom 2 (H)" if what == "positions" else "cell vector 2") in message
    assert_nothing_was_written()


def test_atoms_on_top_of_each_other_are_named_with_their_images():
    images = waters(4)
    for i in (0, 2):
        images[i].positions[1] = images[i].positions[2]
        images[i].calc = SinglePointCalculator(images[i], energy=0.0, forces=np.zeros((3, 3)))
    with pytest.raises(ImageError, match=r"2 images cannot be used") as error:
        calculator().train(images)
    message = str(error.value)
    for i in (0, 2):
        assert f"Image {i} ({get_hash(images[i])[:8]})" in message
    assert "Image 1" not in message
    assert "1" in message
    assert "2" in message


@pytest.mark.parametrize("stranger", ["S", "Se"])
def test_an_element_that_the_descriptor_was_not_told_of(stranger):
    images = [*waters(2), image(2, symbols=[stranger, "H", "H"]), image(3)]
    calc = calculator(elements=["H", "O"])
    with pytest.raises(UnsupportedElementError) as error:
        calc.train(images)
    message = str(error.value)
    assert f"contain {stranger}" in message
    assert "H, O" in message
    assert "Make a Gaussian with these elements too" in message
    assert f"{stranger} in 2 ({get_hash(images[2])[:8]})" in message
    assert_nothing_was_written()


def test_an_element_that_the_symmetry_functions_lack():
    functions = {"H": FUNCTIONS}
    calc = Amp(Gaussian(4.0, functions), NeuralNetwork((2,)), label="run")
    with pytest.raises(ParameterError, match=r"No symmetry functions \(Gs\) for O.*Add a list"):
        calc.train(waters())
    with pytest.raises(ParameterError, match=r"No symmetry functions \(Gs\) for O"):
        Gaussian(4.0, functions, elements=["H", "O"])


def test_an_element_that_a_trained_potential_does_not_know():
    calc = trained()
    with pytest.raises(UnsupportedElementError, match=r"contain S.*set up for H, O"):
        calc.train([*waters(), image(9, symbols="SH2")])
    atoms = image(symbols="SH2")
    atoms.calc = calc
    with pytest.raises(UnsupportedElementError, match=r"contains S.*knows only H, O.*Train a pot"):
        atoms.get_potential_energy()


def test_hidden_layers_that_lack_an_element():
    calc = calculator()
    calc.model = NeuralNetwork({"H": (2,)}, lossfunction=calc.model.lossfunction)
    with pytest.raises(ParameterError, match=r"hiddenlayers .* lack O.*Add hiddenlayers\['O'\]"):
        calc.train(waters())


def test_weights_of_a_wrong_shape():
    p = trained().model.parameters
    weights = {"H": {**p.weights["H"], 1: np.zeros((7, 2))}, "O": p.weights["O"]}
    calc = calculator()
    calc.model = NeuralNetwork((2,), weights=weights, lossfunction=calc.model.lossfunction)
    message = r"weights\['H'\]\[1\] has shape \(7, 2\), but must be \(4 \+ 1, 2\)"
    with pytest.raises(ParameterError, match=message):
        calc.train(waters())


# -- prediction ------------------------------------------------------------------------------------


def test_an_untrained_potential_cannot_predict():
    atoms = molecule("H2O")
    atoms.calc = calculator()
    with pytest.raises(ParameterError, match="train it"):
        atoms.get_potential_energy()
    atoms.calc = Amp(trained().descriptor, NeuralNetwork())
    with pytest.raises(ParameterError, match="no parameters yet: train it, load"):
        atoms.get_potential_energy()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predicting_for_positions_that_are_not_finite(value):
    atoms = molecule("H2O")
    atoms.positions[1, 0] = value
    atoms.calc = trained()
    with pytest.raises(ImageError, match=r"(?i)atom.*1"):
        atoms.get_potential_energy()


def test_predicting_for_atoms_on_top_of_each_other():
    atoms = molecule("H2O")
    atoms.positions[1] = atoms.positions[0]
    atoms.calc = trained()
    with pytest.raises(ImageError, match=r"0.*1"):
        atoms.get_forces()


def test_predicting_for_no_atoms():
    atoms = Atoms()
    atoms.calc = trained()
    with pytest.raises(ImageError, match="no atoms"):
        atoms.get_potential_energy()


def test_a_bad_structure_leaves_the_calculator_usable():
    calc = trained()
    good, bad = molecule("H2O"), molecule("H2O")
    bad.positions[:] = np.nan
    good.calc = bad.calc = calc
    expected = good.get_potential_energy()
    with pytest.raises(ImageError):
        bad.get_potential_energy()
    assert good.get_potential_energy() == expected


def test_a_vector_of_wrong_length():
    calc = trained()
    n = len(calc.model.vector)
    with pytest.raises(ParameterError, match=f"has {n} parameters; the vector has shape"):
        calc.model.vector = np.zeros(n + 1)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "wrong", "right"),
    [
        (lambda: NeuralNetwork(activation="than"), "than", "tanh"),
        (lambda: Regressor("LBFGS-B"), "LBFGS-B", "L-BFGS-B"),
        (lambda: Gaussian({"name": "Cosinus", "kwargs": {"Rc": 6.0}}), "Cosinus", "Cosine"),
        (lambda: dict2cutoff({"name": "polynomial", "kwargs": {}}), "polynomial", "Polynomial"),
    ],
)
def test_unknown_names_are_told_with_the_nearest_known_one(make, wrong, right):
    with pytest.raises(UnknownNameError) as error:
        make()
    assert f"called {wrong!r}" in str(error.value)
    assert f"Did you mean {right!r}?" in str(error.value)
    assert isinstance(error.value, KeyError)


def test_an_unknown_criterion_is_told_with_the_nearest_known_one():
    message = r"no convergence criterion 'energy_rsme'; known: .*Did you mean 'energy_rmse'"
    with pytest.raises(ParameterError, match=message):
        LossFunction(convergence={"energy_rsme": 0.1})


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "1", True, [1.0]], ids=repr)
@pytest.mark.parametrize(
    "name", ["energy_coefficient", "force_coefficient", "stress_coefficient", "overfit"]
)
def test_coefficients_that_are_none(name, value):
    with pytest.raises(ParameterError, match=f"{name} must be a finite number, not negative"):
        LossFunction(**{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zeta": 0.5}, "zeta is 0.5; below 1 forces are not finite"),
        ({"eta": np.nan}, "eta is nan, not a finite number"),
        ({"eta": "4"}, "eta is '4', not a finite number"),
        ({"type": "G3"}, "type is 'G3'; known: G2, G4, G5"),
        ({"elements": ["H"]}, "not a pair of symbols"),
        ({"elements": ["H", "Hx"]}, "not a pair of symbols"),
        ({"omega": 1.0}, "G4 does not know omega"),
    ],
)
def test_symmetry_functions_that_make_no_sense_are_named(change, message):
    good = make_symmetry_functions(["H"], "G4", [0.005], zetas=[1.0], gammas=[1.0])[0]
    functions = {"H": [good, {**good, **change}], "O": [good]}
    with pytest.raises(ParameterError, match=rf"Gs\['H'\]\[1\]: .*{message}"):
        Gaussian(4.0, functions, elements=["H", "O"])


@pytest.mark.parametrize("functions", [[3], ["G2"], [None]], ids=repr)
def test_symmetry_functions_that_are_no_dictionaries(functions):
    with pytest.raises(ParameterError, match=r"Gs\['H'\]\[0\]: it is .*, not a dict"):
        Gaussian(4.0, {"H": functions}, elements=["H"])


def test_a_neighbor_that_is_no_element():
    function = {"type": "G2", "element": "Oxygen", "eta": 1.0}
    with pytest.raises(ParameterError, match="element is 'Oxygen', not a chemical symbol"):
        Gaussian(4.0, {"H": [function]}, elements=["H"])


@pytest.mark.parametrize("elements", ["Cu", ["Cu", "Xy"], [], [29]], ids=repr)
def test_elements_that_are_none(elements):
    with pytest.raises(ParameterError, match="elements is a list of chemical symbols"):
        Gaussian(4.0, elements=elements)


@pytest.mark.parametrize("cutoff", [0.0, -6.5, np.nan, np.inf, "6.5", None, True], ids=repr)
def test_cutoffs_that_are_none(cutoff):
    with pytest.raises(ParameterError, match=r"(?i)a cutoff .*Å"):
        Gaussian(cutoff)


@pytest.mark.parametrize("gamma", [0.0, -1.0, np.nan])
def test_a_polynomial_that_is_no_cutoff(gamma):
    with pytest.raises(ParameterError, match="gamma must be positive"):
        Polynomial(6.0, gamma=gamma)


@pytest.mark.parametrize("checkpoints", [2.5, "100", True], ids=repr)
def test_check_points_that_are_no_number_of_steps(checkpoints):
    with pytest.raises(ParameterError, match="checkpoints is a whole number of steps, or None"):
        NeuralNetwork(checkpoints=checkpoints)


class Thing:
    """Neither descriptor nor model."""


@pytest.mark.parametrize(
    ("descriptor", "model", "message"),
    [
        (Gaussian, NeuralNetwork((2,)), r"descriptor is the class Gaussian; .*: Gaussian\(\)"),
        (Gaussian(), NeuralNetwork, r"model is the class NeuralNetwork; .*: NeuralNetwork\(\)"),
        (NeuralNetwork((2,)), Gaussian(), r"It is a model: write Amp\(descriptor, model\)"),
        (Gaussian(), Gaussian(), r"model cannot be .*Gaussian.*It is a descriptor"),
        ("gaussian", NeuralNetwork((2,)), r"descriptor cannot be 'gaussian', which lacks prepare"),
        (Gaussian(), None, r"model cannot be None, which lacks initialize.*NeuralNetwork\(\)"),
        (Gaussian(), Thing(), r"of the class Thing, which lacks initialize, restore, evaluate"),
    ],
)
def test_parts_of_a_wrong_kind(descriptor, model, message):
    with pytest.raises(ParameterError, match=message):
        Amp(descriptor, model)


@pytest.mark.parametrize("loss", [None, "rmse", LossFunction, Regressor()], ids=repr)
def test_loss_functions_that_are_none(loss):
    calc = calculator()
    calc.model.lossfunction = loss
    with pytest.raises(ParameterError, match=r"model\.lossfunction (is|cannot be) "):
        calc.train(waters())
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("regressor", [3, Regressor, LossFunction()], ids=repr)
def test_regressors_that_are_none(regressor):
    calc = calculator()
    calc.model.regressor = regressor
    with pytest.raises(ParameterError, match=r"model\.regressor (is|cannot be) .*Regressor\("):
        calc.train(waters())
    assert list(Path().iterdir()) == []


def test_a_regressor_may_be_the_name_of_an_optimizer():
    calc = calculator()
    calc.model.regressor = "L-BFSG-B"
    with pytest.raises(UnknownNameError, match="Did you mean 'L-BFGS-B'"):
        calc.train(waters())
    calc.model.regressor = "CG"
    calc.train(waters())
    assert "Optimizer: CG" in Path("run-log.txt").read_text()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, "A label is a text or a path, .*; got 3"),
        (b"run", "A label is a text or a path"),
        ("results/", r"'results/' names a folder only.*'results/amp'"),
        ("water.amp", r"ends in \.amp.*Use 'water'; .*Amp\.load\('water\.amp'\)"),
    ],
)
def test_labels_that_are_none(label, message):
    with pytest.raises(ParameterError, match=message):
        Amp(Gaussian(), NeuralNetwork(), label=label)
    calc = calculator()
    with pytest.raises(ParameterError, match=message):
        calc.label = label
    assert calc.label == "run"


@pytest.mark.parametrize(
    "cores",
    ["2", "tcp://node1:5000", 0, -1, 2.0, True, {}, {"localhost": 0}, {3: 3}, [2]],
    ids=repr,
)
def test_cores_that_are_none(cores):
    with pytest.raises(ParameterError, match="cores is a number of at least 1"):
        Amp(Gaussian(), NeuralNetwork(), cores=cores)


@pytest.mark.parametrize("cores", [None, 1, np.int64(2), {"localhost": 2, "node1": 4}], ids=repr)
def test_cores_that_are_some(cores):
    kept = Amp(Gaussian(), NeuralNetwork(), cores=cores).cores
    assert kept == cores
    assert type(kept) in (int, dict, type(None))


def test_calculating_without_atoms():
    calc = trained()
    with pytest.raises(ParameterError, match=r"no atoms to calculate: give them"):
        calc.get_potential_energy()
    atoms = waters(1)[0]
    assert calc.get_potential_energy(atoms) == calc.get_potential_energy()


# -- files -----------------------------------------------------------------------------------------


def test_a_label_whose_folder_cannot_be_made():
    Path("results").write_text("a file")
    calc = calculator()
    calc.label = "results/run"
    with pytest.raises(OutputWriteError, match=r"folder results .*'results/run' cannot be made"):
        calc.train(waters())


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder that nobody can write")
def test_a_label_whose_folder_cannot_be_written():
    calc = calculator()
    calc.label = "/proc/self/run"
    with pytest.raises(OutputWriteError, match="cannot be"):
        calc.train(waters())


def test_a_log_that_is_a_folder():
    Path("run-log.txt").mkdir()
    with pytest.raises(OutputWriteError, match=r"run-log\.txt cannot be written"):
        calculator().train(waters())


def test_existing_output():
    calculator().train(waters())
    with pytest.raises(OutputExistsError, match=r"run\.amp exists already.*overwrite=True"):
        calculator().train(waters())
    calculator().train(waters(), overwrite=True)


def load(raw):
    """Load a potential from bytes."""
    return Amp.load(io.BytesIO(raw))


@pytest.mark.parametrize("ending", ["", "\n", " "])
def test_an_empty_potential_file(ending):
    Path("empty.amp").write_text(ending)
    with pytest.raises(AmpFileError, match=r"empty\.amp is empty; it is not a potential file"):
        Amp.load("empty.amp")


def test_a_potential_file_cut_short_anywhere(potential):
    whole = potential.rstrip()
    lengths = {*range(0, 200), *range(0, len(whole), 61), *range(len(whole) - 50, len(whole))}
    for length in lengths:
        with pytest.raises(AmpFileError):
            load(whole[:length])


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CONFORMANCE.glob("*/*.amp")))
def test_an_old_potential_file_cut_short_anywhere(case):
    whole = (CONFORMANCE / case / "model.amp").read_bytes().rstrip()
    for length in {*range(0, len(whole), 613), *range(len(whole) - 20, len(whole))}:
        with pytest.raises(AmpFileError):
            load(whole[:length])


def test_a_file_cut_short_is_told_with_its_name_and_what_to_do(potential):
    Path("cut.amp").write_bytes(potential[:2000])
    with pytest.raises(
        AmpFileError, match=r"cut\.amp cannot be read.*damaged or cut short.*Use a copy"
    ):
        Amp.load("cut.amp")


@pytest.mark.parametrize(
    "change",
    [{"format_version": 2}, {"format_version": 10**9}, {"format_version": "2"}],
)
def test_a_potential_file_of_a_newer_version(potential, change):
    data = {**json.loads(potential), **change, "amp_version": "9.1"}
    with pytest.raises(AmpFileError, match=r"written by Amp 9\.1.*Update Amp"):
        load(json.dumps(data).encode())


@pytest.mark.parametrize("part", ["descriptor", "model"])
def test_a_potential_file_with_a_part_of_a_newer_version(potential, part):
    data = json.loads(potential)
    data[part]["version"] = 2
    with pytest.raises(AmpFileError, match=f"{part} .*version 2.*Update Amp"):
        load(json.dumps(data).encode())


OTHER_FILES = {
    "other JSON": b'{"energies": [1.0, 2.0]}',
    "a JSON list": b"[1, 2, 3]",
    "a JSON number": b"3.5",
    "text": b"Dear diary,\nit rained.\n",
    "code": b"__import__('os').system('touch hacked')",
    "binary": bytes(range(256)) * 10,
    "zeros": bytes(1000),
    "a zip": b"PK\x03\x04" + bytes(100),
    "a pickle": pickle.dumps({"descriptor": 1, "model": 2}),
    "an old pickle": pickle.dumps({"descriptor": 1, "model": 2}, protocol=0),
    "a dictionary": b"{'descriptor': 3, 'model': [1]}",
    "dictionaries in dictionaries": b"{'descriptor': {'a': 1}, 'model': {}}",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a long number": b'{"format": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"format": NaN}',
    "marks of order": "\ufeff{}".encode("utf-16"),
    "lone surrogates": b'{"format": "\\ud800"}',
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "xyz": b"3\n\nH 0 0 0\nH 0 0 1\nO 0 1 0\n",
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_files_that_are_no_potentials(kind):
    Path("other.amp").write_bytes(OTHER_FILES[kind])
    with pytest.raises(AmpFileError, match=r"other\.amp"):
        Amp.load("other.amp")
    assert [path.name for path in Path().iterdir()] == ["other.amp"]


def test_a_folder_is_no_potential(folder):
    Path("folder.amp").mkdir()
    with pytest.raises(IsADirectoryError, match=r"'folder\.amp' is a folder.*Give the") as caught:
        Amp.load("folder.amp")
    assert repr(str(folder)) in str(caught.value)


def test_a_potential_that_does_not_exist(folder):
    with pytest.raises(FileNotFoundError, match=r"No such file .*'run\.amp'.*Check the") as caught:
        Amp.load("run.amp")
    assert f"(working folder: {str(folder)!r})" in str(caught.value)
    Path("run-untrained-parameters.amp").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"There is 'run-untrained-parameters\.amp'\."):
        Amp.load("run.amp")
    Path("run.amp").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"There is 'run\.amp' and 'run-untrained"):
        Amp.load(Path("run"))


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("forces", ["force_coefficient=None", "accept_missing=True"]),
        ("energy", ["Compute these images or leave them out."]),
    ],
)
def test_missing_results_are_told_with_what_to_do(lacking, words):
    calc = calculator()
    with pytest.raises(MissingDataError) as caught:
        calc.train([*waters(2), image(2, **{lacking: None})])
    assert all(word in str(caught.value) for word in words)
    assert ("None" in str(caught.value)) == (lacking == "forces")


HOSTILE = [
    "__import__('os').system('touch hacked')",
    "open('hacked', 'w')",
    "eval(\"open('hacked','w')\")",
    "(lambda: open('hacked', 'w'))()",
    "[x for x in ().__class__.__base__.__subclasses__()]",
    "9**9**9",
    "'a' * 10**9",
    "array(10**10 * [0])",
    "np.load('hacked')",
    "OrderedDict(__class__=1).__reduce__()",
]


@pytest.mark.parametrize("where", ["outer", "descriptor", "model", "inner"])
@pytest.mark.parametrize("expression", HOSTILE)
def test_an_old_file_with_a_hostile_expression_runs_nothing(expression, where):
    text = (CONFORMANCE / "energyonly-cosine-tinycell-Cu" / "model.amp").read_text()
    if where == "outer":
        text = expression
    elif where == "inner":
        text = text.replace("'tanh'", expression).replace("\\'tanh\\'", expression)
    else:
        text = repr({"descriptor": "{}", "model": "{}", where: expression})
    with pytest.raises(AmpFileError):
        load(text.encode())
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("key", ["hiddenlayers", "activation", "weights", "scalings", "fprange"])
def test_an_old_file_that_lacks_a_setting(key):
    text = (CONFORMANCE / "energyonly-cosine-tinycell-Cu" / "model.amp").read_text()
    changed = text.replace(f"{key}=", f"{key}s=")
    assert changed != text
    with pytest.raises(AmpFileError, match=f"Its model lacks {key}"):
        load(changed.encode())


def remove_a_function(data):
    data["descriptor"]["Gs"]["H"].pop()


def remove_an_element(data):
    for key in ("weights", "scalings", "fprange"):
        del data["model"][key]["O"]


def rename_an_element(data):
    data["descriptor"]["elements"][0] = "Hx"


def forget_the_functions(data):
    data["descriptor"]["Gs"] = None


def add_a_setting(data):
    data["model"]["depth"] = 3


def remove_the_slope(data):
    del data["model"]["scalings"]["H"]["slope"]


def remove_the_kind(data):
    del data["model"]["kind"]


def replace_the_weights(data):
    data["model"]["weights"] = [1.0, 2.0]


def remove_a_layer(data):
    data["model"]["weights"]["H"].pop()


def turn_a_range(data):
    data["model"]["fprange"]["H"][0]["__tuple__"] = [2.0, 1.0]


@pytest.mark.parametrize(
    "spoil",
    [
        remove_a_function, remove_an_element, rename_an_element, forget_the_functions,
        add_a_setting, remove_the_slope, remove_the_kind, replace_the_weights, remove_a_layer,
        turn_a_range,
    ],
)  # fmt: skip
def test_a_potential_whose_parts_do_not_fit_is_refused_when_loaded(potential, spoil):
    data = json.loads(potential)
    spoil(data)
    with pytest.raises(AmpFileError, match=r"descriptor|model"):
        load(json.dumps(data).encode())


def check_damaged(raw):
    """A damaged file is refused, or gives a potential that can be used."""
    try:
        calc = load(raw)
    except AmpFileError:
        return
    assert np.isfinite(calc.model.vector).all()
    atoms = molecule("H2O")
    atoms.calc = calc
    # A weight may have become 1e300, and H may have become He.
    with np.errstate(all="ignore"), contextlib.suppress(UnsupportedElementError):
        atoms.get_forces()


@settings(max_examples=300)
@given(changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_refused_or_harmless(potential, changes):
    raw = bytearray(potential)
    for place, byte in changes:
        raw[place % len(raw)] = byte
    check_damaged(bytes(raw))


@settings(max_examples=300)
@given(data=st.data())
def test_changed_digits_letters_and_marks_are_refused_or_harmless(potential, data):
    raw = bytearray(potential)
    kinds = (b"0123456789", b"abcdefghijklmnopqrstuvwxyzHOGN_", b'[]{}",:.-+e')
    alphabet = data.draw(st.sampled_from(kinds))
    places = [i for i, byte in enumerate(raw) if byte in alphabet]
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.sampled_from(places))] = data.draw(st.sampled_from(alphabet))
    check_damaged(bytes(raw))


@settings(max_examples=40)
@given(place=st.integers(0), byte=st.integers(0, 255))
@pytest.mark.parametrize("case", sorted(path.parent.name for path in CONFORMANCE.glob("*/*.amp")))
def test_changed_bytes_of_old_files_are_refused_or_harmless(case, place, byte):
    raw = bytearray((CONFORMANCE / case / "model.amp").read_bytes())
    raw[place % len(raw)] = byte
    try:
        calc = load(bytes(raw))
    except AmpFileError:
        return
    assert np.isfinite(calc.model.vector).all()


@settings(max_examples=100)
@given(raw=st.binary(max_size=300))
def test_random_bytes_are_refused(raw):
    with pytest.raises(AmpFileError):
        load(raw)


def test_errors_of_amp_are_what_callers_expect():
    expected = {
        ImageError: ValueError,
        ConflictingImagesError: ValueError,
        MissingDataError: ValueError,
        UnsupportedElementError: ValueError,
        ParameterError: ValueError,
        AmpFileError: ValueError,
        OutputExistsError: FileExistsError,
        OutputWriteError: OSError,
        LabelInUseError: RuntimeError,
        UnknownNameError: KeyError,
    }
    for error, builtin in expected.items():
        assert issubclass(error, AmpError)
        assert issubclass(error, builtin)
