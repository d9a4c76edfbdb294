"""What the benchmark makes of its timings."""

import json

import pytest


@pytest.fixture
def rows(module):
    return module("_rows")


def test_works_are_timed_in_turn_and_the_first_round_is_not_counted(rows):
    order = []
    works = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = rows.alternate(works, 3)
    assert order == ["a", "b"] * 4
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_without_warming_up_every_run_counts(rows):
    runs = []
    assert len(rows.alternate({"a": lambda: runs.append(1)}, 2, warm_up=False)["a"]) == len(runs)


def test_time_is_what_the_clock_told_between(rows):
    ticks = iter([0.0, 1.0, 10.0, 12.5])
    assert rows.alternate({"a": lambda: None}, 1, clock=lambda: next(ticks)) == {"a": [2.5]}


def test_a_work_that_gives_a_float_has_timed_itself(rows):
    assert rows.alternate({"a": lambda: 7.5}, 2)["a"] == [7.5, 7.5]


def test_medians_are_compared(rows):
    row = rows.Row("x", "x", "ms", [2.0, 1.0, 9.0], amp1=[8.0, 4.0, 100.0], limit=0.5)
    assert (row.median, row.faster, row.above_limit) == (2.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("of", "bound", "kept"),
    [
        ("ours", 2.0, True), ("ours", 1.9, False),
        ("at least", 2.0, True), ("at least", 2.1, False),
        ("amp1", 4.0, True), ("amp1", 4.1, False),
        ("limit", 4.0, True), ("limit", 3.9, False),
    ],
)  # fmt: skip
def test_goals_are_kept_up_to_their_bound(rows, of, bound, kept):
    row = rows.Row("x", "x", "ms", [2.0], amp1=[8.0], limit=0.5)
    assert row.keeps(rows.Goal(of, bound)) is kept


@pytest.mark.parametrize("of", ["amp1", "limit"])
def test_without_anything_to_compare_with_nothing_is_said_of_a_goal(rows, of):
    row = rows.Row("x", "x", "ms", [2.0], goals=[rows.Goal(of, 1.0)])
    assert row.keeps(row.goals[0]) is None
    assert rows.table_line(row).endswith("?")


def test_the_table_says_which_goals_are_missed(rows):
    goals = [rows.Goal("ours", 1.0), rows.Goal("limit", 5.0)]
    line = rows.table_line(rows.Row("x", "a path", "ms", [2.0], limit=0.5, goals=goals))
    assert line.startswith("a path ")
    assert line.endswith("≤ 1 NO, ≤ 5x limit yes")


def test_columns_of_head_and_rows_are_above_one_another(rows):
    row = rows.Row("x", "x", "µs/atom", [1.0], amp1=[3.0], limit=0.5)
    head, line = rows.table_head(), rows.table_line(row)
    for name, cell in [("median", "1.00"), ("Amp 1.0.1", "3.00"), ("limit", "0.500")]:
        assert line[: head.index(name) + len(name)].endswith(cell)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0.000"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"),
     (123.4, "123"), (-12.34, "-12.3"), (1e-5, "1.0e-05")],
)  # fmt: skip
def test_numbers_have_three_digits(rows, value, text):
    assert rows.number(value) == text


def test_json_has_rows_versions_machine_and_commit(rows, tmp_path):
    row = rows.Row("loss", "loss", "ms", [2.0, 1.0, 3.0], goals=[rows.Goal("ours", 1.5)])
    rows.write_json(tmp_path / "r.json", [row], {"repeats": 3})
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["rows"][0]["median"] == 2.0
    assert data["rows"][0]["runs"] == [2.0, 1.0, 3.0]
    assert data["rows"][0]["goals"] == [{"goal": "≤ 1.5", "kept": False}]
    assert data["repeats"] == 3
    assert data["versions"]["numpy"]
    assert data["machine"]["cores"] >= 1
    assert "commit" in data


def test_reading_twice_as_much_takes_twice_the_time(rows, monkeypatch):
    monkeypatch.setattr(rows, "last_cache", lambda: 2**20)
    monkeypatch.setattr(rows, "alternate", lambda works, repeats: {"read": [1.0] * repeats})
    assert rows.reading_times(2**21, 2) == pytest.approx([0.5, 0.5])  # 4 MiB were read in 1 s
    assert rows.reading_times(2**23, 2) == [1.0, 1.0]
