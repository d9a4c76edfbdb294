"""How much memory there is, and how much of it somebody wants to use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from amp.core.errors import ParameterError

__all__ = ["available_memory", "format_bytes", "parse_memory"]

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def parse_memory(memory: Any) -> int | None:
    """Read an amount of memory.

    Parameters
    ----------
    memory : int, str or None
        Bytes, or a number with a unit such as '8 GB', '500MB' or '2.5 GiB'.

    Returns
    -------
    int or None
        Bytes; None stays None.

    Raises
    ------
    ParameterError
        If it is no amount of memory.
    """
    if memory is None:
        return None
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\s*", memory)
        unit = _UNITS.get(match[2].upper() or "B") if match else None
        if match and unit and float(match[1]) * unit >= 1.0:
            return int(float(match[1]) * unit)
    raise ParameterError(
        f"memory is a number of bytes or a text such as '8 GB' or '500 MB', not {memory!r}."
    )


def format_bytes(amount: float) -> str:
    """Write an amount of memory in the unit that suits it."""
    for unit in ("TB", "GB", "MB", "kB"):
        if amount >= 0.9995 * _UNITS[unit.upper()]:
            return f"{amount / _UNITS[unit.upper()]:.3g} {unit}"
    return f"{amount:.0f} bytes"


def available_memory(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int | None:
    """Tell how much memory this process can still take.

    The least of what the machine has left and of what the control groups leave that batch systems
    and containers put a process in.

    Parameters
    ----------
    proc, cgroups : str
        Where the system shows them.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell, such as on a Mac.
    """
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _read(Path(proc, "meminfo")), re.MULTILINE)
    amounts = [1024 * int(match[1])] if match else []
    for line in _read(Path(proc, "self/cgroup")).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            amounts += _left_in_groups(Path(cgroups), path, names)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            amounts += _left_in_groups(Path(cgroups, "memory"), path, names)
    return max(0, min(amounts)) if amounts else None


def _left_in_groups(root: Path, path: str, names: tuple[str, str, str]) -> list[int]:
    """Give what the limits of a group and of those around it leave."""
    limit_name, usage_name, cache_name = names
    inside = Path(path.lstrip("/"))
    amounts = []
    # A container may see its own group as the root, whatever the path says.
    for group in {root / inside, *(root / parent for parent in inside.parents), root}:
        limit, usage = _read(group / limit_name).strip(), _read(group / usage_name).strip()
        if limit.isdecimal() and usage.isdecimal():
            stat = _read(group / "memory.stat")
            match = re.search(rf"^{cache_name} (\d+)$", stat, re.MULTILINE)
            # The files in the cache that nobody uses are given up when memory is needed.
            amounts.append(int(limit) - int(usage) + (int(match[1]) if match else 0))
    return amounts


def _read(path: Path) -> str:
    """Give the text of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
