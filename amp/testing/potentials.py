"""Potentials with random parameters: every term at work, nothing trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from amp.calculator import Amp
from amp.core.images import hash_images
from amp.model.neuralnetwork import NeuralNetwork

__all__ = ["random_potential"]


def random_potential(
    descriptor: Any,
    images: Sequence[Atoms],
    seed: int = 0,
    hiddenlayers: Sequence[int] | Mapping[str, Sequence[int]] = (4, 3),
    activation: str = "tanh",
    **settings: Any,
) -> Amp:
    """Make a potential with random weights and biases, with fingerprints scaled as in training.

    Parameters
    ----------
    descriptor : Descriptor
        Prepared here for the elements of the images.
    images : sequence of Atoms
        They settle the scaling of the fingerprints and need no energies.
    seed : int
        Of the random parameters.
    hiddenlayers, activation
        Of the neural network.
    **settings
        More settings of the neural network.

    Returns
    -------
    Amp
        Atomic energies are of the order of 1 eV.
    """
    hashed = hash_images(list(images))
    descriptor.prepare(sorted({symbol for atoms in images for symbol in atoms.symbols}))
    model = NeuralNetwork(hiddenlayers, activation, randomseed=seed, **settings)
    fingerprints = descriptor.fingerprint_images(hashed)
    model.initialize(fingerprints, np.full(len(hashed), np.nan))
    rng = np.random.default_rng(seed)
    vector = model.vector + rng.uniform(-0.3, 0.3, len(model.vector))
    n_elements = len(model.elements)
    # the last entries are intercept and slope of each element
    vector[-2 * n_elements :] = rng.uniform(0.5, 1.5, 2 * n_elements)
    model.vector = vector
    return Amp(descriptor, model)
