"""Train a potential for ethanol, test it on images it has not seen, and run dynamics with it.

    python train_molecule.py            # one to three minutes on two cores
    python train_molecule.py --quick    # a few seconds, for a look; the errors stay large

Files are written into the current folder: ethanol.amp (the potential), ethanol-log.txt,
ethanol-parity.png and ethanol-md.traj; those of a quick run begin with ethanol-quick. A training
that is interrupted (Ctrl-C) goes on when this is run again. The data, energies and forces of
GFN2-xTB, are described in data/README.rst.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import units
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet

from amp import Amp
from amp.analysis import evaluate, plot_parity
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.utilities import TrainingConvergenceError

DATA = Path(__file__).resolve().parent / "data"
CUTOFF = 4.5  # Å


def symmetry_functions(elements, cutoff=CUTOFF):
    """Shells of neighbors at several distances (G2), and angles at fewer of them (G5)."""

    def eta(width):  # of a Gaussian of this width (Å); Amp's etas are scaled by the cutoff
        return 0.5 * (cutoff / width) ** 2

    shells = make_symmetry_functions(
        elements, "G2", etas=[eta(0.4)], offsets=np.arange(0.9, 3.4, 0.4)
    )
    angles = make_symmetry_functions(
        elements, "G5", etas=[eta(0.6)], offsets=[1.2, 2.0, 2.8], zetas=[1, 4], gammas=[1, -1]
    )
    return shells + angles


def train(train_images, label, quick):
    """Fit energies and forces; returns the calculator."""
    calc = Amp(
        descriptor=Gaussian(cutoff=CUTOFF, Gs=symmetry_functions(["C", "H", "O"])),
        model=NeuralNetwork(hiddenlayers=(16, 16), randomseed=0),
        label=label,
    )
    calc.model.lossfunction = LossFunction(
        force_coefficient=0.1,
        convergence={"energy_rmse": 0.001, "force_rmse": 0.04},
        maxiter=20 if quick else 3000,
    )
    try:
        # What was interrupted goes on; after a finished run the next one starts anew.
        calc.train(train_images, overwrite=Path(f"{label}.amp").exists())
    except TrainingConvergenceError as error:
        print(error)  # the calculator has the best parameters all the same
    return calc


def run_dynamics(calc, atoms, picoseconds, trajectory_file, temperature=300.0):
    """Run dynamics at constant energy; returns how far the total energy strays (eV/atom)."""
    atoms = atoms.copy()
    atoms.calc = calc
    thermal = np.sqrt(units.kB * temperature * atoms.get_masses())[:, None]
    atoms.set_momenta(thermal * np.random.default_rng(1).standard_normal((len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    with Trajectory(trajectory_file, "w", atoms) as trajectory:
        dynamics.attach(trajectory.write, interval=20)
        dynamics.run(round(picoseconds / 0.0005))
    return np.ptp(energies) / len(atoms)


def main(argv=None):
    """Do all of it and say what comes out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps with a few images")
    quick = parser.parse_args(argv).quick
    train_images = read(DATA / "ethanol_train.extxyz", index=":30" if quick else ":")
    test_images = read(DATA / "ethanol_test.extxyz", index=":10" if quick else ":")

    label = "ethanol-quick" if quick else "ethanol"  # a quick run keeps the files of a good one
    print(f"Training on {len(train_images)} images; see {label}-log.txt for each step.")
    calc = train(train_images, label, quick)
    calc.save(f"{label}.amp", overwrite=True)  # converged or not: this run is finished

    print(f"\nErrors on {len(test_images)} test images of other trajectories:")
    print(evaluate(calc, test_images).table())
    plot_parity(calc, test_images, plotfile=f"{label}-parity.png", overwrite=True)
    print(f"Parity plot: {label}-parity.png")

    picoseconds = 0.05 if quick else 1.0
    strayed = run_dynamics(calc, test_images[0], picoseconds, f"{label}-md.traj")
    print(
        f"{picoseconds:g} ps of dynamics ({label}-md.traj): "
        f"the total energy stayed within {1000 * strayed:.3f} meV/atom."
    )


if __name__ == "__main__":
    main()
