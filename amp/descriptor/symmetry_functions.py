"""Lists of Behler-Parrinello symmetry functions: made, checked, and described."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from amp.core.elements import ATOMIC_NUMBERS
from amp.core.errors import ParameterError
from amp.descriptor.cutoffs import dict2cutoff

__all__ = [
    "SymmetryFunction",
    "check_symmetry_functions",
    "describe",
    "make_default_symmetry_functions",
    "make_symmetry_functions",
]

SymmetryFunction = dict[str, Any]

_REQUIRED = {
    "G2": {"type", "element", "eta"},
    "G4": {"type", "elements", "eta", "zeta", "gamma"},
    "G5": {"type", "elements", "eta", "zeta", "gamma"},
}
_OPTIONAL = {"offset", "cutoff"}


def make_symmetry_functions(
    elements: Iterable[str],
    type: str,
    etas: Sequence[float],
    offsets: Sequence[float] | None = None,
    zetas: Sequence[float] | None = None,
    gammas: Sequence[float] | None = None,
) -> list[SymmetryFunction]:
    """Make symmetry functions of one type for all combinations of the parameters.

    Parameters
    ----------
    elements : iterable of str
        Elements of the neighbors.
    type : {'G2', 'G4', 'G5'}
        Radial (G2), angular with r_jk (G4) or without (G5).
    etas : sequence of float
        Dimensionless exponents; they are divided by the square of the cutoff radius.
    offsets : sequence of float, optional
        Centers of the Gaussians (Å), 0 by default.  G4 and G5 functions have the key only when
        offsets are given.
    zetas, gammas : sequence of float
        Angular parameters; needed for G4 and G5.

    Returns
    -------
    list of dict
        For G2 in the order eta, element, offset; for G4 and G5 in the order eta, zeta, gamma,
        (offset,) element pair.

    Raises
    ------
    ParameterError
        If the type is unknown or parameters are missing.
    """
    elements = list(elements)
    if type == "G2":
        return [
            {"type": "G2", "element": element, "eta": eta, "offset": offset}
            for eta in etas
            for element in elements
            for offset in ([0.0] if offsets is None else offsets)
        ]
    if type not in ("G4", "G5"):
        raise ParameterError(f"There is no symmetry function type {type!r}; known: G2, G4, G5.")
    if zetas is None or gammas is None:
        raise ParameterError(f"Symmetry functions of type {type} need zetas and gammas.")
    pairs = [
        sorted(pair) for pair in itertools.combinations_with_replacement(sorted(set(elements)), 2)
    ]
    extras = [{}] if offsets is None else [{"offset": offset} for offset in offsets]
    return [
        {"type": type, "elements": list(pair), "eta": eta, "gamma": gamma, "zeta": zeta, **extra}
        for eta in etas
        for zeta in zetas
        for gamma in gammas
        for extra in extras
        for pair in pairs
    ]


def make_default_symmetry_functions(elements: Iterable[str]) -> dict[str, list[SymmetryFunction]]:
    """Make Amp's classic set of symmetry functions.

    For each element G2 with four etas from 0.05 to 5 in logarithmic steps per neighbor element,
    and G4 with eta 0.005, zeta 1 and 4, gamma 1 and -1 per pair of neighbor elements.

    Parameters
    ----------
    elements : iterable of str

    Returns
    -------
    dict
        Element -> list of symmetry functions.
    """
    elements = sorted(set(elements))
    etas = [float(eta) for eta in np.logspace(np.log10(0.05), np.log10(5.0), num=4)]

    def functions() -> list[SymmetryFunction]:
        radial = make_symmetry_functions(elements, "G2", etas)
        return radial + make_symmetry_functions(
            elements, "G4", [0.005], zetas=[1.0, 4.0], gammas=[1.0, -1.0]
        )

    return {element: functions() for element in elements}


def check_symmetry_functions(
    Gs: Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]],
    elements: Sequence[str],
) -> dict[str, list[SymmetryFunction]]:
    """Check symmetry functions and give each element its own list.

    Parameters
    ----------
    Gs : dict or list
        Lists per element, or one list for all elements.
    elements : sequence of str
        Elements that need functions.

    Returns
    -------
    dict
        Element -> list of checked copies.

    Raises
    ------
    ParameterError
        If an element has no list, or a function lacks a key, has an unknown one or a value that
        makes no sense; all faults are named.
    """
    per_element = dict(Gs) if isinstance(Gs, Mapping) else {element: Gs for element in elements}
    missing = sorted(set(elements) - set(per_element))
    if missing:
        raise ParameterError(
            f"No symmetry functions (Gs) for {', '.join(missing)}; there are some for "
            f"{', '.join(sorted(per_element)) or 'no element'}. Add a list for each element."
        )
    for element, functions in per_element.items():
        if not isinstance(functions, (list, tuple)):
            raise ParameterError(f"Gs[{element!r}] must be a list of dicts, not {functions!r}.")
    faults = [
        f"Gs[{element!r}][{i}]: {fault}"
        for element, functions in per_element.items()
        for i, function in enumerate(functions)
        for fault in _faults(function)
    ]
    if faults:
        raise ParameterError("Symmetry functions are not right:\n  " + "\n  ".join(faults))
    return {
        element: [_copy(function) for function in per_element[element]] for element in per_element
    }


def describe(function: Mapping[str, Any]) -> str:
    """Describe a symmetry function in one line, for logs."""
    who = function.get("element") or "-".join(function["elements"])
    numbers = ("eta", "gamma", "zeta", "offset")
    values = ", ".join(f"{k} = {function[k]:g}" for k in numbers if k in function)
    own = f", cutoff = {function['cutoff']}" if "cutoff" in function else ""
    return f"{function['type']}, {who}, {values}{own}"


def _copy(function: Mapping[str, Any]) -> SymmetryFunction:
    """Copy a function into plain data, with the neighbor elements sorted."""
    copy = dict(function)
    if "elements" in copy:
        copy["elements"] = sorted(copy["elements"])
    if "cutoff" in copy:
        copy["cutoff"] = dict2cutoff(copy["cutoff"]).todict()
    return copy


def _faults(function: Any) -> list[str]:
    """List what is wrong with one function."""
    if not isinstance(function, Mapping):
        return [f"it is {function!r}, not a dict"]
    kind = function.get("type")
    if kind not in _REQUIRED:
        return [f"type is {kind!r}; known: G2, G4, G5"]
    faults = []
    missing = sorted(_REQUIRED[kind] - set(function))
    unknown = sorted(set(function) - _REQUIRED[kind] - _OPTIONAL)
    if missing:
        faults.append(f"{kind} lacks {', '.join(missing)}")
    if unknown:
        faults.append(f"{kind} does not know {', '.join(unknown)}")
    for key in ("eta", "offset", "zeta", "gamma"):
        if key in function and not _is_finite_number(function[key]):
            faults.append(f"{key} is {function[key]!r}, not a finite number")
    if "element" in function and not _is_symbol(function["element"]):
        faults.append(f"element is {function['element']!r}, not a chemical symbol")
    if "elements" in function and not _is_pair(function["elements"]):
        faults.append(f"elements is {function['elements']!r}, not a pair of symbols")
    if not faults and "zeta" in function and not function["zeta"] >= 1:
        faults.append(f"zeta is {function['zeta']!r}; below 1 forces are not finite")
    return faults


def _is_finite_number(value: object) -> bool:
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_symbol(symbol) for symbol in value)
    )


def _is_symbol(value: object) -> bool:
    return isinstance(value, str) and value in ATOMIC_NUMBERS
