"""Sphinx settings; build with `sphinx-build -W docs docs/_build`."""

import re
from pathlib import Path

import amp

project = "Amp"
author = "Amp developers"
copyright = "Amp developers"
version = release = amp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path: list[str] = []
default_role = "py:obj"  # as the docstrings use single backquotes: a link where there is one

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say types with shapes and units
autosummary_generate = True
numpydoc_show_class_members = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Machine-learned interatomic potentials",
    "page_width": "1000px",
}


def write_changelog(app, docname, source):
    """Put the changelog, which is Markdown for the sake of other tools, onto its page."""
    if docname != "changelog":
        return
    text = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    text = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)
    for marks, line in (("#", "="), ("##", "-"), ("###", "~")):
        text = re.sub(
            rf"^{marks} +(.*)$",
            lambda match, line=line: match[1].strip("[]") + "\n" + line * len(match[1]),
            text,
            flags=re.MULTILINE,
        )
    source[0] = text


def setup(app):
    app.connect("source-read", write_changelog)
