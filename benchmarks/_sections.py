"""The sections of the table: each yields its rows as they are measured."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from _amp1 import Amp1
from _rows import Goal, Row, alternate, last_cache, reader, reading_times
from _start import Installation, read_only_copy
from _workloads import copper_40, silicon, slabs, water
from ase import Atoms

from amp import Amp
from amp.core.images import get_hash, hash_images
from amp.core.neighbors import NeighborList, neighbor_pairs
from amp.core.storage import Storage
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork
from amp.training import TrainingSet, prepare

__all__ = ["SECTIONS", "Bench", "md_step", "one_core"]

SIZES = ((2, 2, 3), (4, 4, 4), (8, 8, 8), (13, 14, 14), (23, 23, 24))
BYTES_PER_SLAB = 440_000  # of derivatives; about right is enough
STEP = 1e-3  # Å; some steps keep the neighbor list, as in dynamics


@dataclass
class Bench:
    """How often to measure, and what to compare with."""

    repeats: int
    amp1: Amp1 | None

    @cached_property
    def slabs(self) -> list[Atoms]:
        """The images of training."""
        return slabs()

    def beside_amp1(
        self, ours: Callable[[], object], *words: object, repeats: int | None = None, warm_up=True
    ) -> tuple[list[float], list[float] | None]:
        """Time ours and Amp 1.0.1 in turn (s); its times are scaled to all images."""
        works = {"ours": ours}
        if self.amp1 is not None:
            amp1, scale = self.amp1, len(self.slabs) / self.amp1.n_images
            works["amp1"] = lambda: scale * amp1.time(*words)
        with one_core():
            times = alternate(works, repeats or self.repeats, warm_up=warm_up)
        return times["ours"], times.get("amp1")


class one_core:
    """Keep to one core inside, where the system allows it."""

    def __enter__(self) -> None:
        """Remember the cores and keep one."""
        if hasattr(os, "sched_setaffinity"):
            self.cores = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {max(self.cores)})

    def __exit__(self, *exception: object) -> None:
        """Take the others back."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)


def md_step(atoms: Atoms, calc: Amp, fresh: bool = False) -> Callable[[], None]:
    """Make a step: small moves, then energy, forces and stress; fresh: neighbors found anew."""
    cell, move = atoms.cell.array.copy(), mover(atoms)
    atoms.calc = calc
    count = 0

    def step() -> None:
        nonlocal count
        move()
        if fresh:  # another cell, if only by its last digits, makes the list anew
            count += 1
            atoms.cell[:] = cell * (1.0 + 1e-12 * (count % 2))
        atoms.get_forces()
        atoms.get_stress()

    return step


def mover(atoms: Atoms) -> Callable[[], None]:
    """Move all atoms a little, to and fro, so that no result is known already."""
    moves = STEP * np.random.default_rng(0).standard_normal((2, *atoms.positions.shape))
    count = 0

    def move() -> None:
        nonlocal count
        count += 1
        atoms.positions += moves[count % 2] - moves[1 - count % 2]

    return move


def beside_reading(
    work: Callable[[], object], n_bytes: int, repeats: int
) -> tuple[list[float], float]:
    """Time a work in turn with reading memory (s); the second is the median time of `n_bytes`."""
    read, factor = reader(n_bytes)
    with one_core():
        times = alternate({"work": work, "read": read}, repeats)
    return times["work"], factor * statistics.median(times["read"])


def read_once(n_bytes: int) -> float:
    """Give the time of reading so much memory once (s)."""
    return statistics.median(reading_times(n_bytes))


def scaled(times: list[float] | None, factor: float) -> list[float] | None:
    """Give times in another unit or per something."""
    return None if times is None else [factor * seconds for seconds in times]


def memory(bench: Bench) -> Iterator[Row]:
    """Tell how fast one thread reads memory: the limit of what reads a lot."""
    with one_core():
        times = reading_times(2**30)
    rates = [2**30 / seconds / 1e9 for seconds in times]
    yield Row("reading", "reading memory, one thread", "GB/s", rates)


def molecular_dynamics(bench: Bench) -> Iterator[Row]:
    """Time MD steps, and the neighbor list alone."""
    what = "512 Si, 27 functions, net 24-24"  # first, as it needs no file
    yield from md_rows(bench, "si_512", what, *silicon((4, 4, 4)), goal=20.0)
    yield from md_rows(bench, "water_1080", "1080 H2O atoms, n2p2's potential", *water(), goal=60.0)


def md_rows(
    bench: Bench, name: str, what: str, atoms: Atoms, calc: Amp, goal: float
) -> Iterator[Row]:
    """Time one potential: steps, with a fresh neighbor list, and the list alone."""
    cutoff = calc.descriptor.cutoff
    calc.cores = 1
    single = Amp(calc.descriptor, calc.model, cores=1, dtype="float32")
    works = {
        "reused": md_step(atoms.copy(), calc),
        "fresh": md_step(atoms.copy(), Amp(calc.descriptor, calc.model, cores=1), fresh=True),
        "single": md_step(atoms.copy(), single),
        "list": partial(neighbor_pairs, atoms, cutoff),
        "kept list": partial(NeighborList(cutoff).update, atoms),
    }
    pairs = neighbor_pairs(atoms, cutoff)
    touched = sum(array.nbytes for array in (pairs.second, pairs.vectors, pairs.distances))
    factor, unit = 1e6 / len(atoms), "µs/atom"
    with one_core():
        times = alternate(works, bench.repeats)
        limit = factor * read_once(touched)
    per_atom = {key: scaled(value, factor) for key, value in times.items()}
    yield Row(f"md_{name}", f"MD step, {what}", unit, per_atom["reused"], limit=limit,
              goals=[Goal("ours", goal)])  # fmt: skip
    yield Row(f"md_float32_{name}", "  in single precision", unit, per_atom["single"],
              note=deviation(atoms, calc, single))  # fmt: skip
    yield Row(f"md_fresh_{name}", "  with a fresh neighbor list", unit, per_atom["fresh"])
    yield Row(f"list_{name}", "  neighbor list, fresh", unit, per_atom["list"])
    yield Row(f"kept_list_{name}", "  neighbor list, reused", unit, per_atom["kept list"])


def deviation(atoms: Atoms, exact: Amp, other: Amp) -> str:
    """Tell how far energies and forces of a calculator are from those of another."""
    energy = abs(other.get_potential_energy(atoms) - exact.get_potential_energy(atoms))
    forces = np.abs(other.get_forces(atoms) - exact.get_forces(atoms)).max()
    return f"off by {energy / len(atoms):.0e} eV/atom, {forces:.0e} eV/Å at most"


def sizes(bench: Bench) -> Iterator[Row]:
    """Time MD steps of silicon by the number of atoms."""
    medians = []
    for repeat in SIZES:
        atoms, calc = silicon(repeat)
        n = len(atoms)
        repeats = max(3, bench.repeats * 4096 // n)  # about as long for every size
        with one_core():
            times = alternate({"step": md_step(atoms, calc)}, repeats)
        per_atom = scaled(times["step"], 1e6 / n)
        medians.append(statistics.median(per_atom))
        yield Row(f"size_{n}", f"MD step, {n} Si", "µs/atom", per_atom)
    yield Row("sizes", "  dearest over cheapest size", "", [max(medians) / min(medians)],
              goals=[Goal("ours", 1.25)])  # fmt: skip


def overhead(bench: Bench) -> Iterator[Row]:
    """Time what the ASE calculator costs besides neighbors, descriptor and model."""
    atoms, calc = copper_40()
    atoms.calc = calc
    alone = atoms.copy()
    kept = NeighborList(calc.descriptor.cutoff)
    move, move_alone = mover(atoms), mover(alone)

    def through_ase() -> None:
        move()
        atoms.get_forces()

    def parts() -> None:
        move_alone()
        pairs = kept.update(alone)
        fingerprints = calc.descriptor.fingerprint(pairs, alone.numbers)
        evaluation = calc.model.evaluate(fingerprints)
        calc.descriptor.contract(pairs, fingerprints, evaluation.slopes)

    works = {"ase": through_ase, "parts": parts}
    with one_core():
        times = alternate(works, 30 * bench.repeats)
    more = [1e3 * (a - b) for a, b in zip(times["ase"], times["parts"], strict=True)]
    yield Row("image_40", "forces of 40 Cu through ASE", "ms", scaled(times["ase"], 1e3))
    yield Row("overhead", "  of it the calculator", "ms", more, goals=[Goal("ours", 0.3)])


def hashing(bench: Bench) -> Iterator[Row]:
    """Time the hashes that images are known by."""
    images = bench.slabs
    ours, amp1 = bench.beside_amp1(lambda: [get_hash(atoms) for atoms in images], "hashing")
    factor = 1e6 / len(images)
    yield Row("hashing", "hashing an image of 37 atoms", "µs", scaled(ours, factor),
              scaled(amp1, factor), goals=[Goal("amp1", 2.0)])  # fmt: skip


def derivatives(bench: Bench) -> Iterator[Row]:
    """Time neighbors, fingerprints and their derivatives of the slabs."""
    images = hash_images(bench.slabs)
    n_atoms = sum(len(atoms) for atoms in images.values())
    descriptor = Gaussian()
    descriptor.prepare({symbol for atoms in images.values() for symbol in atoms.symbols})

    def compute(with_derivatives: bool) -> Callable[[], object]:
        return partial(descriptor.fingerprint_images, images, with_derivatives)

    factor = 1e6 / n_atoms
    ours, amp1 = bench.beside_amp1(compute(False), "fingerprints", repeats=3)
    yield Row("fingerprints", "fingerprints of the slabs, 36 functions per element", "µs/atom",
              scaled(ours, factor), scaled(amp1, factor))  # fmt: skip
    ours, amp1 = bench.beside_amp1(compute(True), "derivatives", repeats=2, warm_up=False)
    stored = descriptor.fingerprint_images(images, True).derivatives.nbytes
    again, limit = beside_reading(compute(True), stored, bench.repeats)
    ours += again  # Amp 1.0.1 allows few repeats
    yield Row("derivatives", "fingerprints with derivatives of the slabs", "µs/atom",
              scaled(ours, factor), scaled(amp1, factor), factor * limit,
              goals=[Goal("amp1", 1000.0)])  # fmt: skip


def training_set(
    images: list[Atoms], layers: tuple[int, int], storage: Storage | None = None
) -> tuple[NeuralNetwork, TrainingSet]:
    """Make a model and its data, attached to its loss function."""
    model = NeuralNetwork(layers, randomseed=0)
    model.lossfunction = LossFunction(raise_ConvergenceOccurred=False, log_losses=False)
    data = prepare(Gaussian(), model, images, storage=storage)
    model.lossfunction.attach(model, data.fingerprints, data.references)
    return model, data


def loss(bench: Bench) -> Iterator[Row]:
    """Time loss and gradient on energies and forces of the slabs."""
    images = bench.slabs
    for layers in ((5, 5), (20, 20)):
        model, data = training_set(images, layers)
        evaluate = partial(model.lossfunction.evaluate, model.vector, True)
        ours, amp1 = bench.beside_amp1(evaluate, "loss", *layers)
        stored = data.fingerprints.derivatives.values.nbytes
        again, limit = beside_reading(evaluate, stored, bench.repeats)
        net = "-".join(map(str, layers))
        yield Row(f"loss_{net}", f"loss and gradient, {len(images)} slabs, net {net}", "ms",
                  scaled(ours + again, 1e3), scaled(amp1, 1e3), 1e3 * limit,
                  goals=[Goal("amp1", 150.0)])  # fmt: skip
        alone = replace(data.fingerprints, derivatives=None)
        model.lossfunction.attach(model, alone, data.references)
        with one_core():
            times = alternate({"energies": evaluate}, bench.repeats)["energies"]
        yield Row(f"energy_loss_{net}", "  energies alone", "ms", scaled(times, 1e3))


def storage(bench: Bench) -> Iterator[Row]:
    """Time loss and gradient of a set larger than the caches by how derivatives are kept."""
    many = larger_than_caches(bench.slabs)
    exact = None
    for way in ("float64", "float32", "recomputed", "disk"):
        for layers in ((5, 5), (20, 20)) if way == "float64" else ((5, 5),):
            with tempfile.TemporaryDirectory() as folder:
                kept = Storage.of(way, None, str(Path(folder, "derivatives")))
                model, data = training_set(many, layers, kept)
                evaluate = partial(model.lossfunction.evaluate, model.vector, True)
                primes = data.fingerprints.derivatives
                gradient = evaluate().gradient
                if layers == (5, 5):
                    exact = gradient if exact is None else exact
                error = "" if way == "float64" else f", gradient off by {off(gradient, exact):.0e}"
                n_bytes = primes.nbytes - (primes.values.nbytes if way == "disk" else 0)
                stored = 0 if way == "recomputed" else primes.values.nbytes
                times, limit = beside_reading(evaluate, stored, bench.repeats)
                net = "-".join(map(str, layers))
                yield Row(f"storage_{way}_{net}", f"{len(many)} slabs, net {net}, {way}", "ms",
                          scaled(times, 1e3), limit=1e3 * limit if stored else None,
                          goals=[Goal("limit", 1.5)] if way == "float64" else [],
                          note=f"{n_bytes / 2**20:.0f} MiB in memory{error}",
                          extra={"bytes_in_memory": n_bytes})  # fmt: skip


def off(values: np.ndarray, exact: np.ndarray) -> float:
    """Give the largest deviation over the largest value."""
    return float(np.abs(values - exact).max() / np.abs(exact).max())


def larger_than_caches(images: list[Atoms]) -> list[Atoms]:
    """Shake copies of the images until their derivatives exceed the last cache many times."""
    rng = np.random.default_rng(1)
    n_copies = int(np.ceil(8 * last_cache() / (len(images) * BYTES_PER_SLAB)))
    many = list(images)
    for _ in range(n_copies - 1):
        for atoms in images:
            copy = atoms.copy()
            copy.positions += rng.normal(0, 0.02, copy.positions.shape)
            copy.calc = atoms.calc.__class__(copy, **atoms.calc.results)
            many.append(copy)
    return many


def threads(bench: Bench) -> Iterator[Row]:
    """Time two threads against one, by the clock."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2:
        return
    works = {}
    for n_threads in (1, 2):
        atoms, calc = silicon((8, 8, 8))
        calc.cores = n_threads
        works[n_threads] = md_step(atoms, calc)
    yield speedup(bench, "md", "MD step, 4096 Si", works[1], works[2], [Goal("at least", 1.8)])
    sets = {"loss": bench.slabs, "large_loss": larger_than_caches(bench.slabs)}
    for name, images in sets.items():
        model, data = training_set(images, (20, 20))
        works = {}
        for n_threads in (1, 2):
            function = LossFunction(raise_ConvergenceOccurred=False, log_losses=False)
            function.attach(model, data.fingerprints, data.references, threads=n_threads)
            works[n_threads] = partial(function.evaluate, model.vector, True)
        what = f"loss and gradient, {len(images)} slabs"
        yield speedup(bench, name, what, works[1], works[2])


def speedup(
    bench: Bench, name: str, what: str, one: Callable[[], object], two: Callable[[], object],
    goals: Sequence[Goal] = (),
) -> Row:  # fmt: skip
    """Time a work in one thread and in two, in turn."""
    times = alternate({"one": one, "two": two}, bench.repeats, clock=time.perf_counter)
    ratios = [a / b for a, b in zip(times["one"], times["two"], strict=True)]
    return Row(f"threads_{name}", f"two threads over one, {what}", "x", ratios, goals=list(goals))


def start(bench: Bench) -> Iterator[Row]:
    """Start processes, with compiled kernels kept and without."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        here = Installation(scratch)
        here.first("predict")
        runs = [here.first("predict") for _ in range(bench.repeats)]
        yield first_row("start_predict", "first forces of a new process", runs, 1.5)
        here.first("train")
        runs = [here.first("train") for _ in range(bench.repeats)]
        yield first_row("start_train", "first training step of a new process", runs, None)
        (scratch / "kernels").mkdir()
        empty = Installation(scratch, NUMBA_CACHE_DIR=str(scratch / "kernels"))
        runs = [empty.first("predict")]
        yield first_row("compile_predict", "first forces ever, compiling", runs, 40.0)
        runs = [empty.first("train")]
        yield first_row("compile_train", "  then first training step ever, compiling", runs, None)
        home = scratch / "home"
        home.mkdir()
        with read_only_copy(scratch) as package:
            cache = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
            read_only = Installation(scratch, package, **cache)
            read_only.first("predict")
            runs = [read_only.first("predict") for _ in range(bench.repeats)]
        yield first_row("start_read_only", "first forces, read-only package", runs, 1.5)


def first_row(name: str, what: str, runs: list[dict], goal: float | None) -> Row:
    """Make a row of new processes: processor time, as others may keep the machine busy."""
    wall = statistics.median(run["wall"] for run in runs)
    compiled = max(run["compilations"] for run in runs)
    return Row(name, what, "s", [run["seconds"] for run in runs],
               goals=[Goal("ours", goal)] if goal else [],
               note=f"{wall:.2f} s by the clock, {compiled} functions compiled",
               extra={"wall": wall, "compilations": compiled})  # fmt: skip


SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "memory": memory,
    "md": molecular_dynamics,
    "sizes": sizes,
    "overhead": overhead,
    "hashing": hashing,
    "derivatives": derivatives,
    "loss": loss,
    "storage": storage,
    "threads": threads,
    "start": start,
}
