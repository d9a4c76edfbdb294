"""Compiled loops over the atoms: symmetry functions, and the contraction of their derivatives.

Formulas: J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. 6-9, with exponents scaled by the
square of the cutoff radius as in A. Khorshidi, A. A. Peterson, Comput. Phys. Commun. 207, 310
(2016).  A function of a triplet, with vectors a = r_ij and b = r_ik, is a weight

    W = exp(-eta Q) fc(a) fc(b) fc(x),    Q = (a - o)^2 + (b - o)^2 + (x - o)^2,

times an angular term A(c), c being the cosine at the center, o the offset and x the third side; in
a G5 all that has x is left out.  Its derivatives are

    d/da = alpha a + beta b,    d/db = beta a + gamma b,

so three numbers describe them all.  With the logarithmic derivative L(r) = fc'(r) / (r fc(r)) and
P(r) = L(r) - 2 eta (1 - o / r),

    alpha = T P(a) + s - w c / a^2,    gamma = T P(b) + s - w c / b^2,    beta = w / (a b) - s,
    T = W A,    s = T P(x),    w = W A'.

So functions that differ in A only share W, and those that differ in eta share all but the
exponential: of alpha only T, eta T and eta o T need to be summed over functions.  L may be huge
next to the cutoff, but what it is multiplied with holds the same fc.

`plan` is the tuple of tables made in `_plan.py`; pairs of atom i are starts[i]:starts[i+1].  The
triplets of a center are listed a few hundred at a time, and each step goes over the whole batch
with a few operations on rows that stay in the innermost cache.  That is several times faster than
doing everything for one triplet after the other, provided that nothing in a loop branches or calls
a library; hence the exponential and the cutoff functions are written out, exact to the last digits.
"""

from __future__ import annotations

import numpy as np

from amp.descriptor._center_kernels import (
    add_pulls,
    add_shape_values,
    clear_padding,
    four_functions,
    last_first,
    list_triplets,
    load_angles,
    load_neighbors,
    load_section,
    load_shape,
)
from amp.descriptor._choice_kernels import first_group
from amp.descriptor._jit import entry, inlined, summing
from amp.descriptor._pair_kernels import add_pair_values, contract_pairs
from amp.descriptor._row_kernels import combine, cutoff
from amp.descriptor._work import (
    ALPHA,
    ANGLES,
    BATCH,
    BEND,
    BETA,
    COSINE,
    DH,
    FC,
    GAMMA,
    INVERSE_A,
    INVERSE_B,
    INVERSE_SIDE,
    LA,
    LB,
    LX,
    SIDE,
    STRIDE,
    T0,
    T1,
    T2,
    WEIGHT,
    H,
    aligned,
    make_work,
    padded,
)

__all__ = ["contract", "cutoff_values", "values"]


@entry
def cutoff_values(distances, code, rc, gamma):
    """Cutoff function (code: see cutoffs.py) and its derivative, shape (2, n_distances)."""
    out, parts = np.empty((2, distances.size)), np.empty(ANGLES)
    cutoffs = np.array([[rc, code, gamma]])
    for begin in range(0, distances.size, BATCH):
        n = min(BATCH, distances.size - begin)
        for i in range(n):  # within bounds in which derivative / r times r is the derivative
            parts[SIDE + i] = min(max(distances[begin + i], 1e-150), 2.0 * rc)
            parts[INVERSE_SIDE + i] = 1.0 / parts[SIDE + i]
        cutoff(cutoffs, 0, parts, n, True)
        for i in range(n):
            out[0, begin + i] = parts[FC + i]
            slope = parts[LX + i] * parts[FC + i] * parts[SIDE + i]
            out[1, begin + i] = slope + 0.0  # no minus zero
    return out


@entry
def values(
    first, last, plan, species, starts, second, vectors, distances, out_starts, out, like
):  # fmt: skip
    """Fill the fingerprints of centers first:last, triplets in the precision of like."""
    work = make_work(plan, starts, like)
    for i in range(first, last):
        s = species[i]
        for slot in range(plan.lengths[s]):
            out[out_starts[i] + slot] = 0.0
        group0 = first_group(plan, work, s, starts[i], starts[i + 1], species, second)
        load_neighbors(plan, work, s, starts[i], starts[i + 1], species, second, vectors, distances)
        add_pair_values(plan, work, s, out, out_starts[i])
        for t in range(plan.n_elements):
            for u in range(t, plan.n_elements):
                group = group0 + (s * plan.n_elements + t) * plan.n_elements + u
                j, k, end = work.begins[t], work.begins[u], last_first(plan, work, group, t)
                while j < end:
                    n, j, k = list_triplets(plan, work, group, t, u, j, k)
                    add_values(plan, work, group, n, out, out_starts[i])


@inlined
def add_values(plan, work, group, n, g, start):
    """Add a batch's share to the fingerprint that begins at g[start]."""
    wide = padded(n)
    load_angles(plan, work, group, wide, False)
    for section in range(plan.section_starts[group], plan.section_starts[group + 1]):
        load_section(plan, work, section, wide, False)
        clear_padding(work.parts, n)
        for shape in range(plan.shape_starts[section], plan.shape_starts[section + 1]):
            load_shape(plan, work, section, shape, wide)
            add_shape_values(plan, work, shape, wide, g, start)


@entry
def contract(
    first, last, plan, species, starts, second, vectors, distances,
    slope_starts, slopes_g, gradient, strain, like,
):  # fmt: skip
    """Add the share of centers first:last to dE/dr (n_atoms, 3) and dE/dstrain (3, 3).

    Triplets are computed in the precision of like, the rest and all sums are of double precision.
    """
    work = make_work(plan, starts, like)
    pulls = aligned(4 * work.order.size, gradient).reshape(work.order.size, 4)
    factors = aligned(work.order.size, gradient).reshape(1, work.order.size)
    for i in range(first, last):
        s, lo = species[i], starts[i]
        group0 = first_group(plan, work, s, lo, starts[i + 1], species, second)
        load_neighbors(plan, work, s, lo, starts[i + 1], species, second, vectors, distances)
        contract_pairs(plan, work, s, slopes_g, slope_starts[i], pulls, factors)
        for t in range(plan.n_elements):
            for u in range(t, plan.n_elements):
                group = group0 + (s * plan.n_elements + t) * plan.n_elements + u
                j, k, end = work.begins[t], work.begins[u], last_first(plan, work, group, t)
                while j < end:
                    n, j, k = list_triplets(plan, work, group, t, u, j, k)
                    contract_batch(plan, work, group, n, slopes_g, slope_starts[i], pulls, factors)
        spread(plan, work, i, lo, second, pulls, factors, gradient, strain)


@inlined
def contract_batch(plan, work, group, n, g, start, pulls, factors):
    """Add a batch's share to dE/d(vector to each neighbor), dE/dG beginning at g[start]."""
    wide, parts = padded(n), work.parts
    load_angles(plan, work, group, wide, True)
    clear_sums(parts, wide)
    for section in range(plan.section_starts[group], plan.section_starts[group + 1]):
        load_section(plan, work, section, wide, True)
        clear_padding(parts, n)
        has_across, has_offset = plan.sections[section, 1] == 1, plan.sections[section, 2] == 1
        for shape in range(plan.shape_starts[section], plan.shape_starts[section + 1]):
            load_shape(plan, work, section, shape, wide)
            first, last = plan.function_starts[shape], plan.function_starts[shape + 1]
            for f in range(first, last, 4):
                four, slots = four_functions(plan, f, last)
                slopes = (
                    g[start + slots[0]],
                    g[start + slots[1]] if slots[1] >= 0 else 0.0,
                    g[start + slots[2]] if slots[2] >= 0 else 0.0,
                    g[start + slots[3]] if slots[3] >= 0 else 0.0,
                )
                angles = ANGLES // STRIDE
                combine(work.table, angles, four, slopes, wide, parts, H, f == first)
                combine(work.table, work.bends, four, slopes, wide, parts, DH, f == first)
            is_first = shape == plan.shape_starts[section]
            add_shape_sums(plan, parts, shape, wide, has_offset, is_first)
        finish_section(parts, wide, has_across, has_offset)
    finish_slopes(parts, wide)
    add_pulls(work, n, pulls, factors, 0)


@summing
def add_shape_sums(plan, parts, shape, n, has_offset, is_first):
    """Add T, 2 eta T and 2 eta o T of a shape to the sums of its section; H is A summed."""
    real, eta, offset = parts.dtype.type, plan.shapes[shape, 0], plan.shapes[shape, 1]
    eta, offset = real(2.0 * eta), real(2.0 * eta * offset)
    if is_first:
        for t in range(n):
            parts[T0 + t] = parts[WEIGHT + t] * parts[H + t]
            parts[T1 + t] = eta * (parts[WEIGHT + t] * parts[H + t])
    else:
        for t in range(n):
            parts[T0 + t] += parts[WEIGHT + t] * parts[H + t]
            parts[T1 + t] += eta * (parts[WEIGHT + t] * parts[H + t])
    if has_offset:
        if is_first:
            for t in range(n):
                parts[T2 + t] = offset * (parts[WEIGHT + t] * parts[H + t])
        else:
            for t in range(n):
                parts[T2 + t] += offset * (parts[WEIGHT + t] * parts[H + t])
    for t in range(n):
        parts[BEND + t] += parts[WEIGHT + t] * parts[DH + t]


@summing
def finish_section(parts, n, has_across, has_offset):
    """Add a section's share to alpha, gamma and beta, bending left out; beta is -s so far."""
    if has_offset:
        for t in range(n):
            parts[ALPHA + t] += parts[T2 + t] * parts[INVERSE_A + t]
            parts[GAMMA + t] += parts[T2 + t] * parts[INVERSE_B + t]
        if has_across:
            for t in range(n):
                parts[BETA + t] -= parts[T2 + t] * parts[INVERSE_SIDE + t]
    for t in range(n):
        parts[ALPHA + t] += parts[T0 + t] * parts[LA + t] - parts[T1 + t]
        parts[GAMMA + t] += parts[T0 + t] * parts[LB + t] - parts[T1 + t]
    if has_across:
        for t in range(n):
            parts[BETA + t] -= parts[T0 + t] * parts[LX + t] - parts[T1 + t]


@summing
def finish_slopes(parts, n):
    """Add bending and the third side to alpha, gamma and beta."""
    for t in range(n):
        ia, ib = parts[INVERSE_A + t], parts[INVERSE_B + t]
        s = -parts[BETA + t]
        bend = parts[BEND + t] * parts[COSINE + t]
        parts[ALPHA + t] += s - bend * ia * ia
        parts[GAMMA + t] += s - bend * ib * ib
        parts[BETA + t] = parts[BEND + t] * ia * ib - s


@inlined
def clear_sums(parts, n):
    """Set what is summed over sections to 0."""
    zero = parts.dtype.type(0.0)
    for t in range(n):
        parts[BEND + t] = zero
        parts[ALPHA + t] = zero
        parts[GAMMA + t] = zero
        parts[BETA + t] = zero


@inlined
def spread(plan, work, i, lo, second, pulls, factors, gradient, strain):
    """Add a center's dE/d(vector to each neighbor) to dE/dr and dE/dstrain."""
    for t in range(plan.n_elements):
        for j in range(work.begins[t], work.ends[t]):
            atom = second[lo + work.order[j]]
            x, y, z = work.vectors[j, 0], work.vectors[j, 1], work.vectors[j, 2]
            px = pulls[j, 0] + factors[0, j] * x
            py = pulls[j, 1] + factors[0, j] * y
            pz = pulls[j, 2] + factors[0, j] * z
            gradient[atom, 0] += px
            gradient[atom, 1] += py
            gradient[atom, 2] += pz
            gradient[i, 0] -= px
            gradient[i, 1] -= py
            gradient[i, 2] -= pz
            for d, p in enumerate((px, py, pz)):
                strain[d, 0] += p * x
                strain[d, 1] += p * y
                strain[d, 2] += p * z
