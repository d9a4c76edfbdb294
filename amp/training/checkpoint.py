"""Check points: where a training stands, and whether it is the same training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amp.core.errors import AmpFileError, CheckpointMismatchError
from amp.core.typing import FloatArray
from amp.training.potentials import make_parts, read_potential, write_potential
from amp.training.references import Demand

__all__ = ["Checkpoint", "Identity", "identify", "read_checkpoint", "write_checkpoint"]

# Settings of a model that training itself settles, or that do not matter to what is fitted.
_SETTLED = {"weights", "scalings", "fprange", "randomseed", "version", "kind"}


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two trainings the same: descriptor, model, loss and images."""

    settings: dict[str, Any]
    n_images: int
    images: str  # digest of keys and references

    def differences(self, other: Identity) -> list[str]:
        """Name what differs in another identity (there -> here)."""
        mine, theirs = _flatten(self.settings), _flatten(other.settings)
        changed = [
            f"{name}: {theirs.get(name)} -> {mine.get(name)}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]
        if self.n_images != other.n_images:
            changed.append(f"number of images: {other.n_images} -> {self.n_images}")
        elif self.images != other.images:
            changed.append("images: as many, but not the same ones or with other references")
        return changed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training stands."""

    identity: Identity
    step: int
    vector: FloatArray  # the best parameters so far
    model: Mapping[str, Any] | None = None  # description of the model with these, when read


def identify(
    descriptor: Any,
    model: Any,
    loss: Any,
    demand: Demand,
    keys: Iterable[str],
    references: Iterable[FloatArray],
) -> Identity:
    """Describe a training so that another run can tell whether it is the same.

    Parameters
    ----------
    descriptor, model : objects with `to_dict`
    loss : LossFunction
    demand : Demand
    keys : iterable of str
        Hashes of the images.
    references : iterable of ndarray
        Arrays of reference values.
    """
    settings = {
        "descriptor": _plain(descriptor.to_dict()),
        "model": _plain(model.to_dict()),
        "loss": loss.settings(),
        "trained on": str(demand),
    }
    keys = list(keys)
    digest = hashlib.sha256("".join(keys).encode())
    for array in references:
        digest.update(np.ascontiguousarray(array).tobytes())
    return Identity(settings, len(keys), digest.hexdigest())


def write_checkpoint(
    path: str | os.PathLike[str], descriptor: Any, model: Any, checkpoint: Checkpoint
) -> None:
    """Write a check point: a potential file with the best parameters, and where it stands."""
    state = {
        "step": checkpoint.step,
        "settings": checkpoint.identity.settings,
        "n_images": checkpoint.identity.n_images,
        "images": checkpoint.identity.images,
    }
    best = type(model).from_dict(model.to_dict())
    best.vector = checkpoint.vector
    write_potential(path, descriptor, best, {"checkpoint": state})


def read_checkpoint(path: str | os.PathLike[str], identity: Identity) -> Checkpoint | None:
    """Read a check point of the same training.

    Parameters
    ----------
    path : path
    identity : Identity
        Of the training that wants to go on.

    Returns
    -------
    Checkpoint or None
        None if there is no file.

    Raises
    ------
    CheckpointMismatchError
        If it belongs to another training; the message says what differs.
    AmpFileError
        If it is damaged.
    """
    if not Path(path).exists():
        return None
    try:
        data = read_potential(path, if_damaged="")
        state = data["checkpoint"]
        there = Identity(dict(state["settings"]), int(state["n_images"]), str(state["images"]))
        step = int(state["step"])
    except (AmpFileError, KeyError, TypeError, ValueError) as error:
        raise AmpFileError(
            f"Training cannot go on from {path}, which is damaged or no check point: "
            f"{_reason(error)} Train with overwrite=True to start anew, or use another label."
        ) from error
    differences = identity.differences(there)
    if differences:
        raise CheckpointMismatchError(
            f"{path} is a check point of another training (there -> here):\n  "
            + "\n  ".join(differences)
            + "\nUse another label, put the old settings back, or train with overwrite=True."
        )
    model = make_parts(data, name=str(path))[1]
    return Checkpoint(there, step, model.vector, model.to_dict())


def _reason(error: Exception) -> str:
    """Say as a sentence what is wrong with a check point."""
    if isinstance(error, KeyError):
        return f"it has no entry {error}."
    return f"{str(error).rstrip('.')}."


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is settled by training, and say alike what means the same."""
    plain = {key: value for key, value in settings.items() if key not in _SETTLED}
    layers = plain.get("hiddenlayers")
    if isinstance(layers, Mapping) and len(set(layers.values())) == 1:
        plain["hiddenlayers"] = next(iter(layers.values()))  # a tuple for all, before training
    return plain


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Turn a tree of settings into path -> value, so that differences can be named."""
    if isinstance(tree, Mapping):
        children = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(item, (Mapping, list)) for item in tree):
        children = [(f"[{i}]", value) for i, value in enumerate(tree)]
    else:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in children:
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat
