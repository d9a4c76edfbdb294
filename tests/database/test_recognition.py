"""Files of Amp 1.0.1 are told from those of others, and nothing in them is executed."""

import gzip
import io
import os
import pickle
import tarfile
from collections import OrderedDict

import numpy as np
import pytest

from amp.core.encoding import encode
from amp.database import FileDatabase
from amp.database._recognition import EMPTY, OLD, OURS, STRANGE, TAR, archive_kind, is_old_value

VALUES = [
    None, True, 5, -(2**80), 1.5, float("inf"), "text\nof two lines", b"\x00\xff", (), (1,), [], {},
    [("Cu", [0.1, -2e-300])], {((0, "Cu"), (1, "O"), 2): [0.5] * 9}, OrderedDict(a=1),
    np.arange(5.0), np.float64(2.5), [1] * 30000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_of_amp_1_0_1_are_recognized(value):
    assert is_old_value(pickle.dumps(value, protocol=0)[:65536])


@pytest.mark.parametrize("value", [[("Cu", [0.1, 2.0])], np.arange(3.0), {"a": (1, "b")}])
def test_one_that_was_cut_in_writing_is_recognized(value):
    data = pickle.dumps(value, protocol=0)
    whole_line = data.index(b"\n", data.index(b"\n") + 1) + 1
    assert all(is_old_value(data[:end]) for end in range(whole_line, len(data)))
    assert is_old_value(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"Notes of mine", b"Notes of mine.\n", b"I like this.\nSee you.\n", b"2012", b"Nat", b"N",
        b"{}\n", b'{"a": 1}', b"(1, 2)\n", b"[1.0]\n", b"import os\nx = 1\n", b"\x89PNG\r\n",
        b"\x80\x04K\x05.", b"N.\n", b"N.N.", b"1.5\n2.5\n", b"".join(encode([1.0])), b"\n", b" ",
    ],
)  # fmt: skip
def test_other_files_are_not_taken_for_values_of_amp_1_0_1(data):
    assert not is_old_value(data)


def tar_of(mode="w:gz", **members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mtime = len(data), 1.5  # as a pax header
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def link():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("k")
        info.type, info.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(info)
    return file.getvalue()


OLD_VALUE = pickle.dumps([1.5, "a"], protocol=0)
NEW_VALUE = b"".join(encode([1.5, "a"], "k"))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tar_of(k=OLD_VALUE), OLD),
        (tar_of("w", k=OLD_VALUE), OLD),
        (tar_of(k=pickle.dumps(np.random.default_rng(0).random(20000), protocol=0)), OLD),
        (tar_of(k=NEW_VALUE), TAR),
        (tar_of(k=NEW_VALUE)[:-20], TAR),
        (tar_of(), EMPTY),
        (b"", EMPTY),
        (tar_of(k=b"My thesis, all of it."), STRANGE),
        (tar_of(thesis__chapter=OLD_VALUE), STRANGE),
        (link(), STRANGE),
        (gzip.compress(b"no tar" * 500), STRANGE),
        (b"no gzip stream", STRANGE),
        (b"\x1f\x8b no gzip stream", STRANGE),
        (gzip.compress(bytes(10**7) + b"end"), EMPTY),
    ],
)
def test_an_archive_is_known_by_its_first_member(data, kind, tmp_path):
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(data)
    assert kind_of(path) == kind


@pytest.mark.parametrize("damage", [None, 20, 5])
def test_our_archive_is_known_also_with_a_damaged_head(damage, tmp_path):
    db = FileDatabase(tmp_path / "a")
    db["k"] = [1.5]
    db.archive()
    if damage is not None:
        with open(db.tarpath, "r+b") as file:
            file.seek(damage)
            file.write(b"\xff")
    assert kind_of(db.tarpath) in ((OURS,) if damage is None else (OURS, TAR))


def kind_of(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return archive_kind(descriptor)
    finally:
        os.close(descriptor)
