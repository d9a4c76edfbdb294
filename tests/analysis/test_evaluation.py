import json
from math import sqrt

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose

from amp.analysis import calc_rmse, compare, evaluate
from amp.core.errors import MissingDataError, ParameterError
from amp.core.images import get_hash

NAN = float("nan")


@pytest.fixture
def images(with_results):
    """Three images whose references are the errors of a calculator that predicts 0."""
    dimer = Atoms("CuPt", [[0, 0, 0], [0, 0, 2.5]], info={"group": "a"})
    crystal = Atoms("Cu", cell=[4, 4, 4], pbc=True, info={"group": "b"})
    return [
        with_results(dimer, energy=0.2, forces=[[0.0, 0.0, 3.0], [0.0, 0.0, -1.0]]),
        with_results(crystal, energy=-0.3, forces=[[1.0, NAN, NAN]], stress=[1, 0, 0, 0, 0, -2]),
        with_results(Atoms("Ag"), forces=np.zeros((1, 3))),
    ]


def test_errors_are_those_computed_by_hand(zero, images):
    found = evaluate(zero, images)
    energy = found.energy
    assert (energy.n, energy.n_images) == (2, 2)
    assert energy.mae == pytest.approx((0.1 + 0.3) / 2)
    assert energy.rmse == pytest.approx(sqrt((0.1**2 + 0.3**2) / 2))
    assert energy.max == pytest.approx(0.3)
    forces = found.forces
    assert (forces.n, forces.n_images) == (10, 3)  # two of twelve components are not known
    assert forces.mae == pytest.approx((3 + 1 + 1) / 10)
    assert forces.rmse == pytest.approx(sqrt((9 + 1 + 1) / 10))
    assert forces.max == 3.0
    stress = found.stress
    assert (stress.n, stress.n_images) == (6, 1)
    assert stress.mae == pytest.approx(3 / 6)
    assert stress.rmse == pytest.approx(sqrt(5 / 6))
    assert (found.n_images, found.n_atoms) == (3, 4)


def test_the_worst_image_of_each_property_is_named(zero, images):
    worst = evaluate(zero, images).worst
    assert (worst["energy"].index, worst["energy"].key) == (1, get_hash(images[1]))
    assert (worst["forces"].index, worst["forces"].error) == (0, 3.0)
    assert worst["stress"].error == 2.0


def test_forces_are_told_apart_by_element(zero, images):
    elements = evaluate(zero, images).elements
    assert list(elements) == ["Cu", "Ag", "Pt"]
    assert elements["Cu"].rmse == pytest.approx(sqrt((9 + 1) / 4))
    assert elements["Pt"].mae == pytest.approx(1 / 3)
    assert elements["Ag"].max == 0.0


def test_images_are_grouped_by_what_they_say_they_are(zero, images):
    found = evaluate(zero, images)
    assert found.group_by == "group"
    assert list(found.groups) == ["a", "b", "(none)"]
    assert found.groups["a"]["energy"].mae == pytest.approx(0.1)
    assert found.groups["b"]["forces"].n == 1
    assert list(found.groups["(none)"]) == ["forces"]


def test_config_type_comes_before_group_unless_another_key_is_asked_for(zero, images):
    for i, atoms in enumerate(images):
        atoms.info.update(config_type="all", place=i)
    assert list(evaluate(zero, images).groups) == ["all"]
    by_place = evaluate(zero, images, group_by="place")
    assert (by_place.group_by, list(by_place.groups)) == ("place", ["0", "1", "2"])


def test_an_unknown_key_to_group_by_is_told(zero, images):
    with pytest.raises(ParameterError, match=r"No image has 'colour'.*there are: group"):
        evaluate(zero, images, group_by="colour")


def test_images_without_a_reference_are_counted(zero, images):
    # Stress is missing only where there is a cell for it.
    assert evaluate(zero, images).missing == {"energy": 1}


def test_properties_without_any_reference_are_left_out(zero, images):
    found = evaluate(zero, images[2:])
    assert list(found.errors) == ["forces"]
    assert found.energy is None
    assert found.stress is None


def test_a_prediction_that_is_not_a_number_is_not_hidden(zero, images, monkeypatch):
    calculate = zero.calculate

    def broken(atoms, *arguments):
        calculate(atoms, *arguments)
        if len(atoms) == 2:
            zero.results["energy"] = NAN

    monkeypatch.setattr(zero, "calculate", broken)
    found = evaluate(zero, images)
    assert np.isnan(found.energy.rmse)
    assert found.worst["energy"].index == 0


def test_no_reference_at_all_is_an_error(zero):
    with pytest.raises(MissingDataError):
        evaluate(zero, [Atoms("Cu")])


def test_the_table_shows_every_error_with_its_unit(zero, images):
    table = evaluate(zero, images).table()
    assert "3 images, 4 atoms" in table
    assert "1 image(s) have no energy to compare with." in table
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines() if line}
    assert table.splitlines()[2].split()[:5] == ["MAE", "RMSE", "max", "values", "images"]
    assert rows["energy (eV/atom)"][2:7] == ["0.2", "0.2236", "0.3", "2", "2"]
    assert rows["stress (eV/Å^3)"][2:4] == ["0.5", "0.9129"]
    assert rows["Pt"][1] == "0.3333"
    assert "forces by group (eV/Å)" in rows


def test_a_single_group_has_no_table_of_its_own(zero, images):
    assert "by group" not in evaluate(zero, images[:1]).table()


def test_the_dictionary_survives_json(zero, images):
    data = json.loads(json.dumps(evaluate(zero, images).to_dict()))
    assert data["errors"]["energy"]["mae"] == pytest.approx(0.2)
    assert data["worst"]["forces"]["index"] == 0
    assert data["groups"]["b"]["stress"]["max"] == 2.0
    assert data["units"] == {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å^3"}


def test_an_evaluation_keeps_the_numbers_behind_it(trained):
    found = evaluate(trained.potential, trained.images)
    residuals = found.comparison.energy_errors
    assert found.energy.rmse == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert np.array_equal(residuals, compare(trained.calc, trained.images).energy_errors)


def test_calc_rmse_weighs_images_equally_as_training_does(zero, images):
    energy, force = calc_rmse([zero], images)
    assert energy == pytest.approx(sqrt((0.1**2 + 0.3**2) / 2))
    assert force == pytest.approx(sqrt(((9 + 1) / 6 + 1 + 0) / 3))  # of the crystal one is known


def test_calc_rmse_leaves_out_what_has_no_weight(zero, images):
    energy, force = calc_rmse([zero, zero], images, energy_coefficient=None, force_coefficient=0)
    assert np.isnan(energy).tolist() == [True, True]
    assert np.isnan(force).tolist() == [True, True]
    assert zero.calls.count(("energy", "forces")) == 0


def test_calc_rmse_gives_the_losses_of_amp_1_0_1(conformance_case):
    expected, loss = conformance_case.expected, conformance_case.loss
    n_train = int(expected["n_train"])
    images = conformance_case.images[:n_train]
    for i, atoms in enumerate(images):
        references = {
            "energy": float(expected[f"{i}/reference_energy"]),
            "forces": expected[f"{i}/reference_forces"],
        }
        atoms.calc = SinglePointCalculator(atoms, **references)
    energy, force = calc_rmse(conformance_case.potential, images)
    assert_allclose(energy**2 * n_train, loss["0/trained/energy_loss"], rtol=1e-10)
    if np.isfinite(loss["0/force_coefficient"]):
        assert_allclose(force**2 * n_train, loss["0/trained/force_loss"], rtol=1e-10)
