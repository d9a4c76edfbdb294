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
    """

    n_elements: int
    lengths: IntArray  # (n,)             functions per element
    cutoff: float  # largest cutoff (Å)
    radial: FloatArray  # (n_radial, 5)    eta / rc^2, offset, rc, cutoff code, cutoff gamma
    angular: FloatArray  # (n_angular, 3)   gamma, zeta, 2^(1 - zeta)
    term_starts: IntArray  # (n^2 + 1,)    radial terms that center s needs of neighbor t: s n + t
    terms: IntArray
    pair_starts: IntArray  # (n^2 + 1,)    G2 functions of (s, t): s n + t
    pair_functions: IntArray  # (., 2)     radial term, slot
    angle_starts: IntArray  # (n^3 + 1,)   angular terms of (s, t, u): (s n + t) n + u
    angles: IntArray
    across_starts: IntArray  # (n^3 + 1,)  radial terms of r_jk needed by (s, t, u)
    across: IntArray
    triplet_starts: IntArray  # (n^3 + 1,) G4 and G5 functions of (s, t, u)
    triplet_functions: IntArray  # (., 4)  radial term, angular term, has r_jk, slot
    triplet_cutoffs: FloatArray  # (n^3,)  largest cutoff of those
    needs_across: IntArray  # (n^3,)       1 where all of those are G4: nothing beyond r_jk = cutoff
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
    radial = _Table()
    angular = _Table()
    pairs: list[list[list[int]]] = [[] for _ in range(n**2)]
    triplets: list[list[list[int]]] = [[] for _ in range(n**3)]
    slots: list[list[int]] = [[] for _ in range(n**2)]
    for s, element in enumerate(elements):
        for slot, function in enumerate(Gs[element]):
            term = radial.add(_radial_key(function, cutoff))
            seen = [function["element"]] if function["type"] == "G2" else function["elements"]
            if not set(seen) <= set(species):
                continue
            kinds = sorted({species[symbol] for symbol in seen})
            for t in kinds:
                slots[s * n + t].append(slot)
            if function["type"] == "G2":
                pairs[s * n + kinds[0]].append([term, slot])
                continue
            angle = angular.add(_angular_key(function))
            entry = [term, angle, int(function["type"] == "G4"), slot]
            t, u = kinds[0], kinds[-1]
            for place in {(t, u), (u, t)}:
                triplets[(s * n + place[0]) * n + place[1]].append(entry)
    radial_table = radial.array(5)
    return Plan(
        n_elements=n,
        lengths=np.array([len(Gs[element]) for element in elements], dtype=np.int64),
        cutoff=float(radial_table[:, 2].max(initial=cutoff.Rc if len(radial_table) == 0 else 0.0)),
        radial=radial_table,
        angular=angular.array(3),
        **_ragged("term_starts", "terms", _terms(pairs, triplets, n)),
        **_ragged("pair_starts", "pair_functions", pairs, 2),
        **_ragged("angle_starts", "angles", [sorted({e[1] for e in es}) for es in triplets]),
        **_ragged(
            "across_starts", "across", [sorted({e[0] for e in es if e[2]}) for es in triplets]
        ),
        **_ragged("triplet_starts", "triplet_functions", triplets, 4),
        triplet_cutoffs=np.array(
            [max((radial_table[e[0], 2] for e in es), default=0.0) for es in triplets]
        ),
        needs_across=np.array([int(all(e[2] for e in es)) for es in triplets], dtype=np.int64),
        **_ragged("slot_starts", "slots", slots),
    )


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
    pairs: list[list[list[int]]], triplets: list[list[list[int]]], n: int
) -> list[list[int]]:
    """List the radial terms that a center of species s needs of a neighbor of species t."""
    return [
        sorted({e[0] for e in pairs[st]} | {e[0] for u in range(n) for e in triplets[st * n + u]})
        for st in range(n**2)
    ]


def _ragged(
    starts: str, values: str, lists: Sequence[Sequence[Any]], width: int = 0
) -> dict[str, IntArray]:
    """Concatenate lists of unequal length and give the offsets of each."""
    flat = np.array([row for rows in lists for row in rows], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)
    return {starts: offsets, values: flat.reshape(-1, width) if width else flat}
