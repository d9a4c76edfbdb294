"""Figures that belong to nobody: made without pyplot, written whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from amp.core.errors import OutputExistsError, ParameterError
from amp.core.serialization import write_atomic

__all__ = ["check_plotfiles", "make_figure", "save_figure"]


def check_plotfiles(*paths: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse file names that cannot be written, before any work.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is not set.
    ParameterError
        If a name has an ending that matplotlib does not write.
    """
    known = make_figure(1.0, 1.0).canvas.get_supported_filetypes()
    for path in map(Path, paths):
        if path.suffix[1:].lower() not in known:
            raise ParameterError(
                f"The plot file {str(path)!r} must end in one of: "
                f"{', '.join('.' + ending for ending in sorted(known))}."
            )
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists already. Use another name, or overwrite=True.")


def make_figure(width: float, height: float) -> Any:
    """Make an empty figure of a size in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib. Install it: pip install 'amp-potentials[plots]'."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the ending of the name says."""
    written = io.BytesIO()
    figure.savefig(written, format=Path(path).suffix[1:].lower(), dpi=200)
    write_atomic(path, written.getvalue())
