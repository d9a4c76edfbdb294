"""The contract of descriptors: images in, fingerprints out, and slopes back to forces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from amp.core.fingerprints import Fingerprints, FingerprintStore
from amp.core.neighbors import NeighborPairs
from amp.core.parameters import Parameters
from amp.core.registry import Registry
from amp.core.storage import Storage
from amp.core.typing import FloatArray, IntArray

__all__ = ["Descriptor", "Gradient", "descriptors"]

descriptors: Registry = Registry("descriptor")


@dataclass(frozen=True, slots=True)
class Gradient:
    """How the energy changes when atoms or the cell move."""

    positions: FloatArray  # (n_atoms, 3) dE/dr, eV/Å
    strain: FloatArray  # (3, 3)       dE/d strain, eV; divided by the volume it is the stress


@runtime_checkable
class Descriptor(Protocol):
    """What every descriptor owes the calculator and the trainer."""

    parameters: Parameters  # settings

    @property
    def cutoff(self) -> float:
        """Radius (Å) within which neighbors are needed."""

    def prepare(self, elements: Iterable[str]) -> None:
        """Settle everything that depends on the elements present."""

    def fingerprint_images(
        self,
        images: Mapping[str, Any],
        derivatives: bool | Storage = False,
        strain: bool = False,
        store: FingerprintStore | None = None,
    ) -> Fingerprints:
        """Compute fingerprints of many images, with derivatives on request, kept as it says.

        What the store has is not computed, and what it has not is given to it.
        """

    def fingerprint(
        self, pairs: NeighborPairs, numbers: IntArray, threads: int = 1, dtype: str = "float64"
    ) -> Fingerprints:
        """Compute the fingerprints of one image, in float64 from arithmetic in dtype."""

    def contract(
        self,
        pairs: NeighborPairs,
        fingerprints: Fingerprints,
        slopes: FloatArray,
        threads: int = 1,
        dtype: str = "float64",
    ) -> Gradient:
        """Turn dE/dG of one image into dE/dr and dE/dstrain, computed likewise."""

    def to_dict(self) -> dict[str, Any]:
        """Describe the descriptor as plain data."""

    def identity(self) -> Mapping[str, Any] | None:
        """Give, as plain data, all that fingerprints depend on but the image: settings, code.

        None if that cannot be told; then nothing is kept on disk.
        """
