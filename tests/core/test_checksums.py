"""Checksums of data in parts."""

import hashlib
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


@pytest.mark.parametrize("cores", [1, 3])
def test_threads_have_no_influence_and_end_with_the_work(monkeypatch, cores):
    monkeypatch.setattr(checksums, "usable_cores", lambda: cores)
    before = threading.active_count()
    assert checksum([DATA]) == expected(DATA)
    assert threading.active_count() == before


def test_it_is_found_where_no_thread_can_be_started(monkeypatch):
    monkeypatch.setattr(checksums, "usable_cores", lambda: 4)

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert checksum([DATA]) == expected(DATA)
