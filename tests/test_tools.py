"""The scripts of the README prepare their environment, or say in a sentence why they cannot."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """The tools' module, believing that the checkout is an empty folder."""
    spec = importlib.util.spec_from_file_location("_environment", TOOLS / "_environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tools/check.py"])
    return module


def pip_that_says(words, module, monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout=words)
    monkeypatch.setattr(module, "_captured", lambda *args, **kwargs: failed)


def test_an_old_python_is_told_which_one_amp_needs(environment, monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"check\.py: error: Amp needs Python 3\.10 or later"):
        environment.quit_if_python_is_too_old()


def test_this_python_is_not_turned_away(environment):
    environment.quit_if_python_is_too_old()


def test_a_folder_that_is_no_environment_is_left_alone(environment, tmp_path):
    notes = tmp_path / ".venv" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(SystemExit, match="is not a virtual environment"):
        environment.prepare(["tests"])
    assert notes.read_text() == "mine"


def test_a_broken_environment_is_made_anew(environment, tmp_path, capsys):
    folder = tmp_path / ".venv"
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    python = environment._python_of(folder)
    environment._make_sound(folder, python)
    assert "is broken; making it anew" in capsys.readouterr().out
    assert subprocess.run([python, "-m", "pip", "--version"], check=False).returncode == 0


def test_without_network_the_error_names_the_network(environment, monkeypatch):
    pip_that_says("WARNING: Retrying: NewConnectionError('...')", environment, monkeypatch)
    with pytest.raises(SystemExit, match="package index could not be reached"):
        environment._pip(Path("python"), ["install", "amp"])


def test_other_failures_of_pip_show_what_it_said(environment, monkeypatch):
    pip_that_says("ERROR: No space left on device", environment, monkeypatch)
    with pytest.raises(SystemExit, match=r"pip failed with status 1(.|\n)*No space left on device"):
        environment._pip(Path("python"), ["install", "amp"])


def test_changed_requirements_are_installed_again(environment, tmp_path):
    requirements = tmp_path / "pyproject.toml"
    requirements.write_text("numpy")
    stamp = tmp_path / "stamp"
    stamp.write_text(f'{{"key": "{environment._stamp_key()}", "extras": ["plots"]}}')
    assert environment._read_stamp(stamp) == {"plots"}
    requirements.write_text("numpy, scipy")
    assert environment._read_stamp(stamp) == set()


def test_a_damaged_stamp_counts_as_none(environment, tmp_path):
    (tmp_path / "stamp").write_text('{"key"')
    assert environment._read_stamp(tmp_path / "stamp") == set()
