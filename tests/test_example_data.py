"""The reference data of ``examples/data`` and the slab images made by ``examples/emt_slab.py``."""

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import read
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
N_IMAGES = {"ethanol_train": 300, "ethanol_test": 100, "water_train": 250, "water_test": 100}


@pytest.fixture(scope="module")
def data() -> dict[str, list[Atoms]]:
    """Images of every shipped file."""
    return {name: read(EXAMPLES / "data" / f"{name}.extxyz", index=":") for name in N_IMAGES}


@pytest.fixture(scope="module")
def emt_slab():
    """Return the example as a module, loaded from its file as a user's script would find it."""
    spec = importlib.util.spec_from_file_location("emt_slab", EXAMPLES / "emt_slab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def slabs(emt_slab) -> list[Atoms]:
    """Two images of each of the three strains."""
    return emt_slab.make_slab_images(6, 500.0, seed=7)


@pytest.mark.parametrize("name", N_IMAGES)
def test_every_file_holds_the_promised_images_with_finite_energies_and_forces(data, name):
    assert len(data[name]) == N_IMAGES[name]
    for atoms in data[name]:
        assert np.isfinite(atoms.get_potential_energy())
        assert np.isfinite(atoms.get_forces()).all()
        assert atoms.get_forces().shape == (len(atoms), 3)
        assert not atoms.pbc.any()


def test_forces_add_up_to_nothing_and_turn_nothing(data):
    for images in data.values():
        for atoms in images:
            forces = atoms.get_forces()
            np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-6)
            torque = np.cross(atoms.positions, forces).sum(axis=0)
            np.testing.assert_allclose(torque, 0.0, atol=1e-5)


def test_images_say_where_they_come_from(data):
    for name, images in data.items():
        kind, split = name.split("_")
        for atoms in images:
            assert atoms.info["config_type"].startswith(kind)
            assert atoms.info["trajectory"].startswith(f"{kind}-{split}-")
            assert f"{atoms.info['temperature']}K" in atoms.info["trajectory"]


def test_ethanol_stays_ethanol_and_water_clusters_hang_together(data):
    for atoms in data["ethanol_train"] + data["ethanol_test"]:
        assert atoms.get_chemical_formula() == "C2H6O"
        bonded = squareform(pdist(atoms.positions)) < 1.9
        assert connected_components(bonded)[0] == 1
    for atoms in data["water_train"] + data["water_test"]:
        n_molecules = int(atoms.info["config_type"].removeprefix("water_"))
        assert 2 <= n_molecules <= 6
        assert str(atoms.symbols) == str(Atoms("OH2" * n_molecules).symbols)
        oxygens = atoms.positions[::3]
        assert connected_components(squareform(pdist(oxygens)) < 4.0)[0] == 1


def test_the_head_of_a_file_holds_every_trajectory(data):
    for images in data.values():
        trajectories = {atoms.info["trajectory"] for atoms in images}
        head = {atoms.info["trajectory"] for atoms in images[: len(trajectories)]}
        assert head == trajectories


@pytest.mark.parametrize("kind", ["ethanol", "water"])
def test_train_and_test_share_no_image_and_no_trajectory(data, kind):
    from amp.core.images import get_hash

    train, test = data[f"{kind}_train"], data[f"{kind}_test"]
    keys = [get_hash(atoms) for atoms in train + test]
    assert len(set(keys)) == len(keys)
    origins = [{atoms.info["trajectory"] for atoms in images} for images in (train, test)]
    assert not origins[0] & origins[1]


def test_test_energies_lie_where_train_energies_lie(data):
    for kind in ("ethanol", "water"):
        train, test = (
            np.array([atoms.get_potential_energy() / len(atoms) for atoms in data[name]])
            for name in (f"{kind}_train", f"{kind}_test")
        )
        low, high = train.min(), train.max()
        assert np.mean((test >= low) & (test <= high)) >= 0.97
        assert abs(test.mean() - train.mean()) < 0.5 * train.std()


def test_tblite_gives_the_shipped_labels(data):
    tblite = pytest.importorskip("tblite.ase")
    for images in data.values():
        for image in images[:: len(images) // 3]:
            atoms = image.copy()
            atoms.calc = tblite.TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
            energy = atoms.get_potential_energy()
            assert energy == pytest.approx(image.get_potential_energy(), rel=0, abs=1e-6)
            np.testing.assert_allclose(atoms.get_forces(), image.get_forces(), atol=1e-5)


def test_the_data_stay_small():
    assert sum(path.stat().st_size for path in (EXAMPLES / "data").iterdir()) < 3_000_000


def test_the_same_seed_makes_the_same_slabs_and_another_seed_others(emt_slab, slabs):
    (again,) = emt_slab.make_slab_images(1, 500.0, seed=7)
    assert (again.positions == slabs[0].positions).all()
    assert again.get_potential_energy() == slabs[0].get_potential_energy()
    (other,) = emt_slab.make_slab_images(1, 500.0, seed=8)
    assert not np.allclose(other.positions, slabs[0].positions, atol=1e-3)


def test_every_temperature_and_strain_takes_its_turn(emt_slab):
    images = emt_slab.make_slab_images(3, [200.0, 400.0], adsorbates="N", strains=[0.01])
    assert [atoms.info["temperature"] for atoms in images] == [200.0, 400.0, 200.0]
    assert all(str(atoms.symbols) == "Cu27N" for atoms in images)
    assert all(atoms.pbc.all() and not atoms.constraints for atoms in images)


def test_too_many_adsorbates_are_refused(emt_slab):
    with pytest.raises(ValueError, match="one to 6 adsorbates, not 7"):
        emt_slab.make_slab_images(1, adsorbates="OOOOOOO")


def test_slab_forces_are_the_slope_of_the_energy(slabs):
    image = slabs[-1]
    for atom in (0, 13, len(image) - 1):
        for axis in range(3):
            slope = central_difference(partial(moved, image, atom, axis))
            assert image.get_forces()[atom, axis] == pytest.approx(-slope, abs=1e-5)


def test_slab_stress_is_the_slope_of_the_energy_in_strain(slabs):
    for image in slabs[:3]:
        for component, (row, column) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            slope = central_difference(partial(strained, image, row, column))
            stress = slope / image.get_volume()
            assert image.get_stress()[component] == pytest.approx(stress, abs=1e-6)


def test_the_slab_script_writes_a_file_with_stress(emt_slab, tmp_path):
    path = tmp_path / "slab.extxyz"
    emt_slab.main([str(path), "--n-images", "1", "--temperature", "100"])
    (image,) = read(path, index=":")
    assert image.info["temperature"] == 100
    assert image.get_stress().shape == (6,)


def central_difference(energy, h=1e-4):
    """Slope at zero of an energy."""
    return (energy(h) - energy(-h)) / (2 * h)


def moved(image, atom, axis, step):
    """EMT energy with one atom moved (eV)."""
    atoms = image.copy()
    atoms.positions[atom, axis] += step
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def strained(image, row, column, strain):
    """EMT energy of the cell and its atoms deformed symmetrically (eV)."""
    deformation = np.eye(3)
    deformation[row, column] += strain / 2
    deformation[column, row] += strain / 2
    atoms = image.copy()
    atoms.set_cell(atoms.cell @ deformation, scale_atoms=True)
    atoms.calc = EMT()
    return atoms.get_potential_energy()
