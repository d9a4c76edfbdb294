"""The names that Amp users know, from the rooms in which they live."""

from amp.core.errors import ConvergenceOccurred, MissingDataError, TrainingConvergenceError
from amp.core.images import (
    MetaDict,
    check_images,
    enforce_magnetic_moments,
    extract_an_atomic_chunk,
    get_hash,
    hash_images,
    randomize_images,
)
from amp.core.importer import importer
from amp.core.logs import Logger, logo, make_filename, now
from amp.core.serialization import string2dict
from amp.database import FileDatabase
from amp.model.neuralnetwork import get_overfit_mask
from amp.training.data import Data

__all__ = [
    "ConvergenceOccurred",
    "Data",
    "FileDatabase",
    "Logger",
    "MetaDict",
    "MissingDataError",
    "TrainingConvergenceError",
    "check_images",
    "enforce_magnetic_moments",
    "extract_an_atomic_chunk",
    "get_hash",
    "get_overfit_mask",
    "hash_images",
    "importer",
    "logo",
    "make_filename",
    "now",
    "randomize_images",
    "string2dict",
]
