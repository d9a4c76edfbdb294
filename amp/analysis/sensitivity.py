"""How much each parameter of a potential matters: the loss when one of them is moved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from amp.analysis.comparison import load_calculator
from amp.analysis.figures import check_plotfiles, make_figure, save_figure
from amp.core.errors import ParameterError
from amp.core.logs import progress
from amp.core.typing import FloatArray
from amp.model.loss import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.training.trainer import prepare

__all__ = ["Sensitivity", "plot_sensitivity", "sensitivity"]

LABEL_WIDTH = 0.02  # of the name of a group, as a part of the width of the axes


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The loss at a potential's parameters, and when each of them is moved alone."""

    d: float  # how far they are moved
    loss: float  # at the potential's own parameters
    losses: FloatArray  # (n_parameters,) with that parameter raised by d
    groups: tuple[tuple[str, int, int], ...]  # name, first and one past the last parameter

    @property
    def changes(self) -> FloatArray:
        """Change of the loss relative to the loss, (loss(p + d) - loss) / loss."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a loss of 0 gives inf
            return (self.losses - self.loss) / np.float64(self.loss)


def sensitivity(
    calc: Any,
    images: Any,
    d: float = 0.0001,
    dblabel: str | None = None,
    energy_coefficient: float | None = 1.0,
    force_coefficient: float | None = 0.04,
) -> Sensitivity:
    """Move each parameter of a potential alone and evaluate the loss.

    Parameters
    ----------
    calc : calculator or path
        Trained potential, or its file (.amp); it stays as it is.
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes, with energies, and forces if these count.
    d : float, default 0.0001
        How far parameters are moved.
    dblabel : str, optional
        See `Amp`.
    energy_coefficient, force_coefficient : float or None
        Weights of the loss function; None leaves energies or forces out.

    Returns
    -------
    Sensitivity

    Raises
    ------
    ParameterError
        If `d` is 0 or not finite, or the potential has no parameters yet.
    MissingDataError, ImageError, UnsupportedElementError
        If images cannot be used.
    """
    if not np.isfinite(d) or d == 0.0:
        raise ParameterError(f"d must be a number other than 0, not {d!r}.")
    calc = load_calculator(calc, dblabel)
    # Copies: preparing a loss settles things in both, and the caller's own must stay.
    descriptor = type(calc.descriptor).from_dict(calc.descriptor.to_dict())
    model = type(calc.model).from_dict(calc.model.to_dict())
    vector = model.vector
    loss = LossFunction(energy_coefficient, force_coefficient)
    model.lossfunction = loss
    data = prepare(descriptor, model, images)
    loss.attach(model, data.fingerprints, data.references)
    losses = np.empty(len(vector))
    for i in progress(range(len(vector)), "Moving parameters"):
        moved = vector.copy()
        moved[i] += d
        losses[i] = loss.evaluate(moved, gradient=False).loss
    return Sensitivity(d, loss.evaluate(vector, gradient=False).loss, losses, _groups(model))


def plot_sensitivity(
    calc: Any,
    images: Any,
    d: float = 0.0001,
    label: str = "sensitivity",
    dblabel: str | None = None,
    plotfile: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    energy_coefficient: float | None = 1.0,
    force_coefficient: float | None = 0.04,
) -> Sensitivity:
    """Plot how the loss changes, relative to the loss, when each parameter is moved by `d`.

    Parameters
    ----------
    calc, images, d, dblabel, energy_coefficient, force_coefficient
        As in `sensitivity`.
    label : str, default 'sensitivity'
        Beginning of the file name.
    plotfile : path, optional
        File to write, in the format that its ending says; LABEL.pdf by default.
    overwrite : bool, default False
        Replace an existing file.

    Returns
    -------
    Sensitivity
        What is plotted.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is not set; before any work.
    ParameterError, MissingDataError, ImageError, UnsupportedElementError
        As in `sensitivity`.
    """
    path = plotfile or f"{label}.pdf"
    check_plotfiles(path, overwrite=overwrite)
    result = sensitivity(calc, images, d, dblabel, energy_coefficient, force_coefficient)
    figure = make_figure(10.0, 4.5)
    axes = figure.add_subplot()
    axes.plot(np.arange(len(result.losses)), result.changes, "b.", markersize=4)
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.set_xlabel("parameter")
    axes.set_ylabel(f"change of the loss / loss, for {d:g}")
    axes.set_xlim(-0.5, len(result.losses) - 0.5)
    _name_groups(axes, result)
    save_figure(figure, path)
    return result


def _name_groups(axes: Any, result: Sensitivity) -> None:
    """Write the names of groups above the axes, a line leading from each to its parameters."""
    top = axes.get_xaxis_transform()  # horizontally parameters, vertically the height of the axes
    centers = [0.5 * (first + end - 1) for _, first, end in result.groups]
    places = _spread(centers, LABEL_WIDTH * len(result.losses))
    for (name, _, end), center, place in zip(result.groups, centers, places, strict=True):
        axes.axvline(end - 0.5, color="0.8", linewidth=0.8)
        axes.annotate(name, (center, 1.0), (place, 1.05), xycoords=top, textcoords=top,
                      fontsize="x-small", rotation=90, ha="center", va="bottom",
                      arrowprops={"arrowstyle": "-", "relpos": (0.5, 0.0), "color": "0.6",
                                  "linewidth": 0.6})  # fmt: skip


def _spread(wanted: list[float], gap: float) -> list[float]:
    """Move ascending places as far apart as `gap`, the last one staying where it is."""
    places = np.array(wanted)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - gap)
    return places.tolist()


def _groups(model: Any) -> tuple[tuple[str, int, int], ...]:
    """Name the parts of a neural network's vector; of another model's nothing is known."""
    if not isinstance(model, NeuralNetwork):
        return ()
    weights = model.parameters.weights
    sizes = [
        (f"{element} layer {layer}", weights[element][layer].size)
        for element in model.elements
        for layer in sorted(weights[element])
    ]
    sizes += [(f"{element} scaling", 2) for element in model.elements]
    ends = np.cumsum([size for _, size in sizes]).tolist()
    return tuple((name, end - size, end) for (name, size), end in zip(sizes, ends, strict=True))
