"""The warning about what is going away."""

import inspect
import warnings

import pytest

from amp.core.deprecation import warn_deprecated


def old_name(**where):
    warn_deprecated("old_name()", since="2.0", removed_in="3.0", use="new_name()", **where)


def test_the_warning_says_since_when_until_when_and_what_instead():
    with pytest.warns(DeprecationWarning, match="deprecated") as caught:
        old_name()
    assert str(caught[0].message) == (
        "old_name() is deprecated since Amp 2.0 and goes away in Amp 3.0; use new_name() instead."
    )


def test_the_warning_points_at_the_line_that_used_the_old_name():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old_name()
        here = inspect.currentframe().f_lineno
    assert caught[0].filename == __file__
    assert caught[0].lineno == here - 1


def test_without_a_successor_it_can_be_left_out():
    with pytest.warns(DeprecationWarning, match="it can be left out"):
        warn_deprecated("fortran", since="2.0", removed_in="3.0")
