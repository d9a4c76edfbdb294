"""Potentials of n2p2: the folder of input.nn, scaling.data and weights turned into an `Amp`.

An n2p2 potential is an Amp potential in other words: types 2, 3 and 9 are G2, G4 and G5, any
scaling of the functions is a range of Amp's, and normalization and energy offsets are the
intercept and slope of the atomic energies.  Values agree to rounding.

References
----------
.. [1] A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019).
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from amp.calculator import Amp
from amp.convert._lines import Line, read_lines
from amp.convert._n2p2_settings import Function, Settings, read_settings
from amp.convert._n2p2_units import ATOMIC_UNITS, Units, in_ase_units
from amp.core.elements import ATOMIC_NUMBERS
from amp.core.errors import AmpFileError
from amp.core.typing import FloatArray
from amp.descriptor.cutoffs import Cosine, Cutoff, Smoothstep, Tanh3
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork

__all__ = ["from_n2p2"]

logger = logging.getLogger(__name__)

TYPES = {2: "G2", 3: "G4", 9: "G5"}
CUTOFFS_IN = {2: 1, 3: 3, 9: 2}  # how many cutoff functions a symmetry function is a product of
NARROW = 1e-7  # Amp leaves narrower ranges of functions unscaled (1e-8, and a margin)


def from_n2p2(
    folder: str | os.PathLike[str],
    label: str | os.PathLike[str] | None = None,
    *,
    units: Units = ATOMIC_UNITS,
) -> Amp:
    """Make an `Amp` calculator of a potential of n2p2.

    Parameters
    ----------
    folder : path
        Folder with `input.nn`, `scaling.data` and a `weights.ZZZ.data` for each element, ZZZ being
        its atomic number.
    label : path, optional
        Label of the calculator.
    units : tuple of str, default ('bohr', 'hartree')
        Units of length (bohr, angstrom, nm) and energy (hartree, eV, rydberg, kcal/mol, kJ/mol)
        that the potential was made with; its files do not say.

    Returns
    -------
    Amp
        Energies and forces are those of n2p2.  Atomic energies contain the `atom_energy` of their
        element and `mean_energy`.

    Raises
    ------
    AmpFileError
        If a file is missing or damaged; the message names file and line.
    ParameterError
        If the potential needs something that Amp does not have: symmetry functions of other types,
        an inner cutoff radius, hidden layers with different activations, electrostatics.  The
        message names line and keyword.

    Examples
    --------
    ``atoms.calc = from_n2p2("H2O_RPBE-D3")``
    """
    length, energy = in_ase_units(units)
    place = Path(folder)
    settings = read_settings(_existing(place / "input.nn"))
    statistics = _read_statistics(place / "scaling.data", settings)
    weights, ranges = {}, {}
    for element in settings.elements:
        scalings = [
            _affine(function, statistics.get(function), settings)
            for function in settings.functions[element]
        ]
        widths = (len(scalings), *settings.hidden[element], 1)
        name = f"weights.{ATOMIC_NUMBERS[element]:03d}.data"
        layers = _read_weights(_existing(place / name), widths)
        ranges[element] = _ranges(scalings, layers[0])
        weights[element] = dict(enumerate(layers, 1))
    descriptor = _descriptor(settings, length)
    model = NeuralNetwork(
        hiddenlayers=settings.hidden,
        activation=settings.activation,
        output=settings.output,
        weights=weights,
        fprange=ranges,
        scalings={
            element: {
                "intercept": (settings.atom_energies[element] + settings.mean_energy) * energy,
                "slope": energy / settings.conv_energy,
            }
            for element in settings.elements
        },
    )
    return Amp(descriptor, model, label=label)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise AmpFileError(
            f"There is no {path.name} in {os.fspath(path.parent)!r}. A potential of n2p2 is a "
            "folder with input.nn, scaling.data and weights.ZZZ.data for each element (001 for H)."
        )
    return path


# -- descriptor ----------------------------------------------------------------------------------


def _descriptor(settings: Settings, length: float) -> Gaussian:
    """Make the descriptor; the unit of length is in Å."""
    largest = max(f.rc for functions in settings.functions.values() for f in functions)
    return Gaussian(
        cutoff=_cutoff(settings.cutoff_type, largest * length),
        Gs={
            element: [_symmetry_function(f, settings.cutoff_type, length, largest) for f in found]
            for element, found in settings.functions.items()
        },
        elements=settings.elements,
    )


def _cutoff(kind: int, radius: float) -> Cutoff:
    if kind == 1:
        return Cosine(radius)
    if kind in (2, 3):  # 3 is 2 times a constant, which _affine takes care of
        return Tanh3(radius)
    return Smoothstep(radius, order=kind - 4)


def _symmetry_function(
    function: Function, cutoff_type: int, length: float, largest: float
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": TYPES[function.type],
        "eta": function.eta * function.rc**2,
        "offset": function.offset * length,
    }
    if function.type == 2:
        described["element"] = function.neighbors[0]
    else:
        described["elements"] = sorted(function.neighbors)
        described |= {"gamma": function.gamma, "zeta": function.zeta}
    if function.rc != largest:
        described["cutoff"] = _cutoff(cutoff_type, function.rc * length).todict()
    return described


# -- scaling -------------------------------------------------------------------------------------


def _read_statistics(path: Path, settings: Settings) -> dict[Function, Line]:
    """Find the line of scaling.data for each function; nothing if functions stay as they are."""
    if settings.scaling.is_none:
        return {}
    by_place: dict[tuple[int, int], Line] = {}
    for line in read_lines(_existing(path), comment="#"):
        if len(line.words) == 2:  # range of the energies, which some programs add
            continue
        if len(line.words) not in (5, 6):
            raise line.damaged(f"{len(line.words)} columns, where 6 are expected")
        place = (line.whole(0), line.whole(1))
        if place in by_place:
            raise line.damaged(f"the same function is in line {by_place[place].number}")
        by_place[place] = line
    found = {}
    for e, element in enumerate(settings.elements, 1):
        for i, function in enumerate(settings.functions[element], 1):
            if (e, i) not in by_place:
                raise AmpFileError(
                    f"{path} has no line for element {e} ({element}), symmetry function {i}; "
                    f"input.nn has {len(settings.functions[element])} functions of {element}."
                )
            found[function] = by_place.pop((e, i))
    if by_place:
        line = next(iter(by_place.values()))
        raise line.damaged("input.nn has no such element and symmetry function")
    return found


def _affine(function: Function, line: Line | None, settings: Settings) -> tuple[float, float]:
    """Give slope and shift of the scaled function in terms of Amp's: slope G + shift."""
    scaling = settings.scaling
    slope = 1.0
    shift = 0.0
    if line is not None:
        low, high, mean = (line.real(i) for i in (2, 3, 4))
        if scaling.by is not None:
            width = line.real(5) if scaling.by == "sigma" else high - low
            if not width > 0.0:
                what = "sigma" if scaling.by == "sigma" else "the range"
                raise line.damaged(f"{what} of the function is {width:g}, which nothing scales")
            slope = (scaling.high - scaling.low) / width
        shift = scaling.low if scaling.by is not None else 0.0
        shift -= slope * (mean if scaling.centered else low)
    if settings.cutoff_type == 3:
        # tanh^3(1 - x) divided by its value at the origin, in each of the factors.
        slope /= math.tanh(1.0) ** (3 * CUTOFFS_IN[function.type])
    return slope, shift


def _ranges(
    scalings: Sequence[tuple[float, float]], first: FloatArray
) -> list[tuple[float, float]]:
    """Write slopes and shifts as ranges, and those that none gives into the first weights."""
    ranges = []
    for i, (slope, shift) in enumerate(scalings):
        if 0.0 < slope * NARROW < 2.0:
            ranges.append(((-1.0 - shift) / slope, (1.0 - shift) / slope))
        else:
            ranges.append((0.0, 0.0))  # left as it is
            first[-1] += shift * first[i]
            first[i] *= slope
    return ranges


# -- weights -------------------------------------------------------------------------------------


def _read_weights(path: Path, widths: Sequence[int]) -> list[FloatArray]:
    """Read the weights of a network with so many nodes in each layer, inputs included."""
    lines = read_lines(path, comment="#")
    layers = []
    for layer, shape in enumerate(pairwise(widths), 1):
        layers.append(_read_layer(path, lines, layer, *shape))
    surplus = next(lines, None)
    if surplus is not None:
        raise surplus.damaged(f"there should be no more; {_expected(widths)}")
    return layers


def _read_layer(path: Path, lines: Iterator[Line], layer: int, n_in: int, n_out: int) -> FloatArray:
    """Read the weights and biases of one layer, shape (n_in + 1, n_out)."""
    weights = np.empty((n_in + 1, n_out))
    for i in range(n_in + 1):
        is_bias = i == n_in
        for j in range(n_out):
            line = next(lines, None)
            if line is None:
                raise AmpFileError(
                    f"{path} ends in the weights of layer {layer}, which has {n_in} inputs and "
                    f"{n_out} nodes. Is it of another potential than input.nn?"
                )
            expected = ("b", layer, j + 1) if is_bias else ("a", layer - 1, i + 1, layer, j + 1)
            given = (*line.words[1:2], *line.words[3:])
            if given and given != tuple(map(str, expected)):
                raise line.damaged(
                    f"it is for {' '.join(given)}, where {' '.join(map(str, expected))} is expected"
                )
            weights[i, j] = line.real(0)
    return weights


def _expected(widths: Sequence[int]) -> str:
    count = sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))
    return f"a network with {' '.join(map(str, widths))} nodes has {count} weights"
