"""Training: images, descriptor and model joined, optimized, and saved."""

from amp.training.data import Data
from amp.training.files import RunFiles
from amp.training.fingerprint_cache import FingerprintCache
from amp.training.potentials import read_potential, write_potential
from amp.training.trainer import TrainingSet, prepare, train

__all__ = [
    "Data",
    "FingerprintCache",
    "RunFiles",
    "TrainingSet",
    "prepare",
    "read_potential",
    "train",
    "write_potential",
]
