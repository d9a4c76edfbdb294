"""amp-compress does what its options say, and nothing else."""

import json
import os
import pickle
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import amp
from amp.cli.compress import main
from amp.cli.main import main as amp_main
from amp.core.memory import format_bytes
from amp.database import FileDatabase, _listing, maintenance
from amp.database._archive import Archive
from amp.database._keys import shard_of

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(_listing, "WAIT", 0.1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two databases, one of them deeper, and one of Amp 1.0.1."""
    for name, n in (("a", 3), ("deep/b", 2)):
        fill(tmp_path / name, n)
    old = tmp_path / "old.ampdb" / "loose"
    old.mkdir(parents=True)
    (old / ("0" * 32)).write_bytes(pickle.dumps([0.5, "Cu"], protocol=0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(path, n):
    path.parent.mkdir(exist_ok=True)
    db = FileDatabase(path)
    for i in range(n):
        db[f"k{i}"] = np.arange(1000.0) + i
    return db


def places(path):
    return [entry.place for entry in maintenance.contents(path).entries]


def size(path):
    return format_bytes(maintenance.contents(path).size)


def tree(path):
    """Everything below a folder, to the byte."""
    found = {}
    for place, folders, names in os.walk(path):
        for name in [*folders, *names]:
            full = Path(place, name)
            data = full.read_bytes() if full.is_file() and not full.is_symlink() else None
            found[full] = (data, full.lstat().st_mode, full.lstat().st_mtime_ns)
    return found


# ------------------------------------------------------------------ packing


def test_loose_entries_are_packed(folder, capsys):
    before = size("a.ampdb")
    assert main(["a.ampdb"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("a.ampdb: 3 entries (24.")
    assert f"packed; {before} before, {size('a.ampdb')} after\n" in out
    assert err == ""
    assert places("a.ampdb") == ["archive"] * 3
    assert places("deep/b.ampdb") == ["loose"] * 2


def test_amp_compress_is_a_command_of_amp(folder, capsys):
    assert amp_main(["compress", "a.ampdb/", "deep/b.ampdb"]) == 0
    assert places("a.ampdb") + places("deep/b.ampdb") == ["archive"] * 5
    assert "2 databases: 5 entries (" in capsys.readouterr().out


def test_recursive_packs_every_database_below(folder, capsys):
    assert main(["-r", "."]) == 0
    out = capsys.readouterr().out
    assert places("a.ampdb") + places("deep/b.ampdb") == ["archive"] * 5
    assert out.splitlines()[1:3] == [
        "old.ampdb: nothing to pack; 20 bytes",
        "old.ampdb: not read, because of Amp 1.0.1: 1 file; "
        "amp-compress -r -d FOLDER deletes databases",
    ]
    assert "3 databases: 5 entries (" in out


def test_where_there_are_no_databases_that_is_said(folder, capsys):
    (folder / "empty").mkdir()
    assert main(["-r", "empty"]) == 0
    assert capsys.readouterr().out == "There are no databases in empty.\n"


def test_no_link_to_a_folder_is_followed(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    fill(elsewhere / "c", 1)
    (folder / "link").symlink_to(elsewhere)
    (folder / "c.ampdb").symlink_to(elsewhere / "c.ampdb")
    before = tree(elsewhere)
    assert main(["-r", "."]) == 0
    assert main(["-r", "-d", "--yes", "."]) == 0
    assert tree(elsewhere) == before


def test_of_several_databases_those_that_can_be_packed_are(folder, capsys):
    for name in ("locked", "readonly", "z"):
        fill(folder / name, 1)
    fill(folder / "readonly", 1).archive()
    fill(folder / "readonly", 2)
    os.remove("readonly.ampdb/archive.tar.gz.lock")
    os.mkdir("readonly.ampdb/archive.tar.gz.lock")
    with Archive("locked.ampdb/archive.tar.gz").locked():
        names = ["locked.ampdb", "readonly.ampdb", "none.ampdb", "folder", "a.ampdb", "z.ampdb"]
        assert main(names) == 1
    out, err = capsys.readouterr()
    assert places("a.ampdb") + places("z.ampdb") == ["archive"] * 4
    assert places("locked.ampdb") == ["loose"]
    assert places("readonly.ampdb") == ["archive", "loose"]
    assert "2 databases: 4 entries (" in out
    lines = err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("amp-compress: error: ") for line in lines)
    for line, words in zip(
        lines,
        ["locked.ampdb/archive.tar.gz.lock has been locked", "it is a folder", "'none.ampdb'",
         "folder is no database"],
        strict=True,
    ):  # fmt: skip
        assert words in line


def test_traceback_shows_where_the_error_of_a_database_came_from(folder, capsys):
    for run in (
        lambda: main(["--traceback", "none.ampdb"]),
        lambda: amp_main(["--traceback", "compress", "none.ampdb"]),
        lambda: amp_main(["compress", "none.ampdb", "--traceback"]),
    ):
        assert run() == 1
        assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert main(["none.ampdb"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_an_interruption_is_status_130_and_leaves_everything_whole(folder, monkeypatch, capsys):
    def interrupted(items, description, total):
        yield next(iter(items))
        raise KeyboardInterrupt

    monkeypatch.setattr(maintenance, "_WORTH_A_BAR", 0)
    monkeypatch.setattr(maintenance, "progress", interrupted)
    assert main(["-r", "."]) == 130
    assert capsys.readouterr().err == "amp-compress: interrupted\n"
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    db = FileDatabase("a")
    assert [db[f"k{i}"][0] for i in range(3)] == [0.0, 1.0, 2.0]
    assert main(["-r", "--verify", "."]) == 0


def test_a_folder_whose_name_is_no_text_is_done_like_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "a", 1)
    os.rename(b"a.ampdb", b"\xff.ampdb")
    fill(tmp_path / "z", 1)
    for words in (["-r", "--list", "."], ["-r", "--verify", "."], ["-r", "."]):
        assert main(words) == 0
        assert "\\udcff.ampdb" in capsys.readouterr().out
    assert places("z.ampdb") == ["archive"]
    assert main(["-r", "-d", "--yes", "."]) == 0
    assert os.listdir(".") == []


# ------------------------------------------------------------------ nothing is written


@pytest.mark.parametrize(
    "words",
    [
        ["--dry-run", "a.ampdb"],
        ["-r", "-n", "."],
        ["-r", "-d", "--dry-run", "."],
        ["-r", "-d", "--yes", "--dry-run", "."],
        ["-r", "--list", "."],
        ["-r", "--verify", "."],
        [],
        ["-r"],
        ["-d", "a.ampdb"],
        ["-d", "--yes", "a.ampdb"],
        ["-r", "-d", "."],
        ["--yes", "a.ampdb"],
        ["-r", "-d", "--list", "."],
        ["-r", "--prune", "none.amp", "a.ampdb"],
        ["-r", ".", "--prune", "none.amp"],
        ["-r", "none"],
    ],
)
def test_nothing_is_written_by(words, folder, capsys):
    before = tree(folder)
    main(words)
    assert tree(folder) == before


def test_a_dry_run_tells_what_would_be_packed(folder, capsys):
    assert main(["-r", "-n", "."]) == 0
    out = capsys.readouterr().out
    assert f"a.ampdb: 3 entries (24.4 kB) would be packed; {size('a.ampdb')}\n" in out
    assert "3 databases: 5 entries (40.6 kB) would be packed; " in out


def test_a_damaged_entry_is_not_packed_and_is_status_1(folder, capsys):
    path = folder / "a.ampdb" / "loose" / shard_of("k1") / "k1"
    path.write_bytes(path.read_bytes()[:-1])
    for words, done in ((["-n"], "would be packed"), ([], "packed")):
        assert main(["-r", ".", *words]) == 1
        out = capsys.readouterr().out
        assert f"a.ampdb: 2 entries (16.3 kB) {done}; " in out
        assert f"3 databases: 4 entries (32.5 kB) {done}; " in out
        left = done.replace("packed", "not packed" if done == "packed" else "packed")
        left = left.replace("would be", "would not be")
        assert f"a.ampdb: {left}, because damaged or not readable: 1 entry\n" in out
    assert places("a.ampdb") == ["archive", "broken", "archive"]
    assert main(["-r", "."]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name databases (.ampdb), or with -r folders to look for them in"),
        (["-r"], "name the folders to look for databases in; '.' is the current one"),
        (["-d", "a.ampdb"], "--delete works only with --recursive"),
        (["-d", "-y", "a.ampdb"], "--delete works only with --recursive"),
        (["-y", "a.ampdb"], "--yes is for --delete"),
        (["-r", "-d", "."], "there is no terminal to ask whether to delete; --yes answers"),
        (["-r", "-d", "--list", "."], "not allowed with argument"),
        (["--prune", "x.amp", "a.ampdb/"], "a.ampdb/ stands behind --prune; name databases before"),
        (["--prune", "x.amp"], "name databases (.ampdb)"),
        (["--fast", "a.ampdb"], "unrecognized arguments: --fast"),
        (["-r", "none"], "There is no folder 'none' to look for databases in."),
        (["-r", "", "-d", "--yes"], "a name is empty; is it of a variable that was not set?"),
        (["-r", "deep", "", "-d", "-y"], "a name is empty"),
        (["a.ampdb", ""], "a name is empty"),
        (["a.ampdb", "--prune", ""], "a name is empty"),
        (["-r", "-d", "--dry-run", "/"], "--delete is refused for the whole machine"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_line_and_status_1(
    words, message, folder, capsys
):
    before = tree(folder)
    assert main(words) == 1
    assert tree(folder) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("amp-compress: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


# ------------------------------------------------------------------ listing, checking


def test_a_list_has_a_line_for_each_entry(folder, capsys):
    FileDatabase("a").archive()
    db = FileDatabase("a")
    db["k1"] = [1.5]
    capsys.readouterr()
    assert main(["--list", "a.ampdb", "old.ampdb"]) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    found = maintenance.contents("a.ampdb")
    assert [line[1:] for line in lines[:3]] == [
        ["archive", "a.ampdb/k0"],
        ["loose", "a.ampdb/k1"],
        ["archive", "a.ampdb/k2"],
    ]
    assert [int(line[0]) for line in lines[:3]] == [entry.size for entry in found.entries]
    loose, archived = (sum(each.size for each in found.at(p)) for p in ("loose", "archive"))
    assert lines[3] == [
        str(found.size),
        "total",
        f"a.ampdb: 3 entries, 1 loose ({loose} bytes), 2 archived ({archived} bytes)",
    ]
    assert lines[4] == ["20", "old", f"old.ampdb/{'0' * 32}"]


def test_checking_a_good_database_is_status_0(folder, capsys):
    assert main(["--verify", "a.ampdb"]) == 0
    assert capsys.readouterr().out == "a.ampdb: 3 entries read, 0 damaged\n"


def test_a_damaged_entry_is_named_and_status_1(folder, capsys):
    path = folder / "a.ampdb" / "loose" / shard_of("k1") / "k1"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    before = tree(folder)
    assert main(["-r", "--verify", "."]) == 1
    out = capsys.readouterr().out
    assert "a.ampdb: damaged: k1 (loose): The checksum is wrong" in out
    assert "a.ampdb: 3 entries read, 1 damaged\n" in out
    assert f"{os.path.join('deep', 'b.ampdb')}: 2 entries read, 0 damaged\n" in out
    assert tree(folder) == before


# ------------------------------------------------------------------ pruning


def test_entries_of_a_trained_potential_are_kept_and_those_of_others_dropped(
    files, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    name = "cu-fingerprint-primes.ampdb"
    shutil.copytree(files.potential.parent / name, name)
    goals = [
        "--energy-rmse",
        "0.05",
        "--force-rmse",
        "1.5",
        "--seed",
        "1",
        "--cores",
        "1",
        "--cache",
        "all",
    ]
    assert amp_main(["train", str(files.images), "--label", "other", "--dblabel", "cu",
                     "--cutoff", "4.2", "--hidden", "3", "2", *goals]) == 0  # fmt: skip
    keys = [entry.key for entry in maintenance.contents(name).entries]
    assert len(keys) == 8  # four images, two descriptors
    FileDatabase(name).archive()
    before = tree(name)
    capsys.readouterr()

    assert main([name, "--prune", str(files.potential), "other.amp"]) == 0
    assert f"{name}: nothing to drop; " in capsys.readouterr().out
    assert main([name, "--dry-run", "--prune", str(files.checkpoint)]) == 0
    assert f"{name}: 4 entries (" in capsys.readouterr().out
    assert tree(name) == before

    assert main(["-r", ".", "--prune", "other.amp"]) == 0
    assert f"{name}: 4 entries (" in capsys.readouterr().out
    left = [entry.key for entry in maintenance.contents(name).entries]
    assert len(left) == 4
    assert set(left) < set(keys)
    assert Archive(f"{name}/archive.tar.gz").size.dead < 2000  # its index
    assert main([name, "--prune", str(files.potential)]) == 0
    assert maintenance.contents(name).entries == ()


def test_a_file_that_is_no_potential_is_an_error_before_anything_is_dropped(files, folder, capsys):
    FileDatabase("a")[f"{'a' * 32}-{'b' * 32}-fingerprints"] = 1
    (folder / "bad.amp").write_text("{")
    before = tree(folder)
    assert main(["a.ampdb", "--prune", str(files.potential), "bad.amp"]) == 1
    assert "bad.amp cannot be read as a potential (.amp) file" in capsys.readouterr().err
    assert tree(folder) == before
    assert main(["a.ampdb", "--prune", str(files.potential)]) == 0
    assert "a.ampdb: 1 entry (" in capsys.readouterr().out
    assert [entry.key for entry in maintenance.contents("a.ampdb").entries] == ["k0", "k1", "k2"]


# ------------------------------------------------------------------ deleting


def test_yes_deletes_all_databases_below_and_nothing_else(folder, capsys):
    (folder / "deep" / "notes.txt").write_text("mine")
    (folder / "file.ampdb").write_text("mine")
    assert main(["-r", "-d", "--yes", "."]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out[:3]] == ["a.ampdb", "old.ampdb", "deep/b.ampdb"]
    assert out[3].startswith("3 databases, ")
    assert out[3].endswith(", deleted")
    left = sorted(os.path.relpath(path, folder) for path in tree(folder))
    assert left == ["deep", "deep/notes.txt", "file.ampdb"]


def test_a_folder_that_is_no_database_is_passed_over_by_all(folder, caplog):
    (folder / "empty.ampdb").mkdir()
    for words in ([], ["--list"], ["--verify"], ["-d", "--yes"]):
        caplog.clear()
        assert main(["-r", ".", *words]) == 0
        assert "empty.ampdb is passed over: it has neither" in caplog.text
    assert os.listdir(folder / "empty.ampdb") == []
    assert not (folder / "a.ampdb").exists()
    assert main(["empty.ampdb"]) == 1
    assert main(["-r", "-d", "--yes", "empty.ampdb"]) == 1
    assert (folder / "empty.ampdb").exists()


def test_a_folder_with_other_things_in_it_is_named_and_left(folder, capsys, caplog):
    (folder / "a.ampdb" / "thesis.tex").write_text("mine")
    (folder / "mine.ampdb").mkdir()
    (folder / "mine.ampdb" / "data.csv").write_text("1,2")
    before = tree(folder / "a.ampdb"), tree(folder / "mine.ampdb")
    assert main(["-r", "-d", "--yes", "."]) == 1
    err = capsys.readouterr().err
    assert "a.ampdb is left as it is: thesis.tex in it is not of a database" in err
    assert "mine.ampdb is passed over" in caplog.text
    assert (tree(folder / "a.ampdb"), tree(folder / "mine.ampdb")) == before
    assert not (folder / "old.ampdb").exists()


def with_terminal(folder, words, answer):
    """Run the command with a terminal as standard input; return its status and what it said."""
    ours, its = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            [sys.executable, "-m", "amp.cli.compress", *words],
            cwd=folder, env=environment(), stdin=its, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(its)
    return done


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(amp.__file__).parents[1])}


@pytest.mark.parametrize(("answer", "is_deleted"), [("y\n", True), ("\n", False), ("no\n", False)])
def test_on_a_terminal_it_asks_before_it_deletes(answer, is_deleted, folder):
    before = tree(folder)
    done = with_terminal(folder, ["-r", "-d", "."], answer)
    assert done.returncode == 0
    assert "old.ampdb: 20 bytes\n" in done.stdout
    assert done.stderr.startswith("Delete 3 databases, ")
    if is_deleted:
        assert os.listdir(folder) == ["deep"]
    else:
        assert done.stdout.endswith("Nothing was deleted.\n")
        assert tree(folder) == before


# ------------------------------------------------------------------ starting


def test_help_says_what_it_does_and_loads_nothing(tmp_path):
    code = (
        "import json, sys\nfrom amp.cli.compress import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    out = in_fresh_python(code, tmp_path)
    assert out.startswith("usage: amp-compress [-h]")
    assert heavy(out).isdisjoint({"numpy", "ase", "numba", "torch", "scipy"})


@pytest.mark.parametrize("words", [["a.ampdb"], ["-r", "--list", "."], ["-r", "--verify", "."]])
def test_work_loads_neither_torch_nor_numba_nor_ase(words, folder):
    code = (
        f"import json, sys\nfrom amp.cli.compress import main\nassert main({words}) == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert heavy(in_fresh_python(code, folder)).isdisjoint(
        {"ase", "matplotlib", "numba", "rich", "scipy", "torch"}
    )


def in_fresh_python(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip


def heavy(out):
    return set(json.loads(out.splitlines()[-1]))


def test_a_small_database_is_packed_in_a_third_of_a_second(folder):
    # Processor time and the least of several: a busy machine must not fail this.
    def seconds(*words):
        before = os.times()
        subprocess.run([sys.executable, *words], cwd=folder, env=environment(), check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    nothing = min(seconds("-c", "pass") for _ in range(3))
    taken = min(seconds("-m", "amp.cli.compress", "a.ampdb") for _ in range(5))
    assert taken - nothing < 0.3


def test_the_tool_works_without_installation(folder):
    tool = CHECKOUT / "tools" / "amp-compress"
    assert os.access(tool, os.X_OK)
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (folder / "link").symlink_to(tool)
    done = subprocess.run(
        [sys.executable, str(folder / "link"), "a.ampdb"], cwd=folder, env=without,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("a.ampdb: 3 entries (")


def test_where_potentials_cannot_be_read_pruning_says_what_to_do(folder):
    code = (
        "import sys; sys.modules['ase'] = None\n"
        "from amp.cli.compress import main\n"
        "sys.exit(main(['a.ampdb', '--prune', 'x.amp']))"
    )
    before = tree(folder)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("amp-compress: error: --prune reads potentials, for which this ")
    assert "lacks the module 'ase'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert tree(folder) == before


def test_a_reader_that_has_seen_enough_is_no_traceback(folder):
    command = f"{sys.executable} -m amp.cli.compress --list a.ampdb | true"
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment(),
                          capture_output=True, text=True)  # fmt: skip
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_at_any_moment_loses_nothing(number, tmp_path):
    rng = np.random.default_rng(5)
    values = [rng.random(20000) for _ in range(400)]
    db = FileDatabase(tmp_path / "a", max_memory=1)
    statuses = set()
    for turn in range(15):
        for i, value in enumerate(values):
            db[f"k{i}-{turn}"] = value
        command = subprocess.Popen(
            [sys.executable, "-m", "amp.cli.compress", "a.ampdb"], cwd=tmp_path,
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(rng.uniform(0.2, 0.8))
        command.send_signal(number)
        command.communicate(timeout=60)
        statuses.add(command.returncode)
        found = maintenance.verify(db.path)
        assert found.damaged == ()
        keys = {entry.key for entry in maintenance.contents(db.path).at("loose", "archive")}
        assert keys == {f"k{i}-{turn}" for i in range(len(values))}
        db.clear()
    assert statuses & {130, -signal.SIGINT, -signal.SIGKILL}
