"""Units of n2p2's files, which do not name them."""

from __future__ import annotations

from amp.core.errors import ParameterError
from amp.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, RYDBERG

__all__ = ["ATOMIC_UNITS", "Units", "in_ase_units"]

Units = tuple[str, str]  # of length and energy

ATOMIC_UNITS: Units = ("bohr", "hartree")
LENGTHS = {"bohr": BOHR, "angstrom": 1.0, "nm": 10.0}
ENERGIES = {
    "hartree": HARTREE, "ev": 1.0, "rydberg": RYDBERG,
    "kcal/mol": KCAL_PER_MOL, "kj/mol": KJ_PER_MOL,
}  # fmt: skip


def in_ase_units(units: Units) -> tuple[float, float]:
    """Give the units of length (Å) and energy (eV).

    Raises
    ------
    ParameterError
        If they are not a pair of known names.
    """
    try:
        length, energy = units
        return LENGTHS[length.lower()], ENERGIES[energy.lower()]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ParameterError(
            f"units is a pair of length ({', '.join(LENGTHS)}) and energy ({', '.join(ENERGIES)}) "
            f"such as {ATOMIC_UNITS}, not {units!r}."
        ) from None
