"""The distribution holds what it should, and these tests look at the amp that is installed."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import amp

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def distribution():
    # Only where packages are installed: a build leaves metadata in the checkout as well.
    found = importlib.metadata.distributions(
        name="amp-potentials", path=[sysconfig.get_path("purelib")]
    )
    for each in found:
        return each
    pytest.skip("amp-potentials is not installed; the package is used from the checkout")


@pytest.fixture(scope="module")
def built():
    folder = os.environ.get("AMP_DISTRIBUTIONS", "")
    if not folder:
        pytest.skip("AMP_DISTRIBUTIONS does not say where the built archives are")
    return Path(folder)


@pytest.fixture(scope="module")
def wheel_files(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return wheel.namelist()


@pytest.fixture(scope="module")
def source_files(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def is_editable(distribution):
    return '"editable": true' in (distribution.read_text("direct_url.json") or "")


def test_the_tested_package_is_the_installed_one(distribution):
    if is_editable(distribution):
        assert Path(amp.__file__).parent == CHECKOUT / "amp"
    else:
        assert Path(amp.__file__).samefile(distribution.locate_file("amp/__init__.py"))


def test_a_process_started_by_a_test_sees_the_same_package(distribution):
    if sys.version_info < (3, 11) and not is_editable(distribution):
        pytest.skip("before Python 3.11 a process started in the checkout always sees the checkout")
    if "PYTHONSAFEPATH" not in os.environ and not is_editable(distribution):
        pytest.skip("without PYTHONSAFEPATH a process started in the checkout sees the checkout")
    shown = subprocess.run(
        [sys.executable, "-c", "import amp; print(amp.__file__)"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(shown.stdout.strip()).samefile(amp.__file__)


def test_metadata_has_the_version_of_the_package(distribution):
    if is_editable(distribution):
        pytest.skip("an editable installation keeps the version of the day it was made")
    assert distribution.version == amp.__version__


def test_the_commands_start_their_command_lines(distribution):
    points = [point for point in distribution.entry_points if point.group == "console_scripts"]
    assert {point.name: point.value for point in points} == {
        "amp": "amp.cli.main:main",
        "amp-compress": "amp.cli.compress:main",
    }
    assert all(callable(point.load()) for point in points)


def test_type_checkers_find_the_annotations():
    assert (Path(amp.__file__).parent / "py.typed").is_file()


def test_wheel_holds_the_package_and_nothing_else(wheel_files):
    assert {name.split("/")[0] for name in wheel_files if ".dist-info/" not in name} == {"amp"}
    assert "amp/py.typed" in wheel_files
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in wheel_files)


def test_wheel_holds_every_module_of_the_checkout(wheel_files):
    modules = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "amp").rglob("*.py")}
    assert modules == {name for name in wheel_files if name.endswith(".py")}


def test_source_archive_holds_tests_docs_and_examples(source_files):
    for folder in ("amp", "docs", "examples", "tests", "tools"):
        in_checkout = {
            path.relative_to(CHECKOUT).as_posix()
            for path in (CHECKOUT / folder).rglob("*")
            if path.suffix in (".py", ".rst", ".amp", ".extxyz", ".json", ".npz") and path.is_file()
        }
        assert in_checkout, f"{folder} is empty"
        assert in_checkout <= set(source_files), sorted(in_checkout - set(source_files))
    assert not [name for name in source_files if "__pycache__" in name]


def test_every_requirement_has_a_lower_bound(distribution):
    requirements = [text.partition(";")[0].strip() for text in distribution.requires or []]
    unbounded = [
        text
        for text in requirements
        if not text.startswith("amp-potentials") and not re.search(r">=|==", text)
    ]
    assert not unbounded, f"no lower bound: {unbounded}"
