import json

import pytest

from amp.analysis import evaluate
from amp.cli.main import main


def test_the_tables_are_printed(files, capsys):
    assert main(["evaluate", str(files.potential), str(files.images)]) == 0
    assert capsys.readouterr().out == evaluate(files.potential, files.images).table() + "\n"


def test_json_on_standard_output_is_all_there_is(files, capsys):
    assert main(["evaluate", str(files.potential), str(files.images), "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == evaluate(files.potential, files.images).to_dict()
    assert list(data["groups"]) == ["first", "second"]


def test_json_and_plot_are_written_beside_the_tables(files, working_folder, capsys):
    argv = ["evaluate", str(files.potential), f"{files.images}@:2", str(files.images) + "@2:"]
    argv += ["--json", "e.json", "--parity", "p.png"]
    assert main(argv) == 0
    assert "4 images, 24 atoms" in capsys.readouterr().out
    assert json.loads((working_folder / "e.json").read_text())["n_images"] == 4
    assert (working_folder / "p.png").read_bytes().startswith(b"\x89PNG")
    assert main([*argv, "--overwrite"]) == 0


@pytest.mark.parametrize(("option", "name"), [("--json", "e.json"), ("--parity", "p.png")])
def test_existing_files_are_kept(files, working_folder, capsys, option, name):
    (working_folder / name).write_text("mine")
    assert main(["evaluate", str(files.potential), str(files.images), option, name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{name} exists already" in err
    assert (working_folder / name).read_text() == "mine"


def test_images_are_grouped_by_the_key_asked_for(files, capsys):
    argv = ["evaluate", str(files.potential), str(files.images), "--group-by"]
    assert main([*argv, "config_type"]) == 0
    assert "energy by config_type (eV/atom)" in capsys.readouterr().out
    assert main([*argv, "colour"]) == 1
    assert "No image has 'colour'" in capsys.readouterr().err
