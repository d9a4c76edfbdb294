import os

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from amp import Amp
from amp.core.errors import OutputExistsError, ParameterError
from amp.core.images import hash_images
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork, NodePlot
from amp.model.node_plot import N_BINS, node_histograms


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(5)
    return [
        Atoms("CuPtCu", rng.normal([[0, 0, 0], [2.5, 0, 0], [0, 2.6, 0]], 0.1)) for _ in range(4)
    ]


@pytest.fixture(scope="module")
def calc(images):
    hashed = hash_images(images)
    descriptor = Gaussian(cutoff=4.0)
    descriptor.prepare(["Ag", "Cu", "Pt"])
    model = NeuralNetwork({"Ag": (2,), "Cu": (4, 3), "Pt": (2,)}, randomseed=1)
    model.initialize(descriptor.fingerprint_images(hashed), np.arange(4.0))
    return Amp(descriptor, model)


def test_outputs_are_those_of_the_network_by_its_formula(calc, images):
    outputs = NodePlot(calc).outputs(images)
    p = calc.model.parameters
    rows = calc.descriptor.fingerprint_images(hash_images(images)).of_element(1)
    low, high = np.array(p.fprange["Cu"]).T
    varies = high - low > 1e-8
    a = np.where(varies, 2 * (rows - low) / np.where(varies, high - low, 1.0) - 1.0, rows)
    for layer in (1, 2, 3):
        w = p.weights["Cu"][layer]
        z = a @ w[:-1] + w[-1]
        a = np.tanh(z) if layer < 3 else z
        assert_allclose(outputs["Cu"][layer], a, atol=1e-12)
    assert outputs["Cu"][3].shape == (8, 1)
    assert outputs["Pt"][1].shape == (4, 2)


def test_elements_without_atoms_are_left_out(calc, images):
    assert list(NodePlot(calc).outputs(images)) == ["Cu", "Pt"]


def test_histograms_say_which_part_of_the_atoms_has_which_output():
    values = np.array([[-1.0, 0.01], [-1.0, 0.01], [-1.0, 0.01], [1.0, 0.01]])
    fractions, edges = node_histograms(values, (-1.0, 1.0))
    assert_allclose(fractions.sum(axis=1), 1.0)
    assert (fractions[0, 0], fractions[0, -1]) == (0.75, 0.25)
    assert fractions[1, N_BINS // 2] == 1.0
    assert (edges[0], edges[-1]) == (-1.0, 1.0)


def test_histograms_of_a_constant_output_have_a_range():
    fractions, edges = node_histograms(np.full((3, 1), 7.0))
    assert fractions.sum() == 1.0
    assert edges[0] < 7.0 < edges[-1]


@pytest.mark.parametrize(("name", "begins"), [("n.pdf", b"%PDF"), ("n.png", b"\x89PNG")])
def test_the_plot_is_written(tmp_path, calc, images, name, begins):
    NodePlot(calc).plot(images, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_the_default_name_is_nodeplot(tmp_path, calc, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    NodePlot(calc).plot(images)
    assert os.listdir() == ["nodeplot.pdf"]
    with pytest.raises(OutputExistsError):
        NodePlot(calc).plot(images, overwrite=False)


def test_an_unknown_ending_is_refused(tmp_path, calc, images):
    with pytest.raises(ParameterError, match="must end in"):
        NodePlot(calc).plot(images, tmp_path / "n.doc")


def test_an_untrained_network_is_refused(tmp_path, images):
    descriptor = Gaussian(cutoff=4.0, elements=["Cu", "Pt"])
    descriptor.prepare(["Cu"])
    with pytest.raises(ParameterError, match="no parameters yet"):
        NodePlot(Amp(descriptor, NeuralNetwork())).plot(images, tmp_path / "n.pdf")
