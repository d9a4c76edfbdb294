import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.geometry import complete_cell
from ase.neighborlist import primitive_neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from amp.core import _neighbor_kernels as kernels
from amp.core.errors import ImageError
from amp.core.neighbors import NeighborList, NeighborPairs, find_neighbors, neighbor_pairs

FIELDS = ("first", "second", "vectors", "distances", "starts")


def brute_force(positions, cell, pbc, cutoff):
    """All pairs, from nothing but loops over images; (first, second, vectors) in any order."""
    periodic = np.asarray(cell, float)[np.asarray(pbc)]
    reciprocal = np.linalg.pinv(periodic)  # (3, n_periodic)
    far = np.ceil(cutoff * np.linalg.norm(reciprocal, axis=0) + 0.5).astype(int)
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in far))))
    first, second, vectors = [], [], []
    for i, j in itertools.product(range(len(positions)), repeat=2):
        direct = positions[j] - positions[i]
        images = direct + (shifts - np.round(direct @ reciprocal)) @ periodic
        near = np.linalg.norm(images, axis=1) < cutoff
        if i == j:
            near &= images.any(axis=1)
        first += [i] * near.sum()
        second += [j] * near.sum()
        vectors += list(images[near])
    return np.array(first, int), np.array(second, int), np.reshape(vectors, (-1, 3))


def rows(first, second, vectors):
    """Pairs as rows in an order that does not depend on rounding."""
    table = np.column_stack((first, second, np.round(vectors, 6) + 0.0))
    return table[np.lexsort(table.T[::-1])]


def assert_same_pairs(pairs, first, second, vectors):
    assert len(pairs.first) == len(first)
    assert_allclose(
        rows(pairs.first, pairs.second, pairs.vectors), rows(first, second, vectors), atol=2e-6
    )


def assert_identical(pairs, others):
    for field in FIELDS:
        assert_array_equal(getattr(pairs, field), getattr(others, field), strict=True)


def assert_well_formed(pairs, n_atoms, cutoff):
    n_pairs = len(pairs.first)
    shapes = ((n_pairs,), (n_pairs,), (n_pairs, 3), (n_pairs,), (n_atoms + 1,))
    types = (np.int64, np.int64, np.float64, np.float64, np.int64)
    for field, shape, dtype in zip(FIELDS, shapes, types, strict=True):
        array = getattr(pairs, field)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
    assert_array_equal(pairs.starts, np.searchsorted(pairs.first, np.arange(n_atoms + 1)))
    assert (np.diff(pairs.first) >= 0).all()
    for i in range(n_atoms):
        assert (np.diff(pairs.second[pairs.starts[i] : pairs.starts[i + 1]]) >= 0).all()
    assert (pairs.distances < cutoff).all()
    assert_allclose(pairs.distances, np.linalg.norm(pairs.vectors, axis=1), rtol=1e-14)


def assume_clear_cut(positions, cell, pbc, cutoff):
    """Leave out structures where rounding decides whether a pair lies within the cutoff."""
    distances = np.linalg.norm(brute_force(positions, cell, pbc, cutoff + 1e-6)[2], axis=1)
    assume((distances > 1e-2).all() and (distances < cutoff - 1e-6).all())


@st.composite
def structures(draw):
    """Positions, cell, pbc, cutoff: skewed, left-handed, partly periodic, tiny, far outside."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pbc = np.array(draw(st.tuples(*[st.booleans()] * 3)))
    cell = np.diag(rng.uniform(1.5, 7.0, 3))
    cell += draw(st.sampled_from([0.0, 0.5, 2.0])) * np.triu(rng.uniform(-1, 1, (3, 3)), 1)
    cell = cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0]  # any orientation
    if draw(st.booleans()):
        cell[[0, 1]] = cell[[1, 0]]
    skew = draw(st.integers(-6, 6))
    cell[2] += skew * cell[0]
    n_atoms = draw(st.integers(0, 7))
    positions = rng.uniform(size=(n_atoms, 3)) @ cell
    positions += (
        draw(st.sampled_from([0, 1, 5])) * rng.integers(-3, 4, (n_atoms, 3)) @ (cell * pbc[:, None])
    )
    if draw(st.booleans()):
        cell[~pbc] = 0.0
    return positions, cell, pbc, draw(st.floats(0.5, 7.0))


@settings(deadline=None, max_examples=100)
@given(structures())
def test_pairs_agree_with_brute_force(structure):
    assume_clear_cut(*structure)
    positions, _, _, cutoff = structure
    pairs = find_neighbors(*structure)
    assert_well_formed(pairs, len(positions), cutoff)
    assert_same_pairs(pairs, *brute_force(*structure))


@settings(deadline=None, max_examples=40)
@given(structures())
def test_pairs_agree_with_ase(structure):
    assume_clear_cut(*structure)
    positions, cell, pbc, cutoff = structure
    assume(len(positions) > 0)
    full_cell = complete_cell(cell)  # ase 3.29 loses pairs of atoms outside a cell with zero rows
    full_cell[~pbc] *= 20.0
    expected = primitive_neighbor_list("ijD", pbc, full_cell, positions, cutoff)
    assert_same_pairs(find_neighbors(*structure), *expected)


@settings(deadline=None, max_examples=50)
@given(structures())
def test_every_pair_has_its_exact_opposite(structure):
    pairs = find_neighbors(*structure)
    forth = np.column_stack((pairs.first, pairs.second, pairs.vectors + 0.0))
    back = np.column_stack((pairs.second, pairs.first, 0.0 - pairs.vectors))
    forth, back = (table[np.lexsort(table.T)] for table in (forth, back))
    assert_array_equal(forth, back)


@settings(deadline=None, max_examples=50)
@given(structures(), st.integers(0, 2**32 - 1))
def test_translation_and_lattice_vectors_leave_pairs_unchanged(structure, seed):
    assume_clear_cut(*structure)
    positions, cell, pbc, cutoff = structure
    rng = np.random.default_rng(seed)
    wanderings = rng.integers(-4, 5, positions.shape) @ (cell * pbc[:, None])
    moved = find_neighbors(positions + wanderings + rng.normal(size=3), cell, pbc, cutoff)
    pairs = find_neighbors(*structure)
    assert_same_pairs(moved, pairs.first, pairs.second, pairs.vectors)


@settings(deadline=None, max_examples=50)
@given(structures(), st.randoms(use_true_random=False))
def test_permutation_permutes_the_pairs(structure, random):
    positions, cell, pbc, cutoff = structure
    order = list(range(len(positions)))
    random.shuffle(order)
    order = np.array(order, int)
    pairs = find_neighbors(*structure)
    permuted = find_neighbors(positions[order], cell, pbc, cutoff)
    assert_same_pairs(pairs, order[permuted.first], order[permuted.second], permuted.vectors)


def test_cutoff_is_strict():
    positions = [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
    assert len(find_neighbors(positions, np.zeros((3, 3)), [False] * 3, 2.0).first) == 0
    beyond = np.nextafter(2.0, 3.0)
    assert len(find_neighbors(positions, np.zeros((3, 3)), [False] * 3, beyond).first) == 2


def test_shells_of_fcc_have_their_known_sizes():
    atom = bulk("Cu", "fcc", a=4.0)
    for cutoff, n_pairs in ((2.9, 12), (4.1, 18), (5.0, 42), (5.7, 54), (6.4, 78)):
        pairs = neighbor_pairs(atom, cutoff)
        assert_array_equal(pairs.starts, [0, n_pairs])
        assert not pairs.second.any()


def test_cell_five_times_smaller_than_the_cutoff_agrees_with_the_supercell():
    atom = bulk("Si", "diamond", a=2.0)
    once = neighbor_pairs(atom, 10.0)
    many = neighbor_pairs(atom * (4, 3, 2), 10.0)
    assert_allclose(np.sort(many.distances), np.sort(np.tile(once.distances, 24)), atol=1e-9)


@pytest.mark.parametrize("skew", [7, 100])
def test_a_strongly_skewed_cell_gives_the_pairs_of_the_compact_one(skew):
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    skewed = atoms.copy()
    skewed.cell[2] += skew * atoms.cell[0] - skew * atoms.cell[1]
    skewed.cell[1] += 3 * atoms.cell[0]
    pairs = neighbor_pairs(atoms, 6.0)
    assert_same_pairs(neighbor_pairs(skewed, 6.0), pairs.first, pairs.second, pairs.vectors)


def test_cells_of_directions_that_are_not_periodic_do_not_matter():
    slab = fcc111("Cu", (2, 2, 3), vacuum=None)
    slab.rattle(0.05, seed=2)
    assert not slab.cell[2].any()
    pairs = neighbor_pairs(slab, 5.0)
    for third in ([0.0, 0.0, 1.0], [1.0, 2.0, -30.0], slab.cell[0]):
        slab.cell[2] = third
        assert_identical(neighbor_pairs(slab, 5.0), pairs)


def test_a_molecule_needs_no_cell():
    ethanol = molecule("CH3CH2OH")
    pairs = neighbor_pairs(ethanol, 100.0)
    n = len(ethanol)
    assert_array_equal(np.diff(pairs.starts), n - 1)
    distances = ethanol.get_all_distances()
    assert_allclose(pairs.distances, distances[~np.eye(n, dtype=bool)], rtol=1e-14)


@pytest.mark.parametrize("pbc", [False, True])
def test_no_atoms_and_a_lone_atom_have_no_pairs(pbc):
    for n_atoms in (0, 1):
        pairs = find_neighbors(np.zeros((n_atoms, 3)), 9.0 * np.eye(3), [pbc] * 3, 5.0)
        assert_well_formed(pairs, n_atoms, 5.0)
        assert len(pairs.first) == 0


def test_threads_change_nothing():
    atoms = bulk("Cu", cubic=True) * (7, 8, 9)
    atoms.rattle(0.05, seed=0)
    alone, shared = NeighborList(4.0), NeighborList(4.0)
    for _ in range(2):
        assert_identical(alone.update(atoms), shared.update(atoms, threads=3))
        atoms.positions += 0.01
    atoms.positions[1900] = atoms.positions[77] + 1e-4
    with pytest.raises(ImageError, match=r"Atoms 77 and 1900 are 0\.00017 Å apart"):
        shared.update(atoms, threads=3)


def test_few_atoms_far_apart_and_clusters_far_apart_stay_cheap():
    rng = np.random.default_rng(0)
    lattice = 3.0 * np.array(list(itertools.product(range(12), repeat=3)))
    lattice += rng.uniform(-0.3, 0.3, lattice.shape)
    one = find_neighbors(lattice, np.zeros((3, 3)), [False] * 3, 5.0)
    far = 1e6 * np.array([[0, 0, 0], [1, 1, 1], [-3, 0, 5], [0, 2, 0]])
    n = len(lattice)
    tracemalloc.start()
    pairs = find_neighbors(
        np.concatenate([lattice + place for place in far]), np.zeros((3, 3)), [False] * 3, 5.0
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(pairs.second, np.concatenate([one.second + n * k for k in range(4)]))
    assert peak < 50e6
    lonely = np.array([[0, 0, 0], [9e6, 0, 0], [0, -9e6, 9e6], [9e6, 0, 1.0]])
    assert_array_equal(find_neighbors(lonely, np.zeros((3, 3)), [False] * 3, 5.0).first, [1, 3])


def test_a_dilute_gas_has_the_pairs_of_brute_force():
    rng = np.random.default_rng(1)
    positions = rng.uniform(0, 1e4, (300, 3))
    positions[::3] = positions[1::3] + rng.uniform(-4, 4, (100, 3))
    arguments = positions, np.zeros((3, 3)), [False] * 3, 5.0
    pairs = find_neighbors(*arguments)
    assert len(pairs.first) > 100
    assert_same_pairs(pairs, *brute_force(*arguments))


@settings(deadline=None, max_examples=30)
@given(structures(), st.integers(0, 2**32 - 1), st.floats(0.0, 2.0))
def test_skin_list_equals_a_fresh_list_along_a_random_walk(structure, seed, skin):
    positions, cell, pbc, cutoff = structure
    atoms = Atoms(f"H{len(positions)}" if len(positions) else "", positions, cell=cell, pbc=pbc)
    skin_list = NeighborList(cutoff, skin=skin)
    rng = np.random.default_rng(seed)
    for _ in range(12):  # drifts through the faces of the cell as well
        try:
            fresh = neighbor_pairs(atoms, cutoff)
        except ImageError:
            break
        assert_identical(skin_list.update(atoms), fresh)
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape) + 0.05


def silicon():
    atoms = bulk("Si", "diamond", a=5.469, cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def test_skin_list_is_reused_until_an_atom_moves_half_the_skin():
    atoms = silicon()
    skin_list = NeighborList(5.5, skin=0.4)
    skin_list.update(atoms)
    atoms.positions[3, 0] += 0.19
    atoms.positions[5, 1] -= 0.19
    assert_identical(skin_list.update(atoms), neighbor_pairs(atoms, 5.5))
    assert skin_list.n_builds == 1
    atoms.positions[5, 1] -= 0.02
    assert_identical(skin_list.update(atoms), neighbor_pairs(atoms, 5.5))
    assert skin_list.n_builds == 2


def change_cell(atoms):
    atoms.set_cell(atoms.cell * 0.97, scale_atoms=False)


def change_pbc(atoms):
    atoms.pbc = (True, False, True)


def add_an_atom(atoms):
    atoms.extend(Atoms("Si", [atoms.positions[0] + [1.0, 0.9, 0.0]]))


def remove_an_atom(atoms):
    del atoms[2]


def change_species(atoms):
    atoms.symbols[4] = "Ge"


@pytest.mark.parametrize(
    "change", [change_cell, change_pbc, add_an_atom, remove_an_atom, change_species]
)
def test_skin_list_notices_every_other_change(change):
    atoms = silicon()
    skin_list = NeighborList(5.5, skin=1.0)
    skin_list.update(atoms)
    change(atoms)
    assert_identical(skin_list.update(atoms), neighbor_pairs(atoms, 5.5))
    assert skin_list.n_builds == 2


def test_skin_list_leaves_earlier_pairs_and_the_atoms_alone():
    atoms = silicon()
    untouched = atoms.copy()
    skin_list = NeighborList(5.5, skin=1.0)
    pairs = skin_list.update(atoms)
    distances = pairs.distances.copy()
    assert atoms == untouched
    atoms.positions += 0.1
    atoms.positions[0] -= 0.2
    skin_list.update(atoms)
    assert skin_list.n_builds == 1
    assert_array_equal(pairs.distances, distances)


def test_skin_list_recovers_after_a_broken_step():
    atoms = silicon()
    good = atoms.positions.copy()
    skin_list = NeighborList(5.5, skin=1.0)
    skin_list.update(atoms)
    atoms.positions[1, 1] = np.nan
    with pytest.raises(ImageError, match=r"atom\(s\) 1 "):
        skin_list.update(atoms)
    atoms.positions = good
    assert_identical(skin_list.update(atoms), neighbor_pairs(atoms, 5.5))


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_that_is_no_length_is_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff"):
        neighbor_pairs(silicon(), cutoff)
    with pytest.raises(ValueError, match="cutoff"):
        NeighborList(cutoff)


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf])
def test_a_skin_that_is_no_length_is_refused(skin):
    with pytest.raises(ValueError, match="skin"):
        NeighborList(5.0, skin=skin)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_positions_that_are_no_numbers_are_refused_with_the_atoms_named(value):
    atoms = silicon()
    atoms.positions[[2, 6], 1] = value
    with pytest.raises(ImageError, match=r"atom\(s\) 2, 6 .*not finite"):
        neighbor_pairs(atoms, 5.0)


@pytest.mark.parametrize(
    ("cell", "pbc", "message"),
    [
        (np.diag([5.0, 5.0, 0.0]), [True] * 3, r"Direction 2 .*set pbc\[2\] to False"),
        ([[4.0, 0, 0], [8.0, 0, 0], [0, 0, 4.0]], [True] * 3, "parallel"),
        ([[4.0, 0, 0], [4.0 * np.pi, 0, 0], [0, 0, 0]], [True, True, False], "parallel"),
        ([[4.0, 0, 0], [-2, 3, 0], [-2, -3, 0]], [True] * 3, "in one plane"),
        (np.diag([5.0, 0.01, 5.0]), [True] * 3, "repeat within 0.1"),
        (np.diag([5.0, np.nan, 5.0]), [True] * 3, "not finite"),
    ],
)
def test_a_degenerate_cell_is_refused_with_what_to_do(cell, pbc, message):
    with pytest.raises(ImageError, match=message):
        find_neighbors([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], cell, pbc, 5.0)


@pytest.mark.parametrize("offset", [[0, 0, 0], [0, 0, 5e-4], [5.469, 0, -5.469]])
def test_atoms_on_top_of_each_other_are_refused_and_named(offset):
    atoms = silicon()
    atoms.positions[6] = atoms.positions[3] + offset
    with pytest.raises(ImageError, match=r"Atoms 3 and 6 .*on top of each other"):
        neighbor_pairs(atoms, 5.0)
    with pytest.raises(ImageError, match=r"Atoms 3 and 6"):
        NeighborList(5.0).update(atoms)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        find_neighbors(np.zeros((2, 2)), np.eye(3), [False] * 3, 5.0)


def test_importing_the_module_does_not_import_numba():
    code = "import sys, amp.core.neighbors; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_give_the_same_in_plain_python():
    positions = np.array([[0.1, 0.2, 0.3], [4.0, 1.1, -0.7], [1.4, 1.2, 9.0]])
    cell = np.array([[2.5, 0.0, 0.0], [7.0, 2.2, 0.0], [0.0, 0.0, 0.0]])
    pbc, cutoff = np.array([True, True, False]), 3.0
    with pytest.MonkeyPatch.context() as patch:
        for name in [*kernels.__all__, "_distance_to_slab"]:
            patch.setattr(kernels, name, getattr(kernels, name).py_func)
        plain = find_neighbors(positions, cell, pbc, cutoff)
        assert kernels.has_moved(positions, positions + 0.1, 0.17)
        assert not kernels.has_moved(positions, positions + 0.1, 0.18)
    assert isinstance(plain, NeighborPairs)
    assert_identical(plain, find_neighbors(positions, cell, pbc, cutoff))
    assert_same_pairs(plain, *brute_force(positions, cell, pbc, cutoff))
