"""Conformance suites: what every part of a kind owes its users, as tests to inherit."""

from __future__ import annotations

import itertools
import json
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from amp.core.errors import ImageError, UnsupportedElementError
from amp.core.fingerprints import Fingerprints
from amp.core.images import hash_images
from amp.core.neighbors import neighbor_pairs
from amp.core.serialization import from_jsonable, to_jsonable
from amp.core.typing import FloatArray
from amp.descriptor.base import Descriptor
from amp.testing.differences import STRAIN_STEP, VOIGT, derivative
from amp.testing.fingerprints import (
    dense_derivatives,
    dense_strain_derivatives,
    keeps_clear_of,
)
from amp.testing.strategies import ELEMENTS, clusters, crystals, seeds

__all__ = ["DescriptorSuite"]

# The suite is inherited on purpose, which hypothesis would complain about.
_tried = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


class DescriptorSuite:
    """What every descriptor owes its users.  Subclass, supply `descriptor`, done.

    Attributes
    ----------
    descriptor : Descriptor
        The one to test; it is prepared for `elements`.
    elements : tuple of str
        Those of the structures that `amp.testing.clusters` and `crystals` draw.
    radii : tuple of float
        Cutoff radii besides `descriptor.cutoff`, if it has several.
    """

    descriptor: ClassVar[Descriptor]
    elements: ClassVar[tuple[str, ...]] = ELEMENTS
    radii: ClassVar[tuple[float, ...]] = ()

    @classmethod
    def setup_class(cls) -> None:
        """Tell the descriptor the elements, as training does."""
        cls.descriptor.prepare(cls.elements)

    def test_is_a_descriptor(self) -> None:
        """It has all methods of the contract."""
        assert isinstance(self.descriptor, Descriptor)

    @_tried
    @given(atoms=clusters(), seed=seeds())
    def test_rotation_leaves_fingerprints_unchanged(self, atoms: Atoms, seed: int) -> None:
        """Turned clusters have the same fingerprints."""
        turned = atoms.copy()
        turned.positions = atoms.positions @ random_rotation(seed).T
        self._assert_same(turned, atoms)

    @_tried
    @given(atoms=crystals(), seed=seeds())
    def test_rotation_of_a_crystal_leaves_fingerprints_unchanged(
        self, atoms: Atoms, seed: int
    ) -> None:
        """Turned crystals have the same fingerprints."""
        rotation = random_rotation(seed)
        turned = atoms.copy()
        turned.positions = atoms.positions @ rotation.T
        turned.set_cell(atoms.cell.array @ rotation.T)
        self._assert_same(turned, atoms)

    @_tried
    @given(atoms=clusters())
    def test_reflection_leaves_fingerprints_unchanged(self, atoms: Atoms) -> None:
        """Mirror images have the same energy, and so the same fingerprints."""
        mirrored = atoms.copy()
        mirrored.positions[:, 0] *= -1.0
        self._assert_same(mirrored, atoms)

    @_tried
    @given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
    def test_translation_leaves_fingerprints_unchanged(self, atoms: Atoms, seed: int) -> None:
        """Moved structures have the same fingerprints, also across the faces of the cell."""
        moved = atoms.copy()
        moved.positions += np.random.default_rng(seed).uniform(-10.0, 10.0, 3)
        self._assert_same(moved, atoms)

    @_tried
    @given(atoms=crystals(), seed=seeds())
    def test_lattice_moves_leave_fingerprints_unchanged(self, atoms: Atoms, seed: int) -> None:
        """Any periodic image of an atom stands for the atom."""
        moved = atoms.copy()
        steps = np.random.default_rng(seed).integers(-2, 3, (len(atoms), 3)) * atoms.pbc
        moved.positions += steps @ atoms.cell.array
        self._assert_same(moved, atoms)

    @_tried
    @given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
    def test_permutation_permutes_fingerprints(self, atoms: Atoms, seed: int) -> None:
        """Fingerprints belong to atoms, whatever their order."""
        order = np.random.default_rng(seed).permutation(len(atoms))
        assert_allclose(
            fingerprints(self.descriptor, atoms[order]),
            fingerprints(self.descriptor, atoms)[order],
            rtol=1e-10,
            atol=1e-10,
        )

    @_tried
    @given(atoms=crystals(), direction=st.integers(0, 2))
    def test_supercell_repeats_fingerprints(self, atoms: Atoms, direction: int) -> None:
        """A cell and two of them side by side are the same crystal."""
        assume(atoms.pbc[direction])
        repeats = [1, 1, 1]
        repeats[direction] = 2
        assert_allclose(
            fingerprints(self.descriptor, atoms.repeat(repeats)),
            np.tile(fingerprints(self.descriptor, atoms), (2, 1)),
            rtol=1e-10,
            atol=1e-10,
        )

    @_tried
    @given(atoms=clusters(), seed=seeds())
    def test_atoms_out_of_reach_change_nothing(self, atoms: Atoms, seed: int) -> None:
        """What is further away than the cutoff is not seen."""
        rng = np.random.default_rng(seed)
        away = rng.standard_normal(3)
        reach = self.descriptor.cutoff + np.abs(atoms.positions).max() * 4.0 + 0.01
        larger = atoms.copy()
        larger.append(self.elements[seed % len(self.elements)])
        larger.positions[-1] = atoms.positions[0] + away / np.linalg.norm(away) * reach
        assert_array_equal(
            fingerprints(self.descriptor, larger)[: len(atoms)],
            fingerprints(self.descriptor, atoms),
        )

    def test_fingerprints_are_continuous_at_the_cutoff(self) -> None:
        """Nothing jumps when an atom comes into reach of others, nor do derivatives."""
        small = 1e-7
        for radius in {self.descriptor.cutoff, *self.radii}:
            for trio in itertools.product(self.elements, repeat=3):
                inside, at, outside = (
                    self._with_derivatives(
                        Atoms(trio, positions=[[0, 0, 0], [r, 0, 0], [0.45 * radius, 1.2, 0.3]])
                    )
                    for r in (radius - small, radius, radius + small)
                )
                slopes = dense_derivatives(at)
                for side, change in ((inside, -small), (outside, small)):
                    expected = at.values + change * slopes[:, 1, 0]
                    assert_allclose(side.values, expected, rtol=0.0, atol=1e-11)
                    assert_allclose(dense_derivatives(side), slopes, rtol=0.0, atol=1e-5)

    @_tried
    @given(atoms=st.one_of(clusters(), crystals()))
    def test_derivatives_match_differences(self, atoms: Atoms) -> None:
        """Stored derivatives are those of the fingerprints with respect to all positions."""
        assume(keeps_clear_of((self.descriptor.cutoff, *self.radii), atoms))
        stored = dense_derivatives(self._with_derivatives(atoms))
        scale = 1.0 + np.abs(stored).max(initial=0.0)
        for atom, direction in np.ndindex(len(atoms), 3):

            def values(shift: float, atom: int = atom, direction: int = direction) -> FloatArray:
                moved = atoms.copy()
                moved.positions[atom, direction] += shift
                return self._fingerprint(moved).values

            assert_allclose(
                stored[:, atom, direction], derivative(values, 1e-3), rtol=1e-6, atol=1e-8 * scale
            )

    @_tried
    @given(atoms=crystals())
    def test_strain_derivatives_match_differences(self, atoms: Atoms) -> None:
        """Stored derivatives with respect to strain are those of the fingerprints."""
        assume(keeps_clear_of((self.descriptor.cutoff, *self.radii), atoms))
        stored = dense_strain_derivatives(self._with_derivatives(atoms))
        scale = 1.0 + np.abs(stored).max(initial=0.0)
        for component, (a, b) in enumerate(VOIGT):

            def values(strain: float, a: int = a, b: int = b) -> FloatArray:
                strained = atoms.copy()
                deformation = np.eye(3)
                deformation[a, b] += 0.5 * strain
                deformation[b, a] += 0.5 * strain
                strained.set_cell(atoms.cell.array @ deformation, scale_atoms=False)
                strained.positions = atoms.positions @ deformation
                return self._fingerprint(strained).values

            assert_allclose(
                stored[:, component],
                derivative(values, STRAIN_STEP),
                rtol=1e-6,
                atol=1e-8 * scale,
            )

    @_tried
    @given(atoms=st.one_of(clusters(), crystals()), seed=seeds())
    def test_contraction_agrees_with_stored_derivatives(self, atoms: Atoms, seed: int) -> None:
        """Both ways from dE/dG to forces and stress give the same."""
        result = self._with_derivatives(atoms)
        slopes = np.random.default_rng(seed).standard_normal(result.layout.size)
        pairs = neighbor_pairs(atoms, self.descriptor.cutoff)
        gradient = self.descriptor.contract(pairs, self._fingerprint(atoms), slopes)
        positions = np.einsum("g,gad->ad", slopes, dense_derivatives(result))
        scale = 1e-11 * (1.0 + np.abs(dense_derivatives(result)).sum())
        assert_allclose(gradient.positions, positions, rtol=1e-10, atol=scale)
        strain = slopes @ dense_strain_derivatives(result)
        assert_allclose([gradient.strain[ab] for ab in VOIGT], strain, rtol=1e-10, atol=10 * scale)
        assert_allclose(gradient.strain, gradient.strain.T, rtol=1e-10, atol=10 * scale)

    @_tried
    @given(atoms=clusters(), seed=seeds())
    def test_contraction_conserves_momentum_and_angular_momentum(
        self, atoms: Atoms, seed: int
    ) -> None:
        """Forces within a cluster sum to nothing, and so do their torques."""
        pairs = neighbor_pairs(atoms, self.descriptor.cutoff)
        result = self._fingerprint(atoms)
        slopes = np.random.default_rng(seed).standard_normal(result.layout.size)
        forces = -self.descriptor.contract(pairs, result, slopes).positions
        tolerance = 1e-11 * (1.0 + np.abs(forces).sum())
        assert_allclose(forces.sum(axis=0), 0.0, atol=tolerance)
        assert_allclose(np.cross(atoms.positions, forces).sum(axis=0), 0.0, atol=10 * tolerance)

    @_tried
    @given(images=st.lists(st.one_of(clusters(), crystals()), min_size=1, max_size=5))
    def test_images_together_have_the_fingerprints_they_have_alone(
        self, images: list[Atoms]
    ) -> None:
        """A set of images is the sum of its parts, with and without derivatives."""
        hashed = hash_images(images)
        together = self.descriptor.fingerprint_images(hashed)
        derived = self.descriptor.fingerprint_images(hashed, derivatives=True, strain=True)
        assert_array_equal(together.values, derived.values)
        atom = 0
        for atoms in hashed.values():
            alone = self._fingerprint(atoms)
            for i in range(len(atoms)):
                assert_array_equal(together.of_atom(atom), alone.of_atom(i))
                atom += 1
        assert atom == together.layout.n_atoms

    def test_description_makes_an_equal_descriptor(self) -> None:
        """`from_dict` of `to_dict`, by way of JSON text, gives the same fingerprints."""
        text = json.dumps(to_jsonable(self.descriptor.to_dict()))
        again = type(self.descriptor).from_dict(from_jsonable(json.loads(text)))  # type: ignore[attr-defined]
        atoms = self._example()
        assert_array_equal(fingerprints(again, atoms), fingerprints(self.descriptor, atoms))
        assert again.cutoff == self.descriptor.cutoff

    def test_structure_is_left_as_it_was(self) -> None:
        """Computing changes nothing in the atoms given."""
        atoms = self._example()
        before = atoms.copy()
        self._with_derivatives(atoms)
        assert atoms == before

    def test_unknown_element_is_refused_by_name(self) -> None:
        """An element that was not prepared for is named in the error."""
        atoms = self._example()
        atoms.symbols[0] = "Xe"
        with pytest.raises(UnsupportedElementError, match="Xe"):
            self._fingerprint(atoms)
        with pytest.raises(UnsupportedElementError, match=r"Image 0.*Xe"):
            self.descriptor.fingerprint_images(hash_images([atoms]))

    def test_atoms_on_top_of_each_other_are_refused(self) -> None:
        """Two atoms in one place have no fingerprint."""
        atoms = self._example()
        atoms.positions[1] = atoms.positions[0]
        with pytest.raises(ImageError, match="Image 0"):
            self.descriptor.fingerprint_images(hash_images([atoms]))

    def _example(self) -> Atoms:
        """Give a small structure with all elements."""
        n = len(self.elements)
        positions = np.random.default_rng(0).uniform(0.0, 0.4, (n, 3)) + 1.3 * np.eye(n, 3)
        return Atoms(self.elements, positions=positions + np.arange(n)[:, None] * 0.9)

    def _fingerprint(self, atoms: Atoms) -> Fingerprints:
        pairs = neighbor_pairs(atoms, self.descriptor.cutoff)
        return self.descriptor.fingerprint(pairs, atoms.numbers)

    def _with_derivatives(self, atoms: Atoms) -> Fingerprints:
        return self.descriptor.fingerprint_images({"image": atoms}, derivatives=True, strain=True)

    def _assert_same(self, atoms: Atoms, others: Atoms) -> None:
        assert_allclose(
            fingerprints(self.descriptor, atoms),
            fingerprints(self.descriptor, others),
            rtol=1e-10,
            atol=1e-10,
        )


def fingerprints(descriptor: Any, atoms: Atoms) -> FloatArray:
    """Compute fingerprints as rows, shape (n_atoms, longest), shorter ones filled with NaN."""
    result = descriptor.fingerprint(neighbor_pairs(atoms, descriptor.cutoff), atoms.numbers)
    rows = np.full((len(atoms), int(result.layout.lengths.max())), np.nan)
    for i in range(len(atoms)):
        values = result.of_atom(i)
        rows[i, : len(values)] = values
    return rows


def random_rotation(seed: int) -> FloatArray:
    """Draw a proper rotation matrix."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)
