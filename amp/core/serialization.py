"""Objects as text and back: JSON that keeps every type and bit, old texts, safe writing.

How a value looks in JSON, where it is not what JSON itself has:

=========================  ==========================================================
numpy array                ``{"__array__": nested lists, "dtype": ..., "shape": ...}``
numpy scalar               ``{"__scalar__": value, "dtype": ...}``
tuple                      ``{"__tuple__": [...]}``
`OrderedDict`              ``{"__ordered__": [[key, value], ...]}``
dict with other keys       ``{"__dict__": [[key, value], ...]}``
nan, inf, -inf             ``{"__float__": "nan"}``; in arrays the text alone
=========================  ==========================================================

"Other keys" are keys that are no texts, or texts that begin with two underscores. `Parameters`
are written as the dictionary they are, and numpy texts as texts. Arrays come back in C order and
native byte order.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from amp.core._literals import NUMERIC_NAMES, string2dict
from amp.core.errors import AmpFileError, ParameterError
from amp.core.parameters import Parameters

__all__ = ["from_json", "from_jsonable", "string2dict", "to_json", "to_jsonable", "write_atomic"]

MAX_DEPTH = 100
MAX_LENGTH = 512 * 2**20  # characters of a text that is read
LINE = 100  # characters of a line of JSON that is not split

DTYPES = {name: np.dtype(name) for name in NUMERIC_NAMES}
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Place = tuple[Any, ...]


def to_jsonable(value: Any, *, allow_nonfinite: bool = False) -> Any:
    """Turn nested data into what `json.dumps` writes; `from_jsonable` brings it back exactly.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, list, tuple, dict, `OrderedDict`, `Parameters`, numpy
        arrays and scalars of numbers and booleans (float64 at most); nested at will.
    allow_nonfinite : bool
        Write nan and infinities, which are a mistake in most files.

    Returns
    -------
    object
        Dictionaries, lists, texts, numbers, booleans and None; see the top of this module.

    Raises
    ------
    TypeError
        If something is of another type. The message says where it stands.
    ParameterError
        A `ValueError`, if a number is not finite and that is not allowed, or if the nesting is
        deeper than 100.
    """
    return _encoded(value, (), allow_nonfinite)


def from_jsonable(data: Any) -> Any:
    """Bring back what `to_jsonable` made.

    Parameters
    ----------
    data : object
        What `json.loads` read.

    Returns
    -------
    object
        The value, with all types and bits as they were.

    Raises
    ------
    AmpFileError
        A `ValueError`, if the data cannot come from `to_jsonable`, such as an array whose
        numbers do not fit its shape or type.
    """
    return _decoded(data, ())


def to_json(value: Any, *, allow_nonfinite: bool = False) -> str:
    """Write nested data as JSON that people can read: rows of numbers stay on one line.

    Parameters
    ----------
    value : object
        As in `to_jsonable`.
    allow_nonfinite : bool
        As in `to_jsonable`.

    Returns
    -------
    str
        ASCII text, with a line end.

    Raises
    ------
    TypeError, ParameterError
        As `to_jsonable`.
    """
    return _laid_out(to_jsonable(value, allow_nonfinite=allow_nonfinite), 0) + "\n"


def from_json(text: str | bytes, max_length: int = MAX_LENGTH) -> Any:
    """Read back what `to_json` wrote.

    Parameters
    ----------
    text : str or bytes
        The text; bytes are UTF-8.
    max_length : int
        Longer texts are refused.

    Returns
    -------
    object
        The value.

    Raises
    ------
    AmpFileError
        A `ValueError`, if the text is too long, no JSON, or as in `from_jsonable`.
    """
    if len(text) > max_length:
        raise AmpFileError(f"The text has {len(text)} characters; at most {max_length} are read.")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise AmpFileError("The text is nested too deeply to be read.") from None
    except ValueError as error:  # JSON, UTF-8, and numbers with thousands of digits
        raise AmpFileError(f"The text is no JSON that can be read: {error}") from error
    return from_jsonable(data)


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Write a file so that others see the old or the new one, never a part.

    The data go to a temporary name in the same folder, reach the disk, and are then moved into
    place. Permissions of an existing file are kept, and a symbolic link stays one.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    data : str or bytes
        All of its contents; text is written as UTF-8 with its line ends as they are.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is still there.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.tmp")
    contents = data.encode() if isinstance(data, str) else data
    try:
        with open(temporary, "xb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Bring a folder's entries to the disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot; the file itself is safe
    finally:
        os.close(descriptor)


def _where(place: Place) -> str:
    """Say where in nested data something stands."""
    return "The value" + "".join(f"[{step!r}]" for step in place)


def _encoded(value: Any, place: Place, allow: bool) -> Any:
    """Turn one value into JSON's types; exact types decide, subclasses may mean anything."""
    if len(place) > MAX_DEPTH:
        raise ParameterError(f"{_where(place[:5])}... is nested deeper than {MAX_DEPTH}.")
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is np.str_:
        return str(value)
    if kind is float:
        return value if math.isfinite(value) else {"__float__": _non_finite(value, place, allow)}
    if kind is list:
        return _encoded_items(value, place, allow)
    if kind is tuple:
        return {"__tuple__": _encoded_items(value, place, allow)}
    if kind is OrderedDict:
        return {"__ordered__": _encoded_pairs(value, place, allow)}
    if kind is dict or kind is Parameters:
        if all(type(key) in (str, np.str_) and not key.startswith("__") for key in value):
            return {str(key): _encoded(item, (*place, key), allow) for key, item in value.items()}
        return {"__dict__": _encoded_pairs(value, place, allow)}
    if kind is np.ndarray and value.dtype.name in DTYPES:
        return _encoded_array(value, place, allow)
    if isinstance(value, np.generic) and value.dtype.name in DTYPES:
        number = _encoded_array(np.asarray(value), place, allow)["__array__"]
        return {"__scalar__": number, "dtype": value.dtype.name}
    described = f"array of {value.dtype}" if kind is np.ndarray else kind.__name__
    raise TypeError(
        f"{_where(place)} is of a type that is not written ({described}); turn it into numbers, "
        "texts, lists, tuples, dictionaries or arrays of numbers."
    )


def _encoded_items(values: Iterable[Any], place: Place, allow: bool) -> list[Any]:
    """Turn each of the values into JSON's types."""
    return [_encoded(value, (*place, index), allow) for index, value in enumerate(values)]


def _encoded_pairs(mapping: dict[Any, Any], place: Place, allow: bool) -> list[Any]:
    """Turn keys and values into JSON's types."""
    return [
        [_encoded(key, (*place, key), allow), _encoded(value, (*place, key), allow)]
        for key, value in mapping.items()
    ]


def _encoded_array(array: np.ndarray[Any, Any], place: Place, allow: bool) -> dict[str, Any]:
    """Turn an array into nested lists with its type and shape."""
    nested = array.tolist()
    bad = array[~np.isfinite(array)]
    if bad.size:
        _non_finite(float(bad[0]), place, allow)
        nested = _mapped(nested, lambda x: x if math.isfinite(x) else _non_finite(x, place, True))
    return {"__array__": nested, "dtype": array.dtype.name, "shape": list(array.shape)}


def _non_finite(value: float, place: Place, allow: bool) -> str:
    """Return the name of a number that is not finite, or refuse it."""
    if not allow:
        raise ParameterError(
            f"{_where(place)} holds {value}; only finite numbers are written, since others mean "
            "that something went wrong before."
        )
    return str(float(value))


def _mapped(nested: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf of nested lists."""
    if isinstance(nested, list):
        return [_mapped(item, function) for item in nested]
    return function(nested)


def _decoded(data: Any, place: Place) -> Any:
    """Bring back one value."""
    if len(place) > MAX_DEPTH:
        raise AmpFileError(f"{_where(place[:5])}... is nested deeper than {MAX_DEPTH}.")
    kind = type(data)
    if data is None or kind in (bool, int, str) or (kind is float and math.isfinite(data)):
        return data
    if kind is float:
        _broken(place, f"is {data}")
    if kind is list:
        return _decoded_items(data, place)
    if kind is not dict:
        _broken(place, f"is {kind.__name__}, which JSON does not have")
    tags = [key for key in data if not isinstance(key, str) or key.startswith("__")]
    if not tags:
        return {key: _decoded(item, (*place, key)) for key, item in data.items()}
    tag = tags[0]
    content = data[tag]
    if tag in ("__array__", "__scalar__"):
        return _decoded_array(data, tag, place)
    if len(data) == 1 and tag == "__float__" and content in ("nan", "inf", "-inf"):
        return NON_FINITE[content]
    if len(data) == 1 and tag == "__tuple__" and isinstance(content, list):
        return tuple(_decoded_items(content, place))
    if len(data) == 1 and tag in ("__ordered__", "__dict__") and isinstance(content, list):
        pairs = _decoded_pairs(content, place)
        return OrderedDict(pairs) if tag == "__ordered__" else dict(pairs)
    _broken(place, f"has an entry {tag!r} that this version does not understand")


def _decoded_items(values: list[Any], place: Place) -> list[Any]:
    """Bring back each of the values."""
    return [_decoded(value, (*place, index)) for index, value in enumerate(values)]


def _decoded_pairs(content: list[Any], place: Place) -> list[tuple[Any, Any]]:
    """Bring back keys and values."""
    pairs = []
    for index, pair in enumerate(content):
        if not isinstance(pair, list) or len(pair) != 2:
            _broken((*place, index), "is no pair of key and value")
        key = _decoded(pair[0], (*place, index))
        try:
            hash(key)
        except TypeError:
            _broken((*place, index), f"has a key that cannot be one ({type(key).__name__})")
        pairs.append((key, _decoded(pair[1], (*place, key))))
    return pairs


def _decoded_array(data: dict[str, Any], tag: str, place: Place) -> Any:
    """Bring back an array, or a scalar, which is an array without axes."""
    shape = [] if tag == "__scalar__" else data.get("shape")
    name = data.get("dtype")
    is_complete = data.keys() == {tag, "dtype"} | ({"shape"} if tag == "__array__" else set())
    if not is_complete or not isinstance(name, str) or name not in DTYPES:
        _broken(place, f"is no array of a known type (dtype {name!r})")
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        _broken(place, f"is an array with the shape {shape!r}")
    try:
        result = _filled(data[tag], DTYPES[name], tuple(shape))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        _broken(place, f"is a broken array of {name} with the shape {tuple(shape)} ({error})")
    return result if tag == "__array__" else result[()]


def _filled(nested: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Make an array of nested lists that must fit its type and shape."""
    natural = np.array(nested, dtype=None if dtype.kind == "f" else object)
    if natural.size == 0 and 0 in shape:
        return np.empty(shape, dtype)
    may_be_non_finite = dtype.kind == "f" and natural.dtype.kind not in "fiu"
    if may_be_non_finite:
        natural = np.array(_mapped(nested, _number))
    elif dtype.kind != "f" and {type(item) for item in natural.flat} != {_python_type(dtype)}:
        raise ValueError("its entries are of another type")
    if natural.shape != shape:
        raise ValueError(f"its entries have the shape {natural.shape}")
    with np.errstate(over="ignore"):
        result = natural.astype(dtype)
    if dtype.kind != "f":
        fits = np.array_equal(result, natural)
    elif may_be_non_finite:
        fits = np.array_equal(np.isfinite(result), np.isfinite(natural))
    else:
        fits = bool(np.isfinite(result).all())
    if not fits:
        raise ValueError("its entries do not fit")
    return result


def _number(item: Any) -> float:
    """Bring back one number of an array that has some that are not finite."""
    if isinstance(item, str):
        return NON_FINITE[item] if item in NON_FINITE else _refuse_constant(item)
    if type(item) not in (int, float):
        raise TypeError(f"{item!r} is no number")
    return float(item)


def _python_type(dtype: np.dtype[Any]) -> type:
    """Return what JSON has for a numpy type."""
    return bool if dtype.kind == "b" else int


def _refuse_constant(text: str) -> NoReturn:
    """Refuse a text in place of a number."""
    raise ValueError(f"{text[:20]!r} is no number")


def _broken(place: Place, what: str) -> NoReturn:
    """Raise the error about data that cannot come from `to_jsonable`."""
    raise AmpFileError(f"{_where(place)} {what}; the file is damaged or of a newer version.")


def _laid_out(data: Any, indent: int) -> str:
    """Write JSON: what is short, and every row of plain values, on one line."""
    if not isinstance(data, dict | list) or not data:
        return json.dumps(data, allow_nan=False)
    values = list(data.values()) if isinstance(data, dict) else data
    is_flat = not any(isinstance(value, dict | list) for value in values)
    if is_flat and isinstance(data, list):
        return json.dumps(data, allow_nan=False)
    pad = "\n" + " " * (indent + 1)
    parts = [_laid_out(value, indent + 1) for value in values]
    if isinstance(data, dict):
        parts = [f"{json.dumps(key)}: {part}" for key, part in zip(data, parts, strict=True)]
    opening, closing = "{}" if isinstance(data, dict) else "[]"
    if sum(map(len, parts)) + 2 * len(parts) + indent <= LINE and not any("\n" in p for p in parts):
        return f"{opening}{', '.join(parts)}{closing}"
    return f"{opening}{pad}{(',' + pad).join(parts)}\n{' ' * indent}{closing}"
