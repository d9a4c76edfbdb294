"""The force and stress part of the loss: one reading of the stored derivatives per evaluation.

For each image, forces and stress are contracted from the derivatives, compared with the
references, and the residuals go back through the same derivatives while these are still in the
processor's cache.  See amp.core.fingerprints for how derivatives are stored.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["force_pass"]

# Sums may be taken in any order, which lets them run in vector registers; NaN and infinity keep
# their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_SUMS)
def force_pass(
    images, layout, derivatives, strain, slopes,
    ref_forces, force_scale, ref_stress, stress_scale, volumes,
    slope_bar, force_sums, force_max, stress_sums, stress_max,
):  # fmt: skip
    """Fill the force and stress sums of a range of images, and dL/d(slopes) of their atoms.

    images (first, last); layout (image_starts, species, starts, lengths); derivatives
    (values, center_blocks, block_atoms, block_starts, slot_starts, slots).  A component without
    reference is NaN and does not count.  force_scale and stress_scale (n_images,) are the
    coefficient times the image's weight, 0 where nothing is asked; sums (n_images,) are means of
    squared residuals over the components that count, without coefficient or weight.
    """
    image_starts, _, _, lengths = layout
    n_elements, longest = lengths.size, lengths.max()
    work = np.empty((n_elements, longest))
    for image in range(images[0], images[1]):
        lo, hi = image_starts[image], image_starts[image + 1]
        bar = np.zeros((hi - lo, 3))
        if force_scale[image] != 0.0:
            _forces(lo, hi, layout, derivatives, slopes, work, bar)
            force_sums[image], force_max[image] = _residuals(
                bar, ref_forces[lo:hi], 2.0 * force_scale[image]
            )
        stress_bar = np.zeros(6)
        if stress_scale[image] != 0.0:
            _strain_slopes(lo, hi, layout, strain, slopes, stress_bar)
            stress_bar /= volumes[image]
            as_rows = stress_bar.reshape(1, 6)
            stress_sums[image], stress_max[image] = _residuals(
                as_rows, ref_stress[image : image + 1], 2.0 * stress_scale[image]
            )
            stress_bar /= volumes[image]
        _backward(lo, hi, layout, derivatives, strain, work, bar, stress_bar, slope_bar)


@njit(cache=True, nogil=True)
def _residuals(values, references, scale):
    """Turn values into d(scale / 2 * mean square residual)/d(values), in place."""
    total, largest, count = 0.0, 0.0, 0
    for a in range(values.shape[0]):
        for d in range(values.shape[1]):
            if math.isfinite(references[a, d]):
                residual = values[a, d] - references[a, d]
                total += residual * residual
                largest = max(largest, abs(residual))
                values[a, d] = residual
                count += 1
            else:
                values[a, d] = 0.0
    if count == 0:
        return 0.0, 0.0
    values *= scale / count
    return total / count, largest


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _forces(lo, hi, layout, derivatives, slopes, work, forces):
    """Add the forces on atoms lo:hi of one image."""
    _, species, starts, lengths = layout
    values, center_blocks, block_atoms, block_starts, slot_starts, slots = derivatives
    n_elements = lengths.size
    for c in range(lo, hi):
        s = species[c]
        for t in range(n_elements):
            first = slot_starts[s * n_elements + t]
            for k in range(slot_starts[s * n_elements + t + 1] - first):
                work[t, k] = slopes[starts[c] + slots[first + k]]
        for b in range(center_blocks[c], center_blocks[c + 1]):
            m = block_atoms[b]
            g = work[species[m]]
            start = block_starts[b]
            width = (block_starts[b + 1] - start) // 3
            x, y, z = 0.0, 0.0, 0.0
            for k in range(width):
                x += values[start + k] * g[k]
                y += values[start + width + k] * g[k]
                z += values[start + 2 * width + k] * g[k]
            forces[m - lo, 0] -= x
            forces[m - lo, 1] -= y
            forces[m - lo, 2] -= z
            forces[c - lo, 0] += x
            forces[c - lo, 1] += y
            forces[c - lo, 2] += z


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _strain_slopes(lo, hi, layout, strain, slopes, result):
    """Add dE/dstrain (6,) of one image."""
    _, species, starts, lengths = layout
    for c in range(lo, hi):
        start, length = starts[c], lengths[species[c]]
        for v in range(6):
            for k in range(length):
                result[v] += strain[6 * start + v * length + k] * slopes[start + k]


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _backward(lo, hi, layout, derivatives, strain, work, bar, stress_bar, slope_bar):
    """Fill dL/d(slopes) of atoms lo:hi from dL/dF = bar (n, 3) and dL/d(dE/dstrain) (6,)."""
    _, species, starts, lengths = layout
    values, center_blocks, block_atoms, block_starts, slot_starts, slots = derivatives
    n_elements = lengths.size
    for c in range(lo, hi):
        s, start = species[c], starts[c]
        length = lengths[s]
        for k in range(length):
            total = 0.0
            if strain.size:
                for v in range(6):
                    total += stress_bar[v] * strain[6 * start + v * length + k]
            slope_bar[start + k] = total
        work[:] = 0.0
        for b in range(center_blocks[c], center_blocks[c + 1]):
            m = block_atoms[b]
            back = work[species[m]]
            first = block_starts[b]
            width = (block_starts[b + 1] - first) // 3
            x = bar[c - lo, 0] - bar[m - lo, 0]
            y = bar[c - lo, 1] - bar[m - lo, 1]
            z = bar[c - lo, 2] - bar[m - lo, 2]
            for k in range(width):
                back[k] += (
                    x * values[first + k]
                    + y * values[first + width + k]
                    + z * values[first + 2 * width + k]
                )
        for t in range(n_elements):
            first = slot_starts[s * n_elements + t]
            for k in range(slot_starts[s * n_elements + t + 1] - first):
                slope_bar[start + slots[first + k]] += work[t, k]
