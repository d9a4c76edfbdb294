"""Arrows point down only: these tables say what each room may import, and are the one source."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import amp

AMP = Path(amp.__file__).parent

PARTS = {"core", "descriptor", "model", "regression", "search", "database", "parallel"}
CALCULATOR_AND_BELOW = PARTS | {"training", "calculator"}
EVERYTHING = CALCULATOR_AND_BELOW | {"stats", "analysis", "convert", "jobs", "study"}

MAY_IMPORT = {
    "core": set(),
    "descriptor": {"core"},
    "model": {"core"},
    "regression": {"core"},
    "search": {"core"},
    "database": {"core"},
    "parallel": {"core"},
    "training": PARTS,
    "stats": PARTS | {"training"},  # old names of what lives in training
    "calculator": PARTS | {"training"},
    "analysis": CALCULATOR_AND_BELOW,
    "convert": CALCULATOR_AND_BELOW,
    "jobs": CALCULATOR_AND_BELOW | {"analysis"},
    "study": {"core", "parallel", "jobs"},
    "cli": EVERYTHING | {"testing", "utilities"},
    "testing": EVERYTHING | {"utilities"},
    "utilities": EVERYTHING,
}

# Other people's packages; a room that is not listed takes what it needs. A key with a dot is a
# module (a leading underscore left out) that may use more than its room.
MAY_USE = {
    "core": {"numpy", "numba"},
    "core.images": {"ase"},
    "core.neighbors": {"ase", "matscipy", "vesin"},
    "core.logs": {"rich"},
    "descriptor": {"numpy", "numba", "llvmlite"},  # numba's own way to the processor
    "model": {"numpy", "numba", "llvmlite", "torch"},
    "model.node_plot": {"matplotlib"},  # `NodePlot` is an old name of this room
    "regression": {"numpy", "scipy", "torch"},
    "search": {"numpy", "scipy", "torch"},
    "database": {"numpy"},
    "parallel": {"numpy", "zmq", "pexpect", "dask", "distributed"},
    "training": {"ase", "numpy", "numba", "scipy", "torch"},
    "calculator": {"ase", "numpy"},
    "utilities": set(),
}
NEVER_IN = {"training": {"ase.calculators", "ase.visualize"}}

# Loaded on use only, so that `from amp import Amp` stays quick.
HEAVY = {
    "ase.io",
    "dask",
    "distributed",
    "matplotlib",
    "numba",
    "pandas",
    "pexpect",
    "rich",
    "scipy.optimize",
    "torch",
    "zmq",
}
UNPICKLES = {"cPickle", "cloudpickle", "dill", "marshal", "pickle", "shelve"}


class Import(NamedTuple):
    """One name that a module imports, in full: `amp.core.errors.AmpError`, `numpy.typing`."""

    name: str
    line: int
    at_import_time: bool


def modules_of(room: str) -> list[Path]:
    """Return the files of a room, which is a folder or a module; none if there is no such room."""
    single = AMP / f"{room}.py"
    return [single] if single.exists() else sorted((AMP / room).rglob("*.py"))


def all_modules() -> list[Path]:
    return sorted(AMP.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's dotted name: `amp.core.errors`; a package has the name of its folder."""
    parts = path.relative_to(AMP.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str = "amp", is_package: bool = True) -> Iterator[Import]:
    """Read the import statements of a module, and `import_module` of a name that is written out."""
    yield from _imports_below(ast.parse(source), module, is_package, at_import_time=True)


def _imports_below(node, module, is_package, at_import_time):
    for child in ast.iter_child_nodes(node):
        for name in _names_imported(child, module, is_package):
            yield Import(name, child.lineno, at_import_time)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for statement in child.body:
                yield from _imports_below(ast.Module([statement], []), module, is_package, False)
            for statement in child.orelse:
                yield from _imports_below(
                    ast.Module([statement], []), module, is_package, at_import_time
                )
        else:
            yield from _imports_below(child, module, is_package, at_import_time and not inside)


def _names_imported(node, module, is_package):
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            origin = node.module or ""
            if node.level:
                parents = module.split(".")
                kept = parents[: len(parents) - node.level + is_package]
                origin = ".".join([*kept, origin] if origin else kept)
            return [f"{origin}.{alias.name}" for alias in node.names]
        case ast.Call(args=[ast.Constant(value=str() as name), *_]):
            called = ast.unparse(node.func).rpartition(".")[2]
            return [name] if called in ("import_module", "__import__") else []
        case _:
            return []


def room_of(name: str) -> str | None:
    """Return the room a name belongs to; None for `amp.__version__` and other people's packages."""
    first, *rest = name.split(".")
    if first != "amp" or (rest and rest[0].startswith("__")):
        return None
    if not rest or rest[0] in ("Amp", "*"):
        return "calculator"  # the whole package is the calculator's door
    return rest[0]


def rooms_imported(path: Path) -> set[str]:
    found = imports_of(path.read_text(), name_of(path), path.name == "__init__.py")
    return {room for imported in found if (room := room_of(imported.name))}


def is_in(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def existing_rooms() -> list[str]:
    return [room for room in MAY_IMPORT if modules_of(room)]


def test_every_room_is_in_the_table():
    present = {path.relative_to(AMP).parts[0].removesuffix(".py") for path in all_modules()}
    strangers = present - set(MAY_IMPORT) - {"__init__", "__main__"}
    assert not strangers, f"{strangers} are not in MAY_IMPORT; say what they may import"


@pytest.mark.parametrize("room", existing_rooms())
def test_arrows_point_down(room):
    for module in modules_of(room):
        strays = rooms_imported(module) - MAY_IMPORT[room] - {room}
        assert not strays, f"{module} imports {strays}; allowed: {MAY_IMPORT[room]}"


def test_the_table_itself_has_no_circles():
    placed: set[str] = set()
    while len(placed) < len(MAY_IMPORT):
        free = {room for room, below in MAY_IMPORT.items() if below <= placed} - placed
        assert free, f"each of {sorted(set(MAY_IMPORT) - placed)} may import another of them"
        placed |= free


@pytest.mark.parametrize("room", [room for room in existing_rooms() if room in MAY_USE])
def test_rooms_use_only_the_packages_they_may(room):
    for path in modules_of(room):
        stem = name_of(path).split(".")[-1].lstrip("_")
        allowed = MAY_USE[room] | MAY_USE.get(f"{room}.{stem}", set())
        for imported in imports_of(path.read_text(), name_of(path), path.name == "__init__.py"):
            package = imported.name.split(".")[0]
            if package == "amp" or package in sys.stdlib_module_names:
                continue
            assert package in allowed, (
                f"{path}:{imported.line} imports {package}; allowed: {sorted(allowed)}"
            )
            assert not is_in(imported.name, NEVER_IN.get(room, set())), (
                f"{path}:{imported.line} imports {imported.name}, which {room} never sees"
            )


@pytest.mark.parametrize("path", modules_of("model"), ids=name_of)
def test_model_imports_torch_only_where_it_is_needed(path):
    if path.stem.startswith("_torch"):
        return
    for imported in imports_of(path.read_text(), name_of(path), path.name == "__init__.py"):
        assert not (imported.at_import_time and imported.name.split(".")[0] == "torch"), (
            f"{path}:{imported.line} imports torch for everyone; import it in the function that "
            "needs it, or in a _torch module that is itself imported in functions"
        )


def file_of(name: str) -> Path | None:
    """Return the file behind a name: that of `amp.core.errors` for `amp.core.errors.AmpError`."""
    while name.startswith("amp"):
        path = AMP.parent.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.exists():
                return file
        name = name.rpartition(".")[0]
    return None


@cache
def loaded_by(path: Path) -> list[str]:
    """Return the names that importing a file imports; of a module, its package too."""
    here = name_of(path)
    found = imports_of(path.read_text(), here, path.name == "__init__.py")
    return [here.rpartition(".")[0], *(each.name for each in found if each.at_import_time)]


def way_to_heavy(path: Path) -> list[str]:
    """Return how importing a file loads something heavy, empty if it does not."""
    ways = [[name_of(path)]]
    seen = {path}
    for way in ways:  # grows below: breadth first, so the shortest way comes first
        for name in loaded_by(file_of(way[-1])):
            if is_in(name, HEAVY):
                return [*way, name]
            file = file_of(name)
            if file is not None and file not in seen:
                seen.add(file)
                ways.append([*way, name])
    return []


@pytest.mark.parametrize(
    "path",
    [
        path
        for room in existing_rooms()
        if room in CALCULATOR_AND_BELOW
        for path in modules_of(room)
    ],
    ids=name_of,
)
def test_public_modules_load_nothing_heavy_when_imported(path):
    if path.stem.startswith("_") and path.stem != "__init__":
        return
    way = way_to_heavy(path)
    assert not way, f"importing {' -> '.join(way)} is slow; import it in the function that needs it"


@pytest.mark.parametrize("path", all_modules(), ids=name_of)
def test_module_says_what_it_is_for_and_what_is_public(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned, f"{path} has no __all__"


@pytest.mark.parametrize("path", all_modules(), ids=name_of)
def test_module_executes_nothing_that_it_reads(path):
    source = path.read_text()
    for imported in imports_of(source):
        assert not is_in(imported.name, UNPICKLES), (
            f"{path}:{imported.line} imports {imported.name}"
        )
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                pytest.fail(f"{path}:{node.lineno} calls {name}")
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                pytest.fail(f"{path}:{node.value.lineno} unpickles arrays")


@pytest.mark.parametrize("path", all_modules(), ids=name_of)
def test_library_never_prints(path):
    if name_of(path).startswith("amp.cli"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                pytest.fail(f"{path}:{node.lineno} prints; use a logger")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import amp.core.errors as e, numpy", ["amp.core.errors", "numpy"]),
        ("from amp.core import errors", ["amp.core.errors"]),
        ("from . import errors", ["amp.core.errors"]),
        ("from ..model import base", ["amp.model.base"]),
        ("def f():\n    from torch import nn", ["torch.nn"]),
        ("importlib.import_module('amp.study')", ["amp.study"]),
        ("text = 'import amp'", []),
    ],
)
def test_imports_are_read_in_every_spelling(source, names):
    assert [imported.name for imported in imports_of(source, "amp.core.units", False)] == names


@pytest.mark.parametrize(
    ("source", "at_import_time"),
    [
        ("import torch", True),
        ("try:\n    import torch\nexcept ImportError:\n    pass", True),
        ("class A:\n    import torch", True),
        ("def f():\n    import torch", False),
        ("if TYPE_CHECKING:\n    import torch", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import torch", True),
    ],
)
def test_imports_inside_functions_and_for_type_checkers_are_told_apart(source, at_import_time):
    (imported,) = imports_of(source)
    assert imported.at_import_time is at_import_time


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("amp.core.errors.AmpError", "core"),
        ("amp.Amp", "calculator"),
        ("amp", "calculator"),
        ("amp.__version__", None),
        ("numpy.typing", None),
    ],
)
def test_names_belong_to_rooms(name, room):
    assert room_of(name) == room


@pytest.mark.parametrize(
    "module", [path for path in all_modules() if path.stem.endswith("_kernels")], ids=name_of
)
def test_kernels_call_no_kernels_of_another_file_unnoticed(module):
    """Compiled code is kept per file: by itself numba does not notice a change in another one."""
    source = module.read_text()
    others = {i.name for i in imports_of(source, name_of(module), False) if "_kernels" in i.name}
    own_room = {name for name in others if name.startswith(f"amp.{module.parent.name}.")}
    assert not others - own_room, f"{module} calls compiled code of {others - own_room}"
    if others:  # `entry` watches the files of the room
        assert "cache=True" not in source, f"{module} keeps compiled code by itself"
