"""New processes find the kernels that an earlier one has compiled, wherever Amp is installed."""

import sys

import pytest


@pytest.fixture
def start(module):
    return module("_start")


@pytest.mark.parametrize("what", ["predict", "train"])
def test_a_second_process_compiles_nothing_and_imports_no_torch(start, tmp_path, what):
    here = start.Installation(tmp_path)
    first, second = here.first(what), here.first(what)
    assert second["compilations"] == 0
    assert not second["torch"]
    assert second["value"] == first["value"]


def test_the_first_forces_of_a_process_take_no_more_than_three_seconds(start, tmp_path):
    # Of the processor, the least of several: twice what is aimed at, for slower machines.
    here = start.Installation(tmp_path)
    assert min(here.first()["seconds"] for _ in range(3)) < 3.0


@pytest.mark.skipif(sys.platform != "linux", reason="root must give its powers up")
def test_kernels_can_be_imported_where_nothing_can_be_written(start, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with start.read_only_copy(tmp_path) as package:
        home.chmod(0o555)
        folders = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        installed = start.Installation(tmp_path, package, **folders)
        for module in ("core._neighbor_kernels", "descriptor._kernels", "model._kernels"):
            installed.python("-c", f"import amp.{module}")
    assert not list(home.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root must give its powers up")
def test_a_read_only_package_keeps_its_kernels_in_the_users_cache(start, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with start.read_only_copy(tmp_path) as package:
        folders = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        installed = start.Installation(tmp_path, package, **folders)
        first, second = installed.first(), installed.first()
        assert not list(package.rglob("*.nbi"))
    assert first["compilations"] > 0
    assert second["compilations"] == 0
    assert second["value"] == first["value"]
    assert list(home.rglob("*.nbi"))
