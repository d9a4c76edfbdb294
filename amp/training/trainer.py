"""Training: from images to parameters, with a log, check points, and the best result kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amp.core.cores import usable_cores
from amp.core.elements import SYMBOLS
from amp.core.errors import (
    OutputWriteError,
    TrainingConvergenceError,
    UnsupportedElementError,
)
from amp.core.fingerprints import Fingerprints, FingerprintStore
from amp.core.images import hash_images, image_places, validate_images
from amp.core.logs import Logger, status, version_header
from amp.core.storage import Storage
from amp.model.loss import LossTerms, References, check_device
from amp.training._lock import hold
from amp.training.checkpoint import (
    Checkpoint,
    Identity,
    identify,
    read_checkpoint,
    write_checkpoint,
)
from amp.training.checks import check_loss, make_regressor
from amp.training.files import RunFiles
from amp.training.fingerprint_cache import FingerprintCache, check_cache
from amp.training.potentials import write_potential
from amp.training.problem import TrainingProblem
from amp.training.references import Demand, collect_references, decide_demand

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["TrainingSet", "prepare", "train"]

logger = logging.getLogger(__name__)

Log = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Everything that a loss needs of the images."""

    images: Mapping[str, Atoms]
    fingerprints: Fingerprints
    references: References
    demand: Demand


def prepare(
    descriptor: Any,
    model: Any,
    images: Any,
    log: Log | None = None,
    storage: Storage | None = None,
    store: FingerprintStore | None = None,
) -> TrainingSet:
    """Hash and check images, compute fingerprints, and initialize the model.

    Parameters
    ----------
    descriptor : Descriptor
    model : Model
        With a `lossfunction` that says what is trained.
    images : list of Atoms, path, or mapping
        See `amp.core.images.hash_images`.
    log : callable, optional
        Takes lines of text.
    storage : Storage, optional
        How derivatives are kept; float64 in memory if not given.
    store : FingerprintStore, optional
        What was computed earlier, such as a `FingerprintCache`.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ImageError, ConflictingImagesError, MissingDataError, UnsupportedElementError
        If images cannot be trained on; the messages name all of them.
    InsufficientMemoryError
        If derivatives do not fit in any of the ways given.
    """
    say: Log = log or logging.getLogger(__name__).info
    gathered = _gather(descriptor, model, images, say)
    return _compute(descriptor, model, gathered, storage or Storage(limited=False), store)


def train(
    descriptor: Any,
    model: Any,
    images: Any,
    files: RunFiles,
    overwrite: bool = False,
    keep_log: bool = True,
    threads: int | None = None,
    derivatives: str = "auto",
    memory: int | str | None = None,
    dblabel: str | None = None,
    cache: str = "auto",
) -> LossTerms:
    """Train a model, writing the files of the run.

    Parameters
    ----------
    descriptor : Descriptor
    model : Model
        With `lossfunction`, `regressor` and `checkpoints`.
    images : list of Atoms, path, or mapping
    files : RunFiles
        Where to write.
    overwrite : bool, default False
        Start anew and replace what is there; without it a check point of the same training is
        continued, and finished work is never touched.
    keep_log : bool, default True
        Write the log file.
    threads : int, optional
        Threads for the loss; the usable cores by default.
    derivatives : {'auto', 'float64', 'float32', 'recomputed', 'disk'}
        How derivatives of the fingerprints are kept, see `amp.core.storage.Storage`; 'auto' takes
        the first of the first three that fits in memory.
    memory : int or str, optional
        Most memory for them and for neighbors, in bytes or as '8 GB'; what is free, less a margin,
        by default.
    dblabel : str, optional
        Beginning of the names of the databases that keep fingerprints; the label of `files` by
        default.
    cache : {'auto', 'all', 'fingerprints', 'none'}
        What is kept there, see `amp.training.fingerprint_cache.FingerprintCache`; with 'none' they
        are not even looked at.

    Returns
    -------
    LossTerms
        Loss and residuals at the parameters that the model has afterwards.

    Raises
    ------
    TrainingConvergenceError
        If the criteria of convergence were not met; the best parameters are kept and saved.
    ParameterError
        Before any work, if the model's loss function or regressor is of a wrong kind, or
        derivatives or memory make no sense.
    InsufficientMemoryError
        Before any fingerprints, if derivatives do not fit.
    LabelInUseError
        Before any work, if another training with this label is running.
    OutputExistsError, OutputWriteError
        Before any work, if files stand in the way.
    CheckpointMismatchError
        Before any fingerprints, if the check point is of another training.
    """
    check_device(model.device)
    check_cache(cache)
    check_loss(model.lossfunction)
    regressor = make_regressor(model.regressor)
    storage = Storage.of(derivatives, memory, files.derivatives, only_stored=bool(model.device))
    files.make_folder()
    with hold(files.running), _open_files(files, overwrite, keep_log) as log:
        for line in version_header():
            log(line)
        gathered = _gather(descriptor, model, images, log)
        identity = _identify(descriptor, model, gathered)
        if overwrite:  # only now, when the images are known to be good
            files.remove_checkpoints()
        checkpoint = read_checkpoint(files.latest_checkpoint(), identity)
        with _cache(files.label if dblabel is None else dblabel, descriptor, cache, log) as store:
            data = _compute(descriptor, model, gathered, storage, store)
        if checkpoint is None:
            write_potential(files.initial, descriptor, model)
            log(f"Initial parameters: {files.initial}")
        else:
            assert checkpoint.model is not None
            model.restore(checkpoint.model)
            log(
                f"Going on from step {checkpoint.step} of {files.latest_checkpoint()}, with the "
                "parameters, scalings and ranges there."
            )
        run = _Run(descriptor, model, regressor, files, log, identity, data)
        return run.go(0 if checkpoint is None else checkpoint.step, threads or usable_cores())


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Images that can be trained on, and what they are compared with."""

    images: Mapping[str, Atoms]
    references: References
    demand: Demand


def _gather(descriptor: Any, model: Any, images: Any, say: Log) -> _Gathered:
    """Hash and check images, and collect their references: all that can go wrong early."""
    hashed = hash_images(images, log=say, check_conflicts=True)
    validate_images(hashed)
    demand = decide_demand(hashed, model.lossfunction)
    say(f"Trained on: {demand}.")
    if model.lossfunction.wants_forces and not demand.forces:
        say("The images have no forces: force_coefficient has no effect.")
    _log_duplicates(hashed, model.lossfunction.weight_duplicates, say)
    _settle_elements(descriptor, hashed)
    for line in descriptor.summary():
        say(line)
    strangers = set(model.lossfunction.image_weights) - set(hashed)
    if strangers:
        say(f"image_weights names {len(strangers)} images that are not among these.")
    duplicates = getattr(hashed, "metadata", {}).get("duplicates", {})
    references = collect_references(hashed, demand, model.lossfunction, duplicates)
    _log_counts(references, demand, say)
    return _Gathered(hashed, references, demand)


def _settle_elements(descriptor: Any, images: Mapping[str, Atoms]) -> None:
    """Tell the descriptor the elements; one that it refuses is told with its images."""
    places: dict[str, list[str]] = {}
    for index, (key, atoms) in zip(image_places(images), images.items(), strict=True):
        for number in np.unique(atoms.numbers):
            places.setdefault(SYMBOLS[number], []).append(f"{index} ({key[:8]})")
    try:
        descriptor.prepare(places)
    except UnsupportedElementError as error:
        reports = []
        for element in sorted(places):
            try:
                descriptor.prepare([element])
            except UnsupportedElementError:
                some, n_more = ", ".join(places[element][:10]), len(places[element]) - 10
                reports.append(f"{element} in {some}" + (f" and {n_more} more" * (n_more > 0)))
        raise UnsupportedElementError(f"{error} Images: {'; '.join(reports)}.") from error


@contextmanager
def _cache(label: str, descriptor: Any, cache: str, say: Log) -> Iterator[FingerprintCache | None]:
    """Open what keeps fingerprints, and tell the log what it was good for."""
    identity = None if cache == "none" else descriptor.identity()
    if identity is None:
        if cache != "none":
            say("Fingerprints are neither looked for nor kept on disk: the code that computes "
                "them was changed after this program had loaded it. Start it anew.")  # fmt: skip
        yield None
        return
    with FingerprintCache(label, identity, cache) as store:
        yield store
        for line in store.report():
            say(line)


def _compute(
    descriptor: Any,
    model: Any,
    gathered: _Gathered,
    storage: Storage,
    store: FingerprintStore | None,
) -> TrainingSet:
    """Compute fingerprints and initialize the model."""
    demand = gathered.demand
    derivatives = storage if demand.forces or demand.stress else False
    fingerprints = descriptor.fingerprint_images(
        gathered.images, derivatives=derivatives, strain=demand.stress, store=store
    )
    model.initialize(fingerprints, gathered.references.energies)
    return TrainingSet(gathered.images, fingerprints, gathered.references, demand)


@dataclass(slots=True)
class _Run:
    """One training, from attached data to saved parameters."""

    descriptor: Any
    model: Any
    regressor: Any
    files: RunFiles
    log: Log
    identity: Identity
    data: TrainingSet

    def go(self, first_step: int, threads: int) -> LossTerms:
        """Optimize, and save what comes out, however it ends."""
        loss = self.model.lossfunction
        if 0 < first_step >= loss.maxiter:
            self._refuse_more_steps(first_step)
        loss.attach(
            self.model, self.data.fingerprints, self.data.references, self.log, threads, first_step
        )
        with status("Training") as show:
            problem = TrainingProblem(loss, self.model.vector, lambda p: self._after_step(p, show))
            problem.wants_gradient = getattr(self.regressor, "lossprime", True)
            try:
                converged = self.regressor.regress(problem, self.log)
            except BaseException as error:
                self._keep(problem)
                self.log(f"Training was interrupted: {error!r}")
                if isinstance(error, KeyboardInterrupt):
                    raise KeyboardInterrupt(self._interruption(problem)) from None
                raise
            finally:
                loss.detach()
        return self._finish(problem, converged)

    def _refuse_more_steps(self, step: int) -> None:
        """Say that the check point has used maxiter up; its parameters are kept."""
        write_potential(self.files.untrained, self.descriptor, self.model)
        message = (
            f"maxiter={self.model.lossfunction.maxiter} is used up: "
            f"{self.files.latest_checkpoint()} is at step {step}. Its parameters are in "
            f"{self.files.untrained} and in the calculator. Raise maxiter to go on."
        )
        self.log(message)
        raise TrainingConvergenceError(message + self._note_on_old_potential())

    def _note_on_old_potential(self) -> str:
        """Say of whom the potential is that this training did not replace."""
        if not Path(self.files.trained).exists():
            return ""
        return f" {self.files.trained} is still that of an earlier training."

    def _after_step(self, problem: TrainingProblem, show: Callable[[str], None]) -> None:
        """Show progress and write check points."""
        loss = problem.loss
        if loss.latest is not None:
            show(f"Training, step {loss.step}: {_summary(loss.latest, self.data.demand)}")
        every = self.model.checkpoints
        if every and loss.step % abs(every) == 0:
            self._try_checkpoint(problem)

    def _try_checkpoint(self, problem: TrainingProblem) -> None:
        """Write a check point; a full disk is no reason to stop, and the old one is still there."""
        try:
            self._write_checkpoint(problem, problem.loss.step)
        except OSError as error:
            logger.warning("Check point not written: %s", error)  # the log of the run has it too

    def _write_checkpoint(self, problem: TrainingProblem, step: int) -> None:
        path = self.files.checkpoint
        if self.model.checkpoints < 0:
            path = self.files.numbered_checkpoint(step)
            Path(path).parent.mkdir(exist_ok=True)
        point = Checkpoint(self.identity, step, problem.best)
        write_checkpoint(path, self.descriptor, self.model, point)

    def _keep(self, problem: TrainingProblem) -> None:
        """Leave the best parameters in the model and in the check point."""
        self.model.vector = problem.best
        if self.model.checkpoints and problem.best_terms is not None:
            self._try_checkpoint(problem)

    def _interruption(self, problem: TrainingProblem) -> str:
        """Say in one line where an interrupted training stands."""
        if problem.best_terms is None:
            return "Interrupted before the first step; run again to train."
        if not self.model.checkpoints:
            where = "only in the calculator (checkpoints=None); save them with its save()"
        else:
            where = f"in {self.files.latest_checkpoint()}; run again to go on"
        return f"Interrupted at step {problem.loss.step}; the best parameters are {where}."

    def _finish(self, problem: TrainingProblem, converged: bool) -> LossTerms:
        """Save the result under the name that says whether it converged."""
        self._keep(problem)
        terms = problem.best_terms
        if terms is None:
            raise TrainingConvergenceError(
                "The regressor came back without a single evaluation of the loss."
            )
        # With raise_ConvergenceOccurred=False the optimizer goes on beyond the criteria.
        if converged or problem.loss.is_converged(terms):
            write_potential(self.files.trained, self.descriptor, self.model)
            Path(self.files.untrained).unlink(missing_ok=True)  # of the run that this continued
            self.log(f"Converged. Potential: {self.files.trained}")
            return terms
        write_potential(self.files.untrained, self.descriptor, self.model)
        self.log(f"Not converged. Best parameters: {self.files.untrained}")
        criteria = problem.loss.convergence
        short = ", ".join(
            f"{name} {getattr(terms, name):.4g} (wanted {limit:g})"
            for name, limit in criteria.items()
            if limit is not None and getattr(terms, name) > limit
        )
        n_steps = problem.loss.step
        raise TrainingConvergenceError(
            f"Training stopped after {n_steps} step{'s' * (n_steps != 1)} without convergence: "
            f"{short or 'there are no criteria'}. The best parameters are in "
            f"{self.files.untrained} and in the calculator. Train longer, loosen the criteria, "
            f"or use more nodes or functions.{self._note_on_old_potential()}"
        )


def _identify(descriptor: Any, model: Any, data: _Gathered) -> Identity:
    ref, loss = data.references, model.lossfunction
    arrays = [ref.energies, ref.forces, ref.stresses, ref.weights]
    return identify(descriptor, model, loss, data.demand, ref.keys, arrays)


def _log_duplicates(images: Any, weighted: bool, say: Log) -> None:
    """Say how many images were given more than once, and what that does."""
    duplicates = getattr(images, "metadata", {}).get("duplicates", {})
    if duplicates:
        effect = "count as often as given" if weighted else "count once (weight_duplicates=False)"
        say(f"Images that were given more than once: {len(duplicates)}; they {effect}.")


def _log_counts(references: References, demand: Demand, say: Log) -> None:
    """Say how much of what is trained on there is, where it is not everything."""
    n = len(references.keys)
    known = {
        "energies": (demand.energies, np.isfinite(references.energies).sum(), n, "images"),
        "forces": (
            demand.forces,
            np.isfinite(references.forces).all(axis=1).sum(),
            len(references.forces),
            "atoms",
        ),
        "stresses": (
            demand.stress, np.isfinite(references.stresses).any(axis=1).sum(), n, "images",
        ),
    }  # fmt: skip
    for name, (wanted, count, total, of) in known.items():
        if wanted and count < total:
            say(f"There are {name} of {count} of {total} {of}; the others do not count.")


def _summary(terms: LossTerms, demand: Demand) -> str:
    """Give the errors of a step in a few words."""
    parts = [f"energy {1000 * terms.energy_rmse:.2f} meV/atom"] if demand.energies else []
    parts += [f"force {terms.force_rmse:.4f} eV/Å"] if demand.forces else []
    parts += [f"stress {terms.stress_rmse:.2e} eV/Å³"] if demand.stress else []
    return "RMSE " + ", ".join(parts)


@contextmanager
def _open_files(files: RunFiles, overwrite: bool, keep_log: bool) -> Iterator[Log]:
    """Refuse to touch finished work, then open the log."""
    files.prepare(overwrite)
    files.remove_leftovers()
    with _log(files, overwrite) if keep_log else _no_log() as log:
        try:
            yield log
        finally:
            with suppress(OSError):  # where it cannot go yet, the next run removes it
                os.unlink(files.derivatives)


@contextmanager
def _log(files: RunFiles, overwrite: bool) -> Iterator[Log]:
    """Open the run's log and let the package's messages into it."""
    try:
        logger = Logger(files.log, overwrite=overwrite)
    except OSError as error:
        raise OutputWriteError(
            f"The log {files.log} cannot be written: {error.strerror}."
        ) from error
    package = logging.getLogger("amp")
    handler, level = logger.handler(), package.level
    package.addHandler(handler)
    package.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield logger
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        logger.close()


@contextmanager
def _no_log() -> Iterator[Log]:
    yield lambda line: None
