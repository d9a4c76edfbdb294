"""Amp 1.0.1 is run where it can be, and left out with a sentence where it cannot."""

import sys

import pytest
from ase.build import molecule

SERVER = """
import json, sys
print("a word to the user", file=sys.stderr)
for line in iter(sys.stdin.readline, ""):
    if line.strip() == "stop":
        raise ValueError("no more")
    print(json.dumps({"python": "3.9"} if line.strip() == "versions" else len(line.split())))
    sys.stdout.flush()
"""


@pytest.fixture
def amp1(module):
    return module("_amp1")


@pytest.fixture
def server(amp1, monkeypatch, tmp_path):
    """Put a small server and this Python in the place of Amp 1.0.1."""
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    monkeypatch.setattr(amp1, "SERVER", path)
    monkeypatch.setattr(amp1, "install", lambda folder: sys.executable)
    return amp1


def test_without_a_compiler_the_message_says_how_to_get_one(amp1, monkeypatch, tmp_path):
    monkeypatch.setattr(amp1.shutil, "which", lambda name: None)
    with pytest.raises(amp1.Unavailable, match="apt-get install gfortran"):
        amp1.install(tmp_path / "env")
    assert not (tmp_path / "env").exists()


def test_without_an_old_python_the_message_names_those_that_serve(amp1, monkeypatch, tmp_path):
    monkeypatch.setattr(amp1.shutil, "which", lambda name: None)
    monkeypatch.setattr(amp1.Path, "home", lambda: tmp_path)
    with pytest.raises(amp1.Unavailable, match=r"no Python 3\.9, 3\.8, 3\.10 or 3\.11"):
        amp1.find_python()


def test_a_folder_that_is_no_environment_is_left_alone(amp1, monkeypatch, tmp_path):
    monkeypatch.setattr(amp1.shutil, "which", lambda name: "/usr/bin/gfortran")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(amp1.Unavailable, match="is not a virtual environment"):
        amp1.install(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_is_installed_is_not_installed_again(amp1, monkeypatch, tmp_path):
    monkeypatch.setattr(amp1, "run", lambda *command: pytest.fail(f"ran {command}"))
    (tmp_path / amp1.READY).touch()
    assert amp1.install(tmp_path) == tmp_path / "bin" / "python"


def test_a_command_that_fails_is_quoted(amp1):
    with pytest.raises(amp1.Unavailable, match="failed: no such package"):
        amp1.run(sys.executable, "-c", "raise SystemExit('no such package')")


def test_a_running_process_answers_line_by_line(server, tmp_path):
    with server.running(tmp_path, [molecule("H2O")] * 3) as amp1:
        assert amp1.versions == {"python": "3.9"}
        assert amp1.n_images == 3
        assert amp1.time("loss", 5, 5) == 3.0
        process = amp1.process
    assert process.poll() is not None


def test_a_process_that_ends_leaves_its_last_words(server, tmp_path):
    with (
        server.running(tmp_path, [molecule("H2O")]) as amp1,
        pytest.raises(server.Unavailable, match="ValueError: no more"),
    ):
        amp1.time("stop")
