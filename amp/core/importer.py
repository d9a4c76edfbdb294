"""`importer`, by which scripts for Amp 1 load what has moved between versions of other packages."""

from importlib import import_module
from typing import Any

__all__ = ["importer"]

# name -> places to look, best first: a module and the attribute that is meant (None: the module)
PLACES: dict[str, list[tuple[str, str | None]]] = {
    "NeighborList": [("ase.neighborlist", "NeighborList")],
    "pxssh": [("pexpect.pxssh", None), ("pxssh", None)],
}


def importer(name: str) -> Any:
    """Load something that moved between versions of other packages.

    Parameters
    ----------
    name : str
        ``'pxssh'`` (the module of pexpect, or the old one of its own) or ``'NeighborList'``
        (the class of ASE).

    Returns
    -------
    object
        The module or class.

    Raises
    ------
    ImportError
        If the name is another one, or its package is not installed.
    """
    if name not in PLACES:
        raise ImportError(
            f"Nothing is known of {name!r}; known names: {', '.join(sorted(PLACES))}."
        )
    for module_name, attribute in PLACES[name]:
        try:
            module = import_module(module_name)
        except ModuleNotFoundError:
            continue
        return module if attribute is None else getattr(module, attribute)
    places = " or ".join(module_name for module_name, _ in PLACES[name])
    raise ImportError(f"{name!r} is in {places}, which is not installed.")
