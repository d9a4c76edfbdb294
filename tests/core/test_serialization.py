"""JSON that keeps every type and bit, and files that are written whole or not at all."""

import contextlib
import json
import math
import os
import stat
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.testing import assert_array_equal

from amp.core.errors import AmpError, AmpFileError, ParameterError
from amp.core.parameters import Parameters
from amp.core.serialization import from_json, from_jsonable, to_json, to_jsonable, write_atomic

NUMERIC = st.sampled_from(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
     "float16", "float32", "float64"]
)  # fmt: skip
ARRAYS = st_numpy.arrays(NUMERIC, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0))
SCALARS = NUMERIC.map(np.dtype).flatmap(st_numpy.from_dtype)
KEYS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.tuples(inner, inner)
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(st.sampled_from(["__array__", "__dict__", "__x"]), inner, max_size=2)
    ),
    max_leaves=12,
)


def identity(value):
    """Everything about nested data that must survive, in a form that can be compared."""
    if isinstance(value, np.ndarray):
        # nan has many bit patterns, of which one comes back
        bits = np.where(np.isnan(value), 0, value) if value.dtype.kind == "f" else value
        return ("array", value.dtype.name, value.shape, np.isnan(value).tolist(), bits.tobytes())
    if isinstance(value, np.generic):
        return ("scalar", identity(np.asarray(value)))
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack("<d", value))
    if isinstance(value, dict):
        pairs = [(identity(key), identity(item)) for key, item in value.items()]
        return (type(value).__name__, pairs)
    if isinstance(value, list | tuple):
        return (type(value).__name__, [identity(item) for item in value])
    return (type(value).__name__, value)


# --- round trip


@given(DATA)
def test_everything_comes_back_as_it_was(value):
    text = to_json(value, allow_nonfinite=True)
    assert identity(from_json(text)) == identity(value)
    assert identity(from_json(text.encode())) == identity(value)
    assert to_json(from_json(text), allow_nonfinite=True) == text


@given(DATA)
def test_the_text_is_json_that_any_program_reads(value):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = to_json(value, allow_nonfinite=True)
    assert text.isascii()
    assert text.endswith("\n")
    parsed = json.loads(text, parse_constant=refuse)
    assert parsed == to_jsonable(value, allow_nonfinite=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_bit(number):
    back = from_json(to_json([number, np.array([number])]))
    assert struct.pack("<d", back[0]) == struct.pack("<d", number)
    assert back[1].tobytes() == np.array([number]).tobytes()


def test_arrays_are_nested_lists_with_type_and_shape():
    assert to_jsonable(np.array([[1.0, 2.0]])) == {
        "__array__": [[1.0, 2.0]], "dtype": "float64", "shape": [1, 2],
    }  # fmt: skip
    assert to_jsonable(np.zeros((0, 3))) == {"__array__": [], "dtype": "float64", "shape": [0, 3]}
    assert to_jsonable(np.float32(0.5)) == {"__scalar__": 0.5, "dtype": "float32"}


def test_other_types_have_the_documented_form():
    assert to_jsonable((1, "a")) == {"__tuple__": [1, "a"]}
    assert to_jsonable(OrderedDict(a=1)) == {"__ordered__": [["a", 1]]}
    assert to_jsonable({1: "a"}) == {"__dict__": [[1, "a"]]}
    assert to_jsonable({"__array__": 1}) == {"__dict__": [["__array__", 1]]}
    assert to_jsonable({"a": {"b": [1]}}) == {"a": {"b": [1]}}
    assert to_jsonable(math.inf, allow_nonfinite=True) == {"__float__": "inf"}


def test_parameters_and_numpy_texts_become_plain():
    assert to_jsonable(Parameters(mode=np.str_("atom"))) == {"mode": "atom"}
    assert to_jsonable({np.str_("Cu"): 1}) == {"Cu": 1}
    assert type(next(iter(to_jsonable({np.str_("Cu"): 1})))) is str


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3).T, np.arange(6.0)[::-2], np.arange(3, dtype=">f8"), np.arange(3)],
)
def test_memory_layout_is_not_kept_but_values_are(array):
    back = from_json(to_json(array))
    assert_array_equal(back, array)
    assert back.flags.c_contiguous
    assert back.dtype.isnative


def test_rows_of_numbers_stay_on_one_line():
    text = to_json({"weights": {"Cu": np.arange(60.0).reshape(3, 20)}, "mode": "atom-centered"})
    lines = text.splitlines()
    assert sum(line.count(".0, ") == 19 for line in lines) == 3
    assert ' "mode": "atom-centered"' in lines
    assert len(lines) < 20


# --- what is not written


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [float, np.float64, lambda x: np.array([1.0, x])])
def test_numbers_that_are_not_finite_are_refused_and_located(bad, wrap):
    with pytest.raises(
        ParameterError, match=r"The value\['weights'\]\['Cu'\]\[1\] holds -?(nan|inf)"
    ):
        to_json({"weights": {"Cu": [0.0, wrap(bad)]}})


@pytest.mark.parametrize(
    "value",
    [
        object(), {1, 2}, b"bytes", 1j, np.array([1j]), np.array(["a"]), np.array([None]),
        np.array([(1, 2.0)], dtype="i4,f8"), np.ma.array([1.0]), np.datetime64("2026-01-01"),
        np.longdouble(1.0), type("Number", (int,), {})(3), range(3), print,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_types_are_a_type_error_that_says_where(value):
    with pytest.raises(TypeError, match=r"The value\['a'\]\[0\] is of a type that is not written"):
        to_json({"a": [value]})
    with pytest.raises(TypeError, match="is of a type that is not written"):
        to_json({("a", 1): value})


def test_what_contains_itself_is_refused():
    circle = []
    circle.append(circle)
    with pytest.raises(ParameterError, match="is nested deeper than 100"):
        to_json(circle)


# --- what is not read


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{'a': 1}", "[1,]", "NaN", "[Infinity]", "[1e999]", "nul", "[" * 100_000,
        "[" * 200 + "]" * 200, "9" * 100_000, '"\\ud8"',
        '{"__array__": [1.0], "dtype": "float64"}',
        '{"__array__": [1.0], "dtype": "float64", "shape": [1], "more": 1}',
        '{"__array__": [1.0], "dtype": "object", "shape": [1]}',
        '{"__array__": [1.0], "dtype": ["f8"], "shape": [1]}',
        '{"__array__": [1.0], "dtype": "<U1000000000", "shape": [1]}',
        '{"__array__": [1.0], "dtype": "float64", "shape": [2]}',
        '{"__array__": [1.0], "dtype": "float64", "shape": [-1]}',
        '{"__array__": [1.0], "dtype": "float64", "shape": [1.0]}',
        '{"__array__": [1.0], "dtype": "float64", "shape": 1}',
        '{"__array__": [], "dtype": "float64", "shape": [1000000, 1000000]}',
        '{"__array__": [], "dtype": "float64", "shape": [9223372036854775807, 9, 0]}',
        '{"__array__": [1.0, [2.0]], "dtype": "float64", "shape": [2]}',
        '{"__array__": ["1.0"], "dtype": "float64", "shape": [1]}',
        '{"__array__": [null], "dtype": "float64", "shape": [1]}',
        '{"__array__": [true], "dtype": "float64", "shape": [1]}',
        '{"__array__": {"a": 1}, "dtype": "float64", "shape": []}',
        '{"__array__": [1.5], "dtype": "int64", "shape": [1]}',
        '{"__array__": [300], "dtype": "int8", "shape": [1]}',
        '{"__array__": [-1], "dtype": "uint8", "shape": [1]}',
        '{"__array__": [1], "dtype": "bool", "shape": [1]}',
        '{"__array__": [1e300], "dtype": "float32", "shape": [1]}',
        '{"__array__": [1e300, "nan"], "dtype": "float32", "shape": [2]}',
        '{"__array__": ' + "[" * 300 + "]" * 300 + ', "dtype": "float64", "shape": [0]}',
        '{"__scalar__": [1.0], "dtype": "float64"}',
        '{"__float__": "1.0"}', '{"__float__": "nan", "a": 1}', '{"__float__": ["nan"]}',
        '{"__tuple__": 1}', '{"__tuple__": [1], "__dict__": []}', '{"__dict__": {"a": 1}}',
        '{"__dict__": [[1, 2, 3]]}', '{"__dict__": [[[1], 2]]}', '{"__ordered__": [1]}',
        '{"__reduce__": ["os.system", "true"]}', '{"a": {"__newer__": 1}}',
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_broken_and_hostile_texts_are_errors_of_ours(text):
    with pytest.raises(AmpFileError):
        from_json(text)


def test_the_error_says_where():
    with pytest.raises(AmpFileError, match=r"The value\['a'\]\[1\] has an entry '__newer__'"):
        from_json('{"a": [0, {"__newer__": 1}]}')


def test_what_json_does_not_have_is_refused():
    with pytest.raises(AmpFileError, match=r"The value\['a'\] is set"):
        from_jsonable({"a": {1, 2}})


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(AmpFileError, match="has 9 characters; at most 8 are read"):
        from_json("[1, 2, 3]", max_length=8)


@given(st.text(alphabet='{}[]",:_arytuplediofs0123. ', max_size=80))
def test_any_text_is_read_or_an_error_of_ours(text):
    with contextlib.suppress(AmpFileError):
        from_json(text)


# --- files


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "file.amp"
    write_atomic(path, "Å\r\n")
    assert path.read_bytes() == "Å\r\n".encode()
    write_atomic(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["file.amp"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file.amp"
    path.write_text("old")

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.amp"]


def test_the_data_are_on_disk_before_the_name_changes(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("replace"), replace(a, b)))
    write_atomic(tmp_path / "file.amp", "new")
    assert steps[:2] == ["fsync", "replace"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "file.amp", "new")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are those of Unix")
def test_permissions_and_links_are_kept(tmp_path):
    path, link = tmp_path / "file.amp", tmp_path / "link.amp"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to("file.amp")
    write_atomic(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of Unix")
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    write_atomic(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_atomic(path, "x")
    assert path.read_text() == "x"


def test_errors_are_errors_of_amp():
    with pytest.raises(AmpError):
        from_json("[")
