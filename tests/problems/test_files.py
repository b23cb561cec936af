"""Our own files: JSON lines, and files that are replaced whole or not at all."""

import os
import threading

import pytest

from problems import files
from problems.files import FileError, append_rows, read_json_lines, read_rows, replace_file, replacing
from problems.json_text import DEEPEST


def test_rows_come_back_in_order_and_without_a_torn_last_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    append_rows(path, [{"a": 1}, {"b": "\ud800 \u00e9"}])
    with open(path, "ab") as file:
        file.write(b'{"torn": ')
    assert read_rows(path) == [{"a": 1}, {"b": "\ud800 \u00e9"}]
    append_rows(path, [{"c": None}])
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (2, {"b": "\ud800 \u00e9"}), (3, {"c": None})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is no JSON object"),
        ('{"a": NaN}', "line 2 is not JSON .NaN is no number of JSON."),
        ('{"a": ' + "[" * DEEPEST + "]" * DEEPEST + "}", "line 2 is not JSON .it is deeper than 50 levels."),
        ("", "line 2 is not JSON"),
        ('{"a": "' + "x" * 99 + '"}', "line 2 is longer than 0 MiB"),
    ],
)
def test_a_line_that_no_job_writes_is_named(tmp_path, monkeypatch, line, reason):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 110 if len(line) > 100 and "[" in line else 64)
    (tmp_path / "rows.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(FileError, match=reason):
        read_rows(tmp_path / "rows.jsonl")


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="is no plain file"):
        read_rows(tmp_path / "pipe")
    (tmp_path / "rows.jsonl").write_text("{}\n" * 9)
    monkeypatch.setattr(files, "MAX_LINES_BYTES", 20)
    with pytest.raises(FileError, match="is it what it is named"):
        read_rows(tmp_path / "rows.jsonl")


def test_private_files_are_their_owner_s_alone_and_follow_no_link(tmp_path):
    (tmp_path / "open").write_text("")
    (tmp_path / "open").chmod(0o644)
    append_rows(tmp_path / "open", [{}])
    replace_file(tmp_path / "secret", "x", private=True)
    append_rows(tmp_path / "shared", [{}], private=False)
    modes = {name: (tmp_path / name).stat().st_mode & 0o077 for name in ("open", "secret")}
    assert modes == {"open": 0, "secret": 0}
    assert (tmp_path / "shared").stat().st_mode & 0o444 == 0o444
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    with pytest.raises(OSError, match="symbolic links"):
        append_rows(tmp_path / "link", [{"a": 1}])
    assert read_rows(tmp_path / "shared") == [{}]


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
    append_rows(tmp_path / "rows", [{"a": 1}])
    with pytest.raises(ValueError, match="JSON compliant"):
        append_rows(tmp_path / "rows", [{"a": 2}, {"a": float("nan")}])
    assert read_rows(tmp_path / "rows") == [{"a": 1}]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = replace_file(tmp_path / "file", "old")
    with pytest.raises(RuntimeError, match="amid"), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError("amid")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    (tmp_path / "link").symlink_to(path)
    replace_file(tmp_path / "link", b"new")
    assert path.read_text() == "old" and (tmp_path / "link").read_text() == "new"


def test_two_writers_of_one_file_leave_one_s_content(tmp_path):
    texts = [str(i) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=replace_file, args=(tmp_path / "file", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_text() in texts and len(list(tmp_path.iterdir())) == 1
