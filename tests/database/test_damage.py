"""Whatever happens to the files of a database, it gives right values or none."""

import json
import logging
import os
import struct
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amp.core.checksums import checksum
from amp.core.encoding import MAGIC, encode
from amp.core.errors import AmpFileError, OutputWriteError
from amp.database import FileDatabase
from amp.database._keys import shard_of
from amp.database._loose import MAP_FROM

VALUE = {"a": [np.arange(4.0), b"xy", (1.5, None)], "b": np.array(["Cu"])}


@pytest.fixture
def db(tmp_path):
    db = FileDatabase(tmp_path / "some")
    db["a"] = VALUE
    return db


def again(db):
    return FileDatabase(db.path)


def file_of(db, key):
    return os.path.join(db.loosepath, shard_of(key), key)


def put(db, key, data):
    os.makedirs(os.path.dirname(file_of(db, key)), exist_ok=True)
    with open(file_of(db, key), "wb") as file:
        file.write(data)


def forged(skeleton, blocks=b"", name=b"a", **header):
    """Make an entry with a right checksum and anything in it."""
    text = json.dumps(skeleton).encode()
    body = name + text
    if blocks:
        body += bytes(-(64 + len(body)) % 64) + blocks
    sizes = {"name_length": len(name), "length": 64 + len(body), "skeleton_length": len(text)}
    sizes |= header
    start = struct.pack("<8sIIQQ", MAGIC, 1, *sizes.values())
    return start + checksum([start, body]) + body


def assert_is_set_aside(db, caplog, key="a"):
    """Whether a damaged entry is a miss, reported with its path, and out of the way."""
    other = again(db)
    with pytest.raises(KeyError):
        other[key]
    assert f"{file_of(db, key)} is damaged" in caplog.text
    assert os.path.lexists(file_of(db, key) + ".broken")
    assert not os.path.lexists(file_of(db, key))
    assert key not in other
    assert other.keys() == []
    assert other.statistics.misses == 1
    other[key] = [5]
    assert again(db)[key] == [5]


@pytest.mark.parametrize("length", [0, 1, 30, 63, 64, 65, 100, 400, -1])
def test_a_truncated_file_is_set_aside(db, caplog, length):
    with open(file_of(db, "a"), "r+b") as file:
        file.truncate(length if length >= 0 else os.path.getsize(file_of(db, "a")) - 1)
    assert_is_set_aside(db, caplog)


ENTRY = b"".join(encode(VALUE, "a"))


@given(
    st.lists(
        st.tuples(st.integers(0, len(ENTRY) - 1), st.integers(1, 255)), min_size=1, max_size=3
    ),
    st.integers(0, len(ENTRY)),
    st.binary(max_size=20),
)
@example([(0, 1), (0, 1)], len(ENTRY), b"")
def test_any_altered_file_is_the_right_value_or_a_miss(tmp_path_factory, changes, length, appended):
    altered = bytearray(ENTRY)
    for position, bits in changes:
        altered[position] ^= bits
    altered = bytes(altered[:length]) + appended
    db = FileDatabase(tmp_path_factory.getbasetemp() / "altered")
    db["other"] = 1
    put(db, "a", altered)
    found = again(db).get("a")
    if altered == ENTRY:
        assert repr(found) == repr(VALUE)
    else:
        assert found is None
    assert again(db)["other"] == 1


@given(st.binary(max_size=400))
def test_noise_is_a_miss(tmp_path_factory, noise):
    db = FileDatabase(tmp_path_factory.getbasetemp() / "noise")
    db["other"] = 1
    for data in (noise, MAGIC + noise, ENTRY[:64] + noise, noise + ENTRY):
        put(db, "a", data)
        assert (again(db).get("a") is None) == (data != ENTRY)


@pytest.mark.parametrize("bit", range(8))
def test_every_bit_turned_in_a_large_file_is_noticed(tmp_path, bit):
    db = FileDatabase(tmp_path / "large")
    rng = np.random.default_rng(bit)
    array = rng.random(MAP_FROM // 8)
    db["a"] = array
    size = os.path.getsize(file_of(db, "a"))
    for position in [*rng.integers(0, size, 3), 0, 64, size - 1]:
        db["a"] = array
        with open(file_of(db, "a"), "r+b") as file:
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 1 << bit]))
        assert again(db).get("a") is None


def test_a_renamed_file_is_set_aside(db, caplog):
    os.makedirs(os.path.dirname(file_of(db, "b")), exist_ok=True)
    os.rename(file_of(db, "a"), file_of(db, "b"))
    assert_is_set_aside(db, caplog, "b")
    assert "belong to 'a', not to 'b'" in caplog.text


def test_a_file_in_the_wrong_folder_is_not_found(db):
    os.makedirs(os.path.join(db.loosepath, "ff"))
    os.rename(file_of(db, "a"), os.path.join(db.loosepath, "ff", "a"))
    assert again(db).get("a") is None


HUGE = {
    "array": forged(["a", "<f8", "C", 2**60], bytes(8)),
    "list of huge arrays": forged(["l", *[["a", "|b1", "C", 2**40]] * 50], bytes(8)),
    "length": forged(1, length=2**63),
    "skeleton": forged(1, skeleton_length=2**62),
    "name": forged(1, name_length=2**31),
    "nesting": forged(json.loads("[" * 80 + "]" * 80)),
}


@pytest.mark.parametrize("case", HUGE)
def test_huge_sizes_are_not_believed(db, caplog, case):
    put(db, "a", HUGE[case])
    start = time.process_time()
    assert_is_set_aside(db, caplog)
    assert time.process_time() - start < 0.5


def test_a_sparse_file_takes_no_memory_and_no_time(db, caplog):
    with open(file_of(db, "a"), "r+b") as file:
        file.truncate(2**38)
    start = time.process_time()
    assert_is_set_aside(db, caplog)
    assert time.process_time() - start < 0.5


def test_symbolic_links_are_not_followed(db, tmp_path, caplog):
    secret = tmp_path / "elsewhere"
    os.rename(file_of(db, "a"), secret)
    os.symlink(secret, file_of(db, "a"))
    contents = secret.read_bytes()
    assert_is_set_aside(db, caplog)
    assert "/a is damaged: It is a symbolic link. It is now a.broken." in caplog.text
    os.unlink(file_of(db, "a"))
    os.symlink(secret, file_of(db, "a"))
    again(db)["a"] = [7]
    assert again(db)["a"] == [7]
    assert not os.path.islink(file_of(db, "a"))
    assert secret.read_bytes() == contents


def test_a_link_is_not_archived(db, tmp_path):
    os.rename(file_of(db, "a"), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", file_of(db, "a"))
    assert again(db).archive() == 0
    assert again(db).keys() == []


def test_nothing_is_written_through_a_folder_that_is_a_link(db, tmp_path, caplog):
    elsewhere = tmp_path / "elsewhere"
    os.rename(os.path.dirname(file_of(db, "a")), elsewhere)
    os.symlink(elsewhere, os.path.dirname(file_of(db, "a")))
    before = sorted(os.listdir(elsewhere))
    other = again(db)
    assert other.get("a") is None
    assert other.keys() == []
    with pytest.raises(OSError, match="is no folder, and nothing is written to it"):
        other["a"] = 1
    assert other.archive() == 0
    with pytest.raises(KeyError):
        del other["a"]
    assert sorted(os.listdir(elsewhere)) == before
    assert "is no folder" in caplog.text


def test_nothing_is_written_where_loose_is_a_link(tmp_path):
    (tmp_path / "some.ampdb").mkdir()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "some.ampdb" / "loose")
    db = FileDatabase(tmp_path / "some")
    with pytest.raises(OSError, match="no folder"):
        db["a"] = 1
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_set_aside(db, caplog, kind):
    os.unlink(file_of(db, "a"))
    if kind == "folder":
        os.mkdir(file_of(db, "a"))
    else:
        os.mkfifo(file_of(db, "a"))
    assert_is_set_aside(db, caplog)
    assert "/a is damaged: It is no file. It is now a.broken." in caplog.text


@pytest.mark.parametrize("kind", ["a symbolic link", "a folder"])
@pytest.mark.parametrize("lock", ["loose/.lock", "archive.tar.gz.lock"])
def test_what_is_in_the_way_of_a_lock_is_told(tmp_path, lock, kind):
    db = FileDatabase(tmp_path / "some")
    db["a"] = [1]
    path = tmp_path / "some.ampdb" / lock
    path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    uses = [db.archive]
    if lock == "loose/.lock":
        uses.append(lambda: db.update({"b": [2]}))
    for use in uses:
        with pytest.raises(OutputWriteError, match=f"lock cannot be locked: it is {kind}"):
            use()
    assert not (tmp_path / "elsewhere").exists()
    assert again(db)["a"] == [1]


def test_a_folder_in_the_place_of_the_archive_is_told(db):
    os.makedirs(os.path.join(db.tarpath, "inner"))
    with pytest.raises(AmpFileError, match=r"archive\.tar\.gz is a folder, where an archive"):
        db.archive()
    assert again(db)["a"] is not None


def test_a_good_entry_written_meanwhile_is_not_set_aside(db, monkeypatch):
    put(db, "a", b"damaged")
    other = again(db)
    original = other._loose.set_aside

    def set_aside(*arguments):
        again(db)["a"] = [9]
        original(*arguments)

    monkeypatch.setattr(other._loose, "set_aside", set_aside)
    assert other.get("a") is None
    assert again(db)["a"] == [9]


def test_a_second_damaged_entry_takes_the_place_of_the_first(db):
    for data in (b"first", b"second"):
        put(db, "a", data)
        assert again(db).get("a") is None
    with open(file_of(db, "a") + ".broken", "rb") as file:
        assert file.read() == b"second"


def test_a_damaged_entry_is_read_from_the_archive_if_that_has_it(db, caplog):
    db.archive()
    put(db, "a", b"damaged")
    other = again(db)
    assert repr(other["a"]) == repr(VALUE)
    assert other.statistics.damaged == 1
    assert other.statistics.archived == 1


@pytest.mark.parametrize("number", range(20))
def test_a_damaged_archive_is_right_values_or_misses(db, caplog, number):
    keys = [f"k{i}" for i in range(20)]
    for i, key in enumerate(keys):
        db[key] = np.full(20, float(i))
    db.archive()
    rng = np.random.default_rng(number)
    with open(db.tarpath, "r+b") as file:
        size = os.path.getsize(db.tarpath)
        for position in rng.integers(0, size, 30):
            file.seek(position)
            file.write(rng.bytes(1))
        if number % 2:
            file.truncate(int(rng.integers(0, size)))
    other = again(db)
    for i, key in enumerate(keys):
        found = other.get(key)
        assert found is None or found.tolist() == [float(i)] * 20
        other[key] = np.full(20, float(i))
    other.archive()
    assert [int(again(db)[key][0]) for key in keys] == list(range(20))


def test_a_member_of_an_archive_under_another_name_is_a_miss(db, caplog):
    with open(file_of(db, "a"), "rb") as file:
        db._archive.append([("b", file.read())])
    assert again(db).get("b") is None
    assert "belong to 'a', not to 'b'" in caplog.text


def test_hostile_members_of_a_tar_file_go_nowhere(db, tmp_path):
    import io
    import tarfile

    with tarfile.open(db.tarpath, "w:gz") as archive:
        for name, kind in (
            ("../outside", tarfile.REGTYPE),
            ("/tmp/absolute", tarfile.REGTYPE),
            ("link", tarfile.SYMTYPE),
            ("good", tarfile.REGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            data = b"".join(encode([1], os.path.basename(name)))
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(data) if member.size else None)
    other = again(db)
    assert other["good"] == [1]
    assert "link" not in other.keys()  # noqa: SIM118
    assert other.get("link") is None
    other["new"] = 1
    other.archive()
    assert sorted(os.listdir(tmp_path)) == ["some.ampdb"]
    assert again(db)["good"] == [1]


def test_damage_is_reported_once_for_each_entry(db, caplog):
    put(db, "a", b"damaged")
    other = again(db)
    with caplog.at_level(logging.WARNING):
        other.get("a"), other.get("a"), "a" in other
    assert caplog.text.count("is damaged") == 1
