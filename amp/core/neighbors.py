"""Neighbor pairs of periodic and isolated structures, fresh or reused between the steps of MD.

Any cell will do: triclinic, left-handed, smaller than the cutoff, periodic in some directions
only, with zero vectors where it is not periodic; atoms may lie outside it.

Why a list of our own: µs per atom and call, vectors and distances included, best of many on a
shared x86-64 machine with 2 cores (benchmarks/neighbors.py):

=========  =========  =====  ======  =====  ========  ===
atoms      neighbors  fresh  reused  vesin  matscipy  ase
=========  =========  =====  ======  =====  ========  ===
37, slab          62    4.6     0.8    3.2       5.7  364
512, Si           31    1.4    0.25    4.1       9.1  260
1080, H2O         96    2.8     1.1   16.9      19.9  685
20384, Si         31    1.5    0.46   10.9      11.0  265
=========  =========  =====  ======  =====  ========  ===

vesin imports torch where that is installed (2 to 3 s), matscipy refuses zero cell vectors, ase 3.29
then loses pairs of atoms outside the cell, and none of them keeps a skin list whose sums agree to
the last bit with a fresh one. The kernels release the interpreter lock.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from amp.core.errors import ImageError
from amp.core.threads import for_ranges, ranges
from amp.core.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["NeighborList", "NeighborPairs", "find_neighbors", "neighbor_pairs"]

DEFAULT_SKIN = 0.5  # Å; cheapest within noise for EMT copper at 300 and 1200 K, steps of 2 fs
COINCIDENT = 1e-3  # Å; atoms closer than this are a mistake, not a structure
SHORTEST_CELL_HEIGHT = 0.1  # Å; a flatter cell is a mistake, and has no end of images
LARGEST_COORDINATE = 1e7  # Å; beyond it float64 does not resolve distances to 1e-9 Å
BINS_PER_REACH = 2


@dataclass(frozen=True, slots=True)
class NeighborPairs:
    """All ordered pairs of atoms closer than the cutoff, periodic images included.

    Every pair occurs in both directions, with exactly opposite vectors. Pairs are sorted by
    first atom, then second atom, then periodic image; the order depends on nothing but the
    structure, so sums over pairs are reproducible to the last bit.
    """

    second: IntArray  # (n_pairs,)  index of the neighbor
    vectors: FloatArray  # (n_pairs, 3)  from first to the image of second, Å
    distances: FloatArray  # (n_pairs,)  Å, strictly less than the cutoff
    starts: IntArray  # (n_atoms + 1,)  the pairs of atom i are starts[i]:starts[i + 1]

    @property
    def first(self) -> IntArray:
        """Index of the central atom of each pair, ascending, shape (n_pairs,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def neighbor_pairs(atoms: Atoms, cutoff: float) -> NeighborPairs:
    """Find all pairs of atoms closer than the cutoff.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; its positions, cell and periodic directions count.
    cutoff : float
        Cutoff radius (Å).

    Returns
    -------
    NeighborPairs
        The pairs, an atom's own images included.

    Raises
    ------
    ValueError
        If the cutoff is not a positive number.
    ImageError
        As in `find_neighbors`.
    """
    return find_neighbors(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)


def find_neighbors(
    positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike, cutoff: float
) -> NeighborPairs:
    """Find all pairs of atoms closer than the cutoff.

    Parameters
    ----------
    positions : array_like, shape (n_atoms, 3)
        Cartesian coordinates (Å), inside the cell or not.
    cell : array_like, shape (3, 3)
        Cell vectors as rows (Å); rows of directions that are not periodic are ignored.
    pbc : array_like, shape (3,)
        Which directions are periodic.
    cutoff : float
        Cutoff radius (Å); may exceed the cell.

    Returns
    -------
    NeighborPairs
        The pairs, an atom's own images included.

    Raises
    ------
    ValueError
        If the cutoff is not a positive number, or an array has a wrong shape.
    ImageError
        If positions are not finite, periodic cell vectors are zero, parallel or shorter than
        0.1 Å, or two atoms coincide.
    """
    _check_positive("cutoff", cutoff)
    candidates = _gather_candidates(positions, cell, pbc, cutoff)
    return _select_pairs(candidates.positions, candidates, cutoff)


class NeighborList:
    """Neighbor pairs that are found anew only when atoms have moved.

    Candidate pairs up to `cutoff + skin` are kept and serve until an atom has moved further than
    half the skin from where it was, or the cell, the periodic directions or the atoms change. The
    pairs returned are those of `neighbor_pairs`, in the same order and equal to the last bit.
    For unrelated structures one after another, `neighbor_pairs` is faster.

    Parameters
    ----------
    cutoff : float
        Cutoff radius (Å).
    skin : float
        Extra radius (Å); 0 finds the candidates anew whenever anything moved.

    Attributes
    ----------
    n_builds : int
        How often candidates have been gathered.

    Raises
    ------
    ValueError
        If the cutoff is not positive or the skin is negative.
    """

    def __init__(self, cutoff: float, skin: float = DEFAULT_SKIN) -> None:
        _check_positive("cutoff", cutoff)
        if not 0.0 <= skin < np.inf:
            raise ValueError(f"The skin is a length in Å, zero or more; got {skin!r}.")
        self.cutoff = cutoff
        self.skin = skin
        self.n_builds = 0
        self._candidates: _Candidates | None = None
        self._numbers: npt.NDArray[np.integer] = np.empty(0, dtype=np.int64)

    def update(self, atoms: Atoms, threads: int = 1) -> NeighborPairs:
        """Return the pairs of the atoms as they are now.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        threads : int, default 1
            Threads to measure the pairs with; they change nothing in the result.

        Returns
        -------
        NeighborPairs
            New arrays; those returned earlier stay as they are.

        Raises
        ------
        ImageError
            As in `find_neighbors`.
        """
        positions = np.ascontiguousarray(atoms.positions, dtype=np.float64)
        candidates = self._candidates
        if candidates is None or not self._still_serves(candidates, atoms, positions):
            self._candidates = None  # a structure that raises leaves nothing half-done
            candidates = _gather_candidates(
                positions, atoms.cell.array, atoms.pbc, self.cutoff + self.skin
            )
            self._candidates = candidates
            self._numbers = atoms.numbers.copy()
            self.n_builds += 1
        return _select_pairs(positions, candidates, self.cutoff, threads)

    def _still_serves(self, candidates: _Candidates, atoms: Atoms, positions: FloatArray) -> bool:
        """Tell whether the candidates include every pair of the atoms as they are now."""
        from amp.core._neighbor_kernels import has_moved

        return (
            np.array_equal(atoms.numbers, self._numbers)
            and np.array_equal(atoms.cell.array, candidates.cell)
            and np.array_equal(atoms.pbc, candidates.pbc)
            and not has_moved(positions, candidates.positions, 0.5 * self.skin)
        )


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Pairs that may come closer than the cutoff, and the structure they were found in."""

    positions: FloatArray  # (n_atoms, 3)  Å
    cell: FloatArray  # (3, 3)  as given, Å
    pbc: npt.NDArray[np.bool_]  # (3,)
    frame: FloatArray  # (3, 3)  reduced cell the shifts count in, Å
    starts: IntArray  # (n_atoms + 1,)
    second: npt.NDArray[np.int32]  # (n_candidates,)
    shifts: npt.NDArray[np.int32]  # (n_candidates, 3)


def _gather_candidates(
    positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike, radius: float
) -> _Candidates:
    """Check the structure and find all pairs closer than the radius (and few others)."""
    from amp.core import _neighbor_kernels as kernels

    positions = np.array(positions, dtype=np.float64, order="C")
    cell = np.array(cell, dtype=np.float64, order="C")
    pbc = np.array(pbc, dtype=np.bool_)
    _check_structure(positions, cell, pbc)
    frame, reciprocal, heights = _lattice_frame(cell, pbc)
    if len(positions) == 0:
        nothing = np.empty(0, dtype=np.int32)
        starts = np.zeros(1, dtype=np.int64)
        return _Candidates(positions, cell, pbc, frame, starts, nothing, nothing.reshape(0, 3))

    # wrapping rounds: a pair at the very radius must not be lost to that
    reach = radius + 1e-8 + 1e-14 * float(np.abs(positions).max())
    points, atoms, shifts = kernels.periodic_points(
        positions, frame, reciprocal, heights, pbc, reach
    )
    slabs, edges, n_slabs, width = _lay_slabs(points, reach)
    bin_starts, order = kernels.bin_points(slabs, n_slabs)
    row_starts, found = kernels.gather_points(
        points,
        slabs,
        edges[0],
        edges[1],
        n_slabs,
        width,
        reach,
        len(positions),
        bin_starts,
        order,
    )
    starts, second, pair_shifts = kernels.candidate_pairs(row_starts, found, atoms, shifts)
    return _Candidates(positions, cell, pbc, frame, starts, second, pair_shifts)


def _lay_slabs(
    points: FloatArray, reach: float
) -> tuple[IntArray, list[FloatArray], IntArray, float]:
    """Divide space into slabs along x, y and z, no more than the number of points warrants.

    Returns the slab of every point (3, n_points), the lower edges of the slabs of each axis, the
    number of slabs of each axis and their width (Å). Where atoms are far apart, empty slabs are
    left out as long as no two points come within reach by that.
    """
    most_bins = 8 * points.shape[1] + 64
    lowest = points.min(axis=1)
    width = reach / BINS_PER_REACH
    while True:
        slabs = ((points - lowest[:, None]) * (1.0 / width)).astype(np.int64)
        n_slabs = slabs.max(axis=1) + 1
        edges = None
        if np.prod(n_slabs, dtype=np.float64) > most_bins:
            slabs, kept = _leave_out_empty_slabs(slabs, int(np.ceil(reach / width)) + 1)
            edges = [lowest[x] + width * kept[x] for x in range(3)]
            n_slabs = np.array([len(k) for k in kept])
        if np.prod(n_slabs, dtype=np.float64) <= most_bins:
            if edges is None:
                edges = [lowest[x] + width * np.arange(n_slabs[x]) for x in range(3)]
            return slabs, edges, n_slabs, width
        width *= 1.5


def _leave_out_empty_slabs(slabs: IntArray, widest_gap: int) -> tuple[IntArray, list[FloatArray]]:
    """Renumber slabs so that gaps between occupied ones are no wider than `widest_gap`.

    Returns the renumbered slabs and, for each axis, the old number of every new slab.
    """
    renumbered = np.empty_like(slabs)
    kept = []
    for x in range(3):
        occupied, index = np.unique(slabs[x], return_inverse=True)
        new = np.concatenate(([0], np.cumsum(np.minimum(np.diff(occupied), widest_gap))))
        renumbered[x] = new[index]
        old = np.interp(np.arange(new[-1] + 1), new, occupied)  # empty ones: any number will do
        kept.append(old)
    return renumbered, kept


def _select_pairs(
    positions: FloatArray, candidates: _Candidates, cutoff: float, threads: int = 1
) -> NeighborPairs:
    """Measure the candidates and keep those closer than the cutoff.

    Several threads measure them twice: where the pairs of a range of atoms go is known only when
    those of the atoms before it are counted.
    """
    from amp.core import _neighbor_kernels as kernels

    c = candidates
    measured = (positions, c.frame, c.starts, c.second, c.shifts, cutoff)
    n_atoms, n_pairs = len(positions), len(c.second)
    starts = np.zeros(n_atoms + 1, dtype=np.int64)
    parts = ranges(n_atoms, fewest=512) if threads > 1 else [(0, n_atoms)]
    if len(parts) > 1:
        for_ranges(lambda i, j: kernels.count_pairs(i, j, *measured, starts[1:]), parts, threads)
        np.cumsum(starts, out=starts)
        n_pairs = int(starts[-1])
    second, vectors = np.empty(n_pairs, dtype=np.int64), np.empty((n_pairs, 3))
    distances, shortest = np.empty(n_pairs), np.empty(n_atoms)
    filled = (starts, second, vectors, distances, shortest)
    for_ranges(lambda i, j: kernels.fill_pairs(i, j, *measured, *filled), parts, threads)
    n_pairs = int(starts[-1])
    second, vectors, distances = second[:n_pairs], vectors[:n_pairs], distances[:n_pairs]
    if n_pairs and shortest.min() < COINCIDENT:
        pair = int(distances.argmin())
        first = int(np.searchsorted(starts, pair, side="right")) - 1
        raise ImageError(
            f"Atoms {first} and {second[pair]} are {distances[pair]:.2g} Å apart, periodic images "
            "included: they lie on top of each other. Remove one of them or correct the positions "
            "or the cell."
        )
    return NeighborPairs(second, vectors, distances, starts)


def _check_positive(name: str, value: float) -> None:
    """Refuse lengths that are not positive finite numbers."""
    if not 0.0 < value < np.inf:
        raise ValueError(f"The {name} is a length in Å and must be positive; got {value!r}.")


def _check_structure(positions: FloatArray, cell: FloatArray, pbc: npt.NDArray[np.bool_]) -> None:
    """Refuse wrong shapes and coordinates that are no numbers."""
    if positions.ndim != 2 or positions.shape[1] != 3 or cell.shape != (3, 3) or pbc.shape != (3,):
        raise ValueError(
            "Positions, cell and pbc need the shapes (n_atoms, 3), (3, 3) and (3,); "
            f"got {positions.shape}, {cell.shape} and {pbc.shape}."
        )
    fine = np.abs(positions) <= LARGEST_COORDINATE  # False for NaN
    if not fine.all():
        atoms = np.flatnonzero(~fine.all(axis=1))
        names = ", ".join(str(i) for i in atoms[:10]) + (", ..." if len(atoms) > 10 else "")
        raise ImageError(
            f"The positions of atom(s) {names} are not finite or further than "
            f"{LARGEST_COORDINATE:g} Å from the origin (atom {atoms[0]}: {positions[atoms[0]]}). "
            "Correct or leave out the structure; in MD, check the step before."
        )
    if not np.isfinite(cell[pbc]).all():
        raise ImageError(f"The cell vectors are not finite: {cell.tolist()}. Correct the cell.")


def _lattice_frame(
    cell: FloatArray, pbc: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the reduced cell, its reciprocal rows (no 2 pi) and its heights over its planes (Å).

    Rows of directions that are not periodic are unit vectors orthogonal to the periodic ones.
    """
    for k in np.flatnonzero(pbc):
        if not cell[k].any():
            raise ImageError(
                f"Direction {k} is periodic, but its cell vector is zero. Set the cell vector, or "
                f"set pbc[{k}] to False."
            )
    frame = _reduce_cell(cell * pbc[:, None])
    frame[~pbc] = np.linalg.svd(frame[pbc])[2][pbc.sum() :] if pbc.any() else np.eye(3)
    try:
        reciprocal = np.ascontiguousarray(np.linalg.inv(frame).T)
    except np.linalg.LinAlgError:
        reciprocal = np.full((3, 3), np.inf)
    heights = 1.0 / np.sqrt((reciprocal * reciprocal).sum(axis=1))
    if not (heights[pbc] >= SHORTEST_CELL_HEIGHT).all():
        raise ImageError(
            f"The periodic cell vectors {cell[pbc].tolist()} are parallel, lie in one plane or "
            f"repeat within {SHORTEST_CELL_HEIGHT} Å. Correct the cell (Å), or set pbc to False "
            "where the structure is not periodic."
        )
    return frame, reciprocal, heights


# row 8 k + t: cell vector k plus one of the eight nonzero sums of -1, 0 or 1 times the others
_TRIALS = np.array(
    [
        np.insert(others, k, 1.0)
        for k in range(3)
        for others in itertools.product((0.0, 1.0, -1.0), repeat=2)
        if any(others)
    ]
)


def _reduce_cell(cell: FloatArray) -> FloatArray:
    """Return the shortest vectors that span the same lattice; zero rows stay zero.

    Minkowski reduction: in three dimensions no vector may get shorter by adding -1, 0 or 1 times
    each of the others (Nguyen and Stehlé, ACM Trans. Algorithms 5, 46 (2009)). A cell that is
    reduced already is returned as it is, to the last bit.
    """
    cell = cell.copy()
    for _ in range(1000):  # some ten steps suffice; dependent vectors might go on for ever
        gram = cell @ cell.T
        squares = np.repeat(gram.diagonal(), 8)
        change = ((_TRIALS @ gram) * _TRIALS).sum(axis=1) - squares
        best = int(change.argmin())
        if change[best] >= -1e-12 * squares[best]:
            break
        k = best // 8
        step = _TRIALS[best] @ cell - cell[k]
        cell[k] += np.rint(-(cell[k] @ step) / (step @ step)) * step
    return cell
