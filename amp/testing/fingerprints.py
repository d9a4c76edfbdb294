"""Fingerprint derivatives as plain dense arrays, to compare with differences."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from amp.core.fingerprints import Derivatives, Fingerprints
from amp.core.neighbors import neighbor_pairs
from amp.core.typing import FloatArray

__all__ = ["dense_derivatives", "dense_strain_derivatives", "keeps_clear_of"]


def dense_derivatives(fingerprints: Fingerprints) -> FloatArray:
    """Unfold stored derivatives.

    Parameters
    ----------
    fingerprints : Fingerprints
        With derivatives.

    Returns
    -------
    ndarray, shape (layout.size, n_atoms, 3)
        d value / d position (1/Å), the flat fingerprints first.
    """
    layout, stored = fingerprints.layout, fingerprints.derivatives
    assert isinstance(stored, Derivatives)
    dense = np.zeros((layout.size, layout.n_atoms, 3))
    n_elements = len(layout.elements)
    for run in range(layout.n_atoms * n_elements):
        center, t = divmod(run, n_elements)
        kind = int(layout.species[center]) * n_elements + t
        slots = stored.slots[stored.slot_starts[kind] : stored.slot_starts[kind + 1]]
        rows = layout.starts[center] + slots
        for atom, block in zip(*stored.run(run), strict=True):
            dense[rows, atom] += block.T
            dense[rows, center] -= block.T
    return dense


def dense_strain_derivatives(fingerprints: Fingerprints) -> FloatArray:
    """Unfold stored derivatives with respect to strain.

    Parameters
    ----------
    fingerprints : Fingerprints
        With derivatives and those for strain.

    Returns
    -------
    ndarray, shape (layout.size, 6)
        d value / d strain, order xx yy zz yz xz xy.
    """
    layout, stored = fingerprints.layout, fingerprints.derivatives
    assert isinstance(stored, Derivatives)
    assert stored.strain is not None
    dense = np.empty((layout.size, 6))
    for atom in range(layout.n_atoms):
        start, length = int(layout.starts[atom]), int(layout.lengths[layout.species[atom]])
        rows = stored.strain[6 * start : 6 * (start + length)].reshape(6, length)
        dense[start : start + length] = rows.T
    return dense


def keeps_clear_of(radii: Iterable[float], atoms: Atoms, margin: float = 2e-3) -> bool:
    """Say whether no two atoms are about as far apart as a radius.

    At its cutoff a cutoff function may have a kink in a higher derivative, where differences
    are inaccurate.

    Parameters
    ----------
    radii : iterable of float
        Cutoff radii (Å).
    atoms : ase.Atoms
    margin : float
        What counts as about as far (Å).
    """
    chosen = list(radii)
    distances = neighbor_pairs(atoms, max(chosen) + 2.0 * margin).distances
    return all(bool((np.abs(distances - radius) > margin).all()) for radius in chosen)
