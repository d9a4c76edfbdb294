"""Say what potential files hold, and what Amp runs on.

Of each potential (.amp) file: descriptor, symmetry functions, networks, scalings, and the step if
it is a check point. Then the versions of Amp and of the packages it uses, and the usable cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from amp.cli.arguments import write_json

__all__ = ["add_arguments", "describe_environment", "run"]

PACKAGES = ("numpy", "scipy", "numba", "ase", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `amp info`."""
    parser.add_argument("potentials", nargs="*", metavar="POTENTIAL", help="potential file (.amp)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run `amp info`."""
    potentials = []
    if arguments.potentials:
        from amp.analysis import describe_potential

        potentials = [describe_potential(path) for path in arguments.potentials]
    environment = describe_environment()
    if arguments.json:
        write_json({"environment": environment, "potentials": potentials}, "-")
        return 0
    for potential in potentials:
        print("\n".join(_potential_lines(potential)), end="\n\n")
    print("\n".join(f"{name:<10} {value}" for name, value in environment.items()))
    return 0


def describe_environment() -> dict[str, Any]:
    """Give the versions of Amp, Python and packages (None if not installed), and usable cores."""
    import platform
    from importlib import metadata

    import amp
    from amp.core.cores import usable_cores

    versions: dict[str, Any] = {"amp": amp.__version__, "python": platform.python_version()}
    for package in PACKAGES:  # looked up, not imported: torch alone takes seconds
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {**versions, "platform": platform.platform(), "cores": usable_cores()}


def _potential_lines(potential: Mapping[str, Any]) -> list[str]:
    """Describe a potential as lines of text."""
    descriptor, model = potential["descriptor"], potential["model"]
    lines = [f"{potential['file']}"]
    rows = [("written by", f"Amp {potential['amp_version']}")]
    if potential["checkpoint_step"] is not None:
        rows.append(("check point", f"of step {potential['checkpoint_step']}"))
    rows.append(("descriptor", descriptor["kind"]))
    if "cutoff" in descriptor:
        rows.append(("cutoff", f"{descriptor['cutoff']:g} Å ({descriptor['cutoff_function']})"))
    for element, types in descriptor.get("functions", {}).items():
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items()))
        rows.append((f"  {element}", f"{sum(types.values())} symmetry functions ({parts})"))
    rows.append(("model", model["kind"]))
    if "activation" in model:
        rows.append(("activation", f"{model['activation']}, output {model['output']}"))
    rows.append(("parameters", str(model["n_parameters"])))
    rows += [(f"  {element}", text) for element, text in _networks(model).items()]
    return lines + [f"  {name:<12} {text}" for name, text in rows]


def _networks(model: Mapping[str, Any]) -> dict[str, str]:
    """Describe the network of each element."""
    layers, sizes = model.get("hiddenlayers", {}), model.get("parameters", {})
    texts = {}
    for element, n_parameters in sizes.items():
        nodes = layers[element] if isinstance(layers, Mapping) else layers
        text = f"hidden layers {' '.join(map(str, nodes))}, {n_parameters} parameters"
        scaling = model["scalings"].get(element)
        if scaling is not None:
            text += f", energy = {scaling['intercept']:.6g} {scaling['slope']:+.6g} * output (eV)"
        texts[element] = text
    return texts
