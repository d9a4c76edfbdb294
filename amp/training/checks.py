"""Checks of what users hand over: parts of a potential, loss, optimizer, label, cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from amp.core.errors import ParameterError
from amp.descriptor.base import Descriptor
from amp.model.base import Model
from amp.regression import Regressor

__all__ = [
    "check_cores",
    "check_dtype",
    "check_label",
    "check_loss",
    "check_part",
    "make_regressor",
]


def _methods(contract: type) -> list[str]:
    """Name the methods of a contract."""
    return [name for name, member in vars(contract).items() if callable(member) and name[0] != "_"]


# Only methods: looking up a property such as `vector` computes it, which fails before training.
_NEEDED = {"descriptor": _methods(Descriptor), "model": _methods(Model)}
_LOSS_METHODS = ["attach", "detach", "get_loss", "is_converged", "settings"]
_EXAMPLES = {
    "descriptor": "Gaussian()",
    "model": "NeuralNetwork()",
    "model.lossfunction": "LossFunction()",
    "model.regressor": "Regressor('L-BFGS-B')",
}


def check_part(name: str, part: Any) -> None:
    """Refuse a descriptor or model that lacks methods of its contract.

    Parameters
    ----------
    name : str
        'descriptor' or 'model'.
    part : object
        Of any class.

    Raises
    ------
    ParameterError
        The message names the methods that it lacks, or says that the parts are swapped.
    """
    (other,) = set(_NEEDED) - {name}
    swapped = not isinstance(part, type) and not _lacking(part, _NEEDED[other])
    hint = f" It is a {other}: write Amp(descriptor, model)." if swapped else ""
    _check_methods(name, part, _NEEDED[name], hint)


def check_loss(loss: Any) -> None:
    """Refuse what is no loss function.

    Raises
    ------
    ParameterError
        The message names the methods that it lacks.
    """
    _check_methods("model.lossfunction", loss, _LOSS_METHODS)


def make_regressor(regressor: Any) -> Any:
    """Give the regressor of a model: None is the default one, a name that with this optimizer.

    Raises
    ------
    ParameterError
        If it has no method `regress`.
    UnknownNameError
        If there is no optimizer of that name.
    """
    if regressor is None:
        return Regressor()
    if isinstance(regressor, str):
        return Regressor(regressor)
    _check_methods("model.regressor", regressor, ["regress"])
    return regressor


def check_label(label: Any) -> str:
    """Give a label as text.

    Raises
    ------
    ParameterError
        If file names cannot begin with it, or it is a file name already.
    """
    if not isinstance(label, str | os.PathLike) or not isinstance(os.fspath(label), str):
        raise ParameterError(f"A label is a text or a path, the beginning of names; got {label!r}.")
    text = str(os.fspath(label))
    if text.endswith(("/", os.sep)):
        raise ParameterError(
            f"The label {text!r} names a folder only. Add the beginning of the files' names, as in "
            f"{text + 'amp'!r}."
        )
    if text.endswith(".amp"):
        raise ParameterError(
            f"The label {text!r} ends in .amp, which is added to it. Use {text[:-4]!r}; to load a "
            f"potential, Amp.load({text!r})."
        )
    return text


def check_cores(cores: Any) -> Any:
    """Give the cores as they are, if they are None, a number, or numbers by host.

    Raises
    ------
    ParameterError
        If they are something else.
    """
    numbers = list(cores.values()) if isinstance(cores, Mapping) else [cores]
    hosts = list(cores) if isinstance(cores, Mapping) else []
    usable = all(_is_count(n) for n in numbers) and all(isinstance(host, str) for host in hosts)
    if cores is not None and not (usable and numbers):
        raise ParameterError(
            "cores is a number of at least 1, a dictionary of such numbers by host, or None for "
            f"all usable cores; got {cores!r}."
        )
    return int(cores) if isinstance(cores, np.integer) else cores


def check_dtype(dtype: object) -> str:
    """Refuse a precision that predictions cannot be computed in; give its name.

    Raises
    ------
    ParameterError
        If it is neither float64 nor float32.
    """
    name = str(getattr(dtype, "__name__", dtype))  # np.float32, np.dtype("float32") and "float32"
    if name not in ("float64", "float32"):
        raise ParameterError(f"dtype is 'float64' or 'float32', not {dtype!r}.")
    return name


def _is_count(value: object) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and value >= 1  # type: ignore[operator]


def _check_methods(name: str, part: Any, needed: list[str], hint: str = "") -> None:
    """Refuse a class instead of an object, and objects that lack methods."""
    if isinstance(part, type):
        raise ParameterError(
            f"{name} is the class {part.__name__}; give an object of it: {part.__name__}()."
        )
    lacking = _lacking(part, needed)
    if lacking:
        hint = hint or f" Give an object such as {_EXAMPLES[name]}."
        raise ParameterError(
            f"{name} cannot be {_kind(part)}, which lacks {', '.join(lacking)}.{hint}"
        )


def _lacking(part: Any, needed: list[str]) -> list[str]:
    return [method for method in needed if not callable(getattr(part, method, None))]


def _kind(part: Any) -> str:
    """Describe an object in a word or two."""
    if part is None or isinstance(part, str | int | float):
        return repr(part)
    return f"of the class {type(part).__name__}"
