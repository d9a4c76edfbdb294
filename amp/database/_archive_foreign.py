"""Read archives that other programs wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator

from amp.database._archive_file import ArchiveFile

__all__ = ["ForeignView"]


class ForeignView:
    """Placeholder."""

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file

    def is_current(self, status: os.stat_result) -> bool:
        return True

    def find(self, name: str) -> tuple[int, int] | None:
        return None

    def read(self, name: str) -> bytes:
        raise KeyError(name)

    def __len__(self) -> int:
        return 0

    def names(self) -> list[str]:
        return []

    def live_bytes(self) -> int:
        return 0

    def members(self) -> Iterator[tuple[str, bytes]]:
        return iter(())
