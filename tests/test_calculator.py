import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms
from ase.io import read, write
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from amp import Amp
from amp.core.errors import (
    AmpFileError,
    CalculatorInUseError,
    ImageError,
    OutputExistsError,
    ParameterError,
    UnsupportedElementError,
)
from amp.descriptor.cutoffs import Cosine, Polynomial, Quintic, Smoothstep, Tanh3
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model.neuralnetwork import NeuralNetwork
from amp.testing import (
    assert_forces_match_energy,
    assert_stress_matches_energy,
    clusters,
    crystals,
    keeps_clear_of,
    random_potential,
    seeds,
)

CUTOFFS = [
    Cosine(5.0),
    Polynomial(5.0, gamma=3),
    Quintic(5.0),
    Tanh3(5.0),
    Smoothstep(5.0, order=4),
]


def shaken(atoms, seed=0, size=0.08):
    atoms.positions += np.random.default_rng(seed).uniform(-size, size, atoms.positions.shape)
    return atoms


def slab():
    atoms = fcc111("Cu", (2, 2, 2), a=3.6, vacuum=5.0)
    add_adsorbate(atoms, "O", 1.3, "fcc")
    return shaken(atoms)


def bulk_cells():
    """Cells smaller than the cutoff, with one atom and with two, cubic, sheared and strained."""
    primitive = bulk("Cu", a=3.6)
    strained = bulk("Cu", a=3.68)
    strained.set_cell(strained.cell.array @ [[1.0, 0.06, 0], [0, 0.97, -0.03], [0, 0, 1.02]], True)
    oxide = shaken(bulk("CuO", "rocksalt", a=4.2))
    cubic = shaken(bulk("Cu", a=3.55, cubic=True))
    return [primitive, strained, oxide, cubic]


STRUCTURES = {
    "molecule": shaken(molecule("CH3OH")),
    "linear molecule": Atoms("CO2", positions=[[0, 0, 0], [0, 0, 1.2], [0, 0, -1.15]]),
    "dimer": Atoms("CuO", positions=[[0, 0, 0], [1.2, 0.7, -1.0]]),
    "slab": slab(),
    "primitive cell": bulk_cells()[0],
    "sheared cell": bulk_cells()[1],
    "oxide": bulk_cells()[2],
    "cubic cell": bulk_cells()[3],
    "three elements in a cell": shaken(
        Atoms("CuOH", positions=[[0, 0, 0], [1.9, 0.1, 0.2], [1.7, 1.1, 0.5]],
              cell=[[3.5, 0, 0], [0.3, 3.8, 0], [-0.2, 0.1, 4.4]], pbc=True)
    ),
    "chain": Atoms("CO", positions=[[0, 0, 0], [1.2, 0.3, 0.1]], cell=[2.6, 0, 0],
                   pbc=(True, False, False)),
}  # fmt: skip
PERIODIC = [name for name, atoms in STRUCTURES.items() if atoms.cell.rank == 3]


def functions(elements, kind):
    """Symmetry functions of each kind, with every option that they have."""
    etas, angular = [0.3, 8.0], {"zetas": [1.0, 2.5, 4], "gammas": [1.0, -0.7]}
    made = make_symmetry_functions(elements, "G2", etas, offsets=[0.0, 1.5])
    if kind == "G2":
        return made
    if kind in ("G4", "G5"):
        return made + make_symmetry_functions(elements, kind, [0.05], **angular)
    if kind.endswith("offset"):
        return made + make_symmetry_functions(
            elements, kind[:2], [0.05, 3.0], offsets=[0.4, 1.8], **angular
        )
    assert kind == "own cutoffs"
    made += make_symmetry_functions(elements, "G4", [0.05], **angular)
    made += make_symmetry_functions(elements, "G5", [0.05], **angular)
    own = itertools.cycle([{}, {"cutoff": 3.4}, {"cutoff": Polynomial(5.6)}, {"cutoff": Tanh3(4)}])
    return [{**function, **more} for function, more in zip(made, own, strict=False)]


RADII = (5.0, 3.4, 5.6, 4.0)


def potential_for(atoms, cutoff=CUTOFFS[0], kind=None, seed=1, **more):
    elements = sorted(set(atoms.symbols))
    Gs = None if kind is None else functions(elements, kind)
    # ranges from distorted and stretched structures, as those of a training set
    images = [shaken(atoms.copy(), n, 0.15) for n in range(6)]
    for n, image in enumerate(images):
        image.positions *= 1.0 + 0.02 * (n - 2.5)
        image.set_cell(atoms.cell.array * (1.0 + 0.02 * (n - 2.5)))
    return random_potential(Gaussian(cutoff=cutoff, Gs=Gs), images, seed, **more)


@pytest.fixture(scope="module")
def cho():
    """A random potential for the clusters and crystals that hypothesis draws."""
    images = [shaken(molecule("CH3OH"), n, 0.2) for n in range(4)]
    images += [molecule(name) for name in ("H2O", "CO2", "CH4", "O2", "C2H6")]
    return random_potential(Gaussian(cutoff=4.5), images, seed=3)


# -- forces and stress are derivatives of the energy --------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("cutoff", CUTOFFS, ids=repr)
def test_forces_match_energy(name, cutoff):
    atoms = STRUCTURES[name]
    assert keeps_clear_of([cutoff.Rc], atoms)
    assert_forces_match_energy(atoms, potential_for(atoms, cutoff))


@pytest.mark.parametrize("name", PERIODIC)
@pytest.mark.parametrize("cutoff", CUTOFFS, ids=repr)
def test_stress_matches_energy(name, cutoff):
    atoms = STRUCTURES[name]
    assert keeps_clear_of([cutoff.Rc], atoms)
    assert_stress_matches_energy(atoms, potential_for(atoms, cutoff))


@pytest.mark.parametrize("kind", ["G2", "G4", "G5", "G4 offset", "G5 offset", "own cutoffs"])
@pytest.mark.parametrize("name", ["molecule", "slab", "sheared cell", "three elements in a cell"])
def test_forces_and_stress_match_energy_for_every_kind_of_function(name, kind):
    atoms = STRUCTURES[name]
    assert keeps_clear_of(RADII, atoms)
    calc = potential_for(atoms, kind=kind)
    assert_forces_match_energy(atoms, calc)
    if name in PERIODIC:
        assert_stress_matches_energy(atoms, calc)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", "softplus", "silu"])
@pytest.mark.parametrize("output", ["linear", "activation"])
def test_forces_and_stress_match_energy_for_every_activation(activation, output):
    atoms = STRUCTURES["three elements in a cell"]
    layers = {"Cu": (5,), "O": (3, 4), "H": (2, 2, 2)}
    calc = potential_for(atoms, activation=activation, output=output, hiddenlayers=layers)
    assert_forces_match_energy(atoms, calc)
    assert_stress_matches_energy(atoms, calc)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(atoms=clusters())
def test_forces_match_energy_in_any_cluster(cho, atoms):
    assume(keeps_clear_of([4.5], atoms))
    assert_forces_match_energy(atoms, cho)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(atoms=crystals())
def test_forces_and_stress_match_energy_in_any_crystal(cho, atoms):
    assume(keeps_clear_of([4.5], atoms))
    assert_forces_match_energy(atoms, cho)
    assert_stress_matches_energy(atoms, cho)


@pytest.mark.parametrize("seed", range(3))
def test_finite_differences_notice_an_error_of_one_in_a_hundred_thousand(seed):
    """The checks above can fail: their own error is far below their tolerance."""

    class Wrong(Amp):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            for name in {"forces", "stress"} & set(self.results):
                self.results[name] = self.results[name] * (1.0 + 1e-5)

    atoms = STRUCTURES["oxide"]
    right = potential_for(atoms, seed=seed)
    wrong = Wrong(right.descriptor, right.model)
    with pytest.raises(AssertionError, match="forces of CuO are not the derivative"):
        assert_forces_match_energy(atoms, wrong)
    with pytest.raises(AssertionError, match="stress of CuO is not the derivative"):
        assert_stress_matches_energy(atoms, wrong)


# -- invariance -----------------------------------------------------------------------------------

invariance = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def computed(calc, atoms):
    """Energy, forces and stress (None without a volume), from scratch."""
    atoms = atoms.copy()
    atoms.calc = Amp(calc.descriptor, calc.model)
    stress = atoms.get_stress(voigt=False) if atoms.cell.rank == 3 else None
    return atoms.get_potential_energy(), atoms.get_forces(), stress


def assert_same(calc, atoms, others, turn=None, order=None):
    """Same energy; forces and stress the same when turned, and in the given order."""
    turn = np.eye(3) if turn is None else turn
    energy, forces, stress = computed(calc, atoms)
    expected, vectors, tensor = computed(calc, others)
    if order is not None:
        vectors = vectors[order]
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * (1.0 + np.abs(vectors).max())}
    assert_allclose(energy, expected, rtol=1e-11, atol=1e-11)
    assert_allclose(forces, vectors @ turn.T, **tolerance)
    if stress is not None:
        assert_allclose(stress, turn @ tensor @ turn.T, **tolerance)


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


@invariance
@given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
def test_translation_changes_nothing(cho, atoms, seed):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).uniform(-20, 20, 3)
    assert_same(cho, moved, atoms)


@invariance
@given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
def test_rotation_turns_forces_and_stress_and_leaves_the_energy(cho, atoms, seed):
    turn = rotation(seed)
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    assert_same(cho, turned, atoms, turn=turn)


@invariance
@given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
def test_permutation_reorders_forces_and_leaves_the_energy(cho, atoms, seed):
    order = np.random.default_rng(seed).permutation(len(atoms))
    assert_same(cho, atoms[order], atoms, order=order)


@invariance
@given(atoms=crystals(), seed=seeds())
def test_moving_atoms_by_lattice_vectors_changes_nothing(cho, atoms, seed):
    moved = atoms.copy()
    steps = np.random.default_rng(seed).integers(-3, 4, (len(atoms), 3)) * atoms.pbc
    moved.positions += steps @ atoms.cell.array
    assert_same(cho, moved, atoms)


@invariance
@given(atoms=crystals())
def test_another_cell_of_the_same_lattice_changes_nothing(cho, atoms):
    assume(atoms.pbc.all())
    other = atoms.copy()
    other.set_cell([[1, 0, 0], [1, 1, 0], [-1, 2, 1]] @ atoms.cell.array)
    assert_same(cho, other, atoms)


@invariance
@given(atoms=crystals(), direction=st.integers(0, 2))
def test_supercell_has_twice_the_energy_and_the_same_forces_and_stress(cho, atoms, direction):
    assume(atoms.pbc[direction])
    repeats = [1, 1, 1]
    repeats[direction] = 2
    energy, forces, stress = computed(cho, atoms.repeat(repeats))
    expected, vectors, tensor = computed(cho, atoms)
    tolerance = 1e-9 * (1.0 + np.abs(vectors).max())
    assert_allclose(energy, 2 * expected, rtol=1e-11, atol=1e-11)
    assert_allclose(forces, np.tile(vectors, (2, 1)), rtol=1e-9, atol=tolerance)
    assert_allclose(stress, tensor, rtol=1e-9, atol=tolerance)


@invariance
@given(atoms=clusters())
def test_box_around_a_cluster_changes_nothing(cho, atoms):
    boxed = atoms.copy()
    boxed.center(vacuum=3.0)  # images are further than the cutoff
    boxed.pbc = True
    energy, forces, stress = computed(cho, boxed)
    expected, vectors, _ = computed(cho, atoms)
    assert_allclose(energy, expected, rtol=1e-12)
    assert_allclose(forces, vectors, rtol=1e-9, atol=1e-10)
    # the virial theorem of an isolated cluster
    virial = -np.einsum("ia,ib->ab", boxed.positions, forces) / boxed.get_volume()
    assert_allclose(stress, virial, rtol=1e-8, atol=1e-11)


@invariance
@given(atoms=clusters(min_atoms=2))
def test_forces_on_a_cluster_sum_to_nothing_and_so_do_torques(cho, atoms):
    forces = computed(cho, atoms)[1]
    tolerance = 1e-11 * (1.0 + np.abs(forces).sum())
    assert_allclose(forces.sum(axis=0), 0.0, atol=tolerance)
    assert_allclose(np.cross(atoms.positions, forces).sum(axis=0), 0.0, atol=10 * tolerance)


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=repr)
@pytest.mark.parametrize("name", ["dimer", "trimer", "crystal", "own cutoffs"])
def test_energy_and_forces_are_continuous_where_an_atom_crosses_the_cutoff(name, cutoff):
    small = 1e-7

    def structure(distance):
        positions = [[0, 0, 0], [distance, 0, 0], [1.9, 1.5, 0.4]]
        if name == "dimer":
            return Atoms("CO", positions=positions[:2])
        if name == "crystal":  # along x, the atom meets its own image at the cutoff
            return Atoms("CO", positions=[[0, 0, 0], [1.6, 1.1, 0.3]],
                         cell=[distance, 4.1, 4.4], pbc=True)  # fmt: skip
        return Atoms("COC", positions=positions)

    start = shaken(structure(1.5 if name != "crystal" else 4.0))
    calc = potential_for(start, cutoff, kind="own cutoffs" if name == "own cutoffs" else None)
    for radius in RADII if name == "own cutoffs" else (cutoff.Rc,):
        inside, outside = (computed(calc, structure(radius + d)) for d in (-small, small))
        slope = 0.0  # of the energy with distance, which goes on changing by other pairs
        if name == "trimer" or name == "own cutoffs":
            slope = -computed(calc, structure(radius))[1][1, 0]
        if name == "crystal":
            atoms = structure(radius)
            strain = computed(calc, atoms)[2][0, 0] * atoms.get_volume()
            slope = strain / radius + computed(calc, atoms)[1][1, 0] * 1.6 / radius
        assert abs(outside[0] - inside[0] - 2 * small * slope) < 1e-10
        assert_allclose(outside[1], inside[1], rtol=0, atol=2e-5)
        if name == "crystal":
            assert_allclose(outside[2], inside[2], rtol=0, atol=2e-5)
    if name == "dimer":
        assert_array_equal(computed(calc, structure(cutoff.Rc + small))[1], np.zeros((2, 3)))


# -- manners of an ASE calculator --------------------------------------------------------------

PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")


@pytest.fixture
def oxide():
    return STRUCTURES["oxide"].copy()


@pytest.fixture(scope="module")
def cuo():
    """A random potential of copper and oxygen; tests take it apart only by `fresh`."""
    return potential_for(STRUCTURES["oxide"])


@pytest.fixture
def fresh(cuo):
    return Amp(cuo.descriptor, cuo.model)


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path, monkeypatch):
    """No test here leaves a file in the current folder unless it says so."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "asked",
    [
        combination
        for n in range(1, len(PROPERTIES) + 1)
        for combination in itertools.combinations(PROPERTIES, n)
    ],
    ids=" ".join,
)
def test_any_combination_of_properties_gives_the_same_numbers(fresh, cuo, oxide, asked):
    assert fresh.calculate(oxide, list(asked)) is None
    energy, forces, stress = computed(cuo, oxide)
    results = fresh.results
    assert set(asked) <= set(results)
    assert results["energy"] == results["free_energy"] == energy
    assert type(results["energy"]) is float
    assert results["energies"].shape == (2,)
    assert results["energies"].sum() == pytest.approx(energy, rel=1e-14)
    if "forces" in asked:
        assert results["forces"].shape == (2, 3)
        assert_array_equal(results["forces"], forces)
    if "stress" in asked:
        assert_array_equal(results["stress"], stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])


@pytest.mark.parametrize("order", list(itertools.permutations(["energy", "forces", "stress"])))
def test_order_of_questions_does_not_matter(fresh, cuo, oxide, order):
    oxide.calc = fresh
    answers = {name: fresh.get_property(name, oxide) for name in order}
    energy, forces, stress = computed(cuo, oxide)
    assert answers["energy"] == energy
    assert_array_equal(answers["forces"], forces)
    assert_array_equal(answers["stress"][:3], np.diag(stress))


def test_methods_of_atoms_agree_with_each_other(fresh, oxide):
    oxide.calc = fresh
    energy = oxide.get_potential_energy()
    assert oxide.get_potential_energy(force_consistent=True) == energy
    assert oxide.get_potential_energies().sum() == pytest.approx(energy, rel=1e-14)
    assert oxide.get_total_energy() == energy
    assert_allclose(oxide.get_stress(voigt=False)[1, 2], oxide.get_stress()[3], rtol=0)
    assert set(oxide.get_properties(["energy", "forces"])) >= {"energy", "forces"}


def test_results_in_hand_are_not_calculated_again(fresh, oxide, monkeypatch):
    oxide.calc = fresh
    oxide.get_stress()
    monkeypatch.setattr(fresh, "calculate", lambda *a, **k: pytest.fail("calculated again"))
    for method in ("get_potential_energy", "get_forces", "get_stress", "get_potential_energies"):
        getattr(oxide, method)()


def test_returned_arrays_belong_to_the_caller(fresh, oxide):
    oxide.calc = fresh
    before = oxide.get_forces().copy(), oxide.get_stress().copy()
    oxide.get_forces()[:] = 7.0
    oxide.get_stress()[:] = 7.0
    assert_array_equal(oxide.get_forces(), before[0])
    assert_array_equal(oxide.get_stress(), before[1])


@pytest.mark.parametrize(
    "edit",
    [
        lambda atoms: atoms.rattle(0.05, seed=1),
        lambda atoms: atoms.positions.__setitem__((1, 2), 2.0),
        lambda atoms: atoms.set_cell(1.01 * atoms.cell.array, scale_atoms=True),
        lambda atoms: atoms.set_cell(1.01 * atoms.cell.array),
        lambda atoms: atoms.set_pbc([True, False, True]),
        lambda atoms: atoms.symbols.__setitem__(0, "O"),
        lambda atoms: atoms.append(Atoms("O", positions=[[1.0, 1.2, 1.4]])[0]),
        lambda atoms: atoms.pop(1),
    ],
    ids=["rattle", "one position", "scaled", "cell", "pbc", "element", "added", "removed"],
)
def test_edited_atoms_get_new_results(fresh, cuo, oxide, edit):
    oxide.calc = fresh
    before = oxide.get_potential_energy()
    oxide.get_forces()
    edit(oxide)
    energy, forces, stress = computed(cuo, oxide)
    assert energy != before
    assert oxide.get_potential_energy() == energy
    assert_array_equal(oxide.get_forces(), forces)
    assert_allclose(oxide.get_stress(voigt=False), stress, rtol=0, atol=1e-16)


def test_edits_that_do_not_matter_keep_the_energy(fresh, oxide):
    oxide.calc = fresh
    before = oxide.get_potential_energy()
    oxide.set_tags([1, 2])
    oxide.set_initial_charges([0.5, -0.5])
    oxide.set_masses([1.0, 2.0])
    assert oxide.get_potential_energy() == before


def test_one_calculator_serves_structure_after_structure(fresh, cuo):
    names = ["oxide", "dimer", "slab", "cubic cell", "oxide"]
    for name in names:
        atoms = STRUCTURES[name].copy()
        atoms.calc = fresh
        energy, forces, _ = computed(cuo, atoms)
        assert atoms.get_potential_energy() == energy
        assert_array_equal(atoms.get_forces(), forces)


def test_two_structures_may_share_a_calculator_in_turns(fresh, cuo):
    a, b = STRUCTURES["oxide"].copy(), STRUCTURES["slab"].copy()
    a.calc = b.calc = fresh
    for step in range(4):
        for atoms in (a, b):
            shaken(atoms, step, 0.02)
            assert_array_equal(atoms.get_forces(), computed(cuo, atoms)[1])


def test_small_steps_reuse_neighbors_and_change_no_bit(fresh, cuo):
    atoms = STRUCTURES["slab"].copy()
    atoms.calc = fresh
    for step in range(40):
        shaken(atoms, step, 0.02)
        assert_array_equal(atoms.get_forces(), computed(cuo, atoms)[1])
    assert fresh._neighbors.n_builds < 20


def test_constraints_are_left_to_ase(fresh, oxide):
    oxide.calc = fresh
    free = oxide.get_forces()
    oxide.set_constraint(FixAtoms([0]))
    assert_array_equal(oxide.get_forces()[0], np.zeros(3))
    assert_array_equal(oxide.get_forces(apply_constraint=False), free)


def test_stress_is_refused_where_there_is_no_volume(cho):
    atoms = molecule("CH3OH")
    atoms.calc = cho
    with pytest.raises(PropertyNotImplementedError, match="no volume"):
        atoms.get_stress()
    with pytest.raises(PropertyNotImplementedError, match="no volume"):
        Amp(cho.descriptor, cho.model).calculate(atoms, ["energy", "stress"])
    assert np.isfinite(atoms.get_forces()).all()
    assert "stress" not in atoms.calc.results


@pytest.mark.parametrize("name", ["dipole", "magmoms", "charges"])
def test_properties_that_it_cannot_have_are_refused_as_ase_does(fresh, oxide, name):
    with pytest.raises(PropertyNotImplementedError):
        fresh.get_property(name, oxide)


def test_atoms_given_to_the_constructor_are_attached(cuo, oxide):
    calc = Amp(cuo.descriptor, cuo.model, atoms=oxide)
    assert oxide.calc is calc
    assert oxide.get_potential_energy() == computed(cuo, oxide)[0]


def test_lone_atom_has_the_energy_of_an_empty_neighborhood(fresh):
    atoms = Atoms("O", calculator=fresh)
    energy = atoms.get_potential_energy()
    assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))
    pair = Atoms("O2", positions=[[0, 0, 0], [0, 0, 5.0]], calculator=fresh)
    assert pair.get_potential_energy() == pytest.approx(2 * energy, rel=1e-14)


@pytest.mark.parametrize(
    ("atoms", "error", "message"),
    [
        (Atoms("Pt"), UnsupportedElementError, "contains Pt.*knows only Cu, O"),
        (Atoms("O2", positions=np.zeros((2, 3))), ImageError, "on top of each other"),
        (Atoms("O", positions=[[np.nan, 0, 0]]), ImageError, "not finite"),
        (Atoms(), ImageError, "no atoms"),
        (Atoms("O", pbc=True), ImageError, "cell vector is zero"),
    ],
    ids=["element", "coincident", "nan", "empty", "no cell"],
)
def test_structures_that_have_no_energy_are_refused(fresh, oxide, atoms, error, message):
    atoms = atoms.copy()
    atoms.calc = fresh
    with pytest.raises(error, match=message):
        atoms.get_potential_energy()
    oxide.calc = fresh  # and the calculator works on
    assert np.isfinite(oxide.get_potential_energy())


def test_failed_calculation_leaves_no_old_results_behind(fresh, oxide):
    oxide.calc = fresh
    oxide.get_potential_energy()
    oxide.positions[1] = oxide.positions[0]
    for _ in range(2):
        with pytest.raises(ImageError):
            oxide.get_potential_energy()


def test_untrained_model_says_what_to_do(oxide):
    oxide.calc = Amp(Gaussian(elements=["Cu", "O"]), NeuralNetwork())
    with pytest.raises(ParameterError, match="train"):
        oxide.get_potential_energy()


def test_replaced_parameters_count_at_once_after_reset(fresh, cuo, oxide):
    oxide.calc = fresh
    energy = oxide.get_potential_energy()
    before = cuo.model.vector
    try:
        cuo.model.vector = before + 0.01
        fresh.reset()
        assert oxide.get_potential_energy() != energy
    finally:
        cuo.model.vector = before


# -- files ----------------------------------------------------------------------------------------


def test_saved_potential_gives_the_same_numbers_to_the_last_bit(cuo, oxide, tmp_path):
    name = str(tmp_path / "p.amp")
    assert cuo.save(name) == name
    for got, expected in zip(computed(Amp.load(name), oxide), computed(cuo, oxide), strict=True):
        assert_array_equal(got, expected)


def test_existing_file_is_replaced_only_when_asked(cuo, tmp_path):
    path = tmp_path / "p.amp"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        cuo.save(path)
    assert path.read_text() == "mine"
    cuo.save(path, overwrite=True)
    assert Amp.load(path).model.vector.shape == cuo.model.vector.shape


def test_load_passes_settings_on(cuo, tmp_path):
    calc = Amp.load(cuo.save(tmp_path / "p.amp"), label="sub/here", cores=1, dblabel="db")
    assert (calc.label, calc.cores, calc.dblabel) == ("sub/here", 1, "db")


def test_missing_and_damaged_files_are_told_apart(cuo, tmp_path):
    with pytest.raises(FileNotFoundError):
        Amp.load(tmp_path / "nothing.amp")
    whole = cuo.save(tmp_path / "p.amp")
    text = (tmp_path / "p.amp").read_text()
    (tmp_path / "p.amp").write_text(text[: len(text) // 2])
    with pytest.raises(AmpFileError, match="damaged or cut short"):
        Amp.load(whole)


def test_results_survive_trajectory_files(fresh, oxide, tmp_path):
    oxide.calc = fresh
    energy, forces = oxide.get_potential_energy(), oxide.get_forces()
    oxide.get_stress()
    write(tmp_path / "a.traj", oxide)
    write(tmp_path / "a.extxyz", oxide)
    again = read(tmp_path / "a.traj")
    assert again.get_potential_energy() == energy
    assert_array_equal(again.get_forces(), forces)
    assert_allclose(read(tmp_path / "a.extxyz").get_potential_energy(), energy, atol=1e-8)


def test_label_is_kept_as_it_was_given(cuo):
    assert Amp(cuo.descriptor, cuo.model).label == "amp"
    calc = Amp(cuo.descriptor, cuo.model, "some/folder/name")
    assert calc.label == calc.dblabel == "some/folder/name"
    assert Amp(cuo.descriptor, cuo.model, None, "db").dblabel == "db"


def test_new_parameters_of_the_model_are_seen_by_atoms_that_have_a_result(oxide):
    calc = potential_for(oxide)
    oxide.calc = calc
    before = oxide.get_potential_energy()
    vector = calc.model.vector
    vector[-2] += 1.0  # the intercept of the last element
    calc.model.vector = vector
    n_of_that_element = sum(s == calc.model.elements[-1] for s in oxide.symbols)
    assert oxide.get_potential_energy() == pytest.approx(before + n_of_that_element, abs=1e-9)


def test_the_calculator_shows_itself_in_a_line(cuo):
    calc = Amp(cuo.descriptor, cuo.model, label="a/b")
    assert repr(calc) == "<Amp: Cu O, Gaussian, NeuralNetwork, label 'a/b'>"
    untrained = Amp(type(cuo.descriptor)(), type(cuo.model)())
    assert repr(untrained) == "<Amp: Gaussian, NeuralNetwork, label 'amp'>"


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_single_precision_is_kept_through_loading_and_changes_little(oxide, tmp_path, dtype):
    calc = potential_for(oxide)
    single = Amp.load(calc.save(tmp_path / "p.amp"), dtype=dtype)
    assert (calc.dtype, single.dtype) == ("float64", "float32")
    oxide.calc = calc
    energy, forces, stress = (
        oxide.get_potential_energy(), oxide.get_forces(), oxide.get_stress()
    )  # fmt: skip
    oxide.calc = single
    assert 0 < abs(oxide.get_potential_energy() - energy) < 1e-5 * len(oxide)
    assert_allclose(oxide.get_forces(), forces, atol=1e-5 * max(1.0, abs(forces).max()))
    assert_allclose(oxide.get_stress(), stress, atol=1e-5 * max(1.0, abs(stress).max()))
    single.dtype = "float64"  # which atoms that have a result see
    assert oxide.get_potential_energy() == energy


@pytest.mark.parametrize("dtype", ["single", "float16", np.int32, float, None, 32])
def test_another_precision_is_refused(cuo, dtype):
    with pytest.raises(ParameterError, match="dtype is 'float64' or 'float32', not "):
        Amp(cuo.descriptor, cuo.model, dtype=dtype)
    with pytest.raises(ParameterError, match="dtype is 'float64' or 'float32', not "):
        cuo.dtype = dtype
    assert cuo.dtype == "float64"


@pytest.mark.parametrize("cores", [0, -1, "x", 1.5])
def test_cores_are_checked_whenever_they_are_set(cuo, cores):
    before = cuo.cores
    with pytest.raises(ParameterError, match="cores is a number of at least 1"):
        cuo.cores = cores
    assert cuo.cores == before


def test_a_calculator_in_use_by_another_thread_is_refused(fresh, oxide, monkeypatch):
    fresh.calculate(oxide)
    entered, done = threading.Event(), threading.Event()
    fingerprint = fresh.descriptor.fingerprint

    def slow(*arguments, **more):
        entered.set()
        assert done.wait(30.0)
        return fingerprint(*arguments, **more)

    monkeypatch.setattr(fresh.descriptor, "fingerprint", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fresh.calculate, oxide)
        assert entered.wait(30.0)
        try:
            with pytest.raises(CalculatorInUseError, match="calculator of its own"):
                fresh.calculate(oxide)
        finally:
            done.set()
        first.result()
    fresh.calculate(oxide)  # free again


def test_an_error_leaves_the_calculator_free(fresh, oxide):
    broken = oxide.copy()
    broken.positions[0] = np.nan
    with pytest.raises(ImageError):
        fresh.calculate(broken)
    fresh.calculate(oxide)


def test_settings_changed_in_place_are_not_saved(oxide, tmp_path):
    """They have no effect on what is computed: the file would be another potential."""
    calc = potential_for(oxide)
    calc.calculate(oxide)
    element = calc.descriptor.elements[0]
    calc.descriptor.parameters.Gs[element][0]["eta"] = 99.0
    with pytest.raises(ParameterError, match="changed in place"):
        calc.save(tmp_path / "p.amp")
    calc.descriptor.parameters.Gs = dict(calc.descriptor.parameters.Gs)
    calc.calculate(oxide)
    calc.save(tmp_path / "p.amp")
