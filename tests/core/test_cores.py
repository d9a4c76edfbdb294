import os

import pytest

from amp.core.cores import usable_cores


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("100000 100000", 1), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", None),
     ("9900000 100000", None), ("", None), ("what 1", None)],
)  # fmt: skip
def test_cores_are_those_that_the_control_group_leaves(tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(limit)
    assert usable_cores(str(tmp_path)) == (expected or 8)


def test_cores_are_those_that_the_process_is_bound_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert usable_cores(str(tmp_path)) == 2


def test_there_is_always_a_core(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(str(tmp_path)) == 1
