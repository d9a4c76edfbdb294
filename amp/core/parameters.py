"""Settings of a part: a dictionary whose entries are also attributes."""

from typing import Any

__all__ = ["Parameters"]


class Parameters(dict[str, Any]):
    """A dictionary with attribute access, as Amp's parts keep their settings in.

    ``parameters.cutoff`` is ``parameters["cutoff"]``, for reading, setting and deleting. Names
    of dictionary methods (``keys``, ``items``, ...) stay methods; their entries are reached
    with brackets. Copies and pickles are `Parameters` too.

    Examples
    --------
    >>> parameters = Parameters(cutoff=6.5)
    >>> parameters.cutoff
    6.5
    >>> parameters.mode = "atom-centered"
    >>> parameters["mode"]
    'atom-centered'
    """

    def __getattr__(self, name: str) -> Any:
        """Return the entry `name`."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"There is no parameter called {name!r}; known: {', '.join(map(str, self))}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the entry `name`."""
        self[name] = value

    def __delattr__(self, name: str) -> None:
        """Delete the entry `name`."""
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"There is no parameter called {name!r}.") from None

    def __dir__(self) -> list[str]:
        """Return methods and entries, for completion at the prompt."""
        return sorted({*super().__dir__(), *(key for key in self if isinstance(key, str))})

    def copy(self) -> "Parameters":
        """Return a shallow copy of the same class."""
        return type(self)(self)
