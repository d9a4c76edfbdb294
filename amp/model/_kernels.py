"""The force and stress part of the loss: one reading of the stored derivatives per evaluation.

For each image, forces and stress are contracted from the derivatives, compared with the
references, and the residuals go back through the same derivatives while these are still in the
processor's cache.  See amp.core.fingerprints for how derivatives are stored.

What limits these loops is how fast memory delivers, so they go through it strictly in order, one
row of a run after the other: taking several rows at once saves instructions, but processors then
fail to fetch ahead, and it takes two to three times as long; so does mixing the way back of an
image with the way forth of the next.  The way back goes from the last center to the first, as the
last derivatives of a large image are still in a near cache, its first ones farther away.  Asking
for memory ahead of its use gains nothing here, neither on the way forth nor, for the next image, on
the way back, one line or one in four: it makes the way back slower, and the way forth no faster,
probably because the loops themselves use all the places for lines under way, so that processors
drop what they are asked for.  Sums kept in registers, and runs prepared one center before they are
used, gain a tenth in the nearest caches and a twentieth at most from memory.  Positions are
unsigned, because numba lets signed ones count from an array's end, which keeps loops out of vector
registers.  Arithmetic is in double precision whatever the precision that derivatives are stored in.
"""

from __future__ import annotations

import math

import numpy as np

from amp.core.compiling import kept

__all__ = ["force_pass", "residuals"]

# Sums may be taken in any order, which lets them run in vector registers; NaN and infinity keep
# their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


@kept(nogil=True, fastmath=_SUMS)
def force_pass(
    images, layout, derivatives, strain, slopes,
    ref_forces, force_scale, ref_stress, stress_scale, volumes,
    slope_bar, force_sums, force_max, stress_sums, stress_max,
):  # fmt: skip
    """Fill the force and stress sums of a range of images, and dL/d(slopes) of their atoms.

    images (first, last); layout (image_starts, species, starts, lengths); derivatives
    (values, run_starts, atom_starts, atoms, slot_starts, slots).  A component without
    reference is NaN and does not count.  force_scale and stress_scale (n_images,) are the
    coefficient times the image's weight, 0 where nothing is asked; sums (n_images,) are means of
    squared residuals over the components that count, without coefficient or weight.  Without
    slope_bar (empty) there is no way back.
    """
    image_starts, _, _, lengths = layout
    row = np.empty(_longest_row(images, image_starts, derivatives[2], lengths))
    column = np.empty(row.size)
    for image in range(images[0], images[1]):
        lo, hi = image_starts[image], image_starts[image + 1]
        bar = np.zeros((hi - lo, 3))
        if force_scale[image] != 0.0:
            _forces(lo, hi, layout, derivatives, slopes, row, column, bar)
            force_sums[image], force_max[image] = residuals(
                bar, ref_forces[lo:hi], 2.0 * force_scale[image]
            )
        stress_bar = np.zeros(6)
        if stress_scale[image] != 0.0:
            _strain_slopes(lo, hi, layout, strain, slopes, stress_bar)
            stress_bar /= volumes[image]
            as_rows = stress_bar.reshape(1, 6)
            stress_sums[image], stress_max[image] = residuals(
                as_rows, ref_stress[image : image + 1], 2.0 * stress_scale[image]
            )
            stress_bar /= volumes[image]
        if slope_bar.size:
            _strain_backward(lo, hi, layout, strain, stress_bar, slope_bar)
            if force_scale[image] != 0.0:
                _backward(lo, hi, layout, derivatives, row, column, bar, slope_bar)


@kept(nogil=True)
def residuals(values, references, scale):
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


@kept(nogil=True)
def _longest_row(images, image_starts, atom_starts, lengths):
    """Give the longer side of the largest run."""
    longest, n_elements = lengths.max(), lengths.size
    first, last = image_starts[images[0]] * n_elements, image_starts[images[1]] * n_elements
    for run in range(first, last):
        longest = max(longest, 3 * (atom_starts[run + 1] - atom_starts[run]))
    return longest


@kept(nogil=True, fastmath=_SUMS)
def _forces(lo, hi, layout, derivatives, slopes, row, column, forces):
    """Add the forces on atoms lo:hi of one image."""
    _, species, starts, lengths = layout
    values, run_starts, atom_starts, atoms, slot_starts, slots = derivatives
    n_elements = lengths.size
    one, first_atom = np.uintp(1), np.uintp(lo)
    for c in range(lo, hi):
        own_x, own_y, own_z = 0.0, 0.0, 0.0
        start, center = np.uintp(starts[c]), np.uintp(c - lo)
        for t in range(n_elements):
            run, kind = c * n_elements + t, species[c] * n_elements + t
            slot, width = np.uintp(slot_starts[kind]), slot_starts[kind + 1] - slot_starts[kind]
            n = 3 * (atom_starts[run + 1] - atom_starts[run])
            if n == 0 or width == 0:
                continue
            for k in range(np.uintp(width)):
                row[k] = slopes[start + np.uintp(slots[slot + k])]
            first = np.uintp(run_starts[run])
            if n >= width:
                _sum_rows(values, first, np.uintp(width), np.uintp(n), row, column)
            else:
                _products_with_rows(values, first, np.uintp(n), np.uintp(width), row, column)
            place = np.uintp(0)
            for b in range(np.uintp(atom_starts[run]), np.uintp(atom_starts[run + 1])):
                x, y, z = column[place], column[place + one], column[place + one + one]
                atom = np.uintp(atoms[b]) - first_atom
                forces[atom, 0] -= x
                forces[atom, 1] -= y
                forces[atom, 2] -= z
                own_x += x
                own_y += y
                own_z += z
                place += one + one + one
        forces[center, 0] += own_x
        forces[center, 1] += own_y
        forces[center, 2] += own_z


@kept(nogil=True, fastmath=_SUMS)
def _backward(lo, hi, layout, derivatives, row, column, bar, slope_bar):
    """Add to dL/d(slopes) of atoms lo:hi what comes from dL/dF = bar (n, 3)."""
    _, species, starts, lengths = layout
    values, run_starts, atom_starts, atoms, slot_starts, slots = derivatives
    n_elements = lengths.size
    one, first_atom = np.uintp(1), np.uintp(lo)
    for c in range(hi - 1, lo - 1, -1):  # what was read last is nearest
        start, center = np.uintp(starts[c]), np.uintp(c - lo)
        own_x, own_y, own_z = bar[center, 0], bar[center, 1], bar[center, 2]
        for t in range(n_elements):
            run, kind = c * n_elements + t, species[c] * n_elements + t
            slot, width = np.uintp(slot_starts[kind]), slot_starts[kind + 1] - slot_starts[kind]
            n = 3 * (atom_starts[run + 1] - atom_starts[run])
            if n == 0 or width == 0:
                continue
            place = np.uintp(0)
            for b in range(np.uintp(atom_starts[run]), np.uintp(atom_starts[run + 1])):
                atom = np.uintp(atoms[b]) - first_atom
                column[place] = own_x - bar[atom, 0]
                column[place + one] = own_y - bar[atom, 1]
                column[place + one + one] = own_z - bar[atom, 2]
                place += one + one + one
            first = np.uintp(run_starts[run])
            if n >= width:
                _products_with_rows(values, first, np.uintp(width), np.uintp(n), column, row)
            else:
                _sum_rows(values, first, np.uintp(n), np.uintp(width), column, row)
            for k in range(np.uintp(width)):
                slope_bar[start + np.uintp(slots[slot + k])] += row[k]


@kept(nogil=True, fastmath=_SUMS)
def _sum_rows(values, start, n_rows, n, factors, out):
    """Fill out[:n] with the sum of rows of n values, each times its factor."""
    for i in range(n):
        out[i] = 0.0
    for r in range(n_rows):
        factor = factors[r]
        for i in range(n):
            out[i] += factor * values[start + i]
        start += n


@kept(nogil=True, fastmath=_SUMS)
def _products_with_rows(values, start, n_rows, n, vector, out):
    """Fill out[:n_rows] with the scalar products of rows of n values and a vector."""
    for r in range(n_rows):
        total = 0.0
        for i in range(n):
            total += vector[i] * values[start + i]
        out[r] = total
        start += n


@kept(nogil=True, fastmath=_SUMS)
def _strain_slopes(lo, hi, layout, strain, slopes, result):
    """Add dE/dstrain (6,) of one image."""
    _, species, starts, lengths = layout
    for c in range(lo, hi):
        start, length = np.uintp(starts[c]), np.uintp(lengths[species[c]])
        place = np.uintp(6) * start
        for v in range(6):
            total = 0.0
            for k in range(length):
                total += strain[place + k] * slopes[start + k]
            result[v] += total
            place += length


@kept(nogil=True, fastmath=_SUMS)
def _strain_backward(lo, hi, layout, strain, stress_bar, slope_bar):
    """Fill dL/d(slopes) of atoms lo:hi with what comes from dL/d(dE/dstrain) (6,)."""
    _, species, starts, lengths = layout
    for c in range(lo, hi):
        start, length = np.uintp(starts[c]), np.uintp(lengths[species[c]])
        for k in range(length):
            slope_bar[start + k] = 0.0
        if strain.size:
            place = np.uintp(6) * start
            for v in range(6):
                factor = stress_bar[v]
                for k in range(length):
                    slope_bar[start + k] += factor * strain[place + k]
                place += length
