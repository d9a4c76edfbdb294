"""New processes: how long the first calculation takes, and how much is compiled for it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _workloads import made_slabs, untrained
from ase.io import write

import amp
from amp.descriptor.gaussian import Gaussian

__all__ = ["Installation", "read_only_copy"]

SCRIPT = Path(__file__).with_name("_first_calculation.py")
PACKAGE = Path(amp.__file__).parent
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


class Installation:
    """A package with compiled kernels somewhere, that starts new processes."""

    def __init__(self, scratch: Path, package: Path = PACKAGE, **environment: str) -> None:
        self.package = package
        self.environment = environment
        self.inputs = (scratch / "potential.amp", scratch / "structure.extxyz")
        if not self.inputs[0].exists():
            images = made_slabs(3)
            untrained(Gaussian(), (5, 5), *images).save(self.inputs[0])
            write(self.inputs[1], images[0])

    def first(self, what: str = "predict") -> dict[str, Any]:
        """Let a new process predict or train, and tell what it took (wall time added, s)."""
        start = time.perf_counter()
        said = self.python(str(SCRIPT), what, *map(str, self.inputs))
        wall = time.perf_counter() - start
        answer = json.loads(said.splitlines()[-1])
        assert Path(answer["package"]).parent == self.package
        return {**answer, "wall": wall}

    def python(self, *arguments: str) -> str:
        """Run this Python with the package, and give what it prints.

        Raises
        ------
        RuntimeError
            If it fails.
        """
        environment = {
            **{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
            "PYTHONPATH": str(self.package.parent),
            **self.environment,
        }
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True,
            check=False, cwd=self.package.parent,  # -c imports from there before all others
            preexec_fn=obey_permissions if is_root() else None,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"A new process failed:\n{done.stderr}")
        return done.stdout


@contextmanager
def read_only_copy(scratch: Path) -> Iterator[Path]:
    """Copy the package without compiled kernels to where nobody may write."""
    site = scratch / "site-packages"
    shutil.copytree(PACKAGE, site / "amp", ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    folders = [path for path in [site, *site.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield site / "amp"
    finally:
        for folder in folders:
            folder.chmod(0o755)


def is_root() -> bool:
    """Tell whether permissions do not hold for this user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and sys.platform == "linux"


def obey_permissions() -> None:
    """Give up root's power to write everywhere, in a process that is about to be started."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
