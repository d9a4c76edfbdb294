"""What a potential file holds, as plain data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork
from amp.training.potentials import make_parts, read_potential

__all__ = ["describe_potential"]


def describe_potential(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a potential (.amp) file of this Amp or of Amp 1.0.1.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        `file`, `amp_version`, `format_version`, `checkpoint_step` (None unless it is a check
        point), and what descriptor and model say of themselves: `descriptor` with `kind`,
        `cutoff` (Å), `cutoff_function`, `elements` and `functions` (per element, the number of
        each type); `model` with `kind`, `hiddenlayers`, `activation`, `output`, `n_parameters`,
        `parameters` (per element, the scaling's two included) and `scalings` (eV).  Ready for JSON.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AmpFileError
        If it is damaged, of a newer version, or not a potential file.
    """
    data = read_potential(path)
    descriptor, model = make_parts(data, name=os.fspath(path))
    checkpoint = data.get("checkpoint")
    return {
        "file": os.fspath(path),
        "amp_version": data.get("amp_version"),
        "format_version": data.get("format_version"),
        "checkpoint_step": None if checkpoint is None else int(checkpoint["step"]),
        "descriptor": {"kind": data["descriptor"]["kind"], **_descriptor(descriptor)},
        "model": {"kind": data["model"]["kind"], **_model(model)},
    }


def _descriptor(descriptor: Any) -> dict[str, Any]:
    """Describe symmetry functions; of another descriptor only the kind is known."""
    if not isinstance(descriptor, Gaussian):
        return {}
    p = descriptor.parameters
    elements = p.elements or []
    functions = p.Gs if isinstance(p.Gs, Mapping) else {e: p.Gs or [] for e in elements}
    return {
        "cutoff": float(p.cutoff["kwargs"]["Rc"]),
        "cutoff_function": p.cutoff["name"],
        "elements": list(elements),
        "functions": {e: dict(Counter(g["type"] for g in functions[e])) for e in elements},
    }


def _model(model: Any) -> dict[str, Any]:
    """Describe networks; of another model only the number of parameters is known."""
    if not isinstance(model, NeuralNetwork):
        return {"n_parameters": len(model.vector)}
    p = model.parameters
    weights = p.weights or {}
    sizes = {e: sum(w.size for w in layers.values()) + 2 for e, layers in weights.items()}
    layers = p.hiddenlayers
    return {
        "hiddenlayers": {e: list(n) for e, n in layers.items()}
        if isinstance(layers, Mapping)
        else list(layers),
        "activation": p.activation,
        "output": p.output,
        "n_parameters": sum(sizes.values()),
        "parameters": sizes,
        "scalings": {
            e: {name: float(value) for name, value in scaling.items()}
            for e, scaling in (p.scalings or {}).items()
        },
    }
