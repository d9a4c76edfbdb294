import itertools
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import ImageError, ParameterError, UnsupportedElementError
from amp.core.images import hash_images
from amp.core.neighbors import neighbor_pairs
from amp.core.serialization import to_jsonable
from amp.descriptor.cutoffs import Cosine, Polynomial, Quintic, Smoothstep, Tanh3, dict2cutoff
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.testing import ELEMENTS, DescriptorSuite, clusters, crystals


def angular(kind, **more):
    """A few G4 or G5 functions of all element pairs, with exponents whole and not."""
    zetas = {"G4": [1.0, 2.5, 4], "G5": [2.0, 1.5, 8, 16.0]}[kind]
    return make_symmetry_functions(
        ELEMENTS, kind, [0.01, 2.0], zetas=zetas, gammas=[1.0, -0.7, -1.0], **more
    )


OWN_CUTOFFS = [
    {"type": "G2", "element": "H", "eta": 4.0, "offset": 1.0, "cutoff": 3.3},
    {"type": "G2", "element": "H", "eta": 4.0, "offset": 1.0},
    {"type": "G2", "element": "O", "eta": 0.5, "cutoff": Polynomial(4.4, gamma=3)},
    {"type": "G2", "element": "O", "eta": 0.5, "cutoff": Polynomial(4.4, gamma=5)},
    {"type": "G4", "elements": ["H", "O"], "eta": 0.1, "gamma": 1.0, "zeta": 2.0, "cutoff": 2.9},
    {"type": "G4", "elements": ["O", "H"], "eta": 0.1, "gamma": 1.0, "zeta": 2.0},
    {"type": "G5", "elements": ["O", "H"], "eta": 0.1, "gamma": 1.0, "zeta": 1.0, "cutoff": 4.4},
    {"type": "G5", "elements": ["C", "H"], "eta": 0.1, "gamma": 1, "zeta": 1.5,
     "cutoff": Tanh3(5.7).todict()},
    {"type": "G5", "elements": ["C", "C"], "eta": 0.1, "gamma": -1, "zeta": 3, "offset": 0.5,
     "cutoff": Quintic(4.0)},
]  # fmt: skip


class TestDefaultGaussian(DescriptorSuite):
    descriptor = Gaussian(cutoff=6.0)


class TestGaussianWithPolynomialCutoff(DescriptorSuite):
    descriptor = Gaussian(cutoff=Polynomial(5.0, gamma=4))


class TestGaussianWithQuinticCutoff(DescriptorSuite):
    descriptor = Gaussian(cutoff=Quintic(5.0))


class TestGaussianWithTanhCutoff(DescriptorSuite):
    descriptor = Gaussian(cutoff=Tanh3(5.0))


class TestGaussianWithSmoothstepCutoff(DescriptorSuite):
    descriptor = Gaussian(cutoff=Smoothstep(5.0))


class TestGaussianOfG2WithOffsets(DescriptorSuite):
    descriptor = Gaussian(
        cutoff=4.5,
        Gs=make_symmetry_functions(ELEMENTS, "G2", [0.5, 20.0, 80.0], offsets=[0.0, 1.2, 3.0]),
    )


class TestGaussianOfG4WithOffsets(DescriptorSuite):
    descriptor = Gaussian(cutoff=4.0, Gs=angular("G4", offsets=[0.0, 0.8]))


class TestGaussianOfG5WithOffsets(DescriptorSuite):
    descriptor = Gaussian(cutoff=4.0, Gs=angular("G5", offsets=[0.0, 0.8]))


class TestGaussianOfFunctionsWithTheirOwnCutoffs(DescriptorSuite):
    descriptor = Gaussian(cutoff=5.0, Gs=OWN_CUTOFFS)
    radii = (5.0, 3.3, 4.4, 2.9, 5.7, 4.0)


class TestGaussianOfFunctionsThatDifferByElement(DescriptorSuite):
    descriptor = Gaussian(
        cutoff=Cosine(5.0),
        Gs={"H": OWN_CUTOFFS[:2], "C": angular("G4")[:7], "O": OWN_CUTOFFS[:1] + OWN_CUTOFFS[3:]},
    )
    radii = (5.0, 3.3, 2.9, 5.7, 4.0)


# -- against the formulas themselves ---------------------------------------------------------


def radial(r, function, default):
    fc = dict2cutoff(function.get("cutoff", default))
    eta, offset = function["eta"] / fc.Rc**2, function.get("offset", 0.0)
    return np.exp(-eta * (r - offset) ** 2) * fc(r)


def by_formula(function, default, vectors, symbols):
    """One symmetry function of one atom, written as in Behler's paper; neighbors by vectors."""
    r = np.linalg.norm(vectors, axis=1)
    if function["type"] == "G2":
        return sum(
            radial(r[j], function, default)
            for j in range(len(r))
            if symbols[j] == function["element"]
        )
    gamma, zeta = function["gamma"], function["zeta"]
    total = 0.0
    for j, k in itertools.combinations(range(len(r)), 2):
        if sorted([symbols[j], symbols[k]]) != sorted(function["elements"]):
            continue
        term = radial(r[j], function, default) * radial(r[k], function, default)
        if function["type"] == "G4":
            term *= radial(np.linalg.norm(vectors[j] - vectors[k]), function, default)
        cosine = vectors[j] @ vectors[k] / (r[j] * r[k])
        total += 2 ** (1 - zeta) * max(0.0, 1 + gamma * cosine) ** zeta * term
    return total


@pytest.mark.parametrize(
    ("cutoff", "Gs"),
    [
        (Cosine(5.0), None),
        (Cosine(4.0), angular("G4", offsets=[0.0, 0.8])),
        (Polynomial(4.0, gamma=2), angular("G5", offsets=[0.0, 0.8])),
        (Quintic(4.5), make_symmetry_functions(ELEMENTS, "G2", [1.0, 40.0], offsets=[0.0, 1.1])),
        (Cosine(5.0), OWN_CUTOFFS),
    ],
    ids=["default", "G4", "G5", "G2", "own cutoffs"],
)
def test_fingerprints_follow_the_formulas(cutoff, Gs):
    descriptor = Gaussian(cutoff=cutoff, Gs=Gs, elements=ELEMENTS)
    descriptor.prepare(ELEMENTS)

    @settings(max_examples=4)
    @given(atoms=clusters(max_atoms=5) | crystals(max_atoms=2))
    def check(atoms):
        pairs = neighbor_pairs(atoms, descriptor.cutoff)
        result = descriptor.fingerprint(pairs, atoms.numbers)
        symbols = np.array(atoms.get_chemical_symbols())
        for i, element in enumerate(symbols):
            near = slice(pairs.starts[i], pairs.starts[i + 1])
            if len(pairs.second[near]) > 40:
                continue  # python loops over all triplets take too long
            expected = [
                by_formula(function, cutoff, pairs.vectors[near], symbols[pairs.second[near]])
                for function in descriptor.parameters.Gs[element]
            ]
            assert_allclose(result.of_atom(i), expected, rtol=1e-10, atol=1e-13)

    check()


def test_fingerprint_of_a_dimer_has_the_value_worked_out_by_hand():
    descriptor = Gaussian(
        cutoff=4.0, Gs=[{"type": "G2", "element": "H", "eta": 8.0, "offset": 1.0}]
    )
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 2.0]])
    descriptor.prepare(["H"])
    # exp(-8 / 16 * (2 - 1)^2) * (cos(pi / 2) + 1) / 2
    value = descriptor.fingerprint(neighbor_pairs(atoms, 4.0), atoms.numbers).values
    assert_allclose(value, 2 * [np.exp(-0.5) / 2], rtol=1e-14)


def test_each_pair_of_neighbors_counts_once_in_an_angular_function():
    descriptor = Gaussian(
        cutoff=4.0, Gs=[{"type": "G5", "elements": ["H", "H"], "eta": 0.0, "gamma": 0, "zeta": 1}]
    )
    descriptor.prepare(["H", "O"])
    atoms = Atoms("OH2", positions=[[0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]])
    oxygen = descriptor.fingerprint(neighbor_pairs(atoms, 4.0), atoms.numbers).of_atom(0)
    assert_allclose(oxygen, [0.25], rtol=1e-14)  # fc(2 Å) is 1/2 for both


def test_collinear_atoms_have_finite_fingerprints_where_zeta_is_not_whole():
    descriptor = Gaussian(cutoff=6.0, Gs=angular("G4"))
    descriptor.prepare(ELEMENTS)
    atoms = Atoms("HCOH", positions=[[x / 3, x / 7, x / 11] for x in (0.0, 3.1, 5.3, 8.9)])
    result = descriptor.fingerprint_images({"a": atoms}, derivatives=True, strain=True)
    assert np.isfinite(result.values).all()
    assert np.isfinite(result.derivatives.values).all()
    assert np.isfinite(result.derivatives.strain).all()


def test_lone_atom_has_fingerprint_zero():
    descriptor = Gaussian()
    descriptor.prepare(["H"])
    result = descriptor.fingerprint_images({"a": Atoms("H")}, derivatives=True, strain=True)
    assert_array_equal(result.values, np.zeros(8))
    assert_array_equal(result.derivatives.strain, np.zeros(48))


def test_atom_alone_in_a_small_cell_sees_its_own_images_and_feels_no_force_from_them():
    descriptor = Gaussian()
    descriptor.prepare(["Cu"])
    atoms = bulk("Cu", a=3.6)
    result = descriptor.fingerprint_images({"a": atoms}, derivatives=True)
    assert (result.values[:4] > 1.0).all()
    assert len(result.derivatives.atoms) == 0


# -- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cutoff", "expected"),
    [
        (5, Cosine(5.0)),
        (5.5, Cosine(5.5)),
        (np.float64(5.5), Cosine(5.5)),
        (Polynomial(6.0, gamma=5.0), Polynomial(6.0, gamma=5.0)),
        ({"name": "Polynomial", "kwargs": {"Rc": 6.0, "gamma": 2}}, Polynomial(6.0, gamma=2)),
        ({"name": "Tanh3", "kwargs": {"Rc": 6.0}}, Tanh3(6.0)),
        ({"name": "Smoothstep", "kwargs": {"Rc": 6.0, "order": 2}}, Smoothstep(6.0, order=2)),
    ],
)
def test_cutoff_is_a_number_a_function_or_its_dict(cutoff, expected):
    assert Gaussian(cutoff=cutoff).parameters.cutoff == expected.todict()


def test_default_cutoff_is_cosine_of_6_5_angstrom():
    descriptor = Gaussian(elements=["H"])
    descriptor.prepare(["H"])
    assert descriptor.parameters.cutoff == {"name": "Cosine", "kwargs": {"Rc": 6.5}}
    assert descriptor.cutoff == 6.5


def test_neighbors_are_needed_as_far_as_the_largest_cutoff_in_use():
    functions = [{"type": "G2", "element": "H", "eta": 1.0, "cutoff": 7.0}]
    wide, narrow = Gaussian(cutoff=5.0, Gs=functions), Gaussian(cutoff=9.0, Gs=functions)
    for descriptor in (wide, narrow):
        descriptor.prepare(["H"])
        assert descriptor.cutoff == 7.0


def test_one_list_of_functions_serves_all_elements():
    functions = make_symmetry_functions(["H", "O"], "G2", [1.0])
    shared = Gaussian(Gs=functions)
    apart = Gaussian(Gs={"H": functions, "O": functions})
    water = hash_images([molecule("H2O")])
    for descriptor in (shared, apart):
        descriptor.prepare(["H", "O"])
    assert_array_equal(
        shared.fingerprint_images(water).values, apart.fingerprint_images(water).values
    )


def test_settings_may_be_replaced_at_any_time():
    descriptor = Gaussian(cutoff=4.0)
    descriptor.prepare(["H"])
    hydrogen = {"a": molecule("H2")}
    assert descriptor.fingerprint_images(hydrogen).layout.size == 16
    cutoffs = {radius: Cosine(radius).todict() for radius in (4.0, 4.5, 5.0, 5.5)}
    for radius, cutoff in 5 * list(cutoffs.items()):
        descriptor.parameters.cutoff = dict(cutoffs[4.0])  # forgotten before it was used
        descriptor.parameters.cutoff = dict(cutoff)
        assert descriptor.cutoff == radius
    descriptor.parameters.Gs = {"H": make_symmetry_functions(["H"], "G2", [1.0])}
    assert descriptor.fingerprint_images(hydrogen).layout.size == 2
    descriptor.parameters.elements = ["H", "O"]
    descriptor.parameters.Gs = make_symmetry_functions(["H", "O"], "G2", [1.0])
    assert descriptor.elements == ("H", "O")


def test_elements_of_the_first_images_are_those_it_knows():
    descriptor = Gaussian()
    descriptor.prepare(["O", "H"])
    assert descriptor.elements == ("H", "O")
    with pytest.raises(UnsupportedElementError, match=r"contain N.*set up for H, O"):
        descriptor.prepare(["N"])


def test_elements_may_exceed_those_of_the_images():
    descriptor = Gaussian(elements=["Pt", "Cu"])
    descriptor.prepare(["Cu"])
    assert descriptor.elements == ("Cu", "Pt")
    assert len(descriptor.parameters.Gs["Cu"]) == 4 * 2 + 4 * 3


def test_without_elements_it_says_what_to_do():
    with pytest.raises(ParameterError, match=r"does not know its elements yet.*prepare"):
        Gaussian().cutoff  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"version": "2099.1"}, "version '2099.1' is not known"),
        ({"mode": "image-centered"}, "'atom-centered' only"),
        ({"cutoff": -1.0}, "positive number"),
        ({"cutoff": "far"}, "A cutoff is a radius"),
        ({"elements": ["H", "O"], "Gs": {"H": []}}, r"No symmetry functions \(Gs\) for O"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        Gaussian(**settings)


def test_version_of_amp_1_0_1_and_fortran_are_accepted():
    assert Gaussian(version="2015.12", fortran=False, dblabel="here").dblabel == "here"


def test_unknown_setting_in_a_description_is_refused_by_name():
    with pytest.raises(ParameterError, match="Unknown settings of a Gaussian descriptor: colour"):
        Gaussian.from_dict({**Gaussian(elements=["H"]).to_dict(), "colour": "blue"})


def test_all_bad_images_are_named_at_once():
    descriptor = Gaussian()
    descriptor.prepare(["H", "O"])
    together = Atoms("H2", positions=np.zeros((2, 3)))
    images = {"aaaa": together, "bbbb": molecule("H2O"), "cccc": molecule("NH3")}
    with pytest.raises(ImageError, match=r"(?s)2 images.*Image 0 \(aaaa\).*Image 2 \(cccc\).*N"):
        descriptor.fingerprint_images(images)


def test_summary_lists_cutoff_and_every_function():
    descriptor = Gaussian(cutoff=Polynomial(5.0), Gs=OWN_CUTOFFS)
    descriptor.prepare(["C", "H"])
    text = "\n".join(descriptor.summary())
    assert "Cutoff function: Polynomial(Rc=5.0, gamma=4)" in text
    assert "9 symmetry functions of C:" in text
    assert "G5, C-C, eta = 0.1, gamma = -1, zeta = 3, offset = 0.5" in text


# -- names of Amp 1.0.1 --------------------------------------------------------------------------


def test_calculate_fingerprints_leaves_what_old_scripts_read():
    images = hash_images([molecule("H2O"), molecule("OH")])
    lines = []
    descriptor = Gaussian()
    descriptor.calculate_fingerprints(images, None, lines.append, True)
    key = next(iter(images))
    assert [symbol for symbol, _ in descriptor.fingerprints[key]] == ["O", "H", "H"]
    assert all(len(vector) == 20 for _, vector in descriptor.fingerprints[key])
    assert set(descriptor.fingerprintprimes) == set(images)
    assert {(m, n) for m, _, n, _, _ in descriptor.fingerprintprimes[key]} == set(
        itertools.product(range(3), repeat=2)
    )
    indices, offsets = descriptor.neighborlist[key][0]
    assert_array_equal(np.sort(indices), [1, 2])
    assert_array_equal(offsets, np.zeros((2, 3), int))
    assert any("Cutoff function" in line for line in lines)


def test_calculate_fingerprints_makes_no_derivatives_unless_asked():
    descriptor = Gaussian()
    descriptor.calculate_fingerprints(hash_images([molecule("H2O")]))
    assert descriptor.fingerprints
    assert not descriptor.fingerprintprimes


def test_neighborlist_holds_offsets_of_periodic_images():
    atoms = bulk("Cu", a=3.6)
    atoms.positions += 20.0  # outside the cell
    descriptor = Gaussian(cutoff=3.0)
    descriptor.calculate_fingerprints({"a": atoms})
    indices, offsets = descriptor.neighborlist["a"][0]
    assert_array_equal(indices, np.zeros(12, int))
    assert_allclose(np.linalg.norm(offsets @ atoms.cell.array, axis=1), 3.6 / np.sqrt(2))


def test_faults_of_given_functions_are_told_at_once():
    with pytest.raises(ParameterError, match=r"Gs\['Cu'\] is empty"):
        Gaussian(Gs={"Cu": []})
    with pytest.raises(ParameterError, match="below 0 a Gaussian grows"):
        Gaussian(Gs={"H": [{"type": "G2", "element": "H", "eta": -1.0}]})


@pytest.mark.parametrize("elements", ["CuPt", 29, [29], [["Cu"]]])
def test_elements_that_are_no_list_of_symbols_are_refused(elements):
    with pytest.raises(ParameterError, match="elements is a list of chemical symbols"):
        Gaussian(elements=elements)


def test_numbers_of_arrays_are_written_as_plain_numbers():
    functions = [
        {"type": "G2", "element": "H", "eta": np.float64(1.0), "offset": r} for r in np.arange(2.0)
    ]
    shared = Gaussian(Gs=functions)
    shared.prepare(["H"])
    for descriptor in (Gaussian(Gs={"H": functions}), shared):
        assert "__scalar__" not in json.dumps(to_jsonable(descriptor.to_dict()))


def test_functions_given_twice_are_told_in_the_log(caplog):
    functions = make_symmetry_functions(["H"], "G2", [1.0, 2.0, 1.0])
    Gaussian(Gs=functions).prepare(["H"])
    assert [record.getMessage() for record in caplog.records] == [
        "Symmetry functions 0 and 2 of H are the same (G2, H, eta = 1, offset = 0); one can be "
        "left out."
    ]


@pytest.mark.parametrize("zeta", [1.5, 2.5, 3.0])
def test_forces_have_no_jump_where_gamma_is_beyond_one(zeta):
    function = {"type": "G5", "elements": ["H", "H"], "eta": 0.0, "gamma": 1.6, "zeta": zeta}
    descriptor = Gaussian(cutoff=4.0, Gs=[function])
    descriptor.prepare(["H", "O"])
    kink = np.arccos(-1 / 1.6)  # 1 + gamma cos is 0 here

    def slope(angle):
        atoms = Atoms("OH2", positions=[[0, 0, 0], [1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
        pairs = neighbor_pairs(atoms, 4.0)
        result = descriptor.fingerprint(pairs, atoms.numbers)
        return descriptor.contract(pairs, result, np.ones(len(result.values))).positions

    assert_allclose(slope(kink - 1e-9), slope(kink + 1e-9), atol=1e-3)


def test_the_descriptor_describes_itself_in_a_line():
    assert repr(Gaussian(5.0)) == "<Gaussian: Cosine(Rc=5.0), elements=None>"
    functions = make_symmetry_functions(["H", "O"], "G2", [1.0, 2.0])
    shared = Gaussian(5.0, functions, elements=["O", "H"])
    assert repr(shared) == "<Gaussian: Cosine(Rc=5.0), elements=['H', 'O'], 4 functions>"
    shared.prepare(["H", "O"])
    assert repr(shared) == "<Gaussian: Cosine(Rc=5.0), 4 functions of H, 4 functions of O>"
    own = Gaussian(Polynomial(5.0), {"O": functions})
    assert repr(own) == "<Gaussian: Polynomial(Rc=5.0, gamma=4), 4 functions of O>"


def test_an_element_that_sees_no_neighbor_in_any_image_is_told_with_the_cutoff(caplog):
    descriptor = Gaussian(cutoff=1.2)
    descriptor.prepare(["Cu", "H", "O"])
    far = molecule("H2O") + Atoms("Cu", positions=[[0, 0, 30.0]])
    descriptor.fingerprint_images({"a": far, "b": Atoms("Cu"), "c": Atoms("O")})
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert told[0].startswith("No atom of Cu has a neighbor within the cutoff of 1.2 Å in any")


def test_lone_atoms_need_no_neighbors(caplog):
    descriptor = Gaussian()
    descriptor.prepare(["H"])
    descriptor.fingerprint_images({"a": Atoms("H")})
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
