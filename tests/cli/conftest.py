"""A file of images and a potential that the command made of it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Octahedron
from ase.io import write

from amp.cli.main import main


class Files(NamedTuple):
    images: Path
    potential: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(3)
    images = []
    for i in range(4):
        atoms = Octahedron("Cu", 2)
        atoms.rattle(0.1, rng=rng)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info["config_type"] = "first" if i < 2 else "second"
        images.append(atoms)
    path = folder / "images.extxyz"
    write(path, images)
    label = folder / "cu"
    goals = ["--energy-rmse", "0.05", "--force-rmse", "1.5"]
    assert main(["train", str(path), "--label", str(label), "--hidden", "3", "2", "--cutoff", "4",
                 "--cache", "all", "--seed", "1", "--cores", "1", *goals]) == 0  # fmt: skip
    return Files(path, folder / "cu.amp", folder / "cu-checkpoint.amp")


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
