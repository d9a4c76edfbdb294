"""The loss function that training makes small, with its criteria of convergence."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from amp.core.errors import ConvergenceOccurred, IterationLimitReached, ParameterError
from amp.core.fingerprints import Fingerprints
from amp.core.logs import now
from amp.core.typing import FloatArray
from amp.model._force_terms import Coefficients, References
from amp.model._loss_terms import Evaluator, LossTerms, NumpyEvaluator
from amp.model._settings import truth
from amp.model.base import Model

__all__ = ["LossFunction", "LossTerms", "References", "check_device"]

_CRITERIA = {
    "energy_rmse": 0.001,
    "energy_maxresid": None,
    "force_rmse": None,
    "force_maxresid": None,
    "stress_rmse": None,
    "stress_maxresid": None,
}

_EXAMPLE = "{'energy_rmse': 0.002, 'force_rmse': 0.1}"

Log = Callable[[str], Any]


class LossFunction:
    """Sum of squared residuals of energies, forces and stresses.

    With w the weight of an image and N its number of atoms, the loss is
    `energy_coefficient * sum w ((E - E_ref) / N)^2 + force_coefficient * sum w / (3 N) sum
    (F - F_ref)^2 + stress_coefficient * sum w / 6 sum (S - S_ref)^2 + overfit * sum p^2`, the
    first sums running over images and p over the first layers' weights without biases.  Where
    components have no reference, means are over those that have one.

    Parameters
    ----------
    energy_coefficient : float or None, default 1.0
        Weight of the energies; None or 0 leaves them out.
    force_coefficient : float or None, default 0.04
        Weight of the forces, which are trained when the images have them; None or 0 leaves them
        out.
    convergence : dict, optional
        Criteria that must all hold: `energy_rmse` (eV/atom, 0.001 unless given),
        `energy_maxresid` (eV/atom), `force_rmse`, `force_maxresid` (eV/Å), `stress_rmse`,
        `stress_maxresid` (eV/Å^3); None for those that do not matter.
    parallel : object, optional
        Accepted for old scripts.
    overfit : float, default 0.0
        Weight of the squared first-layer weights.
    raise_ConvergenceOccurred : bool, default True
        Raise `ConvergenceOccurred` when the criteria hold.
    log_losses : bool, default True
        Write a line to the log for every evaluation.
    d : float, optional
        Step of a numerical gradient (central differences) used instead of the analytic one.
    weight_duplicates : bool, default False
        Multiply an image's weight by the number of times it was given.
    maxiter : int, default 100000
        Most evaluations of a training.
    nft_ids : list of (str, int), optional
        Nearest-force training: of the images named by their hash only the forces on the atoms
        named count, and not their energies.
    stress_coefficient : float or None, default None
        Weight of the stresses; None or 0 leaves them out.  Reference components that are NaN do
        not count.
    image_weights : mapping, optional
        Hash -> weight of that image; 1 for the others.
    accept_missing : bool, default False
        Train on what there is when some images lack forces or stresses.

    Raises
    ------
    ParameterError
        If a setting makes no sense.
    """

    def __init__(
        self,
        energy_coefficient: float | None = 1.0,
        force_coefficient: float | None = 0.04,
        convergence: Mapping[str, float | None] | None = None,
        parallel: Any = None,
        overfit: float = 0.0,
        raise_ConvergenceOccurred: bool = True,
        log_losses: bool = True,
        d: float | None = None,
        weight_duplicates: bool = False,
        maxiter: int = 100000,
        nft_ids: Sequence[tuple[str, int]] | None = None,
        *,
        stress_coefficient: float | None = None,
        image_weights: Mapping[str, float] | None = None,
        accept_missing: bool = False,
    ) -> None:
        self.energy_coefficient = _coefficient("energy_coefficient", energy_coefficient)
        self.force_coefficient = _coefficient("force_coefficient", force_coefficient)
        self.stress_coefficient = _coefficient("stress_coefficient", stress_coefficient)
        self.overfit = _coefficient("overfit", overfit)
        self.convergence = self._criteria(_mapping("convergence", convergence, _EXAMPLE))
        self.parallel = parallel
        self.raise_ConvergenceOccurred = truth(
            "raise_ConvergenceOccurred", raise_ConvergenceOccurred
        )
        self.log_losses = truth("log_losses", log_losses)
        self.d = None if d is None else _positive("d", d)
        self.weight_duplicates = truth("weight_duplicates", weight_duplicates)
        self.maxiter = int(_positive("maxiter", maxiter))
        self.nft_ids = None if nft_ids is None else _atoms_of_images(nft_ids)
        if self.nft_ids and not self.wants_forces:
            raise ParameterError("nft_ids train on forces: give force_coefficient a value.")
        self.image_weights = {
            key: _not_negative(f"image_weights[{key!r}]", weight)
            for key, weight in _mapping("image_weights", image_weights, "{hash: 10.0}").items()
        }
        self.accept_missing = truth("accept_missing", accept_missing)
        self.step = 0
        self._has_header = False
        self.latest: LossTerms | None = None
        self._evaluator: Evaluator | None = None
        self._log: Log | None = None

    def __repr__(self) -> str:
        limits = {name: limit for name, limit in self.convergence.items() if limit is not None}
        shown = {
            "energy_coefficient": self.energy_coefficient,
            "force_coefficient": self.force_coefficient,
            "stress_coefficient": self.stress_coefficient or None,
            "overfit": self.overfit or None,
            "convergence": limits,
        }
        inside = ", ".join(
            f"{name}={value!r}" for name, value in shown.items() if value is not None
        )
        return f"LossFunction({inside})"

    @property
    def wants_forces(self) -> bool:
        """Whether forces are trained when the images have them."""
        return self.force_coefficient != 0.0

    @property
    def needs_forces(self) -> bool:
        """Whether a criterion asks for forces, so that images must have them."""
        return any(self.convergence[key] is not None for key in ("force_rmse", "force_maxresid"))

    @property
    def wants_stress(self) -> bool:
        """Whether stresses are trained."""
        return self.stress_coefficient != 0.0

    def settings(self) -> dict[str, Any]:
        """Give everything that the value of the loss depends on, as plain data."""
        return {
            "energy_coefficient": self.energy_coefficient,
            "force_coefficient": self.force_coefficient,
            "stress_coefficient": self.stress_coefficient,
            "overfit": self.overfit,
            "weight_duplicates": self.weight_duplicates,
            "nft_ids": None if self.nft_ids is None else [list(pair) for pair in self.nft_ids],
            "image_weights": self.image_weights,
            "accept_missing": self.accept_missing,
        }

    def attach(
        self,
        model: Model,
        fingerprints: Fingerprints,
        references: References,
        log: Log | None = None,
        threads: int = 1,
        step: int = 0,
    ) -> None:
        """Take the data that `get_loss` evaluates on.

        Parameters
        ----------
        model : Model
            Initialized model.
        fingerprints : Fingerprints
            Of all images; without derivatives only energies count.
        references : References
            What to compare with.
        log : callable, optional
            Takes the lines of the loss table.
        threads : int, default 1
            Threads over images; results do not depend on it.
        step : int, default 0
            Number of the next step.
        """
        primes = fingerprints.derivatives
        coefficients = Coefficients(
            energy=self.energy_coefficient,
            force=0.0 if primes is None else self.force_coefficient,
            stress=self.stress_coefficient if primes is not None and primes.has_strain else 0.0,
            overfit=self.overfit,
        )
        self._evaluator = _evaluator(model, fingerprints, references, coefficients, threads)
        self._log = log
        self._has_header = False
        self.step = step

    def detach(self) -> None:
        """Forget the data, which may be large; settings and step stay."""
        self._evaluator = None
        self._log = None

    def get_loss(self, parametervector: FloatArray, lossprime: bool = True) -> dict[str, Any]:
        """Evaluate the loss, log it, and check convergence.

        Parameters
        ----------
        parametervector : ndarray
            Parameters of the model, as its `vector`.
        lossprime : bool, default True
            Compute the gradient too.

        Returns
        -------
        dict
            `loss`, `dloss_dparameters` (None unless asked for), `energy_loss`, `force_loss`,
            `stress_loss`, and `energy_rmse`, `energy_maxresid` and so on.

        Raises
        ------
        ConvergenceOccurred
            If the criteria hold and `raise_ConvergenceOccurred` is set.
        IterationLimitReached
            If `maxiter` evaluations were made.
        ParameterError
            If no data were attached.
        """
        vector = np.asarray(parametervector, dtype=float)
        terms = self.latest = self.evaluate(vector, lossprime)
        if self.log_losses and self._log is not None:
            if not self._has_header:
                for line in self.header():
                    self._log(line)
                self._has_header = True
            self._log(self.table_line(terms))
        self.step += 1
        if self.raise_ConvergenceOccurred and self.is_converged(terms):
            raise ConvergenceOccurred("The criteria of convergence hold.")
        if self.step >= self.maxiter:
            raise IterationLimitReached(f"The loss was evaluated {self.maxiter} times (maxiter).")
        return _as_dict(terms)

    def evaluate(self, vector: FloatArray, gradient: bool) -> LossTerms:
        """Evaluate the loss and nothing else: no log, no step, no check.

        Parameters
        ----------
        vector : ndarray
            Parameters of the model, as its `vector`.
        gradient : bool
            Compute the gradient too.

        Raises
        ------
        ParameterError
            If no data were attached.
        """
        if self._evaluator is None:
            raise ParameterError("The loss function has no data: train, or call attach() first.")
        if not gradient or self.d is None:
            return self._evaluator(vector, gradient)
        return self._numerical(self._evaluator, vector, self.d)

    def is_converged(self, terms: LossTerms) -> bool:
        """Say whether all criteria hold; without any there is nothing to hold."""
        limits = {name: limit for name, limit in self.convergence.items() if limit is not None}
        return bool(limits) and all(getattr(terms, name) <= limits[name] for name in limits)

    def header(self) -> list[str]:
        """Give the lines that come before the loss table."""
        lines = ["", "Loss function convergence criteria:"]
        lines += [f"  {name}: {limit}" for name, limit in self.convergence.items()]
        lines += ["Loss function set-up:"]
        lines += [f"  {name}: {value}" for name, value in self.settings().items() if value]
        columns = ["Step", "Time", "Loss (SSD)", "EnergyRMSE", "MaxResid"]
        widths = [5, 19, 12, 12, 12]
        for name in ("Force", "Stress"):
            if getattr(self, f"wants_{name.lower().replace('force', 'forces')}"):
                columns += [f"{name}RMSE", "MaxResid"]
                widths += [12, 12]
        lines.append("")
        lines.append(" ".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)))
        lines.append(" ".join("=" * w for w in widths))
        return lines

    def table_line(self, terms: LossTerms) -> str:
        """Give a line of the loss table; C marks a value that meets its criterion, - one not."""
        names = ["energy"]
        names += ["force"] if self.wants_forces else []
        names += ["stress"] if self.wants_stress else []
        cells = [f"{self.step:5d} {now():19s} {terms.loss:12.4e}"]
        for name in (f"{kind}_{what}" for kind in names for what in ("rmse", "maxresid")):
            value, limit = getattr(terms, name), self.convergence[name]
            cells.append(f"{value:10.4e} {'C' if limit is None or value <= limit else '-'}")
        return " ".join(cells)

    def _criteria(self, given: Mapping[str, float | None]) -> dict[str, float | None]:
        """Merge given criteria with the defaults."""
        for key in given:
            if key not in _CRITERIA:
                near = difflib.get_close_matches(str(key), _CRITERIA, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ParameterError(
                    f"There is no convergence criterion {key!r}; known: "
                    f"{', '.join(_CRITERIA)}.{hint}"
                )
            if given[key] is not None:
                _not_negative(f"convergence[{key!r}]", given[key])
        criteria: dict[str, float | None] = {**_CRITERIA, **given}
        for kind in ("energy", "force", "stress"):
            if getattr(self, f"{kind}_coefficient") != 0.0:
                continue
            if kind == "energy" and "energy_rmse" not in given:
                criteria["energy_rmse"] = None
            asked = [k for k in criteria if k.startswith(kind) and criteria[k] is not None]
            if asked:
                raise ParameterError(
                    f"The convergence criterion {asked[0]!r} can never be reached on purpose: "
                    f"{kind}_coefficient is 0 or None. Give {kind}_coefficient a value."
                )
        return criteria

    @staticmethod
    def _numerical(evaluator: Evaluator, vector: FloatArray, d: float) -> LossTerms:
        """Evaluate with a gradient by central differences of step d."""
        from dataclasses import replace

        gradient = np.empty_like(vector)
        for i in range(len(vector)):
            shift = np.zeros_like(vector)
            shift[i] = d
            high, low = evaluator(vector + shift, False), evaluator(vector - shift, False)
            gradient[i] = (high.loss - low.loss) / (2.0 * d)
        return replace(evaluator(vector, False), gradient=gradient)


def check_device(device: str | None) -> None:
    """Make sure that torch can train on a device, before any work.

    Raises
    ------
    ImportError
        If a device is asked for and torch is not installed.
    ParameterError
        If there is no such device.
    """
    if device is not None:
        from amp.model._torch_loss import torch_device

        torch_device(device)


def _evaluator(
    model: Model,
    fingerprints: Fingerprints,
    references: References,
    coefficients: Coefficients,
    threads: int,
) -> Evaluator:
    """Choose the evaluator by where the model trains."""
    if model.device is None:
        return NumpyEvaluator(model, fingerprints, references, coefficients, threads)
    from amp.model._torch_loss import TorchEvaluator

    return TorchEvaluator(model, fingerprints, references, coefficients)


def _mapping(name: str, given: Any, example: str) -> Mapping[str, Any]:
    """Refuse what is no dictionary; None is an empty one."""
    if not isinstance(given, Mapping | None):
        raise ParameterError(f"{name} is a dict such as {example}, not {given!r}.")
    return {} if given is None else given


def _atoms_of_images(nft_ids: Any) -> list[tuple[str, int]]:
    """Check pairs of an image's hash and the index of an atom."""
    try:
        pairs = [(key, operator.index(atom)) for key, atom in nft_ids]
    except (TypeError, ValueError):
        pairs = [(None, 0)]
    if not all(isinstance(key, str) and atom >= 0 for key, atom in pairs):
        raise ParameterError(
            f"nft_ids is a list of pairs (hash of the image, index of the atom), not {nft_ids!r}."
        )
    return pairs


def _coefficient(name: str, value: float | None) -> float:
    """Check a coefficient; None is 0."""
    return 0.0 if value is None else _not_negative(name, value)


def _not_negative(name: str, value: Any) -> float:
    if not _is_number(value) or value < 0:
        raise ParameterError(f"{name} must be a finite number, not negative; got {value!r}.")
    return float(value)


def _positive(name: str, value: Any) -> float:
    if not _is_number(value) or value <= 0:
        raise ParameterError(f"{name} must be a finite number above 0; got {value!r}.")
    return float(value)


def _is_number(value: object) -> bool:
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool) and bool(np.isfinite(value))


def _as_dict(terms: LossTerms) -> dict[str, Any]:
    """Give the terms under the names that Amp users know."""
    result = {name: getattr(terms, name) for name in terms.__slots__ if name != "gradient"}
    result["dloss_dparameters"] = terms.gradient
    return result
