"""Local optimizers: from x, f(x) and f'(x) to a better x."""

from amp.regression.base import Problem
from amp.regression.regressor import Regressor

__all__ = ["Problem", "Regressor"]
