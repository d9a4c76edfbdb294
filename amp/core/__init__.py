"""The words that all rooms share: images, neighbors, units, errors, names, texts and logs.

Only what loads at once is named here; the rest is imported from its module.
"""

from amp.core.errors import (
    AmpError,
    AmpFileError,
    CheckpointMismatchError,
    ConflictingImagesError,
    ConvergenceOccurred,
    ImageError,
    MissingDataError,
    OutputExistsError,
    ParameterError,
    TrainingConvergenceError,
    UnknownNameError,
    UnsupportedElementError,
)
from amp.core.parameters import Parameters
from amp.core.registry import Registry

__all__ = [
    "AmpError",
    "AmpFileError",
    "CheckpointMismatchError",
    "ConflictingImagesError",
    "ConvergenceOccurred",
    "ImageError",
    "MissingDataError",
    "OutputExistsError",
    "ParameterError",
    "Parameters",
    "Registry",
    "TrainingConvergenceError",
    "UnknownNameError",
    "UnsupportedElementError",
]
