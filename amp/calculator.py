"""Amp, the ASE calculator: joins descriptor, model and training, and decides nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from numpy.typing import DTypeLike

from amp.core.cores import usable_cores
from amp.core.errors import (
    CalculatorInUseError,
    ImageError,
    OutputExistsError,
    ParameterError,
)
from amp.core.neighbors import NeighborList
from amp.training.checks import check_cores, check_dtype, check_label, check_part
from amp.training.files import RunFiles
from amp.training.potentials import make_parts, read_potential, write_potential
from amp.training.references import has_volume
from amp.training.trainer import train

__all__ = ["Amp"]


class Amp(Calculator):
    """Machine-learned interatomic potential as an ASE calculator.

    Parameters
    ----------
    descriptor : Descriptor
        Turns atoms into fingerprints, such as `amp.descriptor.gaussian.Gaussian()`.
    model : Model
        Turns fingerprints into energies, such as `amp.model.neuralnetwork.NeuralNetwork()`.
    label : str, default 'amp'
        Beginning of the names of all files; may contain a folder, which training makes.
    dblabel : str, optional
        Beginning of the names of the files that keep fingerprints; the label by default.
    cores : int or dict, optional
        Threads for training, and for predictions of more than some hundred atoms; all usable
        processors by default.  Results do not depend on it.
    envcommand : str, optional
        Command that prepares the environment of workers on other machines.
    logging : bool, default True
        Write a log when training.
    atoms : Atoms, optional
        Structure to attach the calculator to.
    dtype : {'float64', 'float32'}
        Precision in which triplets of atoms are computed for predictions; see the notes.

    Raises
    ------
    ParameterError
        If something is of a wrong kind: parts that lack what a descriptor or model must have,
        labels that are no beginning of a file name, cores that are no number, another dtype.

    Notes
    -----
    Results are `energy`, `free_energy` (the same, eV), `energies` (atomic, eV), `forces` (eV/Å)
    and, for cells with a volume, `stress` (eV/Å^3, Voigt order xx yy zz yz xz xy).  Nothing is
    written to disk except by `train` and `save`.

    With `dtype="float32"` a batch of triplets is computed in single precision, cutoff functions
    and exponentials included, and predictions take about 0.8 times as long.  Coordinates,
    neighbors, all sums over triplets, the network and all results stay in double precision, as do
    training and saved files, which do not know of it.  Against double precision, energies were off
    by less than 1e-7 eV per atom, single forces by 2e-5 eV/Å at most (root mean square 2e-6) in
    liquid water, and less in silicon; total energies were conserved as well.  Errors grow with the
    slopes of the network: expect more where fingerprints vary far less than they are large.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 - ASE's interface

    def __init__(
        self,
        descriptor: Any,
        model: Any,
        label: str | os.PathLike[str] | None = "amp",
        dblabel: str | None = None,
        cores: int | dict[str, int] | None = None,
        envcommand: str | None = None,
        logging: bool = True,
        atoms: Atoms | None = None,
        *,
        dtype: DTypeLike = "float64",
    ) -> None:
        check_part("descriptor", descriptor)
        check_part("model", model)
        self._amp_label = check_label("amp" if label is None else label)
        super().__init__(atoms=atoms)
        self.descriptor = descriptor
        self.model = model
        if dblabel is None:  # descriptors of Amp 1.0.1 may name their databases
            dblabel = getattr(descriptor, "dblabel", None)
        self.dblabel = self._amp_label if dblabel is None else check_label(dblabel)
        self.cores = cores
        self.dtype = dtype
        self.envcommand = envcommand
        self.logging = logging
        self._neighbors: NeighborList | None = None
        self._usable_cores: int | None = None
        self._computed_with: tuple[Any, ...] = ()
        self._is_busy = False

    @property
    def cores(self) -> int | dict[str, int] | None:
        """Threads to use; None for all usable processors."""
        return self._cores

    @cores.setter
    def cores(self, cores: int | dict[str, int] | None) -> None:
        self._cores = check_cores(cores)

    @property
    def dtype(self) -> str:
        """Precision in which triplets of atoms are computed for predictions."""
        return self._dtype

    @dtype.setter
    def dtype(self, dtype: DTypeLike) -> None:
        self._dtype = check_dtype(dtype)

    # ASE's base class takes a label apart into folder and prefix, and makes it absolute; file
    # names here are the label as it was given plus an ending.
    @property
    def label(self) -> str:
        """Beginning of the names of all files."""
        return self._amp_label

    @label.setter
    def label(self, label: str | os.PathLike[str] | None) -> None:
        if label is not None:
            self._amp_label = check_label(label)

    def __repr__(self) -> str:
        elements = getattr(self.descriptor.parameters, "elements", None)
        of = f"{' '.join(elements)}, " if elements else ""
        parts = f"{type(self.descriptor).__name__}, {type(self.model).__name__}"
        return f"<Amp: {of}{parts}, label {self.label!r}>"

    @classmethod
    def load(
        cls, file: str | os.PathLike[str] | IO[Any], Descriptor: Any = None, Model: Any = None,
        **kwargs: Any,
    ) -> Amp:  # fmt: skip
        """Load a potential from a file of this Amp or of Amp 1.0.1.

        Parameters
        ----------
        file : path or open file
            A potential (.amp) file.
        Descriptor, Model : class, optional
            Used instead of those that the file names; they need `from_dict`.
        **kwargs
            For `Amp`, such as `label` and `dtype`.

        Returns
        -------
        Amp

        Raises
        ------
        FileNotFoundError, IsADirectoryError
            If there is no such file, or it is a folder.
        AmpFileError
            If it is damaged, of a newer version, or not a potential file.
        """
        name = "The file" if hasattr(file, "read") else os.fspath(file)
        descriptor, model = make_parts(read_potential(file), Descriptor, Model, name)
        return cls(descriptor, model, **kwargs)

    def save(self, filename: str | os.PathLike[str], overwrite: bool = False) -> str:
        """Write the potential to a file.

        Parameters
        ----------
        filename : path
            Name of the file, usually ending in .amp.
        overwrite : bool, default False
            Replace an existing file.

        Returns
        -------
        str
            The name.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is not set.
        """
        name = os.fspath(filename)
        if os.path.exists(name) and not overwrite:
            raise OutputExistsError(
                f"{name} exists already. Use another name, or save with overwrite=True."
            )
        write_potential(name, self.descriptor, self.model)
        return name

    def train(
        self,
        images: Any,
        overwrite: bool = False,
        *,
        derivatives: str = "auto",
        memory: int | str | None = None,
        cache: str = "auto",
    ) -> None:
        """Fit the model to images with reference energies, forces and stresses.

        Writes LABEL-log.txt, LABEL-initial-parameters.amp, check points, and LABEL.amp.  Run
        again with the same settings and images it continues from the check point.

        Parameters
        ----------
        images : list of Atoms, path, or mapping
            What `amp.utilities.hash_images` takes: structures with results, any file that ASE
            reads, generators, or hashed images.
        overwrite : bool, default False
            Start anew and replace existing results.
        derivatives : {'auto', 'float64', 'float32', 'recomputed', 'disk'}
            How derivatives of the fingerprints are kept when forces or stresses are trained. With
            'auto' in memory as float64 if that fits, otherwise as float32, otherwise not at all:
            they are computed again in each step. 'disk' keeps them in a file beside the label.
        memory : int or str, optional
            Most memory that they and neighbors may take, in bytes or as '8 GB'; by default what is
            free, less a margin.
        cache : {'auto', 'all', 'fingerprints', 'none'}
            What is kept on disk for the next training, in DBLABEL-fingerprints.ampdb and
            DBLABEL-fingerprint-primes.ampdb. With 'auto' fingerprints and, until they have taken
            1 GB or a tenth of the disk's free space, their derivatives. Changed settings of the
            descriptor never find what was computed with others.

        Raises
        ------
        TrainingConvergenceError
            If the criteria of convergence were not met.  The calculator has the best parameters
            all the same, and they are saved as LABEL-untrained-parameters.amp.
        OutputExistsError, CheckpointMismatchError, LabelInUseError
            Before any work, if LABEL.amp exists, a check point is of another training, or
            another training with this label is running.
        ParameterError
            Before any work, if `model.lossfunction` or `model.regressor` is of a wrong kind, or
            `derivatives`, `memory` or `cache` makes no sense.
        InsufficientMemoryError
            Before fingerprints are computed, if nothing fits in memory.
        ImageError, ConflictingImagesError, MissingDataError, UnsupportedElementError
            If images cannot be trained on; the messages name them.
        """
        self.reset()
        self._neighbors = None
        threads = self.cores if isinstance(self.cores, int) else None
        train(
            self.descriptor, self.model, images, RunFiles(self.label), overwrite=overwrite,
            keep_log=self.logging, threads=threads, derivatives=derivatives, memory=memory,
            dblabel=self.dblabel, cache=cache,
        )  # fmt: skip

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """List what changed since the last calculation; new parameters of the model count too."""
        changes: list[str] = super().check_state(atoms, tol)
        if self.results and not _same(self._computed_with, self._parameters()):
            changes.append("parameters")
        return changes

    def _parameters(self) -> tuple[Any, ...]:
        """Give the settings objects of both parts: setting one anew makes another object."""
        return (self.dtype, *self.descriptor.parameters.values(), *self.model.parameters.values())

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Iterable[str] = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute properties and leave them in `results`, as ASE calls it.

        Parameters
        ----------
        atoms : Atoms
        properties : iterable of str
            Some of `implemented_properties`.
        system_changes : list of str
            What changed since the last calculation.

        Raises
        ------
        ParameterError
            If there are no atoms, given now or before.
        UnsupportedElementError
            If there is an element that the potential was not trained for.
        ImageError
            If positions are not finite or atoms lie on top of each other.
        PropertyNotImplementedError
            If stress is asked for a structure without a volume.
        CalculatorInUseError
            If another thread is using this calculator; results would be mixed up.
        """
        if self._is_busy:
            raise CalculatorInUseError(
                "This calculator is computing another structure, in another thread. Give each "
                "thread a calculator of its own: Amp.load(file), or copy.deepcopy(calc)."
            )
        self._is_busy = True
        try:
            self._calculate(atoms, properties, system_changes)
        finally:
            self._is_busy = False

    def _calculate(self, atoms: Atoms | None, properties: Iterable[str], changes: Any) -> None:
        super().calculate(atoms, properties, changes)
        structure = self.atoms  # a copy that the base class made
        if structure is None:
            raise ParameterError(
                "There are no atoms to calculate: give them, as in "
                "calc.get_potential_energy(atoms), or set atoms.calc = calc."
            )
        if len(structure) == 0:
            raise ImageError("There are no atoms in this structure.")
        with_volume = has_volume(structure)
        if "stress" in properties and not with_volume:
            raise PropertyNotImplementedError(
                "Stress needs a cell with three vectors; this structure has no volume."
            )
        threads = self._threads()
        pairs = self._neighbor_list().update(structure, threads)
        fingerprints = self.descriptor.fingerprint(pairs, structure.numbers, threads, self.dtype)
        evaluation = self.model.evaluate(fingerprints, threads=threads)
        energy = float(evaluation.atomic_energies.sum())
        results = {
            "energy": energy, "free_energy": energy, "energies": evaluation.atomic_energies,
        }  # fmt: skip
        if "forces" in properties or "stress" in properties:
            gradient = self.descriptor.contract(
                pairs, fingerprints, evaluation.slopes, threads, self.dtype
            )
            results["forces"] = -gradient.positions
            if with_volume:
                results["stress"] = _voigt(gradient.strain) / structure.get_volume()
        self.results.update(results)
        self._computed_with = self._parameters()

    def _threads(self) -> int:
        """Count the threads to use; looked up once, as every step of a dynamics asks."""
        if self._usable_cores is None:
            self._usable_cores = usable_cores()
        return self.cores if isinstance(self.cores, int) else self._usable_cores

    def _neighbor_list(self) -> NeighborList:
        """Keep one neighbor list as long as the cutoff stays."""
        cutoff = self.descriptor.cutoff
        if self._neighbors is None or self._neighbors.cutoff != cutoff:
            self._neighbors = NeighborList(cutoff)
        return self._neighbors


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Compare by identity: parameters may be large, and equal ones give equal results anyway."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _voigt(strain: np.ndarray) -> np.ndarray:
    """Order a symmetric 3x3 matrix as xx yy zz yz xz xy."""
    s = 0.5 * (strain + strain.T)
    return np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
