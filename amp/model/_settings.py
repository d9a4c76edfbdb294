"""Settings of neural networks as users and files give them: brought into one form, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amp.core.elements import ATOMIC_NUMBERS
from amp.core.errors import ParameterError
from amp.core.typing import FloatArray

__all__ = [
    "check_shapes",
    "hidden_layers",
    "range_pairs",
    "scaling_numbers",
    "truth",
    "weight_arrays",
    "whole_number",
]

Layers = tuple[int, ...] | dict[str, tuple[int, ...]]
Weights = dict[str, dict[int, FloatArray]]


def hidden_layers(given: Sequence[int] | Mapping[str, Sequence[int]]) -> Layers:
    """Turn hiddenlayers into tuples of positive whole numbers."""
    if isinstance(given, Mapping):
        return {e: _layer_tuple(layers) for e, layers in _by_element("hiddenlayers", given).items()}
    return _layer_tuple(given)


def weight_arrays(given: Mapping[str, Mapping[int, FloatArray]]) -> Weights:
    """Copy weights into float arrays with two axes."""
    weights: Weights = {}
    for element, layers in _by_element("weights", given).items():
        weights[element] = {}
        for layer, w in _mapping(f"weights[{element!r}]", layers).items():
            where = f"weights[{element!r}][{layer!r}]"
            array = _float_array(where, w)
            if array.ndim != 2:
                raise ParameterError(
                    f"{where} has shape {array.shape}, but must be (inputs + 1, outputs)."
                )
            weights[element][_layer_number(where, layer)] = array
    return weights


def scaling_numbers(given: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Copy scalings, which are an intercept and a slope for each element."""
    scalings = {}
    for element, scaling in _by_element("scalings", given).items():
        where = f"scalings[{element!r}]"
        if set(_mapping(where, scaling)) != {"intercept", "slope"}:
            raise ParameterError(
                f"{where} must be {{'intercept': eV, 'slope': eV}}, not {scaling!r}."
            )
        scalings[element] = {
            name: float(_float_array(f"{where}[{name!r}]", scaling[name], ()))
            for name in ("intercept", "slope")
        }
    return scalings


def range_pairs(
    given: Mapping[str, Sequence[Sequence[float]]],
) -> dict[str, list[tuple[float, float]]]:
    """Copy the ranges of fingerprints, which are pairs (min, max)."""
    ranges = {}
    for element, pairs in _by_element("fprange", given).items():
        where = f"fprange[{element!r}]"
        array = _float_array(where, pairs)
        array = array.reshape(0, 2) if array.shape == (0,) else array
        if array.ndim != 2 or array.shape[1] != 2 or np.any(array[:, 0] > array[:, 1]):
            raise ParameterError(f"{where} must be a list of pairs (min, max).")
        ranges[element] = [(float(low), float(high)) for low, high in array]
    return ranges


def whole_number(name: str, given: Any, what: str, least: float = -np.inf) -> int | None:
    """Give a plain whole number that is not below the least, or None."""
    if given is None:
        return None
    if not isinstance(given, (int, np.integer)) or isinstance(given, bool) or given < least:
        raise ParameterError(f"{name} is a whole number {what}, or None, not {given!r}.")
    return int(given)


def truth(name: str, given: Any) -> bool:
    """Give True or False, refusing what is neither, such as the word 'False'."""
    if not isinstance(given, (bool, np.bool_)) and not (isinstance(given, int) and given in (0, 1)):
        raise ParameterError(f"{name} must be True or False, not {given!r}.")
    return bool(given)


def check_shapes(
    hidden: Layers | None,
    weights: Weights | None,
    fprange: Mapping[str, Sequence[Any]] | None,
    scalings: Mapping[str, Any] | None,
) -> None:
    """Compare weights with hiddenlayers, fprange and scalings, as far as these are known."""
    for element, layers in (weights or {}).items():
        for name, known in (
            ("hiddenlayers", hidden),
            ("fprange", fprange),
            ("scalings", scalings),
        ):
            if isinstance(known, Mapping) and element not in known:
                raise ParameterError(
                    f"There are weights of {element}, but {name} lacks it; it has "
                    f"{', '.join(known) or 'no element'}."
                )
        nodes = hidden[element] if isinstance(hidden, Mapping) else hidden or ()
        inputs = None if fprange is None else len(fprange[element])
        _check_element(element, layers, nodes, inputs)


def _check_element(
    element: str, layers: Mapping[int, FloatArray], nodes: Sequence[int], inputs: int | None
) -> None:
    """Compare the weights of one element with its number of nodes and inputs."""
    widths = [inputs, *nodes, 1]
    if sorted(layers) != list(range(1, len(widths))):
        raise ParameterError(
            f"weights[{element!r}] has layers {sorted(layers)}, but hiddenlayers "
            f"{tuple(nodes)} need {list(range(1, len(widths)))}."
        )
    for layer in layers:
        n_in, n_out = widths[layer - 1], widths[layer]
        shape = layers[layer].shape
        if shape[1] != n_out or n_in not in (None, shape[0] - 1):
            wanted = f"({'inputs' if n_in is None else n_in} + 1, {n_out})"
            raise ParameterError(
                f"weights[{element!r}][{layer}] has shape {shape}, but must be {wanted}."
            )


def _layer_tuple(layers: Sequence[int]) -> tuple[int, ...]:
    try:
        numbers = tuple(int(n) for n in layers)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not numbers or min(numbers) < 1 or any(n != m for n, m in zip(numbers, layers, strict=True)):
        raise ParameterError(
            f"hiddenlayers is a tuple of positive whole numbers such as (5, 5), or a dict "
            f"element -> tuple, not {layers!r}."
        )
    return numbers


def _layer_number(where: str, layer: Any) -> int:
    try:
        return int(layer)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{where}: layers are numbered 1, 2 and so on.") from error


def _by_element(name: str, given: Any) -> Mapping[str, Any]:
    """Refuse what is no dictionary of chemical symbols."""
    for element in _mapping(name, given):
        if not isinstance(element, str) or element not in ATOMIC_NUMBERS:
            raise ParameterError(
                f"{name} is a dict with chemical symbols such as 'Cu', but {element!r} is none."
            )
    return dict(given)


def _mapping(where: str, given: Any) -> Mapping[Any, Any]:
    """Refuse what is no dictionary."""
    if not isinstance(given, Mapping):
        raise ParameterError(f"{where} must be a dict, not {type(given).__name__}.")
    return given


def _float_array(where: str, given: Any, shape: tuple[int, ...] | None = None) -> FloatArray:
    """Copy finite numbers into an array."""
    try:
        array = np.array(given, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{where} must be an array of numbers: {error}.") from error
    if shape is not None and array.shape != shape:
        raise ParameterError(f"{where} has shape {array.shape}, but must be {shape}.")
    if not np.isfinite(array).all():
        raise ParameterError(f"{where} has values that are not finite.")
    return array
