"""Time databases: ours, that of Amp 1.0.1, `diskcache`, `sqlitedict`, and a file for each key.

    python benchmarks/database.py            # some minutes
    python benchmarks/database.py --short    # a tenth of the entries

The disk needs about 8 GB. Times are by the clock, the median of several runs taken in turn, each
phase in a process of its own; files are in the system's cache, as they are a moment after they were
written. What was written survives a program that is killed, in the rows of the durable stores a
power cut as well, except that sqlitedict writes in a thread, which loses the last entries, and that
diskcache leaves large values to the system. sqlitedict never waits for the disk, and has no durable
row. Whatever is not installed is left out with a message; Amp 1.0.1 runs in the environment that
`hot_paths.py` makes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _amp1 import Unavailable, default_folder, install, without_python
from _rows import about

__all__ = ["main"]

STORES = Path(__file__).with_name("_database_stores.py")
CHECKOUT = Path(__file__).parent.parent
COLUMNS = ("write", "cold", "warm", "archive", "archived", "MB", "MB archived")
IN_ALL = ("archive", "MB", "MB archived")  # not per entry
HEAD = ("write", "first read", "again", "archive, all", "archived", "MB", "MB archived")
LOAD = {"4 kB": (10_000, 4096), "1 MB": (300, 2**20)}
PLAIN = ("amp", "amp1", "npz", "zip", "diskcache", "sqlitedict")
DURABLE = ("amp-durable", "npz-durable", "diskcache-durable")
WITH_ARCHIVE = ("amp", "amp1", "npz", "zip")
SCANNING = ("amp1", "npz")  # they read an archive from its beginning for each entry
FEW = 3
RANDOM_READS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a tenth of the entries, one run")
    parser.add_argument("--repeats", type=int, help="runs (default: 3)")
    parser.add_argument("--only", nargs="+", choices=(*LOAD, "growth", "training"), help="sections")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's choice)")
    parser.add_argument("--amp1-env", type=Path, default=default_folder())
    given = parser.parse_args(argv)
    repeats = given.repeats or (1 if given.short else 3)
    pythons = available(given.amp1_env)
    results: dict[str, object] = {"about": about()}
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        for name, (count, size) in LOAD.items():
            if given.only and name not in given.only:
                continue
            count //= 10 if given.short else 1
            results[name] = loads(name, count, size, pythons, Path(scratch), repeats)
        if not given.only or "growth" in given.only:
            results["growth"] = growth(
                Path(scratch), (100, 10_000, 10**5 if given.short else 10**6)
            )
        if not given.only or "training" in given.only:
            results["training"] = training(Path(scratch))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def available(amp1_folder: Path) -> dict[str, Path]:
    """Give the Python of each store that can be run."""
    pythons = {}
    for name in (*PLAIN, *DURABLE):
        package = name.partition("-")[0]
        if package in ("diskcache", "sqlitedict") and importlib.util.find_spec(package) is None:
            print(f"{name} is left out: {package} is not installed (pip install {package})")
        elif package == "amp1":
            try:
                pythons[name] = install(amp1_folder)
            except Unavailable as error:
                print(f"Amp 1.0.1 is left out: {error}")
        else:
            pythons[name] = Path(sys.executable)
    return pythons


def loads(
    title: str, count: int, size: int, pythons: dict[str, Path], scratch: Path, repeats: int
) -> dict[str, dict[str, float]]:
    """Time all phases of all stores with one kind of entries."""
    runs: dict[str, list[dict[str, float]]] = {
        name: [{} for _ in range(repeats)] for name in pythons
    }
    # For minutes after many files were removed ext4 is slow to make others, and stores that have
    # a file for each key would pay for what others removed. So all write first, and remove last.
    in_turn = [(number, name) for number in range(repeats) for name in pythons]
    for phase in (write_and_read, archive_and_read):
        for number, name in in_turn:
            few = count if name in PLAIN else max(10, count // 20)
            row, folder = runs[name][number], scratch / f"{size}-{number}-{name}"
            phase(row, name, pythons[name], folder, few, size)
    for number, name in in_turn:
        shutil.rmtree(scratch / f"{size}-{number}-{name}")
    medians = {
        name: {column: statistics.median(run[column] for run in of) for column in of[0]}
        for name, of in runs.items()
    }
    print(f"\n{count} entries of {title}; µs per entry, s for an archive of all")
    print(f"{'store':>18}" + "".join(f"{head:>14}" for head in HEAD))
    for name, row in medians.items():
        if name == DURABLE[0]:
            print(f"durable, {max(10, count // 20)} entries:")
        texts = {c: f"{value * (1 if c in IN_ALL else 1e6):.3g}" for c, value in row.items()}
        print(f"{name:>18}" + "".join(f"{texts.get(c, '-'):>14}" for c in COLUMNS))
    return medians


def write_and_read(
    row: dict[str, float], name: str, python: Path, folder: Path, count: int, size: int
) -> None:
    """Time writing, reading, and reading again."""
    folder.mkdir()
    for phase in ("write", "cold", "warm"):
        row[phase] = timed(name, python, phase, folder, count, size)
    row["MB"] = megabytes(folder)


def archive_and_read(
    row: dict[str, float], name: str, python: Path, folder: Path, count: int, size: int
) -> None:
    """Time archiving, and reading from the archive."""
    if name in WITH_ARCHIVE:
        row["archive"] = timed(name, python, "archive", folder, count, size)
        n = FEW if name in SCANNING else RANDOM_READS
        row["archived"] = timed(name, python, "cold", folder, count, size, n)
        row["MB archived"] = megabytes(folder)
    elif name in PLAIN:
        row["archived"] = row["cold"]  # they have no archive, and need none


def timed(
    name: str, python: Path, phase: str, folder: Path, count: int, size: int, n: int = RANDOM_READS
) -> float:
    """Run one phase in a process of its own; give its seconds."""
    words = (name, phase, folder, count, size, min(count, n))
    env = {**without_python(), **({} if name == "amp1" else {"PYTHONPATH": str(CHECKOUT)})}
    done = subprocess.run(
        [str(python), str(STORES), *map(str, words)], capture_output=True, text=True, env=env,
        check=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def megabytes(folder: Path) -> float:
    """Give what a folder takes on the disk."""
    blocks = sum(p.lstat().st_blocks for p in folder.rglob("*"))
    return 512 * blocks / 1e6


def growth(scratch: Path, counts: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Time opening an archive and reading from it, for more and more entries."""
    import numpy as np

    from amp.core.encoding import encode
    from amp.database._archive import Archive

    figures = {}
    print("\narchives of more and more entries of 64 bytes: open and first read (ms), read (µs)")
    for count in counts:
        path = str(scratch / f"{count}.tar.gz")

        names = [f"{i:032x}" for i in range(count)]
        members = ((n, b"".join(map(bytes, encode(np.arange(8.0), n)))) for n in names)
        with Archive(path) as archive:
            archive.append(members)
        drawn = np.random.default_rng(0).integers(count, size=RANDOM_READS)
        with Archive(path) as archive:
            first = clock(partial(archive.read, names[drawn[0]]))
            rest = clock(partial(list, map(archive.read, [names[i] for i in drawn[1:]])))
            rest /= RANDOM_READS - 1
        print(f"{count:>10}{1e3 * first:>10.2f}{1e6 * rest:>10.1f}")
        figures[count] = (first, rest)
        os.unlink(path)
    return figures


def training(scratch: Path) -> dict[str, float]:
    """Time the caches of the slabs: computing, computing and writing, reading; and their size."""
    from _workloads import slabs

    from amp.core.images import hash_images
    from amp.database import FileDatabase
    from amp.descriptor.gaussian import Gaussian
    from amp.training import FingerprintCache

    images = hash_images(slabs())
    gaussian = Gaussian()
    gaussian.prepare({symbol for atoms in images.values() for symbol in atoms.symbols})
    gaussian.fingerprint_images(images, derivatives=True)

    def with_cache() -> None:
        with FingerprintCache(str(scratch / "slabs"), gaussian.identity(), "all") as cache:
            gaussian.fingerprint_images(images, derivatives=True, store=cache)

    figures = {
        "compute": min(
            clock(lambda: gaussian.fingerprint_images(images, derivatives=True)) for _ in range(3)
        ),
        "compute and write": clock(with_cache),
        "read": min(clock(with_cache) for _ in range(3)),
        "MB": megabytes(scratch / "slabs-fingerprint-primes.ampdb"),
    }
    database = FileDatabase(str(scratch / "slabs-fingerprint-primes"))
    figures["archive"] = clock(database.archive)
    database.close()
    figures["read from the archive"] = min(clock(with_cache) for _ in range(3))
    figures["MB archived"] = megabytes(scratch / "slabs-fingerprint-primes.ampdb")
    print(f"\n{len(images)} slabs, fingerprints and derivatives (s)")
    for name, figure in figures.items():
        print(f"{name:>24}{figure:>10.3f}")
    return figures


def clock(work: Callable[[], object]) -> float:
    """Give the seconds that something takes by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
