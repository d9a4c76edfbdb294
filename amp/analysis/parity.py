"""Parity and error plots: predictions of a potential against the references of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from amp.analysis.comparison import Comparison, compare, load_calculator
from amp.analysis.figures import check_plotfiles, make_figure, save_figure
from amp.core.errors import MissingDataError
from amp.core.typing import FloatArray

__all__ = ["ParityData", "draw_parity", "plot_error", "plot_parity", "plot_parity_and_error"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class ParityData:
    """What a parity plot shows; what has no reference is left out."""

    keys: tuple[str, ...]  # hashes of the images with energies
    reference_energies: FloatArray  # (n_images,) eV/atom
    energies: FloatArray  # (n_images,) eV/atom
    reference_forces: FloatArray  # (n_components,) eV/Å; empty without forces
    forces: FloatArray  # (n_components,) eV/Å

    @classmethod
    def of(cls, comparison: Comparison) -> ParityData:
        """Take from a comparison what has a reference."""
        c = comparison
        energies, forces = np.isfinite(c.reference_energies), np.isfinite(c.reference_forces)
        n_atoms = c.n_atoms[energies]
        return cls(
            keys=tuple(key for key, known in zip(c.keys, energies, strict=True) if known),
            reference_energies=c.reference_energies[energies] / n_atoms,
            energies=c.energies[energies] / n_atoms,
            reference_forces=c.reference_forces[forces],
            forces=c.forces[forces],
        )


def plot_parity(
    calc: Any,
    images: Any,
    label: str = "parity",
    dblabel: str | None = None,
    plot_forces: bool = True,
    plotfile: PathLike | None = None,
    color: str = "b.",
    overwrite: bool = False,
    returndata: bool = False,
    energy_coefficient: float | None = 1.0,
    force_coefficient: float | None = 0.04,
) -> tuple[Any, ParityData] | None:
    """Plot predicted against reference energies per atom and force components.

    Parameters
    ----------
    calc : calculator or path
        Potential, or its file (.amp).
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes.
    label : str, default 'parity'
        Beginning of the file name.
    dblabel : str, optional
        See `Amp`.
    plot_forces : bool, default True
        Plot forces too, where images have them.
    plotfile : path, optional
        File to write, in the format that its ending says; LABEL.pdf by default.
    color : str, default 'b.'
        Color and marker, as matplotlib's `plot` takes them.
    overwrite : bool, default False
        Replace an existing file.
    returndata : bool, default False
        Return the figure and its data.
    energy_coefficient, force_coefficient : float or None
        Accepted for old scripts; they have no effect on errors.

    Returns
    -------
    (matplotlib.figure.Figure, ParityData) or None
        With `returndata`.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is not set; before any work.
    MissingDataError
        If no image has a reference.
    """
    path = plotfile or f"{label}.pdf"
    check_plotfiles(path, overwrite=overwrite)
    data = _data(calc, images, dblabel, plot_forces)
    figure = _figure(data, _parity_axes, color)
    save_figure(figure, path)
    return (figure, data) if returndata else None


def plot_error(
    calc: Any,
    images: Any,
    label: str = "error",
    dblabel: str | None = None,
    plot_forces: bool = True,
    plotfile: PathLike | None = None,
    color: str = "b.",
    overwrite: bool = False,
    returndata: bool = False,
    energy_coefficient: float | None = 1.0,
    force_coefficient: float | None = 0.04,
) -> tuple[Any, ParityData] | None:
    """Plot absolute errors against reference energies per atom and force components.

    Parameters, results and errors are those of `plot_parity`; the file is LABEL.pdf, error.pdf
    by default.
    """
    path = plotfile or f"{label}.pdf"
    check_plotfiles(path, overwrite=overwrite)
    data = _data(calc, images, dblabel, plot_forces)
    figure = _figure(data, _error_axes, color)
    save_figure(figure, path)
    return (figure, data) if returndata else None


def plot_parity_and_error(
    calc: Any,
    images: Any,
    label_parity: str = "parity",
    label_error: str = "error",
    dblabel: str | None = None,
    xtic_angle: float = 45.0,
    plot_forces: bool = True,
    plotfile_parity: PathLike | None = None,
    plotfile_error: PathLike | None = None,
    color: str = "b.",
    overwrite: bool = False,
    returndata: bool = False,
) -> tuple[Any, Any, ParityData] | None:
    """Make the plots of `plot_parity` and `plot_error`, calculating each image once.

    Parameters
    ----------
    calc : calculator or path
        Potential, or its file (.amp).
    images : list of Atoms, path, or mapping
        What `amp.utilities.hash_images` takes.
    label_parity, label_error : str
        Beginnings of the file names.
    dblabel : str, optional
        See `Amp`.
    xtic_angle : float, default 45.0
        Turns the labels of the horizontal axes (degrees).
    plot_forces : bool, default True
        Plot forces too, where images have them.
    plotfile_parity, plotfile_error : path, optional
        Files to write; LABEL.pdf by default.
    color : str, default 'b.'
        Color and marker, as matplotlib's `plot` takes them.
    overwrite : bool, default False
        Replace existing files.
    returndata : bool, default False
        Return the figures and their data.

    Returns
    -------
    (Figure of parity, Figure of errors, ParityData) or None
        With `returndata`.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is not set; before any work.
    MissingDataError
        If no image has a reference.
    """
    paths = (plotfile_parity or f"{label_parity}.pdf", plotfile_error or f"{label_error}.pdf")
    check_plotfiles(*paths, overwrite=overwrite)
    data = _data(calc, images, dblabel, plot_forces)
    parity, error = (_figure(data, draw, color, xtic_angle) for draw in (_parity_axes, _error_axes))
    save_figure(parity, paths[0])
    save_figure(error, paths[1])
    return (parity, error, data) if returndata else None


def draw_parity(
    comparison: Comparison, plotfile: PathLike, color: str = "b.", overwrite: bool = False
) -> None:
    """Plot the parity of what has been calculated already, as `plot_parity` does.

    Parameters
    ----------
    comparison : Comparison
        From `compare`, or an `Evaluation`'s.
    plotfile : path
        File to write.
    color : str, default 'b.'
        Color and marker, as matplotlib's `plot` takes them.
    overwrite : bool, default False
        Replace an existing file.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is not set.
    MissingDataError
        If the comparison has neither energies nor forces.
    """
    check_plotfiles(plotfile, overwrite=overwrite)
    save_figure(_figure(_checked(ParityData.of(comparison)), _parity_axes, color), plotfile)


def _data(calc: Any, images: Any, dblabel: str | None, forces: bool) -> ParityData:
    loaded = load_calculator(calc, dblabel)
    return _checked(ParityData.of(compare(loaded, images, forces=forces, stress=False)))


def _checked(data: ParityData) -> ParityData:
    """Refuse data that there is nothing to plot of."""
    if not len(data.energies) and not len(data.forces):
        raise MissingDataError("No image has an energy or forces to plot.")
    return data


def _figure(data: ParityData, draw: Any, color: str, angle: float = 0.0) -> Any:
    """Draw energies and forces side by side, those that there are."""
    panels = [
        ("energy", "eV/atom", data.reference_energies, data.energies),
        ("force", "eV/Å", data.reference_forces, data.forces),
    ]
    panels = [panel for panel in panels if len(panel[2])]
    figure = make_figure(4.5 * len(panels), 4.5)
    for i, (name, unit, reference, predicted) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        draw(axes, name, unit, reference, predicted, color)
        axes.locator_params(axis="x", nbins=4)  # labels of large energies are long
        if angle:
            axes.tick_params(axis="x", labelrotation=angle)
    return figure


def _parity_axes(
    axes: Any, name: str, unit: str, reference: FloatArray, predicted: FloatArray, color: str
) -> None:
    """Plot predictions over references, with the line on which they agree."""
    both = np.concatenate([reference, predicted])
    ends = [both.min(), both.max()]
    errors = predicted - reference
    axes.plot(ends, ends, "-", color="0.6", linewidth=0.8, zorder=1)
    axes.plot(reference, predicted, color, markersize=3, zorder=2)
    axes.set_xlabel(f"reference {name} ({unit})")
    axes.set_ylabel(f"predicted {name} ({unit})")
    axes.set_title(
        f"MAE {np.abs(errors).mean():.3g}, RMSE {np.sqrt(np.mean(errors**2)):.3g} {unit}",
        fontsize="medium",
    )


def _error_axes(
    axes: Any, name: str, unit: str, reference: FloatArray, predicted: FloatArray, color: str
) -> None:
    """Plot absolute errors over references, with the RMSE as a line."""
    errors = np.abs(predicted - reference)
    rmse = np.sqrt(np.mean(errors**2))
    axes.axhline(rmse, color="0.4", linestyle="--", linewidth=0.8, zorder=1)
    axes.plot(reference, errors, color, markersize=3, zorder=2)
    axes.set_xlabel(f"reference {name} ({unit})")
    axes.set_ylabel(f"absolute {name} error ({unit})")
    axes.set_title(f"dashed: RMSE {rmse:.3g} {unit}", fontsize="medium")
