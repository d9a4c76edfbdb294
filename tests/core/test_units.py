"""Unit conversions agree with ASE to the last bit."""

import ase.units
import pytest

from amp.core import units

ASE = ase.units.create_units("2014")
EXPECTED = {
    "BOHR": ASE["Bohr"],
    "BOLTZMANN": ASE["kB"],
    "ELEMENTARY_CHARGE": ASE["_e"],
    "FEMTOSECOND": ASE["fs"],
    "GPA": ASE["GPa"],
    "HARTREE": ASE["Hartree"],
    "HARTREE_PER_BOHR": ASE["Hartree"] / ASE["Bohr"],
    "KBAR": 1000 * ASE["bar"],
    "KCAL_PER_MOL": ASE["kcal"] / ASE["mol"],
    "KJ_PER_MOL": ASE["kJ"] / ASE["mol"],
    "RYDBERG": ASE["Rydberg"],
}


@pytest.mark.parametrize("name", units.__all__)
def test_every_unit_is_that_of_ase(name):
    assert getattr(units, name) == EXPECTED[name]


def test_ase_still_uses_the_same_constants():
    assert ase.units.__codata_version__ == "2014"
