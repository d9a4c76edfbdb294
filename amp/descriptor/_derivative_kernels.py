"""Derivatives of fingerprints: stored for training, or along a motion of the atoms."""

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
from amp.descriptor._pair_kernels import add_pair_tangents, add_pair_values, differentiate_pairs
from amp.descriptor._register_kernels import add_scaled
from amp.descriptor._row_kernels import weigh
from amp.descriptor._work import (
    ALPHA,
    ANGLES,
    BETA,
    COSINE,
    DH,
    FIRST,
    GAMMA,
    INVERSE_A,
    INVERSE_B,
    INVERSE_SIDE,
    LA,
    LB,
    LX,
    RATE_A,
    RATE_B,
    RATE_SIDE,
    RV,
    SECOND,
    STRIDE,
    T0,
    T1,
    T2,
    TURN,
    VX,
    VY,
    VZ,
    WEIGHT,
    H,
    X,
    Y,
    Z,
    make_work,
    padded,
)

__all__ = ["derivatives", "pair_blocks", "tangents"]


@entry
def derivatives(
    plan, species, starts, second, vectors, distances,
    out_starts, out, block_of_pair, block_starts, blocks, strain,
):  # fmt: skip
    """Fill fingerprints, their derivative blocks and (unless strain is empty) strain derivatives.

    blocks is zeroed where this image's blocks lie; see amp.core.fingerprints for the layout.
    """
    work = make_work(plan, starts, out)
    width = work.order.size
    pulls, factors = (
        np.empty((plan.lengths.max() * width, 4)),
        np.empty((plan.lengths.max(), width)),
    )
    for i in range(species.size):
        s, lo, g = species[i], starts[i], out_starts[i]
        length = plan.lengths[s]
        for slot in range(length):
            out[g + slot] = 0.0
        strain[6 * g : 6 * (g + length)] = 0.0
        group0 = first_group(plan, work, s, lo, starts[i + 1], species, second)
        load_neighbors(plan, work, s, lo, starts[i + 1], species, second, vectors, distances)
        add_pair_values(plan, work, s, out, g)
        pulls[: length * width] = 0.0
        factors[:length] = 0.0
        differentiate_pairs(plan, work, s, factors)
        for t in range(plan.n_elements):
            for u in range(t, plan.n_elements):
                group = group0 + (s * plan.n_elements + t) * plan.n_elements + u
                j, k, end = work.begins[t], work.begins[u], last_first(plan, work, group, t)
                while j < end:
                    n, j, k = list_triplets(plan, work, group, t, u, j, k)
                    differentiate_batch(plan, work, group, n, out, g, pulls, factors)
        resolve_pulls(work, length, pulls, factors)
        store(plan, s, work, pulls, block_of_pair, lo, block_starts, blocks)
        if strain.size:
            store_strain(plan, length, work, pulls, strain, 6 * g)


@inlined
def differentiate_batch(plan, work, group, n, g, start, pulls, factors):
    """Add a batch's share to the fingerprint and to the pulls of every function."""
    wide, parts = padded(n), work.parts
    load_angles(plan, work, group, wide, True)
    for section in range(plan.section_starts[group], plan.section_starts[group + 1]):
        load_section(plan, work, section, wide, True)
        clear_padding(parts, n)
        for shape in range(plan.shape_starts[section], plan.shape_starts[section + 1]):
            load_shape(plan, work, section, shape, wide)
            add_shape_values(plan, work, shape, wide, g, start)
            load_pulls(plan, work, section, shape, wide)
            for f in range(plan.function_starts[shape], plan.function_starts[shape + 1]):
                angle, slot = plan.functions[f, 0], plan.functions[f, 1]
                function_slopes(
                    parts, work.table, ANGLES // STRIDE + angle, work.bends + angle, wide
                )
                add_pulls(work, n, pulls, factors, slot)


@summing
def load_pulls(plan, work, section, shape, n):
    """Compute P of a shape for a, b and x, with that for x added to the others (T0, T1; T2)."""
    parts = work.parts
    eta, offset = 2.0 * plan.shapes[shape, 0], 2.0 * plan.shapes[shape, 0] * plan.shapes[shape, 1]
    if plan.sections[section, 1]:
        for t in range(n):
            parts[T2 + t] = parts[LX + t] - eta + offset * parts[INVERSE_SIDE + t]
    else:
        for t in range(n):
            parts[T2 + t] = 0.0
    for t in range(n):
        parts[T0 + t] = parts[LA + t] - eta + offset * parts[INVERSE_A + t] + parts[T2 + t]
    for t in range(n):
        parts[T1 + t] = parts[LB + t] - eta + offset * parts[INVERSE_B + t] + parts[T2 + t]


@summing
def function_slopes(parts, table, angle, bend, n):
    """Compute alpha, beta and gamma of one function."""
    for t in range(n):
        parts[H + t] = parts[WEIGHT + t] * table[angle, t]
    for t in range(n):
        parts[DH + t] = parts[WEIGHT + t] * table[bend, t]
    for t in range(n):
        ia, ib = parts[INVERSE_A + t], parts[INVERSE_B + t]
        bending = parts[DH + t] * parts[COSINE + t]
        parts[ALPHA + t] = parts[H + t] * parts[T0 + t] - bending * ia * ia
        parts[GAMMA + t] = parts[H + t] * parts[T1 + t] - bending * ib * ib
        parts[BETA + t] = parts[DH + t] * ia * ib - parts[H + t] * parts[T2 + t]


@inlined
def resolve_pulls(work, length, pulls, factors):
    """Turn pulls and factors into dG/d(vector to each neighbor), in the first three columns."""
    width = work.order.size
    for slot in range(length):
        for j in range(work.ends[-1]):
            add_scaled(pulls, slot * width + j, factors[slot, j], work.vectors, j)


@inlined
def store(plan, s, work, pulls, block_of_pair, lo, block_starts, blocks):
    """Add a center's derivatives to the blocks of the atoms that its neighbors are images of."""
    for t in range(plan.n_elements):
        st = s * plan.n_elements + t
        first, width = plan.slot_starts[st], plan.slot_starts[st + 1] - plan.slot_starts[st]
        for j in range(work.begins[t], work.ends[t]):
            block = block_of_pair[lo + work.order[j]]
            if block < 0:
                continue
            start = block_starts[block]
            for d in range(3):
                for c in range(width):
                    row = plan.slots[first + c] * work.order.size + j
                    blocks[start + d * width + c] += pulls[row, d]


@inlined
def store_strain(plan, length, work, pulls, strain, start):
    """Add to dG/dstrain of a center, (6, length), Voigt order xx yy zz yz xz xy."""
    for voigt in range(6):
        d = voigt if voigt < 3 else (1 if voigt == 3 else 0)
        c = voigt if voigt < 3 else (1 if voigt == 5 else 2)
        for slot in range(length):
            total = 0.0
            for t in range(plan.n_elements):
                for j in range(work.begins[t], work.ends[t]):
                    total += pulls[slot * work.order.size + j, d] * work.rows[c, j]
            strain[start + voigt * length + slot] += total


@entry
def tangents(
    plan, species, starts, second, vectors, distances, velocities, strain_rate,
    out_starts, out,
):  # fmt: skip
    """Fill dG/dt of all centers when atoms move at velocities (n, 3) and space at strain_rate.

    The derivatives times a vector, without the derivatives; strain_rate (3, 3) times a vector is
    the velocity that it adds.
    """
    work = make_work(plan, starts, out)
    for i in range(species.size):
        s, g = species[i], out_starts[i]
        for slot in range(plan.lengths[s]):
            out[g + slot] = 0.0
        group0 = first_group(plan, work, s, starts[i], starts[i + 1], species, second)
        load_neighbors(plan, work, s, starts[i], starts[i + 1], species, second, vectors, distances)
        load_velocities(plan, work, i, starts[i], second, velocities, strain_rate)
        add_pair_tangents(plan, work, s, out, g)
        for t in range(plan.n_elements):
            for u in range(t, plan.n_elements):
                group = group0 + (s * plan.n_elements + t) * plan.n_elements + u
                j, k, end = work.begins[t], work.begins[u], last_first(plan, work, group, t)
                while j < end:
                    n, j, k = list_triplets(plan, work, group, t, u, j, k)
                    add_tangents(plan, work, group, n, out, g)


@inlined
def add_tangents(plan, work, group, n, g, start):
    """Add a batch's share to the rate of the fingerprint that begins at g[start]."""
    wide, parts = padded(n), work.parts
    load_angles(plan, work, group, wide, True)
    load_rates(work, wide)
    for section in range(plan.section_starts[group], plan.section_starts[group + 1]):
        load_section(plan, work, section, wide, True)
        clear_padding(parts, n)
        load_section_rates(parts, wide, plan.sections[section, 1] == 1)
        for shape in range(plan.shape_starts[section], plan.shape_starts[section + 1]):
            load_shape(plan, work, section, shape, wide)
            load_shape_rates(plan, parts, shape, wide)
            last = plan.function_starts[shape + 1]
            for f in range(plan.function_starts[shape], last, 4):
                four, slots = four_functions(plan, f, last)
                sums = weigh(work.table, ANGLES // STRIDE, four, parts, H, wide)
                turns = weigh(work.table, work.bends, four, parts, DH, wide)
                for i in range(4):
                    if slots[i] >= 0:
                        g[start + slots[i]] += sums[i] + turns[i]


@inlined
def load_velocities(plan, work, i, lo, second, velocities, strain_rate):
    """Compute how fast the vectors to a center's neighbors change, and that times the vector."""
    rows = work.rows
    for t in range(plan.n_elements):
        for j in range(work.begins[t], work.ends[t]):
            atom = second[lo + work.order[j]]
            x, y, z = rows[X, j], rows[Y, j], rows[Z, j]
            for d in range(3):
                rows[VX + d, j] = (
                    velocities[atom, d] - velocities[i, d]
                    + strain_rate[d, 0] * x + strain_rate[d, 1] * y + strain_rate[d, 2] * z
                )  # fmt: skip
            rows[RV, j] = x * rows[VX, j] + y * rows[VY, j] + z * rows[VZ, j]
        for j in range(work.ends[t], work.begins[t] + padded(work.ends[t] - work.begins[t])):
            for row in range(VX, RV + 1):
                rows[row, j] = 0.0


@summing
def load_rates(work, n):
    """Fetch a . da/dt and b . db/dt of a batch; find the rates of cosines and x . dx/dt."""
    rows, parts, index = work.rows, work.parts, work.members
    for t in range(n):
        j, k = index[FIRST + t], index[SECOND + t]
        parts[RATE_A + t] = rows[RV, j]
        parts[RATE_B + t] = rows[RV, k]
        parts[H + t] = (
            rows[X, j] * rows[VX, k] + rows[Y, j] * rows[VY, k] + rows[Z, j] * rows[VZ, k]
            + rows[VX, j] * rows[X, k] + rows[VY, j] * rows[Y, k] + rows[VZ, j] * rows[Z, k]
        )  # fmt: skip
    for t in range(n):
        parts[RATE_SIDE + t] = parts[RATE_A + t] + parts[RATE_B + t] - parts[H + t]
    for t in range(n):
        ia, ib = parts[INVERSE_A + t], parts[INVERSE_B + t]
        turn = parts[RATE_A + t] * ia * ia + parts[RATE_B + t] * ib * ib
        parts[TURN + t] = parts[H + t] * ia * ib - parts[COSINE + t] * turn


@summing
def load_section_rates(parts, n, has_across):
    """Compute what the rate of a weight, divided by it, is made of: T0 - 2 eta T1 + 2 eta o T2."""
    for t in range(n):
        a, b = parts[RATE_A + t], parts[RATE_B + t]
        parts[T0 + t] = parts[LA + t] * a + parts[LB + t] * b
        parts[T1 + t] = a + b
        parts[T2 + t] = parts[INVERSE_A + t] * a + parts[INVERSE_B + t] * b
    if has_across:
        for t in range(n):
            side = parts[RATE_SIDE + t]
            parts[T0 + t] += parts[LX + t] * side
            parts[T1 + t] += side
            parts[T2 + t] += parts[INVERSE_SIDE + t] * side


@summing
def load_shape_rates(plan, parts, shape, n):
    """Compute the rate of a shape's weights, and these times the rate of the cosine."""
    eta, offset = 2.0 * plan.shapes[shape, 0], 2.0 * plan.shapes[shape, 0] * plan.shapes[shape, 1]
    for t in range(n):
        rate = parts[T0 + t] - eta * parts[T1 + t] + offset * parts[T2 + t]
        parts[H + t] = parts[WEIGHT + t] * rate
        parts[DH + t] = parts[WEIGHT + t] * parts[TURN + t]


@entry
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
