"""Time the neighbor list beside other libraries, and the skin list along MD trajectories.

Run ``python benchmarks/neighbors.py [--skins]``. Structure files are taken from the
folder named by the environment variable AMP_SHARED_DATA (its ``benchmarks`` folder); without it,
structures of the same size and density are generated. Libraries that are not installed are left
out.
"""

import argparse
import importlib
import os
import platform
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.io import read
from ase.md.verlet import VelocityVerlet
from ase.neighborlist import primitive_neighbor_list

from amp.core.neighbors import NeighborList, neighbor_pairs

__all__ = ["main"]

SKINS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def rattled(atoms, scale=0.1):
    atoms.positions += np.random.RandomState(0).normal(scale=scale, size=atoms.positions.shape)
    return atoms


def shared(name, stand_in):
    folder = os.environ.get("AMP_SHARED_DATA")
    path = Path(folder or ".", "benchmarks", name)
    return read(path, index="0") if folder and path.exists() else stand_in()


def water_like():
    """Random points at the density of water, no two closer than 0.9 Å."""
    edge, rng = 22.8, np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(11)] * 3), axis=-1).reshape(-1, 3)[:1080]
    positions = (grid + rng.uniform(-0.25, 0.25, grid.shape)) * edge / 11
    return Atoms("H1080", positions, cell=[edge] * 3, pbc=True)


def workloads():
    """Name, structure and cutoff (Å)."""
    silicon = bulk("Si", "diamond", a=5.469, cubic=True)
    slab = shared("slab_CuPtO.extxyz", lambda: rattled(fcc111("Cu", (3, 3, 4), vacuum=7.0)))
    return {
        "slab": (slab, 6.5),
        "Si": (rattled(silicon * (4, 4, 4)), 5.5),
        "water": (shared("water_1080.extxyz", water_like), 6.35),
        "Si 2k": (rattled(silicon * (6, 6, 7)), 5.5),
        "Si 20k": (rattled(silicon * (13, 14, 14)), 5.5),
        "Si 100k": (rattled(silicon * (23, 23, 24)), 5.5),
    }


def rivals():
    """Return functions (atoms, cutoff) -> distances, by name."""

    def fresh(atoms, cutoff):
        return neighbor_pairs(atoms, cutoff).distances

    skin_lists = {}

    def reused(atoms, cutoff):
        return skin_lists.setdefault(id(atoms), NeighborList(cutoff)).update(atoms).distances

    def ase(atoms, cutoff):
        arguments = (atoms.pbc, atoms.cell.array, atoms.positions, cutoff)
        return primitive_neighbor_list("ijDd", *arguments)[3]

    found = {"amp": fresh, "amp reused": reused}
    if vesin := installed("vesin"):

        def vesin_list(atoms, cutoff):
            calculator = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
            return calculator.compute(atoms.positions, atoms.cell.array, atoms.pbc, "ijDd")[3]

        found["vesin"] = vesin_list
    if matscipy := installed("matscipy.neighbours"):
        found["matscipy"] = lambda a, cutoff: matscipy.neighbour_list("ijDd", a, cutoff)[3]
    return found | {"ase": ase}


def installed(name):
    """Import a library, timed, or say that it is left out."""
    start = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        print(f"{name} left out: {error}")
        return None
    print(f"{name} imported in {time.perf_counter() - start:.2f} s (not counted below)")
    return module


def microseconds(function, *arguments, seconds=0.5):
    """Best time of a call (µs), warmed up: what the machine can do when it is left alone."""
    function(*arguments)
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - before)
    return 1e6 * min(times)


def compare():
    functions = rivals()
    print(f"\nµs per atom, one call; {platform.machine()}, {os.cpu_count()} cores, numpy arrays")
    print("".join(f"{title:>12}" for title in ("", "atoms", "neighbors", *functions)))
    for name, (atoms, cutoff) in workloads().items():
        n_pairs = len(neighbor_pairs(atoms, cutoff).first)
        cells = [f"{name:>12}{len(atoms):12d}{n_pairs / len(atoms):12.1f}"]
        for title, function in functions.items():
            if title == "ase" and len(atoms) > 30000:
                cells.append(f"{'-':>12}")  # needs gigabytes
                continue
            assert len(function(atoms, cutoff)) == n_pairs, title
            cells.append(f"{microseconds(function, atoms, cutoff) / len(atoms):12.3f}")
        print("".join(cells), flush=True)


def trajectory(temperature, n_steps=150):
    """Positions of Cu in EMT dynamics, steps of 2 fs, and a structure to put them into."""
    atoms = rattled(bulk("Cu", cubic=True) * (5, 5, 5), 0.05)
    atoms.calc = EMT()
    # half of the kinetic energy turns into potential energy
    spread = np.sqrt(2 * temperature * units.kB * atoms.get_masses()[:, None])
    atoms.set_momenta(spread * np.random.RandomState(1).normal(size=(len(atoms), 3)))
    dynamics, steps = VelocityVerlet(atoms, 2 * units.fs), []
    dynamics.attach(lambda: steps.append(atoms.positions.copy()))
    dynamics.run(n_steps)
    return atoms, steps


def compare_skins(cutoff=6.0):
    print(f"\nskin list along MD of 500 Cu atoms, steps of 2 fs, cutoff {cutoff} Å")
    print("".join(f"{title:>14}" for title in ("T (K)", "skin (Å)", "builds/step", "µs/atom/step")))
    for temperature in (300, 1200):
        atoms, steps = trajectory(temperature)

        def follow(skin, atoms=atoms, steps=steps):
            skin_list = NeighborList(cutoff, skin=skin)
            for positions in steps:
                atoms.positions = positions
                skin_list.update(atoms)
            return skin_list.n_builds / len(steps)

        for skin in SKINS:
            per_step = microseconds(follow, skin) / len(steps) / len(atoms)
            print(f"{temperature:14d}{skin:14.1f}{follow(skin):14.3f}{per_step:14.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skins", action="store_true", help="compare skins along MD instead")
    if parser.parse_args().skins:
        compare_skins()
    else:
        compare()


if __name__ == "__main__":
    main()
