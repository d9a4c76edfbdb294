import numpy as np
import pytest
from numpy.testing import assert_allclose

from amp.core.errors import ParameterError
from amp.descriptor.cutoffs import Cosine, Polynomial
from amp.descriptor.symmetry_functions import (
    check_symmetry_functions,
    describe,
    make_default_symmetry_functions,
    make_symmetry_functions,
    repeated,
)

G2 = {"type": "G2", "element": "H", "eta": 1.0, "offset": 0.0}
G4 = {"type": "G4", "elements": ["H", "O"], "eta": 0.1, "gamma": 1.0, "zeta": 2.0}


def test_radial_functions_come_in_the_order_eta_element_offset():
    made = make_symmetry_functions(["O", "H"], "G2", [1.0, 2.0], offsets=[0.0, 0.5])
    assert [(f["eta"], f["element"], f["offset"]) for f in made] == [
        (1.0, "O", 0.0), (1.0, "O", 0.5), (1.0, "H", 0.0), (1.0, "H", 0.5),
        (2.0, "O", 0.0), (2.0, "O", 0.5), (2.0, "H", 0.0), (2.0, "H", 0.5),
    ]  # fmt: skip


def test_radial_functions_have_offset_zero_unless_asked():
    assert make_symmetry_functions(["H"], "G2", [1.0]) == [G2]


@pytest.mark.parametrize("kind", ["G4", "G5"])
def test_angular_functions_come_in_the_order_eta_zeta_gamma_pair(kind):
    made = make_symmetry_functions(["O", "H"], kind, [0.1, 0.2], zetas=[1, 4], gammas=[1, -1])
    assert {f["type"] for f in made} == {kind}
    pairs = [["H", "H"], ["H", "O"], ["O", "O"]]
    assert [(f["eta"], f["zeta"], f["gamma"], f["elements"]) for f in made] == [
        (eta, zeta, gamma, pair)
        for eta in (0.1, 0.2)
        for zeta in (1, 4)
        for gamma in (1, -1)
        for pair in pairs
    ]
    assert all(set(f) == {"type", "elements", "eta", "gamma", "zeta"} for f in made)


def test_angular_functions_take_offsets():
    made = make_symmetry_functions(["H"], "G4", [0.1], offsets=[0.0, 1.0], zetas=[1], gammas=[1])
    assert [f["offset"] for f in made] == [0.0, 1.0]


def test_default_set_is_that_of_amp():
    made = make_default_symmetry_functions(["O", "H", "H"])
    assert list(made) == ["H", "O"]
    radial = [f for f in made["H"] if f["type"] == "G2"]
    etas = sorted({f["eta"] for f in radial})
    assert_allclose(etas, 0.05 * 100.0 ** (np.arange(4) / 3.0), rtol=1e-14)
    angular = [f for f in made["H"] if f["type"] == "G4"]
    assert len(radial) == 4 * 2
    assert len(angular) == 2 * 2 * 3
    assert {f["eta"] for f in angular} == {0.005}
    assert [(f["zeta"], f["gamma"]) for f in angular[::3]] == [(1, 1), (1, -1), (4, 1), (4, -1)]
    assert made["H"] == made["O"]
    assert made["H"] is not made["O"]
    assert made["H"][0] is not made["O"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "G3", "etas": [1.0]}, "no symmetry function type 'G3'; known: G2, G4, G5"),
        ({"type": "G4", "etas": [1.0], "zetas": [1.0]}, "G4 need zetas and gammas"),
        ({"type": "G5", "etas": [1.0], "gammas": [1.0]}, "G5 need zetas and gammas"),
    ],
)
def test_making_says_what_is_wrong(arguments, message):
    with pytest.raises(ParameterError, match=message):
        make_symmetry_functions(["H"], **arguments)


@pytest.mark.parametrize("elements", ["CuPt", "Cu", [], ["Cu", "Xy"], ["Cu", 8], 29, None, [["H"]]])
@pytest.mark.parametrize("kind", ["G2", "G4"])
def test_elements_that_are_no_list_of_symbols_are_refused(elements, kind):
    with pytest.raises(ParameterError, match=r"elements is a list of chemical symbols .*, not "):
        make_symmetry_functions(elements, kind, [1.0], zetas=[1.0], gammas=[1.0])
    with pytest.raises(ParameterError, match=r"elements is a list of chemical symbols"):
        make_default_symmetry_functions(elements)


def test_an_element_given_twice_counts_once_and_the_order_is_kept():
    made = make_symmetry_functions(["O", "H", "O"], "G2", [1.0])
    assert [f["element"] for f in made] == ["O", "H"]


def test_a_number_stands_for_a_list_of_one():
    for number in (2, 2.0, np.float64(2.0), np.array(2.0)):
        assert make_symmetry_functions(["H"], "G2", number, offsets=number) == (
            make_symmetry_functions(["H"], "G2", [2.0], offsets=[2.0])
        )
        assert make_symmetry_functions(["H"], "G4", 1.0, zetas=number, gammas=number) == (
            make_symmetry_functions(["H"], "G4", [1.0], zetas=[2.0], gammas=[2.0])
        )


@pytest.mark.parametrize(
    "value", ["1.0", [1.0, "2"], [None], None, [np.nan], True, [10**400], [[1]]]
)
@pytest.mark.parametrize("name", ["etas", "offsets", "zetas", "gammas"])
def test_numbers_that_are_none_are_refused_with_their_name(name, value):
    if value is None and name != "etas":
        return  # not given
    arguments = {"etas": [1.0], "zetas": [1.0], "gammas": [1.0], name: value}
    with pytest.raises(ParameterError, match=f"{name} must be a list of finite numbers; got "):
        make_symmetry_functions(["H"], "G4", **arguments)


def test_numbers_and_symbols_of_arrays_become_plain_ones():
    symbols, numbers = np.array(["H", "O"]), np.arange(1.0, 3.0)
    made = make_symmetry_functions(symbols, "G2", numbers, offsets=numbers)
    made += make_symmetry_functions(symbols, "G5", numbers, zetas=numbers, gammas=numbers)
    written = [
        {"type": "G2", "element": symbols[0], "eta": numbers[0], "offset": np.int64(1)},
        {**G4, "elements": list(symbols), "eta": np.float32(0.5), "zeta": numbers[1]},
    ]
    for function in made + check_symmetry_functions(written, ["H"])["H"]:
        numbers = {function[key] for key in ("eta", "gamma", "zeta", "offset") if key in function}
        assert {type(number) for number in numbers} == {float}
        seen = function.get("elements", [function.get("element")])
        assert {type(symbol) for symbol in seen} == {str}


def test_functions_given_twice_are_found():
    given = [G2, G4, {**G4, "elements": ["O", "H"]}, {**G2, "eta": 2}, {**G2, "offset": 0}, G4]
    del (bare := dict(G2))["offset"]
    checked = check_symmetry_functions([*given, bare, {**G2, "cutoff": 3.0}], ["H"])["H"]
    assert repeated(checked) == [(1, 2), (0, 4), (1, 5), (0, 6)]


def test_checking_gives_each_element_copies_with_sorted_pairs_and_plain_cutoffs():
    given = [{**G4, "elements": ("O", "H"), "cutoff": Polynomial(4.0)}, {**G2, "cutoff": 3.0}]
    checked = check_symmetry_functions(given, ["H", "O"])
    assert checked["H"] == checked["O"]
    assert checked["H"][0]["elements"] == ["H", "O"]
    assert checked["H"][0]["cutoff"] == Polynomial(4.0).todict()
    assert checked["H"][1]["cutoff"] == Cosine(3.0).todict()
    assert given[0]["elements"] == ("O", "H")


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ({"type": "G9"}, "type is 'G9'; known: G2, G4, G5"),
        ({}, "type is None"),
        ({"type": "G2", "element": "H"}, "G2 lacks eta"),
        ({**G4, "element": "H"}, "G4 does not know element"),
        ({**G2, "eta": "big"}, "eta is 'big', not a finite number"),
        ({**G2, "eta": float("nan")}, "eta is nan"),
        ({**G2, "offset": float("inf")}, "offset is inf"),
        ({**G4, "elements": ["H"]}, r"elements is \['H'\], not a pair of symbols"),
        ({**G4, "elements": "HO"}, "elements is 'HO'"),
        ({**G2, "eta": -1.0}, "eta is -1.0; below 0 a Gaussian grows with the distance"),
        ({**G4, "eta": -1e-9}, "eta is -1e-09; below 0"),
        ({**G2, "eta": 10**400}, "eta is 1000"),
        ({**G4, "zeta": 0.5}, "zeta is 0.5; below 1 forces are not finite"),
        ({**G4, "gamma": True}, "gamma is True, not a finite number"),
    ],
)
def test_faulty_function_is_named_with_its_fault(function, fault):
    with pytest.raises(ParameterError, match=rf"(?s)Gs\['O'\]\[1\]: {fault}"):
        check_symmetry_functions({"O": [G2, function]}, ["O"])


def test_all_faults_are_named_at_once():
    with pytest.raises(ParameterError, match=r"(?s)Gs\['H'\]\[0\].*Gs\['O'\]\[0\]"):
        check_symmetry_functions({"H": [{**G2, "eta": None}], "O": [{"type": "G7"}]}, ["H", "O"])


def test_element_without_functions_is_named():
    with pytest.raises(ParameterError, match=r"No symmetry functions \(Gs\) for O; there are .* H"):
        check_symmetry_functions({"H": [G2]}, ["H", "O"])


def test_an_element_with_an_empty_list_is_refused():
    with pytest.raises(ParameterError, match=r"Gs\['O'\] is empty: .* does not see its surround"):
        check_symmetry_functions({"H": [G2], "O": []}, ["H", "O"])
    with pytest.raises(ParameterError, match=r"Gs\['H'\] is empty"):
        check_symmetry_functions([], ["H"])


@pytest.mark.parametrize("name", ["Xy", "h", 1])
def test_functions_of_what_is_no_element_are_refused(name):
    with pytest.raises(ParameterError, match=r"but .* is no chemical symbol"):
        check_symmetry_functions({"H": [G2], name: [G2]}, ["H"])


def test_faulty_cutoff_of_a_function_is_refused():
    with pytest.raises(ParameterError, match="positive number"):
        check_symmetry_functions([{**G2, "cutoff": -1.0}], ["H"])


def test_description_names_type_elements_and_numbers():
    assert describe(G2) == "G2, H, eta = 1, offset = 0"
    assert (
        describe({**G4, "cutoff": 4.0}) == "G4, H-O, eta = 0.1, gamma = 1, zeta = 2, cutoff = 4.0"
    )
