"""Scaling of fingerprints by their range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from amp.model.scaling import fingerprint_ranges, range_scaling


def test_ranges_are_minimum_and_maximum_of_each_function():
    assert fingerprint_ranges(np.array([[1.0, -2.0], [0.5, 3.0], [0.7, 0.0]])) == [
        (0.5, 1.0),
        (-2.0, 3.0),
    ]


def test_ranges_are_plain_numbers_that_can_be_written():
    ((low, high),) = fingerprint_ranges(np.array([[1.0], [2.0]]))
    assert type(low) is type(high) is float


@given(arrays(float, (5, 3), elements=st.floats(-100.0, 100.0)))
def test_the_images_of_a_range_fill_minus_one_to_one(fingerprints):
    slope, shift = range_scaling(fingerprint_ranges(fingerprints))
    scaled = slope * fingerprints + shift
    width = np.ptp(fingerprints, axis=0)
    for k in range(3):
        if width[k] <= 1e-8:
            assert_array_equal(scaled[:, k], fingerprints[:, k])
        else:
            tolerance = 1e-12 + 4e-16 * 200.0 / width[k]
            assert_allclose(scaled[:, k].min(), -1.0, atol=tolerance)
            assert_allclose(scaled[:, k].max(), 1.0, atol=tolerance)


def test_the_middle_of_a_range_becomes_zero():
    slope, shift = range_scaling([(2.0, 6.0)])
    assert_allclose([slope[0] * x + shift[0] for x in (2.0, 4.0, 6.0)], [-1.0, 0.0, 1.0])


@pytest.mark.parametrize("width", [0.0, 1e-8])
def test_constant_functions_are_left_as_they_are(width):
    slope, shift = range_scaling([(3.0, 3.0 + width / 2), (0.0, 1.0)])
    assert (slope[0], shift[0]) == (1.0, 0.0)
    assert (slope[1], shift[1]) == (2.0, -1.0)


def test_a_range_just_wide_enough_is_scaled():
    slope, _ = range_scaling([(0.0, 1.1e-8)])
    assert_allclose(slope, 2.0 / 1.1e-8)


def test_no_functions_give_no_scaling():
    slope, shift = range_scaling([])
    assert slope.shape == shift.shape == (0,)
