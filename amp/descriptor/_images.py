"""Fingerprints of many images, written straight into the arrays that training reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from amp.core.cores import usable_cores
from amp.core.errors import AmpError, ImageError, InsufficientMemoryError, ParameterError
from amp.core.fingerprints import (
    Derivatives,
    Fingerprints,
    FingerprintStore,
    Layout,
    flat_layout,
)
from amp.core.images import get_hash, image_places
from amp.core.logs import progress
from amp.core.memory import format_bytes
from amp.core.neighbors import neighbor_pairs
from amp.core.storage import Storage, file_array
from amp.core.typing import FloatArray, IntArray, RealArray
from amp.descriptor._evaluation import fill_derivatives, fill_values
from amp.descriptor._recomputed import Neighborhood, RecomputedDerivatives

if TYPE_CHECKING:
    from amp.descriptor._plan import Plan
    from amp.descriptor.gaussian import Gaussian

__all__ = ["fingerprint_images"]

logger = logging.getLogger(__name__)


def fingerprint_images(
    descriptor: Gaussian,
    images: Mapping[str, Any],
    derivatives: bool | Storage,
    strain: bool,
    store: FingerprintStore | None = None,
) -> Fingerprints:
    """Compute fingerprints (and derivatives) of all images; see `Gaussian.fingerprint_images`."""
    storage = derivatives if isinstance(derivatives, Storage) else None
    budget = None if storage is None else storage.budget()
    plan = descriptor._ready().plan
    neighbors, species = _neighbors(descriptor, images, budget)
    _warn_of_loners(descriptor, neighbors, species)
    image_starts = np.concatenate([[0], np.cumsum([len(s) for s in species])]).astype(np.int64)
    layout = flat_layout(descriptor.elements, plan.lengths, np.concatenate(species), image_starts)
    kept = _Kept.of(store, images)
    if not derivatives:
        return Fingerprints(layout, _values(plan, layout, neighbors, kept))
    runs = _lay_out_runs(plan, layout, neighbors)
    recomputed = RecomputedDerivatives(plan, layout, neighbors, strain)
    way, file = "float64", None
    if storage is not None:
        way, file = storage.choose(_needs(runs, recomputed, layout), budget), storage.file
    if way == "recomputed":
        return Fingerprints(layout, _values(plan, layout, neighbors, kept), recomputed)
    runs = _allocated(runs, way, file, 6 * layout.size if strain else 0)
    return Fingerprints(layout, _fill(plan, layout, neighbors, runs, kept), runs)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a store has of these images, looked at with the sizes that it must have."""

    store: FingerprintStore | None
    keys: list[str]  # of every image by what it is: those of a mapping may be any names

    @classmethod
    def of(cls, store: FingerprintStore | None, images: Mapping[str, Any]) -> _Kept:
        """Name the images."""
        return cls(store, [] if store is None else [get_hash(a) for a in images.values()])

    def find(self, image: int, kind: str, like: Mapping[str, RealArray]) -> dict[str, Any] | None:
        """Give the arrays of an image if they are there, and as long as these."""
        found = None if self.store is None else self.store.find(self.keys[image], kind)
        if found is None:
            return None
        arrays = {name: found.get(name) for name in like}
        fitting = (
            isinstance(array, np.ndarray) and array.shape == like[name].shape
            and array.dtype == like[name].dtype for name, array in arrays.items()
        )  # fmt: skip
        return arrays if all(fitting) else None

    def keep(self, image: int, kind: str, arrays: Mapping[str, RealArray]) -> None:
        """Keep the arrays of an image."""
        if self.store is not None:
            self.store.keep(self.keys[image], kind, arrays)


def _values(plan: Plan, layout: Layout, neighbors: list[Neighborhood], kept: _Kept) -> FloatArray:
    """Compute fingerprints alone, of those images that have none yet."""
    values = np.empty(layout.size)

    def fill(i: int) -> None:
        places = _Places.of(layout, i)
        own = np.empty(places.size)
        found = kept.find(i, "fingerprints", {"fingerprints": own})
        if found is None:
            fill_values(plan, places.species, neighbors[i], places.starts, own)
            kept.keep(i, "fingerprints", {"fingerprints": own})
        else:
            own = found["fingerprints"]
        values[places.of_values()] = own

    _for_each(fill, len(neighbors), "Fingerprints")
    return values


def _fill(
    plan: Plan, layout: Layout, neighbors: list[Neighborhood], runs: Derivatives, kept: _Kept
) -> FloatArray:
    """Fill in fingerprints and derivatives image by image; neighbors go on the way."""
    values, strain = np.empty(layout.size), runs.strain
    kind = f"derivatives-{runs.values.dtype}{'' if strain is None else '-strain'}"

    def fill(i: int) -> None:
        places = _Places.of(layout, i)
        first, last = layout.image_starts[i : i + 2] * plan.n_elements
        arrays: dict[str, Any] = {
            "fingerprints": np.empty(places.size),
            "runs": runs.values[runs.run_starts[first] : runs.run_starts[last]],
        }
        if strain is not None:
            arrays["strain"] = np.empty(6 * places.size, strain.dtype)
        found = kept.find(i, kind, arrays)
        if found is None:
            _differentiate(plan, places, neighbors[i], runs, arrays)
            kept.keep(i, kind, arrays)
        else:
            arrays["runs"][:] = found["runs"]
            arrays |= {name: found[name] for name in arrays if name != "runs"}
        values[places.of_values()] = arrays["fingerprints"]
        if strain is not None:
            strain[places.of_values(6)] = arrays["strain"]
        neighbors[i] = Neighborhood.nothing()

    _for_each(fill, len(neighbors), "Fingerprints and derivatives")
    return values


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the fingerprints of one image's atoms lie, one after the other and among all."""

    first: int  # the first atom, counted over all images
    species: IntArray  # (n_atoms,)
    lengths: IntArray  # (n_atoms,)  length of each fingerprint
    starts: IntArray  # (n_atoms,)   offset in this image
    shifts: IntArray  # (n_atoms,)   what leads from there to the offset among all
    size: int

    @classmethod
    def of(cls, layout: Layout, image: int) -> _Places:
        """Look them up."""
        atoms = layout.atoms_of_image(image)
        species = layout.species[atoms]
        lengths = layout.lengths[species]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        return cls(
            atoms.start, species, lengths, starts, layout.starts[atoms] - starts, int(ends[-1])
        )

    def of_values(self, components: int = 1) -> IntArray:
        """Give the place among all of every number of this image."""
        shifts = np.repeat(components * self.shifts, components * self.lengths)
        return np.arange(components * self.size) + shifts


def _differentiate(
    plan: Plan, places: _Places, near: Neighborhood, runs: Derivatives, arrays: dict[str, Any]
) -> None:
    """Compute an image's fingerprints and derivatives; "runs" is a part of those of all images."""
    from amp.core._fingerprint_kernels import store_runs
    from amp.descriptor._derivative_kernels import pair_blocks

    species, n_elements = places.species, plan.n_elements
    center_blocks, block_atoms, block_of_pair = pair_blocks(near.starts, near.second)
    centers = np.repeat(np.arange(len(species)), np.diff(center_blocks))
    widths = np.diff(plan.slot_starts)[species[centers] * n_elements + species[block_atoms]]
    block_starts = np.concatenate([[0], np.cumsum(3 * widths)]).astype(np.int64)
    blocks = np.zeros(block_starts[-1])
    strain = np.empty(6 * places.size if "strain" in arrays else 0)
    fill_derivatives(
        plan, species, near, places.starts, arrays["fingerprints"], block_of_pair, block_starts,
        blocks, strain,
    )  # fmt: skip
    if "strain" in arrays:
        arrays["strain"][:] = strain
    store_runs(
        blocks, block_starts, center_blocks, block_atoms, species, n_elements, places.first,
        runs.run_starts, runs.values,
    )  # fmt: skip


def _neighbors(
    descriptor: Gaussian, images: Mapping[str, Any], budget: int | None
) -> tuple[list[Neighborhood], list[IntArray]]:
    """Find neighbors and species of every image; the faults of all images are told together."""
    neighbors: list[Neighborhood] = []
    n_bytes = 0
    species: list[IntArray] = []
    faults: list[tuple[str, AmpError]] = []
    cutoff = descriptor.cutoff
    for index, (key, atoms) in zip(image_places(images), images.items(), strict=True):
        where = f"Image {index} ({key[:8]})"
        try:
            species.append(descriptor.species(atoms.numbers, where))
            neighbors.append(Neighborhood.of(neighbor_pairs(atoms, cutoff)))
        except ImageError as error:
            faults.append((where, ImageError(f"{where}: {error}")))
        except AmpError as error:
            faults.append((where, error))
        else:
            n_bytes += neighbors[-1].nbytes
            _check_memory(n_bytes, budget, index, len(images))
    if len(faults) == 1:
        raise faults[0][1]
    if faults:
        kinds = {type(error) for _, error in faults}
        kind = kinds.pop() if len(kinds) == 1 else ImageError
        shown = "\n  ".join(str(error) for _, error in faults[:10])
        more = f"\n  and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise kind(f"{len(faults)} images cannot be used:\n  {shown}{more}")
    return neighbors, species


def _check_memory(n_bytes: int, budget: int | None, index: int, n_images: int) -> None:
    """Give up before the memory is full: without the neighbors nothing can be done."""
    if budget is not None and n_bytes > budget:
        raise InsufficientMemoryError(
            f"The neighbors alone take {format_bytes(n_bytes)} up to image {index} of {n_images}, "
            f"and there are {format_bytes(budget)}. Use fewer images, a shorter cutoff or more "
            "memory."
        )


def _warn_of_loners(
    descriptor: Gaussian, neighbors: list[Neighborhood], species: list[IntArray]
) -> None:
    """Tell the log of elements none of whose atoms has a neighbor, unless they are lone atoms."""
    crowded = [i for i, kinds in enumerate(species) if len(kinds) > 1]
    present = {int(s) for i in crowded for s in np.unique(species[i])}
    counts = {i: np.diff(neighbors[i].starts) for i in crowded}
    seeing = {int(s) for i in crowded for s in np.unique(species[i][counts[i] > 0])}
    for s in sorted(present - seeing):
        logger.warning(
            "No atom of %s has a neighbor within the cutoff of %g Å in any image, so that its "
            "energy cannot depend on its surroundings. Is the cutoff too short?",
            descriptor.elements[s], descriptor.cutoff,
        )  # fmt: skip


def _lay_out_runs(plan: Plan, layout: Layout, neighbors: list[Neighborhood]) -> Derivatives:
    """Count what derivatives take and say where each goes; values are not there yet."""
    from amp.descriptor._derivative_kernels import pair_blocks

    n = plan.n_elements
    counts = np.zeros((layout.n_atoms, n), dtype=np.int64)
    sorted_atoms = []
    for i, near in enumerate(neighbors):
        atoms = layout.atoms_of_image(i)
        species = layout.species[atoms]
        center_blocks, block_atoms, _ = pair_blocks(near.starts, near.second)
        centers = np.repeat(np.arange(len(species)), np.diff(center_blocks))
        runs = centers * n + species[block_atoms]
        counts[atoms] = np.bincount(runs, minlength=len(species) * n).reshape(-1, n)
        sorted_atoms.append(block_atoms[np.argsort(runs, kind="stable")] + atoms.start)
    widths = np.diff(plan.slot_starts).reshape(n, n)[layout.species]  # (n_atoms, n)
    return Derivatives(
        values=np.empty(0),
        run_starts=np.concatenate([[0], np.cumsum(3 * counts * widths)]).astype(np.int64),
        atom_starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        atoms=np.concatenate(sorted_atoms).astype(np.int64),
        slot_starts=plan.slot_starts,
        slots=plan.slots,
        strain=None,
    )


def _needs(runs: Derivatives, recomputed: RecomputedDerivatives, layout: Layout) -> dict[str, int]:
    """Give the bytes that derivatives take in each way, and the neighbors with them.

    Neighbors go as stored derivatives come, but what they leave seldom goes back to the system.
    """
    indices = recomputed.nbytes + runs.nbytes
    n_strain = 6 * layout.size if recomputed.has_strain else 0
    n_values = int(runs.run_starts[-1])
    return {
        "float64": indices + 8 * (n_values + n_strain),
        "float32": indices + 4 * (n_values + n_strain),
        "recomputed": recomputed.nbytes,
        "disk": indices + 8 * n_strain,
    }


def _allocated(runs: Derivatives, way: str, file: str | None, n_strain: int) -> Derivatives:
    """Make room for the values."""
    dtype, n_values = np.float32 if way == "float32" else np.float64, int(runs.run_starts[-1])
    if way == "disk":
        if file is None:
            raise ParameterError("Derivatives on disk need a file: Storage(file=...).")
        values = file_array(file, n_values)
    else:
        values = np.empty(n_values, dtype=dtype)
    strain: RealArray | None = np.empty(n_strain, dtype=dtype) if n_strain else None
    return replace(runs, values=values, strain=strain)


def _for_each(work: Callable[[int], None], n_images: int, what: str) -> None:
    """Run work(image) for all images over the usable cores; kernels release the interpreter."""
    work(0)  # compiles, which threads must not do at once
    images, usable = range(1, n_images), usable_cores()
    if len(images) < 3 or usable == 1:
        for i in progress(images, what):
            work(i)
        return
    with ThreadPoolExecutor(usable) as pool:
        for _ in progress(pool.map(work, images), what, total=len(images)):
            pass
