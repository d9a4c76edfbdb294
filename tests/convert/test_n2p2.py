"""Potentials of n2p2 against its formulas, written out once more, and against its own results."""

import itertools
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from amp import Amp
from amp.convert import from_n2p2, read_n2p2_data
from amp.core.errors import AmpFileError, ParameterError
from amp.core.neighbors import neighbor_pairs
from amp.core.units import BOHR, HARTREE, HARTREE_PER_BOHR
from amp.descriptor.cutoffs import Cosine, Smoothstep, Tanh3, dict2cutoff
from amp.model.scaling import range_scaling

NUMBERS = {"H": 1, "O": 8}

# In n2p2's own order: type, radius, eta, shift, zeta, lambda, neighbors. Files have them backwards.
# Type 2: neighbor, eta, shift, radius. Types 3 and 9: neighbors, eta, lambda, zeta, radius, shift.
FUNCTIONS = {
    "H": [
        (2, "O", 0.01, 0.0, 5.0),
        (2, "H", 0.05, 1.5, 5.0),
        (2, "H", 0.004, 0.0, 5.8),
        (3, "H O", 0.02, -1.0, 1.0, 5.0, 0.0),
        (3, "H O", 0.02, 1.0, 1.0, 5.0, 0.0),
        (3, "H O", 0.02, -1.0, 4.0, 5.0, 0.0),
        (3, "O O", 0.02, 1.0, 2.0, 5.0, 1.2),
        (9, "H H", 0.03, 1.0, 3.0, 5.5, 0.0),
    ],
    "O": [
        (2, "H", 0.01, 0.0, 5.0),
        (2, "O", 0.01, 0.0, 5.0),
        (3, "H H", 0.01, 1.0, 1.0, 5.8, 0.0),
        (9, "O O", 0.01, -1.0, 2.5, 5.0, 0.0),
        (9, "H O", 0.01, 1.0, 16.0, 5.0, 0.0),
        (9, "H H", 0.01, 0.5, 1.0, 5.5, 1.0),
    ],
}

CUTOFFS = {
    1: lambda x: (math.cos(math.pi * x) + 1) / 2,
    2: lambda x: math.tanh(1 - x) ** 3,
    3: lambda x: math.tanh(1 - x) ** 3 / math.tanh(1) ** 3,
    5: lambda x: (2 * x - 3) * x**2 + 1,
    6: lambda x: ((15 - 6 * x) * x - 10) * x**3 + 1,
    7: lambda x: (x * (x * (20 * x - 70) + 84) - 35) * x**4 + 1,
    8: lambda x: (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1,
}
ACTIVATIONS = {
    "t": np.tanh,
    "l": lambda z: z,
    "s": lambda z: 1 / (1 + np.exp(-z)),
    "p": lambda z: np.log(1 + np.exp(z)),
}
SCALINGS = {
    (): lambda g, low, high, mean, sigma, a, b: g,
    ("center_symmetry_functions",): lambda g, low, high, mean, sigma, a, b: g - mean,
    ("scale_symmetry_functions",): (
        lambda g, low, high, mean, sigma, a, b: a + (b - a) * (g - low) / (high - low)
    ),
    ("scale_symmetry_functions", "center_symmetry_functions"): (
        lambda g, low, high, mean, sigma, a, b: a + (b - a) * (g - mean) / (high - low)
    ),
    ("scale_symmetry_functions_sigma",): (
        lambda g, low, high, mean, sigma, a, b: a + (b - a) * (g - mean) / sigma
    ),
}


@dataclass(frozen=True)
class Potential:
    """An n2p2 potential with random weights, its files, and what they mean."""

    functions: dict = field(default_factory=lambda: FUNCTIONS)
    cutoff: str = "1"
    scaling: tuple = ("scale_symmetry_functions", "center_symmetry_functions")
    bounds: tuple = (0.0, 1.0)
    activations: str = "t t l"
    nodes: dict = field(default_factory=lambda: {"H": (4, 3), "O": (4, 3)})
    mean_energy: float = 0.0
    conv_energy: float = 1.0
    conv_length: float = 1.0
    offsets: dict = field(default_factory=dict)
    narrow: bool = False  # one function hardly varied in training
    more: str = ""  # further lines of input.nn

    def statistics(self, element):
        """Give min, max, mean and sigma of the functions."""
        rng = np.random.default_rng(NUMBERS[element])
        n = len(self.functions[element])
        low = rng.uniform(0.0, 0.2, n)
        high = low + rng.uniform(0.2, 1.0, n)
        if self.narrow:
            high[1] = low[1] + 5e-9
        sigma = (high - low) / rng.uniform(3.0, 6.0, n)
        return np.array([low, high, (low + high) / 2.2, sigma]).T

    def weights(self, element):
        rng = np.random.default_rng(100 + NUMBERS[element])
        widths = (len(self.functions[element]), *self.nodes[element], 1)
        layers = [rng.normal(size=(a + 1, b)) for a, b in itertools.pairwise(widths)]
        if self.narrow:
            layers[0][1] *= 1e-7
        return layers

    def write(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        lines = [
            "# a potential", "number_of_elements 2", "elements O H   # any order",
            f"cutoff_type {self.cutoff}", *self.scaling, f"scale_min_short {self.bounds[0]}",
            f"scale_max_short {self.bounds[1]}", "global_hidden_layers_short 2",
            f"global_nodes_short {self.nodes['H'][0]} {self.nodes['H'][1]}",
            f"global_activation_short {self.activations}", "epochs 10", "#normalize_nodes",
        ]  # fmt: skip
        for layer in (1, 2):
            if self.nodes["O"][layer - 1] != self.nodes["H"][layer - 1]:
                lines.append(f"element_nodes_short O {layer} {self.nodes['O'][layer - 1]}")
        if self.conv_energy != 1.0:
            lines += [f"mean_energy {self.mean_energy!r}", f"conv_energy {self.conv_energy!r}",
                      f"conv_length {self.conv_length!r}"]  # fmt: skip
        lines += [f"atom_energy {symbol} {value!r}" for symbol, value in self.offsets.items()]
        for element, functions in self.functions.items():
            for function in reversed(functions):
                lines.append(f"symfunction_short {element} {' '.join(map(str, function))}")
        (folder / "input.nn").write_text("\n".join([*lines, self.more]) + "\n")
        rows = [
            f"{e} {i} " + " ".join(f"{x:.17g}" for x in row)
            for e, element in enumerate(("H", "O"), 1)
            for i, row in enumerate(self.statistics(element), 1)
        ]
        (folder / "scaling.data").write_text("# scaling\n" + "\n".join([*rows, "-1.0 2.0"]) + "\n")
        for element, number in NUMBERS.items():
            path = folder / f"weights.{number:03d}.data"
            path.write_text("".join(self._weight_lines(element)))
        return folder

    def _weight_lines(self, element):
        count = 0
        for layer, w in enumerate(self.weights(element), 1):
            for i, row in enumerate(w, 1):
                for j, value in enumerate(row, 1):
                    count += 1
                    where = f"b {count} {layer} {j}"
                    if i < len(w):
                        where = f"a {count} {layer - 1} {i} {layer} {j}"
                    yield f"{value:.17g} {where}\n"

    # -- what n2p2 computes ----------------------------------------------------------------------

    def atomic_energies(self, symbols, positions, cell):
        """Evaluate the formulas for every atom, in the units of the files."""
        return np.array([self._atom(i, symbols, positions, cell) for i in range(len(symbols))])

    def _atom(self, i, symbols, positions, cell):
        element = symbols[i]
        neighbors = list(self._neighbors(i, symbols, positions, cell))
        values = [self._function(f, neighbors) for f in self.functions[element]]
        scale = SCALINGS[self.scaling]
        x = np.array(
            [
                scale(g, *row, *self.bounds)
                for g, row in zip(values, self.statistics(element), strict=True)
            ]
        )
        for letter, w in zip(self.activations.split(), self.weights(element), strict=True):
            x = ACTIVATIONS[letter](x @ w[:-1] + w[-1])
        return x[0] / self.conv_energy + self.mean_energy + self.offsets.get(element, 0.0)

    def _neighbors(self, i, symbols, positions, cell):
        shifts = [np.zeros(3)]
        if cell is not None:
            shifts = [np.array(n) @ cell for n in itertools.product(range(-2, 3), repeat=3)]
        for shift in shifts:
            for symbol, position in zip(symbols, positions, strict=True):
                vector = position + shift - positions[i]
                if 1e-9 < np.linalg.norm(vector) < 5.8:
                    yield symbol, vector

    def _function(self, function, neighbors):
        kind = int(self.cutoff.split()[0])

        def radial(vector, eta, shift, rc):
            r = np.linalg.norm(vector)
            return math.exp(-eta * (r - shift) ** 2) * CUTOFFS[kind](r / rc) if r < rc else 0.0

        if function[0] == 2:
            _, seen, eta, shift, rc = function
            return sum(radial(v, eta, shift, rc) for symbol, v in neighbors if symbol == seen)
        number, pair, eta, lam, zeta, rc, shift = function
        total = 0.0
        for (s, a), (t, b) in itertools.combinations(neighbors, 2):
            if sorted((s, t)) == pair.split():
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                product = radial(a, eta, shift, rc) * radial(b, eta, shift, rc)
                if number == 3:
                    product *= radial(b - a, eta, shift, rc)
                total += max(1 + lam * cosine, 0.0) ** zeta * product
        return 2 ** (1 - zeta) * total


SYMBOLS = ["O", "H", "H", "O"]
POSITIONS = np.array([[0.2, 0.1, 0.0], [1.9, 0.3, 0.4], [-0.5, 1.8, 0.2], [0.9, -0.4, 4.4]])  # bohr
CELL = np.array([[6.6, 0.0, 0.0], [0.5, 6.9, 0.0], [-0.4, 0.3, 7.3]])
UNITS = {("bohr", "hartree"): (BOHR, HARTREE), ("Angstrom", "eV"): (1.0, 1.0)}


def agree(potential, folder, periodic=False, units=("bohr", "hartree")):
    """Check energies, atomic energies and forces of Amp against the formulas."""
    length, energy = UNITS[units]
    cell = CELL if periodic else None
    expected = potential.atomic_energies(SYMBOLS, POSITIONS, cell)
    atoms = Atoms(SYMBOLS, positions=POSITIONS * length)
    if periodic:
        atoms.set_cell(CELL * length)
        atoms.pbc = True
    atoms.calc = from_n2p2(potential.write(folder), units=units)
    assert_allclose(atoms.get_potential_energies() / energy, expected, rtol=1e-11, atol=1e-12)
    assert_allclose(atoms.get_potential_energy() / energy, expected.sum(), rtol=1e-11)
    assert np.abs(expected).max() > 0.01
    forces = atoms.get_forces() / (energy / length)
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        assert forces[atom, axis] == pytest.approx(
            -slope(potential, cell, atom, axis), rel=1e-7, abs=1e-8
        )
    return atoms


def slope(potential, cell, atom, axis, step=1e-3):
    """Differentiate the energy of the formulas, to fourth order."""

    def energy(shift):
        positions = POSITIONS.copy()
        positions[atom, axis] += shift
        return potential.atomic_energies(SYMBOLS, positions, cell).sum()

    near, far = (energy(k * step) - energy(-k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("cutoff", [*map(str, CUTOFFS), "2 0.5", "1 0.0"])
def test_cutoffs_are_those_of_n2p2(cutoff, tmp_path):
    agree(Potential(cutoff=cutoff), tmp_path / "potential")


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 1.5)])
@pytest.mark.parametrize("scaling", SCALINGS, ids=" ".join)
def test_functions_are_scaled_as_in_n2p2(scaling, bounds, tmp_path):
    agree(Potential(scaling=scaling, bounds=bounds), tmp_path / "potential")


@pytest.mark.parametrize("scaling", list(SCALINGS)[1:], ids=" ".join)
def test_scaling_that_no_range_gives_is_kept_too(scaling, tmp_path):
    agree(Potential(scaling=scaling, narrow=True), tmp_path / "narrow")
    agree(Potential(scaling=scaling, bounds=(1.0, -1.0)), tmp_path / "upside-down")


def test_neighbors_in_periodic_images_count(tmp_path):
    agree(Potential(cutoff="6"), tmp_path / "potential", periodic=True)


def test_normalization_and_energy_offsets_are_undone(tmp_path):
    potential = Potential(mean_energy=-2.5, conv_energy=240.0, conv_length=5.8)
    agree(potential, tmp_path / "normalized")
    offsets = {"H": -0.45, "O": -74.9}
    agree(replace(potential, offsets=offsets), tmp_path / "both")
    agree(Potential(offsets=offsets), tmp_path / "offsets")


@pytest.mark.parametrize("letters", ["s s l", "p p l", "l l l", "t t t", "s s s"])
def test_activations_are_those_of_n2p2(letters, tmp_path):
    agree(Potential(activations=letters), tmp_path / "potential")


def test_elements_may_have_layers_of_their_own(tmp_path):
    potential = Potential(nodes={"H": (4, 3), "O": (4, 6)})
    atoms = agree(potential, tmp_path / "potential")
    assert atoms.calc.model.parameters.hiddenlayers == {"H": (4, 3), "O": (4, 6)}


def test_other_units_can_be_named(tmp_path):
    agree(Potential(), tmp_path / "potential", units=("Angstrom", "eV"))


def test_potential_is_saved_and_loaded_like_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atoms = agree(Potential(cutoff="8"), tmp_path / "potential")
    forces = atoms.get_forces()
    atoms.calc.save("converted.amp")
    atoms.calc = Amp.load("converted.amp")
    assert_allclose(atoms.get_forces(), forces, rtol=1e-13, atol=1e-14)
    assert from_n2p2(tmp_path / "potential", label="water").label == "water"


def test_functions_are_described_in_the_words_of_amp(tmp_path):
    for cutoff, function in (("1", Cosine), ("3", Tanh3), ("7", Smoothstep)):
        calc = from_n2p2(Potential(cutoff=cutoff).write(tmp_path / "potential"))
        p = calc.descriptor.parameters
        assert dict2cutoff(p.cutoff) == function(5.8 * BOHR)
        assert p.Gs["H"][3] == {
            "type": "G4", "elements": ["H", "O"], "eta": 0.02 * 5.0**2, "offset": 0.0,
            "gamma": -1.0, "zeta": 1.0, "cutoff": function(5.0 * BOHR).todict(),
        }  # fmt: skip
        assert p.Gs["H"][2] == {"type": "G2", "element": "H", "eta": 0.004 * 5.8**2, "offset": 0.0}
        assert [f["type"] for f in p.Gs["O"]] == ["G2", "G2", "G4", "G5", "G5", "G5"]


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("normalize_nodes", r"line 34 \(normalize_nodes\): weighted sums"),
        ("nnp_type 4G-HDNNP", "type 4G-HDNNP are not supported"),
        ("element_activation_short H s s l", "activations of single elements"),
        ("use_electrostatics", "electrostatics are not supported"),
        (
            "symfunction_short H 12 0.01 0.0 6.0",
            "line 34 .symfunction_short.: functions of type 12",
        ),
        ("symfunction_short H 3 O H 0.2 -1.0 0.5 6.0", "zeta is 0.5"),
    ],
)
def test_what_amp_does_not_have_is_refused_by_line_and_keyword(line, message, tmp_path):
    folder = Potential(more="\n" * 6 + line).write(tmp_path / "potential")
    with pytest.raises(ParameterError, match=message) as refusal:
        from_n2p2(folder)
    assert "input.nn" in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("cutoff_type 1", "cutoff_type 4", ParameterError, "cutoff type 4 is not supported"),
        ("cutoff_type 1", "cutoff_type 0", ParameterError, "cutoff type 0"),
        ("cutoff_type 1", "cutoff_type 1 0.2", ParameterError, r"alpha = 0.2\) is not supported"),
        ("cutoff_type 1", "cutoff_type one", AmpFileError, "'one' is not a whole number"),
        ("cutoff_type 1", "", AmpFileError, "has no line cutoff_type"),
        ("cutoff_type 1", "cutoff_type", AmpFileError, "0 values after the keyword"),
        ("t t l", "t s l", ParameterError, "different activations"),
        ("t t l", "t t s", ParameterError, "the output is linear or"),
        ("t t l", "r r l", ParameterError, "activation 'r' is not supported"),
        ("t t l", "t l", AmpFileError, "2 values after the keyword, where 3"),
        ("layers_short 2", "layers_short 0", ParameterError, "without a hidden layer"),
        ("nodes_short 4 3", "nodes_short 4", AmpFileError, "global_nodes_short.: 1 values"),
        ("nodes_short 4 3", "nodes_short 0 3", AmpFileError, "one node or more"),
        ("epochs 10", "element_nodes_short H 3 4", AmpFileError, "no hidden layer 3"),
        ("elements O H", "elements O Hh", AmpFileError, "O Hh are not different chemical"),
        ("elements O H", "elements O", AmpFileError, "2 elements are announced"),
        ("epochs 10", "atom_energy C -1.0", AmpFileError, "'C' is not among the elements H O"),
        ("epochs 10", "conv_energy -1.0", AmpFileError, "-1 is not positive"),
        ("epochs 10", "cutoff_type 2", AmpFileError, "it was given before, in line 4"),
        ("epochs 10", "scale_symmetry_functions_sigma", AmpFileError, "excludes scale_symmetry"),
        ("2 H 0.004 0.0 5.8", "2 H 0.004 0.0", AmpFileError, "5 values .* 6 are expected"),
        ("2 H 0.004 0.0 5.8", "2 H 0.004 x 5.8", AmpFileError, "'x' is not a finite number"),
        ("2 H 0.004 0.0 5.8", "2 H 0.05 1.5 5.0", AmpFileError, "the same function is in line"),
        ("2 H 0.004 0.0 5.8", "2 H 0.004 0.0 -1", AmpFileError, "the radius -1"),
        ("symfunction_short O", "# O", AmpFileError, "no line symfunction_short for O"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_line(old, new, error, message, tmp_path):
    folder = Potential().write(tmp_path / "potential")
    damage(folder / "input.nn", old, new)
    with pytest.raises(error, match=message):
        from_n2p2(folder)


def damage(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", ["input.nn", "scaling.data", "weights.008.data"])
def test_missing_files_are_named(name, tmp_path):
    folder = Potential().write(tmp_path / "potential")
    (folder / name).unlink()
    with pytest.raises(AmpFileError, match=f"no {name} in .*potential"):
        from_n2p2(folder)


def test_scaling_data_is_not_needed_without_scaling(tmp_path):
    folder = Potential(scaling=()).write(tmp_path / "potential")
    (folder / "scaling.data").unlink()
    assert from_n2p2(folder).descriptor.elements == ("H", "O")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: lines[:-2] + lines[-1:],
            r"no line for element 2 \(O\), symmetry function 6",
        ),
        (lambda lines: [*lines, "2 7 0.0 1.0 0.5 0.2"], "line 17: input.nn has no such element"),
        (lambda lines: [*lines, lines[3]], "line 17: the same function is in line 4"),
        (lambda lines: [*lines, "2 7 0.0 1.0"], "line 17: 4 columns"),
        (lambda lines: ["1 1 0.5 0.5 0.5 0.0", *lines[2:]], "line 1: the range .* is 0"),
        (lambda lines: ["1 1 0.5 nan 0.5 0.0", *lines[2:]], "line 1: 'nan' is not a finite"),
    ],
)
def test_damaged_scaling_data_is_refused_by_line(change, message, tmp_path):
    folder = Potential().write(tmp_path / "potential")
    path = folder / "scaling.data"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(AmpFileError, match=message):
        from_n2p2(folder)


def test_five_columns_of_scaling_data_are_enough_unless_sigma_is_needed(tmp_path):
    for scaling, error in ((("scale_symmetry_functions",), None), (list(SCALINGS)[-1], "5 words")):
        folder = Potential(scaling=scaling).write(tmp_path / "potential")
        path = folder / "scaling.data"
        rows = [line.split() for line in path.read_text().splitlines()[1:]]
        path.write_text("\n".join(" ".join(row[:5]) for row in rows))
        if error is None:
            from_n2p2(folder)
        else:
            with pytest.raises(AmpFileError, match=error):
                from_n2p2(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "ends in the weights of layer 3, which has 3 inputs"),
        (lambda lines: [*lines, "0.5 b 60 3 2"], "line 56: there should be no more; .* 55 weights"),
        (lambda lines: ["x a 1 0 1 1 1", *lines[1:]], "line 1 .x.: 'x' is not a finite number"),
        (
            lambda lines: [lines[1], lines[0], *lines[2:]],
            "line 1: it is for a 0 1 1 2, where a 0 1",
        ),
    ],
)
def test_damaged_weights_are_refused_by_line(change, message, tmp_path):
    folder = Potential().write(tmp_path / "potential")
    path = folder / "weights.001.data"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(AmpFileError, match=message):
        from_n2p2(folder)


def test_weights_without_labels_are_read_in_their_order(tmp_path):
    folder = Potential().write(tmp_path / "potential")
    before = from_n2p2(folder).model.vector
    for path in folder.glob("weights.*"):
        path.write_text("\n".join(line.split()[0] for line in path.read_text().splitlines()))
    assert_allclose(from_n2p2(folder).model.vector, before, rtol=0)


@pytest.mark.parametrize("units", [("bohr", "calorie"), ("bohr",), "bohr", (1.0, 2.0), None])
def test_units_must_be_a_pair_of_known_names(units, tmp_path):
    with pytest.raises(ParameterError, match="units is a pair of length"):
        from_n2p2(tmp_path, units=units)


# -- n2p2's own results --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def water(shared_path):
    """The published potential for water, its structures, and what n2p2 computed from them."""
    folder = shared_path / "conformance" / "n2p2" / "H2O_RPBE-D3"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    images = read_n2p2_data(folder / "input.data")
    with np.load(folder / "expected.npz") as archive:
        return folder, from_n2p2(folder), images, dict(archive)


def largest(difference, values):
    return np.abs(difference).max() / np.abs(values).max()


def test_scaled_functions_are_those_that_n2p2_computed(water):
    _, calc, images, expected = water
    for i, atoms in enumerate(images):
        pairs = neighbor_pairs(atoms, calc.descriptor.cutoff)
        fingerprints = calc.descriptor.fingerprint(pairs, atoms.numbers)
        for s, element in enumerate(fingerprints.layout.elements):
            factor, shift = range_scaling(calc.model.parameters.fprange[element])
            scaled = factor * fingerprints.of_element(s) + shift
            wanted = expected[f"{i}/scaled_symmetry_functions"][atoms.symbols == element]
            assert np.isnan(wanted[:, scaled.shape[1] :]).all()
            assert largest(scaled - wanted[:, : scaled.shape[1]], scaled) < 1e-12


def test_energies_and_forces_are_those_that_n2p2_computed(water):
    _, calc, images, expected = water
    for i, image in enumerate(images):
        atoms = Atoms(image.symbols, image.positions, cell=image.cell, pbc=True, calculator=calc)
        assert list(atoms.symbols) == list(expected[f"{i}/elements"])
        wanted = float(expected[f"{i}/energy"])
        assert atoms.get_potential_energy() / HARTREE == pytest.approx(wanted, rel=1e-14)
        forces = expected[f"{i}/forces"]
        assert largest(atoms.get_forces() / HARTREE_PER_BOHR - forces, forces) < 1e-12
        scalings = calc.model.parameters.scalings
        intercepts = [scalings[symbol]["intercept"] for symbol in atoms.symbols]
        atomic = expected[f"{i}/atomic_energies"]  # without mean energy
        found = (atoms.get_potential_energies() - intercepts) / HARTREE
        assert largest(found - atomic, atomic) < 1e-11


def test_functions_have_the_order_that_n2p2_lists(water):
    folder, calc, _, _ = water
    listed: dict[str, list] = {"H": [], "O": []}
    for line in (folder / "symmetry_functions.txt").read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[0].isdigit():
            rest = words[5:] if words[2] == "3" else ["", *words[5:]]
            numbers = [float(word) for word in rest[1:4]]
            listed[words[1]].append((words[2], {words[4], rest[0]} - {""}, numbers))
    for element, functions in listed.items():
        Gs = calc.descriptor.parameters.Gs[element]
        assert len(Gs) == len(functions)
        for G, (kind, seen, (eta, shift, rc)) in zip(Gs, functions, strict=True):
            assert G["type"] == {"2": "G2", "3": "G4"}[kind]
            assert set(G.get("elements", [G.get("element")])) == seen
            assert G["eta"] == pytest.approx(eta * rc**2, rel=1e-12)
            assert G["offset"] == pytest.approx(shift * BOHR, rel=1e-12)
