"""Fingerprints in the nested lists and dictionaries that scripts of Amp 1.0.1 read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amp.core.fingerprints import Derivatives, Fingerprints
from amp.core.neighbors import neighbor_pairs
from amp.core.typing import FloatArray, IntArray

__all__ = ["derivative_dicts", "fingerprint_lists", "neighbor_lists"]


def fingerprint_lists(
    fingerprints: Fingerprints, keys: Sequence[str]
) -> dict[str, list[tuple[str, FloatArray]]]:
    """Give key -> list of (symbol, vector), one per atom."""
    layout = fingerprints.layout
    return {
        key: [
            (layout.elements[layout.species[a]], fingerprints.of_atom(a).copy())
            for a in range(*layout.atoms_of_image(i).indices(layout.n_atoms))
        ]
        for i, key in enumerate(keys)
    }


def derivative_dicts(
    fingerprints: Fingerprints, keys: Sequence[str]
) -> dict[str, dict[tuple[int, str, int, str, int], FloatArray]]:
    """Give key -> dict (m, symbol m, n, symbol n, direction) -> d fingerprint(n) / d r(m)."""
    return {key: _derivative_dict(fingerprints, i) for i, key in enumerate(keys)}


def _derivative_dict(
    fingerprints: Fingerprints, image: int
) -> dict[tuple[int, str, int, str, int], FloatArray]:
    layout, primes = fingerprints.layout, fingerprints.derivatives
    assert isinstance(primes, Derivatives)
    symbols = [layout.elements[s] for s in layout.species]
    first, n_elements = int(layout.image_starts[image]), len(layout.elements)
    result = {}
    for n in range(first, int(layout.image_starts[image + 1])):
        own = np.zeros((3, layout.lengths[layout.species[n]]))
        for t in range(n_elements):
            kind = layout.species[n] * n_elements + t
            slots = primes.slots[primes.slot_starts[kind] : primes.slot_starts[kind + 1]]
            for m, stored in zip(*primes.run(n * n_elements + t), strict=True):
                block = np.zeros_like(own)
                block[:, slots] = stored
                own -= block
                for d in range(3):
                    result[int(m) - first, symbols[m], n - first, symbols[n], d] = block[d]
        for d in range(3):
            result[n - first, symbols[n], n - first, symbols[n], d] = own[d]
    return result


def neighbor_lists(
    images: Mapping[str, Any], cutoff: float
) -> dict[str, list[tuple[IntArray, IntArray]]]:
    """Give key -> list of (indices, cell offsets (n, 3)) of each atom's neighbors."""
    result = {}
    for key, atoms in images.items():
        pairs = neighbor_pairs(atoms, cutoff)
        shifts = pairs.vectors - (atoms.positions[pairs.second] - atoms.positions[pairs.first])
        # Directions without a cell vector take no part; the pseudo-inverse gives them offset 0.
        offsets = np.rint(shifts @ np.linalg.pinv(np.asarray(atoms.cell[:]))).astype(np.int64)
        result[key] = [
            (pairs.second[lo:hi], offsets[lo:hi])
            for lo, hi in zip(pairs.starts[:-1], pairs.starts[1:], strict=True)
        ]
    return result
