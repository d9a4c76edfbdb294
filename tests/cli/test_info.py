import json
import os
import platform
from importlib import metadata

import numpy as np

import amp
from amp.analysis import describe_potential
from amp.cli.info import describe_environment
from amp.cli.main import main


def test_the_environment_is_what_runs():
    found = describe_environment()
    assert found["amp"] == amp.__version__
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert 1 <= found["cores"] <= os.cpu_count()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    version = metadata.version

    def without_torch(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_torch)
    assert describe_environment()["torch"] is None


def test_potentials_are_described_before_the_environment(files, capsys):
    assert main(["info", str(files.potential), str(files.checkpoint)]) == 0
    out = capsys.readouterr().out
    assert f"{files.potential}\n" in out
    assert "cutoff       4 Å (Cosine)" in out
    assert "8 symmetry functions (4 G2, 4 G4)" in out
    n_parameters = (8 + 1) * 3 + (3 + 1) * 2 + (2 + 1) + 2
    assert f"hidden layers 3 2, {n_parameters} parameters" in out
    step = describe_potential(files.checkpoint)["checkpoint_step"]
    assert f"check point  of step {step}" in out
    assert out.index("check point") < out.index(f"numpy      {np.__version__}")


def test_json_holds_potentials_and_environment(files, capsys):
    assert main(["info", str(files.potential), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["environment"] == describe_environment()
    assert data["potentials"] == [describe_potential(files.potential)]


def test_without_a_potential_the_environment_is_told(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["amp", amp.__version__]
