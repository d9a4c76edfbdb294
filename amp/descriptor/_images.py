"""Fingerprints of many images, written straight into the arrays that training reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from amp.core.errors import AmpError, ImageError
from amp.core.fingerprints import Derivatives, Fingerprints, flat_layout
from amp.core.images import image_places
from amp.core.logs import progress
from amp.core.neighbors import NeighborPairs, neighbor_pairs
from amp.core.typing import IntArray
from amp.descriptor._compiling import told_if_compiled

if TYPE_CHECKING:
    from amp.descriptor._plan import Plan
    from amp.descriptor.gaussian import Gaussian

__all__ = ["fingerprint_images"]

logger = logging.getLogger(__name__)


def fingerprint_images(
    descriptor: Gaussian, images: Mapping[str, Any], derivatives: bool, strain: bool
) -> Fingerprints:
    """Compute fingerprints (and derivatives) of all images; see `Gaussian.fingerprint_images`."""
    from amp.descriptor import _kernels

    plan = descriptor._ready().plan
    pairs, species = _neighbors(descriptor, images)
    _warn_of_loners(descriptor, pairs, species)
    image_starts = np.concatenate([[0], np.cumsum([len(s) for s in species])]).astype(np.int64)
    layout = flat_layout(descriptor.elements, plan.lengths, np.concatenate(species), image_starts)
    values = np.empty(layout.size)

    def starts(image: int) -> IntArray:
        return layout.starts[image_starts[image] : image_starts[image + 1]]

    if not derivatives:

        def fill_values(i: int) -> None:
            p = pairs[i]
            _kernels.values(
                plan, species[i], p.starts, species[i][p.second], p.vectors, p.distances,
                starts(i), values,
            )  # fmt: skip

        with told_if_compiled(_kernels.values):
            fill_values(0)  # compiles, which threads must not do at once
        _for_each(fill_values, range(1, len(pairs)), "Fingerprints")
        return Fingerprints(layout, values)

    blocks, block_of_pair = _lay_out_blocks(plan, pairs, species, layout.species, image_starts)
    strains = np.empty(6 * layout.size) if strain else np.empty(0)

    def fill_derivatives(i: int) -> None:
        p = pairs[i]
        _kernels.derivatives(
            plan, species[i], p.starts, species[i][p.second], p.vectors, p.distances,
            starts(i), values, block_of_pair[i], blocks.block_starts, blocks.values, strains,
        )  # fmt: skip

    with told_if_compiled(_kernels.derivatives):
        fill_derivatives(0)  # compiles, which threads must not do at once
    _for_each(fill_derivatives, range(1, len(pairs)), "Fingerprints and derivatives")
    return Fingerprints(
        layout,
        values,
        Derivatives(
            values=blocks.values,
            center_blocks=blocks.center_blocks,
            block_atoms=blocks.block_atoms,
            block_starts=blocks.block_starts,
            slot_starts=blocks.slot_starts,
            slots=blocks.slots,
            strain=strains if strain else None,
        ),
    )


def _neighbors(
    descriptor: Gaussian, images: Mapping[str, Any]
) -> tuple[list[NeighborPairs], list[IntArray]]:
    """Find neighbors and species of every image; the faults of all images are told together."""
    pairs: list[NeighborPairs] = []
    species: list[IntArray] = []
    faults: list[tuple[str, AmpError]] = []
    cutoff = descriptor.cutoff
    for index, (key, atoms) in zip(image_places(images), images.items(), strict=True):
        where = f"Image {index} ({key[:8]})"
        try:
            species.append(descriptor.species(atoms.numbers, where))
            pairs.append(neighbor_pairs(atoms, cutoff))
        except ImageError as error:
            faults.append((where, ImageError(f"{where}: {error}")))
        except AmpError as error:
            faults.append((where, error))
    if len(faults) == 1:
        raise faults[0][1]
    if faults:
        kinds = {type(error) for _, error in faults}
        kind = kinds.pop() if len(kinds) == 1 else ImageError
        shown = "\n  ".join(str(error) for _, error in faults[:10])
        more = f"\n  and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise kind(f"{len(faults)} images cannot be used:\n  {shown}{more}")
    return pairs, species


def _warn_of_loners(
    descriptor: Gaussian, pairs: list[NeighborPairs], species: list[IntArray]
) -> None:
    """Tell the log of elements none of whose atoms has a neighbor, unless they are lone atoms."""
    crowded = [i for i, kinds in enumerate(species) if len(kinds) > 1]
    present = {int(s) for i in crowded for s in np.unique(species[i])}
    seeing = {int(s) for i in crowded for s in np.unique(species[i][np.diff(pairs[i].starts) > 0])}
    for s in sorted(present - seeing):
        logger.warning(
            "No atom of %s has a neighbor within the cutoff of %g Å in any image, so that its "
            "energy cannot depend on its surroundings. Is the cutoff too short?",
            descriptor.elements[s], descriptor.cutoff,
        )  # fmt: skip


def _lay_out_blocks(
    plan: Plan,
    pairs: list[NeighborPairs],
    species: list[IntArray],
    all_species: IntArray,
    image_starts: IntArray,
) -> tuple[Derivatives, list[IntArray]]:
    """Count derivative blocks, allocate them once, and say which block each pair adds to."""
    from amp.descriptor import _kernels

    counted = [_kernels.pair_blocks(p.starts, p.second) for p in pairs]
    n_blocks = np.array([len(atoms) for _, atoms, _ in counted], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(n_blocks)]).astype(np.int64)
    center_blocks = np.concatenate(
        [
            [0],
            *(
                starts[1:] + offset
                for (starts, _, _), offset in zip(counted, offsets[:-1], strict=True)
            ),
        ]
    ).astype(np.int64)
    block_atoms = np.concatenate(
        [atoms + first for (_, atoms, _), first in zip(counted, image_starts[:-1], strict=True)]
    ).astype(np.int64)
    centers = np.repeat(np.arange(len(all_species)), np.diff(center_blocks))
    kinds = all_species[centers] * plan.n_elements + all_species[block_atoms]
    widths = np.diff(plan.slot_starts)[kinds]
    block_starts = np.concatenate([[0], np.cumsum(3 * widths)]).astype(np.int64)
    block_of_pair = [
        np.where(block < 0, -1, block + offset)
        for (_, _, block), offset in zip(counted, offsets[:-1], strict=True)
    ]
    empty = Derivatives(
        values=np.zeros(block_starts[-1]),
        center_blocks=center_blocks,
        block_atoms=block_atoms,
        block_starts=block_starts,
        slot_starts=plan.slot_starts,
        slots=plan.slots,
        strain=None,
    )
    return empty, block_of_pair


def _for_each(work: Callable[[int], None], images: range, what: str) -> None:
    """Run work(i) for these images over the usable cores; kernels release the interpreter."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if len(images) < 3 or not usable or usable == 1:
        for i in progress(images, what):
            work(i)
        return
    with ThreadPoolExecutor(usable) as pool:
        for _ in progress(pool.map(work, images), what, total=len(images)):
            pass
