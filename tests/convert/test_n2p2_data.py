import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from numpy.testing import assert_allclose, assert_array_equal

from amp.convert import read_n2p2_data, write_n2p2_data
from amp.core.errors import AmpFileError, ImageError, MissingDataError, OutputExistsError
from amp.core.images import stored_result
from amp.core.units import BOHR, HARTREE, HARTREE_PER_BOHR

TEXT = """\
begin
comment from somewhere
comment else
lattice 10.0 0.0 0.0
lattice 0.0 11.0 0.0
lattice 0.5 0.0 12.0
atom 1.0 2.0 3.0 O -0.8 0.0 0.1 0.2 0.3
atom 1.5 3.0 4.0 H 0.3 0.0 -0.1 -0.2 -0.3
energy -75.5
charge -1.0
end
 begin
atom 0.0 0.0 0.0 H 0.0 0.0 0.0 0.0 0.0
energy -0.5
 end
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "input.data"
    path.write_text(TEXT)
    return path


@pytest.fixture
def images():
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=1)
    crystal.set_constraint(FixAtoms([0]))
    crystal.info["comment"] = "one\ntwo"
    crystal.calc = EMT()
    free = molecule("H2O", calculator=None)
    free.calc = SinglePointCalculator(
        free, energy=-14.2, forces=np.arange(9.0).reshape(3, 3), charges=[-0.8, 0.4, 0.4]
    )
    free.info["charge"] = 1.0
    return [crystal, free]


def test_structures_are_read_in_the_units_of_ase(file):
    crystal, atom = read_n2p2_data(file)
    assert str(crystal.symbols) == "OH"
    assert crystal.pbc.all()
    assert_allclose(crystal.positions / BOHR, [[1.0, 2.0, 3.0], [1.5, 3.0, 4.0]])
    assert_allclose(crystal.cell[:] / BOHR, [[10, 0, 0], [0, 11, 0], [0.5, 0, 12]])
    assert crystal.get_potential_energy() == pytest.approx(-75.5 * HARTREE)
    assert_allclose(crystal.get_forces()[0] / HARTREE_PER_BOHR, [0.1, 0.2, 0.3])
    assert_array_equal(crystal.get_charges(), [-0.8, 0.3])
    assert crystal.info == {"comment": "from somewhere\nelse", "charge": -1.0}
    assert not atom.pbc.any()
    assert atom.info == {}
    assert stored_result(atom, "charges") is None


def test_other_units_can_be_named(file):
    crystal, _ = read_n2p2_data(file, units=("Angstrom", "eV"))
    assert_array_equal(crystal.positions[0], [1.0, 2.0, 3.0])
    assert crystal.get_potential_energy() == -75.5
    assert_array_equal(crystal.get_forces()[1], [-0.1, -0.2, -0.3])


@pytest.mark.parametrize("units", [("bohr", "hartree"), ("angstrom", "kcal/mol"), ("nm", "kJ/mol")])
def test_what_was_written_is_read_again(images, units, tmp_path):
    path = tmp_path / "input.data"
    write_n2p2_data(path, images, units=units)
    again = read_n2p2_data(path, units=units)
    assert len(again) == 2
    for atoms, found in zip(images, again, strict=True):
        assert_array_equal(found.symbols, atoms.symbols)
        assert_array_equal(found.pbc, atoms.pbc)
        assert_allclose(found.positions, atoms.positions, rtol=1e-15, atol=1e-15)
        assert_allclose(found.cell[:], atoms.cell[:], rtol=1e-15)
        assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), 1e-15)
        assert_allclose(
            found.get_forces(), atoms.get_forces(apply_constraint=False), rtol=1e-14, atol=1e-15
        )
    assert again[0].info == {"comment": "one\ntwo", "charge": 0.0}
    assert again[1].info == {"charge": 1.0}
    assert_array_equal(again[1].get_charges(), [-0.8, 0.4, 0.4])


def test_existing_files_are_replaced_only_when_asked(images, file):
    with pytest.raises(OutputExistsError, match="exists already"):
        write_n2p2_data(file, images)
    assert file.read_text() == TEXT
    write_n2p2_data(file, images, overwrite=True)
    assert len(read_n2p2_data(file)) == 2


def test_missing_results_are_refused_or_zero(images, tmp_path):
    images.append(Atoms("H"))
    with pytest.raises(MissingDataError, match="1 of 3 images lack energy, first image 2; 1 of 3"):
        write_n2p2_data(tmp_path / "input.data", images)
    write_n2p2_data(tmp_path / "input.data", images, accept_missing=True)
    last = read_n2p2_data(tmp_path / "input.data")[-1]
    assert last.get_potential_energy() == 0.0
    assert_array_equal(last.get_forces(), np.zeros((1, 3)))


def test_slabs_are_refused(images, tmp_path):
    images[0].pbc = (True, True, False)
    with pytest.raises(ImageError, match="Image 0 is periodic in some directions only"):
        write_n2p2_data(tmp_path / "input.data", images)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "begin\ncomment",
            "comment",
            r"line 1 \(comment\): a structure starts with the line begin",
        ),
        ("0.3\natom", "\natom", r"line 7 \(atom\): it needs x y z, symbol"),
        (" O ", " Ox ", r"line 7 \(atom\): it needs"),
        ("atom 1.0", "atom one", "line 7 .*'one' is not a finite number"),
        ("-75.5", "nan", r"line 9 \(energy\): 'nan' is not a finite number"),
        ("-75.5", "", r"line 9 \(energy\): it ends after 1 words"),
        ("charge -1.0", "spin 1", r"line 10 \(spin\): n2p2 has no such keyword"),
        ("lattice 0.5 0.0 12.0\n", "", "line 1 .*has 2 lattice vectors"),
        ("lattice 0.5", "lattice 1 2 3\nlattice 0.5", "line 7 .*three lattice vectors already"),
        ("end\n begin\natom 0.0 0.0 0.0 H 0.0 0.0 0.0 0.0 0.0", "end\nbegin", "has no atoms"),
        ("energy -0.5\n end", "energy -0.5", r"line 12 \(begin\): this structure has no end"),
        (TEXT, "\n", "There are no structures"),
    ],
)
def test_damaged_files_are_refused_by_line(old, new, message, file):
    assert old in TEXT
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(AmpFileError, match=message):
        read_n2p2_data(file)


def test_missing_files_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_n2p2_data(tmp_path / "nothing.data")
