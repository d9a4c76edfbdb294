"""The exceptions: what catches them, and how they read."""

import pickle

import pytest

from amp.core import errors

BUILT_IN = {
    "ConvergenceOccurred": Exception,
    "TrainingConvergenceError": RuntimeError,
    "MissingDataError": ValueError,
    "ImageError": ValueError,
    "UnsupportedElementError": ValueError,
    "ConflictingImagesError": ValueError,
    "ParameterError": ValueError,
    "InsufficientMemoryError": MemoryError,
    "AmpFileError": ValueError,
    "OutputExistsError": FileExistsError,
    "CheckpointMismatchError": ValueError,
    "UnknownNameError": KeyError,
}


def test_every_exception_is_documented_and_an_amp_error():
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.AmpError)
        assert error.__doc__


@pytest.mark.parametrize("name", BUILT_IN)
def test_exceptions_are_amp_errors_and_what_a_caller_would_expect(name):
    error = getattr(errors, name)("what happened")
    assert isinstance(error, errors.AmpError)
    assert isinstance(error, BUILT_IN[name])
    assert str(error) == "what happened"


@pytest.mark.parametrize("name", BUILT_IN)
def test_exceptions_travel_between_processes(name):
    error = pickle.loads(pickle.dumps(getattr(errors, name)("what happened")))
    assert type(error) is getattr(errors, name)
    assert str(error) == "what happened"
