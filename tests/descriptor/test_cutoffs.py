import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import ParameterError, UnknownNameError
from amp.descriptor.cutoffs import (
    Cosine,
    Cutoff,
    Polynomial,
    Quintic,
    Smoothstep,
    Tanh3,
    cutoffs,
    dict2cutoff,
)
from amp.testing import derivative

RADIUS = 5.0
FUNCTIONS = [
    Cosine(RADIUS),
    Polynomial(RADIUS),
    Polynomial(RADIUS, gamma=2),
    Polynomial(RADIUS, gamma=3.5),
    Quintic(RADIUS),
    Tanh3(RADIUS),
    *(Smoothstep(RADIUS, order) for order in (1, 3, 4, 5)),
]

# The formulas of the docstrings and their derivatives in x = r / Rc, worked out by hand.
FORMULAS = {
    "Cosine": (
        lambda x, g: (math.cos(math.pi * x) + 1) / 2,
        lambda x, g: -math.pi / 2 * math.sin(math.pi * x),
    ),
    "Polynomial": (
        lambda x, g: 1 + g * x ** (g + 1) - (g + 1) * x**g,
        lambda x, g: g * (g + 1) * (x**g - x ** (g - 1)),
    ),
    "Quintic": (
        lambda x, g: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
        lambda x, g: -30 * x**2 + 60 * x**3 - 30 * x**4,
    ),
    "Smoothstep": (
        lambda x, n: (
            (1 - x) ** (n + 1) * sum(math.comb(int(n) + k, k) * x**k for k in range(int(n) + 1))
        ),
        lambda x, n: -(2 * n + 1) * math.comb(2 * int(n), int(n)) * (x * (1 - x)) ** n,
    ),
    "Tanh3": (
        lambda x, g: math.tanh(1 - x) ** 3,
        lambda x, g: -3 * math.tanh(1 - x) ** 2 / math.cosh(1 - x) ** 2,
    ),
}


def name_of(function):
    return repr(function)


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
@given(r=st.floats(1e-3, RADIUS - 1e-9))
def test_value_and_derivative_follow_the_formulas(function, r):
    value, slope = FORMULAS[type(function).__name__]
    assert function(r) == pytest.approx(value(r / RADIUS, function.gamma), rel=1e-12, abs=1e-14)
    assert function.prime(r) == pytest.approx(
        slope(r / RADIUS, function.gamma) / RADIUS, rel=1e-11, abs=1e-14
    )


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
@given(r=st.floats(0.1, RADIUS - 0.01))
def test_derivative_matches_differences(function, r):
    slope = derivative(lambda shift: function(r + shift), 1e-3)
    assert function.prime(r) == pytest.approx(slope, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_value_and_derivative_are_zero_at_the_cutoff_and_beyond(function):
    beyond = np.array([RADIUS, RADIUS + 1e-12, 2 * RADIUS, 1e6, np.inf])
    assert_array_equal(function(beyond), np.zeros(5))
    assert_array_equal(function.prime(beyond), np.zeros(5))


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_value_and_derivative_reach_the_cutoff_without_a_jump(function):
    assert 0.0 <= function(RADIUS - 1e-7) < 1e-13
    assert -1e-6 < function.prime(RADIUS - 1e-7) <= 0.0


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_weights_fall_from_the_origin_to_the_cutoff(function):
    r = np.linspace(0.0, RADIUS, 401)
    assert (np.diff(function(r)) < 0.0).all()
    assert (function.prime(r[1:-1]) < 0.0).all()
    assert function(0.0) == pytest.approx(math.tanh(1) ** 3 if type(function) is Tanh3 else 1.0)


def test_lowest_smoothsteps_are_functions_with_names_of_their_own():
    r = np.linspace(0.0, RADIUS, 101)
    for order, same in ((1, Polynomial(RADIUS, gamma=2)), (2, Quintic(RADIUS))):
        assert_allclose(Smoothstep(RADIUS, order)(r), same(r), rtol=0, atol=2e-15)
        assert_allclose(Smoothstep(RADIUS, order).prime(r), same.prime(r), rtol=0, atol=2e-15)


@pytest.mark.parametrize("order", [0, -1, 2.5, 21, math.nan, "3"])
def test_order_of_a_smoothstep_must_be_a_small_whole_number(order):
    with pytest.raises(ParameterError, match="order must be a whole number from 1 to 20"):
        Smoothstep(5.0, order=order)


def test_quintic_has_no_kink_in_its_second_derivative():
    function = Quintic(RADIUS)
    curvature = derivative(lambda shift: function.prime(RADIUS + shift), 1e-4)
    assert abs(curvature) < 1e-4
    assert abs(derivative(lambda shift: Cosine(RADIUS).prime(RADIUS + shift), 1e-4)) > 0.05


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_slope_at_the_origin_is_finite(function):
    assert np.isfinite(function.prime(0.0))


def test_numbers_give_numbers_and_arrays_give_arrays_of_their_shape():
    function = Cosine(RADIUS)
    assert type(function(1.0)) is float
    assert type(function.prime(1)) is float
    r = np.linspace(0.5, 6.0, 6).reshape(2, 3)
    for result, one in ((function(r), function), (function.prime(r), function.prime)):
        assert result.shape == (2, 3)
        assert_array_equal(result.ravel(), [one(x) for x in r.ravel()])
    assert_array_equal(function([1.0, 2.0]), [function(1.0), function(2.0)])


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_description_makes_an_equal_function(function):
    again = dict2cutoff(function.todict())
    assert again == function
    assert hash(again) == hash(function)
    assert type(again) is type(function)
    assert again(3.3) == function(3.3)


def test_descriptions_are_those_of_amp_1_0_1():
    assert Cosine(6.5).todict() == {"name": "Cosine", "kwargs": {"Rc": 6.5}}
    assert Polynomial(6, gamma=5).todict() == {
        "name": "Polynomial",
        "kwargs": {"Rc": 6.0, "gamma": 5},
    }
    assert Polynomial(6.0).gamma == 4


def test_functions_that_differ_are_not_equal():
    assert Cosine(5.0) != Cosine(5.1)
    assert Cosine(5.0) != Quintic(5.0)
    assert Polynomial(5.0, gamma=3) != Polynomial(5.0)
    assert Cosine(5.0) != 5.0


def test_function_or_number_stands_for_itself():
    function = Polynomial(5.0)
    assert dict2cutoff(function) is function
    assert dict2cutoff(4) == Cosine(4.0)
    assert dict2cutoff(np.float32(4.0)) == Cosine(4.0)


def test_every_function_is_registered_under_its_name():
    assert set(cutoffs) == {"Cosine", "Polynomial", "Quintic", "Smoothstep", "Tanh3"}
    for name, function in cutoffs.items():
        assert function.__name__ == name
        assert issubclass(function, Cutoff)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan, "6.5", None, True, [6.5], 1j])
def test_radius_must_be_positive(radius):
    with pytest.raises(ParameterError, match="positive number of Å"):
        Cosine(radius)


@pytest.mark.parametrize("gamma", [0, -2.0, math.nan, math.inf, "4", None])
def test_exponent_of_the_polynomial_must_be_positive(gamma):
    with pytest.raises(ParameterError, match="gamma must be positive"):
        Polynomial(5.0, gamma=gamma)


@pytest.mark.parametrize(
    ("description", "error", "message"),
    [
        ({"kwargs": {"Rc": 5.0}}, ParameterError, "A cutoff is {'name'"),
        ({"name": "Cosine", "kwargs": {"radius": 5.0}}, ParameterError, "Cutoff 'Cosine'.*radius"),
        ({"name": "Cosinus", "kwargs": {"Rc": 5.0}}, UnknownNameError, "Did you mean 'Cosine'"),
        ({"name": ["Cosine"], "kwargs": {"Rc": 5.0}}, ParameterError, "A cutoff is {'name'"),
        ({"name": "Cosine", "kwargs": 5.0}, ParameterError, "A cutoff is {'name'"),
        ("Cosine", ParameterError, "A cutoff is a radius"),
        (True, ParameterError, "A cutoff is a radius"),
        (None, ParameterError, "A cutoff is a radius"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(description, error, message):
    with pytest.raises(error, match=message):
        dict2cutoff(description)
