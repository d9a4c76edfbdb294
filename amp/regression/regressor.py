"""Local optimization by scipy's minimizers, or any function that behaves like them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from amp.core.errors import (
    ConvergenceOccurred,
    IterationLimitReached,
    ParameterError,
    UnknownNameError,
)
from amp.core.registry import Registry
from amp.regression.base import Problem

__all__ = ["Regressor"]

logger = logging.getLogger(__name__)

# Tolerances so small that training ends by the criteria of the loss function, not by theirs.
_OPTIONS: Registry = Registry("optimizer")
_OPTIONS.add("BFGS", {"gtol": 1e-15, "maxiter": 10**9})
_OPTIONS.add(
    "L-BFGS-B", {"gtol": 1e-15, "ftol": 1e-15, "maxfun": 10**9, "maxiter": 10**9, "maxcor": 50}
)
_OPTIONS.add("TNC", {"gtol": 1e-15, "ftol": 0.0, "xtol": 0.0, "maxfun": 10**9})
_OPTIONS.add("Newton-CG", {"xtol": 1e-15, "maxiter": 10**9})
_OPTIONS.add("CG", {"gtol": 1e-15, "maxiter": 10**9})
_OPTIONS.add("Nelder-Mead", {"xatol": 1e-15, "fatol": 1e-15, "maxfev": 10**9, "maxiter": 10**9})
_OPTIONS.add("Powell", {"xtol": 1e-15, "ftol": 1e-15, "maxfev": 10**9, "maxiter": 10**9})

_WITHOUT_GRADIENT = {"Nelder-Mead", "Powell"}
_ALIASES = {"NCG": "Newton-CG"}


class Regressor:
    """Minimize the loss of a model with a local optimizer.

    Parameters
    ----------
    optimizer : str or callable, default 'L-BFGS-B'
        'L-BFGS-B', 'BFGS', 'TNC', 'Newton-CG' (or 'NCG'), 'CG', 'Nelder-Mead', 'Powell', or a
        function that is called like `scipy.optimize.minimize`: `optimizer(fun, x0, jac=...,
        **optimizer_kwargs)`.
    optimizer_kwargs : dict, optional
        Keyword arguments for the optimizer; for scipy's `options` are merged with our defaults.
    lossprime : bool, default True
        Give the optimizer the gradient.

    Raises
    ------
    UnknownNameError
        If there is no optimizer of that name.
    ParameterError
        If the optimizer cannot do without the gradient.
    """

    def __init__(
        self,
        optimizer: str | Callable[..., Any] = "L-BFGS-B",
        optimizer_kwargs: Mapping[str, Any] | None = None,
        lossprime: bool = True,
    ) -> None:
        if isinstance(optimizer, str):
            optimizer = _ALIASES.get(optimizer, optimizer)
            _OPTIONS[optimizer]  # an unknown name is told here, with the nearest known
        elif not callable(optimizer):
            raise UnknownNameError(
                f"An optimizer is a name such as 'L-BFGS-B' or a function, not {optimizer!r}."
            )
        if optimizer == "Newton-CG" and not lossprime:
            raise ParameterError(
                "Newton-CG needs the gradient; leave lossprime=True, or use another optimizer."
            )
        self.optimizer = optimizer
        self.optimizer_kwargs = dict(optimizer_kwargs or {})
        self.lossprime = lossprime and optimizer not in _WITHOUT_GRADIENT

    def regress(self, model: Problem, log: Callable[[str], Any] | None = None) -> bool:
        """Minimize until the loss function says that it has converged, or the optimizer stops.

        Parameters
        ----------
        model : Problem
            Has `vector`, `get_loss(vector)` and `get_lossprime(vector)`.
        log : callable, optional
            Takes lines of text.

        Returns
        -------
        bool
            Whether the loss function's criteria were met.
        """
        say = log or logger.info
        say(f"Optimizer: {self.name}")
        minimize, kwargs = self._call()
        if self.lossprime:
            kwargs["jac"] = model.get_lossprime
        try:
            result = minimize(model.get_loss, model.vector, **kwargs)
        except ConvergenceOccurred:
            return True
        except IterationLimitReached as limit:
            say(str(limit))
            return False
        say(f"The optimizer stopped: {getattr(result, 'message', 'it gave no reason')}")
        return False

    def __repr__(self) -> str:
        return f"Regressor({self.name!r})"

    @property
    def name(self) -> str:
        """Name of the optimizer, for logs."""
        if isinstance(self.optimizer, str):
            return self.optimizer
        return getattr(self.optimizer, "__name__", repr(self.optimizer))

    def _call(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Give the function to call and its keyword arguments."""
        kwargs = dict(self.optimizer_kwargs)
        if not isinstance(self.optimizer, str):
            return self.optimizer, kwargs
        from scipy.optimize import minimize

        kwargs.setdefault("method", self.optimizer)
        kwargs["options"] = {**_OPTIONS[self.optimizer], **kwargs.get("options", {})}
        return minimize, kwargs
