"""The work arrays of kernels: neighbors of one center, and a batch of its triplets.

Rows of triplets lie one after the other in a flat array and are named by their offsets, STRIDE
apart, so that compilers see that they do not overlap; cutting a row out of an array costs as much
as a pass over it.  Counts are padded to whole vector registers: what pads has weight 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from amp.core.typing import FloatArray, IntArray
from amp.descriptor._jit import called, inlined

__all__ = [
    "ALPHA",
    "ANGLES",
    "BATCH",
    "BEND",
    "BETA",
    "COSINE",
    "CUTS",
    "DH",
    "DOTS",
    "FC",
    "FIRST",
    "GAMMA",
    "INVERSE",
    "INVERSE_A",
    "INVERSE_B",
    "INVERSE_SIDE",
    "LA",
    "LB",
    "LENGTHS",
    "LENGTH_A",
    "LENGTH_B",
    "LX",
    "R2",
    "RATE_A",
    "RATE_B",
    "RATE_SIDE",
    "RV",
    "SECOND",
    "SIDE",
    "SQUARES",
    "STRIDE",
    "T0",
    "T1",
    "T2",
    "TURN",
    "VX",
    "VY",
    "VZ",
    "WEIGHT",
    "WIDE",
    "H",
    "Q",
    "R",
    "Work",
    "X",
    "Y",
    "Z",
    "aligned",
    "make_work",
    "padded",
]

BATCH = 256  # most triplets worked on at a time; their rows should fit the L1 cache
STRIDE = BATCH + 16  # rows a power of two apart would compete for the same lines of the cache
WIDE = 8  # numbers in the widest vector register

# Rows of Work.rows; fc and L of cutoff function c are CUTS + 2 c and the next.
X, Y, Z, R, INVERSE, R2, VX, VY, VZ, RV, CUTS = range(11)
# Offsets in Work.members
FIRST, SECOND = 0, STRIDE
# Offsets in Work.parts: of triplets, of a section or shape, sums over functions; then the angular
# terms of a group, and from Work.bends on their derivatives.
(DOTS, SQUARES, COSINE, SIDE, INVERSE_SIDE, INVERSE_A, INVERSE_B, RATE_A, RATE_B, RATE_SIDE,
 TURN, FC, LX, LA, LB, Q, LENGTHS, WEIGHT, H, DH, T0, T1, T2, BEND,
 ALPHA, GAMMA, BETA, ANGLES) = range(0, 28 * STRIDE, STRIDE)  # fmt: skip
LENGTH_A, LENGTH_B = RATE_A, RATE_B  # never needed at once


class Work(NamedTuple):
    """Arrays for one center at a time: its neighbors sorted by species, and a batch of triplets."""

    order: IntArray  # (width,)       pair of each neighbor, counted from the center's first
    begins: IntArray  # (n_elements,) neighbors of species t: begins[t]:ends[t],
    ends: IntArray  # (n_elements,)   the rest up to the next begin pads
    rows: FloatArray  # (., width)  neighbors, see above
    vectors: FloatArray  # (width, 4) vectors to neighbors, Å, and 0
    sums: FloatArray  # (4, 4)
    members: npt.NDArray[np.uint32]  # neighbors a and b of each triplet
    parts: FloatArray  # triplets, see above; of double or of single precision
    table: FloatArray  # (., STRIDE) the same numbers: for rows that are not known beforehand
    bends: int  # row


@inlined
def aligned(n, like):
    """Allocate n numbers like those of an array that begin with a line of the cache."""
    raw = np.empty(n + 64 // like.itemsize, like.dtype)
    skip = (-(raw.ctypes.data // like.itemsize)) % (64 // like.itemsize)
    return raw[skip : skip + n]


@inlined
def padded(n):
    """Round up to whole vector registers."""
    return (n + WIDE - 1) // WIDE * WIDE


@called
def make_work(plan, starts, like):
    """Allocate for the center with most neighbors; parts of triplets are of the dtype of like."""
    most, angles = 1, 1
    for i in range(starts.size - 1):
        most = max(most, starts[i + 1] - starts[i])
    for group in range(plan.angle_starts.size - 1):
        angles = max(angles, plan.angle_starts[group + 1] - plan.angle_starts[group])
    width = padded(most + WIDE * plan.n_elements) + WIDE
    n_rows = CUTS + 2 * plan.cutoffs.shape[0]
    bends = ANGLES // STRIDE + angles
    parts = aligned((bends + angles) * STRIDE, like)
    double = np.empty(0)
    return Work(
        np.empty(width, np.int64),
        np.empty(plan.n_elements, np.int64), np.empty(plan.n_elements, np.int64),
        aligned(n_rows * width, double).reshape(n_rows, width),
        aligned(4 * width, double).reshape(width, 4),
        aligned(16, double).reshape(4, 4), np.zeros(2 * STRIDE, np.uint32),
        parts, parts.reshape(bends + angles, STRIDE), bends,
    )  # fmt: skip
