"""Compiled loop that puts derivatives of fingerprints in the order in which training reads them."""

from __future__ import annotations

import numpy as np

from amp.core.compiling import kept

__all__ = ["store_runs"]


@kept(nogil=True)
def store_runs(
    blocks, block_starts, center_blocks, block_atoms, species, n_elements, first, run_starts, values
):
    """Sort an image's blocks, each (3, width), into runs; see `amp.core.fingerprints.Derivatives`.

    Arguments up to species (n_atoms,) are of the image alone.  Its first atom is number `first`
    over all images, to which run_starts and values belong; values may be of single precision.
    """
    places = np.empty(n_elements, dtype=np.int64)
    for center in range(species.size):
        run = (first + center) * n_elements
        places[:] = 0
        for b in range(center_blocks[center], center_blocks[center + 1]):
            t = species[block_atoms[b]]
            width = (block_starts[b + 1] - block_starts[b]) // 3
            start, size = run_starts[run + t], run_starts[run + t + 1] - run_starts[run + t]
            n = size // width if width else 0
            by_function = n >= width
            for d in range(3):
                for k in range(width):
                    row = 3 * places[t] + d
                    place = k * n + row if by_function else row * width + k
                    values[start + place] = blocks[block_starts[b] + d * width + k]
            places[t] += 1
