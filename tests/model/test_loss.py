"""The loss: its definition, its gradient, its criteria and its log."""

import dataclasses
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from numpy.testing import assert_allclose, assert_array_equal

from amp import Amp
from amp.core.errors import (
    ConvergenceOccurred,
    IterationLimitReached,
    ParameterError,
)
from amp.core.images import hash_images
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.model import LossFunction
from amp.model.activations import activations
from amp.model.loss import References
from amp.model.neuralnetwork import NeuralNetwork

CUTOFF = 4.5


def rattled(atoms, seed, amplitude=0.15):
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(size=(len(atoms), 3)) * amplitude
    return atoms


def tiny_cell(symbols):
    """A skewed cell smaller than the cutoff: atoms see images of themselves."""
    atoms = Atoms(symbols, cell=[[3.4, 0.1, 0.0], [0.3, 3.0, 0.2], [-0.2, 0.4, 3.2]], pbc=True)
    along = np.linspace(0.0, 1.0, len(atoms), endpoint=False)
    atoms.positions = along[:, None] * [3.3, 2.9, 3.1]
    return atoms


def slab():
    atoms = fcc111("Cu", (1, 1, 2), vacuum=4.0)
    atoms.symbols[0] = "Pd"
    return atoms


SYSTEMS = {
    "molecule": lambda: [rattled(molecule("H2O"), i) for i in range(3)],
    "molecules of several sizes": lambda: [
        rattled(molecule(name), 1) for name in ("CH3OH", "H2O", "CO2")
    ],
    "slab": lambda: [rattled(slab(), i) for i in range(2)],
    "one element, primitive cell": lambda: [rattled(bulk("Cu"), i) for i in range(2)],
    "one element, tiny cell": lambda: [rattled(tiny_cell("Cu2"), i) for i in range(2)],
    "two elements, tiny cell": lambda: [rattled(tiny_cell("CuPd"), i) for i in range(3)],
    "three elements, tiny cell": lambda: [rattled(tiny_cell("AuCuPd"), i) for i in range(2)],
}


@dataclasses.dataclass
class Case:
    """A loss with data attached, and what it was made of."""

    loss: LossFunction
    model: NeuralNetwork
    descriptor: Gaussian
    images: dict
    references: References
    vector: np.ndarray


def few_functions(elements):
    return {
        element: make_symmetry_functions(elements, "G2", [0.5, 4.0])
        + make_symmetry_functions(elements, "G4", [0.005], zetas=[2.0], gammas=[1.0])
        for element in elements
    }


def attach(images, loss=None, threads=1, weights=None, spoil=None, log=None, step=0, **settings):
    """Attach a loss function to random references near what a random network predicts."""
    loss = LossFunction() if loss is None else loss
    hashed = hash_images(images)
    elements = sorted({symbol for atoms in images for symbol in atoms.symbols})
    descriptor = Gaussian(CUTOFF, few_functions(elements), elements=elements)
    periodic = all(atoms.cell.rank == 3 for atoms in images)
    fingerprints = descriptor.fingerprint_images(
        hashed,
        derivatives=loss.wants_forces or loss.wants_stress,
        strain=loss.wants_stress and periodic,
    )
    rng = np.random.default_rng(4)
    n_images, n_atoms = len(images), sum(len(atoms) for atoms in images)
    references = References(
        keys=tuple(hashed),
        energies=rng.normal(size=n_images),
        forces=rng.normal(size=(n_atoms, 3)),
        stresses=rng.normal(size=(n_images, 6)) * 0.05,
        volumes=np.array([a.get_volume() if a.cell.rank == 3 else 1.0 for a in images]),
        weights=np.ones(n_images) if weights is None else np.asarray(weights),
    )
    if spoil is not None:
        spoil(references)
    settings = {"hiddenlayers": (3, 2), "randomseed": 3, **settings}
    model = NeuralNetwork(lossfunction=loss, **settings)
    model.initialize(fingerprints, references.energies)
    vector = model.vector
    model.vector = vector = vector + 0.1 * rng.normal(size=len(vector))  # no bias is 0
    loss.attach(model, fingerprints, references, log, threads, step)
    return Case(loss, model, descriptor, dict(hashed), references, vector)


def five_point(function, x, step=1e-3):
    gradient = np.empty_like(x)
    for i in range(len(x)):
        shift = np.zeros_like(x)
        shift[i] = step
        near = function(x + shift) - function(x - shift)
        far = function(x + 2.0 * shift) - function(x - 2.0 * shift)
        gradient[i] = (8.0 * near - far) / (12.0 * step)
    return gradient


def assert_gradient_agrees_with_differences(case):
    gradient = case.loss.evaluate(case.vector, True).gradient
    numerical = five_point(lambda x: case.loss.evaluate(x, False).loss, case.vector)
    # Differences of a large loss cannot tell small derivatives better than this.
    atol = 1e-8 + 1e-10 * np.abs(gradient).max()
    assert_allclose(gradient, numerical, rtol=1e-6, atol=atol)
    assert np.count_nonzero(gradient) > len(gradient) / 2


def with_forces(**settings):
    return LossFunction(force_coefficient=0.3, **settings)


def with_stress(**settings):
    return LossFunction(force_coefficient=0.3, stress_coefficient=20.0, **settings)


def energies_alone(**settings):
    return LossFunction(force_coefficient=None, **settings)


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make_loss", [energies_alone, with_forces])
@pytest.mark.parametrize("system", SYSTEMS)
def test_gradients_agree_with_differences(system, make_loss):
    assert_gradient_agrees_with_differences(attach(SYSTEMS[system](), make_loss()))


@pytest.mark.parametrize("system", [name for name in SYSTEMS if "molecule" not in name])
def test_gradients_with_stress_agree_with_differences(system):
    assert_gradient_agrees_with_differences(attach(SYSTEMS[system](), with_stress()))


def test_gradients_of_the_stress_alone_agree_with_differences():
    loss = LossFunction(energy_coefficient=None, force_coefficient=None, stress_coefficient=20.0)
    assert_gradient_agrees_with_differences(attach(SYSTEMS["two elements, tiny cell"](), loss))


def test_gradients_of_the_forces_alone_agree_with_differences():
    loss = LossFunction(energy_coefficient=None, force_coefficient=1.0)
    assert_gradient_agrees_with_differences(attach(SYSTEMS["slab"](), loss))


@pytest.mark.parametrize("output", ["linear", "activation"])
@pytest.mark.parametrize("activation", activations)
def test_gradients_of_every_activation_agree_with_differences(activation, output):
    case = attach(
        SYSTEMS["two elements, tiny cell"](), with_stress(), activation=activation, output=output
    )
    assert_gradient_agrees_with_differences(case)


@pytest.mark.parametrize("hiddenlayers", [(4,), (3, 3, 2), {"Cu": (2,), "Pd": (3, 2)}])
def test_gradients_of_every_shape_agree_with_differences(hiddenlayers):
    case = attach(SYSTEMS["two elements, tiny cell"](), with_stress(), hiddenlayers=hiddenlayers)
    assert_gradient_agrees_with_differences(case)


def test_gradients_with_overfit_agree_with_differences():
    case = attach(SYSTEMS["molecule"](), with_forces(overfit=0.02))
    assert_gradient_agrees_with_differences(case)
    without = attach(SYSTEMS["molecule"](), with_forces())
    assert (
        case.loss.evaluate(case.vector, False).loss > without.loss.evaluate(case.vector, False).loss
    )


def test_gradients_with_image_weights_agree_with_differences():
    case = attach(SYSTEMS["two elements, tiny cell"](), with_stress(), weights=[0.2, 3.0, 0.0])
    assert_gradient_agrees_with_differences(case)


def spoil_some(references):
    references.energies[0] = np.nan
    references.forces[1] = np.nan
    references.forces[4, 2] = np.nan
    references.stresses[1] = np.nan
    references.stresses[2, 3:] = np.nan


def test_gradients_with_unknown_references_agree_with_differences():
    case = attach(SYSTEMS["two elements, tiny cell"](), with_stress(), spoil=spoil_some)
    assert_gradient_agrees_with_differences(case)


def test_a_numerical_gradient_is_that_of_central_differences():
    exact = attach(SYSTEMS["molecule"](), with_forces())
    numerical = attach(SYSTEMS["molecule"](), with_forces(d=1e-4))
    analytic = exact.loss.get_loss(exact.vector)["dloss_dparameters"]
    result = numerical.loss.get_loss(exact.vector)
    assert_allclose(result["dloss_dparameters"], analytic, rtol=1e-5, atol=1e-6)
    assert np.any(result["dloss_dparameters"] != analytic)
    assert result["loss"] == exact.loss.get_loss(exact.vector)["loss"]


def test_a_numerical_gradient_counts_as_one_step():
    case = attach(SYSTEMS["molecule"](), with_forces(d=1e-4))
    case.loss.get_loss(case.vector)
    assert case.loss.step == 1


def test_without_the_gradient_the_loss_is_the_same():
    case = attach(SYSTEMS["slab"](), with_stress())
    plain = case.loss.get_loss(case.vector, lossprime=False)
    assert plain["dloss_dparameters"] is None
    assert plain["loss"] == case.loss.get_loss(case.vector)["loss"]


@pytest.mark.parametrize("system", ["molecules of several sizes", "two elements, tiny cell"])
def test_threads_change_not_a_bit(system):
    make_loss = with_forces if "molecule" in system else with_stress
    results = []
    for threads in (1, 2, 3, 7):  # more than there are images, too
        case = attach(SYSTEMS[system](), make_loss(), threads=threads)
        results.append(case.loss.evaluate(case.vector, True))
    for other in results[1:]:
        assert other.loss == results[0].loss
        assert_array_equal(other.gradient, results[0].gradient)


def test_a_gradient_holds_nothing_of_the_evaluation_before():
    used = attach(SYSTEMS["molecules of several sizes"](), with_forces(), spoil=spoil_some)
    used.loss.evaluate(2.0 * used.vector, True)
    fresh = attach(SYSTEMS["molecules of several sizes"](), with_forces(), spoil=spoil_some)
    assert_array_equal(
        used.loss.evaluate(used.vector, True).gradient,
        fresh.loss.evaluate(fresh.vector, True).gradient,
    )


def test_the_vector_is_not_changed():
    case = attach(SYSTEMS["molecule"](), with_forces(overfit=0.1))
    before = case.vector.copy()
    case.loss.get_loss(case.vector)
    assert_array_equal(case.vector, before)
    assert_array_equal(case.model.vector, before)


# -- definition ----------------------------------------------------------------------------------


def predict(case):
    """Energies, forces and stresses of all images, by the calculator."""
    calc = Amp(case.descriptor, case.model)
    results = []
    for image in case.images.values():
        atoms = image.copy()
        atoms.calc = calc
        stress = atoms.get_stress() if atoms.cell.rank == 3 else None
        results.append((atoms.get_potential_energy(), atoms.get_forces(), stress))
    return results


def by_hand(case):
    """Sums of the definition, image by image, with plain numpy."""
    ref, start = case.references, 0
    sums = {"energy": 0.0, "force": 0.0, "stress": 0.0}
    maxima = dict.fromkeys(sums, 0.0)
    for i, (energy, forces, stress) in enumerate(predict(case)):
        n = len(forces)
        residual = (energy - ref.energies[i]) / n
        if np.isfinite(residual):
            sums["energy"] += ref.weights[i] * residual**2
            maxima["energy"] = max(maxima["energy"], abs(residual))
        for name, residuals in (
            ("force", forces - ref.forces[start : start + n]),
            ("stress", None if stress is None else stress - ref.stresses[i]),
        ):
            known = None if residuals is None else residuals[np.isfinite(residuals)]
            if known is not None and known.size:
                sums[name] += ref.weights[i] * np.mean(known**2)
                maxima[name] = max(maxima[name], np.abs(known).max())
        start += n
    return sums, maxima


@pytest.mark.parametrize("spoil", [None, spoil_some], ids=["all known", "some unknown"])
def test_the_loss_is_its_definition_with_what_the_calculator_predicts(spoil):
    case = attach(
        SYSTEMS["two elements, tiny cell"](), with_stress(), weights=[0.5, 2.0, 1.0], spoil=spoil
    )
    sums, maxima = by_hand(case)
    terms = case.loss.evaluate(case.vector, False)
    for name in sums:
        assert_allclose(getattr(terms, f"{name}_loss"), sums[name], rtol=1e-10)
        assert_allclose(getattr(terms, f"{name}_maxresid"), maxima[name], rtol=1e-10)
    total = sums["energy"] + 0.3 * sums["force"] + 20.0 * sums["stress"]
    assert_allclose(terms.loss, total, rtol=1e-10)


def test_energies_are_per_atom_and_forces_over_three_n():
    images = SYSTEMS["molecules of several sizes"]()
    case = attach(images, LossFunction(energy_coefficient=2.0, force_coefficient=0.5))
    start, energy_loss, force_loss = 0, 0.0, 0.0
    for i, (energy, forces, _) in enumerate(predict(case)):
        n = len(images[i])
        energy_loss += ((energy - case.references.energies[i]) / n) ** 2
        difference = forces - case.references.forces[start : start + n]
        force_loss += (difference**2).sum() / (3 * n)
        start += n
    result = case.loss.get_loss(case.vector)
    assert_allclose(result["energy_loss"], energy_loss, rtol=1e-10)
    assert_allclose(result["force_loss"], force_loss, rtol=1e-10)
    assert_allclose(result["loss"], 2.0 * energy_loss + 0.5 * force_loss, rtol=1e-10)
    assert_allclose(result["energy_rmse"], np.sqrt(energy_loss / 3), rtol=1e-10)
    assert_allclose(result["force_rmse"], np.sqrt(force_loss / 3), rtol=1e-10)


def test_root_mean_squares_count_the_images_that_are_known_by_their_weights():
    weights = np.array([0.5, 2.0, 1.0])
    case = attach(
        SYSTEMS["two elements, tiny cell"](), with_stress(), weights=weights, spoil=spoil_some
    )
    sums, _ = by_hand(case)
    terms = case.loss.evaluate(case.vector, False)
    known = {"energy": [1, 2], "force": [0, 1, 2], "stress": [0, 2]}
    for name, indices in known.items():
        expected = np.sqrt(sums[name] / weights[indices].sum())
        assert_allclose(getattr(terms, f"{name}_rmse"), expected, rtol=1e-10)


def test_the_overfit_term_is_the_sum_of_squares_of_first_weights_without_biases():
    case = attach(SYSTEMS["molecule"](), with_forces(overfit=0.02))
    expected = sum(np.sum(layers[1][:-1] ** 2) for layers in case.model.parameters.weights.values())
    terms = case.loss.evaluate(case.vector, False)
    assert_allclose(terms.overfit_loss, expected, rtol=1e-12)
    rest = terms.energy_loss + 0.3 * terms.force_loss
    assert_allclose(terms.loss, rest + 0.02 * expected, rtol=1e-12)


@pytest.mark.parametrize("coefficient", [None, 0, 0.0])
def test_without_a_coefficient_a_term_is_left_out(coefficient):
    case = attach(SYSTEMS["molecule"](), LossFunction(force_coefficient=coefficient))
    result = case.loss.get_loss(case.vector)
    assert result["loss"] == result["energy_loss"] > 0.0
    assert result["force_loss"] == result["force_rmse"] == 0.0


def test_an_image_of_weight_two_counts_as_if_given_twice():
    images = SYSTEMS["molecule"]()
    once = attach(images, with_forces())
    heavy = attach(images, with_forces(), weights=[2.0, 1.0, 1.0])
    alone = attach(images, with_forces(), weights=[1.0, 0.0, 0.0])
    loss = [case.loss.evaluate(case.vector, True) for case in (once, heavy, alone)]
    assert_allclose(loss[1].loss, loss[0].loss + loss[2].loss, rtol=1e-12)
    assert_allclose(loss[1].gradient, loss[0].gradient + loss[2].gradient, rtol=1e-9, atol=1e-12)


def test_an_image_without_references_adds_nothing():
    def forget(references):
        references.energies[1] = np.nan
        references.forces[3:6] = np.nan

    images = SYSTEMS["molecule"]()
    forgotten = attach(images, with_forces(), spoil=forget)
    weightless = attach(images, with_forces(), weights=[1.0, 0.0, 1.0])
    one = forgotten.loss.evaluate(forgotten.vector, True)
    other = weightless.loss.evaluate(forgotten.vector, True)
    assert_allclose(one.loss, other.loss, rtol=1e-12)
    assert_allclose(one.gradient, other.gradient, rtol=1e-9, atol=1e-12)


def test_the_result_has_the_names_that_scripts_read():
    case = attach(SYSTEMS["molecule"](), with_forces())
    result = case.loss.get_loss(case.vector)
    assert {
        "loss", "dloss_dparameters", "energy_loss", "force_loss", "energy_rmse",
        "energy_maxresid", "force_rmse", "force_maxresid",
    } <= set(result)  # fmt: skip
    assert result["dloss_dparameters"].shape == case.vector.shape


def test_losses_of_amp_1_are_reproduced(conformance_case):
    descriptor, model = (lambda calc: (calc.descriptor, calc.model))(
        Amp.load(conformance_case.potential)
    )
    expected, data = conformance_case.expected, conformance_case.loss
    n_train = int(expected["n_train"])
    hashed = hash_images(conformance_case.images[:n_train])
    fingerprints = descriptor.fingerprint_images(hashed, derivatives=True)
    forces = np.concatenate([expected[f"{i}/reference_forces"] for i in range(n_train)])
    references = References(
        keys=tuple(hashed),
        energies=np.array([expected[f"{i}/reference_energy"] for i in range(n_train)]),
        forces=forces,
        stresses=np.full((n_train, 6), np.nan),
        volumes=np.ones(n_train),
        weights=np.ones(n_train),
    )
    for c in range(int(data["n_cases"])):
        force = float(data[f"{c}/force_coefficient"])
        loss = LossFunction(
            energy_coefficient=float(data[f"{c}/energy_coefficient"]),
            force_coefficient=None if np.isnan(force) else force,
            overfit=float(data[f"{c}/overfit"]),
            raise_ConvergenceOccurred=False,
        )
        loss.attach(model, fingerprints, references)
        for kind in ("trained", "shifted"):
            there = {name: data[f"{c}/{kind}/{name}"] for name in (
                "vector", "loss", "energy_loss", "force_loss", "energy_maxresid",
                "force_maxresid", "gradient",
            )}  # fmt: skip
            here = loss.get_loss(there["vector"])
            for name in ("loss", "energy_loss", "force_loss", "energy_maxresid"):
                assert_allclose(here[name], there[name], rtol=1e-9, err_msg=f"{c}/{kind}/{name}")
            if loss.wants_forces:
                assert_allclose(here["force_maxresid"], there["force_maxresid"], rtol=1e-9)
            scale = np.abs(there["gradient"]).max()
            assert_allclose(
                here["dloss_dparameters"], there["gradient"], rtol=1e-7, atol=1e-10 * scale
            )


# -- criteria and settings -----------------------------------------------------------------------


def test_convergence_is_raised_when_all_criteria_hold():
    case = attach(SYSTEMS["molecule"](), with_forces(convergence={"energy_rmse": 1e9}))
    with pytest.raises(ConvergenceOccurred):
        case.loss.get_loss(case.vector)


def test_one_criterion_that_does_not_hold_suffices_to_go_on():
    for name in ("energy_rmse", "energy_maxresid", "force_rmse", "force_maxresid"):
        criteria = {"energy_rmse": 1e9, "force_maxresid": 1e9, name: 1e-12}
        case = attach(SYSTEMS["molecule"](), with_forces(convergence=criteria))
        case.loss.get_loss(case.vector)
        assert not case.loss.is_converged(case.loss.latest)


def test_convergence_is_not_raised_when_not_asked_for():
    loss = with_forces(convergence={"energy_rmse": 1e9}, raise_ConvergenceOccurred=False)
    case = attach(SYSTEMS["molecule"](), loss)
    case.loss.get_loss(case.vector)
    assert case.loss.is_converged(case.loss.latest)


def test_a_value_at_its_limit_has_converged():
    case = attach(SYSTEMS["molecule"](), with_forces())
    value = case.loss.evaluate(case.vector, False).energy_rmse
    exact = attach(SYSTEMS["molecule"](), with_forces(convergence={"energy_rmse": value}))
    assert exact.loss.is_converged(exact.loss.evaluate(case.vector, False))


def test_a_loss_that_is_not_a_number_has_not_converged():
    case = attach(SYSTEMS["molecule"](), with_forces(convergence={"energy_rmse": 1e9}))
    vector = case.vector.copy()
    vector[-1] = np.nan  # the slope of oxygen
    case.loss.get_loss(vector)
    assert not case.loss.is_converged(case.loss.latest)


def test_without_any_criterion_nothing_has_converged():
    case = attach(SYSTEMS["molecule"](), with_forces(convergence={"energy_rmse": None}))
    case.loss.get_loss(case.vector)
    assert not case.loss.is_converged(case.loss.latest)


def test_the_iteration_limit_is_raised_after_maxiter_evaluations():
    case = attach(SYSTEMS["molecule"](), with_forces(maxiter=3))
    for _ in range(2):
        case.loss.get_loss(case.vector)
    with pytest.raises(IterationLimitReached, match=r"3 times \(maxiter\)"):
        case.loss.get_loss(case.vector)


def test_defaults_are_those_that_are_documented():
    loss = LossFunction()
    assert (loss.energy_coefficient, loss.force_coefficient, loss.overfit) == (1.0, 0.04, 0.0)
    assert (loss.maxiter, loss.d, loss.weight_duplicates) == (100000, None, False)
    assert loss.convergence == {
        "energy_rmse": 0.001, "energy_maxresid": None, "force_rmse": None,
        "force_maxresid": None, "stress_rmse": None, "stress_maxresid": None,
    }  # fmt: skip


def test_a_criterion_of_forces_says_that_images_must_have_them():
    assert not LossFunction().needs_forces
    assert LossFunction(convergence={"force_maxresid": 0.1}).needs_forces


def test_a_criterion_without_its_coefficient_is_refused():
    with pytest.raises(ParameterError, match=r"'force_rmse'.*Give force_coefficient a value"):
        LossFunction(force_coefficient=None, convergence={"force_rmse": 0.1})
    with pytest.raises(ParameterError, match=r"'stress_rmse'.*Give stress_coefficient a value"):
        LossFunction(convergence={"stress_rmse": 0.1})


@pytest.mark.parametrize("limit", [-0.1, np.nan, "0.1", True])
def test_a_criterion_that_is_no_size_is_refused(limit):
    with pytest.raises(ParameterError, match=r"convergence\['energy_rmse'\]"):
        LossFunction(convergence={"energy_rmse": limit})


@pytest.mark.parametrize("name", ["d", "maxiter"])
@pytest.mark.parametrize("value", [0, -1, "much", np.nan])
def test_a_step_or_limit_that_is_not_positive_is_refused(name, value):
    with pytest.raises(ParameterError, match=f"{name} must be"):
        LossFunction(**{name: value})


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "heavy"])
def test_image_weights_that_are_no_weights_are_refused(weight):
    with pytest.raises(ParameterError, match=r"image_weights\['abc'\]"):
        LossFunction(image_weights={"abc": weight})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"convergence": 0.1}, r"convergence is a dict such as \{'energy_rmse': .*, not 0\.1"),
        ({"convergence": 0}, "convergence is a dict such as"),
        ({"convergence": ["energy_rmse"]}, "convergence is a dict such as"),
        ({"convergence": {5: 0.1}}, "no convergence criterion 5"),
        ({"overfit": "some"}, "overfit must be a finite number, not negative; got 'some'"),
        ({"energy_coefficient": [1.0]}, "energy_coefficient must be a finite number"),
        ({"image_weights": [1.0, 2.0]}, "image_weights is a dict such as"),
        ({"nft_ids": 3}, "nft_ids is a list of pairs"),
        ({"nft_ids": ["abc"]}, "nft_ids is a list of pairs"),
        ({"nft_ids": [("abc", "first")]}, "nft_ids is a list of pairs"),
        ({"nft_ids": [("abc", 0.5)]}, "nft_ids is a list of pairs"),
        ({"nft_ids": [(0, 1)]}, "nft_ids is a list of pairs"),
        ({"log_losses": "no"}, "log_losses must be True or False, not 'no'"),
        ({"weight_duplicates": 2.0}, "weight_duplicates must be True or False"),
        ({"accept_missing": [True]}, "accept_missing must be True or False"),
        ({"raise_ConvergenceOccurred": "yes"}, "raise_ConvergenceOccurred must be True or False"),
    ],
)
def test_settings_of_a_wrong_kind_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        LossFunction(**settings)


def test_the_loss_describes_itself_in_a_line():
    assert repr(LossFunction()) == (
        "LossFunction(energy_coefficient=1.0, force_coefficient=0.04, "
        "convergence={'energy_rmse': 0.001})"
    )
    assert "overfit=0.1, convergence={}" in repr(
        LossFunction(overfit=0.1, convergence={"energy_rmse": None})
    )


def test_nearest_force_training_needs_the_forces():
    with pytest.raises(ParameterError, match=r"nft_ids.*force_coefficient"):
        LossFunction(force_coefficient=None, nft_ids=[("abc", 0)])


def test_a_loss_without_data_says_what_to_do():
    with pytest.raises(ParameterError, match=r"train, or call attach\(\) first"):
        LossFunction().get_loss(np.zeros(3))


def test_detaching_forgets_the_data():
    case = attach(SYSTEMS["molecule"]())
    case.loss.detach()
    with pytest.raises(ParameterError, match="no data"):
        case.loss.get_loss(case.vector)


# -- log -----------------------------------------------------------------------------------------


def test_the_log_has_a_header_and_a_line_for_every_evaluation():
    lines = []
    loss = with_forces(convergence={"energy_rmse": 1e-9, "force_rmse": 1e9})
    case = attach(SYSTEMS["molecule"](), loss, log=lines.append)
    for _ in range(3):
        case.loss.get_loss(case.vector)
    heading = next(line for line in lines if "Loss (SSD)" in line)
    assert heading.split() == [
        "Step", "Time", "Loss", "(SSD)", "EnergyRMSE", "MaxResid", "ForceRMSE", "MaxResid",
    ]  # fmt: skip
    table = lines[lines.index(heading) + 2 :]
    assert [int(line.split()[0]) for line in table] == [0, 1, 2]
    fields = table[0].split()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", fields[1])
    assert_allclose(float(fields[2]), case.loss.latest.loss, rtol=1e-4)
    marks = fields[4::2]
    assert marks == ["-", "C", "C", "C"]  # a criterion that is None holds
    assert_allclose(float(fields[3]), case.loss.latest.energy_rmse, rtol=1e-4)
    assert_allclose(float(fields[9]), case.loss.latest.force_maxresid, rtol=1e-4)


def test_columns_stand_below_their_headings():
    lines = []
    case = attach(SYSTEMS["slab"](), with_stress(), log=lines.append)
    case.loss.get_loss(case.vector)
    heading, rule, row = lines[-3:]
    assert len(heading) == len(rule) == len(row)
    assert "StressRMSE" in heading


def test_a_continued_table_begins_with_its_heading_and_the_next_step():
    lines = []
    case = attach(SYSTEMS["molecule"](), log=lines.append, step=12)
    case.loss.get_loss(case.vector)
    case.loss.get_loss(case.vector)
    assert sum("Loss (SSD)" in line for line in lines) == 1
    assert [line.split()[0] for line in lines[-2:]] == ["12", "13"]


def test_losses_are_not_logged_when_not_asked_for():
    lines = []
    case = attach(SYSTEMS["molecule"](), LossFunction(log_losses=False), log=lines.append)
    case.loss.get_loss(case.vector)
    assert lines == []
