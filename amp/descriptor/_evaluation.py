"""The kernels as the rest of the room calls them: on one thread or several, told when compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from amp.core.threads import for_ranges, ranges
from amp.core.typing import FloatArray, IntArray
from amp.descriptor._compiling import told_if_compiled
from amp.descriptor._plan import Plan

__all__ = ["Near", "contract", "fill_derivatives", "fill_tangents", "fill_values"]

_called: set[tuple[Any, ...]] = set()  # kernels, and the precision they were called in


class Near(Protocol):
    """What kernels need of the neighbors of an image's atoms, as `amp.core.neighbors` gives it."""

    @property
    def starts(self) -> IntArray: ...
    @property
    def second(self) -> IntArray: ...
    @property
    def vectors(self) -> FloatArray: ...
    @property
    def distances(self) -> FloatArray: ...


def fill_values(
    plan: Plan, species: IntArray, near: Near, out_starts: IntArray, out: FloatArray,
    threads: int = 1, dtype: str = "float64",
) -> None:  # fmt: skip
    """Fill the fingerprints of an image's atoms, the first numbers of which are at out_starts."""
    from amp.descriptor import _kernels

    kernels, like = _with_moments(plan, _kernels.values, "add_values"), np.empty(0, dtype)

    def work(first: int, last: int) -> None:
        _call(
            kernels, (like,), first, last, plan, species, near.starts, near.second, near.vectors,
            near.distances, out_starts, out,
        )  # fmt: skip

    _for_pieces(kernels, (like,), work, ranges(len(species)), threads)


def contract(
    plan: Plan, species: IntArray, near: Near, slope_starts: IntArray, slopes: FloatArray,
    threads: int = 1, dtype: str = "float64",
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Give dE/dr (n_atoms, 3) and dE/dstrain (3, 3) of an image from dE/dG."""
    from amp.descriptor import _kernels

    kernels, like = _with_moments(plan, _kernels.contract, "add_contraction"), np.empty(0, dtype)
    pieces = ranges(len(species))
    gradients = np.zeros((len(pieces), len(species), 3))
    strains = np.zeros((len(pieces), 3, 3))

    def work(first: int, last: int) -> None:
        piece = pieces.index((first, last))
        _call(
            kernels, (like,), first, last, plan, species, near.starts, near.second, near.vectors,
            near.distances, slope_starts, slopes, gradients[piece], strains[piece],
        )  # fmt: skip

    _for_pieces(kernels, (like,), work, pieces, threads)
    if len(pieces) == 1:
        return gradients[0], strains[0]
    return gradients.sum(axis=0), strains.sum(axis=0)


def fill_derivatives(
    plan: Plan, species: IntArray, near: Near, out_starts: IntArray, out: FloatArray,
    block_of_pair: IntArray, block_starts: IntArray, blocks: FloatArray, strain: FloatArray,
) -> None:  # fmt: skip
    """Fill fingerprints and derivatives of an image; see the kernel for what is filled how."""
    from amp.descriptor import _derivative_kernels

    _call(
        _with_moments(plan, _derivative_kernels.derivatives, "add_derivatives"), (),
        plan, species, near.starts, near.second, near.vectors,
        near.distances, out_starts, out, block_of_pair, block_starts, blocks, strain,
    )  # fmt: skip


def fill_tangents(
    plan: Plan, species: IntArray, near: Near, velocities: FloatArray, strain_rate: FloatArray,
    out_starts: IntArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill dG/dt of an image's atoms moving at velocities (n_atoms, 3); strain_rate is (3, 3)."""
    from amp.descriptor import _derivative_kernels

    _call(
        _with_moments(plan, _derivative_kernels.tangents, "add_tangents"), (),
        plan, species, near.starts, near.second, near.vectors,
        near.distances, velocities, strain_rate, out_starts, out,
    )  # fmt: skip


def _with_moments(plan: Plan, kernel: Any, name: str) -> tuple[Any, ...]:
    """Give a kernel, and the one that adds what goes by moments if anything can."""
    if not plan.has_moments:
        return (kernel,)
    from amp.descriptor import _moment_kernels

    return kernel, getattr(_moment_kernels, name)


def _call(kernels: tuple[Any, ...], like: tuple[FloatArray, ...], *arguments: Any) -> None:
    """Call kernels in turn; the first time, say so if one has to be compiled.

    `like` is for the first alone, and tells its precision; moments are always float64.
    """
    first, *rest = kernels
    if _known(kernels, like):  # looked at for every prediction, so cheap
        first(*arguments, *like)
        for kernel in rest:
            kernel(*arguments)
        return
    with told_if_compiled(first, (*arguments, *like)):
        first(*arguments, *like)
    for kernel in rest:
        with told_if_compiled(kernel, arguments):
            kernel(*arguments)
    _called.add(_how(kernels, like))


def _how(kernels: tuple[Any, ...], like: tuple[FloatArray, ...]) -> tuple[Any, ...]:
    """Tell kernels and precisions apart."""
    return (*kernels, *(array.dtype for array in like))


def _known(kernels: tuple[Any, ...], like: tuple[FloatArray, ...]) -> bool:
    """Say whether these kernels have been called in this precision."""
    return _how(kernels, like) in _called


def _for_pieces(
    kernels: tuple[Any, ...], like: tuple[FloatArray, ...],
    work: Callable[[int, int], None], pieces: list[tuple[int, int]], threads: int,
) -> None:  # fmt: skip
    """Do all pieces; kernels release the interpreter."""
    if not _known(kernels, like):  # threads must not compile at once
        work(*pieces[0])
        pieces = pieces[1:]
    for_ranges(work, pieces, threads)
