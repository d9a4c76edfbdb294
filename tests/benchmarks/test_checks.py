"""The short benchmark fails on lost speed, and on nothing that passes."""

import json
from unittest.mock import MagicMock

import numpy as np
import pytest


@pytest.fixture
def checks(module, monkeypatch):
    checks = module("_checks")
    monkeypatch.setattr(checks, "CALIBRATED", {"a path": 1.0})
    return checks


def measured(*values):
    """Give a measurement that yields these values, and the list of those it has yielded."""
    given = []

    def measure():
        given.append(values[len(given)])
        return given[-1]

    return measure, given


def test_a_good_ratio_is_measured_once(checks):
    measure, given = measured(1.9, 9.0)
    assert checks.settle("a path", measure).holds
    assert given == [1.9]


def test_a_ratio_that_load_made_large_is_measured_again(checks):
    measure, given = measured(5.0, 1.1)
    check = checks.settle("a path", measure)
    assert check.holds
    assert check.value == 1.1
    assert given == [5.0, 1.1]


def test_a_ratio_that_stays_twice_as_large_fails(checks):
    measure, given = measured(5.0, 2.1, 3.0)
    check = checks.settle("a path", measure)
    assert not check.holds
    assert check.value == 2.1
    assert len(given) == 3


def test_what_fails_is_named_and_the_status_is_1(checks, monkeypatch, capsys, tmp_path):
    found = [checks.Check("quick enough", 1.0, 2.0), checks.Check("a slow path", 5.0, 2.0)]
    monkeypatch.setattr(checks, "run", lambda: iter(found))
    assert checks.main(tmp_path / "checks.json") == 1
    said = capsys.readouterr()
    assert "a slow path" in said.err
    assert "quick enough" not in said.err
    assert said.out.count("TOO MUCH") == 1
    data = json.loads((tmp_path / "checks.json").read_text())
    assert [check["holds"] for check in data["checks"]] == [True, False]


def test_when_all_holds_the_status_is_0(checks, monkeypatch, capsys):
    monkeypatch.setattr(checks, "run", lambda: iter([checks.Check("a path", 2.0, 2.0)]))
    assert checks.main() == 0
    assert not capsys.readouterr().err


def test_every_ratio_is_calibrated(module, monkeypatch):
    checks = module("_checks")
    for name in ("made_slabs", "hash_images", "silicon", "copper_40", "training_set", "md_step"):
        monkeypatch.setattr(checks, name, MagicMock())
    for name in ("silicon", "copper_40", "training_set"):
        getattr(checks, name).return_value = (checks.made_slabs(), checks.made_slabs())
    monkeypatch.setattr(checks, "mover", lambda atoms: None)
    monkeypatch.setattr(checks, "reader", lambda n_bytes: (lambda: None, 1.0))
    in_new_processes = {"first forces over importing numba"}
    assert {name for name, _ in checks.ratios()} | in_new_processes == set(checks.CALIBRATED)


def test_a_step_keeps_the_neighbor_list_unless_it_is_to_be_fresh(module):
    silicon, md_step = module("_workloads").silicon, module("_sections").md_step
    for fresh in (False, True):
        atoms, calc = silicon((2, 2, 2))
        step = md_step(atoms, calc, fresh)
        for _ in range(4):
            step()
        assert calc._neighbors.n_builds == (4 if fresh else 1)


def test_every_move_leads_elsewhere_but_not_away(module):
    atoms, _ = module("_workloads").copper_40()
    start, move = atoms.positions.copy(), module("_sections").mover(atoms)
    places = [start]
    for _ in range(6):
        move()
        assert np.abs(atoms.positions - places[-1]).max() > 1e-4
        places.append(atoms.positions.copy())
    np.testing.assert_allclose(places[6], start, atol=1e-12)
