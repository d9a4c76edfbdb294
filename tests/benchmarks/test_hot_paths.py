"""The benchmark's command."""

import json

import pytest


@pytest.fixture
def hot_paths(module):
    return module("hot_paths")


def test_rows_without_their_files_are_left_out_with_a_message(hot_paths, monkeypatch, capsys):
    monkeypatch.delenv("AMP_SHARED", raising=False)
    assert hot_paths.main(["--only", "hashing"]) == 0
    said = capsys.readouterr().out
    assert "Amp 1.0.1 is left out: data/benchmarks/slab_CuPtO.extxyz is needed; set AMP_S" in said
    assert "hashing: left out, data/benchmarks/slab_CuPtO.extxyz is needed" in said


def test_a_file_that_the_folder_lacks_is_named_with_the_folder(
    hot_paths, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("AMP_SHARED", str(tmp_path))
    hot_paths.main(["--only", "hashing", "--no-amp1"])
    assert f"slab_CuPtO.extxyz is not in {tmp_path}" in capsys.readouterr().out


def test_sections_are_measured_printed_and_written(hot_paths, tmp_path, capsys):
    path = tmp_path / "results.json"
    options = ["--no-amp1", "--repeats", "1", "--json", str(path)]
    assert hot_paths.main(["--only", "overhead", *options]) == 0
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert 0.0 < rows["overhead"]["median"] < rows["image_40"]["median"]
    assert "forces of 40 Cu through ASE" in capsys.readouterr().out


def test_a_section_that_does_not_exist_is_refused(hot_paths, capsys):
    with pytest.raises(SystemExit):
        hot_paths.main(["--only", "magic"])
    assert "invalid choice: 'magic'" in capsys.readouterr().err
