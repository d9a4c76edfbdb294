"""Importing Amp is quick and loads nothing that a command or a worker may not need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import amp

SECONDS_ALLOWED = 0.3
NEVER_LOADED = ["dask", "distributed", "matplotlib", "numba", "pandas", "torch"]
LOADED_ON_USE = [*NEVER_LOADED, "ase.io", "pexpect", "rich", "scipy.optimize", "zmq"]


def in_fresh_python(code, folder):
    """Run code in a new interpreter that sees the amp under test; return the JSON it prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(amp.__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is what an installed package has
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [("import amp", [*LOADED_ON_USE, "ase", "numpy"]), ("from amp import Amp", LOADED_ON_USE)],
)
def test_importing_loads_no_heavy_library(statement, unwanted, tmp_path):
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    assert set(unwanted).isdisjoint(in_fresh_python(code, tmp_path))


@pytest.mark.parametrize("statement", ["import amp", "from amp import Amp"])
def test_importing_takes_less_than_a_third_of_a_second(statement, tmp_path):
    # Processor time and the best of several: a busy machine must not fail this.
    code = (
        "import json, time; start = time.process_time()\n"
        f"{statement}\nprint(json.dumps(time.process_time() - start))"
    )
    in_fresh_python(code, tmp_path)  # writes the bytecode
    seconds = [in_fresh_python(code, tmp_path) for _ in range(5)]
    assert min(seconds) < SECONDS_ALLOWED, f"{statement} took {seconds} s"


def test_amp_is_the_calculator_class():
    from amp.calculator import Amp

    assert amp.Amp is Amp


def test_all_public_names_are_listed_before_they_are_loaded(tmp_path):
    code = "import amp, json; print(json.dumps(dir(amp)))"
    assert {"Amp", "__version__"} <= set(in_fresh_python(code, tmp_path))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'amp' has no attribute 'Ampere'"):
        amp.Ampere  # noqa: B018


def test_version_has_the_form_that_packaging_tools_read():
    packaging_version = pytest.importorskip("packaging.version")
    assert str(packaging_version.Version(amp.__version__)) == amp.__version__
