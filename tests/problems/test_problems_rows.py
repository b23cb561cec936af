"""Files and cells of any content: each row becomes a problem or a reason that names its place; nothing else happens."""

import gzip
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from problems import mapping
from problems.mapping import fill
from problems.rows import Row, SourceError, column, read_rows
from problems.sources import Report, SourceConfig, read

cells = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
COLUMNS = [
    "question", "answer", "problem", "solution", "level", "unique_id", "prompt", "test", "entry_point", "task_id",
    "canonical_solution", "test_list", "test_imports", "code", "text", "question_content", "question_id", "difficulty",
    "public_test_cases", "private_test_cases", "starter_code", "metadata", "options", "category", "Body", "Question",
    "Answer", "ID", "Problem", "Record ID", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2",
    "Incorrect Answer 3", "source", "id", "gt", "problem_id", "title", "test_cases", "function_signature",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_every_line_of_a_jsonl_file_is_a_row_or_named(folder, lines):
    lines = [line.replace(b"\n", b"") for line in lines]
    assume(not b"".join(lines[:1]).startswith(b"version https://git-lfs"))  # a pointer to the data, and refused whole
    (folder / "any.jsonl").write_bytes(b"\n".join(lines))
    found = list(read_rows(folder / "any.jsonl"))
    assert [row.number for row in found] == [i for i, line in enumerate(lines, start=1) if line.strip()]
    for row in found:
        assert row.error or isinstance(row.values, dict)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(mapping.names()), st.dictionaries(st.sampled_from(COLUMNS), cells, max_size=8))
def test_a_row_with_anything_in_its_cells_is_kept_or_named(folder, name, values):
    good = {c: "1" for c in COLUMNS}
    (folder / "cells.jsonl").write_text(json.dumps(good | values) + "\n")
    report = Report()
    problems = list(read(SourceConfig(mapping=name, path=str(folder / "cells.jsonl")), report))
    assert report.kept + report.excluded + report.passed_over == 1 and report.kept == len(problems)
    for reason in report.reasons:
        assert "cells.jsonl:1: " in reason


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=8), min_size=3))
def test_a_template_is_filled_with_cells_as_they_are(values):
    row = Row(values, "f", 1)
    assert fill("{{{a}}}-{b}{c}", row) == f"{{{values['a']}}}-{values['b']}{values['c']}"
    assert column(Row({"x": values}, "f", 1), "x.b") == values["b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:-20], "cannot be read"),
        ("broken.json", b'{"a": [1', "not JSON"),
        ("deep.json", b"[" * 200_000, "not JSON"),
        ("latin.csv", "a,b\n1,\xe9\n".encode("latin-1"), "latin.csv:.*not CSV in UTF-8"),
        ("broken.parquet", b"PAR1 and no more", "not a Parquet file"),
        ("notes.txt", b"", "files of kind .txt are not read"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        list(read_rows(tmp_path / name))


def test_a_csv_row_with_too_few_or_many_fields_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3\n4,5,6\n")
    found = list(read_rows(tmp_path / "x.csv"))
    assert [row.values for row in found] == [{"a": "1", "b": "2"}, {}, {}]
    assert all("another number of fields" in row.error for row in found[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('statement: "{a"\nanswer: {column: b}', "statement: .*write {{ and }}"),
        ('statement: "{a}"', "give the place of the gold answer"),
        ('statement: "{a}"\nanswer: {column: b}\ndifficulty: 11', "difficulty 11 does not exist"),
        ('statement: "{a}"\nanswer: {column: b}\ndifficulty: {column: c, values: {easy: 0}}', "difficulty 0 of 'easy'"),
        ('statement: "{a}"\nanswer: {column: b}\ndifficulty: {colum: c}', "difficulty"),
        ('statement: "{a}"\ntests: mbpp', "set kind to function, stdin or assert"),
        ('statement: "{a}"\noptions: {right: b}', "options are either"),
        ("statement: [", "is not YAML"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_when_it_is_read(tmp_path, text, message):
    (tmp_path / "m.yaml").write_text(f"name: m\n{text}\n")
    with pytest.raises(SourceError, match=message):
        mapping.load(str(tmp_path / "m.yaml"))
