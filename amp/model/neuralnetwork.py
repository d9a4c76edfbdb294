"""One feed-forward network per element, from an atom's fingerprint to its energy."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amp.core.errors import ParameterError
from amp.core.fingerprints import Fingerprints
from amp.core.parameters import Parameters
from amp.core.typing import FloatArray
from amp.model import _legacy
from amp.model._evaluation import ElementNetwork, NetworkEvaluation
from amp.model._initial import energy_scalings, random_weights
from amp.model._settings import (
    check_shapes,
    hidden_layers,
    range_pairs,
    scaling_numbers,
    truth,
    weight_arrays,
    whole_number,
)
from amp.model.activations import activations
from amp.model.base import models
from amp.model.loss import LossFunction
from amp.model.node_plot import NodePlot
from amp.model.scaling import fingerprint_ranges, range_scaling, varying

__all__ = ["NeuralNetwork", "NodePlot", "get_overfit_mask"]

logger = logging.getLogger(__name__)

_VERSION = "2015.12"  # what Amp 1.0.1 wrote and its scripts may ask for


@models.register("neuralnetwork")
class NeuralNetwork:
    """Behler-Parrinello neural networks [1]_: energy = sum of one network's output per atom.

    Parameters
    ----------
    hiddenlayers : tuple or dict, default (5, 5)
        Nodes of the hidden layers, for all elements or per element.
    activation : str, default 'tanh'
        'tanh', 'sigmoid', 'linear', 'softplus' or 'silu'.
    weights : dict, optional
        `weights[element][layer]`, layers counted from 1: array (inputs + 1, outputs) whose last
        row is the bias.  Random if not given.
    scalings : dict, optional
        `scalings[element]` = `{'intercept': eV, 'slope': eV}`; atomic energy = slope * output +
        intercept.  From the training energies if not given.
    fprange : dict, optional
        `fprange[element]` = list of (min, max) per symmetry function.  From the training images
        if not given.
    mode : {'atom-centered'}, optional
        Only atom-centered networks exist.
    version : str, optional
        Version of the scheme that the settings were made for.
    regressor : object, optional
        Optimizer, see `amp.regression.Regressor`; can be assigned later.
    lossfunction : LossFunction, optional
        What training makes small; can be assigned later.
    fortran : bool, default True
        Accepted for old scripts; has no effect.
    checkpoints : int or None, default 100
        Training saves a check point every so many steps; with a negative number each is kept in
        a file of its own; None for none.
    randomseed : int, optional
        Seed of the random weights; drawn and logged if not given.
    prescale : bool, default True
        Initial intercepts from a least-squares fit of the energies to the composition; with
        False all elements get the middle and half the range of the energies per atom.
    output : {'linear', 'activation'}, default 'linear'
        Whether the output node passes through the activation too, as in Amp 1.0.1, which bounds
        atomic energies.
    device : str, optional
        Train with torch on this device ('cpu', 'cuda', 'cuda:1'); without it torch is not used.

    Raises
    ------
    ParameterError
        If a setting makes no sense.

    References
    ----------
    .. [1] J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007).
    """

    def __init__(
        self,
        hiddenlayers: Sequence[int] | Mapping[str, Sequence[int]] = (5, 5),
        activation: str = "tanh",
        weights: Mapping[str, Mapping[int, FloatArray]] | None = None,
        scalings: Mapping[str, Mapping[str, float]] | None = None,
        fprange: Mapping[str, Sequence[Sequence[float]]] | None = None,
        mode: str | None = None,
        version: str | None = None,
        regressor: Any = None,
        lossfunction: LossFunction | None = None,
        fortran: bool = True,
        checkpoints: int | None = 100,
        randomseed: int | None = None,
        prescale: bool = True,
        *,
        output: str = "linear",
        device: str | None = None,
    ) -> None:
        if version is not None and version != _VERSION:
            raise ParameterError(
                f"NeuralNetwork version {version!r} is not known; this is version {_VERSION!r}."
            )
        if mode not in (None, "atom-centered"):
            raise ParameterError(f"NeuralNetwork knows mode 'atom-centered' only, not {mode!r}.")
        if output not in ("linear", "activation"):
            raise ParameterError(f"output is 'linear' or 'activation', not {output!r}.")
        if not isinstance(activation, str):
            raise ParameterError(f"activation is a name such as 'tanh', not {activation!r}.")
        if not isinstance(lossfunction, LossFunction | None):
            raise ParameterError(
                f"lossfunction is a LossFunction, such as LossFunction(force_coefficient=0.1), not "
                f"{lossfunction!r}."
            )
        if not isinstance(device, str | None):
            raise ParameterError(f"device is a name such as 'cpu' or 'cuda', not {device!r}.")
        if not fortran:
            logger.info("NeuralNetwork: fortran=False has no effect.")
        activations[activation]  # an unknown name is told here, with the nearest known
        self.parameters = Parameters(
            hiddenlayers=hidden_layers(hiddenlayers),
            activation=activation,
            output=output,
            weights=None if weights is None else weight_arrays(weights),
            scalings=None if scalings is None else scaling_numbers(scalings),
            fprange=None if fprange is None else range_pairs(fprange),
            mode="atom-centered",
            prescale=truth("prescale", prescale),
            randomseed=whole_number("randomseed", randomseed, "from 0 on", least=0),
        )
        self.regressor = regressor
        self.lossfunction = LossFunction() if lossfunction is None else lossfunction
        self.checkpoints = whole_number("checkpoints", checkpoints, "of steps")
        self.device = device
        self._check_shapes()

    def __repr__(self) -> str:
        p = self.parameters
        if p.weights is None:
            of = f"hiddenlayers={p.hiddenlayers!r}"
        else:
            of = ", ".join(f"{e} {_widths(p.weights[e])}" for e in sorted(p.weights))
        state = f"{len(self.vector)} parameters" if self._is_initialized() else "not trained"
        return f"<NeuralNetwork: {of}, {p.activation}, {state}>"

    # -- parameters as one vector ------------------------------------------------------------

    @property
    def elements(self) -> tuple[str, ...]:
        """Sorted symbols of the elements that have a network."""
        return tuple(sorted(self._initialized().weights))

    @property
    def vector(self) -> FloatArray:
        """All weights, then all scalings, flat.

        For every element in alphabetical order its layers one after the other, each row by row;
        then for every element intercept and slope.
        """
        p = self._initialized()
        parts = [
            p.weights[e][layer].ravel() for e in self.elements for layer in sorted(p.weights[e])
        ]
        numbers = [[p.scalings[e]["intercept"], p.scalings[e]["slope"]] for e in self.elements]
        return np.concatenate([*parts, *np.array(numbers, dtype=float)])

    @vector.setter
    def vector(self, vector: FloatArray) -> None:
        weights, scalings = self._split(np.array(vector, dtype=float))
        p = self.parameters
        p.weights = {e: {layer + 1: w for layer, w in enumerate(weights[e])} for e in self.elements}
        p.scalings = {
            e: {"intercept": float(scalings[e][0]), "slope": float(scalings[e][1])}
            for e in self.elements
        }

    def overfit_mask(self) -> FloatArray:
        """Give 1 for the first layers' weights without biases, 0 for all other parameters."""
        mask = np.zeros(len(self.vector))
        weights, _ = self._split(mask)
        for layers in weights.values():
            layers[0][:-1] = 1.0  # a view into the mask
        return mask

    def _split(
        self, vector: FloatArray
    ) -> tuple[dict[str, list[FloatArray]], dict[str, FloatArray]]:
        """Cut a vector into weights and scalings, as views."""
        p = self._initialized()
        shapes = {e: [p.weights[e][i].shape for i in sorted(p.weights[e])] for e in self.elements}
        sizes = [rows * columns for e in self.elements for rows, columns in shapes[e]]
        expected = sum(sizes) + 2 * len(self.elements)
        if vector.shape != (expected,):
            raise ParameterError(
                f"This network has {expected} parameters; the vector has shape {vector.shape}."
            )
        pieces = iter(np.split(vector, np.cumsum(sizes)))
        weights = {e: [next(pieces).reshape(shape) for shape in shapes[e]] for e in self.elements}
        return weights, dict(zip(self.elements, next(pieces).reshape(-1, 2), strict=True))

    # -- set-up ----------------------------------------------------------------------------------

    def initialize(self, fingerprints: Fingerprints, energies: FloatArray) -> None:
        """Settle all parameters that were not given, from the training data.

        Parameters
        ----------
        fingerprints : Fingerprints
            Of the training images.
        energies : ndarray, shape (n_images,)
            Their energies (eV); those that are NaN are left out.

        Raises
        ------
        ParameterError
            If given settings lack an element or do not fit the fingerprints.
        """
        p, layout = self.parameters, fingerprints.layout
        if isinstance(p.hiddenlayers, tuple):
            elements = {*layout.elements, *(p.weights or {})}
            p.hiddenlayers = {element: p.hiddenlayers for element in sorted(elements)}
        for name in ("hiddenlayers", "fprange", "weights", "scalings"):
            lacking = sorted(set(layout.elements) - set(p[name])) if p[name] is not None else []
            if lacking:
                raise ParameterError(
                    f"{name} of the neural network lack {', '.join(lacking)}; they have "
                    f"{', '.join(sorted(p[name]))}. Add {name}[{lacking[0]!r}]."
                )
        if p.fprange is None:
            p.fprange = {
                e: fingerprint_ranges(fingerprints.of_element(s)) if layout.count(s) else
                [(0.0, 0.0)] * int(layout.lengths[s])
                for s, e in enumerate(layout.elements)
            }  # fmt: skip
            _warn_of_constants(fingerprints, p.fprange)
        if p.weights is None:
            if p.randomseed is None:
                p.randomseed = int(np.random.default_rng().integers(2**31))
            logger.info("Random initial weights, seed %d.", p.randomseed)
            p.weights = random_weights(
                layout.elements, layout.lengths, p.hiddenlayers, np.random.default_rng(p.randomseed)
            )
        if p.scalings is None:
            p.scalings = energy_scalings(layout, energies, p.prescale)
        for s, element in enumerate(layout.elements):
            if len(p.fprange[element]) != layout.lengths[s]:
                raise ParameterError(
                    f"fprange[{element!r}] has {len(p.fprange[element])} entries, but there are "
                    f"{layout.lengths[s]} symmetry functions of {element}."
                )
        self._check_shapes()

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take weights, scalings, ranges and seed from a description of the same network.

        Parameters
        ----------
        data : mapping
            As from `to_dict`.
        """
        other = type(self).from_dict(data).parameters
        for name in ("weights", "scalings", "fprange", "randomseed"):
            self.parameters[name] = other[name]

    def _check_shapes(self) -> None:
        p = self.parameters
        check_shapes(p.hiddenlayers, p.weights, p.fprange, p.scalings)

    def _is_initialized(self) -> bool:
        p = self.parameters
        return p.weights is not None and p.scalings is not None and p.fprange is not None

    def _initialized(self) -> Parameters:
        p = self.parameters
        if not self._is_initialized():
            raise ParameterError(
                "The neural network has no parameters yet: train it, load a potential, or give "
                "weights, scalings and fprange."
            )
        return p

    # -- evaluation ------------------------------------------------------------------------------

    def evaluate(
        self, fingerprints: Fingerprints, vector: FloatArray | None = None, threads: int = 1
    ) -> NetworkEvaluation:
        """Evaluate atomic energies and their slopes for all atoms.

        Parameters
        ----------
        fingerprints : Fingerprints
            Of one image or many.
        vector : ndarray, optional
            Parameters to use instead of the model's own, which stay as they are.
        threads : int, default 1
            Threads over atoms; results do not depend on it.

        Returns
        -------
        NetworkEvaluation
            With `atomic_energies` (eV), `slopes` (eV) and `gradient()`.
        """
        layout = fingerprints.layout
        if vector is None:
            p = self._initialized()
            weights = {e: [p.weights[e][i] for i in sorted(p.weights[e])] for e in p.weights}
            scalings = {e: (s["intercept"], s["slope"]) for e, s in p.scalings.items()}
        else:
            weights, split = self._split(vector)
            scalings = {e: (float(s[0]), float(s[1])) for e, s in split.items()}
        energies = np.empty(layout.n_atoms)
        slopes = np.empty(layout.size)
        parts = []
        for s, element in enumerate(layout.elements):
            if element not in weights:
                raise ParameterError(f"The neural network has no weights for {element}.")
            atoms = np.flatnonzero(layout.species == s)
            part = ElementNetwork(
                atoms=atoms,
                element=element,
                scaling=range_scaling(self.parameters.fprange[element]),
                weights=weights[element],
                activations=self._activations(len(weights[element])),
                output_scaling=scalings[element],
                fingerprints=fingerprints.of_element(s),
            )
            energies[atoms] = part.run(layout.matrix(slopes, s), threads)
            parts.append(part)
        sizes = {e: sum(w.size for w in weights[e]) for e in self.elements}
        return NetworkEvaluation(energies, slopes, fingerprints, parts, sizes)

    def _activations(self, depth: int) -> list[str]:
        hidden = self.parameters.activation
        return [hidden] * (depth - 1) + [hidden if self.parameters.output != "linear" else "linear"]

    # -- names of Amp 1.0.1 ------------------------------------------------------------------------

    @property
    def forcetraining(self) -> bool:
        """Whether the loss function asks for forces."""
        return self.lossfunction.wants_forces

    def calculate_energy(self, fingerprints: Sequence[tuple[str, FloatArray]]) -> float:
        """Give the energy (eV) of an image whose fingerprints are a list of (symbol, vector)."""
        return _legacy.energy(self, fingerprints)

    def calculate_forces(
        self,
        fingerprints: Sequence[tuple[str, FloatArray]],
        fingerprintprimes: Mapping[tuple[int, str, int, str, int], FloatArray],
    ) -> FloatArray:
        """Give forces (eV/Å), shape (n_atoms, 3), from the derivatives of the fingerprints."""
        return _legacy.forces(self, fingerprints, fingerprintprimes)

    # -- data --------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Describe the model as plain data; `from_dict` makes it again."""
        p = dict(self.parameters)
        if p["weights"] is not None:
            p["weights"] = {
                e: [layers[i] for i in sorted(layers)] for e, layers in p["weights"].items()
            }
        return {"kind": "neuralnetwork", "version": 1, **p}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NeuralNetwork:
        """Make a model of its description.

        Raises
        ------
        ParameterError
            If a setting is unknown or makes no sense.
        """
        if data.get("version", 1) != 1:
            raise ParameterError(
                f"The neural network was written in version {data['version']!r}; this Amp knows "
                "version 1. Update Amp."
            )
        settings = {k: v for k, v in data.items() if k not in ("kind", "version")}
        known = {"hiddenlayers", "activation", "output", "weights", "scalings", "fprange", "mode",
                 "prescale", "randomseed"}  # fmt: skip
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ParameterError(f"Unknown settings of a neural network: {', '.join(unknown)}.")
        if isinstance(settings.get("weights"), Mapping):
            settings["weights"] = {
                e: dict(enumerate(layers, 1)) if isinstance(layers, (list, tuple)) else layers
                for e, layers in settings["weights"].items()
            }
        return cls(**settings)


def get_overfit_mask(model: NeuralNetwork, vector: FloatArray | None = None) -> FloatArray:
    """Give 1 for the parameters that the overfit term restrains, 0 for the others.

    Parameters
    ----------
    model : NeuralNetwork
        With parameters.
    vector : ndarray, optional
        Accepted for old scripts; the mask does not depend on it.

    Returns
    -------
    ndarray
        As long as `model.vector`; 1 for the first layers' weights without biases.
    """
    return model.overfit_mask()


def _warn_of_constants(
    fingerprints: Fingerprints, ranges: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """Tell the log of elements whose atoms all look the same to the network."""
    layout = fingerprints.layout
    for s, element in enumerate(layout.elements):
        if layout.count(s) and not varying(ranges[element]).any():
            logger.warning(
                "All %d atoms of %s in the %d training images have the same fingerprint, so their "
                "energies will be the same and nothing pulls at their neighbors. Unless that is "
                "meant, look at the cutoff and the symmetry functions of the descriptor.",
                layout.count(s), element, layout.n_images,
            )  # fmt: skip


def _widths(weights: Mapping[int, FloatArray]) -> str:
    """Write the numbers of nodes of all layers, inputs first."""
    layers = [weights[layer] for layer in sorted(weights)]
    return "-".join(str(n) for n in (len(layers[0]) - 1, *(w.shape[1] for w in layers)))
