"""Reading dictionaries that are written as Python text."""

import contextlib
import math
import os
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from amp.core import _literals
from amp.core.errors import AmpFileError
from amp.core.serialization import string2dict

HOSTILE = {
    "nothing": "",
    "blanks": " \n ",
    "a number": "1",
    "a text": "'Cu'",
    "a list": "[1, 2]",
    "a set": "{1, 2}",
    "an import": "{'a': __import__('os').system('touch OWNED')}",
    "a call of exec": "{'a': exec('open(\"OWNED\", \"w\")')}",
    "a call of open": "{'a': open('OWNED', 'w')}",
    "a method": "{'a': 'OWNED'.lower()}",
    "an attribute": "{'a': (1).__class__}",
    "the way to all classes": "{'a': ().__class__.__base__.__subclasses__()}",
    "a lambda": "{'a': (lambda: open('OWNED', 'w'))()}",
    "a comprehension": "{'a': [x for x in (1, 2)]}",
    "a dict comprehension": "{k: 1 for k in 'ab'}",
    "a walrus": "{'a': (x := 1)}",
    "an f-string": "{'a': f'{open(\"OWNED\", \"w\")}'}",
    "bytes": "{'a': b'abc'}",
    "an index": "{'a': [1, 2][0]}",
    "arithmetic": "{'a': 9**9**9**9}",
    "a sum": "{'a': 1 + 1}",
    "repetition": "{'a': 'x' * 10**12}",
    "a star": "{'a': [*'ab']}",
    "two stars": "dict(**{'a': 1})",
    "a statement": "{'a': 1}; import os",
    "two dictionaries": "{} {}",
    "a comment": "{'a': 1}  # text",
    "an unclosed bracket": "{'a': [1, 2}",
    "an unclosed text": "{'a': 'Cu}",
    "a missing comma": "{'a': 1 'b': 2}",
    "a missing value": "{'a': }",
    "a missing colon": "{'a' 1}",
    "a list as key": "{[1]: 2}",
    "an array as key": "{array([1]): 2}",
    "brackets without end": "{'a': " + "[" * 100_000,
    "nested brackets": "{'a': " + "[" * 101 + "]" * 101 + "}",
    "nested calls": "dict(a=" * 101 + "1" + ")" * 101,
    "a chain of attributes": "{'a': a" + ".a" * 1_000_000 + "}",
    "a chain of signs": "{'a': " + "-" * 1_000_000 + "1}",
    "a chain of sums": "{'a': 1" + "+1" * 100_000 + "}",
    "an integer without end": "{'a': " + "9" * 1_000_000 + "}",
    "digits that are no number": "{'a': " + "9" * 1_000_000 + "x}",
    "an unknown name": "{'a': foo}",
    "an unknown call": "{'a': foo(1)}",
    "Ellipsis": "{'a': ...}",
    "a null byte": "{'a': \0}",
    "foreign digits": "{'a': ١٢}",
    "a foreign name": "{'a': \uff4e\uff41\uff4e}",
    "a twice given argument": "dict(a=1, a=2)",
    "a value after names": "OrderedDict(a=1, [('b', 2)])",
    "broken pairs": "OrderedDict([1, 2])",
    "an array of texts": "{'a': array(['x', 'y'])}",
    "an array of objects": "{'a': array([None, {}])}",
    "a type of objects": "{'a': array([1], dtype=object)}",
    "a huge type": "{'a': array([1], dtype='<U1000000000')}",
    "a ragged array": "{'a': array([[1], [2, 3]])}",
    "a huge shape": "{'a': array([1.0], shape=(1000000, 1000000))}",
    "numbers that do not fit": "{'a': array([300], dtype=int8)}",
    "fractions as integers": "{'a': array([1.5], dtype=int64)}",
    "an array of a file": "{'a': array(fromfile('/etc/passwd'))}",
    "a function of numpy": "{'a': np.load('x.npy', allow_pickle=True)}",
    "an unknown escape": r"{'a': '\d'}",
    "a character that is none": r"{'a': '\U99999999'}",
    "a line end inside a text": "{'a': 'x\n'}",
}


def plain(value):
    """The same nested data without numpy, to be compared."""
    if isinstance(value, dict):
        return [type(value).__name__, [(key, plain(item)) for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return [type(value).__name__, [plain(item) for item in value]]
    return value


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_texts_are_errors_and_do_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AmpFileError, match=r"^Line \d+, column \d+: "):
        string2dict(HOSTILE[case])
    assert os.listdir(tmp_path) == []


def test_there_are_forty_hostile_texts_at_least():
    assert len(HOSTILE) >= 40


def test_errors_are_value_errors_that_say_where():
    with pytest.raises(ValueError, match="Line 3, column 8: a value was expected, not 'foo'"):
        string2dict("{'a': 1,\n 'b': 2,\n  'x': foo}")


def test_files_of_amp_are_read_through(conformance_case):
    outer = string2dict(conformance_case.potential.read_text())
    assert set(outer) == {"descriptor", "model"}
    descriptor, model = string2dict(outer["descriptor"]), string2dict(outer["model"])
    assert descriptor["importname"] == ".descriptor.gaussian.Gaussian"
    assert descriptor["cutoff"]["kwargs"]["Rc"] > 0.0
    assert model["importname"] == ".model.neuralnetwork.NeuralNetwork"
    assert isinstance(model["weights"], OrderedDict)
    for element in descriptor["elements"]:
        n_functions = len(descriptor["Gs"][element])
        assert len(model["weights"][element][1]) == n_functions + 1
        assert len(model["fprange"][element]) == n_functions
        assert set(model["scalings"][element]) == {"intercept", "slope"}


def test_numbers_of_amp_files_are_read_to_the_last_bit(conformance_case):
    text = string2dict(conformance_case.potential.read_text())["model"]
    model = string2dict(text)
    flat = [
        weight
        for layers in model["weights"].values()
        for rows in layers.values()
        for row in rows
        for weight in row
    ]
    flat += [scaling[key] for scaling in model["scalings"].values() for key in sorted(scaling)]
    assert_array_equal(flat, conformance_case.loss["0/trained/vector"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ("{'a': 1, 'b': [1.5, -2, +3, None, True, False],}",
         {"a": 1, "b": [1.5, -2, 3, None, True, False]}),
        ("{'a': (), 'b': (1,), 'c': (1), 'd': (1, 2,)}",
         {"a": (), "b": (1,), "c": 1, "d": (1, 2)}),
        ("dict()", {}),
        ("dict(a=1, b={'c': 2})", {"a": 1, "b": {"c": 2}}),
        ("dict([('a', 1)], b=2)", {"a": 1, "b": 2}),
        ("OrderedDict([('b', 1), ('a', OrderedDict())])",
         OrderedDict([("b", 1), ("a", OrderedDict())])),
        ("collections.OrderedDict({'a': 1})", OrderedDict(a=1)),
        ("{1: 'x', (2, 'y'): 'z', None: 0}", {1: "x", (2, "y"): "z", None: 0}),
        ("{'a': 1e-05, 'b': .5, 'c': 5., 'd': 1E+3}", {"a": 1e-5, "b": 0.5, "c": 5.0, "d": 1e3}),
        ("{'a': inf, 'b': -inf, 'c': -np.inf}", {"a": math.inf, "b": -math.inf, "c": -math.inf}),
        ("{'a': 123456789012345678901234567890}", {"a": 123456789012345678901234567890}),
        ('{"it\'s": u\'x\' "y"\n \'z\'}', {"it's": "xyz"}),
        (r"{'a': '\n\t\\\'\"\x41\u00e5\U0001F600\101\
'}", {"a": "\n\t\\'\"Aå😀A"}),
        ("\n {\t'a'\n:\r\n1 } \n", {"a": 1}),
    ],
)  # fmt: skip
def test_texts_mean_what_they_mean_in_python(text, expected):
    assert plain(string2dict(text)) == plain(expected)


def test_nan_is_read():
    read = string2dict("{'a': nan, 'b': [-nan], 'c': np.nan}")
    assert math.isnan(read["a"])
    assert math.isnan(read["b"][0])
    assert math.isnan(read["c"])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -2.0], [math.pi, 1e-300]]),
        np.array([1, 2, 3], dtype=np.int32),
        np.array([True, False]),
        np.array(3.5),
        np.array([], dtype=float),
        np.zeros((0, 3)),
        np.array([0.1, np.nan, -np.inf], dtype=np.float32),
        np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
    ],
)
def test_arrays_are_read_as_numpy_prints_them(array):
    with np.printoptions(threshold=10**6, floatmode="unique"):
        read = string2dict(f"{{'a': {array!r}}}")["a"]
        prefixed = string2dict(f"{{'a': np.{array!r}}}")["a"]
    assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert_array_equal(prefixed, array)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("'>f4'", "float32"), ("np.int16", "int16"), ("float", "float64"), ("'bool'", "bool")],
)
def test_types_of_arrays_may_be_spelled_in_several_ways(spelling, name):
    array = string2dict(f"{{'a': array([1], dtype={spelling})}}")["a"]
    assert array.dtype == np.dtype(name)
    assert array.dtype.isnative


def test_a_matrix_becomes_an_array():
    matrix = string2dict("{'a': matrix([[1.0, 2.0]]), 'b': np.matrix([1, 2])}")
    assert type(matrix["a"]) is np.ndarray
    assert_array_equal(matrix["a"], [[1.0, 2.0]])
    assert matrix["b"].shape == (1, 2)


@pytest.mark.parametrize(
    "scalar",
    [np.float64(0.1), np.float32(0.1), np.int64(-3), np.uint8(255), np.True_, np.False_,
     np.float64(np.nan), np.float64(-np.inf), np.float16(0.1)],
)  # fmt: skip
def test_scalars_are_read_as_numpy_prints_them(scalar):
    read = string2dict(f"{{'a': {scalar!r}}}")["a"]
    assert type(read) is type(scalar)
    assert_array_equal(read, scalar)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_what_python_writes_is_read_back(value):
    assert plain(string2dict(repr({"a": value}))["a"]) == plain(value)
    assert plain(string2dict(f"dict(a={value!r})")["a"]) == plain(value)


@given(st.text(alphabet="{}[](),:='\"\\.-+aennp 01\n", max_size=60))
def test_any_text_gives_a_dictionary_or_an_error_of_ours(text):
    with contextlib.suppress(AmpFileError):
        assert isinstance(string2dict(text), dict)


@pytest.mark.parametrize("text", [None, b"{}", {"a": 1}])
def test_what_is_no_text_is_a_type_error(text):
    with pytest.raises(TypeError, match="Give the text of a dictionary"):
        string2dict(text)


def test_a_text_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(_literals, "MAX_LENGTH", 10)
    with pytest.raises(AmpFileError, match="may have 10 characters, not 12"):
        string2dict("{'abcdef':1}")
