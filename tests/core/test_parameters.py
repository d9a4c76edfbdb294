"""A dictionary with attribute access."""

import copy
import pickle

import pytest

from amp.core.parameters import Parameters


def test_entries_are_attributes():
    parameters = Parameters(cutoff=6.5)
    assert parameters.cutoff == 6.5
    parameters.mode = "atom-centered"
    assert parameters["mode"] == "atom-centered"
    del parameters.cutoff
    assert parameters == {"mode": "atom-centered"}


def test_a_missing_attribute_is_an_attribute_error_that_lists_the_others():
    with pytest.raises(AttributeError, match="'cutof'; known: cutoff"):
        _ = Parameters(cutoff=6.5).cutof
    with pytest.raises(AttributeError, match="'cutof'"):
        del Parameters(cutoff=6.5).cutof
    assert not hasattr(Parameters(), "cutoff")


def test_methods_stay_methods():
    parameters = Parameters(keys=1)
    assert list(parameters.keys()) == ["keys"]
    assert parameters["keys"] == 1


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, Parameters.copy, lambda p: pickle.loads(pickle.dumps(p))],
)
def test_copies_are_equal_separate_and_of_the_same_class(duplicate):
    original = Parameters(weights={"Cu": [1.0]}, mode="atom-centered")
    twin = duplicate(original)
    assert twin == original
    assert type(twin) is Parameters
    twin.mode = "image-centered"
    assert original.mode == "atom-centered"


def test_deep_copies_share_nothing():
    original = Parameters(weights={"Cu": [1.0]})
    copy.deepcopy(original).weights["Cu"][0] = 2.0
    assert original.weights == {"Cu": [1.0]}


def test_completion_shows_the_entries():
    assert {"cutoff", "items"} <= set(dir(Parameters(cutoff=6.5)))
