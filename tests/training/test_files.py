"""Names of the files of a run, and what may be overwritten."""

import os
from pathlib import Path

import pytest

from amp.core.errors import AmpError, OutputExistsError, OutputWriteError
from amp.training import RunFiles


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_begin_with_the_label():
    files = RunFiles("a/b")
    assert files.log == "a/b-log.txt"
    assert files.running == "a/b-running"
    assert files.initial == "a/b-initial-parameters.amp"
    assert files.checkpoint == "a/b-checkpoint.amp"
    assert files.trained == "a/b.amp"
    assert files.untrained == "a/b-untrained-parameters.amp"
    assert Path(files.numbered_checkpoint(40)) == Path("a/b-checkpoints/40.amp")


def test_preparing_makes_the_folder_and_nothing_else(folder):
    RunFiles("a/b/c").prepare(overwrite=False)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["a", "a/b"]


@pytest.mark.parametrize("name", ["trained", "untrained"])
def test_existing_results_are_refused(name):
    files = RunFiles("run")
    path = Path(getattr(files, name))
    path.write_text("x")
    with pytest.raises(OutputExistsError, match=f"{path} exists already"):
        files.prepare(overwrite=False)
    with pytest.raises(FileExistsError):  # what a caller would expect
        files.prepare(overwrite=False)
    files.prepare(overwrite=True)
    assert path.read_text() == "x"  # until there is something new


def test_untrained_parameters_with_a_check_point_can_be_gone_on_from():
    files = RunFiles("run")
    Path(files.untrained).write_text("x")
    Path(files.checkpoint).write_text("x")
    files.prepare(overwrite=False)
    Path(files.trained).write_text("x")
    with pytest.raises(OutputExistsError):
        files.prepare(overwrite=False)


def test_removing_check_points_leaves_results_log_and_other_runs():
    files, other = RunFiles("run"), RunFiles("run2")
    Path("run-checkpoints").mkdir()
    gone = [files.checkpoint, files.untrained, files.numbered_checkpoint(3)]
    kept = [files.trained, files.log, files.initial, other.checkpoint, "run-checkpoints/notes.txt"]
    for name in gone + kept:
        Path(name).write_text("x")
    files.remove_checkpoints()
    assert not any(Path(name).exists() for name in gone)
    assert all(Path(name).exists() for name in kept)


def test_the_check_point_to_go_on_from_is_the_one_or_the_highest():
    files = RunFiles("run")
    assert files.latest_checkpoint() == "run-checkpoint.amp"
    Path("run-checkpoints").mkdir()
    for name in ("9.amp", "100.amp", "20.amp", "x.amp", "1000.txt"):
        (Path("run-checkpoints") / name).write_text("x")
    assert Path(files.latest_checkpoint()) == Path("run-checkpoints/100.amp")
    Path(files.checkpoint).write_text("x")
    assert files.latest_checkpoint() == "run-checkpoint.amp"


def test_a_folder_that_cannot_be_made_is_told():
    Path("a").write_text("a file, not a folder")
    with pytest.raises(
        OutputWriteError, match=r"label 'a/b' cannot be made.*Use a label"
    ) as caught:
        RunFiles("a/b").prepare(overwrite=False)
    assert isinstance(caught.value, AmpError)
    assert isinstance(caught.value, OSError)


@pytest.mark.skipif(
    os.name != "posix" or getattr(os, "geteuid", int)() == 0, reason="permissions bind others"
)
def test_a_folder_that_cannot_be_written_is_told():
    Path("locked").mkdir()
    Path("locked").chmod(0o500)
    with pytest.raises(OutputWriteError, match=r"cannot be written.*Use a label"):
        RunFiles("locked/run").prepare(overwrite=False)


def test_a_folder_without_permission_is_told(monkeypatch):
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputWriteError, match=r"locked of the label 'locked/run' cannot be"):
        RunFiles("locked/run").prepare(overwrite=False)
