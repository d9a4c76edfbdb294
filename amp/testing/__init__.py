"""For those who add a part: conformance suites, structures to try, and checks by differences.

Needs pytest and hypothesis; nothing else in the package imports it.
"""

from amp.testing.differences import (
    assert_forces_match_energy,
    assert_stress_matches_energy,
    derivative,
    forces_by_differences,
    stress_by_differences,
)
from amp.testing.fingerprints import dense_derivatives, dense_strain_derivatives, keeps_clear_of
from amp.testing.potentials import random_potential
from amp.testing.strategies import ELEMENTS, clusters, crystals, seeds
from amp.testing.suites import DescriptorSuite

__all__ = [
    "ELEMENTS",
    "DescriptorSuite",
    "assert_forces_match_energy",
    "assert_stress_matches_energy",
    "clusters",
    "crystals",
    "dense_derivatives",
    "dense_strain_derivatives",
    "derivative",
    "forces_by_differences",
    "keeps_clear_of",
    "random_potential",
    "seeds",
    "stress_by_differences",
]
