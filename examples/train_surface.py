"""Train a potential for a metal surface on energies, forces and stress, and relax with it.

    python train_surface.py            # less than a minute on two cores
    python train_surface.py --quick    # a few seconds, for a look; the errors stay large

The images, Cu(111) with oxygen on it, are made by emt_slab.py beside this file; those that the
potential is tested on come from other trajectories. In the end the atoms and the lateral cell of a
test image are relaxed with the potential, and with EMT, which it has learned from. Files are
written into the current folder: surface.amp (the potential) and surface-log.txt; those of a quick
run begin with surface-quick. A training that is interrupted (Ctrl-C) goes on when this is run
again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from emt_slab import make_slab_images

from amp import Amp
from amp.analysis import evaluate
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.utilities import TrainingConvergenceError

CUTOFF = 5.0  # Å
LATERAL = [True, True, False, False, False, True]  # xx yy zz yz xz xy: the vacuum stays


def symmetry_functions(elements, cutoff=CUTOFF):
    """Shells of neighbors on an even grid of distances (G2), and angles at fewer of them (G5)."""
    shells, rings = np.linspace(1.6, cutoff - 0.3, 8), np.linspace(1.8, cutoff - 1.0, 3)

    def eta(centers):  # of Gaussians as wide as their spacing; scaled by the cutoff
        return 0.5 * (cutoff / (centers[1] - centers[0])) ** 2

    return make_symmetry_functions(
        elements, "G2", etas=[eta(shells)], offsets=shells
    ) + make_symmetry_functions(
        elements, "G5", etas=[eta(rings)], offsets=rings, zetas=[1, 4], gammas=[1, -1]
    )


def train(images, label, quick):
    """Fit energies, forces and stresses; returns the calculator."""
    calc = Amp(
        descriptor=Gaussian(cutoff=CUTOFF, Gs=symmetry_functions(["Cu", "O"])),
        model=NeuralNetwork(hiddenlayers=(10, 10), randomseed=0),
        label=label,
    )
    calc.model.lossfunction = LossFunction(
        force_coefficient=0.04,
        # Stresses in eV/Å^3 are small numbers: 0.001 eV/Å^3 (0.16 GPa) shall weigh about as much
        # as 0.05 eV/Å.
        stress_coefficient=100.0,
        convergence={"energy_rmse": 0.002, "force_rmse": 0.04, "stress_rmse": 0.0005},
        maxiter=10 if quick else 800,
    )
    try:
        # What was interrupted goes on; after a finished run the next one starts anew.
        calc.train(images, overwrite=Path(f"{label}.amp").exists())
    except TrainingConvergenceError as error:
        print(error)  # the calculator has the best parameters all the same
    return calc


def relax(atoms, calc, steps):
    """Relax the atoms and the lateral cell; returns the relaxed copy."""
    atoms = atoms.copy()
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms, mask=LATERAL), logfile=None).run(fmax=0.05, steps=steps)
    return atoms


def main(argv=None):
    """Do all of it and say what comes out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps with a few images")
    quick = parser.parse_args(argv).quick
    temperatures = [300.0, 600.0]
    train_images = make_slab_images(6 if quick else 120, temperatures, seed=0)
    test_images = make_slab_images(6 if quick else 30, temperatures, seed=1)

    label = "surface-quick" if quick else "surface"  # a quick run keeps the files of a good one
    print(f"Training on {len(train_images)} images; see {label}-log.txt for each step.")
    calc = train(train_images, label, quick)
    calc.save(f"{label}.amp", overwrite=True)  # converged or not: this run is finished

    print(f"\nErrors on {len(test_images)} test images of other trajectories:")
    print(evaluate(calc, test_images).table())

    print("\nA test image relaxed, atoms and lateral cell:")
    for name, calculator in (("Amp", calc), ("EMT", EMT())):
        atoms = relax(test_images[0], calculator, steps=3 if quick else 200)
        print(
            f"{name}: {atoms.cell.lengths()[0] / 3:.4f} Å from atom to atom, "
            f"energy {atoms.get_potential_energy():.3f} eV"
        )


if __name__ == "__main__":
    main()
