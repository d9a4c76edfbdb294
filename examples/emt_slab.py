"""Make training images of a metal surface with adsorbates in seconds, labelled by EMT.

A Cu(111) slab with oxygen atoms on it moves in Langevin dynamics; ASE's effective medium theory
gives energy, forces and stress. EMT is no serious description of oxygen on copper: these images
are for learning, testing and timing. Import the function, or write a file::

    python emt_slab.py --n-images 100 --temperature 300 500 --seed 1 slab.extxyz

The cell is periodic in all three directions, with about 12 Å of vacuum between the slabs: that
gives it a volume, which the stress is divided by, and means nothing else here.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from ase.build import add_adsorbate, fcc111
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write
from ase.md.langevin import Langevin

__all__ = ["label", "main", "make_slab_images"]

LATTICE_CONSTANT = 3.59  # Å, of copper in EMT
HEIGHT = 1.5  # Å, of a new adsorbate above the surface
HOLLOWS = ((0, 0), (1, 1), (2, 2), (1, 0), (2, 1), (0, 2))  # fcc sites of the 3x3 cell
TIMESTEP = 3.0  # fs
FRICTION = 0.02  # 1/fs
EQUILIBRATION = 100  # steps
INTERVAL = 20  # steps between images


def make_slab_images(
    n_images: int = 100,
    temperature: float | Sequence[float] = 500.0,
    seed: int = 0,
    *,
    adsorbates: Sequence[str] = ("O", "O"),
    strains: Sequence[float] = (-0.02, 0.0, 0.02),
) -> list[Atoms]:
    """Make images of Cu(111) 3x3 with adsorbates; the same arguments give the same images.

    One trajectory runs for each temperature and each strain, so that the stress has something to
    vary with. The lowest of the three layers is held while the atoms move; the images themselves
    carry no constraint and the forces are those of all atoms.

    Parameters
    ----------
    n_images : int
        Number of images over all trajectories, which take turns in the list.
    temperature : float or sequence of float
        Temperatures of the Langevin dynamics (K).
    seed : int
        Seed of the sites, velocities and random forces.
    adsorbates : sequence of str
        One to six of the elements H, C, N, O (or a metal EMT knows), each at its own fcc site.
    strains : sequence of float
        Changes of the lateral lattice constants, 0.02 for two percent longer.

    Returns
    -------
    list of Atoms
        With energy (eV), forces (eV/Å) and stress (eV/Å³) in a `SinglePointCalculator`, and
        ``config_type``, ``temperature``, ``strain``, ``trajectory`` in ``info``.
    """
    if not 0 < len(adsorbates) <= len(HOLLOWS):
        raise ValueError(f"Give one to {len(HOLLOWS)} adsorbates, not {len(adsorbates)}.")
    cases = list(itertools.product(np.atleast_1d(temperature).tolist(), strains))
    rngs = [np.random.default_rng([seed, case]) for case in range(len(cases))]
    runs = []
    for case, ((kelvin, strain), rng) in enumerate(zip(cases, rngs, strict=True)):
        n = len(range(case, n_images, len(cases)))
        run = _sample(_slab(adsorbates, strain, rng), n, kelvin, rng)
        for atoms in run:
            atoms.info.update(
                config_type="emt_slab",
                temperature=kelvin,
                strain=strain,
                trajectory=f"emt_slab-seed{seed}-{kelvin:g}K-strain{strain:+g}",
            )
        runs.append(run)
    return [runs[i % len(runs)][i // len(runs)] for i in range(n_images)]


def label(atoms: Atoms) -> Atoms:
    """Return a copy without constraints that carries EMT's energy, forces and stress."""
    image = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    image.calc = EMT()  # a new one, so that the numbers depend on the structure alone
    results = {
        "energy": float(image.get_potential_energy()),
        "forces": image.get_forces().copy(),
        "stress": image.get_stress().copy(),
    }
    image.calc = SinglePointCalculator(image, **results)
    return image


def main(argv: Sequence[str] | None = None) -> None:
    """Write images to an extxyz file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", nargs="?", default="slab.extxyz")
    parser.add_argument("--n-images", type=int, default=100)
    parser.add_argument("--temperature", type=float, nargs="+", default=[500.0], help="K")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    images = make_slab_images(arguments.n_images, arguments.temperature, arguments.seed)
    write(arguments.output, images, format="extxyz")


def _slab(adsorbates: Sequence[str], strain: float, rng: np.random.Generator) -> Atoms:
    """Three layers of copper with adsorbates at random fcc sites; the lowest layer is fixed."""
    atoms = fcc111("Cu", (3, 3, 3), a=LATTICE_CONSTANT, vacuum=6.0, periodic=True)
    sites = rng.permutation(len(HOLLOWS))
    for element, site in zip(adsorbates, sites, strict=False):
        add_adsorbate(atoms, element, HEIGHT, "fcc", offset=HOLLOWS[site])
    atoms.set_cell(atoms.cell * np.array([[1 + strain], [1 + strain], [1.0]]), scale_atoms=True)
    atoms.set_constraint(FixAtoms(mask=atoms.get_tags() == 3))
    return atoms


def _sample(
    atoms: Atoms, n_images: int, temperature: float, rng: np.random.Generator
) -> list[Atoms]:
    """Run Langevin dynamics and label an image every so many steps."""
    atoms.calc = EMT()
    widths = np.sqrt(units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(rng.standard_normal(atoms.positions.shape) * widths[:, None])
    dynamics = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=temperature,
        friction=FRICTION / units.fs,
        fixcm=False,
        rng=rng,
    )
    images = []
    for image in range(n_images):
        dynamics.run(INTERVAL if image else EQUILIBRATION)
        images.append(label(atoms))
    return images


if __name__ == "__main__":
    main()
