"""Many processes that use one database at the same time."""

import os
import subprocess
import sys

import numpy as np
import pytest

from amp.database import FileDatabase

# Writes keys of its own and keys that all write; reads what it and others have written. A value
# says who wrote it, in every number, so that a mixture would be seen.
WORKER = """
import os, sys
import numpy as np
from amp.database import FileDatabase

path, me, n_steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
db = FileDatabase(path, max_memory=200_000)
rng = np.random.default_rng(me)
last_seen = {}
for step in range(n_steps):
    size = [50, 3000, 70_000][step % 3]
    own, shared = f"own{me}-{step % 40}", f"shared{rng.integers(10)}"
    for key in (own, shared):
        db[key] = {"who": me, "step": step, "array": np.full(size, me * 1e6 + step)}
    last_seen[own] = step
    db.refresh()
    for key, expected in list(last_seen.items())[-3:]:
        found = db[key]
        assert (found["who"], found["step"]) == (me, expected), (key, found, expected)
    for key in (shared, f"shared{rng.integers(10)}", f"own{rng.integers(8)}-{rng.integers(40)}"):
        found = db.get(key)
        assert found is not None or key != shared, key
        if found is not None:
            wanted = found["who"] * 1e6 + found["step"]
            assert (found["array"] == wanted).all(), (key, found)
    if step % 50 == 0:
        assert set(last_seen) <= set(db.keys())
assert db.statistics.damaged == 0
db.refresh()
for key, step in last_seen.items():
    assert db[key]["step"] == step, (key, db[key], step)
print("done")
"""

ARCHIVER = """
import os, sys, time
from amp.database import FileDatabase

db = FileDatabase(sys.argv[1])
n_archived = 0
while not os.path.exists(sys.argv[2]):
    n_archived += db.archive()
    time.sleep(0.01)
assert n_archived > 0
print("done")
"""

# All write the same value under the same key at the same moment.
SAME = """
import sys
import numpy as np
from amp.database import FileDatabase

db = FileDatabase(sys.argv[1])
sys.stdin.readline()
for step in range(100):
    db["same"] = np.full(2000, step)
    db.refresh()
    found = db["same"]
    assert (found == found[0]).all()
print("done")
"""


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_all_done(processes, timeout=300):
    results = [process.communicate(timeout=timeout) for process in processes]
    for output, errors in results:
        assert output == "done\n", errors
        assert "damaged" not in errors


def run_eight_and_an_archiver(tmp_path, n_steps):
    path, stop = tmp_path / "some", tmp_path / "stop"
    archiver = started(ARCHIVER, path, stop)
    workers = [started(WORKER, path, me, n_steps) for me in range(8)]
    try:
        assert_all_done(workers)
    finally:
        stop.touch()
    assert_all_done([archiver])
    for handle in (FileDatabase(path), FileDatabase(path)):
        expected = {f"own{me}-{step % 40}": step for me in range(8) for step in range(n_steps)}
        assert {key: handle[key]["step"] for key in expected} == expected
        assert len(handle) == len(expected) + 10
        handle.archive()
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "broken" in name]


def test_eight_processes_and_an_archiver_lose_nothing(tmp_path):
    run_eight_and_an_archiver(tmp_path, 15)


@pytest.mark.slow
def test_eight_processes_and_an_archiver_lose_nothing_for_long(tmp_path):
    run_eight_and_an_archiver(tmp_path, 1000)


def test_all_who_write_one_key_succeed(tmp_path):
    processes = [started(SAME, tmp_path / "some") for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert_all_done(processes)
    assert FileDatabase(tmp_path / "some")["same"].tolist() == [99] * 2000


FORKER = """
import os, sys, threading
import numpy as np
from amp.database import FileDatabase

db = FileDatabase(sys.argv[1])
for number in range(40):
    db[number] = np.full(100, number)
db.archive()
db[0], db["loose"]  = np.zeros(3), [1]
[db[number] for number in range(20)]
db._memory._lock.acquire()  # as by a thread that there is no more in the child
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        try:
            for _ in range(5):
                for number in range(1, 40):
                    assert (db[number] == number).all(), number
                db.refresh()
            db[f"child{child}"] = child
            if child == 0:
                db.archive()
            assert db["loose"] == [1]
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    children.append(pid)
db._memory._lock.release()
for _ in range(5):
    db.refresh()
    for number in range(1, 40):
        assert (db[number] == number).all(), number
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
assert [db[f"child{child}"] for child in range(4)] == [0, 1, 2, 3]
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_processes_may_go_on_with_the_database(tmp_path):
    assert_all_done([started(FORKER, tmp_path / "some")])


def test_readers_never_miss_an_entry_while_it_is_archived(tmp_path):
    path, stop = tmp_path / "some", tmp_path / "stop"
    db = FileDatabase(path, max_memory=1)
    archiver = started(ARCHIVER, path, stop)
    other = FileDatabase(path, max_memory=1)
    try:
        for step in range(300):
            db["a"] = np.full(50, step)
            assert (other["a"] == step).all()
            assert "a" in other
            assert other.keys() == ["a"]
    finally:
        stop.touch()
    assert_all_done([archiver])
