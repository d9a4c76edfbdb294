"""Potentials and structures in the files of other codes."""

from amp.convert.n2p2 import from_n2p2
from amp.convert.n2p2_data import read_n2p2_data, write_n2p2_data

__all__ = ["from_n2p2", "read_n2p2_data", "write_n2p2_data"]
