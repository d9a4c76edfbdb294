import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose

from amp.analysis import compare, plot_convergence, read_trainlog
from amp.core.errors import AmpFileError, OutputExistsError, ParameterError

# In the form that Amp 1.0.1 writes, of two trainings; the second on energies alone.
OLD_LOG = """\

   Amp: Atomistic Machine-learning Package
Developed by others. Version: 1.0.1
Python 3.8.10 on node12

Loss function convergence criteria:
  energy_rmse: 0.02
  energy_maxresid: None
  force_rmse: 0.05
  force_maxresid: None
Loss function set-up:
  energy_coefficient: 1.0
  force_coefficient: 0.04
  overfit: 0.0

                                            Energy                    Force
 Step                Time   Loss (SSD)   EnergyRMSE     MaxResid    ForceRMSE     MaxResid
===== =================== ============ ============ ============ ============ ============
    0 2021-03-04T10:20:30   4.3210e+01 1.2345e-01 - 2.3456e-01 C 3.4567e-01 - 4.5678e+00 C
    1 2021-03-04T10:20:32   4.3210e-01 1.2345e-02 C 2.3456e-02 C 3.4567e-01 - 4.5678e+00 C
  2 images were far off.
    2 2021-03-04T10:21:32   4.3210e-03 1.2345e-03 C 2.3456e-03 C 3.4567e-02 C 4.5678e-01 C
...optimization successful.

Loss function convergence criteria:
  energy_rmse: 0.001
  energy_maxresid: 0.002

 Step                Time   Loss (SSD)   EnergyRMSE     MaxResid
===== =================== ============ ============ ============
    0 2021-03-05T00:00:00   1.0000e+00 5.0000e-01 - 6.0000e-01 -
    1 2021-03-05T00:00:01   1.0000e-01 5.0000e-02 - 6.0000e-02 -
    2 2021-03-05T00:00:02   1.0000e-02 5.00
"""


@pytest.fixture
def old_log(tmp_path):
    path = tmp_path / "amp-log.txt"
    path.write_text(OLD_LOG)
    return path


def test_a_log_of_amp_1_0_1_is_read(old_log):
    data = read_trainlog(old_log)
    assert data["steps"].tolist() == [0, 1, 2]
    assert data["losses"].tolist() == [43.21, 0.4321, 0.004321]
    assert (data["times"] - data["times"][0]).astype(int).tolist() == [0, 2, 62]
    assert data["energy_rmse"].tolist() == [0.12345, 0.012345, 0.0012345]
    assert data["energy_maxresid"].tolist() == [0.23456, 0.023456, 0.0023456]
    assert data["force_rmse"].tolist() == [0.34567, 0.34567, 0.034567]
    assert data["force_maxresid"].tolist() == [4.5678, 4.5678, 0.45678]
    assert data["energy_rmse_converged"].tolist() == [False, True, True]
    assert data["force_rmse_converged"].tolist() == [False, False, True]
    assert data["converged"].tolist() == [False, False, True]
    assert data["convergence"] == {
        "energy_rmse": 0.02,
        "energy_maxresid": None,
        "force_rmse": 0.05,
        "force_maxresid": None,
    }


@pytest.mark.parametrize("multiple", [1, -1])
def test_the_second_training_of_a_log_is_read_without_its_cut_line(old_log, multiple):
    data = read_trainlog(old_log, multiple=multiple)
    assert data["losses"].tolist() == [1.0, 0.1]
    assert data["convergence"] == {"energy_rmse": 0.001, "energy_maxresid": 0.002}
    assert "force_rmse" not in data
    assert data["n_trainings"] == 2


def test_a_training_that_the_log_does_not_hold_is_told(old_log):
    with pytest.raises(ParameterError, match=r"holds 2 training\(s\), counted from 0.* number 2"):
        read_trainlog(old_log, multiple=2)


def test_the_log_of_a_training_ends_with_the_errors_of_its_potential(trained):
    data = read_trainlog(trained.log)
    found = compare(trained.potential, trained.images)
    assert_allclose(data["energy_rmse"][-1], np.sqrt(np.mean(found.energy_errors**2)), rtol=1e-4)
    assert_allclose(data["force_rmse"][-1], np.sqrt(np.mean(found.force_errors**2)), rtol=1e-4)
    assert_allclose(data["force_maxresid"][-1], np.abs(found.force_errors).max(), rtol=1e-4)
    assert data["converged"].tolist() == [False] * (len(data["steps"]) - 1) + [True]
    assert data["steps"].tolist() == list(range(len(data["steps"])))
    assert data["convergence"]["force_rmse"] == 1.0
    assert data["convergence"]["energy_maxresid"] is None


def test_a_training_on_stresses_has_a_column_for_them(tmp_path):
    from amp.model import LossFunction
    from amp.model.loss import LossTerms

    loss = LossFunction(force_coefficient=None, stress_coefficient=1.0)
    terms = LossTerms(
        loss=1.0, energy_loss=0.0, force_loss=0.0, stress_loss=0.0, overfit_loss=0.0,
        energy_rmse=0.1, energy_maxresid=0.2, force_rmse=0.3, force_maxresid=0.4,
        stress_rmse=0.5, stress_maxresid=0.6, gradient=None,
    )  # fmt: skip
    path = tmp_path / "log.txt"
    path.write_text("\n".join([*loss.header(), loss.table_line(terms)]))
    data = read_trainlog(path)
    assert (data["stress_rmse"][0], data["stress_maxresid"][0]) == (0.5, 0.6)
    assert "force_rmse" not in data


@pytest.mark.parametrize("text", ["", "Loss function convergence criteria:\n  energy_rmse: 0.1\n"])
def test_a_file_without_a_table_is_refused(tmp_path, text):
    path = tmp_path / "log.txt"
    path.write_text(text)
    with pytest.raises(AmpFileError, match="no table of losses"):
        read_trainlog(path)


def test_verbose_decides_at_which_level_the_find_is_logged(old_log, caplog):
    with caplog.at_level(logging.INFO, logger="amp"):
        read_trainlog(old_log, verbose=False)
        assert caplog.messages == []
        read_trainlog(old_log)
    assert "2 training(s); number 0 has 3 steps" in caplog.text


def test_convergence_is_plotted_again_and_again(tmp_path, old_log):
    path = tmp_path / "convergence.png"
    for multiple in (0, 1):
        plot_convergence(read_trainlog(old_log, multiple=multiple), path)
        assert path.read_bytes().startswith(b"\x89PNG")
    path.unlink()
    plot_convergence(str(old_log), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputExistsError):
        plot_convergence(read_trainlog(old_log), path, overwrite=False)
