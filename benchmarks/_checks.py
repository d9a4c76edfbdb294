"""The short version: speed as ratios and counts, which a busy or another machine leaves alone.

A ratio is our processor time over that of something fixed, in turn and in the same run, the least
of several each. CALIBRATED are the ratios of a quiet machine. A check fails when a ratio is more
than twice as large and stays so when it is measured again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _rows import about, alternate, reader, write_checks
from _sections import md_step, mover, one_core, training_set
from _start import Installation
from _workloads import copper_40, made_slabs, silicon
from ase import units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from amp.core.images import get_hash, hash_images
from amp.core.neighbors import neighbor_pairs
from amp.descriptor.gaussian import Gaussian

__all__ = ["CALIBRATED", "Check", "main", "settle"]

# x86-64, AVX-512, 2 cores, one of them kept busy by others
CALIBRATED = {
    "loss over reading": 4.0,
    "derivatives over arithmetic": 12.0,
    "MD step over arithmetic": 2.0,
    "neighbor list over arithmetic": 0.27,
    "hashing over arithmetic": 1.1,
    "calculator over copying atoms": 16.0,
    "4096 atoms over 512, each": 1.0,
    "first forces over importing numba": 4.0,
}
ATTEMPTS = 3
REPEATS = 5


@dataclass(frozen=True)
class Check:
    """A ratio or count, and the most that is accepted."""

    name: str
    value: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether the value is no more than accepted."""
        return self.value <= self.most

    def __str__(self) -> str:
        verdict = "" if self.holds else "  TOO MUCH"
        return f"{self.name:44s} {self.value:9.3g}   at most {self.most:<7g}{verdict}"


def settle(name: str, measure: Callable[[], float], attempts: int = ATTEMPTS) -> Check:
    """Measure a ratio; again when it is too large, for load can make it so and passes."""
    most = 2.0 * CALIBRATED[name]
    values: list[float] = []
    while len(values) < attempts and not (values and values[-1] <= most):
        values.append(measure())
    return Check(name, min(values), most)


def main(json: Path | None = None) -> int:
    """Check everything; 1 if something fails."""
    told = about()
    print(f"commit {told['commit']}; {told['machine']['processor']}, Python {told['python']}")
    checks = []
    for check in run():
        checks.append(check)
        print(check, flush=True)
    if json:
        write_checks(json, [vars(check) | {"holds": check.holds} for check in checks])
    failed = [check.name for check in checks if not check.holds]
    if failed:
        print(
            f"Slower than it was, or more work than it was: {', '.join(failed)}.", file=sys.stderr
        )
    return 1 if failed else 0


def run() -> Iterator[Check]:
    """Give one check after the other."""
    with one_core():
        for name, measure in ratios():
            yield settle(name, measure)
    yield neighbor_list_builds()
    yield from new_processes()


def ratios() -> Iterator[tuple[str, Callable[[], float]]]:
    """Give names and measurements of ratios."""
    images = made_slabs(100)
    model, data = training_set(images, (5, 5))
    read, factor = reader(data.fingerprints.derivatives.values.nbytes)
    evaluate = partial(model.lossfunction.evaluate, model.vector, True)
    yield "loss over reading", lambda: ratio(evaluate, read) / factor
    hashed = hash_images(images[:20])
    descriptor = Gaussian()
    descriptor.prepare({"Cu", "Pt", "O"})
    yield (
        "derivatives over arithmetic",
        over_arithmetic(lambda: descriptor.fingerprint_images(hashed, True)),
    )
    atoms, calc = silicon((4, 4, 4))
    yield "MD step over arithmetic", over_arithmetic(md_step(atoms, calc))
    yield (
        "neighbor list over arithmetic",
        over_arithmetic(lambda: neighbor_pairs(atoms, calc.descriptor.cutoff)),
    )
    yield (
        "hashing over arithmetic",
        over_arithmetic(lambda: [get_hash(atoms) for atoms in images]),
    )
    small, cheap = copper_40()
    small.calc = cheap
    move = mover(small)
    yield (
        "calculator over copying atoms",
        lambda: ratio(lambda: (move(), small.get_forces()), small.copy, 200),
    )
    larger = md_step(*silicon((8, 8, 8)))
    yield (
        "4096 atoms over 512, each",
        lambda: ratio(larger, md_step(*silicon((4, 4, 4)))) * 512 / 4096,
    )


def arithmetic() -> None:
    """Do a fixed piece of work in the nearest cache, as fast as the vector registers allow."""
    a = np.linspace(1.0, 2.0, 4096)
    b = np.empty_like(a)
    for _ in range(500):
        np.sqrt(a, out=b)
        np.divide(a, b, out=b)
        np.multiply(a, b, out=b)


def over_arithmetic(work: Callable[[], object]) -> Callable[[], float]:
    """Make the measurement of a work over the fixed piece."""
    return lambda: ratio(work, arithmetic)


def ratio(one: Callable[[], object], other: Callable[[], object], repeats: int = REPEATS) -> float:
    """Give the ratio of the least times of two works done in turn."""
    times = alternate({"one": one, "other": other}, repeats)
    return min(times["one"]) / min(times["other"])


def neighbor_list_builds() -> Check:
    """Count how often 100 steps of MD look for neighbors anew."""
    atoms, calc = silicon((3, 3, 3))
    atoms.calc = calc
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    VelocityVerlet(atoms, 1.0 * units.fs).run(100)
    return Check("neighbor lists built in 100 steps of MD", calc._neighbors.n_builds, 10)


def new_processes() -> Iterator[Check]:
    """Count what a second process compiles, and whether it imports torch."""
    with tempfile.TemporaryDirectory() as folder:
        here = Installation(Path(folder))
        for what in ("predict", "train"):
            here.first(what)
            second = here.first(what)
            yield Check(f"functions compiled by a second process ({what})",
                        second["compilations"], 0)  # fmt: skip
            yield Check(f"torch imported ({what})", int(second["torch"]), 0)
        yield settle("first forces over importing numba", lambda: first_over_import(here))


def first_over_import(here: Installation) -> float:
    """Give the ratio of two new processes: one computes forces, one imports numba."""
    times = alternate({"forces": lambda: here.first()["seconds"], "import": import_numba}, 3)
    return min(times["forces"]) / min(times["import"])


def import_numba() -> float:
    """Give the processor time of a new process that imports numba (s)."""
    code = "import time, numba; print(time.process_time())"
    return float(
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    )
