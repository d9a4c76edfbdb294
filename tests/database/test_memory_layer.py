"""What a process keeps in memory of a database."""

import threading
from collections import OrderedDict

import numpy as np
import pytest

from amp.core.encoding import decode, encode
from amp.core.parameters import Parameters
from amp.database import FileDatabase
from amp.database._memory import MemoryLayer


def frozen(numbers):
    return decode(b"".join(encode(np.asarray(numbers, float))))


def put(layer, name, value, n_bytes=0):
    return layer.put(name, value, n_bytes, layer.state(name))


def put_encoded(layer, name, value):
    layer.end_change(name, layer.begin_change(name), b"".join(encode(value)))


@pytest.mark.parametrize(
    "value", [None, 5, "text", b"bytes", 1.5, (1, ("a", None)), np.float32(2.5), ()], ids=repr
)
def test_what_cannot_change_is_given_out_itself(value):
    layer = MemoryLayer(None)
    put(layer, "a", value)
    assert layer.get("a")() is value


@pytest.mark.parametrize(
    "value",
    [[1, [2]], {"a": [1]}, ([1], 2), OrderedDict(a=1), Parameters(a={}), [(1, {2: []})], {}],
    ids=repr,
)
def test_containers_are_given_out_as_new_ones(value):
    layer = MemoryLayer(None)
    put(layer, "a", value)
    first, second = layer.get("a")(), layer.get("a")()
    assert first == second == value
    assert type(first) is type(value)
    assert first is not second
    assert first is not value


def test_arrays_are_given_out_as_views_of_the_same_numbers():
    layer = MemoryLayer(None)
    array = frozen([1, 2, 3])
    for value in (array, [array], {"a": array}, (array,)):
        put(layer, "a", value)
        (given,) = (
            [layer.get("a")()]
            if value is array
            else list(layer.get("a")().values() if isinstance(value, dict) else layer.get("a")())
        )
        assert given is not array
        assert np.shares_memory(given, array)
        assert not given.flags.writeable


def test_the_size_is_about_what_the_values_take():
    layer = MemoryLayer(None)
    put(layer, "a", frozen(np.zeros(1000)), 8100)
    assert layer.size == pytest.approx(8100, rel=0.15)
    put(layer, "a", [float(number) for number in range(1000)], 20_000)
    assert layer.size == pytest.approx(1000 * 32, rel=0.4)  # pointers and floats, nothing else
    put_encoded(layer, "a", np.zeros(1000))
    assert layer.size == pytest.approx(8100, rel=0.15)
    layer.get("a")()
    assert layer.size == pytest.approx(8100, rel=0.15)
    layer.begin_change("a")
    assert layer.size == 0
    put(layer, "a", 1)
    layer.clear()
    assert (layer.size, len(layer)) == (0, 0)


def test_what_was_used_longest_ago_goes_first():
    layer = MemoryLayer(6000)
    for name in "abcd":
        put(layer, name, frozen([1]), 800)
    layer.get("a")
    put(layer, "e", frozen([1]), 800)
    assert [name for name in "abcde" if name in layer] == list("acde")
    assert layer.size <= 6000
    assert layer.evictions == 1


def test_what_is_larger_than_the_limit_is_given_but_not_kept():
    layer = MemoryLayer(5000)
    put(layer, "a", 1)
    give = put(layer, "b", frozen([1]), 6000)
    assert give()[0] == 1
    assert "b" not in layer
    assert "a" in layer


def test_encoded_values_are_decoded_once():
    layer = MemoryLayer(None)
    put_encoded(layer, "a", np.arange(3.0))
    first, second = layer.get("a")(), layer.get("a")()
    assert first.tolist() == [0, 1, 2]
    assert np.shares_memory(first, second)
    assert layer.get("a").__self__ is not None  # a method of the decoded array


def test_a_value_that_was_replaced_while_it_was_read_is_not_kept():
    layer = MemoryLayer(None)
    state = layer.state("a")
    put_encoded(layer, "a", 2)
    assert layer.put("a", 1, 0, state)() == 1
    assert layer.get("a")() == 2
    for state in (layer.begin_change("a"), layer.state("a")):
        layer.end_change("a", layer.begin_change("a"))
        layer.put("a", 1, 0, state)
        assert "a" not in layer
    state = layer.state("a")
    layer.clear()
    layer.put("a", 1, 0, state)
    assert "a" not in layer


def test_of_two_values_written_at_the_same_time_none_is_kept():
    layer = MemoryLayer(None)
    first, second = layer.begin_change("a"), layer.begin_change("a")
    layer.end_change("a", second, b"".join(encode(2)))
    layer.end_change("a", first, b"".join(encode(1)))
    assert "a" not in layer


def test_a_value_decoded_late_does_not_replace_a_newer_one():
    layer = MemoryLayer(None)
    put_encoded(layer, "a", [1])
    give = layer.get("a")
    put_encoded(layer, "a", [2])
    assert give() == [1]
    assert layer.get("a")() == [2]


def test_a_thread_reads_what_it_has_written_whatever_others_read(tmp_path):
    db = FileDatabase(tmp_path / "some")
    db["a"] = 0
    is_over = threading.Event()

    def read():
        while not is_over.is_set():
            db.get("a")
            db.refresh()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(250):
            db["a"] = number
            assert db["a"] == number
            assert db["a"] == number
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
