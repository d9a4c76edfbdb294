"""Keys, reading, checking and splitting of images."""

import copy
import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import ConflictingImagesError, ImageError, MissingDataError, ParameterError
from amp.core.images import (
    MetaDict,
    OrderedMetaDict,
    check_images,
    enforce_magnetic_moments,
    extract_an_atomic_chunk,
    get_hash,
    hash_images,
    image_places,
    randomize_images,
    read_images,
    stored_result,
    validate_images,
)

WATER = "02f93e511aa3f28dce4b078e74e0611d"  # ase.build.molecule("H2O"), by Amp 1.0.1


def coppers(n_images, n_atoms=2):
    """Different images, each with its own energy and forces."""
    rng = np.random.default_rng(7)
    images = []
    for index in range(n_images):
        atoms = Atoms("Cu" * n_atoms, positions=rng.normal(size=(n_atoms, 3)) * 3.0)
        images.append(labelled(atoms, energy=float(index), forces=np.full((n_atoms, 3), 0.1)))
    return images


def labelled(atoms, **results):
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def spoiled(kind):
    atoms = bulk("Cu", cubic=True)
    if kind == "position":
        atoms.positions[2, 1] = np.nan
    else:
        atoms.cell[1, 1] = np.inf
    return atoms


class Unused(Calculator):
    """Fails the test that calls it."""

    implemented_properties = ("energy", "forces")

    def calculate(self, *arguments, **named):
        pytest.fail("nothing may be calculated here")


# --- keys


def test_keys_are_those_of_amp(conformance_case):
    for index, atoms in enumerate(conformance_case.images):
        assert get_hash(atoms) == conformance_case.expected[f"{index}/hash"]


def test_the_key_of_water_is_the_one_users_have():
    assert get_hash(molecule("H2O")) == WATER


@pytest.mark.parametrize("pbc", list(np.ndindex(2, 2, 2)))
def test_a_key_is_the_md5_of_the_text_that_is_documented(pbc):
    atoms = fcc111("Pt", (2, 2, 2), vacuum=7.0)
    atoms.rattle(0.1, seed=1)
    atoms.pbc = pbc
    text = str(atoms.pbc)
    text += "".join(f"{x:.15f}" for x in atoms.cell.array.flatten())
    text += "".join(f"{z:3d}" for z in atoms.numbers)
    text += "".join(f"{x:.15f}" for x in atoms.positions.flatten())
    assert get_hash(atoms) == hashlib.md5(text.encode()).hexdigest()


def test_only_structure_enters_the_key():
    atoms = molecule("H2O")
    atoms.set_initial_magnetic_moments([1.0, 2.0, 3.0])
    atoms.set_initial_charges([1.0, 2.0, 3.0])
    atoms.set_tags([1, 2, 3])
    atoms.set_constraint(FixAtoms([0]))
    atoms.info["name"] = "water"
    assert get_hash(labelled(atoms, energy=-1.0)) == WATER


def test_every_part_of_the_structure_enters_the_key():
    atoms = bulk("Cu", cubic=True)
    changed = [atoms.copy() for _ in range(5)]
    changed[1].positions[0, 0] += 1e-14
    changed[2].cell[0, 0] += 1e-13
    changed[3].numbers[0] = 28
    changed[4].pbc[2] = False
    assert len({get_hash(image) for image in changed}) == 5


def test_a_shift_below_the_last_digit_changes_nothing_but_the_sign_of_zero_does():
    atoms = Atoms("H2", positions=[[0.0, 0.0, 0.0], [0.0, 0.0, 0.7]])
    shifted, negative = atoms.copy(), atoms.copy()
    shifted.positions[0, 0] += 1e-16
    negative.positions[0, 0] = -0.0
    assert get_hash(shifted) == get_hash(atoms)
    assert get_hash(negative) != get_hash(atoms)


def test_the_print_options_of_numpy_do_not_change_keys():
    with np.printoptions(precision=2, threshold=1, formatter={"all": lambda x: "?"}):
        assert get_hash(molecule("H2O")) == WATER


def test_a_structure_that_is_not_finite_has_no_key():
    with pytest.raises(ImageError, match=r"atom 2 \(Cu\) is at \[1\.805, nan, "):
        get_hash(spoiled("position"))
    with pytest.raises(ImageError, match=r"cell vector 1 is not finite: \[0\.0, inf, 0\.0\]"):
        get_hash(spoiled("cell"))


# --- collecting


def test_images_are_collected_under_their_keys_in_their_order():
    images = coppers(4)
    hashed = hash_images(images)
    assert type(hashed) is MetaDict
    assert list(hashed) == [get_hash(atoms) for atoms in images]
    assert all(one is other for one, other in zip(hashed.values(), images, strict=True))
    assert hashed.metadata["duplicates"] == {}


def test_the_last_of_equal_images_stays_and_all_are_counted():
    one, two = coppers(2)
    again, lines = one.copy(), []
    hashed = hash_images([one, two, again, one.copy(), two], log=lines.append)
    first, second = get_hash(one), get_hash(two)
    assert list(hashed) == [first, second]
    assert hashed[first] is not one
    assert hashed[second] is two
    assert hashed.metadata["duplicates"] == {first: 3, second: 2}
    warnings = [line for line in lines if "Warning" in line]
    assert len(warnings) == 3
    assert [first in line for line in warnings] == [True, True, False]
    assert lines[-1] == " 2 unique images after hashing."


def test_none_gives_none_and_a_mapping_comes_back_itself():
    lines = []
    mapping = {"my own key": molecule("H2O")}
    assert hash_images(None, log=lines.append) is None
    assert hash_images(mapping, log=lines.append) is mapping
    assert lines == [" 1 unique images after hashing."]


def test_an_ordered_result_is_an_ordered_dict_with_metadata():
    images = coppers(3)
    hashed = hash_images([*images, images[0]], ordered=True)
    assert isinstance(hashed, OrderedDict)
    assert hashed.metadata["duplicates"] == {get_hash(images[0]): 2}
    assert list(hashed) == [get_hash(atoms) for atoms in images]


def test_the_duplicates_of_two_calls_are_kept_apart():
    images = coppers(2)
    first = hash_images([images[0], images[0]])
    second = hash_images(images)
    assert first.metadata["duplicates"] == {get_hash(images[0]): 2}
    assert second.metadata["duplicates"] == {}


@pytest.mark.parametrize("kind", [MetaDict, OrderedMetaDict])
@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda d: d.copy(),
        *(lambda d, n=n: pickle.loads(pickle.dumps(d, n)) for n in range(pickle.HIGHEST_PROTOCOL)),
    ],
)
def test_copies_and_pickles_keep_their_own_metadata(kind, duplicate):
    original = kind({"b": 1, "a": 2})
    original.metadata["duplicates"] = {"b": 2}
    twin = duplicate(original)
    assert type(twin) is kind
    assert list(twin.items()) == [("b", 1), ("a", 2)]
    assert twin.metadata == {"duplicates": {"b": 2}}
    twin.metadata["duplicates"]["b"] = 3
    assert original.metadata == {"duplicates": {"b": 2}}


# --- conflicts


def test_one_structure_with_two_energies_is_refused_on_request_and_named():
    images = coppers(3)
    images.append(labelled(images[1], energy=1.5))
    assert hash_images(images)[get_hash(images[1])] is images[3]  # the last one stays
    with pytest.raises(ConflictingImagesError) as caught:
        hash_images(images, check_conflicts=True)
    message = str(caught.value)
    assert f"images [1, 3] ({get_hash(images[1])}): energy [1.0, 1.5] eV" in message
    assert isinstance(caught.value, ValueError)


def test_one_structure_with_two_sets_of_forces_is_refused():
    one = labelled(molecule("H2O"), energy=1.0, forces=np.zeros((3, 3)))
    other = labelled(molecule("H2O"), energy=1.0, forces=np.eye(3) * 2e-3)
    with pytest.raises(ConflictingImagesError, match=r"forces .* apart by up to 0.002 eV/Å"):
        hash_images([one, other], check_conflicts=True)


def test_all_conflicts_are_reported_at_once():
    images = coppers(2)
    images += [labelled(atoms, energy=-5.0) for atoms in images]
    with pytest.raises(ConflictingImagesError) as caught:
        hash_images(images, check_conflicts=True)
    assert "2 structure(s)" in str(caught.value)
    assert "[0, 2]" in str(caught.value)
    assert "[1, 3]" in str(caught.value)


@pytest.mark.parametrize("difference", [0.0, 5e-7])
def test_equal_results_are_no_conflict(difference):
    water = molecule("H2O")
    forces = np.zeros((3, 3))
    images = [
        labelled(water, energy=-14.0, forces=forces),
        labelled(water, energy=-14.0 + difference, forces=forces - difference),
        labelled(water),
        water,
    ]
    assert hash_images(images, check_conflicts=True).metadata["duplicates"] == {WATER: 4}


def test_a_live_calculator_is_not_called_to_look_for_conflicts():
    images = [molecule("H2O") for _ in range(2)]
    for atoms in images:
        atoms.calc = Unused()
    assert len(hash_images(images, check_conflicts=True)) == 1


# --- reading


@pytest.fixture
def files(tmp_path):
    """The same five images in several formats."""
    images = coppers(5)
    names = ["images.traj", "images.extxyz", "images.db", "images.json"]
    for name in names:
        ase.io.write(tmp_path / name, images)
    return {name: tmp_path / name for name in names}


@pytest.mark.parametrize("name", ["images.traj", "images.extxyz", "images.db", "images.json"])
@pytest.mark.parametrize("kind", [str, Path])
def test_any_file_that_ase_reads_gives_all_its_images(files, name, kind):
    images = read_images(kind(files[name]))
    assert [stored_result(atoms, "energy") for atoms in images] == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["images.traj", "images.extxyz", "images.db"])
@pytest.mark.parametrize(
    ("selection", "energies"), [("1:3", [1.0, 2.0]), (":2", [0.0, 1.0]), ("3", [3.0])]
)
def test_a_selection_follows_the_name_of_a_file(files, name, selection, energies):
    images = read_images(f"{files[name]}@{selection}")
    assert [stored_result(atoms, "energy") for atoms in images] == energies


def test_a_file_may_have_an_at_sign_in_its_name(tmp_path):
    path = tmp_path / "images@300K.traj"
    ase.io.write(path, coppers(3))
    assert len(read_images(path)) == 3
    assert len(read_images(f"{path}@1:")) == 2


def test_paths_structures_and_iterators_can_be_mixed(files):
    water = molecule("H2O")
    mixed = iter([f"{files['images.traj']}@:2", water, files["images.extxyz"]])
    assert len(read_images(mixed)) == 8
    assert read_images(water) == [water]
    assert read_images({"key": water}) == [water]
    assert len(hash_images([files["images.traj"], str(files["images.traj"])])) == 5


def test_trajectories_are_read_as_they_were_hashed_before(files):
    with ase.io.Trajectory(files["images.traj"]) as trajectory:
        assert list(hash_images(trajectory)) == list(hash_images(files["images.traj"]))


def test_a_database_that_was_selected_from_can_be_given(files):
    with connect(files["images.db"]) as database:
        rows = (row.toatoms() for row in database.select("energy>2"))
        assert len(read_images(rows)) == 2


@pytest.mark.parametrize("name", ["no-such-file.traj", "no-such-file.traj@:", "abc", "", Path("x")])
@pytest.mark.parametrize("function", [read_images, hash_images, randomize_images])
def test_a_text_that_is_no_file_is_a_file_not_found(name, function):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        function(name)


def test_a_file_that_ase_cannot_read_is_named(tmp_path):
    path = tmp_path / "broken.traj"
    path.write_bytes(b"this is no trajectory")
    with pytest.raises(ImageError, match=r"ASE cannot read images from .*broken\.traj"):
        read_images(path)


@pytest.mark.parametrize("images", [[], (), iter([])])
def test_no_images_are_an_error(images):
    with pytest.raises(ImageError, match="There are no images"):
        hash_images(images)


def test_a_selection_of_no_images_is_an_error(files):
    with pytest.raises(ImageError):
        read_images(f"{files['images.extxyz']}@7:")


@pytest.mark.parametrize("images", [3, None, object()])
def test_what_is_no_set_of_images_is_a_type_error(images):
    with pytest.raises(TypeError, match="Images are Atoms, paths or a list"):
        read_images(images)


def test_an_item_that_is_no_image_is_a_type_error_that_says_which():
    with pytest.raises(
        TypeError, match="Item 1 of the images is neither Atoms nor a path but list"
    ):
        read_images([molecule("H2O"), [molecule("H2O")]])


# --- validation


def test_all_bad_images_are_named_at_once():
    images = [
        molecule("H2O"), spoiled("position"), Atoms(), molecule("CO"), spoiled("cell"),
    ]  # fmt: skip
    with pytest.raises(ImageError) as caught:
        validate_images(images)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("3 image(s) cannot be used")
    assert lines[1].startswith("  image 1 (")
    assert "atom 2 (Cu) is at [1.805, nan, " in lines[1]
    assert lines[2].startswith(f"  image 2 ({get_hash(Atoms())[:8]}): it has no atoms")
    assert lines[3].startswith("  image 4 (")
    assert "cell vector 1" in lines[3]


def test_hashing_refuses_bad_images_too():
    with pytest.raises(ImageError, match=r"2 image\(s\) cannot be used"):
        hash_images([molecule("H2O"), spoiled("cell"), Atoms()])


def test_good_images_pass():
    assert validate_images([molecule("H2O"), bulk("Cu")]) is None
    assert validate_images({"key": molecule("H2O")}) is None


# --- checking for data


def test_images_with_all_data_pass():
    images = hash_images(coppers(3))
    assert check_images(images, forces=True) is None
    assert check_images(images, forces=False) is None


def test_missing_data_are_counted_and_located():
    images = coppers(5)
    images[1] = labelled(images[1], forces=np.zeros((2, 3)))
    images[2] = labelled(images[2])
    images[4] = labelled(images[4], energy=1.0)
    hashed = hash_images(images)
    keys = list(hashed)
    with pytest.raises(MissingDataError) as caught:
        check_images(hashed, forces=True)
    first, *details = str(caught.value).splitlines()
    assert first.startswith("Missing energy in 2 image(s). Missing forces in 2 image(s).")
    assert details == [
        f"  energy: image 1 ({keys[1]}), image 2 ({keys[2]})",
        f"  forces: image 2 ({keys[2]}), image 4 ({keys[4]})",
    ]
    with pytest.raises(MissingDataError, match=r"^Missing energy in 2 image\(s\)\. (?!Missing)"):
        check_images(hashed, forces=False)


def test_forces_alone_can_be_missing():
    hashed = hash_images([labelled(molecule("H2O"), energy=1.0)])
    assert check_images(hashed, forces=False) is None
    with pytest.raises(MissingDataError, match=r"^Missing forces in 1 image\(s\)\."):
        check_images(hashed, True)


def test_stress_is_asked_for_on_request():
    atoms = labelled(bulk("Cu"), energy=1.0, forces=np.zeros((1, 3)))
    assert check_images({"a": atoms}, forces=True) is None
    with pytest.raises(MissingDataError, match=r"^Missing stress in 1 image\(s\)\."):
        check_images({"a": atoms}, forces=True, stress=True)
    atoms = labelled(bulk("Cu"), energy=1.0, forces=np.zeros((1, 3)), stress=np.zeros(6))
    assert check_images({"a": atoms}, forces=True, stress=True) is None


def test_an_image_without_calculator_counts_as_missing():
    with pytest.raises(MissingDataError, match=rf"image 0 \({WATER}\), no calculator"):
        check_images(hash_images([molecule("H2O")]), forces=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_count_as_missing_and_are_named_so(bad):
    forces = np.zeros((3, 3))
    forces[1, 2] = bad
    atoms = labelled(molecule("H2O"), energy=bad, forces=forces)
    with pytest.raises(MissingDataError) as caught:
        check_images(hash_images([atoms]), forces=True)
    assert "Missing energy in 1 image(s). Missing forces in 1 image(s)." in str(caught.value)
    assert str(caught.value).count(f"image 0 ({WATER}), not finite") == 2


def test_only_the_first_ten_are_located():
    images = hash_images([labelled(atoms) for atoms in coppers(13)])
    with pytest.raises(MissingDataError) as caught:
        check_images(images, forces=False)
    assert str(caught.value).count("image(s)") == 1
    assert "image 9 (" in str(caught.value)
    assert "image 10 (" not in str(caught.value)
    assert str(caught.value).endswith("and 3 more")


def test_a_live_calculator_counts_by_what_it_can_compute_and_is_not_called():
    atoms = molecule("H2O")
    atoms.calc = Unused()
    check_images({"a": atoms}, forces=True)
    with pytest.raises(MissingDataError, match="its calculator does not compute it"):
        check_images({"a": atoms}, forces=True, stress=True)


def test_results_of_a_structure_that_was_moved_since_are_missing():
    atoms = labelled(molecule("H2O"), energy=1.0)
    atoms.positions[0, 0] += 0.1
    with pytest.raises(MissingDataError, match="the structure was changed after its calculation"):
        check_images({"a": atoms}, forces=False)


def test_looking_up_a_result_keeps_it():
    atoms = labelled(molecule("H2O"), energy=1.5)
    assert stored_result(atoms, "energy") == 1.5
    assert stored_result(atoms, "forces") is None
    assert stored_result(molecule("H2O"), "energy") is None


# --- splitting


def energies(images):
    return [stored_result(atoms, "energy") for atoms in images]


def test_the_split_is_the_old_one_for_the_same_seed():
    np.random.seed(42)
    train, test = randomize_images(coppers(10), fraction=0.6)
    np.random.seed(42)
    drawn: list[int] = []
    while len(drawn) < 4:
        index = np.random.randint(10)
        if index not in drawn:
            drawn.append(index)
    assert energies(test) == sorted(drawn)
    assert energies(train) == [index for index in range(10) if index not in drawn]


@pytest.mark.parametrize("rng", [None, np.random.default_rng(3)])
@pytest.mark.parametrize(
    ("fraction", "n_train"), [(0.8, 8), (0.85, 8), (0.0, 0), (1.0, 10), (0.05, 0)]
)
def test_a_split_has_the_sizes_asked_for_and_keeps_the_order(rng, fraction, n_train):
    train, test = randomize_images(coppers(10), fraction, rng)
    assert len(train) == n_train
    assert sorted(energies(train) + energies(test)) == list(range(10))
    assert energies(train) == sorted(energies(train))
    assert energies(test) == sorted(energies(test))


def test_a_generator_decides_alone_and_leaves_the_global_one():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    images = coppers(20)
    splits = [
        energies(randomize_images(images, 0.5, np.random.default_rng(s))[1]) for s in (1, 1, 2)
    ]
    assert splits[0] == splits[1] != splits[2]
    assert_array_equal(np.random.get_state()[1], state)


def test_a_path_can_be_split(files):
    train, test = randomize_images(str(files["images.db"]), 0.6)
    assert (len(train), len(test)) == (3, 2)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, np.nan])
def test_a_fraction_outside_of_0_and_1_is_refused(fraction):
    with pytest.raises(ParameterError, match=r"must be in \[0, 1\]"):
        randomize_images(coppers(2), fraction)


# --- smaller things


def test_magnetic_moments_are_set_by_element():
    atoms = Atoms(["Fe", "Co", "Ni", "Ru", "Rh", "O"], positions=np.arange(18.0).reshape(6, 3))
    atoms.set_initial_magnetic_moments([9.0, 9.0, 9.0, 9.0, 9.0, 0.5])
    assert enforce_magnetic_moments(atoms) is atoms
    assert_allclose(atoms.get_initial_magnetic_moments(), [2.0, 2.1, 1.5, 2.0, 1.8, 0.5])
    enforce_magnetic_moments(atoms, {"O": 1.0, "Fe": 4.0})
    assert_allclose(atoms.get_initial_magnetic_moments(), [4.0, 2.1, 1.5, 2.0, 1.8, 1.0])


def test_a_chunk_is_an_atom_and_its_neighbors():
    crystal = bulk("Cu", cubic=True)  # each atom has 12 neighbors at 2.55 Å, most in other cells
    crystal.set_constraint(FixAtoms([0, 1]))
    before = crystal.copy()
    chunk, (key, first) = extract_an_atomic_chunk(crystal, 2, cutoff=2.7, vacuum=4.0)
    assert len(chunk) == 13
    assert (key, first) == (get_hash(chunk), 0)
    assert not chunk.pbc.any()
    assert chunk.constraints == []
    assert_allclose(chunk.get_distances(0, range(1, 13)), 3.61 / np.sqrt(2))
    assert_allclose(chunk.positions.min(axis=0), 4.0)
    assert_allclose(chunk.cell.lengths() - chunk.positions.max(axis=0), 4.0)
    assert chunk.calc is None
    assert crystal == before
    assert len(crystal.constraints) == 1


def test_the_atom_in_the_middle_of_a_chunk_is_the_first():
    atoms = molecule("CH3CH2OH")
    oxygen = atoms.symbols.indices()["O"][0]
    chunk, _ = extract_an_atomic_chunk(atoms, oxygen, cutoff=1.2)
    assert chunk.get_chemical_formula(mode="reduce") == "OH"
    chunk, _ = extract_an_atomic_chunk(atoms, -len(atoms) + oxygen, cutoff=1.2)
    assert chunk.symbols[0] == "O"
    with pytest.raises(IndexError):
        extract_an_atomic_chunk(atoms, len(atoms))


def test_a_chunk_carries_the_results_of_the_calculator():
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=0)
    chunk, _ = extract_an_atomic_chunk(crystal, 0, parent_calc=EMT(), cutoff=4.0)
    reference = chunk.copy()
    reference.calc = EMT()
    assert_allclose(stored_result(chunk, "energy"), reference.get_potential_energy())
    assert_allclose(stored_result(chunk, "forces"), reference.get_forces(), atol=1e-12)


def test_places_are_those_in_the_sequence_and_not_among_unique_images():
    water, ammonia = molecule("H2O"), molecule("NH3")
    hashed = hash_images([water, water.copy(), ammonia])
    assert image_places(hashed) == [1, 2]
    assert image_places(dict(hashed)) == [0, 1]
    with pytest.raises(MissingDataError, match=rf"image 2 \({get_hash(ammonia)}\)"):
        check_images(hashed, forces=False)


def test_a_bare_copy_does_not_displace_an_image_with_results_from_a_training():
    water = molecule("H2O")
    water.calc = SinglePointCalculator(water, energy=1.0)
    hashed = hash_images([water, water.copy()], check_conflicts=True)
    assert hashed[get_hash(water)] is water


def test_different_stresses_of_one_structure_are_a_conflict():
    images = [bulk("Cu") for _ in range(2)]
    for atoms, pressure in zip(images, (0.0, 0.1), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, stress=np.full(6, pressure))
    with pytest.raises(ConflictingImagesError, match="stress"):
        hash_images(images, check_conflicts=True)
