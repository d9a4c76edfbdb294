"""Reading dictionaries written as Python text, as in `.amp` files of Amp 1, without running any.

What is understood stands in tables: the tokens, constants, dtypes, and the few names that may be
called. Python's own parser is not used: `ast.parse` of Python 3.10 crashes on long chains such
as ``a.a.a...``, and it has no limits.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from amp.core.errors import AmpFileError

__all__ = ["NUMERIC_NAMES", "string2dict"]

MAX_LENGTH = 64 * 2**20  # characters; the largest files of Amp 1 have about one million
MAX_DEPTH = 100  # brackets in brackets; files of Amp 1 have about 10
MAX_DIGITS = 400  # of a number; float64 never needs more than 330

TOKEN = re.compile(
    r"""
      (?P<blank>\s+)
    | (?P<text>[uU]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*){0,2})
    | (?P<mark>[][(){},:=+-])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
ESCAPE = re.compile(
    r"\\(\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL
)
ESCAPES = {
    "\n": "", "\\": "\\", "'": "'", '"': '"',
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
CONSTANTS: dict[str, Any] = {
    "None": None, "True": True, "False": False, "np.True_": np.True_, "np.False_": np.False_,
    "nan": np.nan, "inf": np.inf, "np.nan": np.nan, "np.inf": np.inf,
}  # fmt: skip
NUMERIC_NAMES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
NUMERIC_DTYPES = [np.dtype(name) for name in NUMERIC_NAMES]
DTYPES: dict[str, np.dtype[Any]] = {"float": np.dtype(float), "int": np.dtype(int)}
for _dtype in NUMERIC_DTYPES:
    for _spelling in (_dtype.name, _dtype.str, _dtype.newbyteorder().str):
        DTYPES[_spelling] = DTYPES[f"np.{_spelling}"] = DTYPES[f"numpy.{_spelling}"] = _dtype


def string2dict(text: str) -> dict[Any, Any]:
    """Read a dictionary that is written as Python text.

    Nothing in the text is run. What is understood: None, booleans, numbers (``nan`` and ``inf``
    too), texts, lists, tuples, dictionaries, ``dict(...)``, ``OrderedDict([...])``,
    ``array([...])`` and ``matrix([...])`` with ``dtype=``, and numpy scalars such as
    ``np.float64(1.0)``. A matrix becomes an array.

    Parameters
    ----------
    text : str
        Text of one dictionary, as in `.amp` files.

    Returns
    -------
    dict
        The dictionary; an `OrderedDict` where the text says so.

    Raises
    ------
    AmpFileError
        A `ValueError`, with line and column, if the text is anything else, longer than 64 Mi
        characters, or has more than 100 brackets inside each other.
    TypeError
        If `text` is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"Give the text of a dictionary, not {type(text).__name__}.")
    if len(text) > MAX_LENGTH:
        raise AmpFileError(
            f"The text of a dictionary may have {MAX_LENGTH} characters, not {len(text)}."
        )
    return _Reader(text).read_dict()


class _Token(NamedTuple):
    """A word of the text."""

    kind: str  # text, number, name, mark, or end
    word: str
    start: int


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.tokens = self.scan()
        self.next = next(self.tokens)

    def read_dict(self) -> dict[Any, Any]:
        """Read the whole text."""
        start = self.next
        result = self.value(self.take())
        if self.next.kind != "end":
            self.fail("nothing may follow the end of the dictionary", self.next)
        if not isinstance(result, dict):
            self.fail("this is not a dictionary", start)
        return result

    def scan(self) -> Iterator[_Token]:
        """Cut the text into tokens, leaving out blanks."""
        position, end = 0, len(self.text)
        while position < end:
            match = TOKEN.match(self.text, position)
            if match is None:
                bad = self.text[position]
                fault = f"{bad!r} begins nothing that is understood"
                if bad in "'\"":
                    fault = "a text begins and does not end; the file may be cut short"
                self.fail(fault, _Token("", bad, position))
            position = match.end()
            kind = match.lastgroup
            if kind is not None and kind != "blank":
                yield _Token(kind, match.group(), match.start())
        yield _Token("end", "the end of the text", end)

    def fail(self, what: str, token: _Token) -> NoReturn:
        """Raise an error that says where."""
        line = self.text.count("\n", 0, token.start) + 1
        column = token.start - self.text.rfind("\n", 0, token.start)
        raise AmpFileError(
            f"Line {line}, column {column}: {what}. Only plain data is read (numbers, texts, "
            "lists, dictionaries, arrays), and nothing is run."
        )

    def take(self) -> _Token:
        """Return the next token and move on."""
        token = self.next
        if token.kind != "end":
            self.next = next(self.tokens)
        return token

    def is_at(self, mark: str) -> bool:
        """Tell whether a mark comes next."""
        return self.next.kind == "mark" and self.next.word == mark

    def expect(self, mark: str) -> None:
        """Move over a mark that must come now."""
        if not self.is_at(mark):
            self.fail(f"{mark!r} was expected, not {self.next.word[:40]!r}", self.next)
        self.take()

    def value(self, token: _Token) -> Any:
        """Read the value that begins with a token."""
        match token:
            case _Token("text"):
                return self.joined_text(token)
            case _Token("number") | _Token("mark", "-" | "+"):
                return self.number(token)
            case _Token("name", word) if self.is_at("("):
                if word in CALLS:
                    return self.call(token)
                self.fail(f"{word!r} is not understood; {', '.join(CALLED)} are", token)
            case _Token("name", word) if word in CONSTANTS:
                return CONSTANTS[word]
            case _Token("mark", "["):
                return self.items(token, "]")[0]
            case _Token("mark", "("):
                values, is_tuple = self.items(token, ")")
                return tuple(values) if is_tuple else values[0]
            case _Token("mark", "{"):
                return self.braces(token)
        self.fail(f"a value was expected, not {token.word[:40]!r}", token)

    def joined_text(self, token: _Token) -> str:
        """Read a text and those that follow it directly, which belong to it."""
        parts = [self.unescaped(token)]
        while self.next.kind == "text":
            parts.append(self.unescaped(self.take()))
        return "".join(parts)

    def unescaped(self, token: _Token) -> str:
        """Return what a text in quotation marks says."""

        def replace(match: re.Match[str]) -> str:
            code = match.group(1)
            if code in ESCAPES:
                return ESCAPES[code]
            try:
                return chr(int(code[1:], 16) if code[0] in "xuU" else int(code, 8))
            except (ValueError, OverflowError):
                self.fail(f"\\{code} stands for no character", token)

        inner = token.word.lstrip("uU")[1:-1]
        return ESCAPE.sub(replace, inner) if "\\" in inner else inner

    def number(self, token: _Token) -> Any:
        """Read a number with or without a sign."""
        is_negative = token.word == "-"
        if token.kind == "mark":
            token = self.take()
        value: Any = CONSTANTS.get(token.word) if token.word.endswith(("nan", "inf")) else None
        if token.kind == "number":
            if len(token.word) > MAX_DIGITS:
                self.fail(f"a number has more than {MAX_DIGITS} digits", token)
            value = int(token.word) if token.word.isdigit() else float(token.word)
        elif value is None:
            self.fail(f"a number was expected, not {token.word[:40]!r}", token)
        return -value if is_negative else value

    def enter(self, opening: _Token) -> None:
        """Count one more bracket that is open."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} brackets stand inside each other", opening)

    def items(self, opening: _Token, closing: str) -> tuple[list[Any], bool]:
        """Read values up to a closing bracket; tell whether in round ones they are a tuple."""
        self.enter(opening)
        values: list[Any] = []
        is_tuple = self.is_at(closing)
        while not self.is_at(closing):
            values.append(self.value(self.take()))
            if not self.is_at(closing):
                self.expect(",")
                is_tuple = True
        self.expect(closing)
        self.depth -= 1
        return values, is_tuple

    def braces(self, opening: _Token) -> dict[Any, Any]:
        """Read a dictionary in braces."""
        self.enter(opening)
        pairs = []
        while not self.is_at("}"):
            key = self.value(self.take())
            self.expect(":")
            pairs.append((key, self.value(self.take())))
            if not self.is_at("}"):
                self.expect(",")
        self.expect("}")
        self.depth -= 1
        return self.made(_dict, [pairs], {}, opening)

    def call(self, name: _Token) -> Any:
        """Read arguments in round brackets and make what a known name makes of them."""
        self.enter(self.take())
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        while not self.is_at(")"):
            token = self.take()
            if token.kind == "name" and self.is_at("="):
                self.take()
                if token.word in named:
                    self.fail(f"{token.word!r} is given twice", token)
                named[token.word] = self.dtype() if token.word == "dtype" else self.argument()
            elif named:
                self.fail("a value without a name follows one with a name", token)
            else:
                arguments.append(self.value(token))
            if not self.is_at(")"):
                self.expect(",")
        self.expect(")")
        self.depth -= 1
        return self.made(CALLS[name.word], arguments, named, name)

    def argument(self) -> Any:
        """Read the value of an argument with a name."""
        return self.value(self.take())

    def dtype(self) -> np.dtype[Any]:
        """Read the type of an array's numbers."""
        token = self.take()
        spelling = self.unescaped(token) if token.kind == "text" else token.word
        if spelling not in DTYPES:
            self.fail(f"{spelling[:40]!r} is no type of numbers that is read", token)
        return DTYPES[spelling]

    def made(
        self,
        make: Callable[..., Any],
        arguments: list[Any],
        named: dict[str, Any],
        token: _Token,
    ) -> Any:
        """Make an object of values that were read; what does not fit is an error of the text."""
        try:
            return make(*arguments, **named)
        except (TypeError, ValueError, OverflowError) as error:
            self.fail(f"{token.word!r} cannot be read ({error})", token)


def _dict(pairs: Any = (), /, **named: Any) -> dict[Any, Any]:
    """Make a dictionary."""
    return dict(pairs, **named)


def _ordered_dict(pairs: Any = (), /, **named: Any) -> OrderedDict[Any, Any]:
    """Make a dictionary of the class that Amp 1 wrote."""
    return OrderedDict(pairs, **named)


def _array(
    values: Any, /, dtype: np.dtype[Any] | None = None, shape: tuple[int, ...] | None = None
) -> Any:
    """Make an array of numbers."""
    natural = np.array(values)
    if natural.dtype not in NUMERIC_DTYPES:
        raise ValueError("an array holds numbers only, in rows of equal length")
    wanted = natural.dtype if dtype is None else dtype
    with np.errstate(all="ignore"):
        result = natural.astype(wanted)
    if wanted.kind not in "f" and natural.size and not np.array_equal(result, natural):
        raise ValueError(f"the numbers do not fit into {wanted.name}")
    return result if shape is None else result.reshape(shape)


def _matrix(values: Any, /, dtype: np.dtype[Any] | None = None) -> Any:
    """Make an array with two axes; `numpy.matrix` itself is on its way out."""
    return np.atleast_2d(_array(values, dtype))


def _scalar_maker(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """Return a function that makes a numpy scalar of a number."""

    def scalar(value: Any, /) -> Any:
        if isinstance(value, list | tuple):
            raise TypeError("one number was expected")
        return _array(value, dtype)[()]

    return scalar


CALLS: dict[str, Callable[..., Any]] = {
    "dict": _dict,
    "OrderedDict": _ordered_dict,
    "collections.OrderedDict": _ordered_dict,
}
for _module in ("", "np.", "numpy."):
    CALLS |= {f"{_module}array": _array, f"{_module}matrix": _matrix}
for _dtype in NUMERIC_DTYPES:
    CALLS[f"np.{_dtype.name}"] = CALLS[f"numpy.{_dtype.name}"] = _scalar_maker(_dtype)
CALLS["np.bool_"] = CALLS["numpy.bool_"] = CALLS["np.bool"]
CALLED = ("dict", "OrderedDict", "array", "matrix", "numpy's number types")
