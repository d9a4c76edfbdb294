"""The loss by torch: the same numbers as by numpy, found in another way."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose

import amp
from amp import Amp
from amp.core.errors import ParameterError, TrainingConvergenceError
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model._force_terms import Coefficients, References
from amp.model._loss_terms import LossTerms, NumpyEvaluator
from amp.model.activations import activations
from amp.model.neuralnetwork import NeuralNetwork
from amp.regression import Regressor

ELEMENTS = {1: ["Cu"], 2: ["Cu", "O"], 3: ["Cu", "H", "O"]}
TERMS = {
    "energies": Coefficients(1.0, 0.0, 0.0, 0.0),
    "forces alone": Coefficients(0.0, 0.3, 0.0, 0.0),
    "stresses alone": Coefficients(0.0, 0.0, 2.0, 0.0),
    "energies and forces": Coefficients(0.7, 0.3, 0.0, 0.0),
    "everything": Coefficients(0.7, 0.3, 2.0, 0.01),
}
COMPARED = ["loss", "energy_loss", "force_loss", "energy_maxresid", "force_maxresid", "gradient"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def evaluator(torch):
    """The class under test, for tests that need torch."""
    from amp.model._torch_loss import TorchEvaluator

    return TorchEvaluator


def random_images(rng, n_elements, n_images=5):
    """Molecules and crystals of different sizes; atoms see their own images and others' twice."""
    images = []
    for i in range(n_images):
        symbols = [*rng.choice(ELEMENTS[n_elements], 2 + i)]
        if i == 0:
            symbols = [ELEMENTS[n_elements][0], ELEMENTS[n_elements][-1]]
        grid = np.stack(np.unravel_index(np.arange(len(symbols)), (3, 3, 3)), axis=1)
        positions = 1.9 * grid + rng.uniform(-0.3, 0.3, (len(symbols), 3))
        cell = np.diag([6.0, 6.2, 6.4]) + rng.uniform(-0.3, 0.3, (3, 3))
        images.append(Atoms(symbols, positions, cell=cell, pbc=i % 2 == 1))
    return {str(i): atoms for i, atoms in enumerate(images)}


def random_references(rng, layout, volumes, holes=False):
    energies = rng.normal(size=layout.n_images)
    forces = rng.normal(size=(layout.n_atoms, 3))
    stresses = rng.normal(size=(layout.n_images, 6))
    weights = np.ones(layout.n_images)
    if holes:
        energies[1] = np.nan
        forces[layout.atoms_of_image(2)] = np.nan
        forces[-1, 1] = np.nan
        forces[-2] = np.nan
        stresses[0] = np.nan
        stresses[3, 4:] = np.nan
        weights = rng.uniform(0.5, 2.0, layout.n_images)
        weights[3] = 0.0
    keys = tuple(str(i) for i in range(layout.n_images))
    return References(keys, energies, forces, stresses, volumes, weights)


def problem(
    seed,
    n_elements=2,
    activation="tanh",
    output="linear",
    holes=False,
    derivatives=True,
    **settings,
):
    """Give model, fingerprints and references, all random."""
    rng = np.random.default_rng(seed)
    images = random_images(rng, n_elements)
    descriptor = Gaussian(cutoff=4.0)
    descriptor.prepare(set(ELEMENTS[n_elements]))
    fingerprints = descriptor.fingerprint_images(
        images, derivatives=derivatives, strain=derivatives
    )
    model = NeuralNetwork(
        hiddenlayers={e: (5, 4, 3)[: 1 + i] for i, e in enumerate(ELEMENTS[n_elements])},
        activation=activation,
        output=output,
        randomseed=seed,
        device="cpu",
        **settings,
    )
    model.initialize(fingerprints, rng.normal(size=len(images)))
    model.vector = model.vector + rng.normal(scale=0.3, size=len(model.vector))
    volumes = np.array([atoms.get_volume() for atoms in images.values()])
    return model, fingerprints, random_references(rng, fingerprints.layout, volumes, holes)


def assert_same_terms(terms, expected, rtol=1e-10):
    for field in fields(LossTerms):
        got, wanted = getattr(terms, field.name), getattr(expected, field.name)
        if field.name == "gradient" and wanted is not None:
            # A component may be the small difference of large ones.
            assert_allclose(got, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())
            assert got.dtype == np.float64
        else:
            assert (got is None) == (wanted is None)
            assert_allclose(got or 0.0, wanted or 0.0, rtol=rtol, atol=1e-14, err_msg=field.name)


def assert_agrees_with_numpy(evaluator, model, fingerprints, references, coefficients):
    by_torch = evaluator(model, fingerprints, references, coefficients)
    by_numpy = NumpyEvaluator(model, fingerprints, references, coefficients)
    for gradient in (True, False, True):  # the order must not matter
        expected = by_numpy(model.vector, gradient)
        assert np.isfinite(expected.loss)
        assert_same_terms(by_torch(model.vector, gradient), expected)


@pytest.mark.parametrize("output", ["linear", "activation"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", "softplus", "silu"])
def test_every_activation_gives_the_loss_of_numpy(evaluator, activation, output):
    parts = problem(1, activation=activation, output=output)
    assert_agrees_with_numpy(evaluator, *parts, TERMS["everything"])


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("n_elements", [1, 2, 3])
def test_every_sum_of_terms_gives_the_loss_of_numpy(evaluator, n_elements, terms):
    parts = problem(10 + n_elements, n_elements=n_elements)
    assert_agrees_with_numpy(evaluator, *parts, TERMS[terms])


@pytest.mark.parametrize("terms", TERMS)
def test_missing_references_and_weights_count_as_in_numpy(evaluator, terms):
    assert_agrees_with_numpy(evaluator, *problem(2, n_elements=3, holes=True), TERMS[terms])


def test_without_derivatives_only_energies_count(evaluator):
    parts = problem(3, derivatives=False)
    assert_agrees_with_numpy(evaluator, *parts, TERMS["everything"])


def test_atoms_that_see_no_others_feel_no_force(evaluator):
    descriptor = Gaussian(cutoff=4.0)
    descriptor.prepare({"Cu"})
    images = {"0": Atoms("Cu"), "1": Atoms("Cu2", [(0, 0, 0), (9, 0, 0)])}
    fingerprints = descriptor.fingerprint_images(images, derivatives=True, strain=False)
    model = NeuralNetwork(randomseed=1, device="cpu")
    model.initialize(fingerprints, np.zeros(2))
    references = random_references(np.random.default_rng(4), fingerprints.layout, np.ones(2))
    assert_agrees_with_numpy(
        evaluator, model, fingerprints, references, TERMS["energies and forces"]
    )


def test_large_groups_of_derivatives_are_copied_piece_by_piece(evaluator, monkeypatch):
    monkeypatch.setattr("amp.model._torch_loss._CHUNK", 100)
    assert_agrees_with_numpy(evaluator, *problem(6), TERMS["everything"])


def test_gradient_is_the_slope_of_the_loss(evaluator):
    model, fingerprints, references = problem(7, holes=True)
    evaluate = evaluator(model, fingerprints, references, TERMS["everything"])
    direction = np.random.default_rng(7).normal(size=len(model.vector))
    step = 1e-5 * direction
    high, low = evaluate(model.vector + step, False), evaluate(model.vector - step, False)
    slope = evaluate(model.vector, True).gradient @ direction
    assert_allclose((high.loss - low.loss) / 2e-5, slope, rtol=1e-6)


def test_evaluation_leaves_model_and_vector_alone(evaluator):
    model, fingerprints, references = problem(8)
    evaluate = evaluator(model, fingerprints, references, TERMS["everything"])
    before, vector = model.vector, model.vector + 0.1
    terms = evaluate(vector, True)
    terms.gradient[:] = 0.0
    assert_allclose(model.vector, before, rtol=0)
    assert_allclose(vector, before + 0.1, rtol=0)
    assert np.any(evaluate(vector, True).gradient != 0.0)


def test_loss_and_gradient_are_those_of_amp(evaluator, conformance_case):
    """Values of Amp 1.0.1, see tests/data/amp-1.0.1/README.md."""
    calc = Amp.load(str(conformance_case.potential))
    expected, loss = conformance_case.expected, conformance_case.loss
    n_train = int(expected["n_train"])
    images = {f"{expected[f'{i}/hash']}": conformance_case.images[i] for i in range(n_train)}
    fingerprints = calc.descriptor.fingerprint_images(images, derivatives=True, strain=False)
    calc.model.device = "cpu"
    references = References(
        tuple(images),
        np.array([expected[f"{i}/reference_energy"] for i in range(n_train)]),
        np.concatenate([expected[f"{i}/reference_forces"] for i in range(n_train)]),
        np.full((n_train, 6), np.nan),
        np.ones(n_train),
        np.ones(n_train),
    )
    for case in range(int(loss["n_cases"])):
        energy, force, overfit = (
            float(loss[f"{case}/{name}"])
            for name in ("energy_coefficient", "force_coefficient", "overfit")
        )
        coefficients = Coefficients(energy, 0.0 if np.isnan(force) else force, 0.0, overfit)
        evaluate = evaluator(calc.model, fingerprints, references, coefficients)
        for kind in ("trained", "shifted"):
            terms = evaluate(loss[f"{case}/{kind}/vector"], True)
            for name in COMPARED:
                value = loss[f"{case}/{kind}/{name}"]
                atol = 1e-8 * np.abs(value).max()
                assert_allclose(getattr(terms, name), value, rtol=1e-8, atol=atol, err_msg=name)


def copper_images():
    rng = np.random.default_rng(9)
    images = []
    for symbols in ("Cu4", "Cu3Au", "Cu2Au2", "CuAu3"):
        atoms = Atoms(symbols, 2.7 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]))
        atoms.positions += rng.uniform(-0.2, 0.2, (4, 3))
        atoms.calc = EMT()
        atoms.get_forces()
        images.append(atoms)
    return images


def trained(device, images, folder, steps=8):
    model = NeuralNetwork(
        hiddenlayers=(4,),
        randomseed=3,
        device=device,
        checkpoints=None,
        regressor=Regressor("L-BFGS-B"),
        lossfunction=LossFunction(convergence={"energy_rmse": 1e-9}, maxiter=steps),
    )
    calc = Amp(Gaussian(cutoff=4.5), model, label=str(folder / f"on-{device}"))
    with pytest.raises(TrainingConvergenceError):
        calc.train(images)
    return calc


def energies_and_forces(calc, images):
    copies = [atoms.copy() for atoms in images]
    for atoms in copies:
        atoms.calc = calc
    return (
        np.array([atoms.get_potential_energy() for atoms in copies]),
        np.array([atoms.get_forces() for atoms in copies]),
    )


def test_training_on_a_device_gives_the_same_potential(torch, tmp_path):
    images = copper_images()
    plain = energies_and_forces(trained(None, images, tmp_path), images)
    by_torch = energies_and_forces(trained("cpu", images, tmp_path), images)
    for got, expected in zip(by_torch, plain, strict=True):
        assert_allclose(got, expected, rtol=0, atol=1e-7)


def test_training_on_an_unknown_device_says_which_there_are(torch, tmp_path):
    model = NeuralNetwork(device="nonsense", randomseed=1)
    calc = Amp(Gaussian(cutoff=4.5), model, label=str(tmp_path / "amp"))
    with pytest.raises(ParameterError, match=r"'nonsense'.*available: cpu"):
        calc.train(copper_images())


def test_graphics_cards_that_are_not_there_are_told(torch, monkeypatch):
    from amp.model._torch_loss import torch_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ParameterError, match=r"'cuda:2'.*available: cpu, cuda, cuda:0, cuda:1"):
        torch_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match=r"available: cpu\."):
        torch_device("cuda")


def test_missing_torch_is_told_with_what_to_install(monkeypatch):
    model, fingerprints, references = problem(1)
    monkeypatch.delitem(sys.modules, "amp.model._torch_loss", raising=False)
    monkeypatch.delattr("amp.model._torch_loss", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install amp-potentials\[torch\]"):
        LossFunction().attach(model, fingerprints, references)


@pytest.mark.parametrize("name", sorted(activations))
def test_every_activation_has_its_counterpart(torch, name):
    from amp.model._torch_loss import _FUNCTIONS

    z = torch.linspace(-60.0, 60.0, 481, dtype=torch.float64).requires_grad_()
    value = _FUNCTIONS[name](z)
    (first,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    second = torch.zeros_like(z)
    if first.requires_grad:  # that of a straight line does not depend on z
        (second,) = torch.autograd.grad(first.sum(), z)
    for got, expected in zip(
        (value, first, second), activations[name](z.detach().numpy()), strict=True
    ):
        assert_allclose(got.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_an_activation_without_counterpart_is_told(evaluator, monkeypatch):
    monkeypatch.delitem(sys.modules["amp.model._torch_loss"]._FUNCTIONS, "tanh")
    with pytest.raises(ParameterError, match=r"activation 'tanh'.*Leave device out"):
        evaluator(*problem(1), TERMS["energies"])


def test_a_model_that_is_no_neural_network_is_told(evaluator):
    class Other:
        device = "cpu"

    _, fingerprints, references = problem(1)
    with pytest.raises(ParameterError, match="A Other cannot be trained with torch"):
        evaluator(Other(), fingerprints, references, TERMS["energies"])


def test_a_vector_of_another_network_is_told(evaluator):
    model, fingerprints, references = problem(1)
    evaluate = evaluator(model, fingerprints, references, TERMS["energies"])
    with pytest.raises(ParameterError, match=r"has \d+ parameters; the vector has shape \(3,\)"):
        evaluate(np.zeros(3), True)


def test_training_and_prediction_without_device_do_not_load_torch(tmp_path):
    code = """
import json, sys
import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from amp import Amp
from amp.core.errors import TrainingConvergenceError
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork

images = [Atoms("Cu3", [(0, 0, 0), (2.4, 0, 0), (0, 2.4 + d, 0)]) for d in (0.0, 0.1)]
for atoms in images:
    atoms.calc = EMT()
    atoms.get_forces()
loss = LossFunction(convergence={"energy_rmse": 1e-12}, maxiter=3)
calc = Amp(Gaussian(cutoff=4.0), NeuralNetwork((2,), randomseed=1, lossfunction=loss))
try:
    calc.train(images)
except TrainingConvergenceError:
    pass
calc.get_forces(images[0])
print(json.dumps("torch" in sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(amp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) is False


@pytest.mark.gpu
@pytest.mark.parametrize("terms", TERMS)
def test_a_graphics_card_gives_the_loss_of_numpy(evaluator, terms):
    model, fingerprints, references = problem(2, n_elements=3, holes=True)
    model.device = "cuda"
    assert_agrees_with_numpy(evaluator, model, fingerprints, references, TERMS[terms])


@pytest.mark.gpu
def test_training_on_a_graphics_card_gives_the_same_potential(torch, tmp_path):
    images = copper_images()
    plain = energies_and_forces(trained(None, images, tmp_path), images)
    by_torch = energies_and_forces(trained("cuda", images, tmp_path), images)
    for got, expected in zip(by_torch, plain, strict=True):
        assert_allclose(got, expected, rtol=0, atol=1e-6)
