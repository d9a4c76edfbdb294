"""Repeated timings, and the table and the JSON that are made of them."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = [
    "Goal",
    "Row",
    "about",
    "alternate",
    "last_cache",
    "reader",
    "reading_times",
    "table_head",
    "table_line",
    "write_checks",
    "write_json",
]

Work = Callable[[], object]


@dataclass(frozen=True)
class Goal:
    """What a row is to keep: `of` is ours, 'amp1' (times faster) or 'limit' (times as long)."""

    of: str
    bound: float

    def __str__(self) -> str:
        return {
            "ours": f"≤ {self.bound:g}",
            "at least": f"≥ {self.bound:g}",
            "amp1": f"≥ {self.bound:g}x Amp 1",
            "limit": f"≤ {self.bound:g}x limit",
        }[self.of]


@dataclass
class Row:
    """One hot path: repeated measurements of ours, and what to compare them with."""

    name: str  # by which later results are compared with these
    what: str
    unit: str
    ours: Sequence[float]
    amp1: Sequence[float] | None = None
    limit: float | None = None  # time to read once what must be read, at the streaming rate
    goals: Sequence[Goal] = ()
    note: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)  # for the JSON alone

    @property
    def median(self) -> float:
        """Median of ours."""
        return statistics.median(self.ours)

    @property
    def faster(self) -> float | None:
        """How many times faster than Amp 1.0.1, medians."""
        return None if self.amp1 is None else statistics.median(self.amp1) / self.median

    @property
    def above_limit(self) -> float | None:
        """How many times the memory-rate limit, medians."""
        return None if self.limit is None else self.median / self.limit

    def keeps(self, goal: Goal) -> bool | None:
        """Tell whether a goal is kept; None where there is nothing to compare with."""
        value = {
            "ours": self.median,
            "at least": self.median,
            "amp1": self.faster,
            "limit": self.above_limit,
        }[goal.of]
        if value is None:
            return None
        return value >= goal.bound if goal.of in ("at least", "amp1") else value <= goal.bound

    def to_dict(self) -> dict[str, object]:
        """Give everything as plain data."""
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "least": min(self.ours),
            "runs": list(self.ours),
            "amp1": None if self.amp1 is None else list(self.amp1),
            "faster_than_amp1": self.faster,
            "limit": self.limit,
            "above_limit": self.above_limit,
            "goals": [{"goal": str(goal), "kept": self.keeps(goal)} for goal in self.goals],
            "note": self.note,
            **self.extra,
        }


def alternate(
    works: Mapping[str, Work],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Time several things in turn, so that what disturbs one disturbs the others (s).

    A work that gives a float has timed itself.  The first round is not counted,
    unless nothing needs warming up.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for counted in [False] * warm_up + [True] * repeats:
        for name, work in works.items():
            start = clock()
            own = work()
            seconds = own if type(own) is float else clock() - start
            if counted:
                times[name].append(seconds)
    return times


def reader(n_bytes: int) -> tuple[Work, float]:
    """Make a work that reads an array once, and the factor that makes its time that of `n_bytes`.

    The array is larger than any cache. Its product with itself is as fast as any other reading.
    """
    array = np.ones(max(n_bytes, 4 * last_cache()) // 8)
    return lambda: np.dot(array, array), n_bytes / array.nbytes


def reading_times(n_bytes: int, repeats: int = 9) -> list[float]:
    """Time reading so much memory once in one thread (s), run after run."""
    read, factor = reader(n_bytes)
    return [factor * seconds for seconds in alternate({"read": read}, repeats)["read"]]


def last_cache() -> int:
    """Give the size of the processor's last cache in bytes; 32 MiB where it is not told."""
    sizes = [
        int(path.read_text().strip()[:-1]) * 1024
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if path.read_text().strip().endswith("K")
    ]
    return max(sizes, default=32 * 2**20)


HEAD = ("", "median", "least", "unit", "Amp 1.0.1", "faster", "limit", "above", "goal")


def table_head() -> str:
    """Give the line above the rows."""
    return line(*HEAD)


def table_line(row: Row) -> str:
    """Give one line; the goals end in 'yes', 'NO', or '?' where nothing was there to compare."""
    answers = {True: "yes", False: "NO", None: "?"}
    cells = [
        row.what,
        number(row.median),
        number(min(row.ours)),
        row.unit,
        number(None if row.amp1 is None else statistics.median(row.amp1)),
        number(row.faster, "x"),
        number(row.limit),
        number(row.above_limit, "x"),
        ", ".join(f"{goal} {answers[row.keeps(goal)]}" for goal in row.goals),
    ]
    return line(*cells) + (f"  ({row.note})" if row.note else "")


def line(*cells: str) -> str:
    """Set cells in columns."""
    what, median, least, unit, amp1, faster, limit, above, goal = cells
    return (
        f"{what:58s} {median:>9s} {least:>9s} {unit:8s} {amp1:>9s} {faster:>8s} "
        f"{limit:>9s} {above:>7s}  {goal}"
    ).rstrip()


def number(value: float | None, unit: str = "") -> str:
    """Give a number with three digits that count, or nothing."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}{unit}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}{unit}"


def about() -> dict[str, object]:
    """Tell the versions, the machine and the commit."""
    names = ("amp-potentials", "ase", "numba", "numpy", "scipy")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "machine": {
            "processor": processor(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "last_cache_MiB": last_cache() / 2**20,
            "system": platform.system(),
        },
    }


def processor() -> str:
    """Give the processor's name, family and model as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    told = dict(part.split("\t: ", 1) for part in text.splitlines() if "\t: " in part)
    told = {key.strip(): value for key, value in told.items()}
    if "model name" not in told:
        return platform.processor()
    family = f"family {told.get('cpu family', '?')} model {told.get('model', '?')}"
    return f"{told['model name']} ({family})"


def version(name: str) -> str | None:
    """Give the version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Give the commit of this checkout, with a + if files have changed."""
    folder = Path(__file__).resolve().parents[1]
    try:
        hash_ = git("rev-parse", "--short=12", "HEAD", folder=folder)
        changed = git("status", "--porcelain", "--untracked-files=no", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        return None
    return hash_ + ("+" if changed else "")


def git(*arguments: str, folder: Path) -> str:
    """Run git and give what it says."""
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def write_checks(path: Path, checks: Sequence[Mapping[str, object]]) -> None:
    """Write checks, versions and machine."""
    data = {**about(), "checks": list(checks)}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_json(path: Path, rows: Sequence[Row], more: Mapping[str, object]) -> None:
    """Write rows, versions and machine."""
    data = {**about(), **more, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
