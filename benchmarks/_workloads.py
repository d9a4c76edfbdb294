"""What is timed: structures and potentials, the same ones every time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import add_adsorbate, bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from amp import Amp
from amp.convert import from_n2p2
from amp.core.images import hash_images
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model.neuralnetwork import NeuralNetwork

__all__ = ["Missing", "copper_40", "made_slabs", "silicon", "slabs", "untrained", "water"]

BOHR = units.Bohr
SILICON_CUTOFF = 10.3935 * BOHR


class Missing(Exception):
    """A structure file is not there; the message says which, and how to tell where it is."""


def shared(*names: str) -> Path:
    """Find a file or folder of the larger reference data."""
    folder = os.environ.get("AMP_SHARED")
    path = Path(folder or ".", *names)
    if folder and path.exists():
        return path
    where = f"is not in {folder}" if folder else "is needed; set AMP_SHARED to its folder"
    raise Missing(f"{'/'.join(names)} {where}")


def slabs() -> list[Atoms]:
    """Read 100 slabs of 37 atoms of Cu, Pt and O, with energies and forces."""
    return list(read(shared("data", "benchmarks", "slab_CuPtO.extxyz"), ":"))


def made_slabs(n_images: int) -> list[Atoms]:
    """Make slabs like these, shaken at random."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(n_images):
        atoms = fcc111("Cu", (3, 3, 4), a=3.61, vacuum=7.0)
        atoms.symbols[rng.choice(len(atoms), 5, replace=False)] = "Pt"
        add_adsorbate(atoms, "O", 1.2, "fcc")
        atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
        atoms.info.clear()  # what ASE noted of the surface cannot be written to files
        calc = EMT()
        energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    return images


def water() -> tuple[Atoms, Amp]:
    """Read 360 molecules of liquid water and n2p2's potential for them."""
    atoms = read(shared("data", "benchmarks", "water_1080.extxyz"))
    return atoms, from_n2p2(shared("conformance", "n2p2", "H2O_RPBE-D3"))


def silicon(repeat: tuple[int, int, int]) -> tuple[Atoms, Amp]:
    """Make shaken diamond cells, and the 27 functions and the network n2p2 was timed with."""
    atoms = bulk("Si", "diamond", a=5.469, cubic=True) * repeat
    atoms.positions += np.random.RandomState(0).normal(0, 0.1, atoms.positions.shape)
    etas = [eta * 10.3935**2 for eta in (0.01, 0.02, 0.05)]
    functions = make_symmetry_functions(["Si"], "G2", etas, offsets=[7.5589 * BOHR])
    functions += make_symmetry_functions(["Si"], "G4", etas, zetas=[1, 2, 4, 16], gammas=[1, -1])
    return atoms, untrained(Gaussian(SILICON_CUTOFF, Gs=functions), (24, 24), atoms)


def copper_40() -> tuple[Atoms, Amp]:
    """Make a small slab and a cheap potential, so that the calculator's own time stands out."""
    atoms = fcc111("Cu", (2, 5, 4), vacuum=7.0)
    atoms.positions += np.random.RandomState(0).normal(0, 0.05, atoms.positions.shape)
    functions = make_symmetry_functions(["Cu"], "G2", [0.05, 4.0])
    return atoms, untrained(Gaussian(3.5, Gs=functions), (5, 5), atoms)


def untrained(descriptor: Gaussian, layers: tuple[int, ...], *images: Atoms) -> Amp:
    """Make a potential with random weights; speed does not depend on them."""
    model = NeuralNetwork(layers, randomseed=0)
    descriptor.prepare({symbol for atoms in images for symbol in atoms.symbols})
    fingerprints = descriptor.fingerprint_images(hash_images(list(images)))
    model.initialize(fingerprints, np.zeros(len(images)))
    return Amp(descriptor, model)
