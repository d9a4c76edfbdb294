import logging
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from amp.core.errors import CalculationError, ParameterError
from amp.database import FileDatabase
from amp.training.data import Data

IMAGES = {f"key{i}": i for i in range(12)}


class Squares:
    """Squares numbers, fails for some, and remembers what it was asked."""

    def __init__(self, fails=(), pause=0.0):
        self.fails, self.pause, self.asked = fails, pause, []

    def calculate(self, image, key):
        self.asked.append(key)
        time.sleep(self.pause)
        if image in self.fails:
            raise ZeroDivisionError(f"no square of {image}")
        return image**2


@pytest.mark.parametrize("parallel", [None, {"cores": 1}, {"cores": {"localhost": 3}}])
def test_what_is_missing_is_computed_once(parallel, tmp_path):
    squares, lines = Squares(), []
    data = Data(tmp_path / "squares", calculator=squares)
    data.calculate_items({"key1": 1, "key5": 5}, parallel)
    assert data.d is None
    data.calculate_items(IMAGES, parallel, log=lines.append)
    assert sorted(squares.asked) == sorted(IMAGES)
    assert {key: data[key] for key in data} == {key: i**2 for key, i in IMAGES.items()}
    assert f" Data stored in file {tmp_path / 'squares'}." in lines
    assert " File exists with 2 total images, 2 of which are needed." in lines
    assert " 10 new calculations needed." in lines


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_will_do(pool, tmp_path):
    more = {"mp_context": multiprocessing.get_context("spawn")} if "Process" in str(pool) else {}
    with pool(2, **more) as executor, Data(tmp_path / "a", calculator=Squares()) as data:
        data.calculate_items(IMAGES, executor=executor)
        assert {key: data[key] for key in IMAGES} == {key: i**2 for key, i in IMAGES.items()}


@pytest.mark.parametrize("parallel", [{"cores": 1}, {"cores": 2}])
def test_failures_are_named_at_the_end_and_the_others_are_kept(parallel, tmp_path, caplog):
    data = Data(tmp_path / "a", calculator=Squares(fails=(3, 7)))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(CalculationError, match="2 of 12 images failed") as error,
    ):
        data.calculate_items(IMAGES, parallel)
    for key, text in (("key3", "no square of 3"), ("key7", "no square of 7")):
        assert key in str(error.value)
        assert text in str(error.value)
        assert key in caplog.text
    assert "in calculate" in str(error.value)
    assert len(data) == 10
    data.calc = Squares()
    data.calculate_items(IMAGES, parallel)
    assert sorted(data.calc.asked) == ["key3", "key7"]


@pytest.mark.parametrize("parallel", [{"cores": 1}, {"cores": 2}])
def test_a_value_that_cannot_be_written_is_a_failure_of_its_image(parallel, tmp_path):
    class Strange(Squares):
        def calculate(self, image, key):
            return {image} if image == 4 else image

    data = Data(tmp_path / "a", calculator=Strange())
    with pytest.raises(CalculationError, match="1 of 12 images failed") as error:
        data.calculate_items(IMAGES, parallel)
    assert "key4" in str(error.value)
    assert "set" in str(error.value)
    assert len(data) == 11


def test_what_was_computed_before_an_interruption_is_kept(tmp_path):
    class Interrupted(Squares):
        def calculate(self, image, key):
            if image == 6:
                raise KeyboardInterrupt
            return super().calculate(image, key)

    data = Data(tmp_path / "a", calculator=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        data.calculate_items(IMAGES)
    assert data.d is None
    assert sorted(data) == [f"key{i}" for i in range(6)]


def _compute_slowly(filename):
    Data(filename, calculator=Squares(pause=0.02)).calculate_items(
        {f"key{i}": i for i in range(1000)}
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_was_computed_before_a_kill_is_kept(tmp_path):
    worker = multiprocessing.get_context("spawn").Process(
        target=_compute_slowly, args=(os.fspath(tmp_path / "a"),)
    )
    worker.start()
    deadline = time.monotonic() + 60.0
    while len(FileDatabase(tmp_path / "a")) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.join()
    before = dict(FileDatabase(tmp_path / "a").items())
    assert len(before) >= 5
    assert all(value == int(key[3:]) ** 2 for key, value in before.items())
    data = Data(tmp_path / "a", calculator=Squares())
    data.calculate_items({f"key{i}": i for i in range(1000)})
    assert not set(data.calc.asked) & set(before)
    assert len(data) == 1000


def test_what_another_process_computed_meanwhile_is_not_computed(tmp_path):
    other = FileDatabase(tmp_path / "a")

    class Meanwhile(Squares):
        def calculate(self, image, key):
            other["key9"] = 81
            return super().calculate(image, key)

    data = Data(tmp_path / "a", calculator=Meanwhile())
    data.calculate_items(IMAGES)
    assert "key9" not in data.calc.asked
    assert data["key9"] == 81


class Dictionary(dict):
    """Like a shelf: opened by name, closed at the end."""

    files: dict = {}  # noqa: RUF012

    @classmethod
    def open(cls, filename, flag="r"):
        if flag == "r" and filename not in cls.files:
            raise FileNotFoundError(filename)
        return cls.files.setdefault(filename, cls())

    def close(self):
        self.closed = True


def test_a_shelf_may_be_the_database():
    data = Data("name", db=Dictionary, calculator=Squares())
    with pytest.raises(FileNotFoundError):
        data.open()
    data.calculate_items(IMAGES, {"cores": 2})
    assert data["key4"] == 16
    assert Dictionary.files["name"].closed


def test_values_are_reached_by_key_and_closed_with_the_block(tmp_path):
    with Data(tmp_path / "a", calculator=Squares()) as data:
        data.calculate_items({"a": 2})
        assert data.d is None
        assert data["a"] == 4
        assert "a" in data
        assert "b" not in data
        assert data.d is not None
        with pytest.raises(KeyError):
            data["b"]
    assert data.d is None


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="calculator"):
        Data(tmp_path / "a").calculate_items(IMAGES)
    with pytest.raises(ParameterError, match="calculate"):
        Data(tmp_path / "a", calculator=len).calculate_items(IMAGES)
    data = Data(tmp_path / "a", calculator=Squares())
    with pytest.raises(ParameterError, match="hash_images"):
        data.calculate_items([1, 2])
    with pytest.raises(ParameterError, match="parallel is a dict"):
        data.calculate_items(IMAGES, 4)
    with pytest.raises(ParameterError, match="node7"):
        data.calculate_items(IMAGES, {"cores": {"localhost": 1, "node7": 4}})
    for cores in (0, -1, "2", True, {}):
        with pytest.raises(ParameterError, match="cores"):
            data.calculate_items(IMAGES, {"cores": cores})
