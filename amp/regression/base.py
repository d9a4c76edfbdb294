"""What an optimizer may know of the thing it optimizes."""

from __future__ import annotations

from typing import Protocol

from amp.core.typing import FloatArray

__all__ = ["Problem"]


class Problem(Protocol):
    """A function of a vector, with its gradient."""

    vector: FloatArray  # where to start

    def get_loss(self, parametervector: FloatArray) -> float:
        """Give the value; may raise to say that it is low enough."""

    def get_lossprime(self, parametervector: FloatArray) -> FloatArray:
        """Give the gradient."""
