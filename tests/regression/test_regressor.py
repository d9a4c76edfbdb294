"""Local optimization by scipy's minimizers and by functions that behave like them."""

import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import OptimizeResult, rosen, rosen_der

from amp.core.errors import (
    ConvergenceOccurred,
    IterationLimitReached,
    ParameterError,
    UnknownNameError,
)
from amp.regression import Regressor

WITH_GRADIENT = ["BFGS", "L-BFGS-B", "TNC", "Newton-CG", "CG"]
WITHOUT_GRADIENT = ["Nelder-Mead", "Powell"]
START = [-1.2, 1.0, 0.5]


class Problem:
    """A function that says when it has converged and counts what it is asked for."""

    def __init__(self, value, slope, start, target=1e-7, limit=20000):
        self.vector = np.array(start, dtype=float)
        self.value, self.slope = value, slope
        self.target, self.limit = target, limit
        self.values, self.slopes = 0, 0
        self.latest = None

    def get_loss(self, parametervector):
        self.values += 1
        self.latest = np.array(parametervector)
        value = self.value(parametervector)
        if value < self.target:
            raise ConvergenceOccurred("low enough")
        if self.values >= self.limit:
            raise IterationLimitReached(f"evaluated {self.limit} times")
        return value

    def get_lossprime(self, parametervector):
        self.slopes += 1
        return self.slope(parametervector)


def rosenbrock(**settings):
    return Problem(rosen, rosen_der, START, **settings)


def quadratic(**settings):
    stretch = np.array([1.0, 10.0, 100.0])
    return Problem(
        lambda x: float(stretch @ (x - 2.0) ** 2),
        lambda x: 2.0 * stretch * (x - 2.0),
        np.zeros(3),
        **settings,
    )


def steepest_descent(fun, x0, jac, step=1e-3, steps=100):
    """Called like `scipy.optimize.minimize`."""
    x = np.array(x0)
    for _ in range(steps):
        fun(x)
        x = x - step * jac(x)
    return OptimizeResult(x=x, message="all steps made")


@pytest.mark.parametrize("make", [quadratic, rosenbrock])
@pytest.mark.parametrize("optimizer", [*WITH_GRADIENT, *WITHOUT_GRADIENT, "NCG"])
def test_every_optimizer_reaches_the_minimum(optimizer, make):
    problem = make()
    assert Regressor(optimizer).regress(problem) is True
    minimum = 2.0 if make is quadratic else 1.0
    assert_allclose(problem.latest, minimum, atol=0.01)


@pytest.mark.parametrize("optimizer", [*WITH_GRADIENT, *WITHOUT_GRADIENT])
def test_the_iteration_limit_ends_every_optimizer_without_convergence(optimizer):
    problem = rosenbrock(limit=5)
    assert Regressor(optimizer).regress(problem) is False
    assert problem.values == 5


@pytest.mark.parametrize("optimizer", WITH_GRADIENT)
def test_an_optimizer_that_stops_by_itself_has_not_converged(optimizer):
    lines = []
    problem = quadratic(target=-1.0)  # never
    assert Regressor(optimizer).regress(problem, lines.append) is False
    assert lines[0] == f"Optimizer: {optimizer}"
    assert lines[-1].startswith("The optimizer stopped: ")
    assert_allclose(problem.latest, 2.0, atol=1e-4)


def test_the_default_is_l_bfgs_b_with_the_gradient():
    regressor, problem = Regressor(), rosenbrock()
    assert regressor.name == "L-BFGS-B"
    assert regressor.regress(problem)
    assert problem.slopes > 0


@pytest.mark.parametrize("optimizer", ["BFGS", "L-BFGS-B", "CG", "TNC"])
def test_without_lossprime_the_gradient_is_not_asked_for(optimizer):
    problem = quadratic(target=1e-6)
    assert Regressor(optimizer, lossprime=False).regress(problem) is True
    assert problem.slopes == 0


@pytest.mark.parametrize("optimizer", WITHOUT_GRADIENT)
def test_methods_without_gradient_do_not_ask_for_it(optimizer):
    problem = quadratic()
    regressor = Regressor(optimizer)
    assert regressor.lossprime is False
    assert regressor.regress(problem)
    assert problem.slopes == 0


@pytest.mark.parametrize("optimizer", ["Newton-CG", "NCG"])
def test_newton_methods_cannot_do_without_the_gradient(optimizer):
    with pytest.raises(ParameterError, match=r"Newton-CG needs the gradient; .*lossprime=True"):
        Regressor(optimizer, lossprime=False)


def test_a_function_is_called_like_scipys_minimize():
    problem = quadratic()
    seen = {}

    def optimizer(fun, x0, jac, **kwargs):
        seen.update(kwargs, x0=x0, slope=jac(x0), value=fun(x0))
        return OptimizeResult(x=x0, message="done")

    lines = []
    regressor = Regressor(optimizer, optimizer_kwargs={"tol": 3})
    assert regressor.regress(problem, lines.append) is False
    assert seen["tol"] == 3
    assert_array_equal(seen["x0"], problem.vector)
    assert_array_equal(seen["slope"], problem.slope(problem.vector))
    assert seen["value"] == problem.value(problem.vector)
    assert lines == ["Optimizer: optimizer", "The optimizer stopped: done"]


def test_a_function_can_converge():
    regressor = Regressor(steepest_descent, {"steps": 10000, "step": 4e-3})
    assert regressor.regress(quadratic(target=1e-6)) is True
    assert Regressor(steepest_descent, {"steps": 3}).regress(quadratic()) is False


def test_a_function_gets_no_gradient_where_none_is_wanted():
    def optimizer(fun, x0):
        fun(x0)

    lines = []
    assert Regressor(optimizer, lossprime=False).regress(quadratic(), lines.append) is False
    assert lines[-1] == "The optimizer stopped: it gave no reason"


def test_options_of_the_user_come_before_ours():
    problem = rosenbrock(target=-1.0)
    Regressor("BFGS", {"options": {"maxiter": 2}}).regress(problem)
    assert problem.values < 20


def test_settings_are_not_changed_by_a_run():
    kwargs = {"options": {"maxiter": 2}}
    regressor = Regressor("BFGS", kwargs)
    regressor.regress(rosenbrock())
    regressor.regress(rosenbrock())
    assert kwargs == {"options": {"maxiter": 2}} == regressor.optimizer_kwargs


def test_other_errors_of_the_loss_are_not_swallowed():
    def fail(x):
        raise ZeroDivisionError("of the loss")

    for optimizer in [*WITH_GRADIENT, *WITHOUT_GRADIENT]:
        with pytest.raises(ZeroDivisionError, match="of the loss"):
            Regressor(optimizer).regress(Problem(fail, fail, START))


def test_without_a_log_lines_go_to_logging(caplog):
    with caplog.at_level(logging.INFO, "amp"):
        Regressor("BFGS").regress(rosenbrock(limit=3))
    assert [record.message for record in caplog.records] == [
        "Optimizer: BFGS",
        "evaluated 3 times",
    ]


@pytest.mark.parametrize(
    ("name", "nearest"), [("L-BFGS", "L-BFGS-B"), ("bfgs", "BFGS"), ("nelder-mead", "Nelder-Mead")]
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(name, nearest):
    with pytest.raises(UnknownNameError, match=f"no optimizer called {name!r}") as caught:
        Regressor(name)
    assert f"Did you mean {nearest!r}?" in str(caught.value)
    assert "Newton-CG" in str(caught.value)


def test_what_is_neither_name_nor_function_is_refused():
    with pytest.raises(UnknownNameError, match="a name such as 'L-BFGS-B' or a function, not 3"):
        Regressor(3)
