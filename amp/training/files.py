"""The files of a training run, by their names and by what may be overwritten."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from amp.core.errors import OutputExistsError, OutputWriteError
from amp.core.logs import make_filename

__all__ = ["RunFiles"]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Names of the files that a training with this label writes."""

    label: str

    @property
    def log(self) -> str:
        """Log of the run."""
        return self._name("-log.txt")

    @property
    def running(self) -> str:
        """Kept while a training runs, so that no other uses the label; names process and host."""
        return self._name("-running")

    @property
    def initial(self) -> str:
        """Parameters before training."""
        return self._name("-initial-parameters.amp")

    @property
    def checkpoint(self) -> str:
        """Latest check point."""
        return self._name("-checkpoint.amp")

    @property
    def derivatives(self) -> str:
        """Derivatives of the fingerprints, if they are kept on disk, while a training runs."""
        return self._name("-derivatives.bin")

    @property
    def trained(self) -> str:
        """Potential of a training that converged."""
        return self._name(".amp")

    @property
    def untrained(self) -> str:
        """Best parameters of a training that did not converge."""
        return self._name("-untrained-parameters.amp")

    def numbered_checkpoint(self, step: int) -> str:
        """Check point of one step, for runs that keep all."""
        return str(Path(self._name("-checkpoints")) / f"{step}.amp")

    def latest_checkpoint(self) -> str:
        """Name the check point to go on from: the latest one, or the highest numbered one."""
        numbered = [
            path for path in Path(self._name("-checkpoints")).glob("*.amp") if path.stem.isdigit()
        ]
        if numbered and not Path(self.checkpoint).exists():
            return str(max(numbered, key=lambda path: int(path.stem)))
        return self.checkpoint

    def prepare(self, overwrite: bool) -> None:
        """Make the label's folder and refuse to touch finished work.

        Parameters
        ----------
        overwrite : bool
            Existing files may be replaced.

        Raises
        ------
        OutputExistsError
            If there are results and `overwrite` is not set.
        OutputWriteError
            If the folder cannot be made or written.
        """
        self.make_folder()
        if overwrite:
            return
        resumable = Path(self.latest_checkpoint()).exists()
        for path in (self.trained, self.untrained):
            if Path(path).exists() and not (path == self.untrained and resumable):
                raise OutputExistsError(
                    f"{path} exists already, and training would replace it. Load it with "
                    "Amp.load(), use another label, or train with overwrite=True."
                )

    def remove_checkpoints(self) -> None:
        """Remove what a training that starts anew must not go on from."""
        numbered = Path(self._name("-checkpoints")).glob("*.amp")
        for file in (Path(self.checkpoint), Path(self.untrained), *numbered):
            file.unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Remove what a killed run left behind; only while the label is held."""
        Path(self.derivatives).unlink(missing_ok=True)
        for name in (self.initial, self.checkpoint, self.trained, self.untrained):
            path = Path(name)
            for leftover in path.parent.glob(f".{glob.escape(path.name[:100])}.*.tmp"):
                leftover.unlink(missing_ok=True)

    def make_folder(self) -> None:
        """Make the label's folder.

        Raises
        ------
        OutputWriteError
            If it cannot be made or written.
        """
        folder = Path(self.log).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputWriteError(
                f"The folder {folder} of the label {self.label!r} cannot be made: "
                f"{error.strerror}. Use a label in a folder that you can write."
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputWriteError(
                f"The folder {folder.resolve()} of the label {self.label!r} cannot be written. "
                "Use a label in a folder that you can write."
            )

    def _name(self, ending: str) -> str:
        name = make_filename(self.label, ending)
        assert name is not None
        return name
