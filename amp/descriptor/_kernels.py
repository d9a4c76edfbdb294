"""Compiled loops over the neighbors of each atom: symmetry functions and their derivatives.

Formulas: J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. 6-9, with exponents scaled by the
square of the cutoff radius as in A. Khorshidi, A. A. Peterson, Comput. Phys. Commun. 207, 310
(2016).  A function of a triplet depends on the vectors a = r_ij and b = r_ik; its derivatives are

    d/da = alpha a + beta b,    d/db = beta a + gamma b,

so three numbers per triplet describe them all.  With F a radial term, X that of the third side and
A the angular term of a function F(a) F(b) X A, primes being derivatives divided by the distance
(for A: with respect to the cosine c),

    alpha = F'(a) F(b) X A - w c / a^2 + s,    gamma = F(a) F'(b) X A - w c / b^2 + s,
    beta = w / (a b) - s,    w = F(a) F(b) X A',    s = F(a) F(b) X' A.

`plan` is the tuple of tables made in `_plan.py`; pairs of atom i are starts[i]:starts[i+1].  The
triplets of a center are listed a few hundred at a time and worked on array by array.

Each step goes over a whole batch with a few operations on rows that stay in the innermost cache.
That is several times faster than doing everything for one triplet after the other, provided that
nothing in a loop branches or calls a library; hence the exponential and the cosine cutoff are
written out, both exact to the last digits.  Rows are named by their index in a two-dimensional
array, because cutting a row out costs as much as a pass over it.

All of this is one file, from the loops over centers down to the arithmetic on rows, because numba
keeps compiled code per file: it would not notice a change in another one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from amp.core.typing import FloatArray, IntArray

__all__ = ["contract", "cutoff_values", "derivatives", "pair_blocks", "tangents", "values"]

BATCH = 256  # triplets listed before they are worked on; their rows should fit the L1 cache

# Rows of Work.neighbors
X, Y, Z, R, INVERSE, DOT, SQUARE, VX, VY, VZ, RV, N_ROWS = range(12)
# Rows of Work.triplets
FIRST, SECOND = range(2)
# Rows of Work.parts: of a triplet, then of one shape of functions, then sums over shapes
(COSINE, SIDE, INVERSE_SIDE, INVERSE_A, INVERSE_B,
 FA, FB, DA, DB, ACROSS, D_ACROSS, FC, DFC, WEIGHT, H, DH,
 ALPHA, GAMMA, W, S, N_PARTS) = range(21)  # fmt: skip

# Sums may be taken in any order and products fused; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz"}

_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts, the first with trailing zeros, so that k * _LN2_HIGH is exact.
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (
    1.0 / math.factorial(k) for k in range(2, 14)
)
# Taylor coefficients of cos(t) and sin(t) / t in t^2; |t| <= pi / 2, where the next is below 1e-16.
_COS = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(12))
_SIN = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(12))


@njit(cache=True, nogil=True)
def cutoff_values(distances, code, rc, gamma):
    """Cutoff function (code: see cutoffs.py) and its derivative, shape (2, n_distances)."""
    n = distances.size
    rows = np.empty((4, n))
    terms = np.array([[0.0, 0.0, rc, code, gamma]])
    for i in range(n):  # within bounds in which derivative / r times r is the derivative
        rows[0, i] = min(max(distances[i], 1e-150), 2.0 * rc)
        rows[1, i] = 1.0 / rows[0, i]
    cutoff_row(terms, 0, rows, 0, 1, 0, n, rows, 2, 3)
    for i in range(n):
        rows[3, i] = rows[3, i] * rows[0, i] + 0.0  # no minus zero
    return rows[2:]


class Work(NamedTuple):
    """Arrays for one center at a time: its neighbors sorted by species, and a batch of triplets."""

    order: IntArray  # (most,)     pair of each neighbor, counted from the center's first
    blocks: IntArray  # (n + 1,)   neighbors of species t: blocks[t]:blocks[t + 1]
    neighbors: FloatArray  # (N_ROWS, most)
    radial: FloatArray  # (n_radial, most)  radial terms
    slopes: FloatArray  # (n_radial, most)  their derivatives divided by the distance
    triplets: IntArray  # (2, batch)        neighbors a and b of each
    parts: FloatArray  # (N_PARTS, batch)
    angular: FloatArray  # (n_angles, batch)
    bends: FloatArray  # (n_angles, batch)  derivatives of the angular terms


@njit(cache=True, nogil=True)
def make_work(plan, starts):
    """Allocate for the center with most neighbors."""
    most, angles = 1, 1
    for i in range(starts.size - 1):
        most = max(most, starts[i + 1] - starts[i])
    for group in range(plan.angle_starts.size - 1):
        angles = max(angles, plan.angle_starts[group + 1] - plan.angle_starts[group])
    batch, n_radial = BATCH + most, plan.radial.shape[0]
    return Work(
        np.empty(most, np.int64), np.empty(plan.n_elements + 1, np.int64), np.empty((N_ROWS, most)),
        np.empty((n_radial, most)), np.empty((n_radial, most)),
        np.empty((2, batch), np.int64), np.empty((N_PARTS, max(batch, most))),
        np.empty((angles, batch)), np.empty((angles, batch)),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def load_neighbors(plan, work, s, lo, hi, kinds, vectors, distances):
    """Sort a center's neighbors by species and compute the radial terms that it needs of them."""
    rows, count = work.neighbors, 0
    for t in range(plan.n_elements):
        work.blocks[t] = count
        for p in range(lo, hi):
            if kinds[p] == t:
                work.order[count] = p - lo
                rows[X, count] = vectors[p, 0]
                rows[Y, count] = vectors[p, 1]
                rows[Z, count] = vectors[p, 2]
                rows[R, count] = distances[p]
                rows[INVERSE, count] = 1.0 / distances[p]
                count += 1
    work.blocks[plan.n_elements] = count
    for t in range(plan.n_elements):
        st, a = s * plan.n_elements + t, work.blocks[t]
        n, last = work.blocks[t + 1] - a, -1
        for index in range(plan.term_starts[st], plan.term_starts[st + 1] if n else 0):
            term = plan.terms[index]
            if last < 0 or not same_cutoff(plan.radial, last, term):
                cutoff_row(plan.radial, term, rows, R, INVERSE, a, n, work.parts, FC, DFC)
            gaussian_row(
                plan.radial, term, rows, R, INVERSE, a, n, work.parts, FC, DFC,
                work.radial, term, work.slopes, term,
            )  # fmt: skip
            last = term


@njit(cache=True, nogil=True)
def same_cutoff(terms, a, b):
    """Say whether two radial terms have the same cutoff function."""
    return terms[a, 2] == terms[b, 2] and terms[a, 3] == terms[b, 3] and terms[a, 4] == terms[b, 4]


@njit(cache=True, nogil=True, fastmath=FAST)
def list_triplets(plan, work, group, t, u, j):
    """List triplets of neighbors of species t and u from row j on; how many, and the next row.

    Only those that can be nonzero are listed, each once.
    """
    reach, across = plan.reach[group], plan.reach_across[group] ** 2
    rows, triplets, parts = work.neighbors, work.triplets, work.parts
    n, begin, end = 0, work.blocks[u], work.blocks[u + 1]
    while j < work.blocks[t + 1] and n < BATCH:
        if rows[R, j] < reach:
            first = max(begin, j + 1) if t == u else begin
            measure_row(rows, j, first, end)
            row_begin = n
            for k in range(first, end):
                triplets[SECOND, n] = k
                parts[COSINE, n] = rows[DOT, k]
                parts[SIDE, n] = rows[SQUARE, k]
                # Written in any case and counted if it matters: a branch would be mispredicted.
                n += int(rows[R, k] < reach) & int(rows[SQUARE, k] < across)
            for i in range(row_begin, n):
                triplets[FIRST, i] = j
        j += 1
    return n, j


@njit(cache=True, nogil=True, fastmath=FAST)
def measure_row(rows, j, first, end):
    """Compute the cosine at the center and the squared third side for j and each of k."""
    x, y, z, r, inverse = rows[X, j], rows[Y, j], rows[Z, j], rows[R, j], rows[INVERSE, j]
    for k in range(first, end):
        rows[DOT, k] = x * rows[X, k] + y * rows[Y, k] + z * rows[Z, k]
    for k in range(first, end):
        rows[SQUARE, k] = r * r + rows[R, k] * rows[R, k] - 2.0 * rows[DOT, k]
    for k in range(first, end):
        rows[DOT, k] *= inverse * rows[INVERSE, k]


@njit(cache=True, nogil=True)
def load_angles(plan, work, group, n):
    """Compute the angular terms of a batch, and third sides where they matter."""
    first = plan.angle_starts[group]
    for a in range(plan.angle_starts[group + 1] - first):
        angular_terms(
            plan.angular, plan.angles[first + a], work.parts, COSINE, n,
            work.angular, work.bends, a,
        )  # fmt: skip
    if plan.shapes[plan.shape_starts[group + 1] - 1, 1]:  # shapes with r_jk come last
        lengths(work.parts, SIDE, INVERSE_SIDE, n)


@njit(cache=True, nogil=True)
def load_across(plan, work, group, shape, n):
    """Compute the radial term of the third side and its derivative divided by it."""
    term = plan.shapes[shape, 0]
    known = shape > plan.shape_starts[group] and plan.shapes[shape - 1, 1]
    if not (known and same_cutoff(plan.radial, plan.shapes[shape - 1, 0], term)):
        cutoff_row(plan.radial, term, work.parts, SIDE, INVERSE_SIDE, 0, n, work.parts, FC, DFC)
    gaussian_row(
        plan.radial, term, work.parts, SIDE, INVERSE_SIDE, 0, n, work.parts, FC, DFC,
        work.parts, ACROSS, work.parts, D_ACROSS,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def four_functions(plan, f, last):
    """Give the angular rows and slots of up to four functions from f on; slots beyond are -1."""
    functions = plan.functions
    b, c, d = min(f + 1, last - 1), min(f + 2, last - 1), min(f + 3, last - 1)
    return (
        (functions[f, 0], functions[b, 0], functions[c, 0], functions[d, 0]),
        (
            functions[f, 1],
            functions[b, 1] if f + 1 < last else -1,
            functions[c, 1] if f + 2 < last else -1,
            functions[d, 1] if f + 3 < last else -1,
        ),
    )


@njit(cache=True, nogil=True)
def add_values(plan, work, group, n, g):
    """Add a batch's share to the fingerprint g."""
    load_angles(plan, work, group, n)
    parts = work.parts
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        term = plan.shapes[shape, 0]
        take(work.radial, term, work.triplets, FIRST, n, parts, FA)
        take(work.radial, term, work.triplets, SECOND, n, parts, FB)
        product(parts, FA, FB, n, WEIGHT)
        if plan.shapes[shape, 1]:
            load_across(plan, work, group, shape, n)
            product(parts, WEIGHT, ACROSS, n, WEIGHT)
        last = plan.function_starts[shape + 1]
        for f in range(plan.function_starts[shape], last, 4):
            four, slots = four_functions(plan, f, last)
            sums = weigh(work.angular, four, parts, WEIGHT, n)
            for i in range(4):
                if slots[i] >= 0:
                    g[slots[i]] += sums[i]


@njit(cache=True, nogil=True)
def values(plan, species, starts, kinds, vectors, distances, out_starts, out):
    """Fill the fingerprints of all centers; kinds (n_pairs,) are the neighbors' species."""
    work = make_work(plan, starts)
    for i in range(species.size):
        s = species[i]
        g = out[out_starts[i] : out_starts[i] + plan.lengths[s]]
        g[:] = 0.0
        load_neighbors(plan, work, s, starts[i], starts[i + 1], kinds, vectors, distances)
        add_pair_values(plan, work, s, g)
        for t in range(plan.n_elements):
            for u in range(t, plan.n_elements):
                group = (s * plan.n_elements + t) * plan.n_elements + u
                if plan.shape_starts[group] == plan.shape_starts[group + 1]:
                    continue
                j = work.blocks[t]
                while j < work.blocks[t + 1]:
                    n, j = list_triplets(plan, work, group, t, u, j)
                    add_values(plan, work, group, n, g)


@njit(cache=True, nogil=True)
def add_pair_values(plan, work, s, g):
    """Add the G2 functions of a center."""
    for t in range(plan.n_elements):
        st = s * plan.n_elements + t
        for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
            term, total = plan.pair_functions[e, 0], 0.0
            for j in range(work.blocks[t], work.blocks[t + 1]):
                total += work.radial[term, j]
            g[plan.pair_functions[e, 1]] += total


@njit(cache=True, nogil=True)
def load_shape(work, term, n):
    """Fetch what a shape's slopes need of both neighbors."""
    take(work.radial, term, work.triplets, FIRST, n, work.parts, FA)
    take(work.radial, term, work.triplets, SECOND, n, work.parts, FB)
    take(work.slopes, term, work.triplets, FIRST, n, work.parts, DA)
    take(work.slopes, term, work.triplets, SECOND, n, work.parts, DB)
    product(work.parts, FA, FB, n, WEIGHT)


@njit(cache=True, nogil=True)
def add_shape_slopes(parts, n, has_across):
    """Add a shape's share to alpha and gamma without bending, to w and to s.

    H and DH are A and A' summed over its functions; both are overwritten.
    """
    if has_across:
        add_triple_product(parts, WEIGHT, D_ACROSS, H, n, S)
        product(parts, H, ACROSS, n, H)
        product(parts, DH, ACROSS, n, DH)
    add_product(parts, WEIGHT, DH, n, W)
    add_triple_product(parts, DA, FB, H, n, ALPHA)
    add_triple_product(parts, FA, DB, H, n, GAMMA)


@njit(cache=True, nogil=True)
def load_inverses(work, n):
    """Fetch 1 over the distances of both neighbors."""
    take(work.neighbors, INVERSE, work.triplets, FIRST, n, work.parts, INVERSE_A)
    take(work.neighbors, INVERSE, work.triplets, SECOND, n, work.parts, INVERSE_B)


@njit(cache=True, nogil=True, fastmath=FAST)
def finish_slopes(parts, n):
    """Add bending and the third side to alpha and gamma, and turn w into beta."""
    for t in range(n):
        bend = parts[W, t] * parts[COSINE, t]
        parts[ALPHA, t] += parts[S, t] - bend * parts[INVERSE_A, t] * parts[INVERSE_A, t]
    for t in range(n):
        bend = parts[W, t] * parts[COSINE, t]
        parts[GAMMA, t] += parts[S, t] - bend * parts[INVERSE_B, t] * parts[INVERSE_B, t]
    for t in range(n):
        parts[W, t] = parts[W, t] * parts[INVERSE_A, t] * parts[INVERSE_B, t] - parts[S, t]


@njit(cache=True, nogil=True)
def clear_sums(parts, n):
    """Set alpha, gamma, w and s to 0."""
    for row in (ALPHA, GAMMA, W, S):
        for t in range(n):
            parts[row, t] = 0.0


@njit(cache=True, nogil=True, fastmath=FAST)
def add_pulls(work, n, pulls, slot):
    """Add alpha, beta, gamma of a batch to pulls[slot], (n_neighbors, 4): vector, factor of r."""
    rows, parts, triplets = work.neighbors, work.parts, work.triplets
    for t in range(n):
        j, k, b = triplets[FIRST, t], triplets[SECOND, t], parts[W, t]
        pulls[slot, j, 0] += b * rows[X, k]
        pulls[slot, j, 1] += b * rows[Y, k]
        pulls[slot, j, 2] += b * rows[Z, k]
        pulls[slot, j, 3] += parts[ALPHA, t]
        pulls[slot, k, 0] += b * rows[X, j]
        pulls[slot, k, 1] += b * rows[Y, j]
        pulls[slot, k, 2] += b * rows[Z, j]
        pulls[slot, k, 3] += parts[GAMMA, t]


@njit(cache=True, nogil=True)
def contract_batch(plan, work, group, n, g, pulls):
    """Add a batch's share to dE/d(vector to each neighbor), g being dE/dG of the center."""
    load_angles(plan, work, group, n)
    clear_sums(work.parts, n)
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        first, last = plan.function_starts[shape], plan.function_starts[shape + 1]
        for f in range(first, last, 4):
            four, slots = four_functions(plan, f, last)
            factors = (
                g[slots[0]],
                g[slots[1]] if slots[1] >= 0 else 0.0,
                g[slots[2]] if slots[2] >= 0 else 0.0,
                g[slots[3]] if slots[3] >= 0 else 0.0,
            )
            combine(work.angular, four, factors, n, work.parts, H, f == first)
            combine(work.bends, four, factors, n, work.parts, DH, f == first)
        load_shape(work, plan.shapes[shape, 0], n)
        if plan.shapes[shape, 1]:
            load_across(plan, work, group, shape, n)
        add_shape_slopes(work.parts, n, plan.shapes[shape, 1] == 1)
    load_inverses(work, n)
    finish_slopes(work.parts, n)
    add_pulls(work, n, pulls, 0)


@njit(cache=True, nogil=True)
def contract(plan, species, starts, second, kinds, vectors, distances, slope_starts, slopes_g):
    """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) from dE/dG of every center."""
    gradient = np.zeros((species.size, 3))
    strain = np.zeros((3, 3))
    work = make_work(plan, starts)
    pulls = np.empty((1, work.order.size, 4))
    for i in range(species.size):
        s, lo = species[i], starts[i]
        g = slopes_g[slope_starts[i] : slope_starts[i] + plan.lengths[s]]
        load_neighbors(plan, work, s, lo, starts[i + 1], kinds, vectors, distances)
        pulls[0, : starts[i + 1] - lo] = 0.0
        for t in range(plan.n_elements):
            st = s * plan.n_elements + t
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                term, slope = plan.pair_functions[e, 0], g[plan.pair_functions[e, 1]]
                for j in range(work.blocks[t], work.blocks[t + 1]):
                    pulls[0, j, 3] += slope * work.slopes[term, j]
            for u in range(t, plan.n_elements):
                group = st * plan.n_elements + u
                if plan.shape_starts[group] == plan.shape_starts[group + 1]:
                    continue
                j = work.blocks[t]
                while j < work.blocks[t + 1]:
                    n, j = list_triplets(plan, work, group, t, u, j)
                    contract_batch(plan, work, group, n, g, pulls)
        resolve_pulls(work, 1, pulls)
        for j in range(work.blocks[plan.n_elements]):
            atom = second[lo + work.order[j]]
            for d in range(3):
                gradient[atom, d] += pulls[0, j, d]
                gradient[i, d] -= pulls[0, j, d]
                for c in range(3):
                    strain[d, c] += pulls[0, j, d] * work.neighbors[c, j]
    return gradient, strain


@njit(cache=True, nogil=True)
def load_velocities(work, i, lo, second, velocities, strain_rate):
    """Compute how fast the vectors to a center's neighbors change, and that times the vector."""
    rows = work.neighbors
    for j in range(work.blocks[-1]):
        atom = second[lo + work.order[j]]
        x, y, z = rows[X, j], rows[Y, j], rows[Z, j]
        for d in range(3):
            rows[VX + d, j] = (
                velocities[atom, d] - velocities[i, d]
                + strain_rate[d, 0] * x + strain_rate[d, 1] * y + strain_rate[d, 2] * z
            )  # fmt: skip
        rows[RV, j] = x * rows[VX, j] + y * rows[VY, j] + z * rows[VZ, j]


@njit(cache=True, nogil=True, fastmath=FAST)
def load_rates(work, n):
    """Fetch a . da/dt and b . db/dt of a batch, and find the rates of cosines and third sides.

    They are left in the rows ALPHA, GAMMA, W (of the cosine) and S (of half the squared side).
    """
    load_inverses(work, n)
    take(work.neighbors, RV, work.triplets, FIRST, n, work.parts, ALPHA)
    take(work.neighbors, RV, work.triplets, SECOND, n, work.parts, GAMMA)
    rows, parts, triplets = work.neighbors, work.parts, work.triplets
    for t in range(n):
        j, k = triplets[FIRST, t], triplets[SECOND, t]
        parts[H, t] = (
            rows[X, j] * rows[VX, k] + rows[Y, j] * rows[VY, k] + rows[Z, j] * rows[VZ, k]
            + rows[VX, j] * rows[X, k] + rows[VY, j] * rows[Y, k] + rows[VZ, j] * rows[Z, k]
        )  # fmt: skip
    for t in range(n):
        parts[S, t] = parts[ALPHA, t] + parts[GAMMA, t] - parts[H, t]
    for t in range(n):
        parts[W, t] = parts[H, t] * parts[INVERSE_A, t] * parts[INVERSE_B, t]
    for t in range(n):
        turn = parts[ALPHA, t] * parts[INVERSE_A, t] * parts[INVERSE_A, t]
        parts[W, t] -= turn * parts[COSINE, t]
    for t in range(n):
        turn = parts[GAMMA, t] * parts[INVERSE_B, t] * parts[INVERSE_B, t]
        parts[W, t] -= turn * parts[COSINE, t]


@njit(cache=True, nogil=True)
def add_tangents(plan, work, group, n, g):
    """Add a batch's share to the rate of the fingerprint: d(F F X) A + F F X dA."""
    load_angles(plan, work, group, n)
    load_rates(work, n)
    parts = work.parts
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        load_shape(work, plan.shapes[shape, 0], n)
        product(parts, DA, ALPHA, n, DA)
        product(parts, DB, GAMMA, n, DB)
        product(parts, DA, FB, n, H)
        add_product(parts, FA, DB, n, H)
        if plan.shapes[shape, 1]:
            load_across(plan, work, group, shape, n)
            product(parts, H, ACROSS, n, H)
            add_triple_product(parts, WEIGHT, D_ACROSS, S, n, H)
            product(parts, WEIGHT, ACROSS, n, WEIGHT)
        product(parts, WEIGHT, W, n, WEIGHT)
        last = plan.function_starts[shape + 1]
        for f in range(plan.function_starts[shape], last, 4):
            four, slots = four_functions(plan, f, last)
            sums = weigh(work.angular, four, parts, H, n)
            turns = weigh(work.bends, four, parts, WEIGHT, n)
            for i in range(4):
                if slots[i] >= 0:
                    g[slots[i]] += sums[i] + turns[i]


@njit(cache=True, nogil=True)
def tangents(
    plan, species, starts, second, kinds, vectors, distances, velocities, strain_rate,
    out_starts, out,
):  # fmt: skip
    """Fill dG/dt of all centers when atoms move at velocities (n, 3) and space at strain_rate.

    The derivatives times a vector, without the derivatives; strain_rate (3, 3) times a vector is
    the velocity that it adds.
    """
    work = make_work(plan, starts)
    for i in range(species.size):
        s = species[i]
        g = out[out_starts[i] : out_starts[i] + plan.lengths[s]]
        g[:] = 0.0
        load_neighbors(plan, work, s, starts[i], starts[i + 1], kinds, vectors, distances)
        load_velocities(work, i, starts[i], second, velocities, strain_rate)
        for t in range(plan.n_elements):
            st = s * plan.n_elements + t
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                term, slot = plan.pair_functions[e, 0], plan.pair_functions[e, 1]
                for j in range(work.blocks[t], work.blocks[t + 1]):
                    g[slot] += work.slopes[term, j] * work.neighbors[RV, j]
            for u in range(t, plan.n_elements):
                group = st * plan.n_elements + u
                if plan.shape_starts[group] == plan.shape_starts[group + 1]:
                    continue
                j = work.blocks[t]
                while j < work.blocks[t + 1]:
                    n, j = list_triplets(plan, work, group, t, u, j)
                    add_tangents(plan, work, group, n, g)


@njit(cache=True, nogil=True)
def pair_blocks(starts, second):
    """Give each distinct neighbor atom of each center a block.

    Returns center_blocks (n_atoms + 1,), block_atoms (n_blocks,) and block_of_pair (n_pairs,),
    which is -1 for an atom's own images: they move with the center and leave no derivative.
    """
    n_atoms = starts.size - 1
    center_blocks = np.zeros(n_atoms + 1, dtype=np.int64)
    block_atoms = np.empty(second.size, dtype=np.int64)
    block_of_pair = np.empty(second.size, dtype=np.int64)
    place = np.full(n_atoms, -1, dtype=np.int64)
    count = 0
    for i in range(n_atoms):
        for p in range(starts[i], starts[i + 1]):
            atom = second[p]
            if atom == i:
                block_of_pair[p] = -1
                continue
            if place[atom] < center_blocks[i]:
                place[atom] = count
                block_atoms[count] = atom
                count += 1
            block_of_pair[p] = place[atom]
        center_blocks[i + 1] = count
    return center_blocks, block_atoms[:count].copy(), block_of_pair


@njit(cache=True, nogil=True)
def differentiate_batch(plan, work, group, n, g, pulls):
    """Add a batch's share to the fingerprint and to pulls (n_functions, n_neighbors, 4)."""
    add_values(plan, work, group, n, g)  # leaves angular terms and lengths of third sides
    load_inverses(work, n)
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        load_shape(work, plan.shapes[shape, 0], n)
        if plan.shapes[shape, 1]:
            load_across(plan, work, group, shape, n)
        for f in range(plan.function_starts[shape], plan.function_starts[shape + 1]):
            angle, slot = plan.functions[f, 0], plan.functions[f, 1]
            for t in range(n):
                work.parts[H, t] = work.angular[angle, t]
            for t in range(n):
                work.parts[DH, t] = work.bends[angle, t]
            clear_sums(work.parts, n)
            add_shape_slopes(work.parts, n, plan.shapes[shape, 1] == 1)
            finish_slopes(work.parts, n)
            add_pulls(work, n, pulls, slot)


@njit(cache=True, nogil=True)
def derivatives(
    plan, species, starts, kinds, vectors, distances,
    out_starts, out, block_of_pair, block_starts, blocks, strain,
):  # fmt: skip
    """Fill fingerprints, their derivative blocks and (unless strain is empty) strain derivatives.

    blocks is zeroed where this image's blocks lie; see amp.core.fingerprints for the layout.
    """
    work = make_work(plan, starts)
    pulls = np.empty((plan.lengths.max(), work.order.size, 4))
    for i in range(species.size):
        s, lo = species[i], starts[i]
        length = plan.lengths[s]
        g = out[out_starts[i] : out_starts[i] + length]
        g[:] = 0.0
        pulls[:length, : starts[i + 1] - lo] = 0.0
        load_neighbors(plan, work, s, lo, starts[i + 1], kinds, vectors, distances)
        add_pair_values(plan, work, s, g)
        for t in range(plan.n_elements):
            st = s * plan.n_elements + t
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                term, slot = plan.pair_functions[e, 0], plan.pair_functions[e, 1]
                for j in range(work.blocks[t], work.blocks[t + 1]):
                    pulls[slot, j, 3] += work.slopes[term, j]
            for u in range(t, plan.n_elements):
                group = st * plan.n_elements + u
                if plan.shape_starts[group] == plan.shape_starts[group + 1]:
                    continue
                j = work.blocks[t]
                while j < work.blocks[t + 1]:
                    n, j = list_triplets(plan, work, group, t, u, j)
                    differentiate_batch(plan, work, group, n, g, pulls)
        resolve_pulls(work, length, pulls)
        store(plan, s, work, pulls, block_of_pair[lo:], block_starts, blocks)
        if strain.size:
            store_strain(length, work, pulls, strain[6 * out_starts[i] :])


@njit(cache=True, nogil=True)
def resolve_pulls(work, length, pulls):
    """Turn factors of r into vectors: the first three columns become dG/d(vector)."""
    for slot in range(length):
        for j in range(work.blocks[-1]):
            for d in range(3):
                pulls[slot, j, d] += pulls[slot, j, 3] * work.neighbors[d, j]


@njit(cache=True, nogil=True)
def store(plan, s, work, pulls, block_of_pair, block_starts, blocks):
    """Add a center's derivatives to the blocks of the atoms that its neighbors are images of."""
    for t in range(plan.n_elements):
        st = s * plan.n_elements + t
        first, width = plan.slot_starts[st], plan.slot_starts[st + 1] - plan.slot_starts[st]
        for j in range(work.blocks[t], work.blocks[t + 1]):
            block = block_of_pair[work.order[j]]
            if block < 0:
                continue
            start = block_starts[block]
            for d in range(3):
                for c in range(width):
                    blocks[start + d * width + c] += pulls[plan.slots[first + c], j, d]


@njit(cache=True, nogil=True)
def store_strain(length, work, pulls, strain):
    """Fill dG/dstrain of a center, (6, length), Voigt order xx yy zz yz xz xy."""
    for voigt in range(6):
        d = voigt if voigt < 3 else (1 if voigt == 3 else 0)
        c = voigt if voigt < 3 else (1 if voigt == 5 else 2)
        for slot in range(length):
            total = 0.0
            for j in range(work.blocks[-1]):
                total += pulls[slot, j, d] * work.neighbors[c, j]
            strain[voigt * length + slot] = total


# -- arithmetic on rows; n is how many entries of a row count ------------------------------------


@intrinsic
def _float_of_bits(typingctx, bits):
    """Read the bits of a 64-bit integer as a float."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def exponential(x):
    """exp(x) for x <= 0: 2^k times the Taylor series of what is left, below ln(2) / 2."""
    x = max(x, -700.0)
    k = math.floor(x * _LOG2_E + 0.5)
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    high = _E8 + f * (_E9 + f * (_E10 + f * (_E11 + f * (_E12 + f * _E13))))
    low = _E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * (_E6 + f * (_E7 + f * high)))))
    return (1.0 + f * (1.0 + f * low)) * _float_of_bits((np.int64(k) + 1023) << 52)  # type: ignore[call-arg]


@njit(cache=True, nogil=True, fastmath=FAST)
def lengths(rows, square, inverse, n):
    """Replace squares by square roots and fill another row with 1 over them."""
    for t in range(n):
        # Squares come as differences, which rounding may take below 0 for no real triplet.
        length = math.sqrt(max(rows[square, t], 1e-24))
        rows[square, t] = length
        rows[inverse, t] = 1.0 / length


@njit(cache=True, nogil=True)
def cutoff_row(terms, term, rows, r, inverse, lo, n, out, fc, dfc):
    """Cutoff function of a radial term, and its derivative divided by r; see cutoffs.py.

    Distances are rows[r, lo : lo + n], the results out[fc, :n] and out[dfc, :n].
    """
    code = int(terms[term, 3])
    if code == 0:
        _cosine_cutoff(terms[term, 2], rows, r, lo, n, out, fc, dfc)
    elif code == 1:
        _polynomial_cutoff(terms[term, 2], terms[term, 4], rows, r, lo, n, out, fc, dfc)
    elif code == 2:
        _quintic_cutoff(terms[term, 2], rows, r, lo, n, out, fc, dfc)
    elif code == 4:
        _smoothstep_cutoff(terms[term, 2], int(terms[term, 4]), rows, r, lo, n, out, fc, dfc)
    else:
        _tanh_cutoff(terms[term, 2], rows, r, inverse, lo, n, out, fc, dfc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _cosine_cutoff(rc, rows, r, lo, n, out, fc, dfc):
    """(1 + cos(pi x)) / 2 = cos(t)^2 with t = pi x / 2; no root or division is needed."""
    to_square = (0.5 * math.pi / rc) ** 2
    for i in range(n):
        y = min(rows[r, lo + i] * rows[r, lo + i], rc * rc) * to_square
        c = _COS[10] + y * _COS[11]
        s = _SIN[10] + y * _SIN[11]
        c = _COS[8] + y * (_COS[9] + y * c)
        s = _SIN[8] + y * (_SIN[9] + y * s)
        c = _COS[6] + y * (_COS[7] + y * c)
        s = _SIN[6] + y * (_SIN[7] + y * s)
        c = _COS[4] + y * (_COS[5] + y * c)
        s = _SIN[4] + y * (_SIN[5] + y * s)
        c = _COS[2] + y * (_COS[3] + y * c)
        s = _SIN[2] + y * (_SIN[3] + y * s)
        c = 1.0 + y * (_COS[1] + y * c)
        s = 1.0 + y * (_SIN[1] + y * s)
        inside = 1.0 if rows[r, lo + i] < rc else 0.0
        out[fc, i] = inside * c * c
        out[dfc, i] = inside * -2.0 * to_square * c * s


@njit(cache=True, nogil=True, fastmath={"contract"})
def _polynomial_cutoff(rc, gamma, rows, r, lo, n, out, fc, dfc):
    """With p = x^(gamma - 2); by multiplication for the usual whole exponents."""
    if gamma == int(gamma) and 2 <= gamma <= 16:
        for i in range(n):
            out[fc, i] = 1.0
        for _ in range(int(gamma) - 2):
            for i in range(n):
                out[fc, i] *= min(rows[r, lo + i] / rc, 1.0)
    else:
        for i in range(n):
            # p is not finite at 0 where gamma is below 2.
            out[fc, i] = max(min(rows[r, lo + i] / rc, 1.0), 1e-100) ** (gamma - 2.0)
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
        out[dfc, i] = gamma * (gamma + 1.0) * out[fc, i] * (x - 1.0) / (rc * rc)
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
        out[fc, i] = 1.0 + out[fc, i] * x * x * (gamma * x - (gamma + 1.0))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _quintic_cutoff(rc, rows, r, lo, n, out, fc, dfc):
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
        out[fc, i] = 1.0 + x * x * x * (-10.0 + x * (15.0 - 6.0 * x))
        out[dfc, i] = -30.0 * x * (1.0 - x) * (1.0 - x) / (rc * rc)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _smoothstep_cutoff(rc, order, rows, r, lo, n, out, fc, dfc):
    """With y = 1 - x: y^(N+1) sum C(N+k, k) x^k, and -(2N+1) C(2N, N) x^N y^N."""
    top = 1.0  # C(2N, N)
    for k in range(1, order + 1):
        top *= (order + k) / k
    factor = -(2 * order + 1) * top / (rc * rc)
    for i in range(n):
        x = min(rows[r, lo + i] / rc, 1.0)
        y = 1.0 - x
        coefficient = top
        total = top
        power = 1.0  # (x y)^(N-1)
        end = y  # y^(N+1)
        for k in range(order, 0, -1):
            coefficient *= k / (order + k)
            total = total * x + coefficient
            end *= y
            if k > 1:
                power *= x * y
        out[fc, i] = end * total
        out[dfc, i] = factor * power * y


@njit(cache=True, nogil=True, fastmath={"contract"})
def _tanh_cutoff(rc, rows, r, inverse, lo, n, out, fc, dfc):
    """Tanh(y) = (1 - e) / (1 + e) with e = exp(-2 y)."""
    for i in range(n):
        out[fc, i] = exponential(-2.0 * max(1.0 - rows[r, lo + i] / rc, 0.0))
    for i in range(n):
        out[fc, i] = (1.0 - out[fc, i]) / (1.0 + out[fc, i])
    for i in range(n):
        t = out[fc, i]
        out[dfc, i] = -3.0 * t * t * (1.0 - t * t) * rows[inverse, lo + i] / rc
    for i in range(n):
        out[fc, i] = out[fc, i] * out[fc, i] * out[fc, i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def gaussian_row(terms, term, rows, r, inverse, lo, n, cuts, fc, dfc, out, row, slopes, slope_row):
    """Radial term exp(-eta (r - offset)^2) fc, and its derivative divided by r.

    Distances are rows[r, lo : lo + n], the results out[row, lo : lo + n] and slopes likewise.
    """
    eta, offset = terms[term, 0], terms[term, 1]
    # Few arrays to a loop: compilers give up where too many might overlap.
    for i in range(n):
        shifted = rows[r, lo + i] - offset
        out[row, lo + i] = exponential(-eta * shifted * shifted)
    for i in range(n):
        inward = 2.0 * eta * (1.0 - offset * rows[inverse, lo + i])
        slopes[slope_row, lo + i] = out[row, lo + i] * (cuts[dfc, i] - inward * cuts[fc, i])
    for i in range(n):
        out[row, lo + i] *= cuts[fc, i]


@njit(cache=True, nogil=True, fastmath=FAST)
def angular_terms(table, term, rows, cosine, n, out, slopes, row):
    """Fill out with 2^(1 - zeta) (1 + gamma cos)^zeta, slopes with its derivative in cos."""
    gamma, zeta, prefactor = table[term, 0], table[term, 1], table[term, 2]
    # slopes takes base^(zeta - 1) first; the usual exponents in one pass each.
    if zeta == 1.0:
        for t in range(n):
            slopes[row, t] = 1.0
    elif zeta == 2.0:
        for t in range(n):
            slopes[row, t] = 1.0 + gamma * rows[cosine, t]
    elif zeta == 4.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            slopes[row, t] = b * b * b
    elif zeta == 8.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            b3 = b * b * b
            slopes[row, t] = b3 * b3 * b
    elif zeta == 16.0:
        for t in range(n):
            b = 1.0 + gamma * rows[cosine, t]
            b3 = b * b * b
            b5 = b3 * b * b
            slopes[row, t] = b5 * b5 * b5
    else:
        _general_power(gamma, zeta, rows, cosine, n, out, slopes, row)
    factor = gamma * zeta * prefactor
    if zeta == int(zeta):
        for t in range(n):
            out[row, t] = prefactor * slopes[row, t] * (1.0 + gamma * rows[cosine, t])
    else:
        for t in range(n):
            # Rounding may take a straight angle below 0, where the power does not exist.
            out[row, t] = prefactor * slopes[row, t] * max(1.0 + gamma * rows[cosine, t], 0.0)
    for t in range(n):
        slopes[row, t] *= factor


@njit(cache=True, nogil=True, fastmath=FAST)
def _general_power(gamma, zeta, rows, cosine, n, work, out, row):
    """Fill out with (1 + gamma cos)^(zeta - 1), by squaring if zeta is whole."""
    rest = int(zeta) - 1
    if zeta != int(zeta):
        for t in range(n):
            out[row, t] = max(1.0 + gamma * rows[cosine, t], 0.0) ** (zeta - 1.0)
        return
    for t in range(n):
        out[row, t] = 1.0
        work[row, t] = 1.0 + gamma * rows[cosine, t]
    while rest:
        if rest & 1:
            for t in range(n):
                out[row, t] *= work[row, t]
        rest >>= 1
        if rest:
            for t in range(n):
                work[row, t] *= work[row, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def take(source, row, index, which, n, out, to):
    """Fill a row of out with source[row] at index[which]."""
    for t in range(n):
        out[to, t] = source[row, index[which, t]]


@njit(cache=True, nogil=True, fastmath=FAST)
def product(rows, a, b, n, to):
    """Fill a row with a * b."""
    for t in range(n):
        rows[to, t] = rows[a, t] * rows[b, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_product(rows, a, b, n, to):
    """Add a * b to a row."""
    for t in range(n):
        rows[to, t] += rows[a, t] * rows[b, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_triple_product(rows, a, b, c, n, to):
    """Add a * b * c to a row."""
    for t in range(n):
        rows[to, t] += rows[a, t] * rows[b, t] * rows[c, t]


@njit(cache=True, nogil=True, fastmath=FAST)
def combine(source, four, factors, n, rows, to, is_first):
    """Fill a row with (or add to it) the sum of four rows of source, each times its factor."""
    a, b, c, d = four
    fa, fb, fc, fd = factors
    if is_first:
        for t in range(n):
            rows[to, t] = (
                fa * source[a, t] + fb * source[b, t] + fc * source[c, t] + fd * source[d, t]
            )
    else:
        for t in range(n):
            rows[to, t] += (
                fa * source[a, t] + fb * source[b, t] + fc * source[c, t] + fd * source[d, t]
            )


@njit(cache=True, nogil=True, fastmath=FAST)
def weigh(source, four, rows, weight, n):
    """Sum each of four rows of source times a weight."""
    a, b, c, d = four
    sa, sb, sc, sd = 0.0, 0.0, 0.0, 0.0
    for t in range(n):
        w = rows[weight, t]
        sa += w * source[a, t]
        sb += w * source[b, t]
        sc += w * source[c, t]
        sd += w * source[d, t]
    return sa, sb, sc, sd
