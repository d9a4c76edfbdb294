import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import amp
from amp.cli.main import COMMANDS, main


def in_fresh_python(code):
    environment = {**os.environ, "PYTHONPATH": str(Path(amp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_help_loads_nothing_heavy():
    code = (
        "import json, sys\nfrom amp.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(in_fresh_python(code).splitlines()[-1]))
    assert loaded.isdisjoint({"ase", "matplotlib", "numba", "numpy", "pandas", "scipy", "torch"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: amp {command}" in text
    assert COMMANDS[command].__doc__.splitlines()[0] in text


def test_the_commands_are_listed_with_the_first_line_of_their_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, module in COMMANDS.items():
        assert f"{name} {module.__doc__.splitlines()[0]}" in text


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"amp {amp.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND (see amp --help)"),
        (["trian"], "invalid choice: 'trian'"),
        (["evaluate", "x.amp"], "the following arguments are required: IMAGES"),
        (["evaluate", "none.amp", "x.traj"], "none.amp' (working folder: '"),
        (["train"], "name the files with the images to train on"),
        (["train", "a.xyz", "--hidden", "five"], "argument --hidden: invalid int value: 'five'"),
        (["info", "none.amp"], "No such file or directory: 'none.amp'"),
        (["train", "none.xyz"], "There is no file 'none.xyz' to read images from"),
        (["train", "a.xyz", "--optimizer", "BFGZ"], "Did you mean 'BFGS'?"),
    ],
)
def test_an_error_is_one_line_and_status_1(argv, message, working_folder, capsys):
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("amp: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_message_of_several_lines_becomes_one(working_folder, capsys):
    from ase import Atoms
    from ase.io import write

    write("bare.extxyz", [Atoms("Cu"), Atoms("Ag")])
    assert main(["train", "bare.extxyz"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "Missing energy in 2 image(s)" in err


def test_traceback_shows_where_an_error_came_from(working_folder, capsys):
    for argv in (["info", "none.amp", "--traceback"], ["--traceback", "info", "none.amp"]):
        assert main(argv) == 1
        err = capsys.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert err.splitlines()[-1].startswith("amp: error: ")


def test_our_own_mistake_names_its_kind(monkeypatch, capsys):
    def broken():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("amp.cli.info.describe_environment", broken)
    assert main(["info"]) == 1
    assert "amp: error: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_ctrl_c_is_status_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("amp.cli.info.describe_environment", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "amp: interrupted\n"


def test_an_interrupt_says_what_it_has_to_say(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt("Training was interrupted.\nThe same command goes on.")

    monkeypatch.setattr("amp.cli.info.describe_environment", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "amp: Training was interrupted. The same command goes on.\n"


def test_a_file_that_is_not_there_is_told_with_the_working_folder(working_folder, capsys):
    assert main(["info", "none.amp"]) == 1
    err = capsys.readouterr().err
    expected = f"No such file or directory: 'none.amp' (working folder: {str(working_folder)!r})"
    assert err.startswith(f"amp: error: {expected}")
    assert err.count("working folder") == 1


def test_the_command_runs_as_a_module():
    assert in_fresh_python(
        "import runpy, sys\nsys.argv = ['amp', '--version']\n"
        "try:\n    runpy.run_module('amp.cli.main', run_name='__main__')\nexcept SystemExit:\n"
        "    pass"
    ).startswith("amp ")
