"""Forces and stress from energies alone, by differences accurate enough to judge analytic ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ase import Atoms

from amp.core.typing import FloatArray

__all__ = [
    "assert_forces_match_energy",
    "assert_stress_matches_energy",
    "derivative",
    "forces_by_differences",
    "stress_by_differences",
]

STEP = 1e-3  # Å
STRAIN_STEP = 2e-4  # moves atoms at the edge of a cutoff by about as much
HALVINGS = 4
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def derivative(function: Callable[[float], Any], step: float) -> Any:
    """Differentiate a function at 0 by central differences, extrapolated to no step at all.

    Differences of smaller and smaller steps are extrapolated as in [1]_, and the value taken
    whose estimated error is least: it suits functions both strongly curved and noisy.

    Parameters
    ----------
    function : callable
        Of one number; its value may be an array.  It must be smooth within the step.
    step : float
        Largest step; it is halved a few times.

    Returns
    -------
    float or ndarray

    References
    ----------
    .. [1] C. J. F. Ridders, Adv. Eng. Softw. 4, 75 (1982).
    """
    best: Any = None
    error: Any = np.inf
    row: list[Any] = []
    for n in range(HALVINGS + 1):
        h = step / 2.0**n
        above, row = row, [np.asarray(function(h) - function(-h)) / (2.0 * h)]
        for order, coarser in enumerate(above, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (4.0**order - 1.0))
            doubt = np.maximum(abs(row[-1] - row[-2]), abs(row[-1] - coarser))
            best = row[-1] if best is None else np.where(doubt < error, row[-1], best)
            error = np.minimum(doubt, error)
    return best[()]


def forces_by_differences(
    atoms: Atoms, calc: Any, step: float = STEP, indices: Iterable[int] | None = None
) -> FloatArray:
    """Differentiate the energy with respect to positions.

    Parameters
    ----------
    atoms : ase.Atoms
        Not changed; constraints are left out.
    calc : ASE calculator
    step : float
        Displacement (Å).
    indices : iterable of int, optional
        Atoms to move; all of them by default.

    Returns
    -------
    ndarray, shape (n_indices, 3)
        Forces (eV/Å).
    """
    moved = _copy(atoms, calc)
    chosen = range(len(atoms)) if indices is None else list(indices)
    forces = np.empty((len(chosen), 3))
    for row, i in enumerate(chosen):
        for d in range(3):

            def energy(shift: float, i: int = i, d: int = d) -> float:
                moved.positions = atoms.positions
                moved.positions[i, d] += shift
                return moved.get_potential_energy()

            forces[row, d] = -derivative(energy, step)
    return forces


def stress_by_differences(atoms: Atoms, calc: Any, step: float = STRAIN_STEP) -> FloatArray:
    """Differentiate the energy with respect to strain of the cell and the atoms in it.

    Parameters
    ----------
    atoms : ase.Atoms
        With a volume; not changed.
    calc : ASE calculator
    step : float
        Strain (dimensionless).

    Returns
    -------
    ndarray, shape (6,)
        Stress (eV/Å³), order xx yy zz yz xz xy.
    """
    strained = _copy(atoms, calc)
    stress = np.empty(6)
    for component, (a, b) in enumerate(VOIGT):

        def energy(strain: float, a: int = a, b: int = b) -> float:
            deformation = np.eye(3)
            deformation[a, b] += 0.5 * strain
            deformation[b, a] += 0.5 * strain
            strained.set_cell(atoms.cell.array @ deformation)
            strained.positions = atoms.positions @ deformation
            return strained.get_potential_energy()

        stress[component] = derivative(energy, step) / atoms.get_volume()
    return stress


def assert_forces_match_energy(
    atoms: Atoms, calc: Any, rtol: float = 1e-6, atol: float = 1e-8,
    indices: Iterable[int] | None = None,
) -> None:  # fmt: skip
    """Assert that a calculator's forces are the derivative of its energy.

    Parameters
    ----------
    atoms : ase.Atoms
        No two atoms within 2e-3 Å of a cutoff, where a cutoff function may have a kink in its
        second derivative.
    calc : ASE calculator
    rtol, atol : float
        Tolerances; absolute in eV/Å.
    indices : iterable of int, optional
        Atoms to check; all of them by default.
    """
    chosen = list(range(len(atoms)) if indices is None else indices)
    np.testing.assert_allclose(
        _copy(atoms, calc).get_forces()[chosen],
        forces_by_differences(atoms, calc, indices=chosen),
        rtol=rtol,
        atol=atol,
        err_msg=f"forces of {atoms.symbols} are not the derivative of the energy",
    )


def assert_stress_matches_energy(
    atoms: Atoms, calc: Any, rtol: float = 1e-6, atol: float = 1e-8
) -> None:
    """Assert that a calculator's stress is the derivative of its energy.

    Parameters
    ----------
    atoms : ase.Atoms
        With a volume, and as in `assert_forces_match_energy`.
    calc : ASE calculator
    rtol, atol : float
        Tolerances; absolute in eV/Å³.
    """
    np.testing.assert_allclose(
        _copy(atoms, calc).get_stress(),
        stress_by_differences(atoms, calc),
        rtol=rtol,
        atol=atol,
        err_msg=f"stress of {atoms.symbols} is not the derivative of the energy",
    )


def _copy(atoms: Atoms, calc: Any) -> Atoms:
    """Copy a structure without its constraints, which would hide forces."""
    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = calc
    return copy
