"""The loss of a neural network and its gradient by torch, on a processor or a graphics card.

Independent of the formulas in `_network` and `_kernels`: torch differentiates energies for the
forces, and the loss for its gradient.  What the terms of a loss mean is said in `_loss_terms`.
Imported only when `NeuralNetwork(device=...)` asks for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amp.core.errors import ParameterError
from amp.core.fingerprints import Derivatives, Fingerprints, Layout
from amp.core.typing import FloatArray, IntArray, RealArray
from amp.model._force_terms import Coefficients, ImageSums, Known, References
from amp.model._loss_terms import LossTerms, combine
from amp.model.base import Model
from amp.model.scaling import range_scaling

try:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils import parameters_to_vector, vector_to_parameters
except ImportError as error:
    raise ImportError(
        "NeuralNetwork(device=...) trains with torch, which is not installed. Install it with "
        "`pip install amp-potentials[torch]`, or leave device out to train without it."
    ) from error

__all__ = ["TorchEvaluator", "torch_device"]

Function = Callable[[Tensor], Tensor]

_FLOAT = torch.float64
_CHUNK = 2**22  # numbers moved at once while derivatives are sorted

# The counterparts of `activations`, under the same names.
_FUNCTIONS: dict[str, Function] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda z: z,
    # Torch calls softplus(z) = z from the threshold on; at its 20 that is wrong by 2e-9.
    "softplus": lambda z: nn.functional.softplus(z, threshold=40.0),
    "silu": nn.functional.silu,
}


class TorchEvaluator:
    """Evaluate with torch; the same results as those of `NumpyEvaluator` up to rounding.

    Data are copied to the device once, derivatives sorted into dense tensors on the way.  On a
    graphics card sums are taken in an order that changes, so that last digits vary.

    Parameters
    ----------
    model : NeuralNetwork
        Initialized, with the device to use.
    fingerprints : Fingerprints
        With derivatives if forces or stresses count, with those for strain if stresses do.
    references : References
    coefficients : Coefficients

    Raises
    ------
    ParameterError
        If the device is not there, or the model is one that torch cannot train.
    """

    def __init__(
        self,
        model: Model,
        fingerprints: Fingerprints,
        references: References,
        coefficients: Coefficients,
    ) -> None:
        self.device = torch_device(model.device)
        self.coefficients = coefficients
        self.weights = references.weights
        layout, primes = fingerprints.layout, fingerprints.derivatives
        if not isinstance(primes, Derivatives | None):
            raise ParameterError(
                "Training with torch (device) needs stored derivatives: train with "
                "derivatives='float64' or 'float32', or leave device out."
            )
        self.known = Known.of(references, layout)
        self.networks = _Networks(model).to(self.device)
        self.data = _Data(fingerprints, references, coefficients).to(self.device)
        self.blocks = self.forces = self.stresses = None
        owner = layout.image_of_atom
        if primes is not None and coefficients.force:
            self.blocks = _Blocks(layout, primes, self.device)
            counted = coefficients.force * references.weights != 0.0
            self.forces = _Target(references.forces, owner, counted).to(self.device)
        if primes is not None and coefficients.stress:
            counted = coefficients.stress * references.weights != 0.0
            images = np.arange(layout.n_images)
            self.stresses = _Target(references.stresses, images, counted).to(self.device)
        self.mask = None
        if coefficients.overfit:
            self.mask = torch.tensor(model.overfit_mask(), dtype=_FLOAT, device=self.device)

    def __call__(self, vector: FloatArray, gradient: bool) -> LossTerms:
        """Evaluate the loss, with its gradient on request."""
        self.networks.load(vector, gradient)
        parts = self._parts(gradient)
        terms = combine(
            self.coefficients,
            self.weights,
            self.known,
            _numpy(parts.residuals),
            ImageSums(*map(_numpy, (*parts.force, *parts.stress))),
            float(parts.overfit.detach()),
        )
        if not gradient:
            return terms
        return replace(terms, gradient=self._gradient(parts))

    def _parts(self, gradient: bool) -> _Parts:
        """Compute everything that the loss is made of."""
        data, n_images = self.data, len(self.weights)
        needs_slopes = self.forces is not None or self.stresses is not None
        inputs, atomic = {}, {}
        for element, part in data.elements.items():
            inputs[element] = part.fingerprints.detach().requires_grad_(needs_slopes)
            atomic[element] = self.networks(element, inputs[element])
        energies = torch.zeros(n_images, dtype=_FLOAT, device=self.device)
        for element, part in data.elements.items():
            energies = energies.index_add(0, part.image, atomic[element])
        difference = torch.where(data.counted, energies - data.energies, 0.0)
        nothing = torch.zeros(n_images, dtype=_FLOAT, device=self.device)
        parts = _Parts(
            difference / data.n_atoms, (nothing, nothing), (nothing, nothing), nothing[0]
        )
        if self.mask is not None:
            parts.overfit = ((self.mask * self.networks.vector()) ** 2).sum()
        if needs_slopes:
            # dE/dG of an atom: only its own energy depends on its fingerprint.
            total = torch.stack([a.sum() for a in atomic.values()]).sum()
            found = torch.autograd.grad(total, list(inputs.values()), create_graph=gradient)
            slopes = dict(zip(inputs, found, strict=True))
            if self.forces is not None:
                assert self.blocks is not None
                parts.force = self.forces(self.blocks(slopes))
            if self.stresses is not None:
                parts.stress = self.stresses(data.stresses(slopes))
        return parts

    def _gradient(self, parts: _Parts) -> FloatArray:
        """Differentiate the sum that `combine` makes of the parts."""
        c = self.coefficients
        loss = (
            c.energy * (self.data.weights @ parts.residuals**2)
            + c.force * (self.data.weights @ parts.force[0])
            + c.stress * (self.data.weights @ parts.stress[0])
            + c.overfit * parts.overfit
        )
        parameters = list(self.networks.parameters())
        found = torch.autograd.grad(loss, parameters, allow_unused=True)  # elements without atoms
        pairs = zip(found, parameters, strict=True)
        return _numpy(
            parameters_to_vector([torch.zeros_like(p) if g is None else g for g, p in pairs])
        )


def torch_device(name: Any) -> Any:
    """Find a device of torch by the name that `NeuralNetwork(device=...)` takes.

    Parameters
    ----------
    name : str
        'cpu', 'cuda' or 'cuda:N'.

    Returns
    -------
    torch.device

    Raises
    ------
    ParameterError
        If there is no such device here; the message says which there are.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if str(name) not in available:
        raise ParameterError(
            f"NeuralNetwork(device={str(name)!r}): there is no such device here; available: "
            f"{', '.join(available)}. Leave device out to train without torch."
        )
    return torch.device(str(name))


@dataclass(slots=True)
class _Parts:
    """What a loss is made of, still attached to torch's graph."""

    residuals: Tensor  # (n_images,)  of the energies, eV/atom
    force: tuple[Tensor, Tensor]  # (n_images,) mean squares and largest residuals
    stress: tuple[Tensor, Tensor]  # (n_images,) likewise
    overfit: Tensor  # ()


class _Networks(nn.Module):
    """All parameters of a model, in the order of `NeuralNetwork.vector`."""

    def __init__(self, model: Model) -> None:
        from amp.model.neuralnetwork import NeuralNetwork

        super().__init__()
        if not isinstance(model, NeuralNetwork):
            raise ParameterError(
                f"A {type(model).__name__} cannot be trained with torch; leave its device out."
            )
        elements, p = model.elements, model.parameters
        if p.activation not in _FUNCTIONS:
            raise ParameterError(
                f"Torch is not told how to compute the activation {p.activation!r}, only "
                f"{', '.join(_FUNCTIONS)}. Leave device out to train with it."
            )
        hidden = _FUNCTIONS[p.activation]
        last = hidden if p.output == "activation" else _FUNCTIONS["linear"]
        self.elements = nn.ModuleDict()
        self.scalings = nn.ParameterDict()  # (2,) each: intercept, slope
        for element in elements:
            weights = [p.weights[element][layer] for layer in sorted(p.weights[element])]
            functions = [hidden] * (len(weights) - 1) + [last]
            scaling = range_scaling(p.fprange[element])
            self.elements[element] = _ElementNetwork(weights, functions, scaling)
            numbers = [p.scalings[element]["intercept"], p.scalings[element]["slope"]]
            self.scalings[element] = nn.Parameter(torch.tensor(numbers, dtype=_FLOAT))
        self.n_parameters = len(model.vector)

    def load(self, vector: FloatArray, gradient: bool) -> None:
        """Take all parameters from a flat vector; with gradient they are to be differentiated."""
        if np.shape(vector) != (self.n_parameters,):
            raise ParameterError(
                f"This network has {self.n_parameters} parameters; the vector has shape "
                f"{np.shape(vector)}."
            )
        self.requires_grad_(gradient)
        device = next(self.parameters()).device
        vector_to_parameters(torch.tensor(vector, dtype=_FLOAT, device=device), self.parameters())

    def vector(self) -> Tensor:
        """Give all parameters as a flat vector that can be differentiated, shape (P,)."""
        return parameters_to_vector(self.parameters())

    def forward(self, element: str, fingerprints: Tensor) -> Tensor:
        """Give atomic energies (n_atoms,) for fingerprints (n_atoms, n_functions)."""
        intercept, slope = self.scalings[element]
        return intercept + slope * self.elements[element](fingerprints)


class _ElementNetwork(nn.Module):
    """The network of one element; weights (inputs + 1, outputs), the last row being the bias."""

    def __init__(
        self,
        weights: Sequence[FloatArray],
        functions: Sequence[Function],
        scaling: tuple[FloatArray, FloatArray],
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.tensor(w)) for w in weights)
        self.functions = functions
        _hold(self, scale=scaling[0], shift=scaling[1])

    def forward(self, fingerprints: Tensor) -> Tensor:
        """Give outputs (n_atoms,) for fingerprints (n_atoms, n_functions)."""
        a = self.scale * fingerprints + self.shift
        for w, function in zip(self.weights, self.functions, strict=True):
            a = function(a @ w[:-1] + w[-1])
        return a[:, 0]  # (atom, the one output) -> (atom,)


class _Data(nn.Module):
    """Fingerprints of all images, element by element, and reference energies."""

    def __init__(
        self, fingerprints: Fingerprints, references: References, coefficients: Coefficients
    ) -> None:
        super().__init__()
        layout, primes = fingerprints.layout, fingerprints.derivatives
        strain = None
        if isinstance(primes, Derivatives) and primes.strain is not None and coefficients.stress:
            strain = primes.strain.astype(np.float64, copy=False)
        owner = layout.image_of_atom
        self.elements = nn.ModuleDict()
        for s, element in enumerate(layout.elements):
            part = self.elements[element] = nn.Module()
            values = fingerprints.of_element(s)  # (n_atoms of the element, n_functions)
            _hold(part, fingerprints=values, image=owner[layout.species == s])
            if strain is not None:
                rows = strain[6 * layout.element_starts[s] : 6 * layout.element_starts[s + 1]]
                # (atom * Voigt component * function,) -> (atom, Voigt component, function)
                _hold(part, strain=rows.reshape(len(values), 6, values.shape[1]))
        counted = np.isfinite(references.energies)
        _hold(
            self,
            energies=np.where(counted, references.energies, 0.0),
            counted=counted,
            n_atoms=np.diff(layout.image_starts).astype(float),
            volumes=references.volumes,
            weights=references.weights,
        )

    def stresses(self, slopes: dict[str, Tensor]) -> Tensor:
        """Contract dE/dG of all atoms to stresses, shape (n_images, 6)."""
        result = torch.zeros((len(self.volumes), 6), dtype=_FLOAT, device=self.volumes.device)
        for element, part in self.elements.items():
            # (atom, Voigt component, function) x (atom, function, 1) -> (atom, Voigt component)
            of_atoms = torch.bmm(part.strain, slopes[element].unsqueeze(2)).squeeze(2)
            result = result.index_add(0, part.image, of_atoms)
        return result / self.volumes.unsqueeze(1)  # (image, Voigt component) / (image, 1)


class _Target(nn.Module):
    """References of a vector quantity in rows, each row of one image; NaN does not count."""

    def __init__(self, references: FloatArray, image: IntArray, images: np.ndarray) -> None:
        super().__init__()
        counted = np.isfinite(references) & images[image, None]
        counts = np.bincount(image, weights=counted.sum(axis=1), minlength=len(images))
        _hold(
            self,
            references=np.where(counted, references, 0.0),
            counted=counted,
            image=image,
            counts=np.maximum(counts, 1.0),
        )

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Give each image's mean square and largest residual, shapes (n_images,)."""
        residuals = torch.where(self.counted, values - self.references, 0.0)
        nothing = torch.zeros_like(self.counts)
        totals = nothing.index_add(0, self.image, (residuals**2).sum(dim=1))
        largest = residuals.detach().abs().amax(dim=1)  # (row, component) -> (row,)
        return totals / self.counts, nothing.scatter_reduce(0, self.image, largest, "amax")


class _Blocks(nn.Module):
    """Derivatives of the fingerprints, which turn dE/dG into forces.

    Blocks of centers of one species s, for moved atoms of one species t, have one width.  Of
    these, centers that have equally many make a group, which is one dense tensor without gaps.
    """

    def __init__(self, layout: Layout, primes: Derivatives, device: Any) -> None:
        super().__init__()
        self.n_atoms = layout.n_atoms
        self.pairs = nn.ModuleList()
        moved, centers = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        row = np.empty(layout.n_atoms, dtype=np.int64)  # of an atom in its element's matrix
        for s in range(len(layout.elements)):
            row[layout.species == s] = np.arange(layout.count(s))
        for pair, groups in _block_groups(layout, primes).items():
            slots = primes.slots[primes.slot_starts[pair] : primes.slot_starts[pair + 1]]
            if len(slots) == 0:
                continue
            part = nn.Module()
            part.element = layout.elements[pair // len(layout.elements)]
            part.n_centers = [len(group.centers) for group in groups]
            part.n_values = [len(slots) * 3 * group.atoms.size for group in groups]
            _hold(part, slots=slots, rows=row[np.concatenate([group.centers for group in groups])])
            values = [
                _gather(
                    primes.values, primes.run_starts[group.runs],
                    len(slots) * 3 * group.atoms.shape[1], device,
                )
                for group in groups
            ]  # fmt: skip
            part.register_buffer("values", torch.cat(values))
            self.pairs.append(part)
            moved += [group.atoms.ravel() for group in groups]
            centers += [group.centers for group in groups]
        _hold(self, moved=np.concatenate(moved), centers=np.concatenate(centers))
        self.to(device)

    def forward(self, slopes: dict[str, Tensor]) -> Tensor:
        """Contract dE/dG of all atoms to forces, shape (n_atoms, 3)."""
        forces = torch.zeros((self.n_atoms, 3), dtype=_FLOAT, device=self.moved.device)
        on_moved, on_centers = [], []
        for part in self.pairs:
            seen = slopes[part.element].index_select(1, part.slots).index_select(0, part.rows)
            groups = zip(seen.split(part.n_centers), part.values.split(part.n_values), strict=True)
            for slope, values in groups:
                n_centers, n_slots = slope.shape
                n_directions = len(values) // (n_centers * n_slots)  # of all atoms of a run
                if n_directions >= n_slots:  # the longer side lies contiguous
                    # (center * slot * direction,) -> (center, direction, slot)
                    values = values.reshape(n_centers, n_slots, -1).transpose(1, 2)
                else:
                    # (center * direction * slot,) -> (center, direction, slot)
                    values = values.reshape(n_centers, -1, n_slots)
                # times (center, slot, 1) -> (center, direction, 1)
                contracted = torch.bmm(values, slope.unsqueeze(2))
                # -> (center, atom, x y z)
                contracted = contracted.reshape(n_centers, -1, 3)
                on_moved.append(contracted.reshape(-1, 3))  # (center * atom, x y z)
                on_centers.append(contracted.sum(dim=1))  # (center, x y z)
        if not on_moved:
            return forces
        forces = forces.index_add(0, self.moved, torch.cat(on_moved), alpha=-1)
        return forces.index_add(0, self.centers, torch.cat(on_centers))


@dataclass(frozen=True, slots=True)
class _Group:
    """Runs of one pair of species that have equally many atoms."""

    centers: IntArray  # (n_runs,)
    runs: IntArray  # (n_runs,)
    atoms: IntArray  # (n_runs, atoms of each)


def _block_groups(layout: Layout, primes: Derivatives) -> dict[int, list[_Group]]:
    """Sort the runs into groups, listed for each pair of species s * n_elements + t."""
    n_elements = len(layout.elements)
    counts = np.diff(primes.atom_starts)
    runs = np.flatnonzero(counts)
    counts = counts[runs]
    pairs = layout.species[runs // n_elements] * n_elements + runs % n_elements
    groups: dict[int, list[_Group]] = {}
    for pair in np.unique(pairs):
        for count in np.unique(counts[pairs == pair]):
            members = runs[(pairs == pair) & (counts == count)]
            atoms = primes.atoms[primes.atom_starts[members, None] + np.arange(count)]
            groups.setdefault(int(pair), []).append(_Group(members // n_elements, members, atoms))
    return groups


def _gather(values: RealArray, starts: IntArray, size: int, device: Any) -> Tensor:
    """Copy pieces of one size, which begin at starts, to the device one after the other."""
    result = torch.empty((len(starts), size), dtype=_FLOAT, device=device)
    step = max(1, _CHUNK // size)
    for begin in range(0, len(starts), step):
        chosen = starts[begin : begin + step, None] + np.arange(size)
        result[begin : begin + step] = torch.from_numpy(values[chosen])  # to double precision
    return result.reshape(-1)  # (piece, number) -> (piece * number,)


def _hold(module: Any, **arrays: np.ndarray) -> None:
    """Give a module copies of arrays as buffers, which move with it to a device."""
    for name, array in arrays.items():
        module.register_buffer(name, torch.tensor(np.ascontiguousarray(array)))


def _numpy(tensor: Tensor) -> FloatArray:
    """Take a tensor from torch's graph and device."""
    return np.asarray(tensor.detach().cpu().numpy())
