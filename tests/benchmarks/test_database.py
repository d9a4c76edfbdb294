"""The benchmark of databases does what its table says."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture
def database(module):
    """Import it under another name: the tests of the room `database` have its own."""
    path = Path(module("_rows").__file__).with_name("database.py")
    spec = importlib.util.spec_from_file_location("benchmark_of_databases", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark


def test_every_phase_of_every_store_has_a_time(database, tmp_path, capsys):
    pythons = {name: Path(sys.executable) for name in ("amp", "zip", "amp-durable")}
    figures = database.loads("some bytes", 12, 512, pythons, tmp_path, 1)
    assert set(figures) == set(pythons)
    for name, row in figures.items():
        assert all(value > 0.0 for value in row.values())
        assert ("archived" in row) == (name != "amp-durable")
    printed = capsys.readouterr().out
    assert all(name in printed for name in pythons)
    assert list(tmp_path.iterdir()) == []


def test_archives_of_several_sizes_are_timed(database, tmp_path, capsys):
    figures = database.growth(tmp_path, (5, 50))
    assert set(figures) == {5, 50}
    assert all(first > 0.0 and rest > 0.0 for first, rest in figures.values())
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_what_is_not_installed_is_left_out_with_a_message(database, tmp_path, capsys, monkeypatch):
    def refuse(folder):
        raise database.Unavailable("there is no compiler")

    monkeypatch.setattr(database, "install", refuse)
    monkeypatch.setattr(database.importlib.util, "find_spec", lambda name: None)
    assert set(database.available(tmp_path)) == {"amp", "npz", "zip", "amp-durable", "npz-durable"}
    printed = capsys.readouterr().out
    for name in ("diskcache", "sqlitedict", "there is no compiler"):
        assert name in printed
