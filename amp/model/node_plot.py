"""How much each node of the networks is used: histograms of node outputs over images."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from amp.core.errors import OutputExistsError, ParameterError
from amp.core.images import hash_images
from amp.core.serialization import write_atomic
from amp.core.typing import FloatArray

__all__ = ["NodePlot", "node_histograms"]

N_BINS = 40
BOUNDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}  # where other functions have none


class NodePlot:
    """Histograms of the outputs of a potential's nodes.

    A node whose output is always at an end of its range is saturated, and one whose output never
    changes is idle: neither tells atoms apart.

    Parameters
    ----------
    calc : calculator
        With a `descriptor` and a neural network as its `model`, both trained.
    """

    def __init__(self, calc: Any) -> None:
        self.calc = calc

    def outputs(self, images: Any) -> dict[str, dict[int, FloatArray]]:
        """Compute the output of every node for every atom.

        Parameters
        ----------
        images : list of Atoms, path, or mapping
            What `amp.utilities.hash_images` takes.

        Returns
        -------
        dict
            Element -> layer -> array (n_atoms of the element, n_nodes).  Layers are counted from
            1; the last one is the output node, before its scaling to an energy.  Elements without
            atoms are left out.

        Raises
        ------
        ParameterError
            If the model is not trained.
        ImageError, UnsupportedElementError
            If images cannot be used.
        """
        fingerprints = self.calc.descriptor.fingerprint_images(hash_images(images))
        evaluation = self.calc.model.evaluate(fingerprints)
        found: dict[str, dict[int, FloatArray]] = {}
        for part in evaluation.parts:
            if len(part.atoms):
                found[part.element] = dict(enumerate(part.layers(), 1))
        return found

    def plot(
        self,
        images: Any,
        filename: str | os.PathLike[str] = "nodeplot.pdf",
        overwrite: bool = True,
    ) -> None:
        """Plot, for each element and layer, the histogram of each node's output over the atoms.

        A column is a node, and its colors say how many of the atoms have which output.

        Parameters
        ----------
        images : list of Atoms, path, or mapping
            What `amp.utilities.hash_images` takes.
        filename : path, default 'nodeplot.pdf'
            File to write, in the format that its ending says.
        overwrite : bool, default True
            Replace an existing file.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        OutputExistsError
            If the file exists and `overwrite` is False.
        ParameterError
            If the model is not trained, or the file's ending is of no known format.
        ImageError, UnsupportedElementError
            If images cannot be used.
        """
        path = Path(filename)
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists already. Use another name, or overwrite=True.")
        figure = _empty_figure()
        if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
            raise ParameterError(f"The plot file {str(path)!r} must end in .pdf, .png or .svg.")
        outputs = self.outputs(images)
        activation = self.calc.model.parameters.activation
        n_columns = max(len(layers) for layers in outputs.values())
        figure.set_size_inches(3.2 * n_columns + 0.8, 2.8 * len(outputs))
        grid = figure.subplots(len(outputs), n_columns, squeeze=False)
        for row, (element, layers) in zip(grid, outputs.items(), strict=True):
            for axes in row[len(layers) :]:
                axes.set_axis_off()
            for axes, (layer, values) in zip(row, layers.items(), strict=False):
                is_hidden = layer < len(layers)
                _draw(axes, values, BOUNDS.get(activation) if is_hidden else None)
                name = f"hidden layer {layer}" if is_hidden else "output"
                axes.set_title(f"{element}, {name}", fontsize="medium")
        written = io.BytesIO()
        figure.savefig(written, format=path.suffix[1:].lower(), dpi=200)
        write_atomic(path, written.getvalue())


def node_histograms(
    values: FloatArray, bounds: tuple[float, float] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Count how often each node gives which output.

    Parameters
    ----------
    values : ndarray, shape (n_atoms, n_nodes)
        Outputs.
    bounds : (float, float), optional
        Range of the histogram; that of the values by default.

    Returns
    -------
    fractions : ndarray, shape (n_nodes, n_bins)
        Fraction of the atoms; each row adds up to 1.
    edges : ndarray, shape (n_bins + 1,)
        Edges of the bins.
    """
    low, high = bounds if bounds is not None else (float(values.min()), float(values.max()))
    if high - low < 1e-12 * max(1.0, abs(low)):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, N_BINS + 1)
    counts = np.array([np.histogram(node, edges)[0] for node in values.T], dtype=float)
    return counts / len(values), edges


def _draw(axes: Any, values: FloatArray, bounds: tuple[float, float] | None) -> None:
    """Draw the histograms of a layer side by side, as columns of colors."""
    fractions, edges = node_histograms(values, bounds)
    nodes = np.arange(len(fractions) + 1) + 0.5
    mesh = axes.pcolormesh(nodes, edges, fractions.T, cmap="viridis", vmin=0.0)
    axes.figure.colorbar(mesh, ax=axes, label="fraction of atoms")
    axes.set_xlabel("node")
    axes.set_ylabel("output")
    axes.set_xticks(_ticks(len(fractions)))


def _ticks(n_nodes: int) -> list[int]:
    """Choose at most about ten nodes to be numbered."""
    return list(range(1, n_nodes + 1, max(1, n_nodes // 10)))


def _empty_figure() -> Any:
    """Make a figure that belongs to nobody but the caller."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib. Install it: pip install 'amp-potentials[plots]'."
        ) from error
    return Figure(layout="constrained")
