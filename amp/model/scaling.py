"""Scaling of fingerprints to [-1, 1] by their range in the training images, as in Amp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from amp.core.typing import FloatArray

__all__ = ["fingerprint_ranges", "range_scaling", "varying"]

_CONSTANT = 1e-8  # a function whose range is not wider is left as it is


def fingerprint_ranges(fingerprints: FloatArray) -> list[tuple[float, float]]:
    """Give (min, max) of every function over all atoms of an element.

    Parameters
    ----------
    fingerprints : ndarray, shape (n_atoms, n_functions)
    """
    return [
        (float(low), float(high))
        for low, high in zip(fingerprints.min(axis=0), fingerprints.max(axis=0), strict=True)
    ]


def varying(ranges: Sequence[Sequence[float]] | FloatArray) -> npt.NDArray[np.bool_]:
    """Say of each function whether its range is wider than 1e-8; below that it is constant."""
    low, high = np.asarray(ranges, dtype=float).reshape(-1, 2).T
    return np.asarray(high - low > _CONSTANT)


def range_scaling(ranges: Sequence[Sequence[float]]) -> tuple[FloatArray, FloatArray]:
    """Give slope and shift so that `slope * fingerprint + shift` lies in [-1, 1].

    Returns
    -------
    slope, shift : ndarray, shape (n_functions,)
        1 and 0 where the range is not wider than 1e-8.
    """
    pairs = np.asarray(ranges, dtype=float).reshape(-1, 2)  # once: this is part of each MD step
    low, high = pairs.T
    width = high - low
    varies = varying(pairs)
    slope = np.divide(2.0, width, out=np.ones_like(width), where=varies)
    return slope, np.where(varies, -1.0 - slope * low, 0.0)
