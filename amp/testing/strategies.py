"""Structures for hypothesis, from lone atoms to skewed cells smaller than any cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell
from hypothesis import assume
from hypothesis import strategies as st

from amp.core.neighbors import neighbor_pairs

__all__ = ["ELEMENTS", "clusters", "crystals", "seeds"]

ELEMENTS = ("C", "H", "O")
SPACING = 1.9  # Å between the sites of a cluster
SHAKE = 0.35  # Å an atom may leave its site, in each direction
CLOSEST = 0.8  # Å between atoms of a crystal


@st.composite
def clusters(
    draw: Any, elements: Sequence[str] = ELEMENTS, min_atoms: int = 1, max_atoms: int = 6
) -> Atoms:
    """Draw atoms on a 3 x 3 x 3 grid, shaken; never closer than 1.2 Å, and not periodic.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    elements : sequence of str
        Symbols to choose from.
    min_atoms, max_atoms : int
        Number of atoms.
    """
    sites = draw(st.lists(st.integers(0, 26), min_size=min_atoms, max_size=max_atoms, unique=True))
    symbols = [draw(st.sampled_from(list(elements))) for _ in sites]
    grid = np.array(np.unravel_index(sites, (3, 3, 3))).T * SPACING
    return Atoms(symbols, positions=grid + _shakes(draw, len(sites), SHAKE))


@st.composite
def crystals(draw: Any, elements: Sequence[str] = ELEMENTS, max_atoms: int = 3) -> Atoms:
    """Draw a skewed cell of 2.6 to 5 Å with a few atoms, periodic in two or three directions.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    elements : sequence of str
        Symbols to choose from.
    max_atoms : int
        Largest number of atoms, up to 8.
    """
    lengths = [draw(st.floats(2.6, 5.0)) for _ in range(3)]
    angles = [draw(st.floats(70.0, 110.0)) for _ in range(3)]
    sites = draw(st.lists(st.integers(0, 7), min_size=1, max_size=max_atoms, unique=True))
    symbols = [draw(st.sampled_from(list(elements))) for _ in sites]
    fractions = 0.5 * np.array(np.unravel_index(sites, (2, 2, 2))).T
    atoms = Atoms(
        symbols,
        scaled_positions=fractions + _shakes(draw, len(sites), 0.1),
        cell=cellpar_to_cell([*lengths, *angles]),
        pbc=draw(st.sampled_from([(True, True, True), (True, True, False)])),
    )
    assume(len(neighbor_pairs(atoms, CLOSEST).first) == 0)
    return atoms


def seeds() -> st.SearchStrategy[int]:
    """Draw a seed for `numpy.random.default_rng`."""
    return st.integers(0, 2**32 - 1)


def _shakes(draw: Any, n: int, size: float) -> np.ndarray:
    """Draw displacements, shape (n, 3)."""
    number = st.floats(-size, size)
    return np.array([[draw(number) for _ in range(3)] for _ in range(n)]).reshape(n, 3)
