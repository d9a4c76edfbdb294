"""Lines of text files that remember where they stand, so that errors can say so."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amp.core.errors import AmpFileError, ParameterError

__all__ = ["Line", "read_lines"]


class Line(NamedTuple):
    """The words of one line."""

    file: str
    number: int  # from 1
    words: tuple[str, ...]

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0]

    def damaged(self, what: str) -> AmpFileError:
        """Make the error for a line that cannot be read."""
        return AmpFileError(f"{self._place}: {what}.")

    def unsupported(self, what: str) -> ParameterError:
        """Make the error for a line that is right, but asks for what Amp cannot do."""
        return ParameterError(f"{self._place}: {what}.")

    @property
    def _place(self) -> str:
        named = f" ({self.keyword})" if self.keyword[0].isalpha() else ""
        return f"{self.file}, line {self.number}{named}"

    def real(self, index: int) -> float:
        """Read a word as a finite number."""
        text = self._word(index)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.damaged(f"{text!r} is not a finite number")
        return value

    def whole(self, index: int) -> int:
        """Read a word as a whole number."""
        text = self._word(index)
        try:
            return int(text)
        except ValueError:
            raise self.damaged(f"{text!r} is not a whole number") from None

    def expect(self, least: int, most: int | None = None) -> None:
        """Refuse a line with too few or too many words after the first."""
        count = len(self.words) - 1
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"{least} to {most}" if most else f"{least}+"
            raise self.damaged(f"{count} values after the keyword, where {wanted} are expected")

    def _word(self, index: int) -> str:
        if index >= len(self.words):
            raise self.damaged(f"it ends after {len(self.words)} words")
        return self.words[index]


def read_lines(path: str | os.PathLike[str], comment: str = "") -> Iterator[Line]:
    """Read the lines of a file that are not empty once comments are cut off.

    Parameters
    ----------
    path : path
        The file; bytes that are not UTF-8 matter in comments only and are replaced.
    comment : str, default ''
        What begins a comment; nothing by default.
    """
    name = os.fspath(path)
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            words = (text.split(comment, 1)[0] if comment else text).split()
            if words:
                yield Line(name, number, tuple(words))
