"""Angular functions of two neighbors (G5) in a time linear in the number of neighbors.

A whole power of 1 + gamma cos is a sum over Legendre polynomials P_l up to l = zeta, and the
addition theorem parts each of them into factors of one neighbor,

    2^(1 - zeta) (1 + gamma cos_jk)^zeta = sum_l c_l P_l(cos_jk),
    P_l(cos_jk) = sum_m w_lm Y_lm(u_j) Y_lm(u_k),

with real solid harmonics Y of the unit vectors u.  A function of neighbors of species t and u is
then a sum over moments M_lm = sum_j F(r_j) Y_lm(u_j) of each species,

    sum_jk F_j F_k sum_l c_l P_l = sum_l c_l S_l,    S_l = sum_m w_lm M_lm^t M_lm^u,

and for t = u half of that without j = k, where P_l = 1.  The other factor of a neighbor's F Y is a
field sum_lm c_l w_lm M_lm Y_lm at the neighbor, whose gradient has harmonics of the degree below.
F, the radial term, is a G2 function of one neighbor.

Conditions stand in the bounds of loops wherever that can be: around calls, each would make numba
count references to all tables.

The kernels add to what those of the same names' first words, in `_kernels.py` and
`_derivative_kernels.py`, have filled with all other functions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from amp.core.typing import FloatArray, IntArray
from amp.descriptor._center_kernels import load_distances, load_neighbors
from amp.descriptor._choice_kernels import first_group
from amp.descriptor._derivative_kernels import load_velocities, resolve_pulls, store, store_strain
from amp.descriptor._harmonic_kernels import fields_at, load_harmonics, sum_harmonics
from amp.descriptor._jit import called, entry, inlined, summing
from amp.descriptor._kernels import spread
from amp.descriptor._pair_kernels import load_cutoff, pair_slopes
from amp.descriptor._plan import HIGHEST
from amp.descriptor._row_kernels import exponential
from amp.descriptor._work import (
    BATCH,
    FC,
    INVERSE,
    RV,
    SIDE,
    VX,
    WEIGHT,
    WIDE,
    X,
    Y,
    Z,
    aligned,
    make_work,
    padded,
)

__all__ = ["add_contraction", "add_derivatives", "add_tangents", "add_values"]

# Rows of Moments.near: F and F' / r; what is summed with harmonics in tangents, first a rate of F;
# and the field at a neighbor with its gradient.
F, SLOPE, RATE, FIELD = 0, 1, 2, 6


class Moments(NamedTuple):
    """Arrays for one center and radial term at a time; the four are a field and its gradient."""

    width: int  # number of harmonics
    harmonics: FloatArray  # (n_neighbors width,)
    near: FloatArray  # (10, n_neighbors)     see above
    moments: FloatArray  # (n_elements, width)
    sums: FloatArray  # (4 n_elements, width) field of the neighbors of a species, c_l left out
    rates: FloatArray  # (4 n_elements, width) what their motion changes of the moments
    fields: FloatArray  # (4, width)          field at neighbors of some species
    squares: FloatArray  # (n_elements,)      sum of F^2
    square_rates: FloatArray  # (n_elements,)
    reached: IntArray  # (n_elements,)        neighbors with F not 0
    levels: FloatArray  # (.,)                S_l, or sums of c_l; and a 0
    factors: FloatArray  # (2, width)         c_l of harmonic (l, m), and c_(l + 1)


@called
def make_moments(plan, n):
    """Allocate for so many neighbors."""
    elements, width = plan.n_elements, (plan.degrees.max() + 1) ** 2
    return Moments(
        width, aligned(n * width, plan.cutoffs), aligned(10 * n, plan.cutoffs).reshape(10, n),
        np.zeros((elements, width)),
        np.zeros((4 * elements, width)), np.zeros((4 * elements, width)), np.zeros((4, width)),
        np.zeros(elements), np.zeros(elements), np.zeros(elements, np.int64),
        np.zeros(HIGHEST + 2), np.empty((2, width)),
    )  # fmt: skip


# -- what all functions of a radial term share ---------------------------------------------------


@inlined
def what_to_do(plan, work, s, lo, hi, species, second):
    """Give the end of a center's neighbors and a range of radial terms; nothing, if triplets do."""
    pays = int(first_group(plan, work, s, lo, hi, species, second) > 0)
    n = plan.n_elements
    begin, end = plan.pair_starts[n * n + s], plan.pair_starts[n * n + s + 1]
    return lo + (hi - lo) * pays, begin, begin + (end - begin) * pays


@inlined
def load_term(plan, work, m, s, term, with_slopes):
    """Compute F, its slopes if asked, and the moments of all species of neighbors."""
    n = plan.n_elements
    row = term - plan.pair_starts[n * n]
    for t in range(n):
        m.reached[t] = 0
        if plan.terms_seen[row, t]:
            load_radial(plan, work, m, t, term, with_slopes)
            load_moments(plan, work, m, s, t, with_slopes)


@inlined
def load_radial(plan, work, m, t, term, with_slopes):
    """Compute F and its slopes of neighbors of species t."""
    parts, near = work.parts, m.near
    eta, offset = plan.pair_gaussians[term, 0], plan.pair_gaussians[term, 1]
    end = padded(work.ends[t])
    for a in range(work.begins[t], end, BATCH):
        n = min(BATCH, end - a)
        load_distances(work, a, n)
        load_cutoff(plan, work, term, a, n, -1)
        for i in range(n):
            shifted = parts[SIDE + i] - offset
            near[F, a + i] = parts[FC + i] * exponential(-eta * shifted * shifted)
        if with_slopes:
            pair_slopes(plan, parts, term, n)
            for i in range(n):
                near[SLOPE, a + i] = parts[WEIGHT + i]


@summing
def load_moments(plan, work, m, s, t, with_slopes):
    """Sum the moments of neighbors of species t, and derive their field if asked."""
    lo, end, near, degree = work.begins[t], padded(work.ends[t]), m.near, plan.degrees[s]
    squares, reached = 0.0, 0
    for j in range(lo, end):
        squares += near[F, j] * near[F, j]
        reached += near[F, j] != 0.0
    m.squares[t], m.reached[t] = squares, reached
    moments, sums, harmonics, weights = m.moments, m.sums, m.harmonics, plan.harmonic_weights
    for i in range((degree + 1) ** 2):
        moments[t, i] = sum_harmonics(harmonics, m.width, i, near, F, lo, end)
    for i in range((degree + 1) ** 2):
        sums[4 * t, i] = weights[i] * moments[t, i]
    if with_slopes:
        derive_field(sums, 4 * t, degree)


@inlined
def derive_field(rows, first, degree):
    """Derive a field: harmonic (l, m) of its derivatives comes from those of degree l + 1.

    With complex Y, for m > 0, d/dz of Y_lm is Y_(l-1)m, (d/dx - i d/dy) is Y_(l-1)(m-1) and
    (d/dx + i d/dy) is -Y_(l-1)(m+1).
    """
    x, y, z = first + 1, first + 2, first + 3
    for level in range(degree):
        at, above = level * level + level, (level + 1) ** 2 + level + 1
        for m in range(-level, level + 1):
            rows[z, at + m] = rows[first, above + m]
        # Order 0 comes from orders 1 above, cosine and sine.
        rows[x, at] = 0.5 * rows[first, above + 1]
        rows[y, at] = 0.5 * rows[first, above - 1]
        for m in range(1, level + 1):
            cosine, sine = 0.5 * rows[first, above + m + 1], 0.5 * rows[first, above - m - 1]
            low_cosine = rows[first, above + m - 1] * (1.0 if m == 1 else 0.5)
            low_sine = rows[first, above - m + 1] * (0.0 if m == 1 else 0.5)
            rows[x, at + m] = cosine - low_cosine
            rows[x, at - m] = sine - low_sine
            rows[y, at + m] = sine + low_sine
            rows[y, at - m] = -cosine - low_cosine
    for d in range(first + 1, first + 4):
        for i in range(degree * degree, (degree + 1) ** 2):
            rows[d, i] = 0.0


@inlined
def functions_of(plan, m, term, t, u):
    """Give the range of functions of neighbors of species t and u, empty if all of them are 0.

    Rounding would leave something of what is 0 since there are no two neighbors.
    """
    n = plan.n_elements
    index = ((term - plan.pair_starts[n * n]) * n + t) * n + u
    first, last = plan.moment_starts[index], plan.moment_starts[index + 1]
    has_two = int(m.reached[t] > int(t == u)) * int(m.reached[u] > 0)
    return first, first + (last - first) * has_two


# -- values --------------------------------------------------------------------------------------


@entry
def add_values(first, last, plan, species, starts, second, vectors, distances, out_starts, out):
    """Add to the fingerprints of centers first:last."""
    work = make_work(plan, starts, distances)
    m = make_moments(plan, work.order.size)
    for i in range(first, last):
        s, lo = species[i], starts[i]
        hi, begin, end = what_to_do(plan, work, s, lo, starts[i + 1], species, second)
        load_neighbors(plan, work, s, lo, hi, species, second, vectors, distances)
        load_harmonics(plan, work, m.harmonics, m.width, work.ends[-1])
        for term in range(begin, end):
            load_term(plan, work, m, s, term, False)
            add_term_values(plan, m, s, term, out, out_starts[i])


@inlined
def add_term_values(plan, m, s, term, g, start):
    """Add the functions of a radial term to the fingerprint that begins at g[start]."""
    for t in range(plan.n_elements):
        for u in range(t, plan.n_elements):
            first, last = functions_of(plan, m, term, t, u)
            level_values(plan, m, (plan.degrees[s] + 1) * int(first < last), t, u)
            add_functions(plan, m, first, last, g, start)


@summing
def level_values(plan, m, n_levels, t, u):
    """Compute S_l: functions in which a Legendre polynomial is all of the angular term."""
    moments, sums, levels = m.moments, m.sums, m.levels
    own, half = m.squares[t] * int(t == u), 1.0 - 0.5 * int(t == u)
    for level in range(n_levels):
        total = 0.0
        for i in range(level * level, (level + 1) * (level + 1)):
            total += moments[t, i] * sums[4 * u, i]
        levels[level] = half * (total - own)


@inlined
def add_functions(plan, m, first, last, g, start):
    """Add functions, given those of Legendre polynomials, to what begins at g[start]."""
    functions, table, levels = plan.moment_functions, plan.levels, m.levels
    for f in range(first, last):
        angle, total = functions[f, 0], 0.0
        for level in range(HIGHEST + 1):
            total += table[angle, level] * levels[level]
        g[start + functions[f, 1]] += total


# -- derivatives ---------------------------------------------------------------------------------


@entry
def add_contraction(
    first, last, plan, species, starts, second, vectors, distances,
    slope_starts, slopes_g, gradient, strain,
):  # fmt: skip
    """Add the share of centers first:last to dE/dr (n_atoms, 3) and dE/dstrain (3, 3)."""
    work = make_work(plan, starts, distances)
    m = make_moments(plan, work.order.size)
    n = plan.n_elements
    pulls = aligned(4 * work.order.size, distances).reshape(work.order.size, 4)
    factors = aligned(work.order.size, distances).reshape(1, work.order.size)
    for i in range(first, last):
        s, lo = species[i], starts[i]
        hi, begin, end = what_to_do(plan, work, s, lo, starts[i + 1], species, second)
        load_neighbors(plan, work, s, lo, hi, species, second, vectors, distances)
        load_harmonics(plan, work, m.harmonics, m.width, work.ends[-1])
        pulls[:] = 0.0
        factors[:] = 0.0
        for term in range(begin, end):
            load_term(plan, work, m, s, term, True)
            for t in range(n):
                contract_term(plan, work, m, s, term, t, slopes_g, slope_starts[i], pulls, factors)
        spread(plan, work, i, lo, second, pulls, factors, gradient, strain)


@inlined
def contract_term(plan, work, m, s, term, t, g, start, pulls, factors):
    """Add what functions of a radial term do to neighbors of species t, dE/dG being g[start:]."""
    size, n_felt, own = (plan.degrees[s] + 1) ** 2, 0, 0.0
    clear_field(m, size)
    for u in range(plan.n_elements):
        swap = int(u < t) * (u - t)
        first, last = functions_of(plan, m, term, t + swap, u - swap)
        n_felt += last - first
        own += load_levels(plan, m, first, last, g, start) * int(t == u)
        add_field(plan, m, u, size * int(first < last))
    add_field_pulls(work, m, t, size * int(n_felt > 0), own, pulls, factors, 0)


@summing
def load_levels(plan, m, first, last, g, start):
    """Sum c_l of functions times dE/dG, and give the sum over l: all of P_l are 1 for cos = 1."""
    functions, table, levels = plan.moment_functions, plan.levels, m.levels
    everything = 0.0
    for level in range(HIGHEST + 1):
        total = 0.0
        for f in range(first, last):
            total += g[start + functions[f, 1]] * table[functions[f, 0], level]
        levels[level] = total
        everything += total
    return everything


@inlined
def clear_field(m, size):
    """Set the field to 0."""
    fields = m.fields
    for d in range(4):
        for i in range(size):
            fields[d, i] = 0.0


@inlined
def add_field(plan, m, u, size):
    """Add the field of neighbors of species u, c_l being in m.levels; so many harmonics count."""
    levels, degrees, factors, fields, sums = (
        m.levels, plan.harmonic_levels, m.factors, m.fields, m.sums
    )  # fmt: skip
    for d in range(2):  # derivatives come from the degree above, with its factors
        for i in range(size):
            factors[d, i] = levels[degrees[i] + d]
    for d in range(4):
        above, source = min(d, 1), 4 * u + d
        for i in range(size):
            fields[d, i] += factors[above, i] * sums[source, i]


@summing
def add_field_pulls(work, m, t, size, own, pulls, factors, slot):
    """Add what the field does to neighbors of species t to pulls and factors (see add_pulls).

    Only what turns the unit vector counts of the gradient; `own` times F is the neighbor's own.
    """
    near, rows, first = m.near, work.rows, slot * factors.shape[1]
    lo = work.begins[t]
    last = lo + (work.ends[t] - lo) * int(size > 0)
    harmonics, fields = m.harmonics, m.fields
    for j in range(lo, last, WIDE):
        fields_at(harmonics, m.width, fields, size, j, near, FIELD)
    for j in range(lo, padded(last)):
        inverse = rows[INVERSE, j]
        turn = near[F, j] * inverse
        along = (
            near[FIELD + 1, j] * rows[X, j]
            + near[FIELD + 2, j] * rows[Y, j]
            + near[FIELD + 3, j] * rows[Z, j]
        )
        factors[slot, j] += (
            near[SLOPE, j] * (near[FIELD, j] - own * near[F, j]) - turn * along * inverse * inverse
        )
        near[FIELD, j] = turn
    for j in range(lo, last):
        for d in range(3):
            pulls[first + j, d] += near[FIELD, j] * near[FIELD + 1 + d, j]


@entry
def add_derivatives(
    plan, species, starts, second, vectors, distances,
    out_starts, out, block_of_pair, block_starts, blocks, strain,
):  # fmt: skip
    """Add to fingerprints, their derivative blocks and (unless it is empty) strain derivatives."""
    work = make_work(plan, starts, distances)
    m = make_moments(plan, work.order.size)
    n, width = plan.n_elements, work.order.size
    pulls, factors = (
        np.empty((plan.lengths.max() * width, 4)),
        np.empty((plan.lengths.max(), width)),
    )
    for i in range(species.size):
        s, lo, g = species[i], starts[i], out_starts[i]
        hi, begin, end = what_to_do(plan, work, s, lo, starts[i + 1], species, second)
        length = plan.lengths[s] * int(begin < end)
        load_neighbors(plan, work, s, lo, hi, species, second, vectors, distances)
        load_harmonics(plan, work, m.harmonics, m.width, work.ends[-1])
        pulls[: length * width] = 0.0
        factors[:length] = 0.0
        for term in range(begin, end):
            load_term(plan, work, m, s, term, True)
            add_term_values(plan, m, s, term, out, g)
            for t in range(n):
                for u in range(t, n):
                    first, last = functions_of(plan, m, term, t, u)
                    for f in range(first, last):
                        differentiate_function(plan, work, m, f, t, u, pulls, factors)
        resolve_pulls(work, length, pulls, factors)
        store(plan, s, work, pulls, block_of_pair, lo, block_starts, blocks)
        if strain.size:
            store_strain(plan, length, work, pulls, strain, 6 * g)


@inlined
def differentiate_function(plan, work, m, f, t, u, pulls, factors):
    """Add what a function does to neighbors of species t and u to its pulls and factors."""
    angle, slot = plan.moment_functions[f, 0], plan.moment_functions[f, 1]
    table, levels, own = plan.levels, m.levels, 0.0
    size = (int(plan.angular[angle, 1]) + 1) ** 2
    for level in range(HIGHEST + 1):
        levels[level] = table[angle, level]
        own += table[angle, level] * int(t == u)
    for side in range(1 + int(t != u)):
        clear_field(m, size)
        add_field(plan, m, u + side * (t - u), size)
        add_field_pulls(work, m, t + side * (u - t), size, own, pulls, factors, slot)


# -- tangents ------------------------------------------------------------------------------------


@entry
def add_tangents(
    plan, species, starts, second, vectors, distances, velocities, strain_rate,
    out_starts, out,
):  # fmt: skip
    """Add to dG/dt of all centers when atoms move at velocities and space at strain_rate."""
    work = make_work(plan, starts, distances)
    m = make_moments(plan, work.order.size)
    n = plan.n_elements
    for i in range(species.size):
        s, lo = species[i], starts[i]
        hi, begin, end = what_to_do(plan, work, s, lo, starts[i + 1], species, second)
        load_neighbors(plan, work, s, lo, hi, species, second, vectors, distances)
        load_velocities(plan, work, i, lo, second, velocities, strain_rate)
        load_harmonics(plan, work, m.harmonics, m.width, work.ends[-1])
        for term in range(begin, end):
            load_term(plan, work, m, s, term, True)
            for t in range(n):
                if plan.terms_seen[term - plan.pair_starts[n * n], t]:
                    load_rates(plan, work, m, s, t)
            for t in range(n):
                for u in range(t, n):
                    first, last = functions_of(plan, m, term, t, u)
                    level_rates(plan, m, (plan.degrees[s] + 1) * int(first < last), t, u)
                    add_functions(plan, m, first, last, out, out_starts[i])


@summing
def load_rates(plan, work, m, s, t):
    """Sum what the motion of neighbors of species t does to the moments.

    The rate of F Y is (dF/dt) Y plus F times the rate of the unit vector times the gradient of Y,
    which is in the derivatives of the other species' field.
    """
    lo, end, near, rows, degree = (
        work.begins[t], padded(work.ends[t]), m.near, work.rows, plan.degrees[s]
    )  # fmt: skip
    total = 0.0
    for j in range(lo, end):
        near[RATE, j] = near[SLOPE, j] * rows[RV, j]
        total += near[F, j] * near[RATE, j]
    m.square_rates[t] = total
    for d in range(3):
        for j in range(lo, end):
            inverse = rows[INVERSE, j]
            straight = rows[X + d, j] * rows[RV, j] * inverse * inverse
            near[RATE + 1 + d, j] = near[F, j] * (rows[VX + d, j] - straight) * inverse
    rates, harmonics = m.rates, m.harmonics
    for d in range(4):
        for i in range((degree + 1) ** 2 if d == 0 else degree * degree):
            rates[4 * t + d, i] = sum_harmonics(harmonics, m.width, i, near, RATE + d, lo, end)


@summing
def level_rates(plan, m, n_levels, t, u):
    """Compute dS_l/dt."""
    rates, sums, levels, is_same = m.rates, m.sums, m.levels, int(t == u)
    own = m.square_rates[t] * is_same
    for level in range(n_levels):
        levels[level] = -own
    for side in range(2 - is_same):
        a, b = 4 * (t + side * (u - t)), 4 * (u + side * (t - u))
        for d in range(4):
            above = min(d, 1)
            for level in range(n_levels - above):
                total = 0.0
                for i in range(level * level, (level + 1) * (level + 1)):
                    total += rates[a + d, i] * sums[b + d, i]
                levels[level + above] += total
