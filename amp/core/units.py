"""Other codes' units in ours: multiply by a constant to get Å, eV, eV/Å or eV/Å³, divide to leave.

The constants are those of `ase.units` with its default values, CODATA 2014 [1]_, to the last
bit, so that numbers converted here and numbers converted by ASE agree.

References
----------
.. [1] P. J. Mohr, D. B. Newell and B. N. Taylor, Rev. Mod. Phys. 88, 035009 (2016).
"""

from typing import Final

__all__ = [
    "BOHR",
    "BOLTZMANN",
    "ELEMENTARY_CHARGE",
    "FEMTOSECOND",
    "GPA",
    "HARTREE",
    "HARTREE_PER_BOHR",
    "KBAR",
    "KCAL_PER_MOL",
    "KJ_PER_MOL",
    "RYDBERG",
]

ELEMENTARY_CHARGE: Final = 1.6021766208e-19  # C; the joules in one eV
AVOGADRO: Final = 6.022140857e23  # 1/mol

BOHR: Final = 0.5291772105638411  # Å
HARTREE: Final = 27.211386024367243  # eV
RYDBERG: Final = 13.605693012183622  # eV
HARTREE_PER_BOHR: Final = HARTREE / BOHR  # eV/Å

KJ_PER_MOL: Final = 1000.0 / ELEMENTARY_CHARGE / AVOGADRO  # eV
KCAL_PER_MOL: Final = 4184.0 / ELEMENTARY_CHARGE / AVOGADRO  # eV; thermochemical calorie

PASCAL: Final = 1.0 / ELEMENTARY_CHARGE / 1e30  # eV/Å³
GPA: Final = 1e9 * PASCAL  # eV/Å³
KBAR: Final = 1e8 * PASCAL  # eV/Å³

BOLTZMANN: Final = 8.617330337217213e-05  # eV/K
FEMTOSECOND: Final = 0.09822694788464063  # Å sqrt(u/eV), ASE's unit of time
