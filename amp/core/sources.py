"""Tell whether code that computed something is the code that is here now."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["source_digest"]


def source_digest(*paths: Path) -> str:
    """Sum up source files.

    Parameters
    ----------
    *paths : Path
        Files, and folders of which every .py file counts.

    Returns
    -------
    str
        64 hexadecimal digits; another text in any file gives others.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.py")) or [path])]
    digest = hashlib.sha256()
    for file in files:
        # Line ends are no matter of the code; the length keeps files apart.
        text = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
