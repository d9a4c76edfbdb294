"""Archives that are cut, altered or hostile: the right bytes, an error or a miss, nothing else."""

import os
import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amp.core.errors import DamagedMemberError
from amp.database import _archive_streams as streams
from amp.database._archive import Archive
from amp.database._archive_index import Reference, Segment, segment_streams
from amp.database._archive_view import HEAD_SIZE, Slot, commit_stream, head_stream

MEMBERS = {
    "first": b"1" * 30,
    "second": bytes(range(256)),
    "n" * 150: random.Random(1).randbytes(200),
    "last": b"",
}
OLD = {"second": b"what it was before", "gone": b"removed later"}


def small_archive(path):
    """Members, replaced and removed ones, in three commits; returns the bytes of the file."""
    archive = Archive(path)
    archive.append(OLD.items())
    archive.remove(["gone"])
    archive.append(MEMBERS.items())
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "archive.tar.gz")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def found_in(path, names=(*MEMBERS, "gone"), possible=frozenset((*MEMBERS, *OLD))):
    """What an archive gives for each name; the error class where there is one."""
    result = {}
    with Archive(path) as archive:
        assert set(archive.names()) <= possible
        for name in names:
            try:
                result[name] = archive.read(name)
            except (KeyError, DamagedMemberError) as error:
                result[name] = type(error)
    return result


def member_ends(data):
    """Name -> where in the file its last stream ends."""
    position, ends = 0, {}
    while position < len(data):
        stream = streams.parse(data, position)
        position += stream.length
        if stream.kind == streams.MEMBER:
            ends[stream.text.decode()] = position
    return ends


def test_every_whole_member_of_a_cut_archive_comes_back(path):
    data = small_archive(path)
    ends = member_ends(data)
    for length in range(0, len(data), 3):
        write(path, data[:length])
        for name, value in found_in(path, MEMBERS).items():
            if ends[name] <= length:
                assert value == MEMBERS[name], length
            else:
                assert value in (KeyError, OLD.get(name)), length


def test_a_cut_archive_goes_on_with_the_next_append(path):
    data = small_archive(path)
    for length in range(0, len(data), 29):
        write(path, data[:length])
        archive = Archive(path)
        before = {name: archive.read(name) for name in archive.names()}
        archive.append([("new", b"x" * 500)])
        after = {name: archive.read(name) for name in Archive(path).names()}
        assert after == before | {"new": b"x" * 500}
        assert not Archive(path)._current().is_recovered


def test_no_flipped_bit_makes_a_wrong_value(path):
    data = small_archive(path)
    n_right = 0
    places = range(0, len(data), 7)
    for place in places:
        altered = bytearray(data)
        altered[place] ^= 1 << (place % 8)
        write(path, altered)
        for name, value in found_in(path).items():
            allowed = (MEMBERS.get(name), OLD.get(name), KeyError, DamagedMemberError)
            assert value in allowed, place
            n_right += value == MEMBERS.get(name)
    # One damaged byte costs one member at most, and often none.
    assert n_right > 3.4 * len(places)


def test_no_flipped_bit_makes_a_wrong_value_of_what_is_stored_as_it_is(path):
    value = random.Random(3).randbytes(6000)
    Archive(path).append([("a", value)])
    with open(path, "rb") as file:
        data = file.read()
    assert value in data
    outcomes = []
    for place in range(0, len(data), 37):
        altered = bytearray(data)
        altered[place] ^= 1 << (place % 8)
        write(path, altered)
        outcomes.append(found_in(path, ["a"], {"a"})["a"])
    assert set(outcomes) - {KeyError} == {value, DamagedMemberError}
    assert outcomes.count(DamagedMemberError) > 0.8 * len(outcomes)


def test_removed_members_stay_removed_without_an_index(path):
    data = small_archive(path)
    write(path, data[:50] + bytes(20) + data[70:])
    archive = Archive(path)
    assert set(archive.names()) == set(MEMBERS)
    assert archive._current().is_recovered
    with pytest.raises(KeyError):
        archive.read("gone")


@pytest.mark.slow
def test_no_flipped_bit_at_all_makes_a_wrong_value(path):
    data = small_archive(path)
    for place in range(len(data)):
        for bit in range(8):
            altered = bytearray(data)
            altered[place] ^= 1 << bit
            write(path, altered)
            for name, value in found_in(path).items():
                assert value in (MEMBERS.get(name), OLD.get(name), KeyError, DamagedMemberError)


def test_a_damaged_archive_goes_on_with_the_next_append(path):
    data = small_archive(path)
    for place in range(0, len(data), 41):
        altered = bytearray(data)
        altered[place] ^= 0x10
        write(path, altered)
        before = {k: v for k, v in found_in(path).items() if isinstance(v, bytes)}
        Archive(path).append([("first", b"new")])
        after = {k: v for k, v in found_in(path).items() if isinstance(v, bytes)}
        assert after == before | {"first": b"new"}, place


@given(data=st.data())
def test_any_alteration_is_noticed(tmp_path_factory, data):
    path = str(tmp_path_factory.getbasetemp() / "altered.tar.gz")
    if os.path.exists(path):
        os.remove(path)
    whole = small_archive(path)
    start = data.draw(st.integers(0, 4000))
    length = data.draw(st.integers(0, 300))
    new = data.draw(st.binary(max_size=300))
    write(path, whole[:start] + new + whole[start + length :])
    for name, value in found_in(path).items():
        assert value in (MEMBERS.get(name), OLD.get(name), KeyError, DamagedMemberError)


@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_hold_no_members(tmp_path_factory, data):
    path = str(tmp_path_factory.getbasetemp() / "arbitrary.tar.gz")
    for begin in (b"", b"\x1f\x8b\x08\x04", head_stream(b"salt", Slot(0, HEAD_SIZE, 60))):
        write(path, begin + data)
        assert Archive(path).names() == []


def test_damaged_members_are_named(path):
    data = small_archive(path)
    place = member_ends(data)["second"] - 100
    write(path, data[:place] + b"\0\1\2" + data[place + 3 :])
    with pytest.raises(DamagedMemberError, match=r"second in .*archive.tar.gz is damaged: it"):
        Archive(path).read("second")
    assert [name for name, _ in Archive(path).verify()] == ["second"]
    assert Archive(path).read("first") == MEMBERS["first"]


def test_compacting_a_damaged_archive_keeps_what_is_whole(path):
    data = small_archive(path)
    head = member_ends(data)["first"] + 2  # in the header of the next member
    write(path, data[:head] + b"\0\0" + data[head + 2 :])
    whole = {k: v for k, v in found_in(path).items() if isinstance(v, bytes)}
    Archive(path).compact()
    assert found_in(path, whole) == whole
    assert len(whole) >= 3
    assert list(Archive(path).verify()) == []


def test_an_archive_within_a_member_is_not_taken_for_a_part_of_this_one(path, tmp_path):
    inner = Archive(tmp_path / "inner.tar.gz")
    inner.append([("first", os.urandom(50))])
    inside = (tmp_path / "inner.tar.gz").read_bytes()
    Archive(path).append([("outer", os.urandom(10000) + inside), ("last", b"1")])
    with open(path, "rb") as file:
        data = file.read()
    assert inside in data
    at = data.index(b"outer")
    write(path, data[:at] + b"other" + data[at + 5 :])  # the header's checksum is wrong now
    write(path, b"\0" * 20 + data[20:at] + b"other" + data[at + 5 :])
    assert Archive(path).names() == ["last"]


def hostile(path, stream, name=b"bad", length=None):
    """Write an archive with one member whose stream is given, and a right index."""
    salt = b"salt"
    entry = (name, HEAD_SIZE, len(stream) if length is None else length)
    index, reference = segment_streams(Segment.of_entries([entry]), salt, HEAD_SIZE + len(stream))
    commit = commit_stream(salt, 1, [reference])
    slot = Slot(1, HEAD_SIZE + len(stream) + len(index), len(commit))
    write(path, head_stream(salt, slot) + stream + index + commit)


def member(name, data, number=None, tar=None):
    """Write a stream with any claims."""
    number = len(data) if number is None else number
    tar = streams.tar_header(name, len(data), 0) if tar is None else tar
    plain = tar + data + bytes(-len(data) % 512)
    packed = zlib.compress(plain)[2:-4]  # without the frame of zlib
    packed += struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)
    return streams._header(streams.MEMBER, b"salt", 0, number, name, 0, len(packed)) + packed


def test_the_hostile_archives_below_would_be_read_if_they_were_right(path):
    hostile(path, member(b"bad", b"data"))
    assert Archive(path).read("bad") == b"data"


@pytest.mark.parametrize("number", [0, 3, 5, 10**6, 8**11, 2**40, 2**63, 2**64 - 1])
def test_claimed_sizes_take_no_memory(path, number):
    hostile(path, member(b"bad", b"data", number))
    tracemalloc.start()
    with pytest.raises(DamagedMemberError, match="bad in"):
        Archive(path).read("bad")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_stream_that_inflates_to_far_more_than_it_says_is_refused(path):
    hostile(path, member(b"bad", bytes(50_000_000), 1000))
    tracemalloc.start()
    with pytest.raises(DamagedMemberError, match="size is wrong"):
        Archive(path).read("bad")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "tar",
    [
        streams.tar_header(b"other", 4, 0),
        streams._tar_block(b"bad", 4, 0, b"2"),  # symbolic link
        streams._tar_block(b"bad", 4, 0, b"3"),  # device
        bytes(512),
    ],
)
def test_what_tar_would_extract_elsewhere_is_damaged(path, tar):
    hostile(path, member(b"bad", b"data", tar=tar))
    with pytest.raises(DamagedMemberError, match="checksum"):
        Archive(path).read("bad")


@pytest.mark.parametrize("length", [1, 50, 10**6, 2**62, 2**64 - 1])
def test_an_index_that_leads_elsewhere_is_noticed(path, length):
    hostile(path, member(b"bad", b"data"), length=length)
    with pytest.raises(DamagedMemberError, match="bad in"):
        Archive(path).read("bad")


@pytest.mark.parametrize("name", [b"../x", b"/etc/passwd", b"..", b"a/b", b"\xff", b""])
def test_names_that_lead_elsewhere_are_not_listed(path, name):
    hostile(path, member(name, b"data"), name=name)
    assert Archive(path).names() == []


def test_the_head_may_claim_anything(path):
    data = small_archive(path)
    salt = streams.parse(data).salt
    for offset in (0, 5, HEAD_SIZE, len(data), 2**63, 2**64 - 1):
        for length in (0, 1, 60, 2**20, 2**32 - 1):
            write(path, head_stream(salt, Slot(9, offset, length)) + data[HEAD_SIZE:])
            assert found_in(path, MEMBERS) == MEMBERS


def test_the_index_may_claim_anything(path):
    data = small_archive(path)
    salt = streams.parse(data).salt
    for field in range(3):
        for value in (0, 1, 2**20, 2**40, 2**64 - 1):
            claims = [HEAD_SIZE, 4, 100]
            claims[field] = value
            commit = commit_stream(salt, 9, [Reference(*claims, 0, 0)])
            slot = Slot(9, len(data), len(commit))
            write(path, head_stream(salt, slot) + data[HEAD_SIZE:] + commit)
            assert found_in(path, MEMBERS) == MEMBERS
