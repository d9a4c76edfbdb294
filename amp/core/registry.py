"""Parts looked up by name, one registry for each kind of part."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from amp.core.errors import UnknownNameError

__all__ = ["Registry"]

Part = TypeVar("Part")


class Registry(Mapping[str, Part], Generic[Part]):
    """The known parts of one kind by name.

    Parameters
    ----------
    kind : str
        What the parts are, as it reads in the error message ("descriptor").

    Examples
    --------
    >>> descriptors = Registry("descriptor")
    >>> @descriptors.register("gaussian")
    ... class Gaussian:
    ...     pass
    >>> descriptors["gaussian"] is Gaussian
    True
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}

    def __getitem__(self, name: str) -> Part:
        """Return the part called `name`; `UnknownNameError` lists the names there are."""
        try:
            return self._parts[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self._unknown(name)) from None

    def __contains__(self, name: object) -> bool:
        """Tell whether a part of this name is known."""
        return isinstance(name, str) and name in self._parts

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in the order in which they were added."""
        return iter(self._parts)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._parts)

    def __repr__(self) -> str:
        """Return the kind and the names."""
        return f"Registry({self.kind!r}: {self._known()})"

    def add(self, name: str, part: Part) -> Part:
        """Make `part` known as `name`.

        Parameters
        ----------
        name : str
            Name to look the part up by.
        part : object
            The part, often a class.

        Returns
        -------
        object
            The same part.

        Raises
        ------
        ValueError
            If another part has this name already.
        """
        if self._parts.get(name, part) is not part:
            raise ValueError(
                f"There is already a {self.kind} called {name!r}; choose another name for the "
                "new one."
            )
        self._parts[name] = part
        return part

    def register(self, name: str) -> Callable[[Any], Any]:
        """Return a decorator that makes the decorated class or function known as `name`.

        Parameters
        ----------
        name : str
            Name to look the part up by.

        Returns
        -------
        callable
            Decorator that returns what it decorates.
        """
        return lambda part: self.add(name, part)

    def _known(self) -> str:
        """Return the names as one text."""
        return ", ".join(sorted(self._parts)) or "none"

    def _unknown(self, name: object) -> str:
        """Return the message about a name that is not known."""
        message = f"There is no {self.kind} called {name!r}; known: {self._known()}."
        by_lower_case = {known.lower(): known for known in self._parts}
        nearest = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
        if nearest:
            message += f" Did you mean {by_lower_case[nearest[0]]!r}?"
        return message
