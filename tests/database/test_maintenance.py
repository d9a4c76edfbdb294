"""Databases are packed, listed, checked, pruned and removed, and nothing else is touched."""

import io
import os
import pickle
import tarfile
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from amp.core.errors import AmpFileError, DatabaseLockError, OutputWriteError
from amp.database import FileDatabase, _listing, maintenance
from amp.database._archive import Archive
from amp.database._keys import shard_of
from amp.database.maintenance import (
    Entry,
    compress,
    contents,
    examine,
    find,
    prune,
    remove,
    verify,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(_listing, "WAIT", 0.1)


@pytest.fixture
def db(tmp_path):
    """Three archived entries, three loose ones, and one that is both."""
    database = FileDatabase(tmp_path / "some")
    for i in range(4):
        database[f"k{i}"] = np.arange(100.0 * i, 100.0 * i + 100.0)
    database.archive()
    for i in range(3, 7):
        database[f"k{i}"] = np.arange(100.0 * i, 100.0 * i + 90.0)
    return database


def values(db):
    again = FileDatabase(db.path)
    return {key: value.tolist() for key, value in again.items()}


def file_of(db, key):
    return os.path.join(db.loosepath, shard_of(key), key)


def tree(path):
    """Everything below a folder: names, contents, links, times."""
    found = {}
    for folder, folders, names in os.walk(path):
        for name in [*folders, *names]:
            full = os.path.join(folder, name)
            status = os.lstat(full)
            what = os.readlink(full) if os.path.islink(full) else None
            if os.path.isfile(full) and what is None:
                with open(full, "rb") as file:
                    what = file.read()
            found[full] = (what, status.st_mode, status.st_mtime_ns)
    return found


def old_database(path, archived=True):
    """What Amp 1.0.1 leaves: pickles of protocol 0, and an archive of such."""
    os.makedirs(path / "loose")
    for i in range(3):
        value = [("Cu", [0.5 * i] * 5)]
        (path / "loose" / f"{i:032x}").write_bytes(pickle.dumps(value, protocol=0))
    if archived:
        with tarfile.open(path / "archive.tar.gz", "w:gz") as tar:
            tar.add(path / "loose" / f"{0:032x}", arcname=f"{0:032x}")
    return path


# ------------------------------------------------------------------ finding


def test_databases_are_found_at_any_depth_in_order(tmp_path):
    for name in ("b.ampdb", "a/z.ampdb", "a/deep/er/c.ampdb", "a/none", ".hidden/h.ampdb"):
        (tmp_path / name / "loose").mkdir(parents=True)
    (tmp_path / "file.ampdb").write_text("no folder")
    found = [os.path.relpath(path, tmp_path) for path in find(tmp_path)]
    assert sorted(found) == [".hidden/h.ampdb", "a/deep/er/c.ampdb", "a/z.ampdb", "b.ampdb"]
    assert found == [os.path.relpath(path, tmp_path) for path in find(f"{tmp_path}/")]


def test_no_link_is_followed_in_finding(tmp_path):
    (tmp_path / "elsewhere" / "x.ampdb").mkdir(parents=True)
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(tmp_path / "elsewhere")
    (top / "link.ampdb").symlink_to(tmp_path / "elsewhere" / "x.ampdb")
    (top / "round").symlink_to(top)
    assert list(find(top)) == []


def test_nothing_is_looked_for_inside_a_database(tmp_path):
    (tmp_path / "a.ampdb" / "b.ampdb" / "loose").mkdir(parents=True)
    (tmp_path / "a.ampdb" / "loose").mkdir()
    assert list(find(tmp_path)) == [str(tmp_path / "a.ampdb")]
    assert list(find(tmp_path / "a.ampdb")) == [str(tmp_path / "a.ampdb")]


@pytest.mark.parametrize("name", ["notes.txt", None])
def test_a_folder_with_neither_entries_nor_archive_is_no_database_to_anybody(
    name, tmp_path, caplog
):
    path = tmp_path / "a.ampdb"
    path.mkdir()
    if name is not None:
        (path / name).write_text("mine")
    before = tree(tmp_path)
    assert list(find(tmp_path)) == []
    assert "a.ampdb is passed over: it has neither loose entries nor an archive" in caplog.text
    for work in (contents, compress, verify, examine, remove):
        with pytest.raises(AmpFileError, match=r"a\.ampdb is no database and is left as it is"):
            work(path)
    assert tree(tmp_path) == before


def test_an_empty_name_is_an_error_everywhere(db, monkeypatch):
    monkeypatch.chdir(os.path.dirname(db.path))
    before = tree(".")
    for work in (lambda name: list(find(name)), contents, compress, verify, examine, remove):
        with pytest.raises(ValueError, match="is empty"):
            work("")
    assert tree(".") == before


def test_a_folder_to_look_in_must_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"'.*file' is no folder"):
        list(find(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*none'"):
        list(find(tmp_path / "none"))


# ------------------------------------------------------------------ listing


def test_entries_are_listed_where_they_are(db):
    found = contents(db.path)
    assert [entry.key for entry in found.entries] == [f"k{i}" for i in range(7)]
    assert [entry.place for entry in found.entries] == ["archive"] * 3 + ["loose"] * 4
    for entry in found.at("loose"):
        assert entry.size == os.path.getsize(file_of(db, entry.key))
    sizes = [os.lstat(name).st_size for name in tree(db.path) if os.path.isfile(name)]
    assert found.size == sum(sizes)
    assert 0 < sum(entry.size for entry in found.at("archive")) < os.path.getsize(db.tarpath)


def test_damaged_and_old_files_are_listed_as_such(db):
    os.rename(file_of(db, "k5"), file_of(db, "k5") + ".broken")
    with open(os.path.join(db.loosepath, "old"), "wb") as file:
        file.write(b"N.")
    assert contents(db.path).at("broken", "old") == [
        Entry("k5.broken", "broken", os.path.getsize(file_of(db, "k5") + ".broken")),
        Entry("old", "old", 2),
    ]


def test_an_old_database_has_no_entries(tmp_path):
    found = contents(old_database(tmp_path / "o.ampdb"))
    assert {entry.place for entry in found.entries} == {"old"}
    assert len(found.entries) == 4


def test_listing_reads_and_writes_nothing(db):
    before = tree(db.path)
    contents(db.path)
    assert tree(db.path) == before


@pytest.mark.parametrize("work", [contents, compress, verify, lambda p: prune(p, bool)])
def test_what_is_no_database_is_refused(work, tmp_path):
    (tmp_path / "notes.ampdb").mkdir()
    (tmp_path / "notes.ampdb" / "notes.txt").write_text("mine")
    (tmp_path / "file.ampdb").write_text("")
    (tmp_path / "x").mkdir()
    (tmp_path / "x.ampdb").mkdir()
    before = tree(tmp_path)
    for name, message in [
        ("notes.ampdb", "neither loose entries nor an archive"),
        ("file.ampdb", "it is no folder"),
        ("x", r"names end in \.ampdb\. Is .*x\.ampdb meant\?"),
    ]:
        with pytest.raises(AmpFileError, match=message):
            work(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"There is no database '.*none\.ampdb'"):
        work(tmp_path / "none.ampdb")
    assert tree(tmp_path) == before


# ------------------------------------------------------------------ packing


def test_packing_moves_loose_entries_to_the_archive(db):
    expected = values(db)
    change = compress(db.path + "/")
    assert (change.n_entries, change.n_left, change.n_old) == (4, 0, 0)
    assert change.after == contents(db.path).size < change.before
    assert [entry.place for entry in contents(db.path).entries] == ["archive"] * 7
    assert values(db) == expected
    assert compress(db.path).n_entries == 0


def test_a_dry_run_tells_the_same_numbers_and_writes_nothing(db):
    before = tree(db.path)
    told = compress(db.path, dry_run=True)
    assert tree(db.path) == before
    done = compress(db.path)
    assert (told.n_entries, told.n_bytes) == (done.n_entries, done.n_bytes)
    assert told.after == told.before == done.before


def test_a_damaged_entry_is_not_packed(db):
    with open(file_of(db, "k5"), "r+b") as file:
        file.seek(200)
        file.write(b"x")
    expected = sum(entry.size for entry in contents(db.path).at("loose") if entry.key != "k5")
    before = tree(db.path)
    dry = compress(db.path, dry_run=True)
    assert tree(db.path) == before
    change = compress(db.path)
    for each in (dry, change):
        assert (each.n_entries, each.n_bytes, each.n_left) == (3, expected, 1)
    assert os.path.exists(file_of(db, "k5") + ".broken")


def test_an_old_database_is_not_changed_by_packing(tmp_path):
    path = old_database(tmp_path / "o.ampdb")
    before = tree(path)
    change = compress(path)
    assert (change.n_entries, change.n_old) == (0, 4)
    assert tree(path) == before


def test_room_of_replaced_members_is_freed(tmp_path):
    db = FileDatabase(tmp_path / "a")
    db["k"] = np.random.default_rng(0).random(200_000)
    db.archive()
    archive = Archive(db.tarpath)
    archive.remove(["k"])
    before = os.path.getsize(db.tarpath)
    change = compress(db.path)
    assert change.n_entries == 0
    assert change.before - change.after > 0.9 * before


def test_an_interruption_in_packing_loses_nothing(db, monkeypatch):
    expected = values(db)

    def interrupted(items, description, total):
        for i, item in enumerate(items):
            if i == 2:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(maintenance, "_WORTH_A_BAR", 0)
    monkeypatch.setattr(maintenance, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compress(db.path)
    monkeypatch.undo()
    assert values(db) == expected
    assert verify(db.path).damaged == ()
    compress(db.path)
    assert values(db) == expected


def test_a_database_that_is_being_archived_is_an_error_after_a_moment(db):
    before = values(db)
    with Archive(db.tarpath).locked():
        for work in (compress, remove, lambda path: prune(path, lambda key: key == "k1")):
            with pytest.raises(DatabaseLockError, match="has been locked by another program"):
                work(db.path)
    assert values(db) == before


def test_a_database_that_cannot_be_written_is_an_error(db):
    before = values(db)
    os.remove(db.tarpath + ".lock")
    os.mkdir(db.tarpath + ".lock")
    for work in (compress, lambda path: prune(path, lambda key: key == "k1")):
        with pytest.raises(OutputWriteError, match=r"archive\.tar\.gz\.lock cannot be locked"):
            work(db.path)
    assert values(db) == before


# ------------------------------------------------------------------ checking


def test_a_good_database_is_found_good(db):
    found = verify(db.path)
    assert (found.n_entries, found.damaged) == (8, ())  # one is there twice


def damage_archived(db, key):
    archive = Archive(db.tarpath)
    offset, length = archive._current().find(key)
    with open(db.tarpath, "r+b") as file:
        file.seek(offset + length - 30)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 4]))


def test_every_damaged_entry_is_told_and_nothing_changed(db):
    with open(file_of(db, "k4"), "r+b") as file:
        file.seek(300)
        file.write(b"x")
    with open(file_of(db, "k5"), "r+b") as file:
        file.truncate(100)
    os.rename(file_of(db, "k6"), os.path.join(os.path.dirname(file_of(db, "k4")), "k6"))
    damage_archived(db, "k1")
    damage_archived(db, "k3")  # under a loose one that is good
    before = tree(db.path)
    found = {(each.key, each.place): each.reason for each in verify(db.path).damaged}
    assert tree(db.path) == before
    assert set(found) == {("k1", "archive"), ("k3", "archive"), ("k4", "loose"), ("k5", "loose"),
                          ("k6", "loose")}  # fmt: skip
    assert "checksum" in found["k4", "loose"]
    assert "100 bytes of" in found["k5", "loose"]


def test_an_entry_under_the_name_of_another_is_damage(db):
    os.makedirs(os.path.dirname(file_of(db, "other")), exist_ok=True)
    os.rename(file_of(db, "k4"), file_of(db, "other"))
    (damage,) = verify(db.path).damaged
    assert (damage.key, damage.place) == ("other", "loose")
    assert "belong to 'k4'" in damage.reason


def test_a_link_in_the_place_of_an_entry_is_damage(db, tmp_path):
    os.rename(file_of(db, "k4"), tmp_path / "outside")
    os.symlink(tmp_path / "outside", file_of(db, "k4"))
    (damage,) = verify(db.path).damaged
    assert (damage.key, damage.place) == ("k4", "loose")
    assert "symbolic link" in damage.reason


def test_an_archive_that_was_cut_is_damage(db):
    with open(db.tarpath, "r+b") as file:
        file.truncate(os.path.getsize(db.tarpath) * 2 // 3)
    before = tree(db.path)
    assert ("archive.tar.gz", "archive") in {
        (each.key, each.place) for each in verify(db.path).damaged
    }
    assert tree(db.path) == before


def test_an_archive_that_is_none_is_damage(db):
    with open(db.tarpath, "wb") as file:
        file.write(b"no archive at all")
    assert [each.key for each in verify(db.path).damaged] == ["archive.tar.gz"]


def test_old_files_are_passed_over_in_checking(tmp_path):
    path = old_database(tmp_path / "o.ampdb")
    assert verify(path) == maintenance.Verification(0, ())


# ------------------------------------------------------------------ pruning


def test_pruning_drops_loose_and_archived_entries_and_frees_their_room(db):
    expected = {key: value for key, value in values(db).items() if key not in ("k1", "k3", "k5")}
    change = prune(db.path, lambda key: key in ("k1", "k3", "k5"))
    assert change.n_entries == 3  # one of them twice
    assert values(db) == expected
    assert not {"k1", "k3"} & set(Archive(db.tarpath).names())
    assert change.before - change.after >= 0.9 * change.n_bytes
    assert change.after == contents(db.path).size
    assert Archive(db.tarpath).size.dead < 2000  # its index


def test_a_dry_run_of_pruning_drops_nothing(db):
    before = tree(db.path)
    change = prune(db.path, lambda key: key in ("k1", "k3", "k5"), dry_run=True)
    assert (change.n_entries, change.before) == (3, change.after)
    assert tree(db.path) == before


def test_pruning_nothing_writes_nothing(db):
    before = tree(db.path)
    assert prune(db.path, lambda key: False).n_entries == 0
    assert tree(db.path) == before


def test_pruning_without_room_for_a_new_archive_drops_nothing(db, monkeypatch):
    expected = values(db)

    def full(self, *arguments):
        raise OutputWriteError("No space left on device")

    monkeypatch.setattr(Archive, "_rewrite", full)
    with pytest.raises(OutputWriteError):
        prune(db.path, lambda key: True)
    assert values(db) == expected


def test_pruning_leaves_old_files(tmp_path):
    path = old_database(tmp_path / "o.ampdb")
    before = tree(path)
    assert prune(path, lambda key: True).n_old == 4
    assert tree(path) == before


# ------------------------------------------------------------------ removing


def test_a_database_is_removed_with_all_its_files(db, tmp_path):
    with open(file_of(db, "k4"), "r+b") as file:
        file.write(b"damaged")
    FileDatabase(db.path).get("k4")  # sets it aside
    for name in (".archive.tar.gz.0123456789abcdef.tmp", "archive.tar.gz.01234567.broken"):
        with open(os.path.join(db.path, name), "wb"):
            pass
    with open(os.path.join(os.path.dirname(file_of(db, "k5")), ".1f-0a0b0c0d-3.tmp"), "wb"):
        pass
    (tmp_path / "beside").write_text("mine")
    size = contents(db.path).size
    assert examine(db.path) == remove(db.path) == size
    assert os.listdir(tmp_path) == ["beside"]


@pytest.mark.parametrize("archived", [True, False])
def test_an_old_database_is_removed(archived, tmp_path):
    path = old_database(tmp_path / "o.ampdb", archived)
    (path / "loose" / "cut").write_bytes(pickle.dumps([1.5, "a"], protocol=0)[:-8])
    remove(path)
    assert os.listdir(tmp_path) == []


def test_an_old_database_that_was_used_again_is_removed(tmp_path):
    path = old_database(tmp_path / "o.ampdb")
    db = FileDatabase(path)
    db["new"] = [1.5]
    db.archive()
    assert (path / "archive.tar.gz.old").exists()
    remove(path)
    assert os.listdir(tmp_path) == []


def test_what_is_left_of_an_interrupted_removal_is_removed(tmp_path):
    (tmp_path / "a.ampdb" / "loose" / "00").mkdir(parents=True)
    assert remove(tmp_path / "a.ampdb") == 0
    assert os.listdir(tmp_path) == []


def put(path, data=b"mine"):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)


def thesis():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("thesis.tex"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("notes.txt", put),
        (".hidden", put),
        ("loose/notes.txt", put),
        ("loose/README", lambda path: put(path, b"Nothing here.\n")),
        ("loose/zz/k", put),
        ("loose/00/k0", put),  # of another subfolder
        ("loose/f7/.other.tmp", put),
        ("more/k", put),
        ("loose/00/deeper/k", put),
        ("archive.tar.gz.old", lambda path: put(path, thesis())),
        ("loose/00/link", lambda path: (path.parent.mkdir(exist_ok=True), path.symlink_to("/"))),
        ("archive.tar.gz.old2", lambda path: path.symlink_to("/etc/hosts")),
        ("loose/pipe", os.mkfifo),
    ],
)
def test_a_folder_with_other_things_in_it_is_left_as_it_is(name, make, db, tmp_path):
    path = tmp_path / "some.ampdb" / name
    make(path)
    before = tree(tmp_path)
    with pytest.raises(AmpFileError, match="is left as it is: "):
        remove(db.path)
    assert tree(tmp_path) == before
    with pytest.raises(AmpFileError) as error:
        examine(db.path)
    strange = str(error.value).split("as it is: ")[1].split(" in it")[0]
    assert name == strange or name.startswith(strange + "/")


@pytest.mark.parametrize("part", ["", "/loose", "/loose/00"])
def test_no_link_is_followed_in_removing(part, tmp_path):
    outside = tmp_path / "outside.ampdb"
    (outside / "loose" / "00").mkdir(parents=True)
    path = tmp_path / "a.ampdb"
    if part:
        os.makedirs(os.path.dirname(f"{path}{part}"))
    os.symlink(f"{outside}{part}", f"{path}{part}")
    before = tree(tmp_path)
    with pytest.raises(AmpFileError, match="is left as it is"):
        remove(path)
    assert tree(tmp_path) == before


def test_a_link_put_in_the_way_while_removing_leads_nowhere(tmp_path, monkeypatch):
    """Between the look and the removal somebody replaces the folder of entries by a link."""
    outside = tmp_path / "outside"
    inside = FileDatabase(tmp_path / "a")
    inside["k"] = 1
    os.makedirs(outside / shard_of("k"))
    (outside / shard_of("k") / "k").write_text("mine")
    original = maintenance.recognition.remove_known

    def late(folder):
        os.rename(inside.loosepath, tmp_path / "moved")
        os.symlink(outside, inside.loosepath)
        original(folder)

    monkeypatch.setattr(maintenance.recognition, "remove_known", late)
    with pytest.raises(OutputWriteError, match="cannot be removed"):
        remove(inside.path)
    assert (outside / shard_of("k") / "k").read_text() == "mine"


def test_an_interruption_in_removing_leaves_a_whole_database(db, monkeypatch):
    unlink, n = os.unlink, []

    def interrupted(name, **more):
        n.append(name)
        if len(n) == 3:
            raise KeyboardInterrupt
        unlink(name, **more)

    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove(db.path)
    monkeypatch.undo()
    assert verify(db.path).damaged == ()
    remove(db.path)
    assert not os.path.exists(db.path)


def test_others_write_while_a_database_is_packed(db):
    stop = threading.Event()
    written = []

    def write():
        other = FileDatabase(db.path)
        while not stop.is_set():
            other[f"w{len(written)}"] = np.full(50, float(len(written)))
            written.append(None)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            compress(db.path)
    finally:
        stop.set()
        thread.join()
    again = FileDatabase(db.path)
    for i in range(len(written)):
        assert_array_equal(again[f"w{i}"], np.full(50, float(i)))
    assert verify(db.path).damaged == ()
