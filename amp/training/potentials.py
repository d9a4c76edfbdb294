"""Potential files (.amp): descriptor and model as data, and the text format of Amp 1.0.1.

A file is a JSON object: `format` ('amp-potential'), `format_version`, `amp_version`, `descriptor`
and `model` (each with `kind` and `version`), and in a check point also `checkpoint`.  Arrays are
written with all digits.  Nothing that is read is executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from amp import __version__
from amp.core.errors import AmpError, AmpFileError, OutputWriteError, UnknownNameError
from amp.core.serialization import from_jsonable, string2dict, to_json, write_atomic
from amp.descriptor import descriptors
from amp.descriptor.gaussian import Gaussian
from amp.model import models
from amp.model.neuralnetwork import NeuralNetwork

__all__ = ["FORMAT_VERSION", "Potential", "make_parts", "read_potential", "write_potential"]

FORMAT = "amp-potential"
FORMAT_VERSION = 1

# What Amp 1.0.1 wrote as importname -> the kinds here.
_LEGACY_DESCRIPTORS = {".descriptor.gaussian.Gaussian": "gaussian"}
_LEGACY_MODELS = {".model.neuralnetwork.NeuralNetwork": "neuralnetwork"}

Potential = dict[str, Any]


def write_potential(
    path: str | os.PathLike[str],
    descriptor: Any,
    model: Any,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a potential file, whole or not at all.

    Parameters
    ----------
    path : path
        Name of the file; an existing one is replaced.
    descriptor, model : objects with `to_dict`
    extra : mapping, optional
        More entries of the file, such as `checkpoint`.

    Raises
    ------
    OutputWriteError
        If the file cannot be written; one that was there stays.
    """
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "amp_version": __version__,
        "descriptor": descriptor.to_dict(),
        "model": model.to_dict(),
        **(extra or {}),
    }
    try:
        write_atomic(path, to_json(data))
    except OSError as error:
        raise OutputWriteError(
            f"{os.fspath(path)} cannot be written: {error.strerror}. Make room, or see who may "
            "write there."
        ) from error


def read_potential(
    file: str | os.PathLike[str] | IO[Any],
    if_damaged: str = "Use a copy, or a check point of the training.",
) -> Potential:
    """Read a potential file of ours or of Amp 1.0.1 into data.

    Parameters
    ----------
    file : path or open file
    if_damaged : str
        What to do about a damaged file, for the message.

    Returns
    -------
    dict
        With `descriptor` and `model`, and what else the file has.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    AmpFileError
        If it is not a potential file, is damaged, or was written by a newer version.
    """
    name, text = _text(file)
    if not text.strip():
        raise AmpFileError(f"{name} is empty; it is not a potential file, or was cut short.")
    try:
        if text.lstrip().startswith("{"):
            return _from_json(text, if_damaged)
        return _from_legacy(text)
    except (AmpError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AmpFileError(
            f"{name} cannot be read as a potential (.amp) file: {error}".rstrip()
        ) from error


def make_parts(
    data: Potential, make_descriptor: Any = None, make_model: Any = None, name: str = "The file"
) -> tuple[Any, Any]:
    """Make descriptor and model of a potential's data.

    Parameters
    ----------
    data : dict
        From `read_potential`.
    make_descriptor, make_model : class with `from_dict`, optional
        Instead of those that the file names.
    name : str
        Of the file, for messages.

    Raises
    ------
    AmpFileError
        If the data are of an unknown kind or make no sense.
    """
    # The registries know them because this module imports them.
    assert {Gaussian, NeuralNetwork} <= {*descriptors.values(), *models.values()}
    parts = []
    for what, registry, given in (
        ("descriptor", descriptors, make_descriptor),
        ("model", models, make_model),
    ):
        section = data[what]
        try:
            maker = given if given is not None else registry[section["kind"]]
            parts.append(maker.from_dict(section))
        except (AmpError, ArithmeticError, AttributeError, LookupError, TypeError,
                ValueError) as error:  # fmt: skip
            hint = f" Give {what.title()}= to load." if isinstance(error, UnknownNameError) else ""
            raise AmpFileError(f"The {what} in {name} cannot be used: {error}{hint}") from error
    if isinstance(parts[0], Gaussian) and isinstance(parts[1], NeuralNetwork):
        _check_fit(parts[0], parts[1], name)
    return parts[0], parts[1]


def _check_fit(descriptor: Gaussian, model: NeuralNetwork, name: str) -> None:
    """Refuse a model that is not for these fingerprints; an untrained one is for any."""
    Gs, elements = descriptor.parameters.Gs, descriptor.parameters.elements
    ranges = model.parameters.fprange
    if model.parameters.weights is None or ranges is None:
        return
    if not isinstance(Gs, Mapping) or elements is None:
        raise AmpFileError(f"The model in {name} is trained, but the descriptor is not set up.")
    functions = {element: len(Gs[element]) for element in elements}
    inputs = {element: len(ranges[element]) for element in elements if element in ranges}
    if functions != inputs or not set(elements) <= set(model.parameters.weights):
        raise AmpFileError(
            f"The descriptor in {name} has {functions} symmetry functions, but the model is for "
            f"{inputs}. The file may be damaged; use a copy."
        )


def _text(file: str | os.PathLike[str] | IO[Any]) -> tuple[str, str]:
    """Read a path or an open file; its name and its text."""
    read: Callable[[], str | bytes] | None = getattr(file, "read", None)
    if read is None:
        name = os.fspath(file)  # type: ignore[arg-type]
        raw: str | bytes = _bytes(name)
    else:
        name = str(getattr(file, "name", "The file"))
        raw = read()
    if isinstance(raw, str):
        return name, raw
    try:
        return name, raw.decode()
    except UnicodeDecodeError as error:
        raise AmpFileError(
            f"{name} cannot be read as a potential (.amp) file: It is not text."
        ) from error


def _bytes(name: str) -> bytes:
    """Read a file; say where a missing one was looked for, and which may be meant."""
    path = Path(name)
    if path.is_dir():
        raise IsADirectoryError(
            f"{name!r} is a folder, not a potential (.amp) file (working folder: {os.getcwd()!r})."
            " Give the name of a file in it."
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"No such file or directory: {name!r} (working folder: {os.getcwd()!r}). "
            f"{_advice(path)}"
        ) from None


def _advice(missing: Path) -> str:
    """Say which file may be meant instead of one that does not exist."""
    label = missing.with_suffix("") if missing.suffix == ".amp" else missing
    endings = (".amp", "-untrained-parameters.amp", "-checkpoint.amp")
    found = [f"{label}{ending}" for ending in endings if Path(f"{label}{ending}").is_file()]
    if found:
        return f"There is {' and '.join(map(repr, found))}."
    return "Check the name and the folder; LABEL.amp is there once a training has converged."


def _from_json(text: str, if_damaged: str) -> Potential:
    """Read our own format."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise AmpFileError(f"It is damaged or cut short ({error}). {if_damaged}") from error
    if data.get("format") != FORMAT:
        raise AmpFileError(f"It lacks format {FORMAT!r}.")
    version = data.get("format_version")
    if not isinstance(version, int) or version is True or not 1 <= version <= FORMAT_VERSION:
        raise AmpFileError(
            f"It has format version {version}, written by Amp {data.get('amp_version')}; this Amp "
            f"reads up to version {FORMAT_VERSION}. Update Amp."
        )
    missing = [key for key in ("descriptor", "model") if not isinstance(data.get(key), dict)]
    if missing:
        raise AmpFileError(f"It lacks its {' and '.join(missing)}.")
    return {key: from_jsonable(value) for key, value in data.items()}


def _from_legacy(text: str) -> Potential:
    """Read the text of Amp 1.0.1: a dict whose values are texts of dicts."""
    outer = string2dict(text)
    if not {"descriptor", "model"} <= set(outer):
        raise AmpFileError("It has no descriptor and model.")
    descriptor = dict(string2dict(outer["descriptor"]))
    model = dict(string2dict(outer["model"]))
    kinds = []
    for section, known in ((descriptor, _LEGACY_DESCRIPTORS), (model, _LEGACY_MODELS)):
        importname = section.pop("importname", None)
        if importname not in known:
            raise AmpFileError(
                f"It was made with {importname}, which does not exist here; known: "
                f"{', '.join(known)}."
            )
        kinds.append(known[importname])
        section.pop("version", None)
    keep = ("hiddenlayers", "activation", "weights", "scalings", "fprange", "mode")
    lacking = [key for key in keep if key not in model and key != "mode"]
    if lacking:
        raise AmpFileError(f"Its model lacks {', '.join(lacking)}.")
    return {
        "descriptor": {"kind": kinds[0], **descriptor},
        "model": {
            "kind": kinds[1],
            **{key: model[key] for key in keep if key in model},
            # Amp 1.0.1 sends the output node through the activation too.
            "output": "activation",
        },
        "amp_version": "1.0.1 or before",
        "format_version": 0,
    }
