"""Amp 1.0.1 in an environment of its own, timed by a process that answers line by line.

It is published as `amp-atomistics` on PyPI, as source with Fortran, and needs numpy before 1.24 and
a Python before 3.12. Nothing of it is imported here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import write

__all__ = ["Amp1", "Unavailable", "default_folder", "install", "running"]

PYTHONS = ("3.9", "3.8", "3.10", "3.11")
BUILD = ("setuptools<60", "wheel", "numpy<1.24", "scipy<1.12", "ase==3.22.1")
PACKAGE = "amp-atomistics==1.0.1"
SERVER = Path(__file__).with_name("_amp1_server.py")
READY = "amp-1.0.1-is-installed"


class Unavailable(Exception):
    """Amp 1.0.1 cannot be run here; the message says why and what would help."""


def default_folder() -> Path:
    """Give the folder of the environment in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "amp-benchmarks", "amp-1.0.1")


def install(folder: Path) -> Path:
    """Make the environment unless it is there, and give its Python.

    Raises
    ------
    Unavailable
        If there is no compiler or Python for it, or pip fails.
    """
    python = folder / "bin" / "python"
    if (folder / READY).exists():
        return python
    if shutil.which("gfortran") is None:
        raise Unavailable("gfortran is not installed (Debian, Ubuntu: apt-get install gfortran)")
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise Unavailable(f"{folder} is not a virtual environment; name another with --amp1-env")
    run(find_python(), "-m", "venv", "--clear", folder)
    run(python, "-m", "pip", "install", *BUILD)
    # its own numpy builds the extension, and what else it asks for serves several cores only
    run(python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", PACKAGE)
    run(python, "-I", "-c", "import amp.fmodules")
    (folder / READY).touch()
    return python


def find_python() -> Path:
    """Find a Python that Amp 1.0.1 can be built for, on the PATH or of pyenv."""
    for version in PYTHONS:
        named = shutil.which(f"python{version}")
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for python in [*([Path(named)] if named else []), *kept]:
            check = [str(python), "-c", "import ensurepip, venv"]  # shims and Debian's may lack it
            if subprocess.run(check, capture_output=True, check=False).returncode == 0:
                return python
    raise Unavailable(
        f"there is no Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]} with venv, on the PATH or "
        "of pyenv"
    )


def run(*command: str | Path) -> None:
    """Run a command; its last words are in the error."""
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False,
            env=without_python(),
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        words = " | ".join((done.stdout + done.stderr).strip().splitlines()[-4:])
        raise Unavailable(f"{' '.join(str(word) for word in command[1:])} failed: {words}")


def without_python() -> dict[str, str]:
    """Give the environment without what would lead another Python to our packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Amp1:
    """The running process; `time` asks it to do something."""

    def __init__(self, process: subprocess.Popen[str], errors: Path, n_images: int) -> None:
        self.process = process
        self.errors = errors
        self.n_images = n_images
        self.versions: dict[str, str] = self.ask("versions")

    def time(self, *words: object) -> float:
        """Give the processor time of something (s); see `_amp1_server.Bench`."""
        return float(self.ask(*words))

    def ask(self, *words: object) -> Any:
        """Send a line and read the answer.

        Raises
        ------
        Unavailable
            If the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            words_said = " | ".join(self.errors.read_text().strip().splitlines()[-3:])
            raise Unavailable(f"it ended with: {words_said}")
        return json.loads(answer)


@contextmanager
def running(folder: Path, images: Sequence[Atoms]) -> Iterator[Amp1]:
    """Install Amp 1.0.1 if need be and start it with some images."""
    python = install(folder)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write(scratch / "images.extxyz", images)
        with (scratch / "errors").open("w") as errors:
            process = subprocess.Popen(
                [str(python), str(SERVER), str(scratch / "images.extxyz"), name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=without_python(),
            )  # fmt: skip
        try:
            yield Amp1(process, scratch / "errors", len(images))
        finally:
            process.kill()
            process.communicate()
