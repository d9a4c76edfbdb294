"""Log files, timers, names and times."""

import copy
import io
import logging
import multiprocessing
import pickle
import re
import sys

import pytest

from amp.core import logs
from amp.core.errors import AmpError
from amp.core.logs import Logger, make_filename, now, progress, version_header


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set: `clock.time = 3.0`."""

    class Clock:
        time = 100.0

        def perf_counter(self):
            return self.time

    clock = Clock()
    monkeypatch.setattr(logs, "time", clock)
    return clock


@pytest.fixture
def text():
    return io.StringIO()


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_a_call_writes_one_line(tmp_path):
    path = tmp_path / "log.txt"
    with Logger(path) as log:
        assert log("Training …") is None
        assert lines_of(path) == ["Training …"]  # at once
        log("done")
    assert lines_of(path) == ["Training …", "done"]
    assert log.filename == str(path)


def test_a_log_is_appended_to_unless_it_is_overwritten(tmp_path):
    path = tmp_path / "log.txt"
    for overwrite, expected in [(False, ["a"]), (False, ["a", "a"]), (True, ["a"])]:
        with Logger(str(path), overwrite=overwrite) as log:
            log("a")
        assert lines_of(path) == expected


def test_a_logger_without_file_does_nothing():
    log = Logger(None)
    assert log("text", tic="a") is None
    assert log("text", toc="never started") is None
    assert log.tic("a") is None
    assert log.tic("a") is None
    assert (log.file, log.filename, log.tics) == (None, None, {})
    log.close()


def test_an_open_file_is_written_to_and_left_open(text):
    log = Logger(text)
    log("text")
    log.close()
    assert text.getvalue() == "text\n"
    assert log.file is text
    assert log.filename is None


def test_standard_output_has_no_file_name(capsys):
    log = Logger(sys.stdout)
    log("text")
    assert capsys.readouterr().out == "text\n"
    assert log.filename is None


def test_a_file_that_was_closed_is_opened_again_for_appending(tmp_path):
    path = tmp_path / "log.txt"
    log = Logger(path, overwrite=True)
    log("first")
    log.file.close()
    log("second")
    log.close()
    assert lines_of(path) == ["first", "second"]

    with open(path, "a", encoding="utf-8") as file:
        log = Logger(file)
    log("third")
    log.close()
    assert lines_of(path) == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (90.0, " 1.5 min."),
        (60.1, " 1.0 min."),
        (60.0, " 60.0 s"),
        (2.34, " 2.3 s"),
        (1.0, " 1000.0 ms"),
        (4.5e-3, " 4.5 ms"),
        (1e-3, " 1000.0 us"),
        (6.7e-6, " 6.7 us"),
        (0.0, " 0.0 us"),
    ],
)
def test_times_have_the_form_they_always_had(clock, text, seconds, expected):
    log = Logger(text)
    clock.time = 0.0
    log.tic("training")
    clock.time = seconds
    log("...trained.", toc="training")
    assert text.getvalue() == f"...trained.{expected}\n"


def test_toc_ends_a_timer_and_check_keeps_it(clock, text):
    log = Logger(text)
    log("start", tic="a")
    clock.time += 2.0
    log("check", check="a")
    log("toc", toc="a")
    assert text.getvalue() == "start\ncheck 2.0 s\ntoc 2.0 s\n"
    assert log.tics == {}


def test_a_timer_starts_after_its_line_is_written(clock):
    class SlowFile(io.StringIO):
        def write(self, line):
            clock.time += 5.0
            return super().write(line)

    slow = SlowFile()
    log = Logger(slow)
    log("start", tic=True)
    log("end", toc=True)
    assert slow.getvalue() == "start\nend 0.0 us\n"


def test_the_timer_without_label_works_beside_those_with_one(clock, text):
    log = Logger(text)
    log.tic()
    clock.time += 1.0
    log.tic("inner")
    clock.time += 2.0
    log("inner", toc="inner")
    log("check", check=True)
    log("outer", toc=True)
    assert text.getvalue() == "inner 2.0 s\ncheck 3.0 s\nouter 3.0 s\n"


def test_the_timer_without_label_can_be_started_anew(clock, text):
    log = Logger(text)
    log.tic()
    clock.time += 60.0
    log.tic()
    clock.time += 2.0
    log("end", toc=True)
    assert text.getvalue() == "end 2.0 s\n"


def test_a_label_that_runs_already_is_named(text):
    log = Logger(text)
    log.tic("training")
    with pytest.raises(RuntimeError, match="'training' runs already"):
        log.tic("training")
    with pytest.raises(RuntimeError, match="'training'"):
        log("again", tic="training")


@pytest.mark.parametrize("argument", ["toc", "check"])
def test_a_label_that_never_ran_lists_those_that_do(text, argument):
    log = Logger(text)
    log.tic("training")
    with pytest.raises(KeyError) as caught:
        log("end", **{argument: "trainign"})
    assert str(caught.value) == (
        "No timer 'trainign' was started; running timers with a label: 'training'."
    )
    with pytest.raises(KeyError, match="without a label"):
        log("end", **{argument: True})
    assert text.getvalue() == ""


def test_toc_and_check_exclude_each_other(text):
    log = Logger(text)
    log.tic()
    with pytest.raises(ValueError, match="not both") as caught:
        log("end", toc=True, check=True)
    assert isinstance(caught.value, AmpError)


def test_lines_can_wait_in_the_buffer_of_a_file_that_was_given(tmp_path):
    path = tmp_path / "log.txt"
    with open(path, "w", encoding="utf-8") as file:
        Logger(file)("text", flush=False)
        assert lines_of(path) == []
        Logger(file)("more")
        assert lines_of(path) == ["text", "more"]


def _write_lines(path, letter):
    with Logger(path) as log:
        for _ in range(200):
            log(letter * 3000, flush=False)


def test_processes_that_share_a_log_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "log.txt"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_lines, args=(path, letter)) for letter in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(lines_of(path)) == ["a" * 3000] * 200 + ["b" * 3000] * 200


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda log: pickle.loads(pickle.dumps(log))])
def test_a_copy_writes_to_the_same_file(tmp_path, duplicate):
    path = tmp_path / "log.txt"
    with Logger(path) as log:
        log("one", tic="a")
        with duplicate(log) as twin:
            twin("two")
            assert twin.tics == log.tics
        log("three")
    assert lines_of(path) == ["one", "two", "three"]


def test_records_of_logging_can_go_into_the_log(text):
    source = logging.getLogger("amp.tests.handler")
    handler = Logger(text).handler(logging.INFO)
    source.addHandler(handler)
    source.setLevel(logging.DEBUG)
    try:
        source.info("%d duplicates", 3)
        source.debug("unseen")
    finally:
        source.removeHandler(handler)
    assert text.getvalue() == "3 duplicates\n"


def test_lines_can_go_to_logging(caplog):
    log = Logger.from_logging("amp.tests.from_logging")
    with caplog.at_level(logging.INFO, logger="amp.tests.from_logging"):
        log("100 % done")
    assert caplog.record_tuples == [("amp.tests.from_logging", logging.INFO, "100 % done")]


@pytest.mark.parametrize(
    ("label", "base", "expected"),
    [
        ("lab", "-log.txt", "lab-log.txt"),
        ("", "-log.txt", "-log.txt"),
        (None, "-log.txt", None),
        ("folder/lab", ".amp", "folder/lab.amp"),
    ],
)
def test_names_are_joined_without_separator(label, base, expected):
    assert make_filename(label, base) == expected


def test_make_filename_makes_no_folder(tmp_path):
    make_filename(f"{tmp_path}/new/lab", "-log.txt")
    assert list(tmp_path.iterdir()) == []


def test_now_is_the_local_time_and_on_request_utc():
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
    assert re.fullmatch(moment, now())
    assert re.fullmatch(rf"{moment} \({moment} UTC\)", now(with_utc=True))


@pytest.mark.skipif(not hasattr(logs.time, "tzset"), reason="this system has no tzset")
def test_local_time_follows_the_time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "XXX-05:30")
    logs.time.tzset()
    try:
        local, utc = re.match(
            r"\S+T(\d\d:\d\d):\d\d \(\S+T(\d\d:\d\d):\d\d UTC\)", now(True)
        ).groups()
    finally:
        monkeypatch.undo()
        logs.time.tzset()
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (local, utc)]
    assert (minutes[0] - minutes[1]) % (24 * 60) == 5 * 60 + 30


def test_progress_is_silent_without_a_terminal(capfd):
    assert list(progress(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_progress_shows_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress("abc", "letters")) == ["a", "b", "c"]
    assert "letters" in terminal.getvalue()


def test_the_header_says_what_runs_where_and_when():
    header = version_header()
    assert [line.partition(": ")[0] for line in header] == [
        "Amp", "Python", "numpy", "scipy", "numba", "ase", "Host", "Platform", "Time",
    ]  # fmt: skip
    assert all(line.partition(": ")[2] for line in header)


def test_a_package_that_is_missing_is_said_to_be():
    assert "no-such-package: not installed" in version_header(["no-such-package"])
