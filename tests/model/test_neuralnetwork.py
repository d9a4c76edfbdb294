"""Neural networks: parameters, initialization, data, and what they evaluate to."""

import json
import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal

from amp import Amp
from amp.core.errors import ParameterError, UnknownNameError
from amp.core.fingerprints import Fingerprints, flat_layout
from amp.core.serialization import from_jsonable, to_jsonable
from amp.descriptor.gaussian import Gaussian
from amp.model.activations import activations
from amp.model.neuralnetwork import NeuralNetwork

LENGTHS = {"Cu": 3, "O": 2, "Pd": 4}


def random_fingerprints(compositions, elements=("Cu", "Pd"), seed=0, scale=1.0):
    """Fingerprints of images that consist of such atoms, such as ['CuCuPd', 'Pd']."""
    images = [Atoms(text).get_chemical_symbols() for text in compositions]
    species = np.array([elements.index(symbol) for image in images for symbol in image])
    ends = np.concatenate([[0], np.cumsum([len(image) for image in images])])
    lengths = np.array([LENGTHS[element] for element in elements])
    layout = flat_layout(tuple(elements), lengths, species, ends)
    rng = np.random.default_rng(seed)
    return Fingerprints(layout, rng.normal(size=layout.size) * scale)


def initialized(compositions=("CuPd", "Cu2Pd", "CuPd3"), energies=None, **settings):
    fingerprints = random_fingerprints(compositions)
    model = NeuralNetwork(**{"hiddenlayers": (3, 2), "randomseed": 5, **settings})
    energies = np.arange(float(len(compositions))) if energies is None else np.array(energies)
    model.initialize(fingerprints, energies)
    return model, fingerprints


# -- the vector ------------------------------------------------------------------------------------


def test_setting_the_vector_gives_it_back():
    model, _ = initialized()
    vector = np.random.default_rng(0).normal(size=len(model.vector))
    model.vector = vector
    assert_array_equal(model.vector, vector)


def test_getting_the_vector_and_setting_it_changes_nothing():
    model, fingerprints = initialized()
    before = model.evaluate(fingerprints).atomic_energies
    model.vector = model.vector
    assert_array_equal(model.evaluate(fingerprints).atomic_energies, before)


def test_the_order_is_elements_layers_rows_then_intercepts_and_slopes():
    model, _ = initialized(hiddenlayers={"Cu": (2,), "Pd": (3, 2)})
    model.vector = np.arange(float(len(model.vector)))
    weights, scalings = model.parameters.weights, model.parameters.scalings
    shapes = {"Cu": [(4, 2), (3, 1)], "Pd": [(5, 3), (4, 2), (3, 1)]}
    start = 0
    for element in ("Cu", "Pd"):
        for layer, shape in enumerate(shapes[element], start=1):
            size = math.prod(shape)
            expected = np.arange(start, start + size, dtype=float).reshape(shape)
            assert_array_equal(weights[element][layer], expected)
            start += size
    assert scalings["Cu"] == {"intercept": start, "slope": start + 1}
    assert scalings["Pd"] == {"intercept": start + 2, "slope": start + 3}
    assert len(model.vector) == start + 4


def test_the_order_is_alphabetical_whatever_the_order_of_the_dictionaries():
    model, _ = initialized()
    p = model.parameters
    turned = NeuralNetwork(
        hiddenlayers=(3, 2),
        weights=dict(reversed(p.weights.items())),
        scalings=dict(reversed(p.scalings.items())),
        fprange=p.fprange,
    )
    assert turned.elements == ("Cu", "Pd")
    assert_array_equal(turned.vector, model.vector)


def test_the_vector_is_a_copy():
    model, _ = initialized()
    vector = model.vector
    vector[:] = 0.0
    assert np.any(model.vector != 0.0)
    model.vector = vector
    vector[:] = 1.0
    assert np.all(model.vector == 0.0)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_vector_of_wrong_length_is_refused(change):
    model, _ = initialized()
    n = len(model.vector)
    with pytest.raises(ParameterError, match=rf"has {n} parameters; the vector .*\({n + change},"):
        model.vector = np.zeros(n + change)


def test_a_vector_with_two_axes_is_refused():
    model, _ = initialized()
    with pytest.raises(ParameterError, match="shape"):
        model.vector = model.vector[None]


def test_the_overfit_mask_marks_first_layers_without_biases():
    model, _ = initialized()
    marked = NeuralNetwork.from_dict(model.to_dict())
    marked.vector = model.overfit_mask()
    for layers in marked.parameters.weights.values():
        assert np.all(layers[1][:-1] == 1.0)
        assert np.all(layers[1][-1] == 0.0)
        assert np.all(layers[2] == 0.0)
        assert np.all(layers[3] == 0.0)
    for scaling in marked.parameters.scalings.values():
        assert scaling == {"intercept": 0.0, "slope": 0.0}


def test_without_parameters_there_is_no_vector():
    with pytest.raises(ParameterError, match="train it, load a potential, or give"):
        NeuralNetwork().vector  # noqa: B018


# -- evaluation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["linear", "activation"])
@pytest.mark.parametrize("activation", activations)
def test_energies_are_the_formula_atom_by_atom(activation, output):
    model, fingerprints = initialized(activation=activation, output=output)
    model.vector = model.vector + 0.1
    p, f = model.parameters, activations[activation]
    evaluation = model.evaluate(fingerprints)
    layout = fingerprints.layout
    for atom in range(layout.n_atoms):
        element = layout.elements[layout.species[atom]]
        a = np.array(
            [
                2.0 * (x - low) / (high - low) - 1.0
                for x, (low, high) in zip(
                    fingerprints.of_atom(atom), p.fprange[element], strict=True
                )
            ]
        )
        for layer in (1, 2, 3):
            w = p.weights[element][layer]
            z = a @ w[:-1] + w[-1]
            a = z if layer == 3 and output == "linear" else f(z)[0]
        expected = p.scalings[element]["slope"] * a[0] + p.scalings[element]["intercept"]
        assert_allclose(evaluation.atomic_energies[atom], expected, rtol=1e-12)


def test_slopes_agree_with_differences():
    model, fingerprints = initialized()
    slopes = model.evaluate(fingerprints).slopes
    for k in range(fingerprints.layout.size):
        total = []
        for step in (-2e-3, -1e-3, 1e-3, 2e-3):
            values = fingerprints.values.copy()
            values[k] += step
            moved = Fingerprints(fingerprints.layout, values)
            total.append(model.evaluate(moved).atomic_energies.sum())
        numerical = (8.0 * (total[2] - total[1]) - (total[3] - total[0])) / 12e-3
        assert_allclose(slopes[k], numerical, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("with_slopes", [False, True])
def test_gradients_agree_with_differences(with_slopes):
    model, fingerprints = initialized()
    rng = np.random.default_rng(6)
    energy_bar = rng.normal(size=fingerprints.layout.n_atoms)
    slope_bar = rng.normal(size=fingerprints.layout.size) if with_slopes else None

    def value(vector):
        evaluation = model.evaluate(fingerprints, vector)
        total = energy_bar @ evaluation.atomic_energies
        return total + (slope_bar @ evaluation.slopes if with_slopes else 0.0)

    vector = model.vector + 0.1 * rng.normal(size=len(model.vector))
    gradient = model.evaluate(fingerprints, vector).gradient(energy_bar, slope_bar)
    for k in range(len(vector)):
        shift = np.zeros_like(vector)
        shift[k] = 1e-3
        near = value(vector + shift) - value(vector - shift)
        far = value(vector + 2 * shift) - value(vector - 2 * shift)
        assert_allclose(gradient[k], (8.0 * near - far) / 12e-3, rtol=1e-6, atol=1e-8)


def test_evaluating_another_vector_leaves_the_model_as_it_is():
    model, fingerprints = initialized()
    before = model.vector
    other = model.evaluate(fingerprints, before + 1.0)
    assert_array_equal(model.vector, before)
    model.vector = before + 1.0
    assert_array_equal(model.evaluate(fingerprints).atomic_energies, other.atomic_energies)


def test_elements_that_do_not_occur_have_gradients_of_zero():
    model, _ = initialized()
    copper = random_fingerprints(["Cu2", "Cu"], elements=("Cu",))
    n_atoms, size = copper.layout.n_atoms, copper.layout.size
    gradient = model.evaluate(copper).gradient(np.ones(n_atoms), np.ones(size))
    assert gradient.shape == model.vector.shape
    named = NeuralNetwork.from_dict(model.to_dict())
    named.vector = gradient
    assert all(np.all(w == 0.0) for w in named.parameters.weights["Pd"].values())
    assert named.parameters.scalings["Pd"] == {"intercept": 0.0, "slope": 0.0}
    assert all(np.any(w != 0.0) for w in named.parameters.weights["Cu"].values())
    assert named.parameters.scalings["Cu"]["intercept"] == n_atoms


def test_an_element_without_weights_is_named():
    model, _ = initialized()
    with pytest.raises(ParameterError, match="no weights for O"):
        model.evaluate(random_fingerprints(["O"], elements=("O",)))


def test_energies_and_forces_from_lists_are_those_of_the_calculator():
    atoms = molecule("CH3OH")
    descriptor = Gaussian(4.0)
    descriptor.calculate_fingerprints({"key": atoms}, calculate_derivatives=True)
    model = NeuralNetwork(randomseed=2)
    model.initialize(descriptor.fingerprint_images({"key": atoms}), np.array([-10.0]))
    atoms.calc = Amp(descriptor, model)
    energy = model.calculate_energy(descriptor.fingerprints["key"])
    forces = model.calculate_forces(
        descriptor.fingerprints["key"], descriptor.fingerprintprimes["key"]
    )
    assert_allclose(energy, atoms.get_potential_energy(), rtol=1e-12)
    assert_allclose(forces, atoms.get_forces(), rtol=1e-10, atol=1e-12)
    assert np.abs(forces).max() > 1e-4


# -- initialization --------------------------------------------------------------------------------


def test_one_tuple_of_layers_serves_all_elements():
    model, _ = initialized(hiddenlayers=(4, 2))
    assert model.parameters.hiddenlayers == {"Cu": (4, 2), "Pd": (4, 2)}
    shapes = {e: [w.shape for w in ws.values()] for e, ws in model.parameters.weights.items()}
    assert shapes == {"Cu": [(4, 4), (5, 2), (3, 1)], "Pd": [(5, 4), (5, 2), (3, 1)]}


def test_elements_can_have_layers_of_their_own():
    model, _ = initialized(hiddenlayers={"Cu": [2], "Pd": (3, 2)})
    shapes = {e: [w.shape for w in ws.values()] for e, ws in model.parameters.weights.items()}
    assert shapes == {"Cu": [(4, 2), (3, 1)], "Pd": [(5, 3), (4, 2), (3, 1)]}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, same, other = (initialized(randomseed=seed)[0].vector for seed in (1, 1, 2))
    assert_array_equal(first, same)
    assert np.all(first[:6] != other[:6])


def test_without_a_seed_one_is_drawn_kept_and_gives_the_same_weights_again():
    model, _ = initialized(randomseed=None)
    another, _ = initialized(randomseed=None)
    again, _ = initialized(randomseed=model.parameters.randomseed)
    assert_array_equal(again.vector, model.vector)
    assert np.any(another.vector != model.vector)


def test_drawing_weights_leaves_the_global_generator_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    initialized(randomseed=None)
    assert np.random.random() == expected


def test_weights_have_the_variance_of_one_over_their_inputs_and_biases_are_zero():
    model, _ = initialized(hiddenlayers=(200, 300))
    for layers in model.parameters.weights.values():
        for w in layers.values():
            n_inputs = w.shape[0] - 1
            spread = w[:-1].size ** -0.5  # of the variance of so many uniform numbers, relative
            assert_allclose(w[:-1].var(), 1.0 / n_inputs, rtol=4.0 * spread)
            assert np.abs(w[:-1]).max() <= np.sqrt(3.0 / n_inputs)
            assert abs(w[:-1].mean()) < 4.0 * spread * n_inputs**-0.5
            assert np.all(w[-1] == 0.0)


def test_one_composition_gives_the_mean_energy_per_atom():
    model, _ = initialized(("CuPd", "CuPd", "CuPd"), energies=[1.0, 2.0, 6.0])
    s = model.parameters.scalings
    # Of all intercepts that sum up to 3 eV the smallest.
    assert_allclose([s["Cu"]["intercept"], s["Pd"]["intercept"]], [1.5, 1.5])
    expected = np.sqrt(np.mean(np.array([2.0, 1.0, 3.0]) ** 2 / 2.0))
    assert_allclose([s["Cu"]["slope"], s["Pd"]["slope"]], expected)


def test_several_compositions_give_the_least_squares_fit():
    counts = np.array([[1, 1], [2, 1], [1, 3], [4, 2]])
    energies = counts @ [-3.0, -5.0] + [0.1, -0.2, 0.1, 0.05]
    model, _ = initialized(("CuPd", "Cu2Pd", "CuPd3", "Cu4Pd2"), energies=energies)
    s = model.parameters.scalings
    fit = np.linalg.solve(counts.T @ counts, counts.T @ energies)
    assert_allclose([s["Cu"]["intercept"], s["Pd"]["intercept"]], fit, rtol=1e-10)
    residuals = energies - counts @ fit
    expected = np.sqrt(np.mean(residuals**2 / counts.sum(axis=1)))
    assert_allclose(s["Cu"]["slope"], expected, rtol=1e-10)


def test_energies_that_the_composition_explains_give_the_usual_slope():
    model, _ = initialized(("Cu", "Pd", "CuPd"), energies=[-3.0, -5.0, -8.0])
    assert model.parameters.scalings["Cu"]["slope"] == 0.1
    assert_allclose(model.parameters.scalings["Pd"]["intercept"], -5.0)


def test_a_single_image_and_equal_energies_give_the_usual_slope():
    for energies in ([-4.0], [-4.0, -4.0]):
        for prescale in (True, False):
            model, _ = initialized(["CuPd"] * len(energies), energies, prescale=prescale)
            assert model.parameters.scalings["Cu"]["slope"] == 0.1
            assert_allclose(model.parameters.scalings["Cu"]["intercept"], -2.0)


def test_without_prescale_all_elements_get_middle_and_half_range_per_atom():
    model, _ = initialized(("Cu2", "CuPd", "Pd4"), energies=[2.0, -1.0, 20.0], prescale=False)
    per_atom = [1.0, -0.5, 5.0]
    middle, half = 0.5 * (max(per_atom) + min(per_atom)), 0.5 * (max(per_atom) - min(per_atom))
    for scaling in model.parameters.scalings.values():
        assert_allclose([scaling["intercept"], scaling["slope"]], [middle, half])


@pytest.mark.parametrize("prescale", [True, False])
def test_unknown_energies_are_left_out(prescale):
    known, _ = initialized(("CuPd", "Cu2Pd"), energies=[1.0, 5.0], prescale=prescale)
    some, _ = initialized(
        ("CuPd", "Cu3Pd", "Cu2Pd"), energies=[1.0, np.nan, 5.0], prescale=prescale
    )
    assert some.parameters.scalings == known.parameters.scalings


@pytest.mark.parametrize("prescale", [True, False])
def test_without_any_energy_the_scalings_are_finite(prescale):
    model, _ = initialized(("CuPd",), energies=[np.nan], prescale=prescale)
    assert model.parameters.scalings["Cu"] == {"intercept": 0.0, "slope": 0.1}


def test_an_element_that_no_image_has_gets_finite_parameters():
    model, _ = initialized(("Cu", "Cu2"), energies=[-3.0, -7.0])
    assert np.all(np.isfinite(model.vector))
    assert model.parameters.fprange["Pd"] == [(0.0, 0.0)] * LENGTHS["Pd"]


def test_parameters_that_were_given_are_kept():
    model, _ = initialized()
    p = model.parameters
    given = NeuralNetwork(
        hiddenlayers=(3, 2), weights=p.weights, scalings=p.scalings, fprange=p.fprange
    )
    given.initialize(random_fingerprints(["Cu3Pd2"], seed=9), np.array([77.0]))
    assert_array_equal(given.vector, model.vector)
    assert given.parameters.fprange == p.fprange


def test_initializing_twice_changes_nothing():
    model, fingerprints = initialized()
    before = model.to_dict()
    model.initialize(fingerprints, np.array([9.0, 9.0, 0.0]))
    assert json.dumps(to_jsonable(model.to_dict())) == json.dumps(to_jsonable(before))


# -- wrong settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hiddenlayers", [5, (), (0,), (3, -1), (2.5,), "55", (None,), [[3]], {"Cu": ()}, (np.inf,)]
)
def test_hidden_layers_that_are_none_are_refused(hiddenlayers):
    with pytest.raises(ParameterError, match=r"hiddenlayers is a tuple of positive whole numbers"):
        NeuralNetwork(hiddenlayers=hiddenlayers)


def test_hidden_layers_that_lack_an_element_are_refused():
    with pytest.raises(ParameterError, match=r"hiddenlayers .* lack Pd.*Add hiddenlayers\['Pd'\]"):
        initialized(hiddenlayers={"Cu": (3, 2)})


@pytest.mark.parametrize("name", ["weights", "scalings", "fprange"])
def test_given_parameters_that_lack_an_element_are_refused(name):
    p = initialized()[0].parameters
    given = {name: {"Cu": p[name]["Cu"]}}
    with pytest.raises(ParameterError, match=f"{name} of the neural network lack Pd"):
        initialized(**given)


@pytest.mark.parametrize(
    ("layer", "shape"), [(1, (4, 4)), (1, (3, 3)), (2, (3, 2)), (2, (4, 3)), (3, (3, 2))]
)
def test_weights_of_a_wrong_shape_are_refused(layer, shape):
    p = initialized()[0].parameters
    weights = {"Cu": {**p.weights["Cu"], layer: np.zeros(shape)}, "Pd": p.weights["Pd"]}
    expected = rf"weights\['Cu'\]\[{layer}\] has shape \({shape[0]}, {shape[1]}\), but must be"
    with pytest.raises(ParameterError, match=expected):
        NeuralNetwork((3, 2), weights=weights, scalings=p.scalings, fprange=p.fprange)


def test_weights_for_another_number_of_functions_are_refused_with_the_fingerprints():
    p = initialized()[0].parameters
    weights = {"Cu": {**p.weights["Cu"], 1: np.zeros((9, 3))}, "Pd": p.weights["Pd"]}
    with pytest.raises(ParameterError, match=r"\(9, 3\), but must be \(3 \+ 1, 3\)"):
        initialized(weights=weights)


def test_too_few_layers_are_refused():
    p = initialized()[0].parameters
    weights = {e: {1: layers[1], 2: layers[3]} for e, layers in p.weights.items()}
    with pytest.raises(ParameterError, match=r"layers \[1, 2\], but hiddenlayers \(3, 2\) need"):
        NeuralNetwork((3, 2), weights=weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    p = initialized()[0].parameters
    p.weights["Pd"][2][0, 0] = value
    with pytest.raises(ParameterError, match=r"weights\['Pd'\]\[2\] has values.* not finite"):
        NeuralNetwork((3, 2), weights=p.weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": [1.0]}, "weights must be a dict, not list"),
        ({"weights": {"Cu": 1.0}}, r"weights\['Cu'\] must be a dict"),
        ({"weights": {"Cu": {1: [1.0]}}}, r"must be \(inputs \+ 1, outputs\)"),
        ({"weights": {"Cu": {1: [[1.0], [1.0, 2.0]]}}}, "must be an array of numbers"),
        ({"weights": {"Cu": {"first": [[1.0]]}}}, "layers are numbered"),
        ({"scalings": 3.0}, "scalings must be a dict"),
        ({"scalings": {"Cu": {"slope": 1.0}}}, r"scalings\['Cu'\] must be .*'intercept'"),
        ({"scalings": {"Cu": {"slope": 1.0, "intercept": np.nan}}}, "not finite"),
        ({"scalings": {"Cu": {"slope": [1.0], "intercept": 0.0}}}, "has shape"),
        ({"fprange": {"Cu": [1.0, 2.0]}}, "list of pairs"),
        ({"fprange": {"Cu": [(2.0, 1.0)]}}, "list of pairs"),
        ({"fprange": {"Cu": [(0.0, np.inf)]}}, "not finite"),
        ({"hiddenlayers": {"Cu": (2,), "Xy": (2,)}}, "hiddenlayers is a dict .*'Xy' is none"),
        ({"hiddenlayers": {29: (2,)}}, "hiddenlayers is a dict .*29 is none"),
        ({"weights": {"cu": {1: [[1.0]]}}}, "weights is a dict .*'cu' is none"),
        ({"scalings": {"Xy": {"slope": 1.0, "intercept": 0.0}}}, "scalings .*'Xy' is none"),
        ({"fprange": {"": [(0.0, 1.0)]}}, "fprange is a dict .*'' is none"),
        ({"fprange": {"Cu": 5}}, "list of pairs"),
        ({"randomseed": "a"}, "randomseed is a whole number from 0 on, or None, not 'a'"),
        ({"randomseed": -1}, "randomseed is a whole number from 0 on"),
        ({"randomseed": 1.5}, "randomseed is a whole number from 0 on"),
        ({"prescale": "False"}, "prescale must be True or False, not 'False'"),
        ({"checkpoints": "often"}, "checkpoints is a whole number of steps, or None"),
        ({"activation": ["tanh"]}, "activation is a name"),
        ({"activation": None}, "activation is a name"),
        ({"lossfunction": 0.1}, r"lossfunction is a LossFunction, .*not 0\.1"),
        ({"lossfunction": {"energy_rmse": 0.1}}, "lossfunction is a LossFunction"),
        ({"device": 0}, "device is a name such as 'cpu' or 'cuda', not 0"),
        ({"output": "tanh"}, "output is 'linear' or 'activation', not 'tanh'"),
        ({"mode": "image-centered"}, "mode 'atom-centered' only"),
        ({"version": "1999.1"}, "version '1999.1' is not known"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        NeuralNetwork(**settings)


def test_settings_for_elements_that_do_not_occur_are_kept():
    layers = {"Cu": (3,), "Pd": (3,), "Au": (2, 2)}
    assert initialized(hiddenlayers=layers)[0].parameters.hiddenlayers == layers


def test_numbers_of_numpy_become_plain_ones():
    model = NeuralNetwork(randomseed=np.int64(3), checkpoints=np.int64(7), prescale=np.bool_(0))
    p = model.parameters
    assert (p.randomseed, model.checkpoints, p.prescale) == (3, 7, False)
    assert {type(p.randomseed), type(model.checkpoints), type(p.prescale)} == {int, bool}


@pytest.mark.parametrize("n_images", [1, 3])
def test_an_element_whose_atoms_all_look_the_same_is_told_in_the_log(n_images, caplog):
    fingerprints = random_fingerprints(["Cu2Pd"] * n_images)
    fingerprints.of_element(1)[:] = 0.5
    fingerprints.of_element(0)[:, 1:] = 0.0  # one function that varies is enough
    NeuralNetwork((2,), randomseed=1).initialize(fingerprints, np.arange(float(n_images)))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert told[0].startswith(f"All {n_images} atoms of Pd in the {n_images} training images have")
    assert "look at the cutoff" in told[0]


def test_ranges_that_were_given_are_not_doubted(caplog):
    given = {"Cu": [(0.0, 0.0)] * 3, "Pd": [(0.0, 0.0)] * 4}
    initialized(fprange=given)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_the_model_describes_itself_in_a_line():
    assert repr(NeuralNetwork((4, 3), "sigmoid")) == (
        "<NeuralNetwork: hiddenlayers=(4, 3), sigmoid, not trained>"
    )
    model, _ = initialized()
    n = len(model.vector)
    assert repr(model) == f"<NeuralNetwork: Cu 3-3-2-1, Pd 4-3-2-1, tanh, {n} parameters>"
    weights = NeuralNetwork((3, 2), weights=model.parameters.weights)
    assert repr(weights) == "<NeuralNetwork: Cu 3-3-2-1, Pd 4-3-2-1, tanh, not trained>"


def test_an_unknown_activation_is_told_with_the_nearest_known_one():
    with pytest.raises(UnknownNameError, match=r"called 'Sigmoid'.*Did you mean 'sigmoid'"):
        NeuralNetwork(activation="Sigmoid")


def test_ranges_of_another_number_of_functions_are_refused():
    with pytest.raises(ParameterError, match=r"fprange\['Cu'\] has 1 entries, but there are 3"):
        initialized(fprange={"Cu": [(0.0, 1.0)], "Pd": [(0.0, 1.0)] * 4})


# -- data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "sigmoid", "output": "activation", "prescale": False},
        {"hiddenlayers": {"Cu": (2,), "Pd": (3, 2)}, "randomseed": 8},
    ],
)
def test_a_model_comes_back_from_its_data(settings):
    model, fingerprints = initialized(**settings)
    text = json.dumps(to_jsonable(model.to_dict()))
    again = NeuralNetwork.from_dict(from_jsonable(json.loads(text)))
    assert_array_equal(again.vector, model.vector)
    assert json.dumps(to_jsonable(again.to_dict())) == text
    assert_array_equal(
        again.evaluate(fingerprints).atomic_energies, model.evaluate(fingerprints).atomic_energies
    )


def test_a_model_without_parameters_comes_back_from_its_data():
    model = NeuralNetwork(hiddenlayers=(7,), activation="silu", randomseed=3)
    again = NeuralNetwork.from_dict(model.to_dict())
    assert again.to_dict() == model.to_dict()
    assert again.parameters.weights is None


def test_data_are_copies():
    model, _ = initialized()
    given = model.parameters.weights
    again = NeuralNetwork((3, 2), weights=given)
    given["Cu"][1][:] = 0.0
    assert np.any(again.parameters.weights["Cu"][1] != 0.0)


def test_unknown_settings_are_refused():
    with pytest.raises(ParameterError, match="Unknown settings of a neural network: depth, width"):
        NeuralNetwork.from_dict({"width": 3, "depth": 3})


def test_data_of_a_newer_version_are_refused():
    data = {**initialized()[0].to_dict(), "version": 2}
    with pytest.raises(ParameterError, match=r"version 2.*Update Amp"):
        NeuralNetwork.from_dict(data)
