"""Time angular functions (G5) by triplets and by moments, for more and more neighbors.

Run ``python benchmarks/moments.py``. It prints µs per atom of fingerprints and of forces, which of
the two ways would be taken by itself, and how far apart their forces are.
"""

import time

import numpy as np
from ase.build import bulk

from amp.core.neighbors import neighbor_pairs
from amp.descriptor._evaluation import contract, fill_values
from amp.descriptor._plan import make_plan
from amp.descriptor.cutoffs import Cosine

__all__ = ["main"]

CUTOFFS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
SETS = {"1": [1], "1 2 4": [1, 2, 4], "1 2 4 8": [1, 2, 4, 8]}


def plans(zetas, n_etas, cutoff):
    """Functions of one element, with two gammas, and the same by triplets or moments alone."""
    functions = [
        {"type": "G5", "elements": ["Cu", "Cu"], "eta": 0.5 * eta, "zeta": zeta, "gamma": gamma}
        for eta in range(n_etas)
        for zeta in zetas
        for gamma in (1.0, -1.0)
    ]
    plan = make_plan({"Cu": functions}, ("Cu",), Cosine(cutoff))
    none, some = 0.0 * plan.triplet_costs, 1.0 + plan.triplet_costs
    no_cost = 0.0 * plan.moment_costs
    return {
        "own": plan,
        "triplets": plan._replace(triplet_costs=none, moment_costs=no_cost),
        "moments": plan._replace(triplet_costs=some, moment_costs=no_cost, fewest=2),
    }


def microseconds(work, n_atoms):
    """Give the least time per atom of several calls."""
    work()
    times = []
    for _ in range(7):
        start = time.process_time()
        for _ in range(3):
            work()
        times.append((time.process_time() - start) / 3)
    return 1e6 * min(times) / n_atoms


def evaluations(plan, pairs, n_atoms):
    """Give functions that compute fingerprints and forces."""
    species, length = np.zeros(n_atoms, dtype=np.int64), int(plan.lengths[0])
    starts, out = np.arange(n_atoms) * length, np.empty(n_atoms * length)
    slopes = np.random.default_rng(0).normal(size=len(out))
    return (
        lambda: fill_values(plan, species, pairs, starts, out),
        lambda: contract(plan, species, pairs, starts, slopes)[0],
    )


def main():
    """Print a table."""
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    atoms.rattle(0.05, seed=0)
    n = len(atoms)
    print("zeta      etas neighbors  fingerprints: triplets moments      forces: triplets moments")
    for name, zetas in SETS.items():
        for n_etas in (1, 6):
            for cutoff in CUTOFFS:
                pairs = neighbor_pairs(atoms, cutoff)
                ways = {
                    w: evaluations(p, pairs, n) for w, p in plans(zetas, n_etas, cutoff).items()
                }
                times = [
                    [microseconds(ways[way][i], n) for way in ("triplets", "moments")]
                    for i in range(2)
                ]
                forces = {way: both[1]() for way, both in ways.items()}
                apart = np.abs(forces["moments"] - forces["triplets"]).max()
                apart /= np.abs(forces["triplets"]).max()
                taken = "moments" if np.any(forces["own"] != forces["triplets"]) else "triplets"
                print(
                    f"{name:9} {n_etas:4} {len(pairs.second) / n:9.1f} "
                    + " ".join(f"{a:22.2f} {b:7.2f} x{a / b:4.1f}" for a, b in times)
                    + f"  {taken:8} {apart:.0e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
