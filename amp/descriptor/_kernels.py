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
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from amp.core.typing import FloatArray, IntArray
from amp.descriptor._array_kernels import (
    FAST,
    add_pair_product,
    add_product,
    add_scaled,
    angular_terms,
    cutoff_arrays,
    dot,
    gaussian_arrays,
    lengths,
    product,
    scale,
    take,
)

__all__ = [
    "contract",
    "cutoff_values",
    "derivatives",
    "pair_blocks",
    "values",
]

BATCH = 256  # triplets listed before they are worked on; some rows of 8 bytes fit the L1 cache


@njit(cache=True, nogil=True)
def cutoff_values(distances, code, rc, gamma):
    """Cutoff function (code: see cutoffs.py) and its derivative, shape (2, n_distances)."""
    n = distances.size
    out = np.empty((2, n))
    term = np.array([0.0, 0.0, rc, code, gamma])
    # Within bounds in which derivative / r times r is the derivative.
    r = np.minimum(np.maximum(distances, 1e-150), 2.0 * rc)
    cutoff_arrays(term, r, 1.0 / r, n, out[0], out[1])
    out[1] = out[1] * r + 0.0  # no minus zero
    return out


class Work(NamedTuple):
    """Arrays for one center at a time: its neighbors sorted by species, and a batch of triplets."""

    order: IntArray  # (most,)       pair of each neighbor, counted from the center's first
    blocks: IntArray  # (n + 1,)     neighbors of species t: blocks[t]:blocks[t + 1]
    vectors: FloatArray  # (3, most) to the neighbor
    distances: FloatArray  # (most,)
    inverse: FloatArray  # (most,)   1 / distance
    radial: FloatArray  # (n_radial, most) terms
    slopes: FloatArray  # (n_radial, most) their derivatives divided by the distance
    first: IntArray  # (batch,)      neighbor a of a triplet
    second: IntArray  # (batch,)     neighbor b
    cosine: FloatArray  # (batch,)
    side: FloatArray  # (batch,)     r_jk; squared until load_sides
    inverse_side: FloatArray  # (batch,)
    angular: FloatArray  # (n_angles, batch)
    bends: FloatArray  # (n_angles, batch)  derivatives of the angular terms
    parts: FloatArray  # (16, batch) intermediate results


@njit(cache=True, nogil=True)
def make_work(plan, starts):
    """Allocate for the center with most neighbors."""
    most = 1
    for i in range(starts.size - 1):
        most = max(most, starts[i + 1] - starts[i])
    angles = 1
    for group in range(plan.angle_starts.size - 1):
        angles = max(angles, plan.angle_starts[group + 1] - plan.angle_starts[group])
    batch = BATCH + most
    n_radial = plan.radial.shape[0]
    return Work(
        np.empty(most, np.int64), np.empty(plan.n_elements + 1, np.int64),
        np.empty((3, most)), np.empty(most), np.empty(most),
        np.empty((n_radial, most)), np.empty((n_radial, most)),
        np.empty(batch, np.int64), np.empty(batch, np.int64), np.empty(batch), np.empty(batch),
        np.empty(batch),
        np.empty((angles, batch)), np.empty((angles, batch)), np.empty((16, batch)),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def load_neighbors(plan, work, s, lo, hi, kinds, vectors, distances):
    """Sort a center's neighbors by species and compute the radial terms that it needs of them."""
    count = 0
    for t in range(plan.n_elements):
        work.blocks[t] = count
        for p in range(lo, hi):
            if kinds[p] == t:
                work.order[count] = p - lo
                work.distances[count] = distances[p]
                work.inverse[count] = 1.0 / distances[p]
                for d in range(3):
                    work.vectors[d, count] = vectors[p, d]
                count += 1
    work.blocks[plan.n_elements] = count
    for t in range(plan.n_elements):
        st = s * plan.n_elements + t
        a, b = work.blocks[t], work.blocks[t + 1]
        load_radial(
            plan, plan.terms[plan.term_starts[st] : plan.term_starts[st + 1]], b - a,
            work.distances[a:], work.inverse[a:], work.radial[:, a:], work.slopes[:, a:],
            work.parts[0], work.parts[1],
        )  # fmt: skip


@njit(cache=True, nogil=True)
def load_radial(plan, terms, n, r, inverse, radial, slopes, fc, dfc):
    """Compute some radial terms at n distances; the cutoff function only where it changes."""
    for index in range(terms.size):
        term = plan.radial[terms[index]]
        if index == 0 or not same_cutoff(plan.radial[terms[index - 1]], term):
            cutoff_arrays(term, r, inverse, n, fc, dfc)
        gaussian_arrays(term, r, inverse, fc, dfc, n, radial[terms[index]], slopes[terms[index]])


@njit(cache=True, nogil=True)
def same_cutoff(a, b):
    """Say whether two radial terms have the same cutoff function."""
    return a[2] == b[2] and a[3] == b[3] and a[4] == b[4]


@njit(cache=True, nogil=True, fastmath=FAST)
def list_triplets(plan, work, group, t, u, j):
    """List triplets of neighbors of species t and u from row j on; how many, and the next row.

    Only those that can be nonzero are listed, each once.
    """
    reach, across = plan.reach[group], plan.reach_across[group] ** 2
    x, y, z = work.vectors[0], work.vectors[1], work.vectors[2]
    r, inverse = work.distances, work.inverse
    n, end = 0, work.blocks[u + 1]
    while j < work.blocks[t + 1] and n < BATCH:
        if r[j] < reach:
            xj, yj, zj, rj, inverse_j = x[j], y[j], z[j], r[j], inverse[j]
            for k in range(max(work.blocks[u], j + 1) if t == u else work.blocks[u], end):
                product_ = xj * x[k] + yj * y[k] + zj * z[k]
                square = rj * rj + r[k] * r[k] - 2.0 * product_
                work.first[n] = j
                work.second[n] = k
                work.cosine[n] = product_ * inverse_j * inverse[k]
                work.side[n] = square
                # Written in any case and counted if it matters: a branch would be mispredicted.
                n += int(r[k] < reach) & int(square < across)
        j += 1
    return n, j


@njit(cache=True, nogil=True)
def load_angles(plan, work, group, n):
    """Compute the angular terms of a batch, and third sides where they matter."""
    first = plan.angle_starts[group]
    for a in range(plan.angle_starts[group + 1] - first):
        term = plan.angular[plan.angles[first + a]]
        angular_terms(work.cosine, term, n, work.angular[a], work.bends[a])
    if plan.shapes[plan.shape_starts[group + 1] - 1, 1]:  # shapes with r_jk come last
        lengths(work.side, n, work.side, work.inverse_side)


@njit(cache=True, nogil=True)
def load_across(plan, work, group, shape, n, out, slopes):
    """Compute the radial term of the third side and its derivative divided by it."""
    term = plan.radial[plan.shapes[shape, 0]]
    fc, dfc = work.parts[14], work.parts[15]
    known = shape > plan.shape_starts[group] and plan.shapes[shape - 1, 1]
    if not (known and same_cutoff(plan.radial[plan.shapes[shape - 1, 0]], term)):
        cutoff_arrays(term, work.side, work.inverse_side, n, fc, dfc)
    gaussian_arrays(term, work.side, work.inverse_side, fc, dfc, n, out, slopes)


@njit(cache=True, nogil=True)
def add_values(plan, work, group, n, g):
    """Add a batch's share to the fingerprint g."""
    load_angles(plan, work, group, n)
    fa, fb, x, weight = work.parts[1], work.parts[2], work.parts[3], work.parts[4]
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        term = plan.shapes[shape, 0]
        take(work.radial[term], work.first, n, fa)
        take(work.radial[term], work.second, n, fb)
        product(fa, fb, n, weight)
        if plan.shapes[shape, 1]:
            load_across(plan, work, group, shape, n, x, work.parts[5])
            product(weight, x, n, weight)
        for f in range(plan.function_starts[shape], plan.function_starts[shape + 1]):
            g[plan.functions[f, 1]] += dot(weight, work.angular[plan.functions[f, 0]], n)


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
            term, slot = plan.pair_functions[e, 0], plan.pair_functions[e, 1]
            for j in range(work.blocks[t], work.blocks[t + 1]):
                g[slot] += work.radial[term, j]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_shape_slopes(work, term, n, h, dh, x, dx, has_across):
    """Add a shape's share to parts 6 to 9: alpha and gamma without bending, w, and s.

    h and dh are A and A' summed over its functions; both are overwritten.
    """
    fa, fb, da, db = work.parts[1], work.parts[2], work.parts[10], work.parts[11]
    weight = work.parts[12]
    take(work.radial[term], work.first, n, fa)
    take(work.radial[term], work.second, n, fb)
    take(work.slopes[term], work.first, n, da)
    take(work.slopes[term], work.second, n, db)
    product(fa, fb, n, weight)
    if has_across:
        add_product(weight, dx, h, n, work.parts[9])
        product(h, x, n, h)
        product(dh, x, n, dh)
    add_pair_product(weight, dh, n, work.parts[8])
    add_product(da, fb, h, n, work.parts[6])
    add_product(fa, db, h, n, work.parts[7])


@njit(cache=True, nogil=True, fastmath=FAST)
def finish_slopes(work, n):
    """Turn parts 6 to 9 into alpha (6), gamma (7) and beta (8)."""
    alpha, gamma, w, s = work.parts[6], work.parts[7], work.parts[8], work.parts[9]
    inverse_a, inverse_b = work.parts[1], work.parts[2]
    take(work.inverse, work.first, n, inverse_a)
    take(work.inverse, work.second, n, inverse_b)
    for t in range(n):
        bend = w[t] * work.cosine[t]
        alpha[t] += s[t] - bend * inverse_a[t] * inverse_a[t]
        gamma[t] += s[t] - bend * inverse_b[t] * inverse_b[t]
    for t in range(n):
        w[t] = w[t] * inverse_a[t] * inverse_b[t] - s[t]


@njit(cache=True, nogil=True, fastmath=FAST)
def add_pulls(work, n, pull):
    """Add alpha, beta, gamma of a batch to pull (n_neighbors, 4): a vector, and a factor of r."""
    x, y, z = work.vectors[0], work.vectors[1], work.vectors[2]
    alpha, gamma, beta = work.parts[6], work.parts[7], work.parts[8]
    for t in range(n):
        j, k, b = work.first[t], work.second[t], beta[t]
        pull[j, 0] += b * x[k]
        pull[j, 1] += b * y[k]
        pull[j, 2] += b * z[k]
        pull[j, 3] += alpha[t]
        pull[k, 0] += b * x[j]
        pull[k, 1] += b * y[j]
        pull[k, 2] += b * z[j]
        pull[k, 3] += gamma[t]


@njit(cache=True, nogil=True)
def contract_batch(plan, work, group, n, g, pull):
    """Add a batch's share to dE/d(vector to each neighbor), g being dE/dG of the center."""
    load_angles(plan, work, group, n)
    h, dh, x, dx = work.parts[3], work.parts[4], work.parts[5], work.parts[13]
    work.parts[6:10, :n] = 0.0
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        first = plan.function_starts[shape]
        for f in range(first, plan.function_starts[shape + 1]):
            angle, slope = plan.functions[f, 0], g[plan.functions[f, 1]]
            if f == first:
                scale(slope, work.angular[angle], work.bends[angle], n, h, dh)
            else:
                add_scaled(slope, work.angular[angle], work.bends[angle], n, h, dh)
        has_across = plan.shapes[shape, 1] == 1
        if has_across:
            load_across(plan, work, group, shape, n, x, dx)
        add_shape_slopes(work, plan.shapes[shape, 0], n, h, dh, x, dx, has_across)
    finish_slopes(work, n)
    add_pulls(work, n, pull)


@njit(cache=True, nogil=True)
def contract(plan, species, starts, second, kinds, vectors, distances, slope_starts, slopes_g):
    """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) from dE/dG of every center."""
    gradient = np.zeros((species.size, 3))
    strain = np.zeros((3, 3))
    work = make_work(plan, starts)
    pull = np.empty((work.order.size, 4))
    for i in range(species.size):
        s, lo = species[i], starts[i]
        g = slopes_g[slope_starts[i] : slope_starts[i] + plan.lengths[s]]
        load_neighbors(plan, work, s, lo, starts[i + 1], kinds, vectors, distances)
        pull[: starts[i + 1] - lo] = 0.0
        for t in range(plan.n_elements):
            st = s * plan.n_elements + t
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                term, slope = plan.pair_functions[e, 0], g[plan.pair_functions[e, 1]]
                for j in range(work.blocks[t], work.blocks[t + 1]):
                    pull[j, 3] += slope * work.slopes[term, j]
            for u in range(t, plan.n_elements):
                group = st * plan.n_elements + u
                if plan.shape_starts[group] == plan.shape_starts[group + 1]:
                    continue
                j = work.blocks[t]
                while j < work.blocks[t + 1]:
                    n, j = list_triplets(plan, work, group, t, u, j)
                    contract_batch(plan, work, group, n, g, pull)
        for j in range(work.blocks[plan.n_elements]):
            atom = second[lo + work.order[j]]
            for d in range(3):
                force = pull[j, d] + pull[j, 3] * work.vectors[d, j]
                gradient[atom, d] += force
                gradient[i, d] -= force
                for c in range(3):
                    strain[d, c] += force * work.vectors[c, j]
    return gradient, strain


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
    add_values(plan, work, group, n, g)  # leaves the angular terms
    h, dh, x, dx = work.parts[3], work.parts[4], work.parts[5], work.parts[13]
    for shape in range(plan.shape_starts[group], plan.shape_starts[group + 1]):
        has_across = plan.shapes[shape, 1] == 1
        if has_across:
            load_across(plan, work, group, shape, n, x, dx)
        for f in range(plan.function_starts[shape], plan.function_starts[shape + 1]):
            angle, slot = plan.functions[f, 0], plan.functions[f, 1]
            scale(1.0, work.angular[angle], work.bends[angle], n, h, dh)
            work.parts[6:10, :n] = 0.0
            add_shape_slopes(work, plan.shapes[shape, 0], n, h, dh, x, dx, has_across)
            finish_slopes(work, n)
            add_pulls(work, n, pulls[slot])


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
                pulls[slot, j, d] += pulls[slot, j, 3] * work.vectors[d, j]


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
                total += pulls[slot, j, d] * work.vectors[c, j]
            strain[voigt * length + slot] = total
