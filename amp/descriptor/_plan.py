"""Symmetry functions of all elements, arranged in arrays for the kernels.

Functions share most of their parts: the cutoff function, a Gaussian of the distances, and a power
of 1 + gamma cos(theta) (an angular term).  Each is tabled once, a kernel evaluates it once per pair
or triplet, and a function is a few indices into these tables.

G5 functions with a whole zeta that is not too high can go by moments instead of triplets (see
`_moment_kernels.py`), and have tables of their own for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from amp.core.typing import FloatArray, IntArray
from amp.descriptor.cutoffs import Cutoff, dict2cutoff
from amp.descriptor.symmetry_functions import SymmetryFunction

__all__ = ["HIGHEST", "Plan", "make_plan"]

HIGHEST = 8  # zeta up to which there are moments
# Neighbors from which on they are used.  What rounding takes of moments is relative to squares of
# sums, and with a few neighbors much less than these may be left.
_FEWEST = 8


class Plan(NamedTuple):
    """Tables of terms and functions; a tuple of arrays, so that kernels take it whole.

    s is the species of the center, t and u those of neighbors, n the number of elements.
    Angular functions are grouped by (s, t, u), t <= u, at index (s n + t) n + u.  Those of a group
    that share cutoff function and kind (G4 or G5) are a section, those of a section that share the
    Gaussian are a shape; the rest of a function is one angular term.  Where some functions can go
    by moments, groups from n^3 on are those of the functions that cannot.
    """

    n_elements: int
    lengths: IntArray  # (n,)              functions per element
    cutoff: float  # largest cutoff (Å)
    cutoffs: FloatArray  # (n_cutoffs, 3)  rc, code, gamma
    cut_starts: (
        IntArray  # (n^2 + 1,)     cutoff functions that center s needs of neighbor t: s n + t
    )
    cuts: IntArray
    pair_starts: (
        IntArray  # (n^2 + n + 1,) G2 functions of (s, t): s n + t; radial terms of moments: n^2 + s
    )
    pair_functions: IntArray  # (., 2)     cutoff, slot
    pair_gaussians: FloatArray  # (., 2)   eta / rc^2, offset
    angular: FloatArray  # (n_angular, 3)  gamma, zeta, 2^(1 - zeta)
    angle_starts: IntArray  # (n_groups + 1,) angular terms of a group
    angles: IntArray
    section_starts: IntArray  # (n_groups + 1,) sections of a group
    sections: IntArray  # (n_sections, 3)  cutoff, 1 for G4 (r_jk counts), 1 if any offset is not 0
    shape_starts: IntArray  # (n_sections + 1,)
    shapes: FloatArray  # (n_shapes, 2)    eta / rc^2, offset
    function_starts: IntArray  # (n_shapes + 1,)
    functions: IntArray  # (., 2)          place among the group's angular terms, slot
    reach: FloatArray  # (n_groups,)       largest cutoff of a group
    reach_across: FloatArray  # (n_groups,) the same for r_jk; infinite if there is a G5
    slot_starts: IntArray  # (n^2 + 1,)    functions of s that see t
    slots: IntArray
    # For moments; harmonic (l, m) is at l^2 + l + m
    has_moments: bool
    fewest: int  # neighbors from which on they are used
    degrees: IntArray  # (n,)              highest zeta of s
    levels: FloatArray  # (n_angular, HIGHEST + 1)  angular terms in Legendre polynomials
    moment_starts: IntArray  # (n_terms n^2 + 1,)  functions of a radial term: (term n + t) n + u
    moment_functions: IntArray  # (., 2)   angular term, slot
    terms_seen: IntArray  # (n_terms, n)   1 if a radial term is needed of neighbors of t
    harmonic_levels: IntArray  # (.,)      l
    harmonic_steps: IntArray  # (., 4)     a, b, c, d and
    harmonic_factors: FloatArray  # (., 2) f, g where harmonic = f a b + g c d
    harmonic_weights: FloatArray  # (.,)   w_lm of the addition theorem
    triplet_costs: FloatArray  # (n^3,)    what moments spare, per pair of neighbors
    moment_costs: FloatArray  # (n, n + 1) of s: per neighbor of t, and once


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
                zeta = float(function["zeta"])
                has_across = function["type"] == "G4"
                by_moments = not has_across and zeta in range(1, HIGHEST + 1)
                entry = _Angular(radial, has_across, angle, int(zeta), by_moments)
                groups[(s * n + t) * n + u].append(entry)
    table = cutoffs.array(3)
    moments, terms = _moments(groups, n, angular.array(3))
    pairs += terms
    rest = [[e for e in group if not e.by_moments] for group in groups]
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
        **_sections(groups + rest if moments["has_moments"] else groups, table),
        slot_starts=slot_starts,
        slots=flat_slots,
        **moments,
        **_costs(groups, terms, table),
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
    zeta: int
    by_moments: bool  # if these pay

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


def _moments(
    groups: Sequence[Sequence[_Angular]], n: int, angular: FloatArray
) -> tuple[dict[str, Any], list[list[_Radial]]]:
    """Arrange the functions that can go by moments, and give their radial terms per element."""
    terms: list[list[_Radial]] = []
    functions: list[list[tuple[int, int]]] = []
    degrees, levels = np.zeros(n, dtype=np.int64), np.zeros((len(angular), HIGHEST + 1))
    for s in range(n):
        own = [[e for e in group if e.by_moments] for group in groups[s * n**2 : (s + 1) * n**2]]
        found = sorted({e.radial._replace(slot=-1) for group in own for e in group})
        terms.append(found)
        for term in found:
            functions += [
                [(e.angle, e.radial.slot) for e in group if e.radial._replace(slot=-1) == term]
                for group in own
            ]
        for e in (e for group in own for e in group):
            degrees[s] = max(degrees[s], e.zeta)
            levels[e.angle, : e.zeta + 1] = _in_legendre(angular[e.angle, 0], e.zeta)
    moment_starts, moment_functions = _ragged(functions, 2)
    counts = np.diff(moment_starts).reshape(-1, n, n)
    steps, factors, weights = _harmonics()
    degree = np.arange(HIGHEST + 1)
    return {
        "has_moments": bool(functions),
        "fewest": _FEWEST,
        "degrees": degrees,
        "levels": levels,
        "moment_starts": moment_starts,
        "moment_functions": moment_functions,
        "terms_seen": ((counts.sum(axis=1) + counts.sum(axis=2)) > 0).astype(np.int64),
        "harmonic_levels": np.repeat(degree, 2 * degree + 1),
        "harmonic_steps": steps,
        "harmonic_factors": factors,
        "harmonic_weights": weights,
    }, terms


def _in_legendre(gamma: float, zeta: int) -> FloatArray:
    """Expand 2^(1 - zeta) (1 + gamma x)^zeta in Legendre polynomials."""
    power = np.array([math.comb(zeta, k) * gamma**k for k in range(zeta + 1)])
    series = np.zeros(zeta + 1)  # poly2leg leaves out zeros at the end
    found = np.polynomial.legendre.poly2leg(power)
    series[: found.size] = found
    return 2.0 ** (1 - zeta) * series


def _harmonics() -> tuple[IntArray, FloatArray, FloatArray]:
    """Table how real solid harmonics of a unit vector come from those of lower degree.

    They are scaled as in T. Helgaker, P. Joergensen, J. Olsen, Molecular Electronic-Structure
    Theory (Wiley, 2000), section 6.4; m < 0 are sines.  The first four are 1, y / 2, z and x / 2.
    """
    steps, factors, weights = [(0, 0, 0, 0)], [(1.0, 0.0)], [1.0]
    one, y, z, x = range(4)
    for level in range(1, HIGHEST + 1):
        below, beneath = level * level - level, level * level - 3 * level + 2  # order 0 of these
        top = level - 1
        for m in range(-level, level + 1):
            if m == level:
                steps.append((x, below + top, y, below - top))
                factors.append((1.0 / level, -1.0 / level))
            elif m == -level:
                steps.append((y, below + top, x, below - top))
                factors.append((1.0 / level, 1.0 / level))
            else:
                has_beneath = abs(m) < top
                steps.append((z, below + m, one, beneath + m if has_beneath else 0))
                product = (level + m) * (level - m)
                factors.append(((2 * level - 1) / product, -1.0 / product if has_beneath else 0.0))
            norm = math.factorial(level - abs(m)) * math.factorial(level + abs(m))
            weights.append(float(norm if m == 0 else 2 * norm))
    return np.array(steps, dtype=np.int64), np.array(factors), np.array(weights)


def _costs(
    groups: Sequence[Sequence[_Angular]], terms: Sequence[Sequence[_Radial]], cutoffs: FloatArray
) -> dict[str, Any]:
    """Estimate what both ways cost (µs), within a third of what was measured; ratios matter.

    That is for values and forces together: 8 to 100 neighbors, 1 to 6 shapes, zeta 1 to 8.
    """
    n, furthest = len(terms), cutoffs[:, 0].max(initial=0.0)
    triplets, moments = np.zeros(n**3), np.zeros((n, n + 1))
    for index, group in enumerate(groups):
        s, t, u = index // n**2, index // n % n, index % n
        own = [entry for entry in group if entry.by_moments]
        if not own:
            continue
        shapes = len({entry.radial._replace(slot=-1) for entry in own})
        angles = len({entry.angle for entry in own})
        listing = 0.0155 if len(own) == len(group) else 0.0  # triplets of others are listed anyway
        reach = max(cutoffs[entry.radial.cutoff, 0] for entry in own)
        triplets[index] = (reach / furthest) ** 6 * (
            listing + 0.0020 * shapes + 0.00076 * angles + 0.00024 * len(own)
        )
        size = (max(entry.zeta for entry in own) + 1) ** 2
        moments[s, n] += shapes * (0.07 + 0.003 * size)
        for kind in {t, u}:
            moments[s, n] += shapes * (0.1 + 0.008 * size) / n
            each = 0.036 + 0.0006 * size + shapes * (0.0138 + 0.00034 * size)
            moments[s, kind] = max(moments[s, kind], each)
    return {"triplet_costs": triplets, "moment_costs": moments}


def _offsets(lists: Sequence[Sequence[Any]]) -> IntArray:
    """Give the offsets of lists that are put one after the other."""
    return np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)


def _ragged(lists: Sequence[Sequence[Any]], width: int = 0) -> tuple[IntArray, IntArray]:
    """Concatenate lists of unequal length and give the offsets of each."""
    flat = np.array([row for rows in lists for row in rows], dtype=np.int64)
    return _offsets(lists), flat.reshape(-1, width) if width else flat
