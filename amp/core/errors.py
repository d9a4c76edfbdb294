"""The exceptions that Amp raises on purpose.

Each derives from `AmpError`, so that ``except AmpError`` catches all of them, and from the
built-in exception that a caller would expect in its place.
"""

__all__ = [
    "AmpError",
    "AmpFileError",
    "CalculationError",
    "CalculatorInUseError",
    "CheckpointMismatchError",
    "ConflictingImagesError",
    "ConvergenceOccurred",
    "DamagedMemberError",
    "DatabaseLockError",
    "ImageError",
    "InsufficientMemoryError",
    "IterationLimitReached",
    "LabelInUseError",
    "MissingDataError",
    "OutputExistsError",
    "OutputWriteError",
    "ParameterError",
    "TrainingConvergenceError",
    "UnknownNameError",
    "UnsupportedElementError",
    "WrongTypeError",
]


class AmpError(Exception):
    """The common base of everything that Amp raises on purpose."""


class ConvergenceOccurred(AmpError):
    """The convergence targets of a loss function are met; regressors catch this."""


class IterationLimitReached(AmpError):
    """A loss function has been evaluated as often as its settings allow; regressors catch it."""


class TrainingConvergenceError(AmpError, RuntimeError):
    """Training ended before its convergence targets were met."""


class MissingDataError(AmpError, ValueError):
    """Images lack energies, forces or another quantity that is to be trained on."""


class ImageError(AmpError, ValueError):
    """A structure cannot be used: NaN positions, atoms on top of each other, no images."""


class UnsupportedElementError(AmpError, ValueError):
    """An image contains elements that the potential does not know."""


class ConflictingImagesError(AmpError, ValueError):
    """The same structure occurs with different energies or forces."""


class ParameterError(AmpError, ValueError):
    """Settings that cannot be used, such as hidden layers or weights of a wrong shape."""


class WrongTypeError(AmpError, TypeError):
    """Something is of a type that cannot be used, such as a name that is no text."""


class InsufficientMemoryError(AmpError, MemoryError):
    """What is to be done does not fit in memory; told before the work begins."""


class AmpFileError(AmpError, ValueError):
    """A file is no potential, is broken, or comes from a newer version."""


class DamagedMemberError(AmpError, ValueError):
    """A member of a database's archive is not as it was written; its value is not to be had."""


class DatabaseLockError(AmpError, TimeoutError):
    """Another program works on a database for too long, or its file system has no locks."""


class DamagedDataError(AmpError, ValueError):
    """Encoded data are cut, altered or in a form that is not known; nothing of them is used."""


class OutputExistsError(AmpError, FileExistsError):
    """A file that would be written exists already and may not be overwritten."""


class LabelInUseError(AmpError, RuntimeError):
    """Another training that is still running writes files with the same label."""


class OutputWriteError(AmpError, OSError):
    """A file or folder of a run cannot be written."""


class CheckpointMismatchError(AmpError, ValueError):
    """A checkpoint does not belong to the run that is to be resumed."""


class CalculatorInUseError(AmpError, RuntimeError):
    """A calculator is used by two threads at once, which would mix up their results."""


class CalculationError(AmpError, RuntimeError):
    """Some of many calculations failed; what the others gave is kept."""


class UnknownNameError(AmpError, KeyError):
    """A part was asked for by a name that is not registered."""

    def __str__(self) -> str:
        """Return the message itself; `KeyError` would put it in quotation marks."""
        return str(self.args[0]) if len(self.args) == 1 else str(self.args)
