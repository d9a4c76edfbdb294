"""What every test may use: reference data, the cases of Amp 1.0.1, reproducible hypothesis."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Before numpy is first imported: test processes run side by side, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from ase import Atoms
from hypothesis import settings

CONFORMANCE = Path(__file__).parent / "data" / "amp-1.0.1"
CONFORMANCE_CASES = sorted(path.parent.name for path in CONFORMANCE.glob("*/info.json"))

# In CI the same examples every time: a change is judged by what it changes. Elsewhere new ones.
settings.register_profile("amp", deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("amp")


@dataclass(frozen=True)
class ConformanceCase:
    """One potential written by Amp 1.0.1, and what Amp computed from it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def potential(self) -> Path:
        """The `.amp` file."""
        return self.folder / "model.amp"

    @cached_property
    def info(self) -> Mapping[str, object]:
        return json.loads((self.folder / "info.json").read_text())

    @cached_property
    def images(self) -> list[Atoms]:
        """The images with their exact doubles; the extxyz beside them is rounded."""
        n_images = int(self.expected["n_images"])
        return [
            Atoms(
                **{
                    key: self.expected[f"{i}/{key}"]
                    for key in ("numbers", "positions", "cell", "pbc")
                }
            )
            for i in range(n_images)
        ]

    @cached_property
    def expected(self) -> Mapping[str, np.ndarray]:
        """What Amp computed for every image; keys as in the README."""
        return _arrays(self.folder / "expected.npz")

    @cached_property
    def loss(self) -> Mapping[str, np.ndarray]:
        """Loss functions and their gradients; keys as in the README."""
        return _arrays(self.folder / "loss.npz")


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def conformance_folder() -> Path:
    """The folder of all reference cases of Amp 1.0.1."""
    if not CONFORMANCE_CASES:
        pytest.skip(f"there are no reference cases in {CONFORMANCE}")
    return CONFORMANCE


@pytest.fixture(scope="session", params=CONFORMANCE_CASES)
def conformance_case(request: pytest.FixtureRequest) -> ConformanceCase:
    """Every reference case of Amp 1.0.1 in turn."""
    return ConformanceCase(CONFORMANCE / request.param)


@pytest.fixture(scope="session")
def shared_path() -> Path:
    """Larger reference data, kept outside the source; AMP_SHARED says where."""
    folder = os.environ.get("AMP_SHARED", "")
    if not folder:
        pytest.skip("AMP_SHARED does not say where the larger reference data is")
    if not Path(folder).is_dir():
        pytest.fail(f"AMP_SHARED is {folder}, which is not a folder")
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a graphics card where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
