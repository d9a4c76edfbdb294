"""Amounts of memory: how they are written, and how much there is."""

import pytest

from amp.core.errors import ParameterError
from amp.core.memory import available_memory, format_bytes, parse_memory

GIB = 2**30


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None), (1000, 1000), ("1000", 1000), ("8 GB", 8 * 10**9), ("8GB", 8 * 10**9),
        ("2.5 GiB", 5 * 2**29), (" .5 kb ", 500), ("3 B", 3), ("1 TB", 10**12),
    ],
)  # fmt: skip
def test_amounts_are_read(given, expected):
    assert parse_memory(given) == expected


@pytest.mark.parametrize("given", ["much", "8 G B", "8 XB", "-1", "0", 0, -5, True, 1.5, "", "1e3"])
def test_what_is_no_amount_is_refused(given):
    with pytest.raises(ParameterError, match="such as '8 GB'"):
        parse_memory(given)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(12, "12 bytes"), (1234, "1.23 kB"), (999.6e6, "1 GB"), (24.7e9, "24.7 GB"), (3e12, "3 TB")],
)
def test_amounts_are_written_in_the_unit_that_suits_them(amount, expected):
    assert format_bytes(amount) == expected


def system(folder, available=16 * GIB, groups="", files=None):
    """Make a system's folders; files are those of control groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    meminfo = f"MemTotal: 99999 kB\nMemAvailable:   {available // 1024} kB\n"
    (folder / "proc" / "meminfo").write_text(meminfo)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, content in (files or {}).items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(content))
    return available_memory(str(folder / "proc"), str(folder / "cgroup"))


def test_without_limits_what_is_free_is_available(tmp_path):
    assert system(tmp_path) == 16 * GIB


def test_the_limit_of_a_control_group_counts(tmp_path):
    files = {
        "job/memory.max": 4 * GIB,
        "job/memory.current": 3 * GIB,
        "job/memory.stat": f"anon 12\ninactive_file {GIB // 2}\n",
    }
    assert system(tmp_path, groups="0::/job\n", files=files) == 1.5 * GIB


def test_the_limit_of_a_group_around_it_counts(tmp_path):
    files = {
        "batch/memory.max": 2 * GIB, "batch/memory.current": GIB,
        "batch/job/memory.max": "max", "batch/job/memory.current": GIB,
    }  # fmt: skip
    assert system(tmp_path, groups="0::/batch/job\n", files=files) == GIB


def test_a_container_that_sees_its_group_as_the_root_is_limited(tmp_path):
    files = {"memory.max": 2 * GIB, "memory.current": GIB}
    assert system(tmp_path, groups="0::/docker/1234\n", files=files) == GIB


def test_limits_of_the_first_version_of_control_groups_count(tmp_path):
    files = {
        "memory/job/memory.limit_in_bytes": 3 * GIB,
        "memory/job/memory.usage_in_bytes": 2 * GIB,
        "memory/job/memory.stat": "total_inactive_file 4096\n",
        "cpu/job/memory.limit_in_bytes": 1,
        "cpu/job/memory.usage_in_bytes": 0,
    }
    groups = "5:cpu:/job\n4:memory:/job\n1:name=systemd:/\n0::/\n"
    assert system(tmp_path, groups=groups, files=files) == GIB + 4096


def test_a_limit_that_is_exceeded_leaves_nothing(tmp_path):
    files = {"job/memory.max": GIB, "job/memory.current": 2 * GIB}
    assert system(tmp_path, groups="0::/job\n", files=files) == 0


def test_a_system_that_does_not_tell_is_not_guessed_at(tmp_path):
    assert available_memory(str(tmp_path), str(tmp_path)) is None


def test_this_system_has_memory():
    assert available_memory() is None or 0 < available_memory() < 2**50
