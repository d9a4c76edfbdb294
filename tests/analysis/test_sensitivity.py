import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from amp import Amp
from amp.analysis import compare, plot_sensitivity, sensitivity
from amp.core.errors import OutputExistsError, ParameterError
from amp.descriptor.gaussian import Gaussian
from amp.model.neuralnetwork import NeuralNetwork


def loss_from_predictions(calc, images, force_coefficient=0.04):
    found = compare(calc, images)
    mean_squares = (found.force_errors**2).reshape(len(images), -1).mean(axis=1)
    return np.sum(found.energy_errors**2) + force_coefficient * mean_squares.sum()


def test_losses_are_those_of_a_potential_with_that_parameter_moved(trained):
    found = sensitivity(trained.calc, trained.images, d=0.01)
    assert found.loss == pytest.approx(loss_from_predictions(trained.calc, trained.images))
    vector = trained.calc.model.vector
    for i in (0, 40, len(vector) - 1):
        moved = Amp.load(trained.potential)
        changed = vector.copy()
        changed[i] += 0.01
        moved.model.vector = changed
        assert_allclose(found.losses[i], loss_from_predictions(moved, trained.images), rtol=1e-9)


def test_a_raised_intercept_shifts_energies_and_no_forces(trained):
    d = 0.02
    found = sensitivity(trained.potential, trained.images, d=d, force_coefficient=None)
    cu_intercept = len(found.losses) - 4
    cu_fraction = np.array([np.mean(atoms.symbols == "Cu") for atoms in trained.images])
    errors = compare(trained.calc, trained.images).energy_errors
    assert_allclose(found.losses[cu_intercept], np.sum((errors + d * cu_fraction) ** 2), rtol=1e-9)


def test_changes_are_relative_to_the_loss(trained):
    found = sensitivity(trained.calc, trained.images)
    assert_allclose(found.changes, found.losses / found.loss - 1.0, atol=1e-12)
    assert np.abs(found.changes).max() > 0


def test_groups_cover_all_parameters_in_order(trained):
    groups = sensitivity(trained.calc, trained.images).groups
    assert [name for name, _, _ in groups] == [
        *(f"{element} layer {layer}" for element in ("Cu", "Pt") for layer in (1, 2, 3)),
        "Cu scaling",
        "Pt scaling",
    ]
    assert [first for _, first, _ in groups[1:]] == [end for _, _, end in groups[:-1]]
    assert groups[-1][2] == len(trained.calc.model.vector)


def test_the_calculator_stays_as_it_is(trained):
    calc = trained.calc
    vector, loss = calc.model.vector, calc.model.lossfunction
    criteria, step = dict(loss.convergence), loss.step
    sensitivity(calc, trained.images, energy_coefficient=2.0)
    assert np.array_equal(calc.model.vector, vector)
    assert calc.model.lossfunction is loss
    assert (loss.convergence, loss.step, loss.energy_coefficient) == (criteria, step, 1.0)


def test_the_plot_is_written_and_not_replaced(tmp_path, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = plot_sensitivity(trained.calc, trained.images, label="s")
    assert (tmp_path / "s.pdf").read_bytes().startswith(b"%PDF")
    assert len(found.losses) == len(trained.calc.model.vector)
    with pytest.raises(OutputExistsError):
        plot_sensitivity(trained.calc, trained.images, label="s")
    plot_sensitivity(trained.calc, trained.images, plotfile="s.pdf", overwrite=True)


@pytest.mark.parametrize("d", [0.0, float("nan")])
def test_a_step_that_moves_nothing_is_refused(trained, d):
    with pytest.raises(ParameterError, match="d must be a number other than 0"):
        sensitivity(trained.calc, trained.images, d=d)


def test_an_untrained_potential_is_refused(trained):
    with pytest.raises(ParameterError, match="no parameters yet"):
        sensitivity(Amp(Gaussian(), NeuralNetwork()), trained.images)


def test_names_in_the_plot_do_not_touch():
    from matplotlib.text import Text

    from amp.analysis.figures import make_figure
    from amp.analysis.sensitivity import Sensitivity, _name_groups

    names = [f"{element} layer {layer}" for element in "CHO" for layer in (1, 2, 3)]
    names += [f"{element} scaling" for element in "CHO"]
    sizes = [400, 272, 17] * 3 + [2] * 3
    ends = np.cumsum(sizes).tolist()
    groups = tuple((n, e - s, e) for n, s, e in zip(names, sizes, ends, strict=True))
    figure = make_figure(10.0, 4.5)
    axes = figure.add_subplot()
    axes.set_xlim(-0.5, ends[-1] - 0.5)
    _name_groups(axes, Sensitivity(0.1, 1.0, np.ones(ends[-1]), groups))
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without their lines
    assert [text.get_text() for text in axes.texts] == names
    assert min(right.x0 - left.x1 for left, right in itertools.pairwise(boxes)) > 0
    assert boxes[-1].x1 < figure.bbox.x1
