import json

import pytest

from amp import Amp
from amp.analysis import describe_potential
from amp.core.errors import AmpFileError
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork


def test_a_trained_potential_is_described(trained):
    found = describe_potential(trained.potential)
    assert found["checkpoint_step"] is None
    assert found["descriptor"] == {
        "kind": "gaussian",
        "cutoff": 4.0,
        "cutoff_function": "Cosine",
        "elements": ["Cu", "Pt"],
        "functions": {"Cu": {"G2": 8, "G4": 12}, "Pt": {"G2": 8, "G4": 12}},
    }
    model = found["model"]
    assert model["n_parameters"] == len(trained.calc.model.vector)
    assert model["parameters"]["Cu"] == (20 + 1) * 3 + (3 + 1) * 2 + (2 + 1) + 2
    assert model["hiddenlayers"] == {"Cu": [3, 2], "Pt": [3, 2]}
    assert (model["activation"], model["output"]) == ("tanh", "linear")
    assert model["scalings"] == trained.calc.model.parameters.scalings
    json.dumps(found, allow_nan=False)


def test_a_check_point_says_its_step(trained):
    assert describe_potential(trained.checkpoint)["checkpoint_step"] > 0


def test_a_potential_of_amp_1_0_1_is_described(conformance_case):
    found = describe_potential(conformance_case.potential)
    assert found["amp_version"] == "1.0.1 or before"
    calc = Amp.load(conformance_case.potential)
    assert found["model"]["n_parameters"] == len(calc.model.vector)
    assert found["model"]["output"] == "activation"
    counts = {e: sum(types.values()) for e, types in found["descriptor"]["functions"].items()}
    assert counts == {e: len(Gs) for e, Gs in calc.descriptor.parameters.Gs.items()}


def test_an_untrained_potential_is_described(tmp_path):
    path = tmp_path / "new.amp"
    Amp(Gaussian(cutoff=5.0), NeuralNetwork((4,))).save(path)
    found = describe_potential(path)
    assert found["descriptor"]["elements"] == []
    assert (found["model"]["n_parameters"], found["model"]["hiddenlayers"]) == (0, [4])


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.amp"
    path.write_text("hello")
    with pytest.raises(AmpFileError):
        describe_potential(path)
