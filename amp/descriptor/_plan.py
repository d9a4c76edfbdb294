"""Symmetry functions of all elements, arranged in arrays for the kernels.

Functions share most of their parts: the cutoff function, a Gaussian of the distances, and a power
of 1 + gamma cos(theta) (an angular term).  Each is tabled once, a kernel evaluates it once per pair
or triplet, and a function is a few indices into these tables.
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
    that share cutoff function and kind (G4 or G5) are a section, those of a section that share the
    Gaussian are a shape; the rest of a function is one angular term.
    """

    n_elements: int
    lengths: IntArray  # (n,)              functions per element
    cutoff: float  # largest cutoff (Å)
    cutoffs: FloatArray  # (n_cutoffs, 3)  rc, code, gamma
    cut_starts: (
        IntArray  # (n^2 + 1,)     cutoff functions that center s needs of neighbor t: s n + t
    )
    cuts: IntArray
    pair_starts: IntArray  # (n^2 + 1,)    G2 functions of (s, t): s n + t
    pair_functions: IntArray  # (., 2)     cutoff, slot
    pair_gaussians: FloatArray  # (., 2)   eta / rc^2, offset
    angular: FloatArray  # (n_angular, 3)  gamma, zeta, 2^(1 - zeta)
    angle_starts: IntArray  # (n^3 + 1,)   angular terms of a group
    angles: IntArray
    section_starts: IntArray  # (n^3 + 1,) sections of a group
    sections: IntArray  # (n_sections, 3)  cutoff, 1 for G4 (r_jk counts), 1 if any offset is not 0
    shape_starts: IntArray  # (n_sections + 1,)
    shapes: FloatArray  # (n_shapes, 2)    eta / rc^2, offset
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
    cutoffs, angular = _Table(), _Table()
    pairs: list[list[_Radial]] = [[] for _ in range(n**2)]
    groups: list[list[_Angular]] = [[] for _ in range(n**3)]
    needed: list[set[int]] = [set() for _ in range(n**2)]
    slots: list[list[int]] = [[] for _ in range(n**2)]
    for s, element in enumerate(elements):
        for slot, function in enumerate(Gs[element]):
            is_pair = function["type"] == "G2"
            seen = [function["element"]] if is_pair else function["elements"]
            if not set(seen) <= set(species):
                continue
            own = dict2cutoff(function["cutoff"]) if "cutoff" in function else cutoff
            radial = _Radial(
                cutoffs.add((own.Rc, float(own.code), float(own.gamma))),
                float(function["eta"]) / own.Rc**2,
                float(function.get("offset", 0.0)),
                slot,
            )
            t, u = min(species[x] for x in seen), max(species[x] for x in seen)
            for kind in {t, u}:
                slots[s * n + kind].append(slot)
                needed[s * n + kind].add(radial.cutoff)
            if is_pair:
                pairs[s * n + t].append(radial)
            else:
                angle = angular.add(_angular_key(function))
                entry = _Angular(radial, function["type"] == "G4", angle)
                groups[(s * n + t) * n + u].append(entry)
    table = cutoffs.array(3)
    pair_starts, pair_functions = _ragged([[(f.cutoff, f.slot) for f in fs] for fs in pairs], 2)
    gaussians = [(f.eta, f.offset) for functions in pairs for f in functions]
    cut_starts, cuts = _ragged([sorted(found) for found in needed])
    slot_starts, flat_slots = _ragged(slots)
    return Plan(
        n_elements=n,
        lengths=np.array([len(Gs[element]) for element in elements], dtype=np.int64),
        cutoff=float(table[:, 0].max(initial=0.0)) or cutoff.Rc,
        cutoffs=table,
        cut_starts=cut_starts,
        cuts=cuts,
        pair_starts=pair_starts,
        pair_functions=pair_functions,
        pair_gaussians=np.array(gaussians, dtype=float).reshape(-1, 2),
        angular=angular.array(3),
        **_sections(groups, table),
        slot_starts=slot_starts,
        slots=flat_slots,
    )


class _Radial(NamedTuple):
    """The radial part of one function in terms of the tables."""

    cutoff: int
    eta: float
    offset: float
    slot: int


class _Angular(NamedTuple):
    """One angular function in terms of the tables."""

    radial: _Radial
    has_across: bool
    angle: int

    @property
    def section(self) -> tuple[int, bool]:
        """What all functions of a section have in common."""
        return self.radial.cutoff, self.has_across

    @property
    def shape(self) -> tuple[float, float]:
        """What all functions of a shape have in common besides."""
        return self.radial.eta, self.radial.offset


class _Table:
    """Distinct rows and their indices."""

    def __init__(self) -> None:
        self.rows: dict[tuple[float, ...], int] = {}

    def add(self, row: tuple[float, ...]) -> int:
        return self.rows.setdefault(row, len(self.rows))

    def array(self, width: int) -> FloatArray:
        return np.array(list(self.rows), dtype=float).reshape(-1, width)


def _angular_key(function: Mapping[str, Any]) -> tuple[float, ...]:
    zeta = float(function["zeta"])
    return (float(function["gamma"]), zeta, 2.0 ** (1.0 - zeta))


def _sections(groups: Sequence[Sequence[_Angular]], cutoffs: FloatArray) -> dict[str, Any]:
    """Arrange angular functions by group, section and shape."""
    angles = [sorted({entry.angle for entry in group}) for group in groups]
    sections: list[list[tuple[int, int, int]]] = []
    shapes: list[list[tuple[float, float]]] = []
    functions: list[list[tuple[int, int]]] = []
    for group, known in zip(groups, angles, strict=True):
        sections.append([])
        for section in sorted({entry.section for entry in group}):
            members = [entry for entry in group if entry.section == section]
            shapes.append(sorted({entry.shape for entry in members}))
            has_offset = any(offset != 0.0 for _, offset in shapes[-1])
            sections[-1].append((section[0], int(section[1]), int(has_offset)))
            for shape in shapes[-1]:
                same = [entry for entry in members if entry.shape == shape]
                functions.append([(known.index(e.angle), e.radial.slot) for e in same])
    angle_starts, flat_angles = _ragged(angles)
    section_starts, flat_sections = _ragged(sections, 3)
    function_starts, flat_functions = _ragged(functions, 2)
    reach = [max((cutoffs[e.radial.cutoff, 0] for e in group), default=0.0) for group in groups]
    return {
        "angle_starts": angle_starts,
        "angles": flat_angles,
        "section_starts": section_starts,
        "sections": flat_sections,
        "shape_starts": _offsets(shapes),
        "shapes": np.array([row for rows in shapes for row in rows], float).reshape(-1, 2),
        "function_starts": function_starts,
        "functions": flat_functions,
        "reach": np.array(reach),
        "reach_across": np.array(
            [
                most if all(entry.has_across for entry in group) else np.inf
                for most, group in zip(reach, groups, strict=True)
            ]
        ),
    }


def _offsets(lists: Sequence[Sequence[Any]]) -> IntArray:
    """Give the offsets of lists that are put one after the other."""
    return np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)


def _ragged(lists: Sequence[Sequence[Any]], width: int = 0) -> tuple[IntArray, IntArray]:
    """Concatenate lists of unequal length and give the offsets of each."""
    flat = np.array([row for rows in lists for row in rows], dtype=np.int64)
    return _offsets(lists), flat.reshape(-1, width) if width else flat
