"""Symmetry functions of all elements, arranged in arrays for the kernels.

Functions share most of their parts: a Gaussian times a cutoff (a radial term) and a power of
1 + gamma cos(theta) (an angular term).  Each distinct term is tabled once, a kernel evaluates it
once per pair or triplet, and a function is a few indices into these tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from amp.core.typing import FloatArray, IntArray
from amp.descriptor.cutoffs import Cutoff, dict2cutoff
from amp.descriptor.symmetry_functions import SymmetryFunction

__all__ = ["Plan", "make_plan"]


class Plan(NamedTuple):
    """Tables of terms and functions; a tuple of arrays, so that kernels take it whole.

    s is the species of the center, t and u those of neighbors, n the number of elements.
    Angular functions are grouped by (s, t, u), t <= u, at index (s n + t) n + u.  Those of a group
    that share the radial term are a shape; the rest of such a function is one angular term.
    """

    n_elements: int
    lengths: IntArray  # (n,)              functions per element
    cutoff: float  # largest cutoff (Å)
    radial: FloatArray  # (n_radial, 5)    eta / rc^2, offset, rc, cutoff code, cutoff gamma
    angular: FloatArray  # (n_angular, 3)  gamma, zeta, 2^(1 - zeta)
    term_starts: IntArray  # (n^2 + 1,)    radial terms that center s needs of neighbor t: s n + t
    terms: IntArray
    pair_starts: IntArray  # (n^2 + 1,)    G2 functions of (s, t): s n + t
    pair_functions: IntArray  # (., 2)     radial term, slot
    angle_starts: IntArray  # (n^3 + 1,)   angular terms of a group
    angles: IntArray
    shape_starts: IntArray  # (n^3 + 1,)   shapes of a group
    shapes: IntArray  # (n_shapes, 2)      radial term, 1 if the third side has it too (G4)
    function_starts: IntArray  # (n_shapes + 1,)
    functions: IntArray  # (., 2)          place among the group's angular terms, slot
    reach: FloatArray  # (n^3,)            largest cutoff of a group
    reach_across: FloatArray  # (n^3,)     the same for r_jk; infinite if there is a G5
    slot_starts: IntArray  # (n^2 + 1,)    functions of s that see t
    slots: IntArray


def make_plan(
    Gs: Mapping[str, Sequence[SymmetryFunction]], elements: Sequence[str], cutoff: Cutoff
) -> Plan:
    """Arrange checked symmetry functions of the elements in tables.

    Parameters
    ----------
    Gs : mapping
        Element -> list of functions, as `check_symmetry_functions` returns them.
    elements : sequence of str
        Sorted symbols; functions that ask for other elements are always 0.
    cutoff : Cutoff
        Cutoff of the functions that have none of their own.
    """
    species = {element: index for index, element in enumerate(elements)}
    n = len(elements)
    radial, angular = _Table(), _Table()
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(n**2)]
    groups: list[list[_Angular]] = [[] for _ in range(n**3)]
    slots: list[list[int]] = [[] for _ in range(n**2)]
    for s, element in enumerate(elements):
        for slot, function in enumerate(Gs[element]):
            is_pair = function["type"] == "G2"
            seen = [function["element"]] if is_pair else function["elements"]
            if not set(seen) <= set(species):
                continue
            term = radial.add(_radial_key(function, cutoff))
            t, u = min(species[x] for x in seen), max(species[x] for x in seen)
            for kind in {t, u}:
                slots[s * n + kind].append(slot)
            if is_pair:
                pairs[s * n + t].append((term, slot))
            else:
                angle = angular.add(_angular_key(function))
                entry = _Angular(term, function["type"] == "G4", angle, slot)
                groups[(s * n + t) * n + u].append(entry)
    terms = radial.array(5)
    return Plan(
        n_elements=n,
        lengths=np.array([len(Gs[element]) for element in elements], dtype=np.int64),
        cutoff=float(terms[:, 2].max(initial=0.0)) or cutoff.Rc,
        radial=terms,
        angular=angular.array(3),
        **_ragged("term_starts", "terms", _terms(pairs, groups, terms, n)),
        **_ragged("pair_starts", "pair_functions", pairs, 2),
        **_shapes(groups, terms),
        **_ragged("slot_starts", "slots", slots),
    )


class _Angular(NamedTuple):
    """One angular function in terms of the tables."""

    term: int
    has_across: bool
    angle: int
    slot: int


class _Table:
    """Distinct rows and their indices."""

    def __init__(self) -> None:
        self.rows: dict[tuple[float, ...], int] = {}

    def add(self, row: tuple[float, ...]) -> int:
        return self.rows.setdefault(row, len(self.rows))

    def array(self, width: int) -> FloatArray:
        return np.array(list(self.rows), dtype=float).reshape(-1, width)


def _radial_key(function: Mapping[str, Any], default: Cutoff) -> tuple[float, ...]:
    own = dict2cutoff(function["cutoff"]) if "cutoff" in function else default
    return (
        float(function["eta"]) / own.Rc**2,
        float(function.get("offset", 0.0)),
        own.Rc,
        float(own.code),
        float(own.gamma),
    )


def _angular_key(function: Mapping[str, Any]) -> tuple[float, ...]:
    zeta = float(function["zeta"])
    return (float(function["gamma"]), zeta, 2.0 ** (1.0 - zeta))


def _terms(
    pairs: Sequence[Sequence[tuple[int, int]]],
    groups: Sequence[Sequence[_Angular]],
    terms: FloatArray,
    n: int,
) -> list[list[int]]:
    """List the radial terms that a center needs of a neighbor, those of one cutoff together."""
    needed: list[set[int]] = [{term for term, _ in entries} for entries in pairs]
    for index, group in enumerate(groups):
        s, t, u = index // n**2, index // n % n, index % n
        for kind in (t, u):
            needed[s * n + kind] |= {entry.term for entry in group}
    return [sorted(found, key=lambda term: tuple(terms[term, 2:])) for found in needed]


def _shapes(groups: Sequence[Sequence[_Angular]], terms: FloatArray) -> dict[str, Any]:
    """Arrange angular functions by group, then by shape."""
    angles = [sorted({entry.angle for entry in group}) for group in groups]
    shapes = [
        sorted(
            {(entry.term, entry.has_across) for entry in group},
            key=lambda shape: (shape[1], *terms[shape[0], 2:]),  # one cutoff function together
        )
        for group in groups
    ]
    functions = [
        [(angles[i].index(e.angle), e.slot) for e in group if (e.term, e.has_across) == shape]
        for i, group in enumerate(groups)
        for shape in shapes[i]
    ]
    rows = [[(term, int(has_across)) for term, has_across in found] for found in shapes]
    reach = [max((terms[e.term, 2] for e in group), default=0.0) for group in groups]
    return {
        **_ragged("angle_starts", "angles", angles),
        **_ragged("shape_starts", "shapes", rows, 2),
        **_ragged("function_starts", "functions", functions, 2),
        "reach": np.array(reach),
        "reach_across": np.array(
            [
                most if all(entry.has_across for entry in group) else np.inf
                for most, group in zip(reach, groups, strict=True)
            ]
        ),
    }


def _ragged(
    starts: str, values: str, lists: Sequence[Sequence[Any]], width: int = 0
) -> dict[str, Any]:
    """Concatenate lists of unequal length and give the offsets of each."""
    flat = np.array([row for rows in lists for row in rows], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)
    return {starts: offsets, values: flat.reshape(-1, width) if width else flat}
