"""Angular functions by moments against the same by triplets, and when which is taken."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from descriptor.from_python import FromPython
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.neighbors import neighbor_pairs
from amp.descriptor import _choice_kernels, _work
from amp.descriptor import _evaluation as evaluation
from amp.descriptor._derivative_kernels import pair_blocks
from amp.descriptor._plan import _harmonics, _in_legendre, make_plan
from amp.descriptor.cutoffs import Cosine, Tanh3
from amp.descriptor.gaussian import Gaussian, make_symmetry_functions
from amp.descriptor.symmetry_functions import check_symmetry_functions
from amp.testing import ELEMENTS, DescriptorSuite, random_potential


def by(way, plan):
    """Make a plan by which all functions that can go by moments do, or none."""
    return plan._replace(
        triplet_costs=np.full_like(plan.triplet_costs, float(way == "moments")),
        moment_costs=np.full_like(plan.moment_costs, float(way == "triplets")),
        fewest=2,
    )


class GaussianByMoments(Gaussian):
    """One that takes moments wherever it can."""

    def _ready(self):
        compiled = super()._ready()
        compiled.plan = by("moments", compiled.plan)
        return compiled


G5 = make_symmetry_functions(
    ELEMENTS, "G5", [0.01, 2.0], zetas=[1, 3, 8, 2.5], gammas=[1.0, -0.7, -1.0], offsets=[0.0, 0.8]
)


class TestGaussianByMoments(DescriptorSuite):
    descriptor = GaussianByMoments(cutoff=4.5, Gs=G5)


class TestGaussianByMomentsOfLargerCrystals(DescriptorSuite):
    """The choice is the descriptor's own, and falls on moments for most atoms of crystals."""

    descriptor = Gaussian(
        cutoff=6.5,
        Gs=make_symmetry_functions(ELEMENTS, "G5", [0.005], zetas=[1, 4], gammas=[1.0, -1.0]),
    )


def random_functions(rng, elements):
    """Functions of all kinds, those that moments can do and others."""
    functions = [{"type": "G2", "element": e, "eta": 1.0, "offset": 0.5} for e in elements]
    for a in elements:
        for b in elements:
            for zeta in (1, 2, 3, 4, 5, 6, 7, 8, 16, 2.5):
                if rng.random() < 0.4:
                    kind = str(rng.choice(["G5", "G5", "G5", "G4"]))
                    function = {
                        "type": kind, "elements": [a, b], "zeta": zeta,
                        "eta": float(rng.choice([0.5, 2.0, 3.0])),
                        "gamma": float(rng.choice([1.0, -1.0, rng.uniform(-1, 1)])),
                        "offset": float(rng.choice([0.0, 0.8])),
                    }  # fmt: skip
                    own = {"cutoff": Tanh3(4.2)} if rng.random() < 0.3 else {}
                    functions.append(function | own)
    return functions


def everything(plan, species, pairs):
    """Evaluate all that kernels do, with random slopes and velocities."""
    rng = np.random.default_rng(5)
    starts = np.concatenate([[0], np.cumsum(plan.lengths[species])]).astype(np.int64)
    first, size = starts[:-1], starts[-1]
    values, rates, filled = np.empty(size), np.empty(size), np.empty(size)
    evaluation.fill_values(plan, species, pairs, first, values)
    gradient, strain = evaluation.contract(plan, species, pairs, first, rng.normal(size=size))
    _, atoms, block_of_pair = pair_blocks(pairs.starts, pairs.second)
    width = 3 * plan.lengths.max()
    blocks, strains = np.zeros(len(atoms) * width), np.empty(6 * size)
    evaluation.fill_derivatives(
        plan, species, pairs, first, filled, block_of_pair, np.arange(len(atoms) + 1) * width,
        blocks, strains,
    )  # fmt: skip
    motion, turn = rng.normal(size=(len(species), 3)), rng.normal(size=(3, 3))
    evaluation.fill_tangents(plan, species, pairs, motion, turn, first, rates)
    return {
        "values": values, "values with derivatives": filled, "gradient": gradient,
        "strain": strain, "blocks": blocks, "strain derivatives": strains, "tangents": rates,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_moments_and_triplets_give_the_same(seed):
    rng = np.random.default_rng(seed)
    elements = ("A", "B", "C")[: 1 + seed % 3]
    Gs = {element: random_functions(rng, elements) for element in elements}
    plan = make_plan(Gs, elements, Cosine(5.0))
    atoms = bulk("Cu", cubic=bool(seed % 2)) * (2, 2, 1)
    atoms.rattle(0.1, seed=seed)
    species = rng.integers(0, len(elements), len(atoms))
    pairs = neighbor_pairs(atoms, plan.cutoff)
    moments, triplets = (
        everything(by(way, plan), species, pairs) for way in ("moments", "triplets")
    )
    assert np.any(moments["values"] != triplets["values"])  # these are two ways
    for name, expected in triplets.items():
        assert np.any(expected), name
        scale = np.abs(expected).max()
        assert_allclose(moments[name], expected, rtol=0, atol=1e-13 * scale, err_msg=name)


def test_moments_of_more_neighbors_than_a_batch_are_those_of_all():
    Gs = {"Cu": random_functions(np.random.default_rng(3), ["Cu"])}
    plan = make_plan(Gs, ("Cu",), Cosine(10.0))
    atoms = bulk("Cu").repeat((1, 1, 2))
    atoms.rattle(0.05, seed=0)
    pairs = neighbor_pairs(atoms, plan.cutoff)
    assert np.diff(pairs.starts).min() > 300
    species = np.zeros(2, dtype=np.int64)
    moments, triplets = (
        everything(by(way, plan), species, pairs) for way in ("moments", "triplets")
    )
    for name, expected in triplets.items():
        assert_allclose(moments[name], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_functions_of_fewer_than_two_neighbors_are_exactly_0():
    Gs = check_symmetry_functions(G5, ELEMENTS)
    plan = by("moments", make_plan(Gs, ELEMENTS, Cosine(4.5)))._replace(fewest=0)
    pairs = neighbor_pairs(Atoms("HO", positions=[[0, 0, 0], [0.9, 0.4, 0.3]]), 4.5)
    species = np.array([ELEMENTS.index("H"), ELEMENTS.index("O")])
    for name, found in everything(plan, species, pairs).items():
        assert_array_equal(found, 0.0, err_msg=name)


def group_of(descriptor, atoms, center=0):
    """Tell which groups of functions of an atom go by triplets: 0, or beyond if moments do."""
    plan = descriptor._ready().plan
    pairs = neighbor_pairs(atoms, plan.cutoff)
    species = descriptor.species(atoms.numbers)
    lo, hi = pairs.starts[center], pairs.starts[center + 1]
    work = FromPython(_work).make_work(plan, pairs.starts, pairs.distances)
    choice = FromPython(_choice_kernels)
    return choice.first_group(plan, work, species[center], lo, hi, species, pairs.second)


def test_moments_are_taken_in_a_metal_and_triplets_in_a_molecule():
    functions = make_symmetry_functions(["Cu"], "G5", [0.01, 1.0], zetas=[1, 4], gammas=[1, -1])
    metal = Gaussian(cutoff=6.5, Gs=functions, elements=["Cu"])
    assert group_of(metal, bulk("Cu", cubic=True)) > 0
    functions = make_symmetry_functions(["C", "H"], "G5", [0.01, 1.0], zetas=[1, 4], gammas=[1, -1])
    organic = Gaussian(cutoff=6.5, Gs=functions, elements=["C", "H"])
    assert group_of(organic, molecule("CH4")) == 0
    assert group_of(organic, molecule("C6H6")) == 0


@pytest.mark.parametrize("kind", ["G2", "G4"])
def test_descriptors_without_whole_g5_have_no_moments(kind):
    more = {} if kind == "G2" else {"zetas": [1, 4], "gammas": [1, -1]}
    functions = make_symmetry_functions(["Cu"], kind, [0.01, 1.0], **more)
    descriptor = Gaussian(cutoff=6.5, Gs=functions, elements=["Cu"])
    assert not descriptor._ready().plan.has_moments
    assert group_of(descriptor, bulk("Cu", cubic=True)) == 0


def test_forces_and_stress_of_a_potential_by_moments_match_its_energy():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=2)
    functions = make_symmetry_functions(["Cu"], "G5", [0.01, 1.0], zetas=[1, 4], gammas=[1, -1])
    descriptor = Gaussian(cutoff=6.0, Gs=functions)
    images = [atoms.copy() for _ in range(4)]
    for seed, image in enumerate(images):
        image.rattle(0.1, seed=seed)
    atoms.calc = random_potential(descriptor, images, 1)
    assert group_of(descriptor, atoms) > 0
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(expected).max() > 0.01
    assert_allclose(atoms.get_forces(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    expected = calculate_numerical_stress(atoms, eps=1e-6)
    assert_allclose(atoms.get_stress(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_time_grows_like_the_number_of_neighbors():
    Gs = {"Cu": make_symmetry_functions(["Cu"], "G5", [0.01, 1.0], zetas=[1, 4], gammas=[1, -1])}
    atoms, species, out = bulk("Cu"), np.zeros(1, dtype=np.int64), np.empty(8)

    def seconds(way, cutoff):
        plan = by(way, make_plan(Gs, ("Cu",), Cosine(cutoff)))
        pairs = neighbor_pairs(atoms, cutoff)
        times = []
        for _ in range(8):
            start = time.process_time()
            for _ in range(20):
                evaluation.fill_values(plan, species, pairs, np.zeros(1, dtype=np.int64), out)
            times.append(time.process_time() - start)
        return len(pairs.second), min(times)

    near, few = seconds("moments", 7.0)
    far, many = seconds("moments", 20.0)
    assert far > 20 * near
    assert many < 3 * far / near * few
    assert many < 0.05 * seconds("triplets", 20.0)[1]


@pytest.mark.parametrize("gamma", [1.0, -1.0, 0.3, -2.0, 0.0])
def test_legendre_series_are_the_angular_terms(gamma):
    x = np.linspace(-1, 1, 7)
    for zeta in range(1, 9):
        series = np.polynomial.legendre.legval(x, _in_legendre(gamma, zeta))
        assert_allclose(series, 2.0 ** (1 - zeta) * (1 + gamma * x) ** zeta, atol=1e-13 * 3.0**zeta)


def test_harmonics_obey_the_addition_theorem():
    steps, factors, weights = _harmonics()
    rng = np.random.default_rng(0)
    units = rng.normal(size=(2, 3))
    units /= np.linalg.norm(units, axis=1)[:, None]
    rows = np.ones((len(weights), 2))
    rows[1:4] = np.array([0.5 * units[:, 1], units[:, 2], 0.5 * units[:, 0]])
    for i in range(4, len(weights)):
        a, b, c, d = rows[steps[i]]
        rows[i] = factors[i, 0] * a * b + factors[i, 1] * c * d
    for level in range(9):
        own = slice(level**2, (level + 1) ** 2)
        legendre = np.polynomial.legendre.Legendre.basis(level)(units[0] @ units[1])
        assert_allclose(np.sum(weights[own] * rows[own, 0] * rows[own, 1]), legendre, atol=1e-14)
