import sys

import pytest

from amp.analysis.figures import check_plotfiles, make_figure, save_figure
from amp.core.errors import OutputExistsError, ParameterError


@pytest.mark.parametrize(("name", "begins"), [("a.pdf", b"%PDF"), ("a.png", b"\x89PNG")])
def test_the_ending_says_the_format(tmp_path, name, begins):
    save_figure(make_figure(2.0, 2.0), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    path = tmp_path / "plot.png"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"plot\.png exists already"):
        check_plotfiles(path, overwrite=False)
    check_plotfiles(path, overwrite=True)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["plot.doc", "plot"])
def test_an_unknown_ending_is_told_with_the_known_ones(name):
    with pytest.raises(ParameterError, match=r"must end in one of: .*\.pdf.*\.png"):
        check_plotfiles(name, overwrite=False)


def test_missing_matplotlib_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'amp-potentials\[plots\]'"):
        make_figure(1.0, 1.0)
