import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from numpy.testing import assert_allclose

from amp import Amp
from amp.analysis import compare
from amp.core.errors import ImageError, MissingDataError, ParameterError
from amp.core.images import get_hash, hash_images


def test_predictions_are_those_of_the_calculator(trained):
    found = compare(trained.calc, trained.images)
    for i, image in enumerate(trained.images):
        atoms = image.copy()
        atoms.calc = Amp.load(trained.potential)
        assert found.energies[i] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        assert_allclose(found.forces[6 * i : 6 * i + 6], atoms.get_forces(), atol=1e-12)
        assert found.reference_energies[i] == image.get_potential_energy()
        assert np.array_equal(found.reference_forces[6 * i : 6 * i + 6], image.get_forces())
    assert found.keys == tuple(get_hash(atoms) for atoms in trained.images)
    assert found.n_atoms.tolist() == [6] * 6


def test_a_file_and_its_calculator_predict_the_same(trained):
    from_file, from_calc = (compare(c, trained.images) for c in (trained.potential, trained.calc))
    assert np.array_equal(from_file.energies, from_calc.energies)


def test_stress_of_a_crystal_is_compared(trained):
    crystal = bulk("Cu", a=3.7)
    crystal.calc = EMT()
    found = compare(trained.calc, [crystal])
    predicted = crystal.copy()
    predicted.calc = trained.calc
    assert_allclose(found.stresses[0], predicted.get_stress(), atol=1e-14)
    assert_allclose(found.reference_stresses[0], crystal.get_stress(), atol=1e-14)
    assert_allclose(
        found.stress_errors[0], predicted.get_stress() - crystal.get_stress(), atol=1e-14
    )


def test_each_image_is_calculated_once_for_what_it_has_references_for(zero, with_results):
    cell = {"cell": [5.0, 5.0, 5.0], "pbc": True}
    images = [
        with_results(Atoms("Cu"), energy=1.0),
        with_results(Atoms("Ag"), energy=1.0, forces=np.ones((1, 3))),
        with_results(Atoms("Au", **cell), stress=np.ones(6)),
        with_results(Atoms("Pt")),
    ]
    found = compare(zero, images)
    assert zero.calls == [("energy",), ("energy", "forces"), ("stress",)]
    assert np.isnan(found.forces[[0, 2, 3]]).all()
    assert np.isnan(found.energies[2:]).all()
    assert found.with_volume.tolist() == [False, False, True, False]


def test_forces_on_fixed_atoms_are_compared_too(zero, with_results):
    atoms = with_results(Atoms("Cu2", [[0, 0, 0], [0, 0, 2]]), forces=np.full((2, 3), 2.0))
    atoms.set_constraint(FixAtoms([0]))
    assert compare(zero, [atoms]).force_errors.tolist() == [[-2.0] * 3] * 2


def test_indices_are_places_among_the_given_images(zero, with_results):
    copper, silver = with_results(Atoms("Cu"), energy=1.0), with_results(Atoms("Ag"), energy=2.0)
    found = compare(zero, [copper, copper, silver])
    assert found.indices.tolist() == [1, 2]
    assert compare(zero, hash_images([copper, silver])).indices.tolist() == [0, 1]


def test_images_without_any_reference_are_refused(zero):
    with pytest.raises(MissingDataError, match="None of the 1 images has a reference"):
        compare(zero, [Atoms("Cu")])


def test_no_images_are_refused(zero):
    with pytest.raises(ImageError, match="no images"):
        compare(zero, [])


def test_something_that_is_no_calculator_is_refused(trained):
    with pytest.raises(ParameterError, match=r"calculator or the path of a \.amp file"):
        compare(42, trained.images)


def test_a_missing_potential_file_is_told(trained, tmp_path):
    with pytest.raises(FileNotFoundError):
        compare(tmp_path / "none.amp", trained.images)
