"""Which entries of the fingerprint cache given potentials have no use for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable

from amp.core.errors import AmpFileError
from amp.training.fingerprint_cache import identity_digest
from amp.training.potentials import make_parts, read_potential

__all__ = ["is_unused", "used_digests"]

# Hash of the image, digest of the descriptor, kind; see `amp.training.fingerprint_cache`.
_NAME = re.compile(r"[0-9a-f]{32}-([0-9a-f]{32})-[a-z].*")


def used_digests(potentials: Iterable[str | os.PathLike[str]]) -> frozenset[str]:
    """Read potentials and sum up what their descriptors say of themselves.

    Parameters
    ----------
    potentials : iterable of paths
        Potential files (.amp).

    Returns
    -------
    frozenset of str
        The part of the names of entries that says which descriptor they belong to.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, AmpFileError
        If one of them cannot be read as a potential.
    """
    digests = set()
    for path in potentials:
        descriptor, _ = make_parts(read_potential(path), name=os.fspath(path))
        identity = descriptor.identity()
        if identity is None:
            raise AmpFileError(
                f"What {os.fspath(path)} uses cannot be told, since Amp's code was changed "
                "meanwhile. Start the command again."
            )
        digests.add(identity_digest(identity))
    return frozenset(digests)


def is_unused(key: str, digests: Collection[str]) -> bool:
    """Tell whether an entry belongs to a descriptor that is none of these.

    Parameters
    ----------
    key : str
        Name of the entry; one of another form than the fingerprint cache has is never unused.
    digests : collection of str
        From `used_digests`.
    """
    match = _NAME.fullmatch(key)
    return match is not None and match[1] not in digests
