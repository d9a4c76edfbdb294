"""The names that Amp users know are where they expect them."""

import pytest

from amp import utilities

# Of Amp 1.0.1, sections "images", "exceptions", "texts, logs, names" and "smaller names".
KNOWN = [
    "ConvergenceOccurred",
    "Logger",
    "MetaDict",
    "MissingDataError",
    "TrainingConvergenceError",
    "check_images",
    "enforce_magnetic_moments",
    "extract_an_atomic_chunk",
    "get_hash",
    "hash_images",
    "importer",
    "logo",
    "make_filename",
    "now",
    "randomize_images",
    "string2dict",
]


@pytest.mark.parametrize("name", KNOWN)
def test_old_names_can_be_imported(name):
    assert name in utilities.__all__
    assert getattr(utilities, name) is not None


def test_everything_announced_is_there():
    assert all(hasattr(utilities, name) for name in utilities.__all__)


def test_the_module_only_passes_names_on():
    own = [
        name
        for name in utilities.__all__
        if getattr(getattr(utilities, name), "__module__", "") == utilities.__name__
    ]
    assert own == []
