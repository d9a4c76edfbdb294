"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cores"]


def usable_cores(cgroup: str = "/sys/fs/cgroup") -> int:
    """Count the processors that this process may run on.

    The fewest of those of the machine, those that the process is bound to, and what the control
    group that batch systems and containers put it into leaves it.

    Parameters
    ----------
    cgroup : str
        Folder of the control group.

    Returns
    -------
    int
        At least 1.
    """
    n = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        n = len(os.sched_getaffinity(0))
    try:
        quota, period = Path(cgroup, "cpu.max").read_text().split()
        n = min(n, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such group, or "max": no limit
        pass
    return max(1, n)
