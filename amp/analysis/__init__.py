"""How good a potential is: errors against references, plots, and what a training log says."""

from amp.analysis.comparison import Comparison, compare
from amp.analysis.description import describe_potential
from amp.analysis.evaluation import Errors, Evaluation, Worst, calc_rmse, evaluate, summarize
from amp.analysis.parity import (
    ParityData,
    draw_parity,
    plot_error,
    plot_parity,
    plot_parity_and_error,
)
from amp.analysis.sensitivity import Sensitivity, plot_sensitivity, sensitivity
from amp.analysis.trainlog import plot_convergence, read_trainlog

__all__ = [
    "Comparison",
    "Errors",
    "Evaluation",
    "ParityData",
    "Sensitivity",
    "Worst",
    "calc_rmse",
    "compare",
    "describe_potential",
    "draw_parity",
    "evaluate",
    "plot_convergence",
    "plot_error",
    "plot_parity",
    "plot_parity_and_error",
    "plot_sensitivity",
    "read_trainlog",
    "sensitivity",
    "summarize",
]
