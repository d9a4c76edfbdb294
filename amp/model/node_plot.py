"""How much each node of the networks is used: histograms of node outputs over images."""

from __future__ import annotations

from typing import Any

__all__ = ["NodePlot"]


class NodePlot:
    """placeholder being written."""

    def __init__(self, calc: Any) -> None:
        self.calc = calc
