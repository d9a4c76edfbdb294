"""Programs that are killed, disks that are full, folders that may not be written."""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from amp.core.errors import AmpError, AmpFileError, OutputWriteError
from amp.database import FileDatabase
from amp.database._keys import shard_of

# Writes entries, and says so after each: what was said to be written has to be there.
WRITER = """
import itertools, os, sys
import numpy as np
from amp.database import FileDatabase

path, first, durable = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "durable"
db = FileDatabase(path, durable=durable)
os.write(1, b"ready\\n")
for number in itertools.count(first):
    key = f"k{number % 50}" if number % 3 == 0 else f"n{number % 300}"
    db[key] = np.full(1 + number % 7 * 10000, float(number))
    os.write(1, f"{key} {number}\\n".encode())
"""

# Writes and archives: whatever was there has to be there.
ARCHIVER = """
import os, sys
import numpy as np
from amp.database import FileDatabase

path, first = sys.argv[1], int(sys.argv[2])
db = FileDatabase(path)
os.write(1, b"ready\\n")
number = first
while True:
    for _ in range(10):
        key = f"k{number % 30}" if number % 2 == 0 else f"n{number % 300}"
        db[key] = np.full(1 + number % 5 * 3000, float(number))
        os.write(1, f"{key} {number}\\n".encode())
        number += 1
    db.archive()
"""


def acknowledged_before_kill(script, *arguments, wait):
    """Run a script, kill it after a while, and return what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE
    )
    lines = [process.stdout.readline()]
    assert lines == [b"ready\n"]
    # An unread pipe would stop the writer.
    os.set_blocking(process.stdout.fileno(), False)
    end = time.monotonic() + wait
    said = b""
    while time.monotonic() < end:
        said += process.stdout.read() or b""
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.set_blocking(process.stdout.fileno(), True)
    said += process.stdout.read()
    process.stdout.close()
    whole = said[: said.rfind(b"\n") + 1]
    return [line.split() for line in whole.decode().splitlines()]


def kill_again_and_again(tmp_path, script, n_kills, seed, *extra):
    rng = random.Random(seed)
    path = tmp_path / "some"
    newest: dict[str, int] = {}
    number = 0
    for _ in range(n_kills):
        said = acknowledged_before_kill(script, path, number, *extra, wait=rng.random() * 0.08)
        for key, text in said:
            newest[key] = int(text)
        number = max([number, *(int(text) + 1 for _, text in said)]) + 1
        check_all(path, newest)
    assert number > 3 * n_kills  # the scripts came to write something
    db = FileDatabase(path)
    db.archive()
    check_all(path, newest)
    assert not list(path.with_suffix(".ampdb").rglob("*.broken"))


def check_all(path, newest):
    """Every entry is the newest acknowledged one, or one that was about to be."""
    db = FileDatabase(path)
    for key, number in newest.items():
        found = db[key]
        assert found[0] >= number, (key, found[0], number)
        assert (found == found[0]).all()
    assert set(newest) <= set(db.keys())


@pytest.mark.parametrize("durability", ["quick", "durable"])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path, durability):
    kill_again_and_again(tmp_path, WRITER, 5, 1, durability)


def test_a_killed_archiver_loses_nothing_that_was_acknowledged(tmp_path):
    kill_again_and_again(tmp_path, ARCHIVER, 6, 2)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["quick", "durable"])
def test_a_writer_killed_hundreds_of_times_loses_nothing(tmp_path, durability):
    kill_again_and_again(tmp_path, WRITER, 200, 3, durability)


@pytest.mark.slow
def test_an_archiver_killed_hundreds_of_times_loses_nothing(tmp_path):
    kill_again_and_again(tmp_path, ARCHIVER, 300, 4)


def steps_of(monkeypatch, db, action):
    """Count the calls to the system that change something."""
    calls = []
    for name in ("open", "write", "writev", "pwrite", "replace", "unlink", "mkdir", "rename",
                 "ftruncate", "fsync"):  # fmt: skip
        if hasattr(os, name):
            original = getattr(os, name)
            monkeypatch.setattr(
                os,
                name,
                lambda *a, _name=name, _do=original, **k: calls.append(_name) or _do(*a, **k),
            )
    action()
    monkeypatch.undo()
    return len(calls)


class Killed(BaseException):
    pass


def stop_at(monkeypatch, step):
    """Let every call to the system from a certain one on fail, as after a kill."""
    calls = []
    for name in ("open", "write", "writev", "pwrite", "replace", "unlink", "mkdir", "rename",
                 "ftruncate", "fsync"):  # fmt: skip
        original = getattr(os, name)

        def stopped(*arguments, _do=original, **more):
            calls.append(1)
            if len(calls) > step:
                raise Killed
            return _do(*arguments, **more)

        monkeypatch.setattr(os, name, stopped)


@pytest.mark.parametrize("action", ["write", "overwrite", "archive", "delete"])
def test_an_interruption_at_any_step_leaves_all_that_was_there(tmp_path, monkeypatch, action):
    def prepared(name):
        db = FileDatabase(tmp_path / name)
        for number in range(3):
            db[number] = np.full(10, float(number))
        db.archive()
        db["0"], db["3"] = np.full(10, 5.0), np.full(10, 3.0)
        return db

    def act(db):
        if action == "write":
            db["new"] = np.full(10, 9.0)
        elif action == "overwrite":
            db["0"] = np.full(10, 6.0)
        elif action == "archive":
            db.archive()
        else:
            del db["0"]

    first = prepared("first")
    n_steps = steps_of(monkeypatch, first, lambda: act(first))
    assert n_steps >= 2
    for step in range(n_steps):
        db = prepared(f"db{step}")
        stop_at(monkeypatch, step)
        with pytest.raises(Killed):
            act(db)
        monkeypatch.undo()
        found = {key: value[0] for key, value in FileDatabase(db.path).items()}
        assert found.pop("new", 9.0) == 9.0
        zero = found.pop("0", None)
        if action == "delete":
            assert zero in (5.0, None)
        else:
            assert zero in ({5.0, 6.0} if action == "overwrite" else {5.0})
        assert found == {"1": 1.0, "2": 2.0, "3": 3.0}
        again = FileDatabase(db.path)
        again["1"] = np.full(10, 7.0)
        again.archive()
        assert FileDatabase(db.path)["1"][0] == 7.0


# ------------------------------------------------------------------ no room


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("making a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(db):
    """Write until there is no room, and return how many entries there are."""
    number = 0
    while True:
        try:
            db[f"k{number}"] = np.full(5000, float(number))
        except OSError as error:
            return number, error
        number += 1


def temporary_files(db):
    return [name for _, _, names in os.walk(db.path) for name in names if name.endswith(".tmp")]


def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk):
    db = FileDatabase(small_disk / "some")
    number, error = fill(db)
    assert number > 5
    assert isinstance(error, AmpError)
    assert error.errno == errno.ENOSPC
    assert f"{db.loosepath}/{shard_of(f'k{number}')}/k{number} cannot be written" in str(error)
    assert "Make room" in str(error)
    assert temporary_files(db) == []
    before = os.statvfs(small_disk).f_bavail
    with pytest.raises(AmpError, match="cannot be written"):
        db["k0"] = np.ones(6000)
    assert os.statvfs(small_disk).f_bavail == before
    other = FileDatabase(db.path)
    assert len(other) == number
    for i in range(number):
        assert other[f"k{i}"].tolist() == [float(i)] * 5000


def test_archiving_on_a_full_disk_loses_nothing(small_disk):
    db = FileDatabase(small_disk / "some")
    rng = np.random.default_rng(1)
    arrays = {}
    while True:
        key = f"k{len(arrays)}"
        array = rng.random(5000)  # does not compress
        try:
            db[key] = array
        except OSError:
            break
        arrays[key] = array
    with pytest.raises(OSError, match=r"cannot be written|No space"):
        db.archive()
    other = FileDatabase(db.path)
    assert sorted(arrays) == other.keys()
    assert all(np.array_equal(other[key], arrays[key]) for key in arrays)
    for key in list(arrays)[::2]:
        del other[key], arrays[key]
    other.archive()
    third = FileDatabase(db.path)
    assert all(np.array_equal(third[key], arrays[key]) for key in arrays)


@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_a_write_that_stops_in_the_middle_leaves_the_old_value(tmp_path, size):
    """The limit on the size of files stands in for a full disk where none can be made."""
    db = FileDatabase(tmp_path / "some")
    db["a"] = np.arange(5.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
        with pytest.raises(AmpError, match="cannot be written: File too large"):
            db["a"] = np.zeros(size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert temporary_files(db) == []
    for each in (db, FileDatabase(db.path)):
        assert each["a"].tolist() == list(range(5))


@pytest.mark.parametrize("call", ["write", "writev", "open", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_errors_of_the_disk_are_errors_of_amp(tmp_path, monkeypatch, call, number):
    db = FileDatabase(tmp_path / "some")
    db["a"] = np.arange(5.0)
    original = getattr(os, call)

    def failing(*arguments, **more):
        if call == "open" and not arguments[1] & os.O_EXCL:
            return original(*arguments, **more)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(AmpError, match="cannot be written") as caught:
        db["a"] = np.zeros(20_000 if call == "writev" else 5)
    monkeypatch.undo()
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value)
    assert temporary_files(db) == []
    assert db["a"].tolist() == FileDatabase(db.path)["a"].tolist() == list(range(5))


# ------------------------------------------------------------------ no permission


@pytest.fixture
def read_only(tmp_path):
    """A database that cannot be written, not even by the one who may do everything."""
    db = FileDatabase(tmp_path / "disk" / "some")
    db["archived"] = [1]
    db.archive()
    db["loose"], db["damaged"] = [2], [3]
    damaged = os.path.join(db.loosepath, shard_of("damaged"), "damaged")
    with open(damaged, "r+b") as file:
        file.truncate(70)
    if os.geteuid() != 0:
        paths = [folder for folder, _, _ in os.walk(tmp_path / "disk")]
        for path in paths:
            os.chmod(path, 0o555)
        yield FileDatabase(db.path)
        for path in paths:
            os.chmod(path, 0o755)
        return
    folder = str(tmp_path / "disk")
    commands = (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder])
    for i, command in enumerate(commands):
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            if i:
                subprocess.run(["umount", "-l", folder], check=True)
            pytest.skip("making a folder that root cannot write is not permitted here")
    yield FileDatabase(db.path)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_database_can_be_read(read_only, caplog):
    assert read_only["archived"] == [1]
    assert read_only["loose"] == [2]
    assert read_only.keys() == ["archived", "damaged", "loose"]
    assert read_only.get("damaged") is None
    assert "cannot be set aside" in caplog.text


def test_writing_to_a_read_only_database_is_a_clear_error(read_only):
    read_only["loose"] = [2]  # is there already
    for write in (
        lambda: read_only.__setitem__("loose", [5]),
        lambda: read_only.__setitem__("new", [5]),
        lambda: read_only.__delitem__("loose"),
        read_only.archive,
    ):
        with pytest.raises(OSError, match=r"cannot be written|Read-only|Permission") as caught:
            write()
        assert isinstance(caught.value, AmpError)
    assert read_only["loose"] == [2]
    with pytest.raises(AmpError):
        FileDatabase(os.path.join(os.path.dirname(read_only.path), "other"))["a"] = 1


def test_a_file_in_the_place_of_a_database_is_an_error(tmp_path):
    (tmp_path / "a.ampdb").write_text("something")
    db = FileDatabase(tmp_path / "a")
    reading = [
        db.keys,
        db.clear,
        db.archive,
        lambda: db["a"],
        lambda: "a" in db,
        lambda: db.pop("a"),
    ]
    for read in reading:
        with pytest.raises(
            AmpFileError, match=r"a\.ampdb is no database: it is no folder\. Move it"
        ):
            read()
    with pytest.raises(OutputWriteError, match=r"cannot be written: .* in the way of a folder"):
        db["a"] = 1
    assert (tmp_path / "a.ampdb").read_text() == "something"
    assert os.listdir(tmp_path) == ["a.ampdb"]


def test_a_new_database_is_made_complete_or_not_at_all(tmp_path, monkeypatch):
    original = os.rename

    db = FileDatabase(tmp_path / "some")

    def rename(source, target):
        monkeypatch.setattr(os, "rename", original)
        FileDatabase(target)["b"] = 2  # another process is quicker
        original(source, target)

    monkeypatch.setattr(os, "rename", rename)
    db["a"] = 1
    assert dict(FileDatabase(db.path).items()) == {"a": 1, "b": 2}
    assert os.listdir(tmp_path) == ["some.ampdb"]
