"""Every section of the benchmark measures what it says."""

import os

import numpy as np
import pytest

FAST = ("hashing", "derivatives", "loss", "storage", "overhead", "sizes", "threads")


@pytest.fixture
def sections(module, monkeypatch):
    """Make everything small."""
    sections = module("_sections")
    monkeypatch.setattr(module("_rows"), "last_cache", lambda: 2**16)
    monkeypatch.setattr(sections, "last_cache", lambda: 2**16)
    monkeypatch.setattr(sections, "SIZES", ((1, 1, 2), (2, 2, 2)))
    return sections


@pytest.fixture
def bench(sections, module):
    bench = sections.Bench(repeats=1, amp1=None)
    bench.slabs = module("_workloads").made_slabs(3)
    return bench


@pytest.mark.parametrize("name", FAST)
def test_a_section_gives_rows_that_can_be_told_apart(sections, bench, module, name):
    rows = list(sections.SECTIONS[name](bench))
    assert len({row.name for row in rows}) == len(rows)
    assert rows or name == "threads"  # of which there may be none
    assert all(np.isfinite(row.ours).all() for row in rows)
    assert all(module("_rows").table_line(row) for row in rows)


def test_each_way_to_keep_derivatives_tells_its_memory_and_its_error(sections, bench):
    rows = {row.name: row for row in sections.storage(bench)}
    full = rows["storage_float64_5-5"].extra["bytes_in_memory"]
    assert rows["storage_float32_5-5"].extra["bytes_in_memory"] < 0.7 * full
    assert rows["storage_disk_5-5"].extra["bytes_in_memory"] < 0.3 * full
    assert "off" not in rows["storage_float64_5-5"].note
    assert "gradient off by" in rows["storage_recomputed_5-5"].note
    assert rows["storage_recomputed_5-5"].limit is None


def test_the_large_set_is_larger_than_the_cache_and_has_no_image_twice(sections, bench, module):
    images = sections.larger_than_caches(bench.slabs)
    assert len(images) * sections.BYTES_PER_SLAB >= 8 * sections.last_cache()
    assert len({atoms.positions.tobytes() for atoms in images}) == len(images)
    assert images[-1].get_potential_energy() == images[2].get_potential_energy()


def test_times_of_amp_1_0_1_are_scaled_to_all_images(sections, module):
    class Amp1:
        n_images = 2

        def time(self, *words):
            return {"hashing": 3.0}[words[0]]

    bench = sections.Bench(repeats=2, amp1=Amp1())
    bench.slabs = module("_workloads").made_slabs(6)
    (row,) = sections.hashing(bench)
    assert row.amp1 == pytest.approx([1e6 * 9.0 / 6] * 2)


def test_inside_one_core_threads_have_one_core(sections):
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("cores cannot be chosen here")
    before = os.sched_getaffinity(0)
    with sections.one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
