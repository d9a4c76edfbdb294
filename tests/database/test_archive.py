"""The archive as its users see it: like a dictionary in a file that tar opens."""

import gzip
import hashlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import zlib

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from amp.core.errors import (
    AmpFileError,
    DatabaseLockError,
    OutputWriteError,
    ParameterError,
)
from amp.database._archive import Archive

SIZES = [0, 1, 511, 512, 513, 1024, 5000, 65535, 65536, 200_000]
LONG = "n" * 100
NAMES = [LONG, LONG + "1", "n" * 200, "é" * 100, "a b", "-x", "k;'\"\n", ".hidden", "loose"]


def some_members():
    """Every size, that which deflate makes smaller and that which it does not, odd names."""
    rng = np.random.default_rng(1)
    members = {f"random{n}": rng.bytes(n) for n in SIZES}
    members |= {f"zeros{n}": bytes(n) for n in SIZES}
    members |= {name: name.encode() for name in NAMES}
    return members


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "archive.tar.gz")


def contents(archive):
    return {name: archive.read(name) for name in archive.names()}


def test_members_come_back_as_they_were(path):
    members = some_members()
    with Archive(path) as archive:
        archive.append(members.items())
        assert contents(archive) == members
        assert len(archive) == len(members)
        assert all(name in archive for name in members)
    assert contents(Archive(path)) == members


def test_what_is_not_there_is_a_key_error(path):
    archive = Archive(path)
    assert "a" not in archive
    assert archive.names() == []
    assert len(archive) == 0
    with pytest.raises(KeyError, match="a"):
        archive.read("a")
    assert not os.path.exists(path)
    archive.append([("b", b"1")])
    with pytest.raises(KeyError, match="a"):
        archive.read("a")
    assert "\ud800" not in archive
    assert 3 not in archive


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.frombuffer])
def test_any_kind_of_bytes_can_be_appended(path, kind):
    data = kind(b"12345678") if kind is not np.frombuffer else np.frombuffer(b"12345678")
    Archive(path).append([("a", data)])
    assert Archive(path).read("a") == b"12345678"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_tar_extracts_the_same_files(path, tmp_path, program, locale):
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")
    members = some_members()
    archive = Archive(path)
    archive.append(list(members.items())[:10])
    archive.append(list(members.items())[10:])
    folder = tmp_path / "extracted"
    folder.mkdir()
    done = subprocess.run(
        [program, "xzf", path, "-C", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": locale},
    )
    assert done.stderr == ""
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == members


@pytest.mark.parametrize("program", ["gzip", "pigz"])
def test_gzip_finds_nothing_wrong(path, program):
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")
    archive = Archive(path)
    archive.append(some_members().items())
    archive.remove(["zeros0"])
    archive.append((f"k{i}", b"") for i in range(3000))  # an index of more than one stream
    done = subprocess.run([program, "-t", path], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_tarfile_extracts_the_same_files(path):
    members = some_members()
    Archive(path).append(members.items())
    with tarfile.open(path) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}
    assert found == members
    with gzip.open(path) as file:
        assert file.read().endswith(bytes(1024))


def test_the_file_is_as_the_documentation_says(path):
    """Read with nothing but docs/archive_format.rst at hand."""
    members = some_members()
    archive = Archive(path)
    archive.append(list(members.items())[:3])
    archive.append(members.items())
    archive.remove(["random0"])
    with open(path, "rb") as file:
        data = file.read()
    found, position, salts, kinds = {}, 0, set(), b""
    while position < len(data):
        magic, _, _, _, mark, _, kind, version, salt, length, number, n = struct.unpack_from(
            "<4sI2sH2sHcB4sQQH", data, position
        )
        assert (magic, mark, version) == (b"\x1f\x8b\x08\x04", b"Am", 1)
        text = data[position + 40 : position + 40 + n]
        (crc,) = struct.unpack_from("<I", data, position + 40 + n)
        assert crc == zlib.crc32(data[position : position + 40 + n])
        inflated = gzip.decompress(data[position : position + length])
        if kind == b"M":
            found[text.decode()] = (position, length)
            with tarfile.open(fileobj=io.BytesIO(inflated + bytes(1024))) as tar:
                (info,) = tar
                assert (info.name, info.size) == (text.decode(), number)
        elif kind == b"R":
            assert text == b"random0"
            del found[text.decode()]
        else:
            assert inflated == (bytes(1024) if kind == b"E" else b"")
        salts.add(salt)
        kinds += kind
        position += length
    assert position == len(data)
    assert len(salts) == 1
    assert kinds[:2] == b"HC"
    assert kinds[-2:] == b"CE"

    slots = [struct.unpack_from("<QQII", data, 44 + 24 * i) for i in (0, 1)]
    assert all(
        slot[3] == zlib.crc32(salt + data[44 + 24 * i : 44 + 24 * i + 20])
        for i, slot in enumerate(slots)
    )
    number, offset, length, _ = max(slots)
    assert number == 3
    size = struct.unpack_from("<H", data, offset + 38)[0]
    text = data[offset + 40 : offset + 40 + size]
    assert text[:8] == struct.pack("<Q", 3)
    indexed = {}
    for start, count, _, crc, _ in struct.iter_unpack("<QQQII", text[8:]):
        records = data[start + 44 : start + 44 + 32 * count]  # one stream has room for all
        assert crc == zlib.crc32(records)
        indexed |= {digest: (o, n) for digest, o, n in struct.iter_unpack("<16sQQ", records)}
    places = {
        name: indexed.pop(hashlib.blake2b(name.encode(), digest_size=16).digest())
        for name in members
    }
    assert places.pop("random0") == (0, 0)
    assert places == found
    assert indexed == {}


def test_the_last_of_several_members_with_one_name_counts(path):
    archive = Archive(path)
    archive.append([("a", b"1"), ("b", b"2"), ("a", b"3")])
    assert contents(archive) == {"a": b"3", "b": b"2"}
    archive.append([("a", b"4")])
    assert contents(archive) == {"a": b"4", "b": b"2"}
    assert len(archive) == 2


def test_removed_members_are_gone_until_they_are_appended_again(path):
    archive = Archive(path)
    archive.append([("a", b"1"), ("b", b"2")])
    archive.remove(["a", "unknown"])
    assert contents(archive) == contents(Archive(path)) == {"b": b"2"}
    assert "a" not in archive
    assert len(archive) == 1
    archive.append([("a", b"3")])
    assert contents(archive) == {"a": b"3", "b": b"2"}


def test_compacting_drops_what_is_dead_and_what_is_not_to_be_kept(path):
    archive, reader = Archive(path), Archive(path)
    archive.append((f"k{i}", os.urandom(3000)) for i in range(20))
    archive.append((f"k{i}", os.urandom(3000)) for i in range(10))
    archive.remove(["k19"])
    before, size = contents(archive), os.path.getsize(path)
    assert contents(reader) == before
    assert archive.size.members == 19
    assert archive.size.dead > 30000
    archive.compact()
    assert contents(archive) == contents(reader) == before
    assert os.path.getsize(path) < 0.7 * size
    assert archive.size.live + archive.size.dead == os.path.getsize(path)
    archive.compact(keep=lambda name: name == "k3")
    assert contents(archive) == contents(reader) == {"k3": before["k3"]}
    archive.append([("new", b"1")])
    assert contents(reader) == {"k3": before["k3"], "new": b"1"}
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["k3", "new"]
    assert sorted(os.listdir(os.path.dirname(path))) == ["archive.tar.gz", "archive.tar.gz.lock"]


def test_a_reader_sees_what_others_append_at_its_next_call(path):
    reader, writer = Archive(path), Archive(path)
    assert "a" not in reader
    for value in (b"1", b"2", b"3"):
        writer.append([("a", value)])
        assert reader.read("a") == value
    writer.remove(["a"])
    assert "a" not in reader
    os.remove(path)
    assert reader.names() == []


def test_appending_costs_what_is_added(path):
    archive = Archive(path)
    archive.append((f"k{i}", b"x" * 100) for i in range(5000))
    before = os.path.getsize(path)
    with open(path, "rb") as file:
        old = file.read()
    archive.append([("more", b"x" * 100)])
    with open(path, "rb") as file:
        new = file.read()
    assert len(new) - before < 1000
    differing = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    head, tail = differing[0] < 120, [i for i in differing if i > 120]
    assert head
    assert min(tail) > before - 120  # the end of tar; nothing in between


def test_many_small_appends_keep_few_parts_of_the_index(path):
    archive = Archive(path)
    for i in range(100):
        archive.append([(f"k{i}", b"%d" % i)])
    assert contents(archive) == {f"k{i}": b"%d" % i for i in range(100)}
    assert len(archive._view.segments) <= 7
    assert os.path.getsize(path) < 100 * 2000


def test_long_appends_commit_in_between(path, monkeypatch):
    monkeypatch.setattr("amp.database._archive_writer._MOST_ENTRIES", 7)
    archive, reader = Archive(path), Archive(path)
    seen = []

    def members():
        for i in range(30):
            seen.append(len(reader))
            yield f"k{i}", b"%d" % i

    archive.append(members())
    assert set(seen) == {0, 7, 14, 21, 28}
    assert contents(archive) == {f"k{i}": b"%d" % i for i in range(30)}
    assert len(archive._view.segments) == 1
    archive.compact()
    assert len(archive) == 30


def test_what_follows_an_error_is_as_it_was_before(path):
    archive = Archive(path)
    archive.append([("a", b"1")])
    with open(path, "rb") as file:
        before = file.read()

    def members():
        yield "b", bytes(10**6)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        archive.append(members())
    with open(path, "rb") as file:
        assert file.read() == before
    archive.append([("c", b"2")])
    assert contents(archive) == {"a": b"1", "c": b"2"}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "../a", "a\0b", "x" * 201, "é" * 101, "\ud800"]
)
def test_names_that_lead_elsewhere_are_refused(path, name):
    archive = Archive(path)
    with pytest.raises(ParameterError, match="cannot name a member"):
        archive.append([("good", b"1"), (name, b"2")])
    assert archive.names() == []


def test_nothing_appended_makes_no_members(path):
    archive = Archive(path)
    archive.append([])
    archive.remove([])
    archive.compact()
    assert archive.names() == []


def test_two_writers_take_turns(path):
    archives = [Archive(path) for _ in range(4)]

    def work(k):
        for i in range(10):
            archives[k].append([(f"{k}-{i}", b"%d" % k)])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Archive(path).names()) == sorted(f"{k}-{i}" for k in range(4) for i in range(10))


def test_one_object_serves_several_threads(path):
    archive = Archive(path)
    members = {f"k{i}": os.urandom(i * 100) for i in range(50)}
    archive.append(members.items())
    wrong = []

    def read():
        wrong.extend(name for name in members if archive.read(name) != members[name])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(20):
        archive.append([(f"more{i}", b"")])
    archive.compact()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_lock_may_be_nested_and_keeps_others_out(path):
    archive = Archive(path)
    other = Archive(path, lock_timeout=0.1)
    with archive.locked(), archive.locked():
        archive.append([("a", b"1")])
        assert other.read("a") == b"1"
        with pytest.raises(DatabaseLockError, match="locked by another program"):
            other.append([("b", b"1")])
    other.append([("b", b"2")])
    assert contents(archive) == {"a": b"1", "b": b"2"}


def test_a_lock_that_cannot_be_had_is_told(path, monkeypatch):
    import errno
    import fcntl

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DatabaseLockError, match="No locks available"):
        Archive(path).append([("a", b"1")])


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputWriteError, match="No such file"):
        Archive(tmp_path / "no" / "archive.tar.gz").append([("a", b"1")])


def test_a_full_disk_loses_nothing(path, monkeypatch):
    import errno

    archive = Archive(path)
    archive.append([("a", b"1")])
    pwrite, room = os.pwrite, [3_000_000]

    def limited(descriptor, data, offset):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    with pytest.raises(OutputWriteError, match="No space left on device"):
        archive.append((f"b{i}", os.urandom(10**6)) for i in range(9))
    monkeypatch.undo()
    assert contents(archive) == {"a": b"1"}
    archive.append([("c", b"2")])
    assert contents(archive) == {"a": b"1", "c": b"2"}


def test_a_symbolic_link_is_no_archive(path, tmp_path):
    target = tmp_path / "other.tar.gz"
    Archive(target).append([("a", b"1")])
    before = target.read_bytes()
    os.symlink(target, path)
    with pytest.raises(AmpFileError, match="symbolic link"):
        Archive(path).read("a")
    with pytest.raises(AmpFileError, match="symbolic link"):
        Archive(path).append([("b", b"1")])
    assert target.read_bytes() == before


def test_a_pipe_or_folder_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("pipe", "no file"), (".", "a folder")):
        with pytest.raises(AmpFileError, match=f"is {what}, where an archive belongs"):
            Archive(tmp_path / name).read("a")


def test_a_forked_child_reads_and_appends(path):
    archive = Archive(path)
    archive.append([("a", b"1")])
    assert archive.read("a") == b"1"
    with archive.locked():
        child = os.fork()
        if child == 0:
            ok = archive.read("a") == b"1"
            try:
                Archive(path, lock_timeout=0.0).append([("b", b"2")])
                ok = False
            except DatabaseLockError:
                pass
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        archive.append([("c", b"3")])
    child = os.fork()
    if child == 0:
        archive.append([("d", b"4")])
        os._exit(0 if archive.read("d") == b"4" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert contents(archive) == {"a": b"1", "c": b"3", "d": b"4"}


class LikeADictionary(RuleBasedStateMachine):
    """Any sequence of calls on two objects for one file leaves what it leaves in a dictionary."""

    known = Bundle("known")

    @initialize()
    def begin(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "archive.tar.gz")
        self.archives = [Archive(self.path), Archive(self.path)]
        self.expected = {}

    @rule(target=known, name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50))
    def a_name(self, name):
        return name.replace("/", "_").replace("\0", "_").replace(".", "_")

    @rule(
        which=st.integers(0, 1),
        members=st.lists(st.tuples(known, st.binary(max_size=2000)), max_size=5),
    )
    def append(self, which, members):
        self.archives[which].append(members)
        self.expected.update(members)

    @rule(which=st.integers(0, 1), names=st.lists(known, max_size=3))
    def remove(self, which, names):
        self.archives[which].remove(names)
        for name in names:
            self.expected.pop(name, None)

    @rule(which=st.integers(0, 1), left_out=st.lists(known, max_size=1))
    def compact(self, which, left_out):
        self.archives[which].compact(keep=lambda name: name not in left_out)
        for name in left_out:
            self.expected.pop(name, None)

    @rule(which=st.integers(0, 1))
    def reopen(self, which):
        self.archives[which].close()
        self.archives[which] = Archive(self.path)

    @invariant()
    def all_agree(self):
        for archive in getattr(self, "archives", []):
            assert contents(archive) == self.expected
            assert len(archive) == len(self.expected)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestLikeADictionary = LikeADictionary.TestCase
TestLikeADictionary.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, database=None
)


def test_sizes_are_those_of_the_members_in_the_file(tmp_path):
    archive = Archive(tmp_path / "a.tar.gz")
    assert archive.sizes() == {}
    archive.append([("one", b"1" * 5000), ("two", os.urandom(5000))])
    archive.append([("three", b"")])
    archive.remove(["one"])
    sizes = archive.sizes()
    assert list(sizes) == archive.names() == ["two", "three"]
    assert sizes["two"] > 5000
    assert sum(sizes.values()) == archive.size.live


def test_an_archive_is_whole_until_its_index_is_damaged(tmp_path):
    path = tmp_path / "a.tar.gz"
    archive = Archive(path)
    assert archive.is_whole
    archive.append([("one", b"1")])
    assert archive.is_whole
    with open(path, "r+b") as file:
        file.write(bytes(64))  # over the head
    with Archive(path) as again:
        again.names()
        assert not again.is_whole


@pytest.mark.parametrize("code", ["import amp.database", "from amp import Amp"])
def test_what_is_seldom_needed_is_loaded_when_it_is(code):
    code += "\nimport sys\nprint({'tarfile', 'amp.database._archive_foreign'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
