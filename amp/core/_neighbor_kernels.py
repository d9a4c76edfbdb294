"""Numba kernels of the neighbor list; `amp.core.neighbors` checks the arrays and calls them.

Lattice vectors and positions enter as rows. The atoms are wrapped into a reduced cell and every
periodic image within reach becomes an explicit point, so that the search itself is the search in
a cloud of points and knows nothing of cells. Kernels release the interpreter lock.
"""

import math

import numpy as np
import numpy.typing as npt

from amp.core.compiling import kept
from amp.core.typing import FloatArray, IntArray

__all__ = [
    "bin_points",
    "candidate_pairs",
    "count_pairs",
    "fill_pairs",
    "gather_points",
    "has_moved",
    "periodic_points",
]

Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@kept(nogil=True)
def periodic_points(
    positions: FloatArray,
    frame: FloatArray,
    reciprocal: FloatArray,
    heights: FloatArray,
    pbc: BoolArray,
    reach: float,
) -> tuple[FloatArray, Int32Array, Int32Array]:
    """Wrap the atoms and add every periodic image within `reach` of the region they fill.

    Returns points (3, n_points), atoms (n_points,), shifts (n_points, 3) with point =
    positions[atom] + shift @ frame. The first n_atoms points are the wrapped atoms in order.
    """
    n_atoms = positions.shape[0]
    wraps = np.zeros((n_atoms, 3), np.int32)
    fractions = np.zeros((n_atoms, 3))
    lowest = np.zeros(3)
    highest = np.zeros(3)
    for i in range(n_atoms):
        for k in range(3):
            if pbc[k]:
                fraction = 0.0
                for x in range(3):
                    fraction += positions[i, x] * reciprocal[k, x]
                wraps[i, k] = math.floor(fraction)
                fractions[i, k] = fraction - wraps[i, k]
            if i == 0 or fractions[i, k] < lowest[k]:
                lowest[k] = fractions[i, k]
            if i == 0 or fractions[i, k] > highest[k]:
                highest[k] = fractions[i, k]

    first_shift = np.zeros((n_atoms, 3), np.int32)
    last_shift = np.zeros((n_atoms, 3), np.int32)
    n_points = 0
    for i in range(n_atoms):
        n_images = 1
        for k in range(3):
            if pbc[k]:
                margin = reach / heights[k]
                first_shift[i, k] = math.ceil(lowest[k] - margin - fractions[i, k])
                last_shift[i, k] = math.floor(highest[k] + margin - fractions[i, k])
                n_images *= last_shift[i, k] - first_shift[i, k] + 1
        n_points += n_images

    points = np.empty((3, n_points))
    atoms = np.empty(n_points, np.int32)
    shifts = np.empty((n_points, 3), np.int32)
    n = n_atoms
    for i in range(n_atoms):
        for a in range(first_shift[i, 0], last_shift[i, 0] + 1):
            for b in range(first_shift[i, 1], last_shift[i, 1] + 1):
                for c in range(first_shift[i, 2], last_shift[i, 2] + 1):
                    p = n
                    if a == 0 and b == 0 and c == 0:
                        p = i
                    else:
                        n += 1
                    atoms[p] = i
                    shifts[p, 0] = a - wraps[i, 0]
                    shifts[p, 1] = b - wraps[i, 1]
                    shifts[p, 2] = c - wraps[i, 2]
                    for x in range(3):
                        points[x, p] = positions[i, x] + (
                            shifts[p, 0] * frame[0, x]
                            + shifts[p, 1] * frame[1, x]
                            + shifts[p, 2] * frame[2, x]
                        )
    return points, atoms, shifts


@kept(nogil=True)
def bin_points(slabs: IntArray, n_slabs: IntArray) -> tuple[IntArray, Int32Array]:
    """Sort points by bin; bins along z are neighbors in memory.

    Returns starts (n_bins + 1,) and order (n_points,): bin b holds order[starts[b]:starts[b+1]].
    """
    n_points = slabs.shape[1]
    starts = np.zeros(n_slabs[0] * n_slabs[1] * n_slabs[2] + 1, np.int64)
    bins = np.empty(n_points, np.int64)
    for p in range(n_points):
        bins[p] = (slabs[0, p] * n_slabs[1] + slabs[1, p]) * n_slabs[2] + slabs[2, p]
        starts[bins[p] + 1] += 1
    for b in range(starts.size - 1):
        starts[b + 1] += starts[b]
    cursor = starts[:-1].copy()
    order = np.empty(n_points, np.int32)
    for p in range(n_points):
        order[cursor[bins[p]]] = p
        cursor[bins[p]] += 1
    return starts, order


@kept(nogil=True)
def _distance_to_slab(x: float, lower_edge: float, width: float) -> float:
    """Distance of a coordinate from the slab [lower_edge, lower_edge + width]."""
    return max(0.0, lower_edge - x, x - lower_edge - width)


@kept(nogil=True)
def gather_points(
    points: FloatArray,
    slabs: IntArray,
    edges_x: FloatArray,
    edges_y: FloatArray,
    n_slabs: IntArray,
    width: float,
    reach: float,
    n_atoms: int,
    starts: IntArray,
    order: Int32Array,
) -> tuple[IntArray, Int32Array]:
    """Find the points within `reach` of each of the first `n_atoms` points, itself included.

    Returns row_starts (n_atoms + 1,) and found (n_found,), the points near atom i being
    found[row_starts[i]:row_starts[i+1]] in no particular order.
    """
    px, py, pz = np.empty(order.size), np.empty(order.size), np.empty(order.size)
    for p in range(order.size):
        px[p], py[p], pz[p] = points[0, order[p]], points[1, order[p]], points[2, order[p]]
    reach2 = reach * reach
    n_reach = math.ceil(reach / width)
    row_starts = np.zeros(n_atoms + 1, np.int64)
    found = np.empty(64 * n_atoms + 1024, np.int32)
    n = 0
    for i in range(n_atoms):
        x, y, z = points[0, i], points[1, i], points[2, i]
        sx, sy, sz = slabs[0, i], slabs[1, i], slabs[2, i]
        for bx in range(max(0, sx - n_reach), min(n_slabs[0], sx + n_reach + 1)):
            dx = _distance_to_slab(x, edges_x[bx], width)
            for by in range(max(0, sy - n_reach), min(n_slabs[1], sy + n_reach + 1)):
                dy = _distance_to_slab(y, edges_y[by], width)
                left = reach2 - dx * dx - dy * dy
                if left < 0.0:
                    continue
                # slabs along z that the sphere can touch within this column of bins
                n_z = min(n_reach, int(math.sqrt(left) / width) + 1)
                column = (bx * n_slabs[1] + by) * n_slabs[2]
                begin = starts[column + max(0, sz - n_z)]
                end = starts[column + min(n_slabs[2], sz + n_z + 1)]
                if n + end - begin > found.size:
                    larger = np.empty(2 * found.size + end - begin, np.int32)
                    for p in range(n):
                        larger[p] = found[p]
                    found = larger
                for p in range(begin, end):  # no branch: store always, advance if near
                    found[n] = order[p]
                    d2 = (px[p] - x) ** 2 + (py[p] - y) ** 2 + (pz[p] - z) ** 2
                    n += d2 <= reach2
        row_starts[i + 1] = n
    return row_starts, found[:n]


@kept(nogil=True)
def candidate_pairs(
    row_starts: IntArray, found: Int32Array, atoms: Int32Array, shifts: Int32Array
) -> tuple[IntArray, Int32Array, Int32Array]:
    """Turn the points near each atom into rows of (second, shift) in canonical order.

    Transposing the relation sorts it in linear time: the atoms are visited in ascending order
    and each enters the row of every atom it is near to. Only images of one and the same atom are
    left to be put in order, by shift.
    """
    n_atoms = row_starts.size - 1
    starts = np.zeros(n_atoms + 1, np.int64)
    for i in range(n_atoms):
        for k in range(row_starts[i], row_starts[i + 1]):
            if found[k] != i:  # point i is the atom itself
                starts[atoms[found[k]] + 1] += 1
    for i in range(n_atoms):
        starts[i + 1] += starts[i]
    cursor = starts[:-1].copy()
    second = np.empty(starts[n_atoms], np.int32)
    shift = np.empty((starts[n_atoms], 3), np.int32)
    for i in range(n_atoms):
        for k in range(row_starts[i], row_starts[i + 1]):
            p = found[k]
            if p == i:
                continue
            j = atoms[p]
            a = shifts[i, 0] - shifts[p, 0]
            b = shifts[i, 1] - shifts[p, 1]
            c = shifts[i, 2] - shifts[p, 2]
            m = cursor[j]
            cursor[j] += 1
            while (
                m > starts[j]
                and second[m - 1] == i
                and (
                    shift[m - 1, 0] > a
                    or (shift[m - 1, 0] == a and shift[m - 1, 1] > b)
                    or (shift[m - 1, 0] == a and shift[m - 1, 1] == b and shift[m - 1, 2] > c)
                )
            ):
                second[m] = i
                for x in range(3):
                    shift[m, x] = shift[m - 1, x]
                m -= 1
            second[m] = i
            shift[m, 0], shift[m, 1], shift[m, 2] = a, b, c
    return starts, second, shift


@kept(nogil=True, forceinline=True)
def _vector(
    positions: FloatArray, frame: FloatArray, shift: Int32Array, i: int, j: int, k: int
) -> tuple[float, float, float, float]:
    """Give the vector of candidate k from atom i to an image of atom j, and its length.

    Vectors are measured from the positions as given (not wrapped) plus a whole number of cell
    vectors, so they do not depend on where the candidates were gathered, and the vector of
    (j, i) is exactly the negative of the one of (i, j).
    """
    a, b, c = float(shift[k, 0]), float(shift[k, 1]), float(shift[k, 2])
    x = positions[j, 0] - positions[i, 0] + (a * frame[0, 0] + b * frame[1, 0] + c * frame[2, 0])
    y = positions[j, 1] - positions[i, 1] + (a * frame[0, 1] + b * frame[1, 1] + c * frame[2, 1])
    z = positions[j, 2] - positions[i, 2] + (a * frame[0, 2] + b * frame[1, 2] + c * frame[2, 2])
    return x, y, z, math.sqrt(x * x + y * y + z * z)


@kept(nogil=True)
def count_pairs(
    first_atom: int,
    last_atom: int,
    positions: FloatArray,
    frame: FloatArray,
    candidate_starts: IntArray,
    candidate_second: Int32Array,
    shift: Int32Array,
    cutoff: float,
    counts: IntArray,
) -> None:
    """Count, for each of these atoms, the candidate pairs that are closer than the cutoff."""
    for i in range(first_atom, last_atom):
        n = 0
        for k in range(candidate_starts[i], candidate_starts[i + 1]):
            n += _vector(positions, frame, shift, i, candidate_second[k], k)[3] < cutoff
        counts[i] = n


@kept(nogil=True)
def fill_pairs(
    first_atom: int,
    last_atom: int,
    positions: FloatArray,
    frame: FloatArray,
    candidate_starts: IntArray,
    candidate_second: Int32Array,
    shift: Int32Array,
    cutoff: float,
    starts: IntArray,
    second: IntArray,
    vectors: FloatArray,
    distances: FloatArray,
    shortest: FloatArray,
) -> None:
    """Fill in the pairs of these atoms, in their order, and the shortest distance of each atom.

    The first one's go to starts[first_atom]; where those of each atom end is filled in, too.
    """
    n = starts[first_atom]
    for i in range(first_atom, last_atom):
        least = np.inf
        for k in range(candidate_starts[i], candidate_starts[i + 1]):
            j = candidate_second[k]
            x, y, z, distance = _vector(positions, frame, shift, i, j, k)
            if distance < cutoff:
                second[n] = j
                vectors[n, 0], vectors[n, 1], vectors[n, 2] = x, y, z
                distances[n] = distance
                least = min(least, distance)
                n += 1
        starts[i + 1] = n
        shortest[i] = least


@kept(nogil=True)
def has_moved(positions: FloatArray, reference: FloatArray, limit: float) -> bool:
    """Tell whether any atom is further than `limit` from its reference; NaN counts as moved."""
    limit2 = limit * limit
    for i in range(positions.shape[0]):
        d2 = 0.0
        for x in range(3):
            d2 += (positions[i, x] - reference[i, x]) ** 2
        if not d2 <= limit2:
            return True
    return False
