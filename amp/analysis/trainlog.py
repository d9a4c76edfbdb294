"""Training logs read back, of this Amp and of Amp 1.0.1, and their convergence plotted."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amp.analysis.figures import check_plotfiles, make_figure, save_figure
from amp.core.errors import AmpFileError, ParameterError

__all__ = ["plot_convergence", "read_trainlog"]

logger = logging.getLogger(__name__)

KINDS = ("energy", "force", "stress")
UNITS = {"energy": "eV/atom", "force": "eV/Å", "stress": "eV/Å^3"}

_CRITERIA = re.compile(r"^\s*Loss function convergence criteria", re.IGNORECASE)
_CRITERION = re.compile(r"^\s*((?:energy|force|stress)_(?:rmse|maxresid)):\s*(\S+)\s*$")
_COLUMNS = re.compile(r"\b(Energy|Force|Stress)\s?RMSE\b", re.IGNORECASE)
_ROW = re.compile(r"^\s*(\d+)\s+(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S*\s+(\S+)((?:\s+\S+)+)\s*$")


@dataclass(slots=True)
class _Training:
    """What a log says about one training."""

    convergence: dict[str, float | None] = field(default_factory=dict)
    kinds: tuple[str, ...] | None = None
    rows: list[tuple[int, str, float, list[float], list[bool]]] = field(default_factory=list)


def read_trainlog(
    logfile: str | os.PathLike[str], verbose: bool = True, multiple: int = 0
) -> dict[str, Any]:
    """Read the loss table of a training log of this Amp or of Amp 1.0.1.

    A training that went on from a check point is one training.

    Parameters
    ----------
    logfile : path
        LABEL-log.txt.
    verbose : bool, default True
        Log what was found at level INFO instead of DEBUG.
    multiple : int, default 0
        Which training of a log that holds several, counted from 0; -1 is the last.

    Returns
    -------
    dict
        `steps` (n,) int; `times` (n,) datetime64; `losses` (n,); for each `kind` of `energy`
        (eV/atom), `force` (eV/Å), `stress` (eV/Å^3) that the table has `kind_rmse`,
        `kind_maxresid` (n,), and (n,) bool `kind_rmse_converged`, `kind_maxresid_converged`;
        `converged` (n,) bool, all of these; `convergence`, a dict of the criteria that the log
        names, None for those that do not matter; `n_trainings`, how many the log holds.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AmpFileError
        If it has no loss table.
    ParameterError
        If it has fewer trainings than `multiple` asks for.
    """
    name = os.fspath(logfile)
    text = Path(logfile).read_text(encoding="utf-8", errors="replace")
    trainings = [training for training in _trainings(text) if training.rows]
    if not trainings:
        raise AmpFileError(
            f"{name} has no table of losses: it is not the log of a training, or training ended "
            "before its first step."
        )
    if not -len(trainings) <= multiple < len(trainings):
        raise ParameterError(
            f"{name} holds {len(trainings)} training(s), counted from 0; there is no number "
            f"{multiple}."
        )
    data = _arrays(trainings[multiple])
    data["n_trainings"] = len(trainings)
    logger.log(
        logging.INFO if verbose else logging.DEBUG,
        "%s: %d training(s); number %d has %d steps, with losses from %.4g to %.4g.",
        name, len(trainings), multiple, len(data["steps"]), data["losses"][0], data["losses"][-1],
    )  # fmt: skip
    return data


def plot_convergence(
    data: dict[str, Any] | str | os.PathLike[str],
    plotfile: str | os.PathLike[str] = "convergence.pdf",
    overwrite: bool = True,
) -> None:
    """Plot loss, RMSEs and largest residuals of a training over its steps, with the criteria.

    Parameters
    ----------
    data : dict or path
        From `read_trainlog`, or the log, whose last training is plotted.
    plotfile : path, default 'convergence.pdf'
        File to write, in the format that its ending says.
    overwrite : bool, default True
        Replace an existing file: while a training runs, the plot is made again and again.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    FileNotFoundError, AmpFileError
        As `read_trainlog`, if `data` is a path.
    """
    check_plotfiles(plotfile, overwrite=overwrite)
    if isinstance(data, str | os.PathLike):
        data = read_trainlog(data, verbose=False, multiple=-1)
    kinds = [kind for kind in KINDS if f"{kind}_rmse" in data]
    figure = make_figure(7.0, 2.5 * (1 + len(kinds)))
    panels = figure.subplots(1 + len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    panels[0].plot(data["steps"], data["losses"], color="k", linewidth=1.0)
    panels[0].set_ylabel("loss")
    for axes, kind in zip(panels[1:], kinds, strict=True):
        for what, color in (("rmse", "C0"), ("maxresid", "C1")):
            name = f"{kind}_{what}"
            axes.plot(data["steps"], data[name], color=color, linewidth=1.0, label=what)
            limit = data["convergence"].get(name)
            if limit is not None:
                axes.axhline(limit, color=color, linestyle="--", linewidth=0.8)
        axes.set_ylabel(f"{kind} ({UNITS[kind]})")
        axes.legend(title="dashed: criterion", fontsize="small", title_fontsize="small")
    for axes in panels:
        axes.set_yscale("log", nonpositive="clip")
    panels[-1].set_xlabel("step")
    save_figure(figure, plotfile)


def _trainings(text: str) -> list[_Training]:
    """Cut a log into trainings, each beginning with its criteria or the head of its table."""
    trainings = [_Training()]
    for line in text.splitlines():
        current = trainings[-1]
        if _CRITERIA.match(line):
            trainings.append(_Training())
        elif criterion := _CRITERION.match(line):
            if not current.rows:
                current.convergence[criterion[1]] = _number(criterion[2])
        elif row := _ROW.match(line):
            values, met = _cells(row[4].split())
            loss = _number(row[3])
            if values and loss is not None:
                current.rows.append((int(row[1]), row[2], loss, values, met))
        elif "MaxResid" in line and (columns := _COLUMNS.findall(line)):
            if current.rows:
                current = _Training()
                trainings.append(current)
            current.kinds = tuple(kind.lower() for kind in columns)
    return trainings


def _cells(words: list[str]) -> tuple[list[float], list[bool]]:
    """Read values, each followed by C (criterion met) or -; nothing of a line that has others."""
    values: list[float] = []
    met: list[bool] = []
    for word in words:
        if word in ("C", "-"):
            met.append(word == "C")
            continue
        value = _number(word)
        if value is None:
            return [], []
        values.append(value)
    return (values, met) if len(met) == len(values) and len(values) % 2 == 0 else ([], [])


def _number(word: str) -> float | None:
    """Read a number; None for None and for what is none."""
    try:
        return float(word)
    except ValueError:
        return None


def _arrays(training: _Training) -> dict[str, Any]:
    """Turn rows into columns."""
    width = len(training.rows[0][3])
    named = training.kinds or ()
    kinds = named if 2 * len(named) == width else KINDS[: width // 2]
    rows = [row for row in training.rows if len(row[3]) == width]  # others were cut short
    values = np.array([row[3] for row in rows])
    met = np.array([row[4] for row in rows])
    data: dict[str, Any] = {
        "steps": np.array([row[0] for row in rows], dtype=np.int64),
        "times": np.array([row[1] for row in rows], dtype="datetime64[s]"),
        "losses": np.array([row[2] for row in rows]),
        "converged": met.all(axis=1),
        "convergence": dict(training.convergence),
    }
    for column, column_name in enumerate(f"{k}_{w}" for k in kinds for w in ("rmse", "maxresid")):
        data[column_name] = values[:, column]
        data[f"{column_name}_converged"] = met[:, column]
    return data
