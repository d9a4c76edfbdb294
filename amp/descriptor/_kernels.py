"""Compiled loops over the neighbors of each atom: symmetry functions and their derivatives.

Formulas: J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. 6-9, with exponents scaled by the
square of the cutoff radius as in A. Khorshidi, A. A. Peterson, Comput. Phys. Commun. 207, 310
(2016).  A function of a triplet depends on the vectors a = r_ij and b = r_ik; its derivatives are

    d/da = alpha a + beta b,    d/db = beta a + gamma b,

so three numbers per function and triplet describe them all (`triplet_slopes`).  `plan` is the
tuple of tables made in `_plan.py`; pairs of atom i are starts[i]:starts[i+1].
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = [
    "contract",
    "cutoff_function",
    "cutoff_values",
    "derivatives",
    "pair_blocks",
    "power",
    "values",
]


@njit(cache=True, nogil=True)
def cutoff_function(r, rc, code, gamma):
    """Weight of a neighbor at distance r and its derivative; see cutoffs.py for the formulas."""
    if r >= rc:
        return 0.0, 0.0
    x = r / rc
    if code == 0:
        return 0.5 * (math.cos(math.pi * x) + 1.0), -0.5 * math.pi / rc * math.sin(math.pi * x)
    if code == 1:
        p = x**gamma
        slope = 0.0 if r == 0.0 else gamma * (gamma + 1.0) * (p - p / x) / rc
        return 1.0 + gamma * p * x - (gamma + 1.0) * p, slope
    if code == 2:
        return 1.0 + x**3 * (-10.0 + x * (15.0 - 6.0 * x)), -30.0 * (x * (1.0 - x)) ** 2 / rc
    t = math.tanh(1.0 - x)
    return t**3, -3.0 * t * t * (1.0 - t * t) / rc


@njit(cache=True, nogil=True)
def cutoff_values(distances, code, rc, gamma):
    """Cutoff function and derivative, shape (2, n_distances)."""
    out = np.empty((2, distances.size))
    for i in range(distances.size):
        out[0, i], out[1, i] = cutoff_function(distances[i], rc, code, gamma)
    return out


@njit(cache=True, nogil=True)
def radial_term(r, term):
    """exp(-eta (r - offset)^2) fc(r), and its derivative divided by r."""
    fc, dfc = cutoff_function(r, term[2], int(term[3]), term[4])
    shifted = r - term[1]
    gauss = math.exp(-term[0] * shifted * shifted)
    return gauss * fc, gauss * (dfc - 2.0 * term[0] * shifted * fc) / r


@njit(cache=True, nogil=True)
def power(base, exponent):
    """Raise base to the exponent; by squaring if it is whole, and 0 for a negative base if not."""
    whole = int(exponent)
    if whole != exponent or whole > 64:
        return base**exponent if base > 0.0 else 0.0
    result = 1.0
    while whole:
        if whole & 1:
            result *= base
        base *= base
        whole >>= 1
    return result


@njit(cache=True, nogil=True)
def angular_term(cosine, term):
    """2^(1 - zeta) (1 + gamma cos)^zeta and its derivative with respect to cos."""
    base = 1.0 + term[0] * cosine
    lower = power(base, term[1] - 1.0) * term[2]
    return lower * base if base > 0.0 or term[1] == int(term[1]) else 0.0, lower * term[0] * term[1]


@njit(cache=True, nogil=True)
def neighbor_terms(plan, s, lo, hi, kinds, distances, radial, slopes):
    """Fill the radial terms of a center's neighbors: radial, slopes (n_neighbors, n_radial)."""
    for j in range(lo, hi):
        st = s * plan.n_elements + kinds[j]
        for index in range(plan.term_starts[st], plan.term_starts[st + 1]):
            term = plan.terms[index]
            radial[j - lo, term], slopes[j - lo, term] = radial_term(
                distances[j], plan.radial[term]
            )


@njit(cache=True, nogil=True)
def triplet_terms(plan, stu, a, b, ra, rb, angular, angular_slopes, across, across_slopes):
    """Fill the angular terms and those of r_jk; False if no function can be nonzero."""
    limit = plan.triplet_cutoffs[stu]
    if ra >= limit or rb >= limit:
        return False, 0.0
    if plan.across_starts[stu] < plan.across_starts[stu + 1]:
        x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        rjk = math.sqrt(x * x + y * y + z * z)
        if rjk >= limit and plan.needs_across[stu]:
            return False, 0.0
        for index in range(plan.across_starts[stu], plan.across_starts[stu + 1]):
            term = plan.across[index]
            # Two images of one atom never meet, and different atoms that do are refused before.
            across[term], across_slopes[term] = radial_term(max(rjk, 1e-12), plan.radial[term])
    cosine = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) / (ra * rb)
    cosine = min(1.0, max(-1.0, cosine))
    for index in range(plan.angle_starts[stu], plan.angle_starts[stu + 1]):
        angle = plan.angles[index]
        angular[angle], angular_slopes[angle] = angular_term(cosine, plan.angular[angle])
    return True, cosine


@njit(cache=True, nogil=True)
def triplet_slopes(ra, rb, cosine, fa, da, fb, db, ang, dang, x, dx):
    """Give alpha, beta, gamma of one function; d* are derivatives (radial ones divided by r)."""
    pair = fa * fb
    bend = pair * x * dang / (ra * rb)
    stretch = pair * ang * dx
    alpha = da * fb * x * ang - bend * cosine * rb / ra + stretch
    gamma = db * fa * x * ang - bend * cosine * ra / rb + stretch
    return alpha, bend - stretch, gamma


@njit(cache=True, nogil=True)
def _scratch(plan, starts):
    """Work arrays for the center with most neighbors."""
    most = 0
    for i in range(starts.size - 1):
        most = max(most, starts[i + 1] - starts[i])
    n_radial, n_angular = plan.radial.shape[0], plan.angular.shape[0]
    return (
        np.empty((most, n_radial)),
        np.empty((most, n_radial)),
        np.empty(n_angular),
        np.empty(n_angular),
        np.empty(n_radial),
        np.empty(n_radial),
    )


@njit(cache=True, nogil=True)
def values(plan, species, starts, kinds, vectors, distances, out_starts, out):
    """Fill the fingerprints of all centers; kinds (n_pairs,) are the neighbors' species."""
    radial, slopes, ang, dang, x, dx = _scratch(plan, starts)
    for i in range(species.size):
        s, lo, hi = species[i], starts[i], starts[i + 1]
        g = out[out_starts[i] : out_starts[i] + plan.lengths[s]]
        g[:] = 0.0
        neighbor_terms(plan, s, lo, hi, kinds, distances, radial, slopes)
        for j in range(lo, hi):
            st = s * plan.n_elements + kinds[j]
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                g[plan.pair_functions[e, 1]] += radial[j - lo, plan.pair_functions[e, 0]]
            for k in range(j + 1, hi):
                stu = st * plan.n_elements + kinds[k]
                if plan.triplet_starts[stu] == plan.triplet_starts[stu + 1]:
                    continue
                seen, _ = triplet_terms(
                    plan, stu, vectors[j], vectors[k], distances[j], distances[k], ang, dang, x, dx
                )
                if not seen:
                    continue
                for e in range(plan.triplet_starts[stu], plan.triplet_starts[stu + 1]):
                    r, a, jk, slot = plan.triplet_functions[e]
                    value = radial[j - lo, r] * radial[k - lo, r] * ang[a]
                    g[slot] += value * x[r] if jk else value


@njit(cache=True, nogil=True)
def contract(plan, species, starts, second, kinds, vectors, distances, slope_starts, slopes_g):
    """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) from dE/dG of every center."""
    gradient = np.zeros((species.size, 3))
    strain = np.zeros((3, 3))
    radial, slopes, ang, dang, x, dx = _scratch(plan, starts)
    pull = np.empty((radial.shape[0], 3))  # dE/d(vector to the neighbor)
    for i in range(species.size):
        s, lo, hi = species[i], starts[i], starts[i + 1]
        g = slopes_g[slope_starts[i] : slope_starts[i] + plan.lengths[s]]
        neighbor_terms(plan, s, lo, hi, kinds, distances, radial, slopes)
        pull[: hi - lo] = 0.0
        for j in range(lo, hi):
            st = s * plan.n_elements + kinds[j]
            weight = 0.0
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                weight += g[plan.pair_functions[e, 1]] * slopes[j - lo, plan.pair_functions[e, 0]]
            for d in range(3):
                pull[j - lo, d] += weight * vectors[j, d]
            for k in range(j + 1, hi):
                stu = st * plan.n_elements + kinds[k]
                if plan.triplet_starts[stu] == plan.triplet_starts[stu + 1]:
                    continue
                ra, rb = distances[j], distances[k]
                seen, cosine = triplet_terms(
                    plan, stu, vectors[j], vectors[k], ra, rb, ang, dang, x, dx
                )
                if not seen:
                    continue
                aa, ab, bb = 0.0, 0.0, 0.0
                for e in range(plan.triplet_starts[stu], plan.triplet_starts[stu + 1]):
                    r, a, jk, slot = plan.triplet_functions[e]
                    alpha, beta, gamma = triplet_slopes(
                        ra, rb, cosine,
                        radial[j - lo, r], slopes[j - lo, r], radial[k - lo, r], slopes[k - lo, r],
                        ang[a], dang[a], x[r] if jk else 1.0, dx[r] if jk else 0.0,
                    )  # fmt: skip
                    aa += g[slot] * alpha
                    ab += g[slot] * beta
                    bb += g[slot] * gamma
                for d in range(3):
                    pull[j - lo, d] += aa * vectors[j, d] + ab * vectors[k, d]
                    pull[k - lo, d] += ab * vectors[j, d] + bb * vectors[k, d]
        for j in range(lo, hi):
            for d in range(3):
                gradient[second[j], d] += pull[j - lo, d]
                gradient[i, d] -= pull[j - lo, d]
                for c in range(3):
                    strain[d, c] += pull[j - lo, d] * vectors[j, c]
    return gradient, strain


@njit(cache=True, nogil=True)
def pair_blocks(starts, second):
    """Give each distinct neighbor atom of a center a block.

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
def derivatives(
    plan, species, starts, kinds, vectors, distances,
    out_starts, out, block_of_pair, block_starts, blocks, strain,
):  # fmt: skip
    """Fill fingerprints, their derivative blocks and (unless strain is empty) strain derivatives.

    blocks is zeroed where this image's blocks lie; see amp.core.fingerprints for the layout.
    """
    radial, slopes, ang, dang, x, dx = _scratch(plan, starts)
    longest = 0
    for s in range(plan.n_elements):
        longest = max(longest, plan.lengths[s])
    work = np.empty((radial.shape[0], 3, longest))  # dG/d(vector to the neighbor)
    for i in range(species.size):
        s, lo, hi = species[i], starts[i], starts[i + 1]
        g = out[out_starts[i] : out_starts[i] + plan.lengths[s]]
        g[:] = 0.0
        work[: hi - lo] = 0.0
        neighbor_terms(plan, s, lo, hi, kinds, distances, radial, slopes)
        for j in range(lo, hi):
            st = s * plan.n_elements + kinds[j]
            for e in range(plan.pair_starts[st], plan.pair_starts[st + 1]):
                r, slot = plan.pair_functions[e]
                g[slot] += radial[j - lo, r]
                for d in range(3):
                    work[j - lo, d, slot] += slopes[j - lo, r] * vectors[j, d]
            for k in range(j + 1, hi):
                stu = st * plan.n_elements + kinds[k]
                if plan.triplet_starts[stu] == plan.triplet_starts[stu + 1]:
                    continue
                ra, rb = distances[j], distances[k]
                seen, cosine = triplet_terms(
                    plan, stu, vectors[j], vectors[k], ra, rb, ang, dang, x, dx
                )
                if not seen:
                    continue
                for e in range(plan.triplet_starts[stu], plan.triplet_starts[stu + 1]):
                    r, a, jk, slot = plan.triplet_functions[e]
                    cross = x[r] if jk else 1.0
                    fa, fb = radial[j - lo, r], radial[k - lo, r]
                    g[slot] += fa * fb * ang[a] * cross
                    alpha, beta, gamma = triplet_slopes(
                        ra, rb, cosine, fa, slopes[j - lo, r], fb, slopes[k - lo, r],
                        ang[a], dang[a], cross, dx[r] if jk else 0.0,
                    )  # fmt: skip
                    for d in range(3):
                        work[j - lo, d, slot] += alpha * vectors[j, d] + beta * vectors[k, d]
                        work[k - lo, d, slot] += beta * vectors[j, d] + gamma * vectors[k, d]
        _store(plan, s, lo, hi, kinds, work, block_of_pair, block_starts, blocks)
        if strain.size:
            _store_strain(plan.lengths[s], lo, hi, vectors, work, strain[6 * out_starts[i] :])


@njit(cache=True, nogil=True)
def _store(plan, s, lo, hi, kinds, work, block_of_pair, block_starts, blocks):
    """Add a center's derivatives to the blocks of the atoms that its neighbors are images of."""
    for j in range(lo, hi):
        block = block_of_pair[j]
        if block < 0:
            continue
        st = s * plan.n_elements + kinds[j]
        first, last = plan.slot_starts[st], plan.slot_starts[st + 1]
        width = last - first
        start = block_starts[block]
        for d in range(3):
            for c in range(width):
                blocks[start + d * width + c] += work[j - lo, d, plan.slots[first + c]]


@njit(cache=True, nogil=True)
def _store_strain(length, lo, hi, vectors, work, strain):
    """Fill dG/dstrain of a center, (6, length), Voigt order xx yy zz yz xz xy."""
    strain[: 6 * length] = 0.0
    for j in range(lo, hi):
        for voigt in range(6):
            d = voigt if voigt < 3 else (1 if voigt == 3 else 0)
            c = voigt if voigt < 3 else (1 if voigt == 5 else 2)
            for slot in range(length):
                strain[voigt * length + slot] += work[j - lo, d, slot] * vectors[j, c]
