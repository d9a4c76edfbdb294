"""Make the reference data of ``examples/data``: ethanol and small water clusters, GFN2-xTB.

Molecular dynamics (Langevin, gas phase) visits the structures; each kept structure is then labelled
anew with a tightly converged calculation, at the positions as they stand in the file. Train and
test images come from different trajectories: other starts, other random numbers.

Run it from anywhere; it needs ``ase``, ``numpy``, ``scipy`` and ``tblite``::

    OMP_NUM_THREADS=1 python tools/make_example_data.py             # all four files, ~25 minutes
    OMP_NUM_THREADS=1 python tools/make_example_data.py --sets water
    OMP_NUM_THREADS=1 python tools/make_example_data.py --check     # only check what is there

Each trajectory draws from a generator seeded with ``--seed`` and the trajectory's name, so a set
can be remade alone. Molecular dynamics is chaotic: another machine or another tblite gives other
structures from the same distribution, not the same file.

GFN2-xTB: C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.spatial.transform import Rotation

__all__ = ["ethanol_trajectories", "label", "main", "sample", "water_trajectories"]

SEED = 2024
METHOD = "GFN2-xTB"
MD_ACCURACY = 1.0  # tblite's default, enough to move atoms
LABEL_ACCURACY = 0.01  # a hundred times tighter thresholds for the numbers that are kept
DECIMALS = 8  # what extxyz writes; positions are rounded before they are labelled

TIMESTEP = 0.5  # fs
FRICTION = 0.02  # 1/fs: velocities forget themselves in 50 fs
EQUILIBRATION = 2000.0  # fs
LONGEST_HYDROGEN_BOND = 4.0  # Å between oxygens; beyond it a molecule counts as gone
LONGEST_BOND = 1.4  # Å between O and H of one molecule; beyond it the molecule is broken


@dataclass(frozen=True)
class Trajectory:
    """One molecular dynamics run and what to keep of it."""

    config_type: str
    name: str
    start: Callable[[np.random.Generator], Atoms]  # gives relaxed atoms
    temperature: float  # K
    interval: float  # fs between kept images
    n_images: int
    is_whole: Callable[[Atoms], bool]  # images for which this is false are not kept


def main(argv: Sequence[str] | None = None) -> None:
    """Make and check the data files; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = Path(__file__).resolve().parents[1] / "examples" / "data"
    parser.add_argument("--output", type=Path, default=here, help="folder of the files")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--check", action="store_true", help="check the files, make none")
    arguments = parser.parse_args(argv)
    print(f"tblite {version('tblite')}, ase {version('ase')}, seed {arguments.seed}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        files = {split: arguments.output / f"{name}_{split}.extxyz" for split in SIZES[name]}
        if not arguments.check:
            for split, n_images in SIZES[name].items():
                runs = SETS[name](split, n_images)
                images = interleave([sample(run, arguments.seed) for run in runs])
                write(files[split], images, format="extxyz")
        check({split: read(path, index=":") for split, path in files.items()}, name)


# ------------------------------------------------------------------------------ the trajectories


def ethanol_trajectories(split: str, n_images: int) -> list[Trajectory]:
    """Ethanol at 300, 500 and 800 K, each from the anti and from a gauche conformer."""
    angles = {"anti": 180.0, "gauche": 60.0 if split == "train" else -60.0}  # the mirror image
    cases = list(itertools.product((300, 500, 800), angles))
    return [
        Trajectory(
            config_type="ethanol",
            name=f"ethanol-{split}-{temperature}K-{conformer}",
            start=lambda rng, angle=angles[conformer]: ethanol(angle, rng),
            temperature=temperature,
            interval=200.0,
            n_images=n,
            is_whole=lambda atoms: True,
        )
        for (temperature, conformer), n in zip(cases, shares(n_images, len(cases)), strict=True)
    ]


def water_trajectories(split: str, n_images: int) -> list[Trajectory]:
    """(H2O)2 to (H2O)6 at 150, 250 and 350 K, each from its own relaxed cluster."""
    cases = list(itertools.product((2, 3, 4, 5, 6), (150, 250, 350)))
    return [
        Trajectory(
            config_type=f"water_{n_molecules}",
            name=f"water-{split}-{n_molecules}-{temperature}K",
            start=lambda rng, n_molecules=n_molecules: water_cluster(n_molecules, rng),
            temperature=temperature,
            interval=250.0,
            n_images=n,
            is_whole=is_one_cluster,
        )
        for (n_molecules, temperature), n in zip(cases, shares(n_images, len(cases)), strict=True)
    ]


SETS = {"ethanol": ethanol_trajectories, "water": water_trajectories}
SIZES = {"ethanol": {"train": 300, "test": 100}, "water": {"train": 250, "test": 100}}


def shares(total: int, n_parts: int) -> list[int]:
    """Split a number into parts that differ by one at most."""
    return [total // n_parts + (part < total % n_parts) for part in range(n_parts)]


def interleave(runs: list[list[Atoms]]) -> list[Atoms]:
    """Deal the images out in turn, so that the head of a file is a fair sample of all of it."""
    rounds = itertools.zip_longest(*runs)
    return [atoms for row in rounds for atoms in row if atoms is not None]


# ----------------------------------------------------------------------------- starting structures


def ethanol(angle: float, rng: np.random.Generator) -> Atoms:
    """Relaxed ethanol near a C-C-O-H dihedral angle (degrees), then shaken a little."""
    atoms = molecule("CH3CH2OH")
    oxygen = atoms.symbols.search("O")[0]
    carbons = sorted(atoms.symbols.search("C"), key=lambda c: atoms.get_distance(c, oxygen))
    hydroxyl = min(atoms.symbols.search("H"), key=lambda h: atoms.get_distance(h, oxygen))
    atoms.set_dihedral(carbons[1], carbons[0], oxygen, hydroxyl, angle, indices=[hydroxyl])
    relax(atoms)
    atoms.rattle(0.03, rng=rng)
    return atoms


def water_cluster(n_molecules: int, rng: np.random.Generator, n_tries: int = 6) -> Atoms:
    """Return the lowest of some randomly started, relaxed clusters."""
    found: list[Atoms] = []
    while len(found) < n_tries:
        atoms = scattered_water(n_molecules, rng)
        relax(atoms)
        if is_one_cluster(atoms):
            found.append(atoms)
    return min(found, key=lambda atoms: atoms.get_potential_energy())


def scattered_water(n_molecules: int, rng: np.random.Generator) -> Atoms:
    """Molecules of random orientation, no two oxygens closer than 2.6 Å."""
    radius = 1.9 * n_molecules ** (1 / 3)
    oxygens: list[np.ndarray] = []
    while len(oxygens) < n_molecules:
        place = rng.uniform(-radius, radius, size=3)
        if all(np.linalg.norm(place - other) > 2.6 for other in oxygens):
            oxygens.append(place)
    atoms = Atoms()
    for place in oxygens:
        water = molecule("H2O")  # oxygen first
        arms = water.positions - water.positions[0]
        water.positions = place + Rotation.from_quat(rng.normal(size=4)).apply(arms)
        atoms += water
    return atoms


def relax(atoms: Atoms) -> None:
    """Relax in place to forces below 0.02 eV/Å, or as far as 300 steps go."""
    atoms.calc = calculator(MD_ACCURACY)
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=300)


def is_one_cluster(atoms: Atoms) -> bool:
    """Say whether the molecules are whole and hang together (atoms in order O, H, H)."""
    positions = atoms.positions.reshape(-1, 3, 3)  # (n_molecules, atom of the molecule, xyz)
    bonds = np.linalg.norm(positions[:, 1:] - positions[:, :1], axis=-1)
    linked = squareform(pdist(positions[:, 0])) < LONGEST_HYDROGEN_BOND
    return bool(bonds.max() < LONGEST_BOND and connected_components(linked)[0] == 1)


# ------------------------------------------------------------------------------ dynamics and labels


def calculator(accuracy: float):
    """Return a silent GFN2-xTB calculator."""
    from tblite.ase import TBLite

    return TBLite(method=METHOD, accuracy=accuracy, verbosity=0)


def sample(run: Trajectory, seed: int) -> list[Atoms]:
    """Run one trajectory and return its labelled images.

    A structure that is no longer whole is not kept: the run goes back to the last good one, with
    new velocities. This is how water clusters warmer than they would stand for long are sampled.
    """
    rng = np.random.default_rng([seed, zlib.crc32(run.name.encode())])
    atoms = run.start(rng)
    atoms.calc = calculator(MD_ACCURACY)
    good = atoms.positions.copy()
    images: list[Atoms] = []
    n_lost = 0
    wait = EQUILIBRATION
    heat(atoms, run.temperature, rng)
    while len(images) < run.n_images:
        dynamics = Langevin(
            atoms,
            TIMESTEP * units.fs,
            temperature_K=run.temperature,
            friction=FRICTION / units.fs,
            fixcm=False,
            rng=rng,
        )
        # The start-up is walked in short steps too, so that a cluster cannot be gone for long.
        for _ in range(max(1, round(wait / run.interval))):
            dynamics.run(round(run.interval / TIMESTEP))
            if not run.is_whole(atoms):
                n_lost += 1
                atoms.positions = good
                heat(atoms, run.temperature, rng)
                break
            good = atoms.positions.copy()
        else:
            wait = run.interval
            images.append(label(atoms))
            images[-1].info.update(
                config_type=run.config_type,
                temperature=run.temperature,
                trajectory=run.name,
                index_in_trajectory=len(images) - 1,
                method=METHOD,
            )
        if n_lost > 50 * run.n_images:
            raise RuntimeError(f"{run.name} falls apart again and again; lower its temperature.")
    print(f"{run.name}: {len(images)} images, went back {n_lost} times", flush=True)
    return images


def heat(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw new velocities from the Maxwell-Boltzmann distribution."""
    widths = np.sqrt(units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(rng.standard_normal(atoms.positions.shape) * widths[:, None])


def label(atoms: Atoms) -> Atoms:
    """Return a centred copy with energy (eV) and forces (eV/Å), at the positions a file will hold.

    The calculator is new, so that the label depends on the structure alone.
    """
    image = Atoms(atoms.symbols, positions=atoms.positions - atoms.get_center_of_mass())
    image.positions = image.positions.round(DECIMALS)
    image.calc = calculator(LABEL_ACCURACY)
    forces = image.get_forces()
    energy = image.get_potential_energy()
    image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
    return image


# ----------------------------------------------------------------------------------------- checks


def check(splits: dict[str, list[Atoms]], name: str) -> None:
    """Check labels, distances and the separation of train and test; print what there is."""
    for split, images in splits.items():
        error = max(force_error(images[i]) for i in range(0, len(images), len(images) // 3))
        closest = min(pdist(atoms.positions).min() for atoms in images)
        assert error < 1e-4, f"forces differ from the slope of the energy by {error} eV/Å"
        assert closest > 0.7, f"two atoms are {closest} Å apart"
        print(f"\n{name} {split}: {len(images)} images, closest atoms {closest:.3f} Å, "
              f"forces against differences {error:.1e} eV/Å")  # fmt: skip
        for kind in sorted({atoms.info["config_type"] for atoms in images}):
            describe(kind, [atoms for atoms in images if atoms.info["config_type"] == kind])
    runs = [{atoms.info["trajectory"] for atoms in images} for images in splits.values()]
    assert not set.intersection(*runs), "train and test share a trajectory"
    for kind in sorted({atoms.info["config_type"] for atoms in splits["train"]}):
        shapes = [shape_vectors(images, kind) for images in splits.values()]
        within, across = pdist(shapes[0]).min(), cdist(*shapes).min()
        outside = np.mean((shapes[1] < shapes[0].min(0)) | (shapes[1] > shapes[0].max(0)))
        assert min(within, across) > 1e-2, f"two {kind} images are the same"
        print(f"{kind}: nearest images differ by {within:.3f} Å within train and {across:.3f} Å "
              f"to test; {outside:.1%} of test distances lie outside train's range")  # fmt: skip


def force_error(image: Atoms, h: float = 4e-3) -> float:
    """Largest difference of the stored forces from five-point differences of energies (eV/Å)."""
    atoms = image.copy()
    worst = 0.0
    for index in np.ndindex(image.positions.shape):
        energies = []
        for step in (-2, -1, 1, 2):
            atoms.positions = image.positions
            atoms.positions[index] += step * h
            atoms.calc = calculator(LABEL_ACCURACY)
            energies.append(atoms.get_potential_energy())
        slope = np.dot(energies, [1, -8, 8, -1]) / (12 * h)
        worst = max(worst, abs(slope + image.get_forces()[index]))
    return worst


def describe(kind: str, images: list[Atoms]) -> None:
    """Print how energies and forces are spread, per temperature."""
    for temperature in sorted({atoms.info["temperature"] for atoms in images}):
        some = [atoms for atoms in images if atoms.info["temperature"] == temperature]
        energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in some])
        forces = np.concatenate([atoms.get_forces() for atoms in some])
        rms, largest = np.sqrt(np.mean(forces**2)), abs(forces).max()
        print(f"  {kind} {temperature:.0f} K: {len(some)} images, energy per atom "
              f"{energies.mean():.5f} eV +- {1e3 * energies.std():.2f} meV, "
              f"force rms {rms:.3f}, largest {largest:.2f} eV/Å")  # fmt: skip


def shape_vectors(images: Iterable[Atoms], kind: str) -> np.ndarray:
    """Sorted distances of every image of one kind, shape (n_images, n_distances), Å."""
    some = [atoms for atoms in images if atoms.info["config_type"] == kind]
    return np.array([np.sort(pdist(atoms.positions)) for atoms in some])


if __name__ == "__main__":
    main()
