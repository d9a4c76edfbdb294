"""Checksums of data in parts."""

import hashlib
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amp.core import checksums
from amp.core.checksums import PIECE, checksum

DATA = bytes(range(251)) * (5 * PIECE // 251)


def expected(data):
    if len(data) <= PIECE:
        return hashlib.sha256(data).digest()
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in pieces)).digest()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, len(DATA)])
def test_it_is_the_sha256_of_the_sha256_of_every_piece(size):
    assert checksum([DATA[:size]]) == expected(DATA[:size])


@given(st.lists(st.integers(0, len(DATA)), max_size=8))
def test_how_data_are_parted_has_no_influence(cuts):
    edges = [0, *sorted(cuts), len(DATA)]
    parts = [DATA[a:b] for a, b in pairwise(edges)]
    assert checksum(parts) == expected(DATA)


@pytest.fixture
def anew():
    """Begin and end as a process does that has not found a checksum yet."""
    checksums._forget()
    yield
    checksums._forget()


@pytest.mark.parametrize("cores", [1, 3])
def test_threads_have_no_influence_and_are_kept(monkeypatch, anew, cores):
    monkeypatch.setattr(checksums, "usable_cores", lambda: cores)
    before = threading.active_count()
    for _ in range(20):
        assert checksum([DATA]) == expected(DATA)
    assert threading.active_count() <= before + cores - 1


def test_a_forked_process_finds_it_too(anew):
    code = (
        "import os, sys\n"
        "from amp.core import checksums\n"
        "checksums.usable_cores = lambda: 4\n"
        "data = bytes(5 * checksums.PIECE)\n"
        "first = checksums.checksum([data])\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(checksums.checksum([data]) != first)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0


def test_a_helper_that_could_not_be_counted_leaves_no_gap(monkeypatch, anew):
    """A thread may take what was submitted although the next one cannot be started."""
    monkeypatch.setattr(checksums, "usable_cores", lambda: 2)

    def take_one(work, number):
        cells = dict(zip(work.__code__.co_freevars, work.__closure__, strict=True))
        next(cells["numbers"].cell_contents)  # and never finish it
        return []

    monkeypatch.setattr(checksums, "_submitted", take_one)
    assert checksum([DATA]) == expected(DATA)


def test_it_is_found_where_no_thread_can_be_started(monkeypatch, anew):
    monkeypatch.setattr(checksums, "usable_cores", lambda: 4)

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert checksum([DATA]) == expected(DATA)
