"""Cutoff functions: smooth weights that fall to zero at the cutoff radius."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from amp.core.errors import ParameterError
from amp.core.registry import Registry

__all__ = [
    "Cosine",
    "Cutoff",
    "Polynomial",
    "Quintic",
    "Smoothstep",
    "Tanh3",
    "cutoffs",
    "dict2cutoff",
]

cutoffs: Registry = Registry("cutoff function")


class Cutoff:
    """A cutoff function with its radius.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).

    Raises
    ------
    ParameterError
        If the radius is not a positive finite number.
    """

    code = -1  # how kernels know the function; see _kernels.cutoff_row

    def __init__(self, Rc: float) -> None:
        if not _is_positive(Rc):
            raise ParameterError(
                f"A cutoff radius must be a positive number of Å, not {Rc!r}; 6.5 is usual."
            )
        self.Rc = float(Rc)

    @property
    def gamma(self) -> float:
        """Exponent or order, by which kernels tell polynomials apart; 0 for other functions."""
        return 0.0

    def __call__(self, Rij: npt.ArrayLike) -> Any:
        """Evaluate the function at distances Rij (Å): float for a number, array for an array."""
        return self._evaluate(Rij, 0)

    def prime(self, Rij: npt.ArrayLike) -> Any:
        """Evaluate the derivative at distances Rij (1/Å)."""
        return self._evaluate(Rij, 1)

    def _evaluate(self, distances: npt.ArrayLike, which: int) -> Any:
        from amp.descriptor._kernels import cutoff_values

        r = np.asarray(distances, dtype=float)
        out = cutoff_values(np.atleast_1d(r).ravel(), self.code, self.Rc, self.gamma)[which]
        return float(out[0]) if r.ndim == 0 else out.reshape(r.shape)

    def todict(self) -> dict[str, Any]:
        """Describe the function as `{'name': ..., 'kwargs': {...}}`."""
        return {"name": type(self).__name__, "kwargs": {"Rc": self.Rc}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cutoff) and self.todict() == other.todict()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.Rc, self.gamma))

    def __repr__(self) -> str:
        kwargs = ", ".join(f"{k}={v!r}" for k, v in self.todict()["kwargs"].items())
        return f"{type(self).__name__}({kwargs})"


@cutoffs.register("Cosine")
class Cosine(Cutoff):
    """Cosine cutoff, (cos(pi r / Rc) + 1) / 2 [1]_.

    Continuous up to the first derivative: forces are continuous, the Hessian is not.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).

    References
    ----------
    .. [1] J. Behler, J. Chem. Phys. 134, 074106 (2011).
    """

    code = 0


@cutoffs.register("Polynomial")
class Polynomial(Cutoff):
    """Polynomial cutoff, 1 + gamma x^(gamma+1) - (gamma+1) x^gamma with x = r / Rc [1]_.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).
    gamma : float, default 4
        Exponent, above 0; larger values keep full weight longer.

    Raises
    ------
    ParameterError
        If the radius or gamma is not positive.

    References
    ----------
    .. [1] A. Khorshidi, A. A. Peterson, Comput. Phys. Commun. 207, 310 (2016), eq. 7.
    """

    code = 1

    def __init__(self, Rc: float, gamma: float = 4) -> None:
        super().__init__(Rc)
        if not _is_positive(gamma):
            raise ParameterError(f"Polynomial cutoff: gamma must be positive, not {gamma!r}.")
        self._gamma = gamma if isinstance(gamma, (int, float)) else float(gamma)

    @property
    def gamma(self) -> float:
        """Exponent of the polynomial."""
        return self._gamma

    def todict(self) -> dict[str, Any]:
        """Describe the function as `{'name': ..., 'kwargs': {...}}`."""
        return {"name": "Polynomial", "kwargs": {"Rc": self.Rc, "gamma": self._gamma}}


@cutoffs.register("Quintic")
class Quintic(Cutoff):
    """Quintic cutoff, 1 - 10 x^3 + 15 x^4 - 6 x^5 with x = r / Rc.

    Continuous up to the second derivative, at the origin and at the cutoff, so that phonons and
    other second derivatives have no kink.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).
    """

    code = 2


@cutoffs.register("Tanh3")
class Tanh3(Cutoff):
    """Hyperbolic-tangent cutoff, tanh(1 - r / Rc)^3 [1]_, the one n2p2 and RuNNer call type 2.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).

    References
    ----------
    .. [1] J. Behler, J. Chem. Phys. 134, 074106 (2011), eq. 5.
    """

    code = 3


@cutoffs.register("Smoothstep")
class Smoothstep(Cutoff):
    """Smoothstep polynomial of odd degree 2 N + 1, the flattest at both ends of its degree [1]_.

    (1 - x)^(N+1) times the sum of C(N+k, k) x^k for k from 0 to N, with x = r / Rc.  Order 1 is
    `Polynomial` with gamma 2, order 2 is `Quintic`; orders 1 to 4 are the cutoff types 5 to 8 of
    n2p2.

    Parameters
    ----------
    Rc : float
        Cutoff radius (Å).
    order : int, default 3
        N, 1 or more: how many derivatives vanish at the origin and at the cutoff.

    Raises
    ------
    ParameterError
        If the radius is not positive or the order no whole number from 1 to 20.

    References
    ----------
    .. [1] M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021).
    """

    code = 4

    def __init__(self, Rc: float, order: int = 3) -> None:
        super().__init__(Rc)
        if not _is_positive(order) or order not in range(1, 21):
            raise ParameterError(
                f"Smoothstep cutoff: order must be a whole number from 1 to 20, not {order!r}."
            )
        self.order = int(order)

    @property
    def gamma(self) -> float:
        """The order, as a number for the kernels."""
        return float(self.order)

    def todict(self) -> dict[str, Any]:
        """Describe the function as `{'name': ..., 'kwargs': {...}}`."""
        return {"name": "Smoothstep", "kwargs": {"Rc": self.Rc, "order": self.order}}


def dict2cutoff(dct: Mapping[str, Any] | Cutoff | float) -> Cutoff:
    """Make a cutoff function of its description.

    Parameters
    ----------
    dct : mapping, Cutoff or float
        `{'name': 'Cosine', 'kwargs': {'Rc': 6.5}}`; a cutoff function is returned as it is, and
        a number is the radius (Å) of a cosine cutoff.

    Returns
    -------
    Cutoff

    Raises
    ------
    ParameterError
        If the description is of another form or its arguments do not fit.
    UnknownNameError
        If there is no cutoff function of that name.
    """
    if isinstance(dct, Cutoff):
        return dct
    if isinstance(dct, Mapping):
        name, kwargs = dct.get("name"), dct.get("kwargs", {})
        if not isinstance(name, str) or not isinstance(kwargs, Mapping):
            raise ParameterError(f"A cutoff is {{'name': ..., 'kwargs': {{...}}}}, not {dct!r}.")
        try:
            return cutoffs[name](**kwargs)
        except TypeError as error:
            raise ParameterError(f"Cutoff {name!r}: {error}.") from error
    if isinstance(dct, (int, float, np.integer, np.floating)) and not isinstance(dct, bool):
        return Cosine(float(dct))
    raise ParameterError(
        f"A cutoff is a radius in Å, a function such as Cosine(6.5), or its dict, not {dct!r}."
    )


def _is_positive(value: object) -> bool:
    """Tell whether this is a finite number above 0."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    return bool(0 < value <= sys.float_info.max)
