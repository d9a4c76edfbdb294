import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

import amp
from amp.analysis import compare, draw_parity, plot_error, plot_parity, plot_parity_and_error
from amp.core.errors import MissingDataError, OutputExistsError, ParameterError


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("plot", "name"), [(plot_parity, "parity.pdf"), (plot_error, "error.pdf")])
def test_file_names_follow_from_the_label(working_folder, trained, plot, name):
    assert plot(trained.calc, trained.images) is None
    assert (working_folder / name).stat().st_size > 1000
    plot(trained.calc, trained.images, label="mine")
    assert (working_folder / "mine.pdf").stat().st_size > 1000


def test_both_plots_are_made_at_once(working_folder, trained):
    plot_parity_and_error(trained.potential, trained.images, plotfile_error="e.png")
    assert sorted(path.name for path in working_folder.iterdir()) == ["e.png", "parity.pdf"]


def test_both_plots_calculate_each_image_once(working_folder, zero, with_results):
    images = [with_results(Atoms("Cu"), energy=1.0), with_results(Atoms("Ag"), energy=2.0)]
    plot_parity_and_error(zero, images)
    assert len(zero.calls) == 2


def test_returned_data_are_references_and_predictions(working_folder, trained):
    figure, data = plot_parity(trained.calc, trained.images, returndata=True)
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in trained.images]
    assert_allclose(data.reference_energies, energies, rtol=1e-14)
    found = compare(trained.calc, trained.images)
    assert_allclose(data.energies, found.energies / 6, rtol=1e-14)
    assert np.array_equal(data.reference_forces, found.reference_forces.ravel())
    assert np.array_equal(data.forces, found.forces.ravel())
    assert data.keys == found.keys
    energy_axes, force_axes = figure.axes
    drawn = energy_axes.lines[1]
    assert np.array_equal(drawn.get_xdata(), data.reference_energies)
    assert np.array_equal(drawn.get_ydata(), data.energies)
    rmse = np.sqrt(np.mean((data.forces - data.reference_forces) ** 2))
    assert f"RMSE {rmse:.3g} eV/Å" in force_axes.get_title()


@pytest.mark.parametrize("plot", [plot_parity, plot_error])
def test_labels_of_large_energies_do_not_touch(working_folder, zero, with_results, plot):
    energies = [-34.4412, -34.4387, -34.4102, -34.3817]
    images = [with_results(Atoms("Cu", [[0, 0, i]]), energy=e) for i, e in enumerate(energies)]
    zero.calculate = lambda atoms, *_: zero.results.update(energy=-34.42 + atoms.positions[0, 2])
    figure, _ = plot(zero, images, plot_forces=False, plotfile="p.png", returndata=True)
    (axes,) = figure.axes
    axes.set_xlim(-34.45, -34.365)  # where matplotlib alone sets nine labels
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    boxes = sorted((b for b in boxes if b.width), key=lambda box: box.x0)
    assert len(boxes) >= 3
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(boxes)]
    assert min(gaps) > 5


def test_error_plot_shows_absolute_errors_at_the_angle_asked_for(working_folder, trained):
    _, figure, data = plot_parity_and_error(
        trained.calc, trained.images, xtic_angle=30.0, returndata=True
    )
    axes = figure.axes[0]
    errors = np.abs(data.energies - data.reference_energies)
    assert np.array_equal(axes.lines[1].get_ydata(), errors)
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {30.0}


def test_forces_are_left_out_on_request_and_where_there_are_none(
    working_folder, trained, zero, with_results
):
    figure, data = plot_parity(trained.calc, trained.images, plot_forces=False, returndata=True)
    assert len(figure.axes) == 1
    assert len(data.forces) == 0
    images = [with_results(Atoms("Cu"), energy=1.0)]
    figure, _ = plot_error(zero, images, returndata=True)
    assert len(figure.axes) == 1


@pytest.mark.parametrize("plot", [plot_parity, plot_error, plot_parity_and_error])
def test_an_existing_file_is_refused_before_any_work(working_folder, zero, with_results, plot):
    images = [with_results(Atoms("Cu"), energy=1.0)]
    for name in ("parity.pdf", "error.pdf"):
        (working_folder / name).write_text("mine")
    with pytest.raises(OutputExistsError):
        plot(zero, images)
    assert zero.calls == []
    plot(zero, images, overwrite=True)
    assert any(path.read_bytes().startswith(b"%PDF") for path in working_folder.iterdir())


def test_an_unknown_ending_is_refused_before_any_work(working_folder, zero, with_results):
    with pytest.raises(ParameterError, match="must end in one of"):
        plot_parity(zero, [with_results(Atoms("Cu"), energy=1.0)], plotfile="parity.xyz")
    assert zero.calls == []


def test_stresses_alone_are_nothing_to_plot(working_folder, zero, with_results):
    crystal = with_results(Atoms("Cu", cell=[4, 4, 4], pbc=True), stress=np.ones(6))
    with pytest.raises(MissingDataError, match="No image has an energy or forces"):
        draw_parity(compare(zero, [crystal]), "parity.pdf")


def test_plotting_leaves_pyplot_and_the_backend_alone(tmp_path, trained):
    from ase.io import write

    write(tmp_path / "images.extxyz", trained.images)
    code = (
        "import sys\nfrom amp.analysis import plot_parity\n"
        f"plot_parity({str(trained.potential)!r}, 'images.extxyz', plotfile='p.png')\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(amp.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "p.png").exists()
