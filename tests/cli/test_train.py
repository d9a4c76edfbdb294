import json

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

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
    err = capsys.readouterr().err
    assert "amp.amp exists already" in err
    assert "Use another --label, or train with --overwrite." in err
    assert "Amp.load" not in err
    assert main([*argv, "--overwrite"]) == 0


def test_a_check_point_of_other_settings_is_told_with_the_options(files, working_folder, capsys):
    argv = ["train", str(files.images), "--maxiter", "2", *QUICK]
    assert main(argv) == 2
    assert main([*argv, "--cutoff", "5"]) == 1
    err = capsys.readouterr().err
    assert "Use another --label, put the old settings back, or train with --overwrite." in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("nodes", [["4,3"], ["4", "3"], ["4,", "3"]])
def test_nodes_are_parted_by_spaces_or_commas(files, working_folder, nodes):
    argv = ["train", str(files.images), "--maxiter", "1", "--cutoff", "4", "--hidden", *nodes]
    assert main(argv) == 2
    calc = Amp.load("amp-untrained-parameters.amp")
    assert calc.model.parameters.hiddenlayers == {"Cu": (4, 3)}


def test_the_table_has_stresses_only_if_they_were_trained(working_folder, capsys):
    crystals = []
    for seed in range(2):
        crystals.append(bulk("Cu", cubic=True))
        crystals[-1].rattle(0.05, seed=seed)
        crystals[-1].calc = EMT()
        crystals[-1].get_stress()
    write("crystals.traj", crystals)
    argv = ["train", "crystals.traj", "--maxiter", "1", *QUICK]
    assert main(argv) == 2
    assert "stress" not in capsys.readouterr().out.split("Errors on")[1]
    assert main([*argv, "--overwrite", "--stress-coefficient", "100"]) == 2
    assert "stress (eV/Å^3)" in capsys.readouterr().out.split("Errors on")[1]


def test_the_help_tells_the_defaults_as_they_are(capsys):
    from amp.descriptor.gaussian import Gaussian
    from amp.model import LossFunction
    from amp.model.neuralnetwork import NeuralNetwork
    from amp.regression import Regressor

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    loss, model = LossFunction(), NeuralNetwork().parameters
    for words in (
        f"10,10 (default: {' '.join(map(str, model.hiddenlayers))})",
        f"radius (Å; default: {Gaussian().parameters.cutoff['kwargs']['Rc']:g})",
        f"activation function (default: {model.activation})",
        f"energies (eV/atom; default: {loss.convergence['energy_rmse']:g})",
        f"energies in the loss (default: {loss.energy_coefficient:g})",
        f"forces in the loss (default: {loss.force_coefficient:g};",
        f"included (default: {loss.maxiter})",
        f"optimizer (default: {Regressor().optimizer})",
    ):
        assert words in text
    assert (loss.convergence["force_rmse"], loss.stress_coefficient) == (None, 0.0)


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


def test_derivatives_are_kept_as_the_options_say(files, working_folder, capsys):
    argv = ["train", str(files.images), "--maxiter", "1", *QUICK]
    for option, text in (
        (["--derivatives", "recomputed"], "Chosen: recomputed, as asked for"),
        (["--memory", "10kB"], "Chosen: recomputed, the first of these that fits"),
        ([], "Chosen: float64, the first of these that fits"),
    ):
        assert main([*argv, "--overwrite", *option]) == 2
        assert text in (working_folder / "amp-log.txt").read_text()
    assert main([*argv, "--overwrite", "--memory", "much"]) == 1
    assert "such as '8 GB'" in capsys.readouterr().err
    assert main([*argv, "--overwrite", "--memory", "1 kB"]) == 1
    assert "fewer images" in capsys.readouterr().err
