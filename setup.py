"""Let old installers find the build; everything about the project is in pyproject.toml."""

from setuptools import setup

setup()
