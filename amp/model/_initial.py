"""Where training starts: random weights, and the scale of the energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from amp.core.fingerprints import Layout
from amp.core.typing import FloatArray, IntArray

__all__ = ["energy_scalings", "random_weights"]


def random_weights(
    elements: Sequence[str],
    n_inputs: IntArray,
    hiddenlayers: Mapping[str, Sequence[int]],
    rng: np.random.Generator,
) -> dict[str, dict[int, FloatArray]]:
    """Draw weights of variance 1 / inputs, so that every layer starts with outputs of order one.

    Biases start at 0.  After Y. LeCun et al., Efficient BackProp, in Neural Networks: Tricks of
    the Trade (Springer, 1998), sec. 4.6.
    """
    weights: dict[str, dict[int, FloatArray]] = {}
    for element, inputs in zip(elements, n_inputs, strict=True):
        widths = [int(inputs), *hiddenlayers[element], 1]
        weights[element] = {}
        for layer, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            w = np.zeros((n_in + 1, n_out))
            w[:-1] = rng.uniform(-1.0, 1.0, (n_in, n_out)) * np.sqrt(3.0 / max(n_in, 1))
            weights[element][layer] = w
    return weights


def energy_scalings(
    layout: Layout, energies: FloatArray, by_composition: bool
) -> dict[str, dict[str, float]]:
    """Choose intercepts and slopes so that networks with outputs of order one give such energies.

    Parameters
    ----------
    layout : Layout
        Of the training images.
    energies : ndarray, shape (n_images,)
        Energies (eV), NaN where unknown.
    by_composition : bool
        Intercepts from a least-squares fit of the energies to the composition (the one of least
        norm where it is not unique); otherwise middle and half range of the energies per atom.

    Returns
    -------
    dict
        Element -> `{'intercept', 'slope'}` (eV).
    """
    counts = np.zeros((layout.n_images, len(layout.elements)))
    np.add.at(counts, (layout.image_of_atom, layout.species), 1.0)
    known = np.isfinite(energies)
    n_atoms = counts[known].sum(axis=1)
    intercepts: FloatArray = np.zeros(len(layout.elements))
    slope = 0.0
    if known.any() and by_composition:
        fit = np.linalg.lstsq(counts[known], energies[known], rcond=None)[0]
        intercepts = np.asarray(fit, dtype=float)
        residuals = energies[known] - counts[known] @ intercepts
        slope = float(np.sqrt(np.mean(residuals**2 / n_atoms)))
    elif known.any():
        per_atom = energies[known] / n_atoms
        intercepts[:] = 0.5 * (per_atom.max() + per_atom.min())
        slope = 0.5 * float(per_atom.max() - per_atom.min())
    # A single image, or equal energies, give no scale; 0.1 eV is that of thermal distortions.
    if slope < 1e-6:
        slope = 0.1
    return {
        element: {"intercept": float(intercept), "slope": slope}
        for element, intercept in zip(layout.elements, intercepts, strict=True)
    }
