"""Machine-learned interatomic potentials as ASE calculators.

Symmetry functions turn the surroundings of every atom into numbers, one neural network per element
turns these into an energy, and the sum is the energy of the system [1]_.

Importing the package loads nothing else: `Amp` is looked up when it is first asked for, so that
commands and remote workers start quickly.

References
----------
.. [1] A. Khorshidi and A. A. Peterson, Comput. Phys. Commun. 207, 310 (2016).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amp.calculator import Amp

__all__ = ["Amp", "__version__"]

__version__ = "2.0.0.dev0"


def __getattr__(name: str) -> Any:
    """Load `Amp` on first use (PEP 562)."""
    if name == "Amp":
        from amp.calculator import Amp

        return Amp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List `Amp` although it may not be loaded yet."""
    return sorted({*globals(), *__all__})
