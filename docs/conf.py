"""Sphinx settings; build with `sphinx-build -W docs docs/_build`."""

import amp

project = "Amp"
author = "Amp developers"
copyright = "Amp developers"
version = release = amp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say types with shapes and units
autosummary_generate = True
numpydoc_show_class_members = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Machine-learned interatomic potentials",
    "page_width": "1000px",
}
