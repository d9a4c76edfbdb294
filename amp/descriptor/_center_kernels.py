"""The surroundings of one center: its neighbors, triplets, and what functions have in common."""

from __future__ import annotations

from amp.descriptor._jit import inlined, summing
from amp.descriptor._register_kernels import add_scaled, pack
from amp.descriptor._row_kernels import (
    angular_terms,
    cutoff,
    exponential,
    is_single,
    lengths,
    weigh,
)
from amp.descriptor._work import (
    ALPHA,
    ANGLES,
    BATCH,
    BETA,
    COSINE,
    CUTS,
    DOTS,
    FC,
    FIRST,
    GAMMA,
    INVERSE,
    INVERSE_A,
    INVERSE_B,
    INVERSE_SIDE,
    LA,
    LB,
    LENGTH_A,
    LENGTH_B,
    LENGTHS,
    LX,
    R2,
    SECOND,
    SIDE,
    SQUARES,
    STRIDE,
    WEIGHT,
    WIDE,
    Q,
    R,
    X,
    Y,
    Z,
    padded,
)

__all__ = [
    "add_pulls",
    "add_shape_values",
    "clear_padding",
    "four_functions",
    "last_first",
    "list_triplets",
    "load_angles",
    "load_distances",
    "load_neighbors",
    "load_section",
    "load_shape",
]


@inlined
def load_neighbors(plan, work, s, lo, hi, species, second, vectors, distances):
    """Sort a center's neighbors by species and compute the cutoff functions that it needs."""
    rows = work.rows
    for t in range(plan.n_elements):
        work.ends[t] = 0
    for p in range(lo, hi):
        work.ends[species[second[p]]] += 1
    begin = 0
    for t in range(plan.n_elements):
        count, work.begins[t], work.ends[t] = work.ends[t], begin, begin
        begin += padded(count)
        for j in range(begin - padded(count) + count, begin):  # what pads is out of reach
            rows[X, j] = 0.0
            rows[Y, j] = 0.0
            rows[Z, j] = 0.0
            rows[R, j] = 1e10
            rows[INVERSE, j] = 1e-10
            rows[R2, j] = 1e20
    for p in range(lo, hi):
        t = species[second[p]]
        j = work.ends[t]
        work.ends[t] += 1
        work.order[j] = p - lo
        x, y, z, r = vectors[p, 0], vectors[p, 1], vectors[p, 2], distances[p]
        rows[X, j] = x
        rows[Y, j] = y
        rows[Z, j] = z
        rows[R, j] = r
        rows[INVERSE, j] = 1.0 / r
        rows[R2, j] = r * r
        work.vectors[j, 0] = x
        work.vectors[j, 1] = y
        work.vectors[j, 2] = z
        work.vectors[j, 3] = 0.0
    for t in range(plan.n_elements):
        st, a = s * plan.n_elements + t, work.begins[t]
        n = padded(work.ends[t] - a)
        for index in range(plan.cut_starts[st], plan.cut_starts[st + 1] if n else 0):
            c = plan.cuts[index]
            for b in range(a, a + n, BATCH):
                m = min(BATCH, a + n - b)
                load_distances(work, b, m)
                cutoff(plan.cutoffs, c, work.parts, m, True)
                for i in range(m):
                    rows[CUTS + 2 * c, b + i] = work.parts[FC + i]
                    rows[CUTS + 2 * c + 1, b + i] = work.parts[LX + i]


@inlined
def load_distances(work, a, n):
    """Copy the distances of n neighbors from a on to SIDE, and 1 over them."""
    for i in range(n):
        work.parts[SIDE + i] = work.rows[R, a + i]
    for i in range(n):
        work.parts[INVERSE_SIDE + i] = work.rows[INVERSE, a + i]


@inlined
def last_first(plan, work, group, t):
    """Give the end of the first neighbors of triplets of a group: 0 if it has no functions.

    A condition in the loops over groups instead would be dear: around a branch numba counts the
    references to every array that is passed on.
    """
    has_functions = plan.section_starts[group] < plan.section_starts[group + 1]
    return work.ends[t] * int(has_functions)


@inlined
def list_triplets(plan, work, group, t, u, j, k):
    """List triplets of neighbors of species t and u from (j, k) on; how many, and the next pair.

    Only those that can be nonzero are listed, each once; the last one repeated pads the batch.
    """
    reach2, across2 = plan.reach[group] ** 2, plan.reach_across[group] ** 2
    rows, index, parts = work.rows, work.members, work.parts
    n, end = 0, work.ends[u]
    while j < work.ends[t] and n < BATCH:
        first, last = j, 0
        x, y, z, r2 = rows[X, j], rows[Y, j], rows[Z, j], rows[R2, j]
        if r2 < reach2:
            first = max(k, j + 1) if t == u else k
            last = min(end, first + BATCH - n)
        for some in range(first // WIDE * WIDE, last, WIDE):
            n = pack(rows, x, y, z, r2, some, first, last, reach2, across2, index, j, parts, n)
        if 0 < last < end:
            k = last
            break
        j += 1
        k = work.begins[u]
    for i in range(n, padded(n) if n else 0):
        index[FIRST + i] = index[FIRST + n - 1]
        index[SECOND + i] = index[SECOND + n - 1]
        parts[DOTS + i] = parts[DOTS + n - 1]
        parts[SQUARES + i] = parts[SQUARES + n - 1]
    return n, j, k


@summing
def load_angles(plan, work, group, n, bends):
    """Compute cosines and angular terms of a batch, and the derivatives of these if asked."""
    rows, index, parts = work.rows, work.members, work.parts
    for t in range(n):
        parts[INVERSE_A + t] = rows[INVERSE, index[FIRST + t]]
    for t in range(n):
        parts[INVERSE_B + t] = rows[INVERSE, index[SECOND + t]]
    for t in range(n):
        parts[COSINE + t] = parts[DOTS + t] * (parts[INVERSE_A + t] * parts[INVERSE_B + t])
    first = plan.angle_starts[group]
    for a in range(plan.angle_starts[group + 1] - first):
        angular_terms(
            plan.angular, plan.angles[first + a], parts, work.table, n,
            ANGLES // STRIDE + a, work.bends + a, bends,
        )  # fmt: skip


@summing
def load_section(plan, work, section, n, slopes):
    """Compute what all shapes of a section share: product of cutoff functions, sum of squares.

    With slopes also the logarithmic derivatives of the cutoff functions.
    """
    has_across = plan.sections[section, 1] == 1
    has_offset = plan.sections[section, 2] == 1
    rows, index, parts = work.rows, work.members, work.parts
    real, two = parts.dtype.type, parts.dtype.type(2.0)
    fc = CUTS + 2 * plan.sections[section, 0]
    if has_across:
        lengths(parts, n)
        cutoff(plan.cutoffs, plan.sections[section, 0], parts, n, slopes)
        for t in range(n):
            parts[FC + t] *= real(rows[fc, index[FIRST + t]]) * real(rows[fc, index[SECOND + t]])
        for t in range(n):
            parts[Q + t] = two * (parts[SQUARES + t] + parts[DOTS + t])
    else:
        for t in range(n):
            parts[FC + t] = rows[fc, index[FIRST + t]] * rows[fc, index[SECOND + t]]
        for t in range(n):
            parts[Q + t] = parts[SQUARES + t] + two * parts[DOTS + t]
    if has_offset:
        for t in range(n):
            parts[LENGTHS + t] = rows[R, index[FIRST + t]] + rows[R, index[SECOND + t]]
        if has_across:
            for t in range(n):
                parts[LENGTHS + t] += parts[SIDE + t]
        if is_single(parts):  # see load_shape
            for t in range(n):
                parts[LENGTH_A + t] = rows[R, index[FIRST + t]]
            for t in range(n):
                parts[LENGTH_B + t] = rows[R, index[SECOND + t]]
    if slopes:
        for t in range(n):
            parts[LA + t] = rows[fc + 1, index[FIRST + t]]
        for t in range(n):
            parts[LB + t] = rows[fc + 1, index[SECOND + t]]


@inlined
def clear_padding(parts, n):
    """Give what pads a batch the weight 0, for all shapes of a section."""
    for t in range(n, padded(n)):
        parts[FC + t] = 0.0


@inlined
def load_shape(plan, work, section, shape, n):
    """Compute the weights of a shape."""
    eta, offset = plan.shapes[shape, 0], plan.shapes[shape, 1]
    parts, real = work.parts, work.parts.dtype.type
    sides = 3.0 if plan.sections[section, 1] else 2.0
    linear, constant = real(2.0 * eta * offset), real(-eta * sides * offset * offset)
    eta = real(eta)
    if offset == 0.0:
        for t in range(n):
            parts[WEIGHT + t] = parts[FC + t] * exponential(-eta * parts[Q + t])
    elif is_single(parts):  # terms that cancel would leave few digits
        offset = real(offset)
        for t in range(n):
            a, b = parts[LENGTH_A + t] - offset, parts[LENGTH_B + t] - offset
            parts[WEIGHT + t] = a * a + b * b
        if plan.sections[section, 1]:
            for t in range(n):
                x = parts[SIDE + t] - offset
                parts[WEIGHT + t] += x * x
        for t in range(n):
            parts[WEIGHT + t] = parts[FC + t] * exponential(-eta * parts[WEIGHT + t])
    else:
        for t in range(n):
            exponent = constant + linear * parts[LENGTHS + t] - eta * parts[Q + t]
            parts[WEIGHT + t] = parts[FC + t] * exponential(exponent)


@inlined
def four_functions(plan, f, last):
    """Give the places and slots of up to four functions from f on; slots beyond are -1."""
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


@inlined
def add_pulls(work, n, pulls, factors, slot):
    """Add a batch's share to the pull on each neighbor: a vector, and a factor of its own vector.

    pulls[slot], (width, 4), takes beta a and beta b, factors[slot], (width,), alpha and gamma.
    """
    parts, index, vectors, sums = work.parts, work.members, work.vectors, work.sums
    first = slot * vectors.shape[0]
    t = 0
    while t < n:
        j, alpha = index[FIRST + t], 0.0
        for i in range(4):
            for d in range(4):
                sums[i, d] = 0.0
        while t < n and index[FIRST + t] == j:
            k, beta = index[SECOND + t], parts[BETA + t]
            # In turn to four places, as a sum has to wait for the one before.
            add_scaled(sums, t & 3, beta, vectors, k)
            add_scaled(pulls, first + k, beta, vectors, j)
            alpha += parts[ALPHA + t]
            factors[slot, k] += parts[GAMMA + t]
            t += 1
        for i in range(4):
            add_scaled(pulls, first + j, 1.0, sums, i)
        factors[slot, j] += alpha


@inlined
def add_shape_values(plan, work, shape, n, g, start):
    """Add a shape's share of a batch to the fingerprint that begins at g[start]."""
    last = plan.function_starts[shape + 1]
    for f in range(plan.function_starts[shape], last, 4):
        four, slots = four_functions(plan, f, last)
        sums = weigh(work.table, ANGLES // STRIDE, four, work.parts, WEIGHT, n)
        for i in range(4):
            if slots[i] >= 0:
                g[start + slots[i]] += sums[i]
