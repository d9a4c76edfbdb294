import threading
from itertools import pairwise

import pytest

from amp.core.threads import for_ranges, ranges


@pytest.mark.parametrize("n", [0, 1, 63, 64, 127, 128, 1000, 1024, 5000])
def test_ranges_follow_one_another_and_are_neither_many_nor_short(n):
    parts = ranges(n)
    assert parts[0][0] == 0
    assert parts[-1][1] == n
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert len(parts) <= 16
    assert len(parts) == 1 or min(last - first for first, last in parts) >= 64


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_range_is_done_once(threads):
    done, lock = [], threading.Lock()

    def work(first, last):
        with lock:
            done.append((first, last))

    for_ranges(work, ranges(1000), threads)
    assert sorted(done) == ranges(1000)


def test_two_threads_work_at_once():
    both = threading.Barrier(2, timeout=30.0)
    for_ranges(lambda first, last: both.wait(), [(0, 1), (1, 2)], 2)


def test_an_error_in_one_thread_is_raised_and_the_others_are_waited_for():
    done = []

    def work(first, last):
        if first == 2:
            raise ZeroDivisionError
        done.append(first)

    with pytest.raises(ZeroDivisionError):
        for_ranges(work, [(0, 1), (1, 2), (2, 3)], 2)
    assert set(done) <= {0, 1}
