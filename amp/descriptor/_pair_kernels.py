"""Functions of one neighbor (G2): values, slopes and rates."""

from __future__ import annotations

from amp.descriptor._center_kernels import load_distances
from amp.descriptor._jit import inlined, summing
from amp.descriptor._row_kernels import exponential
from amp.descriptor._work import BATCH, CUTS, FC, INVERSE_SIDE, LX, RV, SIDE, T0, WEIGHT, padded

__all__ = ["add_pair_tangents", "add_pair_values", "contract_pairs", "differentiate_pairs"]


@summing
def add_pair_values(plan, work, s, g, start):
    """Add the G2 functions of a center to the fingerprint that begins at g[start]."""
    parts, real = work.parts, work.parts.dtype.type
    for t in range(plan.n_elements):
        st, end = s * plan.n_elements + t, padded(work.ends[t])
        for a in range(work.begins[t], end, BATCH):
            n, loaded = min(BATCH, end - a), -1
            load_distances(work, a, n)
            for f in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                loaded = load_cutoff(plan, work, f, a, n, loaded)
                eta, offset = real(plan.pair_gaussians[f, 0]), real(plan.pair_gaussians[f, 1])
                total = real(0.0)
                for i in range(n):
                    shifted = parts[SIDE + i] - offset
                    total += parts[FC + i] * exponential(-eta * shifted * shifted)
                g[start + plan.pair_functions[f, 1]] += total


@inlined
def contract_pairs(plan, work, s, g, start, pulls, factors):
    """Begin dE/d(vector to each neighbor) of a center with its G2 functions."""
    parts, real = work.parts, work.parts.dtype.type
    for t in range(plan.n_elements):
        st, end = s * plan.n_elements + t, padded(work.ends[t])
        for a in range(work.begins[t], end, BATCH):
            n, loaded = min(BATCH, end - a), -1
            load_distances(work, a, n)
            for i in range(n):
                parts[T0 + i] = 0.0
            for f in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                loaded = load_cutoff(plan, work, f, a, n, loaded)
                pair_slopes(plan, parts, f, n)
                slope = real(g[start + plan.pair_functions[f, 1]])
                for i in range(n):
                    parts[T0 + i] += slope * parts[WEIGHT + i]
            for i in range(n):
                factors[0, a + i] = parts[T0 + i]
                for d in range(4):
                    pulls[a + i, d] = 0.0


@inlined
def differentiate_pairs(plan, work, s, factors):
    """Add the G2 functions of a center to the factors of its neighbors."""
    for t in range(plan.n_elements):
        st, end = s * plan.n_elements + t, padded(work.ends[t])
        for a in range(work.begins[t], end, BATCH):
            n, loaded = min(BATCH, end - a), -1
            load_distances(work, a, n)
            for f in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                loaded = load_cutoff(plan, work, f, a, n, loaded)
                pair_slopes(plan, work.parts, f, n)
                for i in range(n):
                    factors[plan.pair_functions[f, 1], a + i] += work.parts[WEIGHT + i]


@summing
def add_pair_tangents(plan, work, s, g, start):
    """Add the G2 functions of a center to the rate of the fingerprint that begins at g[start]."""
    parts = work.parts
    for t in range(plan.n_elements):
        st, end = s * plan.n_elements + t, padded(work.ends[t])
        for a in range(work.begins[t], end, BATCH):
            n, loaded = min(BATCH, end - a), -1
            load_distances(work, a, n)
            for f in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                loaded = load_cutoff(plan, work, f, a, n, loaded)
                pair_slopes(plan, parts, f, n)
                total = 0.0
                for i in range(n):
                    total += parts[WEIGHT + i] * work.rows[RV, a + i]
                g[start + plan.pair_functions[f, 1]] += total


@inlined
def pair_slopes(plan, parts, f, n):
    """Compute the derivative of a G2 function divided by the distance, for n neighbors (WEIGHT)."""
    real = parts.dtype.type
    eta, offset = real(plan.pair_gaussians[f, 0]), real(plan.pair_gaussians[f, 1])
    one, two = real(1.0), real(2.0)
    for i in range(n):
        shifted = parts[SIDE + i] - offset
        inward = two * eta * (one - offset * parts[INVERSE_SIDE + i])
        value = parts[FC + i] * exponential(-eta * shifted * shifted)
        parts[WEIGHT + i] = value * (parts[LX + i] - inward)


@inlined
def load_cutoff(plan, work, f, a, n, loaded):
    """Copy the cutoff function of a G2 function and its slopes to FC and LX, unless they are."""
    c = plan.pair_functions[f, 0]
    if c != loaded:
        for i in range(n):
            work.parts[FC + i] = work.rows[CUTS + 2 * c, a + i]
        for i in range(n):
            work.parts[LX + i] = work.rows[CUTS + 2 * c + 1, a + i]
    return c
