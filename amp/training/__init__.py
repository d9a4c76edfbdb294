"""Training: images, descriptor and model joined, optimized, and saved."""

from amp.training.files import RunFiles
from amp.training.potentials import read_potential, write_potential
from amp.training.trainer import TrainingSet, prepare, train

__all__ = ["RunFiles", "TrainingSet", "prepare", "read_potential", "train", "write_potential"]
