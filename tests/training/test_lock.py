"""One training at a time per label."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from amp.core.errors import AmpError, LabelInUseError, OutputWriteError
from amp.training._lock import hold

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ended():
    """Number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_the_file_names_the_process_while_it_is_held_and_is_gone_afterwards():
    with hold("run-running"):
        assert Path("run-running").read_text() == f"process {os.getpid()} on {HOST}\n"
    assert not Path("run-running").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_file_is_gone_however_the_block_ends(error):
    with pytest.raises(error), hold("run-running"):
        raise error
    assert not Path("run-running").exists()


def test_held_twice_is_refused_and_stays_with_the_first():
    with hold("run-running"):
        with pytest.raises(LabelInUseError, match=f"process {os.getpid()} on {HOST}"):
            hold("run-running").__enter__()
        assert Path("run-running").exists()
        with hold("other-running"):
            pass


def test_a_process_that_runs_is_named_with_what_to_do():
    Path("run-running").write_text(f"process {os.getppid()} on {HOST}\n")
    with pytest.raises(LabelInUseError) as caught:
        hold("run-running").__enter__()
    assert f"process {os.getppid()} on {HOST}" in str(caught.value)
    assert f"If that run is gone, remove {Path('run-running').resolve()}" in str(caught.value)
    assert isinstance(caught.value, AmpError)
    assert isinstance(caught.value, RuntimeError)


def test_a_process_of_another_host_is_not_presumed_gone(ended):
    Path("run-running").write_text(f"process {ended} on elsewhere\n")
    with pytest.raises(LabelInUseError, match=f"process {ended} on elsewhere"):
        hold("run-running").__enter__()


@pytest.mark.parametrize("text", ["", "hello", "process x on y\n"])
def test_a_file_that_says_nothing_is_respected(text):
    Path("run-running").write_text(text)
    with pytest.raises(LabelInUseError, match="another run trains with it"):
        hold("run-running").__enter__()
    assert Path("run-running").read_text() == text


@pytest.mark.skipif(os.name != "posix", reason="processes cannot be asked for elsewhere")
def test_the_file_of_a_process_that_is_gone_is_taken_over(ended):
    Path("run-running").write_text(f"process {ended} on {HOST}\n")
    with hold("run-running"):
        assert str(os.getpid()) in Path("run-running").read_text()
    assert not Path("run-running").exists()


def test_the_file_of_an_earlier_process_with_our_number_is_taken_over():
    Path("run-running").write_text(f"process {os.getpid()} on {HOST}\n")
    with hold("run-running"):
        pass
    assert not Path("run-running").exists()


def test_a_file_that_became_anothers_is_left():
    with hold("run-running"):
        Path("run-running").write_text("process 1 on elsewhere\n")
    assert Path("run-running").exists()


def test_a_file_that_cannot_be_made_is_told():
    with pytest.raises(OutputWriteError, match="run-running cannot be written"):
        hold("nowhere/run-running").__enter__()
