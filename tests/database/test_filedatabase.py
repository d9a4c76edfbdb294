"""The database as its users know it."""

import logging
import os
import shelve
import shutil
import tarfile
import threading
import time
from collections import OrderedDict
from collections.abc import MutableMapping

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from amp.core.errors import AmpError, DatabaseLockError, ParameterError
from amp.database import FileDatabase
from amp.database._keys import shard_of
from amp.database._loose import MAP_FROM

LARGE = MAP_FROM // 8 + 10  # numbers of an array whose file is mapped


@pytest.fixture
def db(tmp_path):
    return FileDatabase(tmp_path / "some")


def again(db, **settings):
    """Open a database another time, with nothing in memory."""
    return FileDatabase(db.path, **settings)


def file_of(db, key):
    return os.path.join(db.loosepath, shard_of(key), key)


def files_of(db):
    """All files of the loose entries, with when they were written."""
    return {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(db.loosepath)
        for name in names
        if name != ".lock"
    }


# ------------------------------------------------------------------ names, folders


def test_ampdb_is_put_behind_the_name_once(tmp_path):
    db = FileDatabase(str(tmp_path / "a"))
    assert db.path == str(tmp_path / "a.ampdb")
    assert db.loosepath == str(tmp_path / "a.ampdb" / "loose")
    assert db.tarpath == str(tmp_path / "a.ampdb" / "archive.tar.gz")
    assert FileDatabase(db.path).path == db.path
    assert FileDatabase.open(tmp_path / "a", flag="r").path == db.path


def test_a_slash_behind_the_name_changes_nothing(tmp_path):
    for name in ("a/", "a.ampdb/", "a.ampdb//"):
        assert FileDatabase(f"{tmp_path}/{name}").path == f"{tmp_path}/a.ampdb"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        ".",
        "..",
        "x/..",
        ".ampdb",
        "a\0b",
        "x" * 250,
        "x" * 256 + "/a",
        "é" * 126,
        "\udaaa",
    ],
    ids=lambda name: ascii(name)[:12],
)
def test_names_that_no_folder_can_have_are_refused_at_once(name):
    for opened in (FileDatabase, FileDatabase.open):
        with pytest.raises(ValueError, match="cannot be the name of a database: ") as caught:
            opened(name)
        assert isinstance(caught.value, AmpError)


@pytest.mark.parametrize("name", [None, b"rel", 3, ["a"]], ids=repr)
def test_names_of_other_types_are_refused_at_once(name):
    with pytest.raises(TypeError, match="name of a database is a text or a path") as caught:
        FileDatabase(name)
    assert isinstance(caught.value, AmpError)


@pytest.mark.parametrize("name", ["x" * 249, "é" * 124, "a b", "-r", "a.b", "~"])
def test_other_names_are_those_of_databases(tmp_path, name):
    db = FileDatabase(tmp_path / name)
    db["a"] = [1]
    assert again(db)["a"] == [1]
    assert db.archive() == 1
    assert again(db)["a"] == [1]
    assert os.listdir(tmp_path) == [f"{name}.ampdb"]


@pytest.mark.parametrize("flag", ["n", "c", "r", None, 0])
def test_a_flag_empties_nothing_and_the_one_that_would_is_told(db, caplog, flag):
    db["a"] = 1
    assert FileDatabase.open(db.path, flag)["a"] == 1
    is_told = "the flag 'n' empties no database" in caplog.text
    assert is_told == (flag == "n")


def test_nothing_is_made_before_something_is_written(tmp_path):
    with FileDatabase(tmp_path / "x" / "y" / "a") as db:
        assert list(db) == []
        assert "a" not in db
        assert db.get("a") is None
        assert db.archive() == 0
        with pytest.raises(KeyError):
            del db["a"]
        db.clear()
        assert os.listdir(tmp_path) == []
        db["a"] = 1
    assert FileDatabase(tmp_path / "x" / "y" / "a")["a"] == 1
    assert os.listdir(tmp_path / "x" / "y") == ["a.ampdb"]


def test_a_folder_that_has_only_an_archive_is_a_database(db):
    db["a"] = 1
    db.archive()
    os.unlink(os.path.join(db.loosepath, ".lock"))
    for shard in os.listdir(db.loosepath):
        os.rmdir(os.path.join(db.loosepath, shard))
    os.rmdir(db.loosepath)
    other = again(db)
    assert other["a"] == 1
    other["b"] = 2
    assert dict(again(db).items()) == {"a": 1, "b": 2}


# ------------------------------------------------------------------ a mapping


def test_it_is_a_mutable_mapping(db):
    assert isinstance(db, MutableMapping)
    db.update({"b": [1, 2.5], "a": {"x": None}})
    db.update(c=(1,))
    assert db.keys() == list(db) == ["a", "b", "c"]
    assert db.values() == [{"x": None}, [1, 2.5], (1,)]
    assert list(db.items()) == [("a", {"x": None}), ("b", [1, 2.5]), ("c", (1,))]
    assert len(db) == len(db.items()) == 3
    assert "a" in db
    assert "d" not in db
    assert db.get("d", 5) == 5
    assert db.setdefault("d", 6) == db["d"] == 6
    assert db.pop("d") == 6
    assert db.pop("d", None) is None
    assert db.keys() == ["a", "b", "c"]


def test_a_missing_key_is_an_error_with_the_key(db):
    for key in ("missing", 5):
        with pytest.raises(KeyError) as caught:
            db[key]
        assert caught.value.args == (key,)
        with pytest.raises(KeyError) as caught:
            del db[key]
        assert caught.value.args == (key,)


def test_integers_are_keys_as_texts_everywhere(db):
    db[5] = "five"
    assert db[5] == db["5"] == db[np.int64(5)] == again(db)[5] == "five"
    assert 5 in db
    assert "5" in db
    assert 5 in again(db)
    assert db.keys() == ["5"]
    assert db.get(5) == "five"
    db.update({7: 1})
    del db[5]
    assert db.keys() == ["7"]


UNSAFE = ["", "a/b", "/etc/passwd", "..", ".", ".hidden", "a\\b", "a\0b", "a\nb", "x" * 201,
          "é" * 101, "a.broken", "\ud800", "a\u2028b", "\x1b[1m"]  # fmt: skip


@pytest.mark.parametrize("key", UNSAFE, ids=ascii)
def test_keys_that_are_no_safe_file_names_are_refused(db, key):
    db["a"] = 1
    for use in (
        db.__getitem__,
        db.__delitem__,
        db.__contains__,
        db.get,
        lambda k: db.update({k: 1}),
    ):
        with pytest.raises(ValueError, match="cannot be the key of an entry") as caught:
            use(key)
        assert isinstance(caught.value, AmpError)
    assert db.keys() == ["a"]


@pytest.mark.parametrize("key", [None, 1.5, b"a", ("a",), True, ["a"]], ids=repr)
def test_keys_of_other_types_are_refused(db, key):
    for use in (db.__getitem__, db.__delitem__, db.__contains__, lambda k: db.__setitem__(k, 1)):
        with pytest.raises(TypeError):
            use(key)
        with pytest.raises(AmpError):
            use(key)


@pytest.mark.parametrize(
    "key", ["x" * 200, "é" * 100, "a b", "~", "-rf", "a.tmp", "é😀", "CON", "a:b", "%"]
)
def test_other_texts_are_keys(db, key):
    db[key] = [1, 2]
    assert again(db)[key] == [1, 2]
    assert again(db).keys() == [key]
    db.archive()
    assert again(db)[key] == [1, 2]
    assert again(db).keys() == [key]


def test_values_are_checked_before_anything_is_written(db):
    with pytest.raises(
        TypeError, match=r"of 'a'\['x'\]\[1\] is of a type that is not written \(object\)"
    ):
        db["a"] = {"x": [1, object()]}
    assert not os.path.exists(db.path)


def test_complex_numbers_are_values(db):
    db["a"] = {"z": [1 + 2j, (3j,)], 1j: "key"}
    assert again(db)["a"] == {"z": [1 + 2j, (3j,)], 1j: "key"}
    assert db["a"] == {"z": [1 + 2j, (3j,)], 1j: "key"}


def test_values_come_back_exactly(db):
    value = OrderedDict(
        x=[1, 2.5, None, (True, b"z")],
        y={("Cu", 1): np.arange(6, dtype=">f4").reshape(2, 3), 5: np.float32(1.5)},
    )
    db["a"] = value
    for each in (db["a"], again(db)["a"], db["a"]):
        assert type(each) is OrderedDict
        assert each["x"] == value["x"]
        assert list(each["y"]) == [("Cu", 1), 5]
        assert each["y"]["Cu", 1].dtype == ">f4"
        assert_array_equal(each["y"]["Cu", 1], value["y"]["Cu", 1])
        assert type(each["y"][5]) is np.float32


# ------------------------------------------------------------------ writing


def test_equal_values_are_not_written_again(db):
    db["a"], db["b"] = [1, np.arange(3.0)], np.zeros(LARGE)
    before = files_of(db)
    for each in (db, again(db)):
        each["a"], each["b"] = [1, np.arange(3.0)], np.zeros(LARGE)
        assert each.statistics.unchanged == 2
    assert files_of(db) == before
    db["a"] = [1.0, np.arange(3.0)]
    assert files_of(db) != before
    assert type(again(db)["a"][0]) is float


def test_equal_values_in_the_archive_are_not_written_again(db):
    db["a"] = [1, np.arange(3.0)]
    db.archive()
    for each in (db, again(db)):
        each["a"] = [1, np.arange(3.0)]
    assert files_of(db) == {}
    db["a"] = [2]
    assert len(files_of(db)) == 1
    assert again(db)["a"] == [2]
    db["a"] = [1, np.arange(3.0)]  # the archive has it, but a file hides that
    assert again(db)["a"][0] == 1


def test_a_damaged_entry_is_written_again_although_its_header_is_the_same(db):
    db["a"] = np.arange(5.0)
    with open(file_of(db, "a"), "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    db["a"] = np.arange(5.0)
    assert_array_equal(again(db)["a"], np.arange(5.0))


def test_loose_entries_win_over_archived_ones(db):
    db["a"] = 1
    db.archive()
    db["a"] = 2
    assert again(db)["a"] == 2
    assert len(again(db)) == 1
    db.archive()
    assert again(db)["a"] == 2
    assert again(db).keys() == ["a"]


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_deleted_entry_is_gone(db, is_archived):
    db.update({"a": 1, "b": 2})
    if is_archived:
        db.archive()
    db["a"] = 3
    del db["a"]
    for each in (db, again(db)):
        assert "a" not in each
        assert each.keys() == ["b"]
        with pytest.raises(KeyError):
            each["a"]
    db.archive()
    assert again(db).keys() == ["b"]
    db.clear()
    assert again(db).keys() == []


def test_entries_lie_in_subfolders_by_the_md5_of_the_key(db):
    db["a"] = 1
    # RFC 1321: MD5("a") = 0cc175b9c0f1b6a831c399e269772661
    assert os.path.isfile(os.path.join(db.loosepath, "0c", "a"))
    assert sorted(os.listdir(db.loosepath)) == [".lock", "0c"]


def test_durable_entries_are_brought_to_the_disk(tmp_path, monkeypatch):
    synced = []
    original = os.fsync

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        original(descriptor)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the system does not tell what is open")
    monkeypatch.setattr(os, "fsync", fsync)
    FileDatabase(tmp_path / "quick")["a"] = 1
    assert synced == []
    db = FileDatabase(tmp_path / "sure", durable=True)
    db["a"] = 1
    shard = os.path.dirname(file_of(db, "a"))
    assert [path for path in synced if path.endswith(".tmp")], synced
    assert synced[-1] == shard  # after the file has its name
    for folder in (str(tmp_path), db.path, db.loosepath):
        assert folder in synced
    synced.clear()
    again(db, durable=True)["a"] = 1  # somebody else may have written it, and not to the disk
    assert synced == [file_of(db, "a"), shard]


# ------------------------------------------------------------------ memory


def test_what_was_used_is_in_memory(db):
    db["a"], db["b"] = np.arange(4.0), np.arange(float(LARGE))
    other = again(db)
    for _ in range(3):
        assert_array_equal(other["a"], np.arange(4.0))
        assert_array_equal(other["b"], np.arange(float(LARGE)))
    other.get("c")
    found = other.statistics
    assert (found.loose, found.memory, found.misses, found.archived) == (2, 4, 1, 0)
    db.archive()
    third = again(db)
    third["a"], third["a"]
    assert (third.statistics.archived, third.statistics.memory) == (1, 1)


def test_values_read_by_values_are_in_memory_after_it(db):
    db.update({"a": [1], "b": [2]})
    other = again(db)
    assert other.values() == [[1], [2]]
    assert [other["a"], other["b"]] == [[1], [2]]
    assert other.statistics.loose == other.statistics.memory == 2


def spoil(value):
    """Do to a value whatever can be done to it."""
    if isinstance(value, np.ndarray):
        for change in (
            lambda: value.__setitem__(..., -1),
            lambda: value.setflags(write=True),
            lambda: setattr(value, "shape", (-1,)),
            lambda: value.fill(-1),
        ):
            try:
                change()
            except (ValueError, DeprecationWarning):
                continue
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoiled")
    elif isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value["spoiled"] = True
    elif isinstance(value, tuple):
        for item in value:
            spoil(item)


def make(size):
    return {
        "array": np.arange(float(size)).reshape(2, -1),
        "list": [1, [2, (3, [4])]],
        "dict": {"a": np.arange(size), "b": OrderedDict(c=[])},
        "tuple": (1, np.arange(size), {"x": []}),
    }


@pytest.mark.parametrize("size", [4, LARGE])
@pytest.mark.parametrize("kind", ["array", "list", "dict", "tuple"])
def test_nothing_done_to_values_changes_what_is_in_the_database(db, kind, size):
    given = make(size)[kind]
    db["a"] = given
    if kind == "array":
        given[...] = -1
    else:
        spoil(given)
    expected = repr(make(size)[kind])
    shape = np.shape(make(size)[kind]) if kind == "array" else None
    for each in (db, again(db)):
        for _ in range(3):
            value = each["a"]
            assert repr(value) == expected
            assert shape is None or value.shape == shape
            spoil(value)


def test_memory_has_a_limit_and_what_was_used_longest_ago_goes_first(tmp_path):
    db = FileDatabase(tmp_path / "a", max_memory=100_000)
    for number in range(20):
        db[number] = np.full(1000, float(number))  # 8 kB
        db[0]
    assert db.statistics.evicted in range(7, 12)
    before = db.statistics.loose
    db[0], db[19], db[18]
    assert db.statistics.loose == before
    db[1]
    assert db.statistics.loose == before + 1
    db["large"] = np.zeros(50_000)
    assert db["large"].sum() == db[0].sum() == 0.0
    unlimited = again(db, max_memory=None)
    unlimited.values()
    assert unlimited.statistics.evicted == 0
    with pytest.raises(ParameterError, match="memory"):
        FileDatabase(tmp_path / "a", max_memory="much")


def test_what_others_change_is_seen_after_refresh_and_what_they_add_at_once(db):
    other = again(db)
    db["a"] = 1
    assert other["a"] == 1
    db["a"] = 2
    db["b"] = 3
    assert other["a"] == 1
    assert other["b"] == 3
    other.refresh()
    assert other["a"] == 2
    db["large"] = np.zeros(LARGE)
    assert other["large"].sum() == 0
    db["large"] = np.ones(LARGE)
    other.refresh()
    assert other["large"].sum() == LARGE


@pytest.mark.parametrize("is_archived", [False, True])
def test_what_others_remove_is_not_in_it_although_its_value_is_in_memory(db, is_archived):
    db.update({"read": [1], "other": [2]})
    if is_archived:
        db.archive()
    other = again(db)
    assert other["read"] == [1]
    del db["read"], db["other"]
    assert "read" not in other
    assert "other" not in other
    assert (len(other), list(other)) == (0, [])
    assert other["read"] == [1]
    with pytest.raises(KeyError):
        other["other"]
    other.refresh()
    with pytest.raises(KeyError):
        other["read"]


def test_large_arrays_are_mapped_and_outlive_what_happens_to_their_entries(db):
    db["a"] = np.arange(float(LARGE))
    other = again(db)
    array = other["a"]
    db["a"] = np.zeros(LARGE)
    db.archive()
    db.clear()
    other.close()
    assert_array_equal(array, np.arange(float(LARGE)))


def test_mapped_files_are_verified_once(db, monkeypatch):
    from amp.core import encoding

    db["a"] = np.arange(float(LARGE))
    other = again(db, max_memory=1000)  # memory keeps nothing
    n_checked = []
    original = encoding.checksum
    monkeypatch.setattr(encoding, "checksum", lambda parts: n_checked.append(1) or original(parts))
    for _ in range(3):
        assert other["a"][-1] == LARGE - 1
    assert len(n_checked) == 1
    db["a"] = np.zeros(LARGE)
    n_checked.clear()
    assert other["a"][-1] == 0
    assert len(n_checked) == 1


def test_a_process_does_not_run_out_of_open_files(db):
    from amp.database._loose import MOST_MAPS

    for number in range(MOST_MAPS + 5):
        db[number] = np.full(LARGE, number)
    values = [db[number] for number in range(MOST_MAPS + 5)]
    assert [int(value[-1]) for value in values] == list(range(MOST_MAPS + 5))
    if os.path.exists("/proc/self/fd"):
        assert len(os.listdir("/proc/self/fd")) < MOST_MAPS + 100


def test_a_closed_database_can_be_used_again(db):
    db["a"] = [1]
    db.archive()
    assert db["a"] == [1]
    db.close()
    assert db["a"] == [1]
    db["b"] = 2
    db.close()
    assert db.keys() == ["a", "b"]


def test_databases_are_equal_to_themselves_alone(db):
    assert db == db
    assert db != again(db)
    assert len({db, again(db)}) == 2
    assert "some.ampdb" in repr(db)


# ------------------------------------------------------------------ archive


def test_archiving_moves_loose_entries_to_the_archive(db, caplog, capsys):
    db.update({"a": [1], "b": np.arange(10.0), "c": np.zeros(LARGE)})
    with caplog.at_level(logging.INFO):
        assert db.archive() == 3
    assert f"Packed 3 entries into {db.tarpath}" in caplog.text
    assert files_of(db) == {}
    db["d"] = 4
    assert db.archive() == 1
    assert db.archive() == 0
    other = again(db)
    assert other.keys() == ["a", "b", "c", "d"]
    assert other["a"] == [1]
    assert_array_equal(other["b"], np.arange(10.0))
    assert_array_equal(other["c"], np.zeros(LARGE))
    assert capsys.readouterr().out == ""


def test_damaged_entries_are_not_archived(db, caplog):
    db.update({"a": [1], "b": [2]})
    db.archive()
    db.update({"a": [3], "b": [4]})
    with open(file_of(db, "a"), "r+b") as file:
        file.truncate(100)
    packer = again(db)
    assert packer.archive() == 1
    assert packer.statistics.damaged == 1
    assert "/a is damaged" in caplog.text
    other = again(db)
    assert other["a"] == [1]  # which the archive still had
    assert other["b"] == [4]
    assert os.path.exists(file_of(db, "a") + ".broken")


def test_an_entry_written_while_it_is_archived_stays_loose(db, monkeypatch):
    db["a"] = 1
    other = again(db)
    append = db._archive.append

    def slow_append(members):
        append(members)
        other["a"] = 2

    monkeypatch.setattr(db._archive, "append", slow_append)
    db.archive()
    assert again(db)["a"] == 2
    assert list(files_of(db)) == [file_of(db, "a")]


def test_old_temporary_files_are_removed_by_archiving(db, caplog):
    db["a"] = 1
    folder = os.path.dirname(file_of(db, "a"))
    for name, age in ((".old.tmp", 4000), (".new.tmp", 10)):
        path = os.path.join(folder, name)
        with open(path, "w"):
            pass
        moment = os.stat(path).st_mtime - age
        os.utime(path, (moment, moment))
    assert again(db).keys() == ["a"]
    with caplog.at_level(logging.INFO):
        db.archive()
    assert sorted(os.listdir(folder)) == [".new.tmp"]
    assert "Removed 1 temporary files" in caplog.text


def test_a_writer_whose_temporary_file_was_removed_writes_again(db, monkeypatch):
    original = os.replace
    lost = []

    def replace(source, target):
        if not lost:
            lost.append(source)
            os.unlink(source)
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    db["a"] = 1
    assert again(db)["a"] == 1
    assert len(lost) == 1


def test_the_archive_does_not_grow_when_entries_are_replaced_again_and_again(db):
    for number in range(12):
        db["a"] = np.random.default_rng(number).random(100_000)
        db.archive()
    assert os.path.getsize(db.tarpath) < 4 * 800_000
    assert again(db)["a"][0] == np.random.default_rng(11).random()


# ------------------------------------------------------------------ old databases


def make_old(folder, keys=("one", "two")):
    """Write files as Amp 1.0.1 does: pickles in loose/."""
    import pickle

    loose = folder / "old.ampdb" / "loose"
    loose.mkdir(parents=True)
    for key in keys:
        (loose / key).write_bytes(pickle.dumps([("Cu", [1.0, 2.0])], protocol=0))
    return FileDatabase(folder / "old")


def archive_old(db):
    """Pack the files as Amp 1.0.1 does."""
    import tarfile

    with tarfile.open(db.tarpath, "w:gz") as archive:
        for name in sorted(os.listdir(db.loosepath)):
            archive.add(os.path.join(db.loosepath, name), arcname=name)
            os.unlink(os.path.join(db.loosepath, name))


@pytest.mark.parametrize("is_archived", [False, True])
def test_files_of_amp_1_0_1_are_recognised_and_left_alone(tmp_path, caplog, is_archived):
    db = make_old(tmp_path)
    if is_archived:
        archive_old(db)
    assert db.keys() == []
    assert len(db) == 0
    assert "one" not in db
    with pytest.raises(KeyError):
        db["one"]
    assert caplog.text.count("has entries of Amp 1.0.1") == 1
    assert "amp-compress -r -d" in caplog.text
    assert "2 files" in caplog.text or is_archived
    db["one"] = 1
    assert again(db)["one"] == 1
    del db["one"]
    assert db.keys() == []
    assert os.path.exists(db.tarpath) == is_archived
    assert os.path.exists(os.path.join(db.loosepath, "one")) != is_archived


def test_archiving_makes_room_for_an_archive_beside_that_of_amp_1_0_1(tmp_path):
    db = make_old(tmp_path)
    archive_old(db)
    with open(db.tarpath, "rb") as file:
        old = file.read()
    db["two"] = 2
    db.archive()
    assert again(db).keys() == ["two"]
    assert again(db)["two"] == 2
    with open(db.tarpath + ".old", "rb") as file:
        assert file.read() == old


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


def test_hostile_pickles_are_not_loaded(tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    db = FileDatabase("db")
    db["a"] = 1
    for path in (file_of(db, "a"), os.path.join(db.loosepath, "a"), db.tarpath):
        with open(path, "wb") as file:
            pickle.dump(Trap(), file)
    other = again(db)
    assert other.get("a") is None
    other.keys()
    assert not os.path.exists("trapped")


def test_entries_packed_by_another_tar_are_read(db):
    import tarfile

    db.update({"a": [1], "b": np.arange(5.0)})
    with tarfile.open(db.tarpath, "w:gz") as archive:
        for key in ("a", "b"):
            archive.add(file_of(db, key), arcname=key)
            os.unlink(file_of(db, key))
    other = again(db)
    assert other.keys() == ["a", "b"]
    assert other["a"] == [1]
    other["c"] = 3
    other.archive()
    third = again(db)
    assert third.keys() == ["a", "b", "c"]
    assert_array_equal(third["b"], np.arange(5.0))


# ------------------------------------------------------------------ threads


def test_threads_may_share_a_database(tmp_path):
    db = FileDatabase(tmp_path / "a", max_memory=50_000)
    errors = []

    def work(number):
        try:
            for step in range(30):
                key = f"k{(number + step) % 7}"
                db[key] = np.full(500, 1.0)
                assert db[key].sum() == 500.0
                db[f"own{number}"] = [number, step]
                assert db[f"own{number}"] == [number, step]
                assert set(db.keys()) >= {key}
                if number == 0 and step % 10 == 0:
                    db.archive()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [db[f"own{number}"] for number in range(6)] == [[number, 29] for number in range(6)]


def test_it_serves_where_a_shelf_does(db, tmp_path):
    with shelve.open(str(tmp_path / "shelf")) as shelf:
        for store in (shelf, db):
            store["a"] = [1]
            store.update({"b": 2})
            assert sorted(store.keys()) == ["a", "b"]
            assert sorted(map(str, store.values())) == ["2", "[1]"]
            del store["a"]
            assert len(store) == 1


# ------------------------------------------------------------------ doors for other modules


def test_a_relative_name_stays_the_same_database_in_another_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    db = FileDatabase("here")
    db["before"] = 1
    monkeypatch.chdir(tmp_path / "elsewhere")
    db["after"] = 2
    db.archive()
    db.refresh()
    assert dict(db.items()) == {"before": 1, "after": 2}
    assert db.path == "here.ampdb"
    assert os.listdir() == []


def test_a_name_may_lead_up_from_a_link(tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    db = FileDatabase(tmp_path / "link" / ".." / "store")
    db["a"] = 1
    assert (tmp_path / "far" / "store.ampdb").is_dir()


def test_archiving_shows_every_entry_when_its_turn_has_come(db):
    db.update({"a": 1, "b": 2, "c": 3})
    told = []

    def show(keys, number):
        for key in keys:
            told.append((key, number))
            yield key

    packing = db.pack(show)
    assert (packing.n_entries, packing.n_left) == (3, 0)
    assert sorted(told) == [("a", 3), ("b", 3), ("c", 3)]


def test_nobody_waits_longer_for_an_archiver_than_asked_for(tmp_path):
    db = FileDatabase(tmp_path / "store", lock_timeout=0.05)
    db["a"] = 1
    with FileDatabase(tmp_path / "store")._archive.locked():
        start = time.monotonic()
        with pytest.raises(DatabaseLockError):
            db.archive()
        assert time.monotonic() - start < 5.0


def test_a_file_in_the_subfolder_of_other_keys_is_no_entry(db):
    db["a"] = 1
    here = os.path.dirname(file_of(db, "a"))
    other = os.path.join(os.path.dirname(here), "00" if os.path.basename(here) != "00" else "01")
    os.mkdir(other)
    shutil.copy(file_of(db, "a"), os.path.join(other, "stray"))
    shutil.copy(file_of(db, "a"), os.path.join(other, "a"))
    assert db.keys() == ["a"]
    assert db.archive() == 1


def test_an_archive_that_is_a_pipe_holds_nobody_up(db, caplog):
    db["a"] = 1
    os.mkfifo(db.tarpath)
    db.refresh()
    assert db["a"] == 1
    assert "b" not in db
    assert db.keys() == ["a"]


def test_an_archive_of_others_is_not_read_to_tell_what_it_is(db, monkeypatch):
    db["a"] = 1
    with tarfile.open(db.tarpath, "w:gz") as tar:
        tar.add(file_of(db, "a"), "b")

    def read(*arguments):
        raise AssertionError

    monkeypatch.setattr("amp.database._archive_foreign.ForeignView.__init__", read)
    assert db._has_old_archive() is False
