import json

import pytest

from amp import Amp
from amp.analysis import evaluate
from amp.cli.main import main

QUICK = ["--cutoff", "4", "--hidden", "2", "--seed", "1", "--cores", "1"]


def test_a_training_that_converges_leaves_its_potential(files):
    calc = Amp.load(files.potential)
    p = calc.model.parameters
    assert (p.hiddenlayers, p.randomseed) == ({"Cu": (3, 2)}, 1)
    assert calc.descriptor.cutoff == 4.0
    found = evaluate(calc, files.images)
    assert found.energy.rmse <= 0.05
    assert found.forces.rmse <= 1.5


def test_status_2_says_that_training_has_not_converged(files, working_folder, capsys):
    status = main(["train", str(files.images), "--label", "short", "--maxiter", "3", *QUICK])
    assert status == 2
    out = capsys.readouterr().out
    assert "4 images from" in out
    assert "without convergence" in out
    assert "The best parameters are in short-untrained-parameters.amp" in out
    rmse = evaluate("short-untrained-parameters.amp", files.images).energy.rmse
    assert f"{rmse:.4g}" in out


def test_convergence_is_told_with_file_and_errors(files, working_folder, capsys):
    goals = ["--energy-rmse", "5", "--force-coefficient", "0"]
    images = f"{files.images}@:2"
    assert (
        main(["train", images, "--label", "out/easy", "--optimizer", "BFGS", *goals, *QUICK]) == 0
    )
    out = capsys.readouterr().out
    assert "2 images from" in out
    assert "Converged. The potential is out/easy.amp." in out
    assert "energy (eV/atom)" in out
    assert (working_folder / "out" / "easy.amp").exists()


def test_results_are_kept_unless_overwriting_is_asked_for(files, working_folder, capsys):
    argv = ["train", str(files.images), "--maxiter", "2", "--energy-rmse", "5", *QUICK]
    assert main(argv) == 0
    assert main(argv) == 1
    assert "amp.amp exists already" in capsys.readouterr().err
    assert main([*argv, "--overwrite"]) == 0


def test_a_configuration_gives_what_the_command_line_does_not(files, working_folder):
    config = {"images": [str(files.images)], "hidden": [4], "cutoff": 5.0, "label": "c",
              "energy-rmse": 5, "seed": 1, "force_coefficient": None}  # fmt: skip
    (working_folder / "config.json").write_text(json.dumps(config))
    assert main(["train", "--config", "config.json", "--cutoff", "4"]) == 0
    calc = Amp.load("c.amp")
    assert calc.descriptor.cutoff == 4.0
    assert calc.model.parameters.hiddenlayers == {"Cu": (4,)}
    assert calc.model.parameters.randomseed == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"hiden": [5]}', "has an unknown entry 'hiden'; did you mean 'hidden'?"),
        ('{"hidden": ["five"]}', "argument --hidden: invalid int value: 'five'"),
        ('{"cutoff": {"Rc": 5}}', "the entry 'cutoff' of config.json must be"),
        ('["a.xyz"]', "must be a JSON object"),
        ("{", "config.json is no JSON"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_told(text, message, working_folder, capsys):
    (working_folder / "config.json").write_text(text)
    assert main(["train", "a.xyz", "--config", "config.json"]) == 1
    assert message in capsys.readouterr().err
