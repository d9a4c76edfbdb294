"""Trained potentials at the work they are for: dynamics, relaxations, barriers, vibrations."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB, NEBTools
from ase.optimize import BFGS
from ase.vibrations import Vibrations
from numpy.testing import assert_allclose

from amp import Amp
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.testing import assert_forces_match_energy, stress_by_differences

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LARGEST_DRIFT = 1e-5  # eV/atom/ps
ALLOWED = {"energy_rmse": 0.002, "force_rmse": 0.08}


def train(images, elements, folder, convergence=ALLOWED):
    """Train a small potential of short range in a second or so."""
    Gs = [
        *make_symmetry_functions(elements, "G2", [0.05, 4.0, 20.0]),
        *make_symmetry_functions(elements, "G2", [40.0], offsets=[2.0, 2.6]),
        *make_symmetry_functions(elements, "G4", [0.005], zetas=[1.0, 4.0], gammas=[1.0, -1.0]),
    ]
    calc = Amp(
        Gaussian(cutoff=4.5, Gs=Gs),
        NeuralNetwork((8, 8), randomseed=1, checkpoints=None),
        label=str(folder / "potential"),
        cores=1,
        logging=False,
    )
    calc.model.lossfunction = LossFunction(convergence=convergence, maxiter=2000)
    calc.train(images)
    return calc


@pytest.fixture(scope="module")
def slabs():
    """Copper with one oxygen atom on it, from EMT dynamics at 300 and 600 K."""
    spec = importlib.util.spec_from_file_location("emt_slab", EXAMPLES / "emt_slab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_slab_images(24, (300.0, 600.0), 1, adsorbates=("O",), strains=(0.0,))


@pytest.fixture(scope="module")
def potential(slabs, tmp_path_factory):
    return train(slabs, ["Cu", "O"], tmp_path_factory.mktemp("slab"))


@pytest.fixture
def slab(slabs, potential):
    atoms = slabs[0].copy()
    atoms.calc = potential
    return atoms


@pytest.fixture(scope="module")
def bulk_potential(tmp_path_factory):
    """Copper, stretched and sheared, from EMT."""
    rng = np.random.default_rng(2)
    images = []
    for a in np.linspace(3.35, 3.95, 25):
        atoms = bulk("Cu", a=a).repeat((2, 1, 1))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), True)
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.calc = SinglePointCalculator(
            atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
        )
        images.append(atoms)
    folder = tmp_path_factory.mktemp("bulk")
    return train(images, ["Cu"], folder, {"energy_rmse": 0.003, "force_rmse": 0.08})


def set_temperature(atoms, kelvin, seed=0):
    """Draw momenta; ASE's own function for this has changed its name."""
    masses = atoms.get_masses()[:, None]
    rng = np.random.default_rng(seed)
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * kelvin * masses)
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def run_nve(atoms, n_steps, timestep=1.0):
    """Total energies (eV/atom) and temperatures (K) of all steps."""
    energies, temperatures = [], []

    def observe():
        energies.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())

    dynamics = VelocityVerlet(atoms, timestep * units.fs)
    dynamics.attach(observe)
    dynamics.run(n_steps)
    assert len(energies) == n_steps + 1
    return np.array(energies), np.array(temperatures)


def assert_conserved(energies, temperatures, picoseconds):
    drift = np.polyfit(np.linspace(0.0, picoseconds, len(energies)), energies, 1)[0]
    assert abs(drift) < LARGEST_DRIFT
    assert np.ptp(energies) < 5e-5  # eV/atom: no jumps either
    assert 100 < temperatures[len(temperatures) // 2 :].mean() < 500  # K: still a solid
    assert np.ptp(temperatures) > 20  # and it did move


def test_potential_is_as_good_as_it_says(slabs, potential):
    errors = []
    for image in slabs:
        atoms = image.copy()
        atoms.calc = potential
        errors.append(atoms.get_forces() - image.get_forces())
        energy = (atoms.get_potential_energy() - image.get_potential_energy()) / len(atoms)
        assert abs(energy) < 0.01
    assert np.sqrt(np.mean(np.square(errors))) < 1.1 * ALLOWED["force_rmse"]


def test_trained_forces_match_energy(slab):
    assert_forces_match_energy(slab, slab.calc, indices=[0, 13, 27])


def test_one_picosecond_of_dynamics_conserves_energy(slab):
    set_temperature(slab, 300.0)
    assert_conserved(*run_nve(slab, 1000), picoseconds=1.0)


@pytest.mark.slow
def test_ten_picoseconds_of_dynamics_conserve_energy(slab):
    set_temperature(slab, 300.0)
    assert_conserved(*run_nve(slab, 10000), picoseconds=10.0)


def test_energy_error_of_dynamics_falls_with_the_square_of_the_time_step(slab):
    spread = []
    for timestep in (4.0, 2.0):
        atoms = slab.copy()
        atoms.calc = slab.calc
        set_temperature(atoms, 300.0)
        spread.append(run_nve(atoms, int(160 / timestep), timestep)[0].std())
    assert 3.0 < spread[0] / spread[1] < 5.0


def test_momentum_is_conserved(slab):
    set_temperature(slab, 300.0)
    run_nve(slab, 50)
    assert_allclose(slab.get_momenta().sum(axis=0), 0.0, atol=1e-10)


def relax(atoms, fmax=0.01, steps=300):
    assert BFGS(atoms, logfile=None).run(fmax=fmax, steps=steps)
    return atoms


def test_relaxation_ends_in_a_minimum(slab):
    slab.set_constraint(
        FixAtoms([atom.index for atom in slab if atom.z < slab.positions[0, 2] + 1])
    )
    fixed = slab.constraints[0].index
    assert len(fixed) == 9
    before, energy = slab.positions.copy(), slab.get_potential_energy()
    relax(slab)
    assert np.abs(slab.get_forces()).max() < 0.01
    assert slab.get_potential_energy() < energy - 0.1
    assert_allclose(slab.positions[fixed], before[fixed], rtol=0, atol=0)
    free = [i for i in range(len(slab)) if i not in fixed]
    minimum = slab.get_potential_energy()
    for seed in range(5):
        nearby = slab.copy()
        nearby.calc = slab.calc
        nearby.positions[free] += np.random.default_rng(seed).normal(0.0, 0.03, (len(free), 3))
        assert nearby.get_potential_energy() > minimum


def test_cell_relaxation_ends_where_the_energy_is_least(bulk_potential):
    atoms = bulk("Cu", a=3.7)
    atoms.set_cell(atoms.cell.array @ [[1.01, 0.01, 0], [0, 0.99, 0.01], [0, 0, 1.0]], True)
    atoms.calc = bulk_potential
    assert np.abs(atoms.get_stress()).max() > 0.01
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    assert_allclose(atoms.get_stress(), 0.0, atol=1e-5)
    assert_allclose(stress_by_differences(atoms, bulk_potential), 0.0, atol=1e-5)
    assert 3.4 < np.cbrt(4 * atoms.get_volume()) < 3.8  # EMT: 3.59 Å
    volumes = atoms.get_volume() * np.linspace(0.95, 1.05, 21)
    fit = np.polynomial.Polynomial.fit(
        volumes, [energy_at(atoms, v, bulk_potential) for v in volumes], 8
    )
    (best,) = (
        root.real
        for root in fit.deriv().roots()
        if abs(root.imag) < 1e-9 and volumes[0] < root.real < volumes[-1]
    )
    assert atoms.get_volume() == pytest.approx(best, rel=1e-4)


def energy_at(atoms, volume, calc):
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * np.cbrt(volume / atoms.get_volume()), scale_atoms=True)
    scaled.calc = calc
    return scaled.get_potential_energy()


def test_pressure_is_minus_the_slope_of_energy_with_volume(bulk_potential):
    for a in (3.45, 3.6, 3.75):
        atoms = bulk("Cu", a=a)
        atoms.calc = bulk_potential
        volume, step = atoms.get_volume(), 1e-3
        slope = (
            energy_at(atoms, volume + step, bulk_potential)
            - energy_at(atoms, volume - step, bulk_potential)
        ) / (2 * step)
        assert atoms.get_stress()[:3].mean() == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("shared", [True, False], ids=["one calculator", "one each"])
def test_barrier_of_a_nudged_elastic_band_is_a_difference_of_energies(slab, shared):
    calc = slab.calc
    relax(slab, fmax=0.02)
    final = slab.copy()
    final.calc = calc
    final.positions[-1] += slab.cell[0] / 3  # to the next hollow of the same kind
    relax(final, fmax=0.02)
    images = [slab, *(slab.copy() for _ in range(3)), final]
    for image in images:
        image.calc = calc if shared else Amp(calc.descriptor, calc.model)
    band = NEB(images, climb=True, allow_shared_calculator=shared, method="improvedtangent")
    band.interpolate(mic=True)
    start = max(image.get_potential_energy() for image in images)
    BFGS(band, logfile=None).run(fmax=0.1, steps=40)
    energies = [image.get_potential_energy() for image in images]
    assert max(energies[1:-1]) < start  # it went downhill
    barrier, difference = NEBTools(images).get_barrier(fit=False)
    assert barrier == pytest.approx(max(energies) - energies[0], abs=1e-12)
    assert difference == pytest.approx(energies[-1] - energies[0], abs=1e-12)
    assert 0.0 < barrier < 3.0
    for image, energy in zip(images, energies, strict=True):  # each as if it were alone
        alone = image.copy()
        alone.calc = Amp(calc.descriptor, calc.model)
        assert alone.get_potential_energy() == energy


def test_translations_are_vibrations_without_a_frequency(slab, tmp_path):
    relax(slab, fmax=1e-3)
    vibrations = Vibrations(slab, name=str(tmp_path / "vib"), delta=0.005)
    vibrations.run()
    data = vibrations.get_vibrations()
    frequencies, modes = data.get_frequencies(), data.get_modes()
    order = np.argsort(np.abs(frequencies))
    assert (np.abs(frequencies[order[:3]]) < 1.0).all()  # 1/cm
    rest = frequencies[order[3:]]
    assert (rest.real > 10.0).all()
    assert_allclose(rest.imag, 0.0)
    for mode in modes[order[:3]]:
        assert_allclose(mode - mode.mean(axis=0), 0.0, atol=0.02 * np.abs(mode).max())
