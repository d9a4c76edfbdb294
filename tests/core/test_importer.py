"""Loading what has moved between versions of other packages."""

import ase.neighborlist
import pexpect.pxssh
import pytest

from amp.core import importer as module
from amp.core.importer import importer


def test_known_names_give_what_they_mean():
    assert importer("NeighborList") is ase.neighborlist.NeighborList
    assert importer("pxssh") is pexpect.pxssh


def test_an_unknown_name_is_an_import_error_with_the_known_ones():
    with pytest.raises(ImportError, match="'os'; known names: NeighborList, pxssh"):
        importer("os")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(module.PLACES, "pxssh", [("no_such_package_here", None)])
    with pytest.raises(ImportError, match="no_such_package_here, which is not installed"):
        importer("pxssh")
