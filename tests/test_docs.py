"""What the README and the docs show runs, in order and page by page, and names what exists."""

import contextlib
import doctest
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ase.io import read, write

import amp
import amp.utilities
from amp.cli.main import main

CHECKOUT = Path(__file__).resolve().parents[1]
DATA = CHECKOUT / "examples" / "data"
PAGES = [CHECKOUT / "README.rst", *sorted((CHECKOUT / "docs").rglob("*.rst"))]
HOW_FAR = {"train": 40, "test": 10}  # images of the shipped files that pages work on here

DIRECTIVE = re.compile(r"\.\. (?P<name>[a-z-]+):: *(?P<language>\w*) *$")
# A dotted name of the package between backquotes; a call or a path may follow.
NAME = re.compile(r"(?:`|<)(amp(?:\.\w+)+)(?=[`(>])")


class Block(NamedTuple):
    """A piece of a page that can be run."""

    kind: str  # python, shell, json, doctest, ...
    line: int  # of its first line, counted from 1
    text: str


def blocks_of(text: str) -> list[Block]:
    """Return code blocks, set-up blocks and doctests of a page in their order."""
    lines = text.splitlines()
    found, i = [], 0
    while i < len(lines):
        directive = DIRECTIVE.match(lines[i])
        if directive and directive["name"] in ("code-block", "testsetup"):
            end = i + 1
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith("   ")):
                end += 1
            body = [line for line in lines[i + 1 : end] if not re.match(r" +:\w+:", line)]
            kind = directive["language"] or "python"
            # Empty lines in front keep the line numbers of tracebacks.
            found.append(Block(kind, i + 2, textwrap.dedent("\n".join(body))))
            i = end
        elif lines[i].startswith(">>>"):
            end = i
            while end < len(lines) and lines[end].strip():
                end += 1
            found.append(Block("doctest", i + 1, "\n".join(lines[i:end]) + "\n"))
            i = end
        else:
            i += 1
    return found


def name_of(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def pages_with(*kinds: str) -> list:
    found = [p for p in PAGES if {b.kind for b in blocks_of(p.read_text("utf-8"))} & set(kinds)]
    return [pytest.param(page, id=name_of(page)) for page in found]


def commands_of(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and words of the shell commands of a page."""
    for block in blocks_of(page.read_text("utf-8")):
        if block.kind == "shell":
            for number, line in enumerate(block.text.splitlines()):
                if line.strip():
                    yield block.line + number, shlex.split(line)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give a folder with the data that pages speak of, and work in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples" / "data").mkdir(parents=True)
    for path in sorted(DATA.glob("ethanol_*.extxyz")):
        shortened = tmp_path / "examples" / "data" / path.name
        write(shortened, read(path, index=f":{HOW_FAR[path.stem.split('_')[1]]}"))
        shutil.copy(shortened, tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages_with("python", "doctest"))
def test_code_of_a_page_runs_from_top_to_bottom(page, folder, request):
    text = page.read_text("utf-8")
    if "plot" in text or "NodePlot" in text:
        pytest.importorskip("matplotlib")
    if 'device="' in text and page.parent.name == "guide":
        pytest.importorskip("torch")
    namespace = {"__name__": "page"}
    for block in blocks_of(text):
        where = f"{name_of(page)}:{block.line}"
        if block.kind == "python":
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, namespace)
        elif block.kind == "doctest":
            test = doctest.DocTestParser().get_doctest(block.text, {}, where, str(page), block.line)
            test.globs = namespace
            said: list[str] = []
            runner = doctest.DocTestRunner(verbose=False)
            runner.run(test, out=said.append, clear_globs=False)
            assert not runner.failures, "".join(said)


@pytest.mark.parametrize("page", pages_with("shell"))
def test_amp_commands_of_a_page_run(page, folder, capsys):
    commands = [(line, words[1:]) for line, words in commands_of(page) if words[0] == "amp"]
    if not commands:
        pytest.skip("no amp commands on this page")
    _prepare_for_commands(page)
    for line, words in commands:
        if "--parity" in words:
            pytest.importorskip("matplotlib")
        status = _status(words)
        said = capsys.readouterr()
        assert status in (0, 2), f"{name_of(page)}:{line}: amp {shlex.join(words)}: {said.err}"


def _prepare_for_commands(page: Path) -> None:
    """Write the files that commands take: images of copper, settings, and a potential by code."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    images = []
    for seed in range(8):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.info["config_type"] = "solid"
        images.append(atoms)
    write("train.extxyz", images[:6])
    write("test.extxyz", images[6:])
    for block in blocks_of(page.read_text("utf-8")):
        if block.kind == "json":
            Path("settings.json").write_text(json.dumps(json.loads(block.text)))
    if page.name == "evaluating.rst":
        assert main(["train", "train.extxyz", "--label", "copper", "--maxiter", "1"]) == 2
        Path("copper-untrained-parameters.amp").rename("copper.amp")


def _status(words: list[str]) -> int:
    """Run a command; help ends by an exception."""
    try:
        return main(words)
    except SystemExit as end:
        return 0 if end.code is None else int(end.code)


@pytest.mark.parametrize("page", pages_with("shell"))
def test_scripts_that_a_page_starts_exist_and_know_their_options(page, capsys, monkeypatch):
    for line, words in commands_of(page):
        if words[0] not in ("python", "python3"):
            if words == ["source", ".venv/bin/activate"]:  # made by tools/demo.py
                continue
            assert words[0] in ("amp", "pip"), f"{name_of(page)}:{line}: {words[0]} is not tested"
            continue
        script = CHECKOUT / words[1]
        assert script.is_file(), f"{name_of(page)}:{line}: there is no {words[1]}"
        paths = [CHECKOUT / word for word in words[2:] if "/" in word]
        assert [path for path in paths if not path.exists()] == []
        source = script.read_text("utf-8")
        options = [word for word in words[2:] if word.startswith("--")]
        assert [option for option in options if f'"{option}"' not in source] == []


def test_the_ten_lines_of_the_readme_are_the_example():
    (block,) = (b for b in blocks_of(PAGES[0].read_text("utf-8")) if b.kind == "python")
    example = (CHECKOUT / "examples" / "ten_lines.py").read_text("utf-8")
    assert block.text.strip() == example.strip()
    code = [line for line in example.splitlines()[1:] if line.strip()]
    assert len(code) == 10


def test_extras_named_in_the_readme_are_those_of_the_project():
    settings = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    table = settings.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", table, re.MULTILINE)) - {"dev"}
    install = PAGES[0].read_text("utf-8").split("Install\n---")[1].split("\n---")[0]
    assert set(re.findall(r"\* - ``(\w+)``", install)) == extras


def exists(name: str) -> bool:
    """Say whether a dotted name leads to a module or to something in one."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        with contextlib.suppress(AttributeError):
            for part in parts[n:]:
                found = getattr(found, part)
            return True
    return False


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_names_that_a_page_speaks_of_exist(page):
    text = page.read_text("utf-8").split("\nNot in this version\n")[0]
    assert [name for name in sorted(set(NAME.findall(text))) if not exists(name)] == []


def test_names_that_are_said_to_be_missing_are_missing():
    page = (CHECKOUT / "docs" / "moving.rst").read_text("utf-8")
    names = NAME.findall(page.split("\nNot in this version\n")[1])
    assert len(names) > 10
    there = [name for name in names if exists(name)]
    assert not there, f"docs/moving.rst says that these do not exist: {there}; move them up there"


def test_every_name_of_the_utilities_is_on_the_page_about_moving():
    page = (CHECKOUT / "docs" / "moving.rst").read_text("utf-8")
    section = page.split("\n``amp.utilities``\n")[1].split("\nNot in this version\n")[0]
    names = set(re.findall(r"``(\w+)``", section))
    assert [name for name in amp.utilities.__all__ if name not in names] == []


def test_every_error_is_on_the_page_of_errors():
    from amp.core import errors

    page = (CHECKOUT / "docs" / "guide" / "errors.rst").read_text("utf-8")
    # Regressors catch these two; nobody else sees them.
    names = set(errors.__all__) - {"ConvergenceOccurred", "IterationLimitReached"}
    assert [name for name in sorted(names) if name not in page] == []


def test_the_table_of_rooms_is_the_one_that_is_tested():
    rooms = _documented_rooms()
    existing = {
        path.stem
        for path in Path(amp.__file__).parent.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    assert set(rooms) == existing, "docs/architecture/index.rst must have a row for every room"
    may_import = _tested_rooms()
    for room, named in rooms.items():
        allowed = may_import[room] & existing
        if named == {"everything"}:
            assert allowed >= existing - {"cli", "testing", "utilities"}
        else:
            assert named == allowed, room


def _documented_rooms() -> dict[str, set[str]]:
    page = (CHECKOUT / "docs" / "architecture" / "index.rst").read_text("utf-8")
    rows = re.findall(r"   \* - ``(\w+)``\n     - (?:.+)\n     -(.*)\n", page)
    return {room: set(re.findall(r"\w+", named)) for room, named in rows}


def _tested_rooms() -> dict[str, set[str]]:
    path = CHECKOUT / "tests" / "test_architecture.py"
    spec = importlib.util.spec_from_file_location("architecture_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MAY_IMPORT


def test_blocks_are_found_where_they_are():
    text = ".. code-block:: python\n\n   a = 1\n\n   b = 2\n\nText\n\n>>> a\n1\n\n.. note::\n"
    assert blocks_of(text) == [
        Block("python", 2, "\na = 1\n\nb = 2\n"),
        Block("doctest", 9, ">>> a\n1\n"),
    ]


def test_no_placeholder_is_left():
    assert [page.name for page in PAGES if "TBD" in page.read_text("utf-8")] == []
