"""Looking parts up by name."""

from collections.abc import Mapping

import pytest

from amp.core.errors import AmpError, UnknownNameError
from amp.core.registry import Registry


@pytest.fixture
def registry():
    registry = Registry("descriptor")
    registry.add("gaussian", "the gaussian")
    return registry


def test_registered_parts_are_found_by_name():
    registry = Registry("descriptor")

    @registry.register("gaussian")
    class Gaussian:
        pass

    assert registry["gaussian"] is Gaussian
    assert list(registry) == ["gaussian"]
    assert len(registry) == 1
    assert isinstance(registry, Mapping)


def test_an_unknown_name_gets_the_nearest_known_one(registry):
    with pytest.raises(UnknownNameError) as caught:
        registry["gausian"]
    assert str(caught.value) == (
        "There is no descriptor called 'gausian'; known: gaussian. Did you mean 'gaussian'?"
    )


def test_a_name_unlike_any_other_gets_the_list_alone(registry):
    with pytest.raises(KeyError) as caught:
        registry["zernike"]
    assert str(caught.value) == "There is no descriptor called 'zernike'; known: gaussian."


def test_the_nearest_name_does_not_depend_on_capitals(registry):
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        registry["Gaussian"]


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownNameError, match="known: none"):
        Registry("engine")["lammps"]


@pytest.mark.parametrize("name", [None, 3, ["gaussian"]])
def test_a_name_that_is_no_text_is_unknown(registry, name):
    assert name not in registry
    with pytest.raises(UnknownNameError):
        registry[name]


def test_membership_and_get_do_not_raise(registry):
    assert "gaussian" in registry
    assert registry.get("zernike") is None


def test_a_name_is_given_once(registry):
    registry.add("gaussian", registry["gaussian"])
    with pytest.raises(ValueError, match="already a descriptor called 'gaussian'"):
        registry.add("gaussian", "another")


def test_the_error_is_an_amp_error(registry):
    with pytest.raises(AmpError):
        registry["x"]


def test_repr_tells_kind_and_names(registry):
    assert repr(registry) == "Registry('descriptor': gaussian)"
