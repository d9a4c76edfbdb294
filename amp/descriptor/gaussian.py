"""Gaussian descriptor: Behler-Parrinello symmetry functions of each atom's surroundings."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amp.core.elements import ATOMIC_NUMBERS, SYMBOLS
from amp.core.errors import ParameterError, UnsupportedElementError
from amp.core.fingerprints import Fingerprints, FingerprintStore, flat_layout
from amp.core.neighbors import NeighborPairs
from amp.core.parameters import Parameters
from amp.core.sources import source_digest
from amp.core.storage import Storage
from amp.core.typing import FloatArray, IntArray
from amp.descriptor._evaluation import contract, fill_values
from amp.descriptor._plan import Plan, make_plan
from amp.descriptor.base import Gradient, descriptors
from amp.descriptor.cutoffs import Cosine, Cutoff, dict2cutoff
from amp.descriptor.symmetry_functions import (
    SymmetryFunction,
    check_symmetry_functions,
    describe,
    make_default_symmetry_functions,
    make_symmetry_functions,
    repeated,
)

__all__ = ["Gaussian", "make_default_symmetry_functions", "make_symmetry_functions"]


logger = logging.getLogger(__name__)

# What fingerprints are computed with, as it was when it was loaded.
_ROOM = Path(__file__).parent
_SOURCES = (_ROOM, *(_ROOM.parent / "core" / f"{name}.py" for name in (
    "neighbors", "_neighbor_kernels", "fingerprints", "_fingerprint_kernels", "threads",
)))  # fmt: skip
_CODE = source_digest(*_SOURCES)

_VERSION = "2015.12"  # what Amp 1.0.1 wrote and its scripts may ask for


@descriptors.register("gaussian")
class Gaussian:
    """Behler-Parrinello symmetry functions [1]_ as in Amp [2]_.

    Parameters
    ----------
    cutoff : Cutoff, float or dict, default Cosine(6.5)
        Cutoff function; a number is the radius (Å) of a cosine cutoff.
    Gs : dict or list, optional
        Symmetry functions per element, or one list for all; see `make_symmetry_functions`.
        Without it Amp's classic set is made for the elements of the first images.
    dblabel : str, optional
        Label of the files that keep what was computed; the calculator's by default.
    elements : list of str, optional
        Elements to expect; those of the first images by default.
    version : str, optional
        Version of the scheme that the settings were made for.
    fortran : bool, default True
        Accepted for old scripts; the kernels are always compiled.
    mode : {'atom-centered'}
        Only atom-centered fingerprints exist.

    Raises
    ------
    ParameterError
        If a setting makes no sense.

    References
    ----------
    .. [1] J. Behler, J. Chem. Phys. 134, 074106 (2011).
    .. [2] A. Khorshidi, A. A. Peterson, Comput. Phys. Commun. 207, 310 (2016).
    """

    def __init__(
        self,
        cutoff: Cutoff | float | Mapping[str, Any] = Cosine(6.5),  # noqa: B008 - immutable
        Gs: Mapping[str, Sequence[SymmetryFunction]] | Sequence[SymmetryFunction] | None = None,
        dblabel: str | None = None,
        elements: Iterable[str] | None = None,
        version: str | None = None,
        fortran: bool = True,
        mode: str = "atom-centered",
    ) -> None:
        if version is not None and version != _VERSION:
            raise ParameterError(
                f"Gaussian version {version!r} is not known; this is version {_VERSION!r}."
            )
        if mode != "atom-centered":
            raise ParameterError(f"Gaussian knows mode 'atom-centered' only, not {mode!r}.")
        if not fortran:
            logger.info("Gaussian: fortran=False has no effect, kernels are always compiled.")
        symbols = None if elements is None else _symbols(elements)
        if isinstance(Gs, Mapping):
            Gs = check_symmetry_functions(Gs, list(Gs) if symbols is None else symbols)
        self.dblabel = dblabel
        self.parameters = Parameters(
            cutoff=dict2cutoff(cutoff).todict(),
            Gs=Gs,
            elements=symbols,
            mode=mode,
        )
        self.fingerprints: Mapping[str, Any] = {}
        self.fingerprintprimes: Mapping[str, Any] = {}
        self.neighborlist: Mapping[str, Any] = {}
        self._compiled: _Compiled | None = None

    def __repr__(self) -> str:
        p = self.parameters
        if isinstance(p.Gs, Mapping):
            counts = [f"{len(p.Gs[e])} functions of {e}" for e in p.elements or p.Gs if e in p.Gs]
        else:
            counts = [f"elements={p.elements!r}"]
            counts += [] if p.Gs is None else [f"{len(p.Gs)} functions"]
        return f"<Gaussian: {dict2cutoff(p.cutoff)!r}, {', '.join(counts)}>"

    @property
    def cutoff(self) -> float:
        """Radius (Å) within which neighbors are needed."""
        return self._ready().plan.cutoff

    @property
    def elements(self) -> tuple[str, ...]:
        """Sorted symbols of the elements that have symmetry functions in use."""
        return self._ready().elements

    def prepare(self, elements: Iterable[str]) -> None:
        """Settle elements and symmetry functions by the elements of the first images.

        Parameters
        ----------
        elements : iterable of str
            Elements that occur.

        Raises
        ------
        UnsupportedElementError
            If elements were given before and lack one of these.
        ParameterError
            If `Gs` lack one of these.
        """
        occurring = sorted(set(elements))
        p = self.parameters
        if p.elements is None:
            p.elements = occurring
        strangers = sorted(set(occurring) - set(p.elements))
        if strangers:
            raise UnsupportedElementError(
                f"The images contain {', '.join(strangers)}, but this descriptor was set up for "
                f"{', '.join(p.elements)}. Make a Gaussian with these elements too."
            )
        if p.Gs is None:
            p.Gs = make_default_symmetry_functions(p.elements)
        p.Gs = check_symmetry_functions(p.Gs, p.elements)
        for element, functions in p.Gs.items():
            for earlier, later in repeated(functions):
                logger.warning(
                    "Symmetry functions %d and %d of %s are the same (%s); one can be left out.",
                    earlier, later, element, describe(functions[later]),
                )  # fmt: skip
        self._compiled = None

    def species(self, numbers: IntArray, where: str = "The image") -> IntArray:
        """Give the species (index into `elements`) of atoms, shape (n_atoms,).

        Raises
        ------
        UnsupportedElementError
            If an atom is of an element without symmetry functions.
        """
        compiled = self._ready()
        species = compiled.species_of_number[numbers]
        if species.min(initial=0) < 0:
            strangers = sorted({SYMBOLS[z] for z in np.unique(np.asarray(numbers)[species < 0])})
            raise UnsupportedElementError(
                f"{where} contains {', '.join(strangers)}, but this potential knows only "
                f"{', '.join(compiled.elements)}. Train a potential that includes them, or leave "
                "the image out."
            )
        return species

    def fingerprint(
        self, pairs: NeighborPairs, numbers: IntArray, threads: int = 1, dtype: str = "float64"
    ) -> Fingerprints:
        """Compute the fingerprints of one image.

        Parameters
        ----------
        pairs : NeighborPairs
            Neighbors within `cutoff`.
        numbers : ndarray, shape (n_atoms,)
            Atomic numbers.
        threads : int, default 1
            Threads over atoms; results do not depend on it.
        dtype : {'float64', 'float32'}
            Precision in which triplets are computed; they are summed in float64 all the same.

        Returns
        -------
        Fingerprints
            Without derivatives.

        Raises
        ------
        UnsupportedElementError
            If an atom is of an element without symmetry functions.
        """
        compiled = self._ready()
        species = self.species(numbers)
        layout = flat_layout(
            compiled.elements, compiled.plan.lengths, species, np.array([0, len(species)])
        )
        values = np.empty(layout.size)
        fill_values(compiled.plan, species, pairs, layout.starts, values, threads, dtype)
        return Fingerprints(layout, values)

    def contract(
        self,
        pairs: NeighborPairs,
        fingerprints: Fingerprints,
        slopes: FloatArray,
        threads: int = 1,
        dtype: str = "float64",
    ) -> Gradient:
        """Turn dE/dG of one image into dE/dr and dE/dstrain, storing no derivative.

        Parameters
        ----------
        pairs : NeighborPairs
            Neighbors within `cutoff`.
        fingerprints : Fingerprints
            What `fingerprint` gave for these pairs.
        slopes : ndarray, shape (layout.size,)
            dE/dG in the layout of the fingerprints (eV).
        threads : int, default 1
            Threads over atoms; results do not depend on it.
        dtype : {'float64', 'float32'}
            Precision in which triplets are computed; they are summed in float64 all the same.

        Returns
        -------
        Gradient
        """
        layout = fingerprints.layout
        positions, strain = contract(
            self._ready().plan, layout.species, pairs, layout.starts, slopes, threads, dtype
        )
        return Gradient(positions, strain)

    def fingerprint_images(
        self,
        images: Mapping[str, Any],
        derivatives: bool | Storage = False,
        strain: bool = False,
        store: FingerprintStore | None = None,
    ) -> Fingerprints:
        """Compute fingerprints of many images.

        Parameters
        ----------
        images : mapping
            Key -> Atoms.
        derivatives : bool, default False
            Compute derivatives with respect to positions too.
        strain : bool, default False
            With derivatives, those with respect to strain too.
        store : FingerprintStore, optional
            What was computed earlier, for the same `identity`, and is not computed again.

        Returns
        -------
        Fingerprints
            All images, in the order of the mapping.

        Raises
        ------
        UnsupportedElementError
            If an image has an element without symmetry functions.
        ImageError
            If an image has atoms on top of each other or positions that are not finite.
        """
        from amp.descriptor import _images

        return _images.fingerprint_images(self, images, derivatives, strain, store)

    def calculate_fingerprints(
        self,
        images: Mapping[str, Any],
        parallel: Any = None,
        log: Any = None,
        calculate_derivatives: bool = False,
    ) -> None:
        """Compute fingerprints and keep them in the attributes that scripts of Amp 1.0.1 read.

        Afterwards `fingerprints[key]` is a list of (symbol, vector), `fingerprintprimes[key]` a
        dict (index m, symbol m, index n, symbol n, direction) -> vector, the derivative of the
        fingerprint of n when m moves, and `neighborlist[key]` a list of (indices, offsets).

        Parameters
        ----------
        images : mapping
            Key -> Atoms, as from `hash_images`.
        parallel : dict, optional
            Accepted for old scripts.
        log : callable, optional
            Called with lines of text, such as a `Logger`.
        calculate_derivatives : bool, default False
            Compute derivatives too.
        """
        from amp.descriptor import _legacy

        symbols = {SYMBOLS[z] for atoms in images.values() for z in set(atoms.numbers)}
        self.prepare(symbols)
        if log is not None:
            for line in self.summary():
                log(line)
        result = self.fingerprint_images(images, derivatives=calculate_derivatives)
        keys = list(images)
        self.fingerprints = _legacy.fingerprint_lists(result, keys)
        self.neighborlist = _legacy.neighbor_lists(images, self.cutoff)
        if calculate_derivatives:
            self.fingerprintprimes = _legacy.derivative_dicts(result, keys)

    def summary(self) -> list[str]:
        """Describe cutoff and symmetry functions, one line each."""
        p = self.parameters
        lines = [f"Cutoff function: {dict2cutoff(p.cutoff)!r}"]
        for element in p.elements or ():
            functions = (p.Gs or {}).get(element, [])
            lines.append(f"{len(functions)} symmetry functions of {element}:")
            lines += [f" {i}: {describe(function)}" for i, function in enumerate(functions)]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Describe the descriptor as plain data; `from_dict` makes it again.

        Raises
        ------
        ParameterError
            If the settings in use were changed in place, which has no effect on what is computed.
        """
        p = self.parameters
        if self._compiled is not None and self._compiled.is_altered((p.cutoff, p.Gs, p.elements)):
            raise ParameterError(
                "Settings of the descriptor were changed in place after they were used, so that "
                "they are not those in use. Assign new ones: "
                "descriptor.parameters.Gs = {...}, or make a new Gaussian."
            )
        return {"kind": "gaussian", "version": 1, **self.parameters}

    def identity(self) -> dict[str, Any] | None:
        """Give, as plain data, all that fingerprints depend on but the image.

        Besides the settings that is the code: whatever changes in this room or in the search for
        neighbors makes another identity. None if the code has been changed since this process
        loaded it, so that nobody can tell which of the two runs.
        """
        if source_digest(*_SOURCES) != _CODE:
            return None
        return {**self.to_dict(), "code": _CODE}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Gaussian:
        """Make a descriptor of its description.

        Raises
        ------
        ParameterError
            If a setting is missing, unknown or makes no sense.
        """
        if data.get("version", 1) != 1:
            raise ParameterError(
                f"The descriptor was written in version {data['version']!r}; this Amp knows "
                "version 1. Update Amp."
            )
        settings = {k: v for k, v in data.items() if k not in ("kind", "version")}
        unknown = sorted(set(settings) - {"cutoff", "Gs", "elements", "mode"})
        if unknown:
            raise ParameterError(
                f"Unknown settings of a Gaussian descriptor: {', '.join(unknown)}."
            )
        return cls(**settings)

    def _ready(self) -> _Compiled:
        """Compile the settings, anew when they were replaced."""
        p = self.parameters
        now = (p.cutoff, p.Gs, p.elements)
        if self._compiled is None or not self._compiled.is_of(now):
            if p.elements is None or p.Gs is None:
                raise ParameterError(
                    "The Gaussian descriptor does not know its elements yet: train it, give it "
                    "elements=[...] and Gs, or call prepare(elements)."
                )
            Gs = check_symmetry_functions(p.Gs, p.elements)
            self._compiled = _Compiled(Gs, tuple(p.elements), dict2cutoff(p.cutoff), now)
        return self._compiled


def _symbols(elements: Iterable[str]) -> list[str]:
    """Sort chemical symbols, each once."""
    is_list = isinstance(elements, Iterable) and not isinstance(elements, str)
    symbols = list(elements) if is_list else []
    strangers = [s for s in symbols if not isinstance(s, str) or s not in ATOMIC_NUMBERS]
    if strangers or not symbols:
        raise ParameterError(
            f"elements is a list of chemical symbols such as ['Cu', 'O'], not {elements!r}."
        )
    return sorted({str(symbol) for symbol in symbols})


class _Compiled:
    """The settings in the form that kernels need."""

    def __init__(
        self,
        Gs: Mapping[str, Sequence[SymmetryFunction]],
        elements: tuple[str, ...],
        cutoff: Cutoff,
        settings: tuple[Any, ...],
    ) -> None:
        self.settings = settings
        self.copy = copy.deepcopy(settings)
        self.elements = elements
        self.plan: Plan = make_plan(Gs, elements, cutoff)
        self.species_of_number = np.full(len(SYMBOLS), -1, dtype=np.int64)
        for index, symbol in enumerate(elements):
            self.species_of_number[ATOMIC_NUMBERS[symbol]] = index

    def is_altered(self, settings: tuple[Any, ...]) -> bool:
        """Say whether these are the very objects compiled, but with other contents."""
        return self.is_of(settings) and settings != self.copy

    def is_of(self, settings: tuple[Any, ...]) -> bool:
        """Say whether these are the very objects compiled (kept, so that none takes their id)."""
        return all(a is b for a, b in zip(self.settings, settings, strict=True))
