"""What the settings file of an n2p2 potential, input.nn, says about prediction.

Keywords that matter for training alone are passed over.  Formulas and defaults: the documentation
of n2p2, "NNP configuration: keywords" and "Symmetry function types".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amp.convert._lines import Line, read_lines
from amp.core.elements import ATOMIC_NUMBERS
from amp.core.errors import AmpFileError

__all__ = ["Function", "Scaling", "Settings", "read_settings"]

ACTIVATIONS = {"t": "tanh", "l": "linear", "s": "sigmoid", "p": "softplus"}
CUTOFF_TYPES = (1, 2, 3, 5, 6, 7, 8)
WITHOUT_INNER_RADIUS = (2, 3)  # functions of r / rc whatever alpha is
REPEATED = {"atom_energy", "element_nodes_short", "symfunction_short"}

# What changes predictions and has no counterpart here.
UNSUPPORTED = {
    "normalize_nodes": "weighted sums divided by their number are not supported",
    "element_hidden_layers_short": "hidden layers of single elements are not supported",
    "element_activation_short": "activations of single elements are not supported",
    "global_symfunction_short": "write the functions out as symfunction_short",
    "element_symfunction_short": "write the functions out as symfunction_short",
    "use_electrostatics": "electrostatics are not supported",
    "use_vdw": "van der Waals terms are not supported",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A symmetry function in the units of the file."""

    line: Line
    element: str
    type: int  # 2, 3 or 9
    neighbors: tuple[str, ...]  # by atomic number
    eta: float
    offset: float
    gamma: float  # n2p2's lambda; 0 for type 2
    zeta: float  # 0 for type 2
    rc: float

    @property
    def place(self) -> tuple[float, ...]:
        """What the functions of an element are sorted by in scaling.data and in the weights."""
        numbers = (ATOMIC_NUMBERS[symbol] for symbol in self.neighbors)
        return (self.type, self.rc, self.eta, self.offset, self.zeta, self.gamma, *numbers)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How functions are scaled before they enter the networks."""

    by: str | None  # divided by 'range', 'sigma', or not at all
    centered: bool  # the mean is subtracted, otherwise the minimum (or nothing without `by`)
    low: float
    high: float

    @property
    def is_none(self) -> bool:
        """Whether functions stay as they are."""
        return self.by is None and not self.centered


@dataclass(frozen=True, slots=True)
class Settings:
    """All that matters for prediction, in the units of the file."""

    elements: tuple[str, ...]  # by atomic number
    functions: dict[str, list[Function]]  # sorted
    cutoff_type: int
    scaling: Scaling
    hidden: dict[str, tuple[int, ...]]
    activation: str
    output: str  # 'linear' or 'activation'
    atom_energies: dict[str, float]
    mean_energy: float
    conv_energy: float


def read_settings(path: Path) -> Settings:
    """Read input.nn.

    Raises
    ------
    AmpFileError
        If keywords are missing or lines damaged.
    ParameterError
        If the potential needs what Amp does not have.
    """
    lines = _Keywords(path)
    for keyword, why in UNSUPPORTED.items():
        line = lines.one(keyword)
        if line is not None:
            raise line.unsupported(why)
    kind = lines.one("nnp_type")
    if kind is not None and "2" not in kind.words[-1]:  # 2G-HDNNP, HDNNP_2G: the second generation
        raise kind.unsupported(f"potentials of type {kind.words[-1]} are not supported")
    elements = _elements(lines)
    activation, output, depth = _activations(lines)
    return Settings(
        elements=elements,
        functions=_functions(lines, elements),
        cutoff_type=_cutoff_type(lines),
        scaling=_scaling(lines),
        hidden=_hidden(lines, elements, depth),
        activation=activation,
        output=output,
        atom_energies=_atom_energies(lines, elements),
        mean_energy=lines.number("mean_energy", 0.0),
        conv_energy=_positive(lines, "conv_energy"),
    )


class _Keywords:
    """The lines of a settings file by keyword."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, list[Line]] = {}
        for line in read_lines(path, comment="#"):
            self.lines.setdefault(line.keyword, []).append(line)

    def all(self, keyword: str) -> list[Line]:
        return self.lines.get(keyword, [])

    def one(self, keyword: str) -> Line | None:
        """Find a keyword that may occur once."""
        lines = self.all(keyword)
        if len(lines) > 1 and keyword not in REPEATED:
            raise lines[1].damaged(f"it was given before, in line {lines[0].number}")
        return lines[0] if lines else None

    def needed(self, keyword: str) -> Line:
        line = self.one(keyword)
        if line is None:
            raise AmpFileError(f"{self.path} has no line {keyword}, which a potential needs.")
        line.expect(1)
        return line

    def number(self, keyword: str, default: float) -> float:
        line = self.one(keyword)
        return default if line is None else line.real(1)


def _elements(lines: _Keywords) -> tuple[str, ...]:
    line = lines.needed("elements")
    symbols = line.words[1:]
    strangers = [symbol for symbol in symbols if symbol not in ATOMIC_NUMBERS or symbol == "X"]
    if strangers or len(set(symbols)) != len(symbols):
        raise line.damaged(f"{' '.join(symbols)} are not different chemical symbols")
    count = lines.one("number_of_elements")
    if count is not None and count.whole(1) != len(symbols):
        raise count.damaged(
            f"{count.words[1]} elements are announced, but line {line.number} names {len(symbols)}"
        )
    return tuple(sorted(symbols, key=ATOMIC_NUMBERS.__getitem__))


def _known(line: Line, symbol: str, elements: Sequence[str]) -> str:
    if symbol not in elements:
        raise line.damaged(f"{symbol!r} is not among the elements {' '.join(elements)}")
    return symbol


def _functions(lines: _Keywords, elements: Sequence[str]) -> dict[str, list[Function]]:
    functions: dict[str, list[Function]] = {element: [] for element in elements}
    for line in lines.all("symfunction_short"):
        function = _function(line, elements)
        functions[function.element].append(function)
    for element, found in functions.items():
        if not found:
            raise AmpFileError(f"{lines.path} has no line symfunction_short for {element}.")
        found.sort(key=lambda function: function.place)
        for one, other in pairwise(found):
            if one.place == other.place:
                raise other.line.damaged(f"the same function is in line {one.line.number}")
    return functions


def _function(line: Line, elements: Sequence[str]) -> Function:
    line.expect(2)
    element, kind = _known(line, line.words[1], elements), line.whole(2)
    if kind not in (2, 3, 9):
        raise line.unsupported(f"functions of type {kind} are not supported, only 2, 3 and 9")
    if kind == 2:
        line.expect(6, 6)
        neighbors: tuple[str, ...] = (_known(line, line.words[3], elements),)
        eta, offset, rc = (line.real(i) for i in (4, 5, 6))
        gamma = zeta = 0.0
    else:
        line.expect(8, 9)
        pair = [_known(line, symbol, elements) for symbol in line.words[3:5]]
        neighbors = tuple(sorted(pair, key=ATOMIC_NUMBERS.__getitem__))
        eta, gamma, zeta, rc = (line.real(i) for i in (5, 6, 7, 8))
        offset = line.real(9) if len(line.words) > 9 else 0.0
        if zeta < 1.0:
            raise line.unsupported(f"zeta is {zeta:g}; below 1 forces are not finite")
    if eta < 0.0 or rc <= 0.0:
        raise line.damaged(f"eta {eta:g} must not be negative, and the radius {rc:g} be positive")
    return Function(line, element, kind, neighbors, eta, offset, gamma, zeta, rc)


def _cutoff_type(lines: _Keywords) -> int:
    line = lines.needed("cutoff_type")
    line.expect(1, 2)
    kind = line.whole(1)
    if kind not in CUTOFF_TYPES:
        known = ", ".join(map(str, CUTOFF_TYPES))
        raise line.unsupported(f"cutoff type {kind} is not supported, only {known}")
    inner = line.real(2) if len(line.words) > 2 else 0.0
    if inner != 0.0 and kind not in WITHOUT_INNER_RADIUS:
        raise line.unsupported(f"an inner radius (alpha = {inner:g}) is not supported, only 0")
    return kind


def _scaling(lines: _Keywords) -> Scaling:
    by_range = lines.one("scale_symmetry_functions")
    by_sigma = lines.one("scale_symmetry_functions_sigma")
    center = lines.one("center_symmetry_functions")
    if by_sigma is not None and (by_range is not None or center is not None):
        other = by_range or center
        assert other is not None
        raise by_sigma.damaged(f"it excludes {other.keyword} in line {other.number}")
    return Scaling(
        by="sigma" if by_sigma is not None else "range" if by_range is not None else None,
        centered=center is not None or by_sigma is not None,
        low=lines.number("scale_min_short", 0.0),
        high=lines.number("scale_max_short", 1.0),
    )


def _activations(lines: _Keywords) -> tuple[str, str, int]:
    """Give the activation of the hidden layers, what the output does, and how many layers."""
    count = lines.needed("global_hidden_layers_short")
    depth = count.whole(1)
    if depth < 1:
        raise count.unsupported("networks without a hidden layer are not supported")
    line = lines.needed("global_activation_short")
    line.expect(depth + 1, depth + 1)
    for letter in line.words[1:]:
        if letter not in ACTIVATIONS:
            raise line.unsupported(
                f"activation {letter!r} is not supported, only {' '.join(ACTIVATIONS)}"
            )
    *hidden, last = (ACTIVATIONS[letter] for letter in line.words[1:])
    if len(set(hidden)) > 1:
        raise line.unsupported("hidden layers with different activations are not supported")
    if last not in ("linear", hidden[0]):
        raise line.unsupported("the output is linear or has the activation of the hidden layers")
    return hidden[0], "linear" if last == "linear" else "activation", depth


def _hidden(lines: _Keywords, elements: Sequence[str], depth: int) -> dict[str, tuple[int, ...]]:
    line = lines.needed("global_nodes_short")
    line.expect(depth, depth)
    nodes = {element: [line.whole(i) for i in range(1, depth + 1)] for element in elements}
    if min(nodes[elements[0]]) < 1:
        raise line.damaged("layers have one node or more")
    for line in lines.all("element_nodes_short"):
        line.expect(3, 3)
        element, layer, count = _known(line, line.words[1], elements), line.whole(2), line.whole(3)
        if not 1 <= layer <= depth or count < 1:
            raise line.damaged(f"there is no hidden layer {layer} with {count} nodes")
        nodes[element][layer - 1] = count
    return {element: tuple(layers) for element, layers in nodes.items()}


def _atom_energies(lines: _Keywords, elements: Sequence[str]) -> dict[str, float]:
    energies = dict.fromkeys(elements, 0.0)
    for line in lines.all("atom_energy"):
        line.expect(2, 2)
        energies[_known(line, line.words[1], elements)] = line.real(2)
    return energies


def _positive(lines: _Keywords, keyword: str) -> float:
    value = lines.number(keyword, 1.0)
    if value <= 0.0:
        line = lines.needed(keyword)
        raise line.damaged(f"{value:g} is not positive")
    return value
