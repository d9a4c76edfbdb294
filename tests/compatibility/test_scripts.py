"""Scripts written for Amp 1.0.1 run as they are, and leave the files that they did."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from numpy.testing import assert_allclose, assert_array_equal

from amp import Amp

SCRIPTS = Path(__file__).parent / "scripts"


def run_script(name):
    return runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a script in an empty folder of its own; its variables come back."""
    monkeypatch.chdir(tmp_path)
    return run_script


@pytest.fixture(scope="module")
def slab_run(tmp_path_factory):
    """The folder in which the slab was trained, and the variables of that script."""
    folder = tmp_path_factory.mktemp("slab")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, run_script("train_slab")


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_slab_is_trained_and_saved(slab_run):
    folder, trained = slab_run
    assert files(folder) == {
        "training.traj",
        "calc.amp",
        "calc-log.txt",
        "calc-initial-parameters.amp",
        "calc-checkpoint.amp",
    }
    energies, forces = zip(*trained["errors"], strict=True)
    assert np.sqrt(np.mean(np.square(energies))) / 10 < 0.02  # eV/atom, as asked
    assert np.sqrt(np.mean(np.square(forces))) < 0.2  # eV/Å
    assert np.std([image.get_potential_energy() for image in trained["images"]]) > 0.02
    assert trained["calc"].model.parameters.hiddenlayers == {
        "Cu": (10, 10, 10),
        "Pt": (10, 10, 10),
    }


def test_trained_slab_is_loaded_and_relaxed(slab_run, monkeypatch):
    folder, trained = slab_run
    monkeypatch.chdir(folder)
    loaded = run_script("predict_slab")
    first = read("training.traj", 0)
    residual = trained["errors"][0][0]
    assert loaded["energy"] == pytest.approx(first.get_potential_energy() + residual, abs=1e-9)
    assert loaded["forces"].shape == (10, 3)
    assert_array_equal(loaded["forces"][[0, 2]], 0.0)  # held by constraints, as they were stored
    assert loaded["relaxed"] < loaded["energy"]
    assert loaded["calc"].label == "again"
    assert loaded["cutoff"] == {"name": "Cosine", "kwargs": {"Rc": 6.5}}
    assert set(loaded["scalings"]["Pt"]) == {"intercept", "slope"}
    assert not any(name.startswith("again") for name in files(folder))


def test_log_has_a_header_the_functions_and_a_line_for_every_step(slab_run):
    log = (slab_run[0] / "calc-log.txt").read_text()
    for expected in ("Amp", "Cosine(Rc=6.5)", "symmetry functions of Pt", "energy_rmse: 0.02",
                     "force_rmse: 0.2", "EnergyRMSE", "Optimizer: BFGS", "Converged"):  # fmt: skip
        assert expected in log
    rows = [line.split() for line in log.splitlines() if line.split()[:1] and line.count("T") == 1]
    steps = [int(row[0]) for row in rows if row[0].isdigit() and row[-1] in "C-"]
    assert steps == list(range(len(steps)))
    assert len(steps) > 3
    last = next(row for row in reversed(rows) if row[0].isdigit() and row[-1] in "C-")
    assert [mark for mark in last if mark in ("C", "-")] == ["C"] * 4


def test_second_training_does_not_touch_the_first(slab_run, monkeypatch):
    monkeypatch.chdir(slab_run[0])
    before = Path("calc.amp").read_bytes()
    with pytest.raises(FileExistsError, match=r"calc\.amp exists already"):
        run_script("train_slab")
    assert Path("calc.amp").read_bytes() == before


def test_own_symmetry_functions_cutoff_and_layers(run, tmp_path):
    done = run("own_functions")
    assert {name for name in files(tmp_path) if "checkpoint" not in name} == {
        "methanol/energies.amp",
        "methanol/energies-log.txt",
        "methanol/energies-initial-parameters.amp",
    }
    calc = done["calc"]
    model, descriptor = calc.model.parameters, calc.descriptor.parameters
    assert {e: len(functions) for e, functions in descriptor.Gs.items()} == {
        "C": 36,
        "H": 36,
        "O": 6,
    }
    assert {e: [w.shape for w in layers.values()] for e, layers in model.weights.items()} == {
        "C": [(37, 5), (6, 5), (6, 1)],
        "H": [(37, 3), (4, 1)],
        "O": [(7, 4), (5, 2), (3, 1)],
    }
    assert not calc.model.forcetraining
    residuals = []
    for image in done["images"]:
        atoms = image.copy()
        atoms.calc = calc
        residuals.append((atoms.get_potential_energy() - image.get_potential_energy()) / 6)
    assert np.sqrt(np.mean(np.square(residuals))) < 0.005
    atoms = done["atoms"].copy()
    atoms.calc = done["again"]
    assert atoms.get_potential_energy() == done["energy"]


def test_arguments_by_position(run, tmp_path):
    done = run("by_position")
    assert done["water"].calc is done["calc"]
    assert done["calc"].model.lossfunction.overfit == 1e-8
    assert done["calc"].model.checkpoints == 10
    assert done["calc"].dblabel == "water-db"
    assert done["name"] == "copy.amp"
    assert done["loaded"].label == "other"
    assert {"water.amp", "water-log.txt", "water-initial-parameters.amp", "copy.amp"} <= files(
        tmp_path
    )
    atoms = done["water"].copy()
    atoms.calc = done["loaded"]
    assert atoms.get_potential_energy() == done["energy"]


def test_fingerprints_and_model_without_ase(run):
    done = run("fingerprints")
    assert done["energy"] == pytest.approx(done["atoms"].get_potential_energy(), rel=1e-12)
    assert_allclose(done["forces"], done["atoms"].get_forces(), atol=1e-11)
    assert np.abs(done["forces"]).max() > 1e-3
    assert "Cutoff function: Cosine(Rc=4.0)" in Path("fingerprints-log.txt").read_text()


def test_training_that_fails_keeps_its_best_and_goes_on_when_run_again(run, tmp_path):
    done = run("not_converged")
    assert isinstance(done["error"], RuntimeError)
    assert "energy_rmse" in str(done["error"])
    first, second = done["first"].model.vector, done["second"].model.vector
    assert_array_equal(done["untrained"].model.vector, first)
    assert_array_equal(done["checkpoint"].model.vector, first)
    written = files(tmp_path)
    assert {
        "ammonia-untrained-parameters.amp",
        "ammonia-initial-parameters.amp",
        "ammonia-log.txt",
    } <= written
    assert "ammonia.amp" not in written
    numbered = {name for name in written if name.startswith("ammonia-checkpoints/")}
    assert {"ammonia-checkpoints/30.amp", "ammonia-checkpoints/40.amp"} <= numbered
    assert not np.array_equal(first, second)
    assert "Going on from step 20" in Path("ammonia-log.txt").read_text()
    atoms = done["images"][0].copy()
    atoms.calc = Amp.load("ammonia-initial-parameters.amp")
    assert np.isfinite(atoms.get_potential_energy())
