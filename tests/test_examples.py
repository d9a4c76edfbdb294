"""Every example runs as it stands, in short, and leaves the files that it speaks of."""

import importlib.util
import runpy
import shutil
from pathlib import Path

import pytest
from ase.io import read, write

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)  # as for a script that is started


def load(name):
    """Load an example as a module, as a user's script would import it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_every_example_is_tested_here():
    tested = {"emt_slab", "ten_lines", "train_molecule", "train_surface"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_the_ten_lines_train_and_print_errors(tmp_path, capsys):
    data = tmp_path / "examples" / "data"
    data.mkdir(parents=True)
    write(data / "ethanol_train.extxyz", read(EXAMPLES / "data" / "ethanol_train.extxyz", ":40"))
    shutil.copy(EXAMPLES / "data" / "ethanol_test.extxyz", data)
    runpy.run_path(str(EXAMPLES / "ten_lines.py"))
    assert (tmp_path / "demo-run" / "ten-lines.amp").is_file()
    said = capsys.readouterr().out
    assert said.startswith("100 images, 900 atoms")
    assert "forces by element" in said


def test_the_molecule_is_trained_tested_and_set_in_motion(capsys):
    pytest.importorskip("matplotlib")
    Path("ethanol.amp").write_text("of a good run")
    load("train_molecule").main(["--quick"])
    assert Path("ethanol.amp").read_text() == "of a good run"
    assert {f"ethanol-quick{end}" for end in (".amp", "-log.txt", "-parity.png", "-md.traj")} <= (
        files()
    )
    assert all(name == "ethanol.amp" or name.startswith("ethanol-quick") for name in files())
    said = capsys.readouterr().out
    assert "Errors on 10 test images" in said
    assert "0.05 ps of dynamics" in said
    assert len(read("ethanol-quick-md.traj", ":")) == 6


def test_the_surface_is_trained_on_stress_tested_and_relaxed(capsys):
    load("train_surface").main(["--quick"])
    assert {"surface-quick.amp", "surface-quick-log.txt"} <= files()
    assert all(name.startswith("surface-quick") for name in files())
    said = capsys.readouterr().out
    assert "Errors on 6 test images" in said
    assert "stress (eV/Å^3)" in said
    assert [line[:4] for line in said.splitlines()[-2:]] == ["Amp:", "EMT:"]


def test_examples_go_on_when_interrupted_and_start_anew_when_finished(monkeypatch):
    surface = load("train_surface")
    images = surface.make_slab_images(2, 300.0, seed=0)
    evaluate_loss = surface.LossFunction.evaluate

    def interrupted(self, *args, **kwargs):
        if self.step == 3:
            raise KeyboardInterrupt
        return evaluate_loss(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(surface.LossFunction, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            surface.train(images, "slab", quick=True)
    surface.train(images, "slab", quick=True).save("slab.amp")
    log = Path("slab-log.txt")
    assert "Going on from step" in log.read_text()
    surface.train(images, "slab", quick=True).save("slab.amp", overwrite=True)
    assert "Going on from step" not in log.read_text()


def test_slab_images_are_written_to_a_file():
    load("emt_slab").main(["slab.extxyz", "--n-images", "2", "--seed", "1"])
    images = read("slab.extxyz", ":")
    assert [len(atoms) for atoms in images] == [29, 29]
    assert all(atoms.get_stress().shape == (6,) for atoms in images)
