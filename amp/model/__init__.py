"""Models: from fingerprints to energies, and the loss that training makes small."""

from amp.model.base import Evaluation, Model, models
from amp.model.loss import LossFunction

__all__ = ["Evaluation", "LossFunction", "Model", "models"]
