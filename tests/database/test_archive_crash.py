"""Programs killed while they write, and computers that lose power: what was acknowledged stays."""

import os
import random
import select
import signal
import time

import pytest

from amp.core.errors import DamagedMemberError
from amp.database._archive import Archive

# Python 3.12 warns of forks where a library has started threads; the children here use none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "archive.tar.gz")


def value_of(name):
    """The one value that a name can have."""
    rng = random.Random(name)
    return rng.randbytes(rng.choice([0, 10, 600, 5000, 70000]))


def write_forever(path, pipe, seed):
    """Append, remove and compact, and tell what is to happen and what has happened."""
    rng = random.Random(seed)
    archive = Archive(path)

    def tell(what, names):
        os.write(pipe, f"{what} {' '.join(names)}\n".encode())

    while True:
        names = [str(rng.randrange(400)) for _ in range(rng.randrange(1, 12))]
        action = rng.choice("++++-c")
        if action == "+":
            tell("?", names)
            archive.append((name, value_of(name)) for name in names)
            tell("+", names)
        elif action == "-":
            tell("?", names)
            archive.remove(names)
            tell("-", names)
        else:
            archive.compact()


def killed_after(seconds, work, *arguments):
    """Run something in a process of its own, kill it, and return what it told."""
    source, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(*arguments[:1], pipe, *arguments[1:])
        finally:
            os._exit(1)
    os.close(pipe)
    told = b""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([source], [], [], left)[0]:
            told += os.read(source, 65536)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(source, 65536):
        told += part
    os.close(source)
    return told.decode().splitlines()


def check_kills(path, n_kills, seed):
    """Kill a writer again and again; after each kill everything acknowledged is there."""
    rng = random.Random(seed)
    there, maybe = set(), set()
    n_told = 0
    for kill in range(n_kills):
        lines = killed_after(rng.uniform(0.0, 0.06), write_forever, path, seed + kill)
        n_told += len(lines)
        for what, *names in map(str.split, lines):
            maybe.update(names)
            if what != "?":
                there = there | set(names) if what == "+" else there - set(names)
                maybe.difference_update(names)
        archive = Archive(path)
        found = set(archive.names())
        assert there - maybe <= found <= there | maybe
        for name in found:
            assert archive.read(name) == value_of(name)
        there, maybe = found, set()
        if kill % 3 == 0:
            archive.append([("mine", value_of("mine"))])
            assert archive.read("mine") == value_of("mine")
            there.add("mine")
            assert set(archive.names()) == there
    assert n_told > n_kills


def test_a_killed_writer_loses_nothing_that_it_acknowledged(path):
    check_kills(path, 20, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_hundreds_of_killed_writers_lose_nothing(path, seed):
    check_kills(path, 150, 1000 * seed)


def recorded_calls(monkeypatch, work):
    """What some work asks of the system, in order, and the acknowledgements in between."""
    calls = []
    pwrite, ftruncate, fsync = os.pwrite, os.ftruncate, os.fsync
    monkeypatch.setattr(
        os, "pwrite", lambda f, d, o: (calls.append((bytes(d), o)), pwrite(f, d, o))[1]
    )
    monkeypatch.setattr(os, "ftruncate", lambda f, n: (calls.append(n), ftruncate(f, n))[1])
    monkeypatch.setattr(os, "fsync", lambda f: (fsync(f), calls.append("sync"))[0])
    work(calls.append)
    monkeypatch.undo()
    return calls


def apply(disk, call):
    """Do to bytes what a call does to a file."""
    if isinstance(call, int):
        del disk[call:]
        disk.extend(bytes(call - len(disk)))
    elif isinstance(call, tuple):
        data, offset = call
        disk.extend(bytes(max(0, offset - len(disk))))
        disk[offset : offset + len(data)] = data


def test_a_computer_that_loses_power_loses_nothing_that_was_acknowledged(path, monkeypatch):
    """Of what was not yet synced, any part may have reached the disk."""
    archive = Archive(path)
    archive.append([("a", b"1" * 50), ("b", b"2" * 50)])
    with open(path, "rb") as file:
        synced = bytearray(file.read())
    monkeypatch.setattr("amp.database._archive_writer._MOST_ENTRIES", 3)

    def work(acknowledge):
        archive.append([("b", b"3" * 60), ("c", os.urandom(2000)), ("d", b"4"), ("e", b"5")])
        acknowledge({name: archive.read(name) for name in archive.names()})
        archive.remove(["a"])
        acknowledge({name: archive.read(name) for name in archive.names()})
        archive.append([("f", b"6" * 70)])
        acknowledge({name: archive.read(name) for name in archive.names()})

    states = [{"a": b"1" * 50, "b": b"2" * 50}]
    calls = recorded_calls(monkeypatch, work)
    values = {}
    for call in [*calls, *states]:
        if isinstance(call, dict):
            for name, value in call.items():
                values.setdefault(name, set()).add(value)
    values["b"].add(b"2" * 50)
    rng = random.Random(2)
    loose, current = [], states[0]
    assert len(calls) > 20
    for number, call in enumerate(calls):
        if isinstance(call, dict):
            current = call
            continue
        if call == "sync":
            for each in loose:
                apply(synced, each)
            loose = []
            continue
        loose.append(call)
        following = next(c for c in calls[number:] if isinstance(c, dict))
        for _ in range(6):
            disk = bytearray(synced)
            for each in loose:
                if rng.random() < 0.6:
                    apply(disk, each)
            with open(path, "wb") as file:
                file.write(disk)
            found = {}
            with Archive(path) as after:
                for name in after.names():
                    try:
                        found[name] = after.read(name)
                    except DamagedMemberError:
                        assert name not in current  # it was not acknowledged
            assert set(found) >= set(current) & set(following)
            for name, value in found.items():
                assert value in (current.get(name), following.get(name)) or value in values[name]
                if current.get(name) == following.get(name):
                    assert value == current[name]
            after.append([("next", b"7")])
            assert after.read("next") == b"7"
            assert set(after.names()) >= set(current) & set(following)


def read_forever(path, pipe, names):
    """Read what was there from the beginning; tell when anything is not right."""
    archive = Archive(path)
    rounds = 0
    while True:
        listed = set(archive.names())
        for name in names:
            if name not in listed or archive.read(name) != value_of(name):
                os.write(pipe, f"wrong {name}\n".encode())
        for name in listed.difference(names):
            try:
                is_right = archive.read(name) == value_of(name)
            except KeyError:
                continue  # dropped meanwhile
            if not is_right:
                os.write(pipe, f"wrong {name}\n".encode())
        rounds += 1
        os.write(pipe, f"right {rounds}\n".encode())


def test_readers_find_everything_while_others_write(path):
    names = [f"old{i}" for i in range(20)]
    Archive(path).append((name, value_of(name)) for name in names)
    readers = []
    for _ in range(3):
        source, pipe = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                read_forever(path, pipe, names)
            finally:
                os._exit(1)
        os.close(pipe)
        readers.append((child, source))
    archive = Archive(path)
    end = time.monotonic() + 0.8
    number = 0
    while time.monotonic() < end:
        archive.append((f"n{number + i}", value_of(f"n{number + i}")) for i in range(5))
        number += 5
        if number % 20 == 0:
            archive.compact(keep=lambda name: name.startswith("old"))
    for child, source in readers:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "a reader gave up"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(source) as file:
            lines = file.read().splitlines()
        assert any(line.startswith("right") for line in lines)
        assert [line for line in lines if line.startswith("wrong")] == []
