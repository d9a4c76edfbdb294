from amp.core.sources import source_digest as digest


def test_any_change_of_any_file_changes_the_digest(tmp_path):
    room, file = tmp_path / "room", tmp_path / "single.py"
    room.mkdir()
    (room / "a.py").write_text("a = 1\n")
    (room / "b.py").write_text("b = 1\n")
    file.write_text("c = 1\n")
    seen = {digest(room, file)}
    assert digest(room, file) in seen
    (room / "notes.txt").write_text("not code")
    assert digest(room, file) in seen
    for path, text in ((room / "a.py", "a = 2\n"), (file, "c = 2\n"), (room / "new.py", "")):
        path.write_text(text)
        now = digest(room, file)
        assert now not in seen
        seen.add(now)


def test_line_ends_do_not_count(tmp_path):
    file = tmp_path / "a.py"
    file.write_bytes(b"a = 1\nb = 2\n")
    unix = digest(file)
    file.write_bytes(b"a = 1\r\nb = 2\r\n")
    assert digest(file) == unix


def test_text_that_moves_to_another_file_counts(tmp_path):
    (tmp_path / "a.py").write_text("x\n")
    (tmp_path / "b.py").write_text("")
    before = digest(tmp_path)
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("x\n")
    assert digest(tmp_path) != before
