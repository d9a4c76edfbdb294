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
    "repeated",
]

SymmetryFunction = dict[str, Any]

_REQUIRED = {
    "G2": {"type", "element", "eta"},
    "G4": {"type", "elements", "eta", "zeta", "gamma"},
    "G5": {"type", "elements", "eta", "zeta", "gamma"},
}
_OPTIONAL = {"offset", "cutoff"}
_NUMBERS = ("eta", "gamma", "zeta", "offset")


def make_symmetry_functions(
    elements: Iterable[str],
    type: str,
    etas: Iterable[float] | float,
    offsets: Iterable[float] | float | None = None,
    zetas: Iterable[float] | float | None = None,
    gammas: Iterable[float] | float | None = None,
) -> list[SymmetryFunction]:
    """Make symmetry functions of one type for all combinations of the parameters.

    Parameters
    ----------
    elements : iterable of str
        Elements of the neighbors; each counts once.
    type : {'G2', 'G4', 'G5'}
        Radial (G2), angular with r_jk (G4) or without (G5).
    etas : float or sequence of float
        Dimensionless exponents; they are divided by the square of the cutoff radius.
    offsets : float or sequence of float, optional
        Centers of the Gaussians (Å), 0 by default.  G4 and G5 functions have the key only when
        offsets are given.
    zetas, gammas : float or sequence of float
        Angular parameters; needed for G4 and G5.  Zeta is 1 or more, gamma usually 1 or -1.
        Beyond these 1 + gamma cos(theta) is negative at some angles: its power is taken as it is
        where zeta is whole, and as 0 where it is not, which leaves forces continuous.

    Returns
    -------
    list of dict
        For G2 in the order eta, element, offset; for G4 and G5 in the order eta, zeta, gamma,
        (offset,) element pair.

    Raises
    ------
    ParameterError
        If the type is unknown, parameters are missing, or elements or numbers are none.
    """
    elements = _distinct_symbols(elements)
    etas = _numbers("etas", etas)
    offsets = None if offsets is None else _numbers("offsets", offsets)
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
    zetas, gammas = _numbers("zetas", zetas), _numbers("gammas", gammas)
    pairs = list(itertools.combinations_with_replacement(sorted(elements), 2))
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

    Raises
    ------
    ParameterError
        If elements are none.
    """
    elements = sorted(_distinct_symbols(elements))
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
        If an element has no functions, or a function lacks a key, has an unknown one or a value
        that makes no sense; all faults are named.
    """
    per_element = dict(Gs) if isinstance(Gs, Mapping) else {element: Gs for element in elements}
    missing = sorted(set(elements) - set(per_element))
    if missing:
        raise ParameterError(
            f"No symmetry functions (Gs) for {', '.join(missing)}; there are some for "
            f"{', '.join(sorted(per_element)) or 'no element'}. Add a list for each element."
        )
    for element, functions in per_element.items():
        if not _is_symbol(element):
            raise ParameterError(
                f"Gs is a dict element -> list of functions, but {element!r} is no chemical symbol."
            )
        if not isinstance(functions, (list, tuple)):
            raise ParameterError(f"Gs[{element!r}] must be a list of dicts, not {functions!r}.")
        if not functions:
            raise ParameterError(
                f"Gs[{element!r}] is empty: without symmetry functions an atom of {element} does "
                "not see its surroundings. Add some; see make_symmetry_functions."
            )
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
    values = ", ".join(f"{k} = {function[k]:g}" for k in _NUMBERS if k in function)
    own = f", cutoff = {function['cutoff']}" if "cutoff" in function else ""
    return f"{function['type']}, {who}, {values}{own}"


def repeated(functions: Sequence[SymmetryFunction]) -> list[tuple[int, int]]:
    """Find checked functions that are the same as an earlier one: pairs (earlier, later)."""
    first: dict[str, int] = {}
    pairs = []
    for later, function in enumerate(functions):
        key = repr(sorted({"offset": 0.0, **function}.items()))
        earlier = first.setdefault(key, later)
        if earlier != later:
            pairs.append((earlier, later))
    return pairs


def _distinct_symbols(elements: Iterable[str]) -> list[str]:
    """List chemical symbols in their order, each once."""
    is_list = isinstance(elements, Iterable) and not isinstance(elements, str)
    symbols = list(elements) if is_list else []
    if not symbols or not all(map(_is_symbol, symbols)):
        raise ParameterError(
            "elements is a list of chemical symbols such as ['Cu', 'O'], not "
            f"{symbols or elements!r}."
        )
    return list(dict.fromkeys(str(symbol) for symbol in symbols))


def _numbers(name: str, given: Any) -> list[float]:
    """List numbers; a single one becomes a list of its own."""
    if isinstance(given, np.ndarray):
        given = given.ravel()
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for value in values:
        if not _is_finite_number(value):
            raise ParameterError(f"{name} must be a list of finite numbers; got {value!r}.")
    return [float(value) for value in values]


def _copy(function: Mapping[str, Any]) -> SymmetryFunction:
    """Copy a function into plain data, with the neighbor elements sorted."""
    copy = dict(function)
    for key in _NUMBERS:
        if key in copy:
            copy[key] = float(copy[key])
    if "element" in copy:
        copy["element"] = str(copy["element"])
    if "elements" in copy:
        copy["elements"] = sorted(map(str, copy["elements"]))
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
    for key in _NUMBERS:
        if key in function and not _is_finite_number(function[key]):
            faults.append(f"{key} is {function[key]!r}, not a finite number")
    if "element" in function and not _is_symbol(function["element"]):
        faults.append(f"element is {function['element']!r}, not a chemical symbol")
    if "elements" in function and not _is_pair(function["elements"]):
        faults.append(f"elements is {function['elements']!r}, not a pair of symbols")
    if not faults and function["eta"] < 0:
        faults.append(f"eta is {function['eta']!r}; below 0 a Gaussian grows with the distance")
    if not faults and "zeta" in function and not function["zeta"] >= 1:
        faults.append(f"zeta is {function['zeta']!r}; below 1 forces are not finite")
    return faults


def _is_finite_number(value: object) -> bool:
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_symbol(symbol) for symbol in value)
    )


def _is_symbol(value: object) -> bool:
    return isinstance(value, str) and value in ATOMIC_NUMBERS
