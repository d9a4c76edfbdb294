"""The loss as optimizers see it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from amp.core.errors import ConvergenceOccurred, IterationLimitReached
from amp.model.loss import LossTerms
from amp.training.problem import TrainingProblem


def terms(loss):
    return LossTerms(loss, *[0.0] * 10, gradient=None)


class Bowl:
    """Stands in for an attached loss function: the square of the vector."""

    def __init__(self, target=-1.0, limit=10**9):
        self.latest = None
        self.asked = []
        self.target, self.limit = target, limit

    def get_loss(self, parametervector, lossprime=True):
        self.asked.append(lossprime)
        loss = float(parametervector @ parametervector)
        self.latest = terms(loss)
        if loss < self.target:
            raise ConvergenceOccurred
        if len(self.asked) >= self.limit:
            raise IterationLimitReached
        return {"loss": loss, "dloss_dparameters": 2.0 * parametervector if lossprime else None}


def at(*numbers):
    return np.array(numbers, dtype=float)


def test_value_and_gradient_of_a_point_are_evaluated_once():
    bowl = Bowl()
    problem = TrainingProblem(bowl, at(1, 2))
    assert problem.get_loss(at(1, 2)) == 5.0
    assert_array_equal(problem.get_lossprime(at(1, 2)), [2.0, 4.0])
    assert bowl.asked == [True]
    problem.get_lossprime(at(0, 2))
    assert problem.get_loss(at(0, 2)) == 4.0
    assert bowl.asked == [True, True]


def test_without_gradients_they_are_not_computed_until_asked_for():
    bowl = Bowl()
    problem = TrainingProblem(bowl, at(1))
    problem.wants_gradient = False
    problem.get_loss(at(1))
    problem.get_loss(at(1))
    assert bowl.asked == [False]
    assert_array_equal(problem.get_lossprime(at(1)), [2.0])
    assert bowl.asked == [False, True]


def test_optimizers_may_write_into_what_they_get_and_give():
    problem = TrainingProblem(Bowl(), at(1, 2))
    x = at(1, 2)
    gradient = problem.get_lossprime(x)
    gradient[:] = 0.0
    assert_array_equal(problem.get_lossprime(x), [2.0, 4.0])
    x[:] = 9.0
    assert_array_equal(problem.best, [1.0, 2.0])
    assert problem.get_loss(x) == 162.0


def test_the_lowest_point_is_the_best():
    problem = TrainingProblem(Bowl(), at(5))
    for x in (4, 1, 3, -2):
        problem.get_loss(at(x))
    assert_array_equal(problem.best, [1.0])
    assert problem.best_terms.loss == 1.0


def test_before_any_evaluation_the_start_is_the_best():
    problem = TrainingProblem(Bowl(), at(5))
    assert_array_equal(problem.best, [5.0])
    assert problem.best_terms is None


def test_a_loss_that_is_not_a_number_is_never_the_best():
    bowl = Bowl()
    problem = TrainingProblem(bowl, at(5))
    problem.get_loss(at(np.nan))
    problem.get_loss(at(3))
    problem.get_loss(at(np.nan))
    assert_array_equal(problem.best, [3.0])


def test_the_point_that_converges_is_the_best_even_where_the_loss_is_higher():
    bowl = Bowl(target=2.0)
    problem = TrainingProblem(bowl, at(5))
    problem.best, problem.best_terms = at(0), terms(0.0)
    with pytest.raises(ConvergenceOccurred):
        problem.get_loss(at(1))
    assert problem.converged
    assert_array_equal(problem.best, [1.0])


def test_the_last_evaluation_that_is_allowed_counts():
    problem = TrainingProblem(Bowl(limit=1), at(5))
    with pytest.raises(IterationLimitReached):
        problem.get_loss(at(1))
    assert_array_equal(problem.best, [1.0])
    assert problem.best_terms.loss == 1.0
    assert not problem.converged


def test_the_callback_comes_after_every_evaluation():
    seen = []
    problem = TrainingProblem(Bowl(), at(5), lambda p: seen.append(p.best_terms.loss))
    for x in (4, 4, 1, 3):
        problem.get_loss(at(x))
    assert seen == [16.0, 1.0, 1.0]
