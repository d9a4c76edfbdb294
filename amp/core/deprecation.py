"""The one way to say that a name or an argument is going away."""

import warnings

__all__ = ["warn_deprecated"]


def warn_deprecated(
    what: str, *, since: str, removed_in: str, use: str | None = None, stacklevel: int = 1
) -> None:
    """Warn that something still works but will be removed.

    Parameters
    ----------
    what : str
        The name or argument, as its user wrote it, such as ``"Gaussian(fortran=...)"``.
    since : str
        First version that warns.
    removed_in : str
        First version without it.
    use : str, optional
        What takes its place. Without it the message says that it can be left out.
    stacklevel : int
        1 points at the caller of the function that calls this, 2 at that one's caller, ...

    Warns
    -----
    DeprecationWarning
        With all of the above in one line.

    Examples
    --------
    >>> def old(x):
    ...     warn_deprecated("old()", since="2.0", removed_in="3.0", use="new()")
    ...     return new(x)
    """
    advice = f"use {use} instead" if use is not None else "it can be left out"
    warnings.warn(
        f"{what} is deprecated since Amp {since} and goes away in Amp {removed_in}; {advice}.",
        DeprecationWarning,
        stacklevel=stacklevel + 2,
    )
