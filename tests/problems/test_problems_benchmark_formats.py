"""Data sets as people have them: the shared cases, and their relatives in every layout, cell and naming of a choice."""

import base64
import bz2
import contextlib
import datetime
import decimal
import gzip
import json
import lzma
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import yaml
from shared_folder import cases, shared_folder

from problems.benchmark_formats import boxed_answer
from problems.rows import SourceError, read_rows
from problems.sources import Report, SourceConfig, read
from verify.pool import Judge

FROM_TESTS = ("datasets-10", "datasets-11", "datasets-12")
"""Cases about test code, which are tested with it."""
WAYS = {  # what a person would write for a case that leaves it open
    "datasets-07": {"options": {"column": "choices.text", "labels": "choices.label"}},
    "datasets-08": {
        "name": "io", "kind": "stdin", "id": "problem_id", "statement": "{question}", "tests": "input_output",
        "solution": "{solutions.0}",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def judge():
    judge = Judge()
    yield judge
    judge.close()


@pytest.fixture
def load(tmp_path):
    """`load(rows, mapping)` reads rows of one .jsonl, or a path, by a mapping given as a dict or by name."""

    def load(data, mapping, **options):
        if not isinstance(data, Path):
            rows, data = data, tmp_path / "data.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if isinstance(mapping, dict):
            (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
            mapping = str(tmp_path / "mapping.yaml")
        report = Report()
        return list(read(SourceConfig(mapping=mapping, path=str(data), **options), report)), report

    return load


def gold(problem):
    return problem.hidden_tests[0].expected


def passes(judge, problem, answer):
    return judge.judge(problem, answer).passed


MATHS = {"name": "m", "statement": "{q}", "answer": {"column": "a"}}
QA = {"name": "gsm8k"}


# --- the shared cases


@pytest.mark.parametrize("case", cases("datasets", lambda case: case["id"] not in FROM_TESTS))
def test_a_case_from_practice(case, load, judge, tmp_path, monkeypatch):
    number = case["id"].rpartition("-")[2]
    if number == "01":
        from datasets import Dataset

        Dataset.from_list(case["rows"]).save_to_disk(tmp_path / "saved")
        problems, report = load(tmp_path / "saved", case["mapping"])
        assert [gold(p) for p in problems] == ["12"] and not report.excluded
        return
    if number == "09":
        script_set(tmp_path / "OWNER" / "NAME")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SourceError, match=r"loading script.*revision.*as `path`") as error:
            load_hub(case["mapping"], tmp_path)
        assert "\n" not in str(error.value)
        return
    way = WAYS.get(case["id"], {})
    mapping = case["mapping"] | way if isinstance(case["mapping"], dict) else way
    (problem,), report = load(case["rows"], mapping)
    assert not report.excluded
    if number == "02":
        assert gold(problem) == "3, 8"
        assert passes(judge, problem, r"\boxed{3, 8}") and not passes(judge, problem, r"\boxed{8}")
    elif number == "03":
        assert problem.statement == "Solve 5+6. Put the answer last." and (problem.id, gold(problem)) == (
            "chat-n1",
            "11",
        )
    elif number in ("04", "05", "06"):
        right = {"04": r"\boxed{9, 4}", "05": r"\boxed{9}", "06": r"\boxed{6, -6}"}[number]
        assert passes(judge, problem, right) and not passes(judge, problem, r"\boxed{5}")
    elif number == "07":
        assert gold(problem) == "B" and "(B) x" in problem.statement
    else:
        assert [(t.args, t.expected) for t in problem.hidden_tests] == [(("3 4\n",), "12\n")]
        assert (problem.kind, problem.checker) == ("stdin", "exact")


def script_set(folder):
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.py").write_text("import datasets\n")
    (folder / "test.jsonl").write_text('{"question_id": "1"}\n')


def load_hub(mapping, folder):
    (folder / "hub.yaml").write_text(yaml.safe_dump(mapping))
    return list(read(SourceConfig(mapping=str(folder / "hub.yaml"))))


def test_the_shipped_mapping_of_a_set_with_a_script_reads_its_files(tmp_path, monkeypatch):
    row = (Path(__file__).parent / "fixtures" / "livecodebench.jsonl").read_text().splitlines()[0]
    folder = tmp_path / "livecodebench" / "code_generation_lite"
    script_set(folder)
    for number in ("", *range(2, 7)):
        (folder / f"test{number}.jsonl").write_text(json.dumps(json.loads(row) | {"question_id": f"q{number}"}) + "\n")
    monkeypatch.chdir(tmp_path)
    problems = list(read(SourceConfig(mapping="livecodebench", prove=False)))
    assert [p.id for p in problems] == [f"livecodebench-q{n}" for n in ("", 2, 3, 4, 5, 6)]


# --- layouts

ROWS = [{"question": f"Q {n}?", "answer": f"y\n#### {n}"} for n in range(3)]


def as_pages(rows):
    wrapped = [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(rows)]
    return {"features": [{"name": "question"}], "rows": wrapped, "num_rows_total": 3}


def tsv(rows, sign="\t"):
    return "question" + sign + "answer\n" + "".join(f'"{r["question"]}"{sign}"{r["answer"]}"\n' for r in rows)


LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
FILES = {
    "page.json": json.dumps(as_pages(ROWS)),
    "page_rows.jsonl": "".join(json.dumps(row) + "\n" for row in as_pages(ROWS)["rows"]),
    "lines.json": LINES,
    "bom.json": "\ufeff" + LINES,
    "lines.ndjson": LINES,
    "list.jsonl": json.dumps(ROWS, indent=1),
    "UPPER.JSONL": LINES,
    "wrapped.json": json.dumps({"version": "1", "data": ROWS, "labels": [{"a": 1}]}),
    "columns.json": json.dumps(COLUMNS),
    "pandas.json": json.dumps({name: {str(n): v for n, v in enumerate(c)} for name, c in COLUMNS.items()}),
    "split.json": json.dumps({"columns": list(COLUMNS), "index": [0, 1, 2], "data": [list(r.values()) for r in ROWS]}),
    "table.json": json.dumps({"schema": {"fields": [{"name": "index"}]}, "data": ROWS}),
    "by_key.json": json.dumps({f"train/{n}": row for n, row in enumerate(ROWS)}),
    "tabs.tsv": tsv(ROWS),
    "semicolons.csv": tsv(ROWS, ";"),
    "packed.jsonl.gz": gzip.compress(LINES.encode()),
    "packed.tsv.gz": gzip.compress(tsv(ROWS).encode()),
    "packed.jsonl.bz2": bz2.compress(LINES.encode()),
    "packed.json.xz": lzma.compress(json.dumps(ROWS).encode()),
    "packed.jsonl.zst": pa.compress(LINES.encode(), codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_in_whatever_layout_it_was_written(name, load, tmp_path):
    content = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    problems, report = load(tmp_path / name, "gsm8k")
    assert [gold(p) for p in problems] == ["0", "1", "2"] and not report.excluded


@pytest.mark.parametrize("write", ["stream", "file", "feather"])
def test_arrow_files_of_both_formats(write, load, tmp_path):
    table = pa.Table.from_pylist(ROWS)
    path = tmp_path / ("x.feather" if write == "feather" else "x.arrow")
    if write == "feather":
        feather.write_feather(table, path)
    else:
        opened = pa.ipc.new_stream if write == "stream" else pa.ipc.new_file
        with opened(str(path), table.schema) as out:
            out.write_table(table)
    assert len(load(path, "gsm8k")[0]) == 3
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match=r"x\.(arrow|feather): not an Arrow file"):
        load(path, "gsm8k")


def test_a_saved_set_of_splits_gives_the_split_that_is_asked_for(load, tmp_path):
    from datasets import Dataset, DatasetDict

    DatasetDict(train=Dataset.from_list(ROWS[:2]), test=Dataset.from_list(ROWS[2:])).save_to_disk(tmp_path / "saved")
    for split, expected in (("train", ["0", "1"]), ("test", ["2"]), ("by_hash", ["2", "0", "1"])):
        problems, report = load(tmp_path / "saved", "gsm8k", split=split)
        assert [gold(p) for p in problems] == expected and not report.excluded
        assert bool(report.notes) == (split != "by_hash")
    with pytest.raises(
        SourceError, match=r"no files of split val: by their names there are test, train; choose .*glob"
    ):
        load(tmp_path / "saved", "gsm8k", split="val")
    assert len(load(tmp_path / "saved" / "train", "gsm8k", split="val")[0]) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("main/train-00000-of-00001.parquet", "main/test-00000-of-00001.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("default/train/0000.parquet", "default/eval/0000.parquet"),
        ("my_train.parquet", "my_testing.parquet"),
    ],
)
def test_a_snapshot_of_the_hub_is_read_as_it_is(names, load, tmp_path):
    folder = tmp_path / "snapshot"
    for name, rows in zip(names, (ROWS[:2], ROWS[2:]), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    other = {
        "README.md": "---\nconfigs: []\n---\n",
        "LICENSE": "MIT",
        ".gitattributes": "*.parquet filter=lfs",
        "dataset_infos.json": '{"default": {"features": {}, "splits": [{"name": "train"}]}}',
        "NAME.py": "import x",
        ".cache/huggingface/download/data.json": '{"etag": "x"}',
        "socratic/train-0.jsonl": LINES,
    }
    for name, text in other.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    mapping = "gsm8k"
    if not names[0].startswith("main"):  # without a folder of the configuration's name all would be read
        (folder / "socratic/train-0.jsonl").unlink()
    assert [gold(p) for p in load(folder, mapping, split="train")[0]] == ["0", "1"]
    assert [gold(p) for p in load(folder, mapping)[0]] == ["2"]


def test_a_file_beside_the_data_does_not_make_the_folder_fail(load, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "b.jsonl").write_text(LINES)
    (folder / "a_config.json").write_text('{"seed": 3, "names": ["a"]}')
    (folder / "a_table.csv").write_text("id,score\n1,2\n2,3\n")
    problems, report = load(folder, "gsm8k")
    assert [gold(p) for p in problems] == ["0", "1", "2"] and report.excluded == 2
    assert "a_config.json:1: holds no table of rows" in report.reasons[0]
    assert "a_table.csv:2: no column 'question'" in report.reasons[1] and "no row of this file" in report.reasons[1]
    (folder / "b.jsonl").unlink()
    with pytest.raises(SourceError, match="no column 'question'"):
        load(folder, "gsm8k")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', r"several lists of objects \(train, test\)"),
        ('{"seed": 3}', "neither a list of objects"),
        ("[1, 2]", "not one of objects"),
        ('"text"', "JSON str"),
        ('{"rows": []}', "no rows"),
    ],
)
def test_json_that_is_no_table_is_named(content, says, tmp_path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SourceError, match=says):
        list(read_rows(tmp_path / "x.json"))


def test_a_page_that_cut_cells_off_is_not_taken_for_the_data(load, tmp_path):
    page = as_pages(ROWS)
    page["rows"][1]["truncated_cells"] = ["question"]
    (tmp_path / "page.json").write_text(json.dumps(page))
    problems, report = load(tmp_path / "page.json", "gsm8k")
    assert len(problems) == 2 and "the page cut off question; download" in report.reasons[0]


def test_a_pointer_to_the_data_is_no_data(tmp_path):
    for name in ("x.parquet", "x.jsonl", "x.csv"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
        with pytest.raises(SourceError, match="run `git lfs pull`"):
            list(read_rows(tmp_path / name))


MBPP = {"task_id": 1, "text": "t", "code": "def f(x):\n    return x"}
HUMAN = {"task_id": "a", "prompt": "def f():\n", "canonical_solution": "    return 1\n",
         "test": "def check(c):\n    assert c() == 1\n", "entry_point": "f"}  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "row", "says"),
    [
        ("mbpp", MBPP | {"test_list": "['assert f(1) == 1', 'assert f(2) == 2']"}, ""),
        ("mbpp", MBPP | {"test_list": ["assert f(1) == 1", "assert f(2) == 2"], "code": None}, ""),
        ("mbpp", MBPP | {"test_list": "assert f(1) == 1"}, "no list of texts"),
        ("mbpp", MBPP | {"test_list": None}, "no list of texts"),
        ("mbpp", MBPP | {"test_list": [1, 2]}, "no list of texts"),
        ("humaneval", HUMAN, ""),
        ("humaneval", HUMAN | {"test": None}, "column 'test' holds no text"),
        ("humaneval", HUMAN | {"entry_point": None}, "column 'entry_point' holds no text"),
        ("humaneval", HUMAN | {"test": ["x"]}, "column 'test' holds no text"),
    ],
)
def test_cells_of_code_benchmarks_hold_what_they_should(mapping, row, says, load):
    problems, report = load([row], mapping)
    assert len(problems) == (not says) and says in "".join(report.reasons)


# --- golds that are parts of answers


@pytest.mark.parametrize(
    ("solution", "whole"),
    [
        (r"$t=\boxed{3}$ or $t=\boxed{8}$.", "3, 8"),
        (r"$x_1 = \boxed{3}$ and $x_2 = \boxed{8}$", "3, 8"),
        (r"\boxed{1}, \boxed{2}, and \boxed{-3}", "1, 2, -3"),
        (r"\boxed{2}\\\boxed{5}", "2, 5"),
        (r"\[\boxed{2}\quad\text{or}\quad\boxed{5}\]", "2, 5"),
        (r"\boxed{\frac{1}{2}} and \boxed{\frac{3}{4}}", r"\frac{1}{2}, \frac{3}{4}"),
        (r"First \boxed{3} comes up. So it is \boxed{3}.", "3"),
        (r"One root is \boxed{3}, another \boxed{8}. Hence \boxed{3, 8}.", "3, 8"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"Not \boxed{9} but \boxed{1}.", "1"),
        (r"\fbox{7}", "7"),
        (r"so $\boxed 4$.", "4"),
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
    ],
)
def test_boxes_that_belong_together_are_one_answer(solution, whole):
    assert boxed_answer(solution) == whole


@pytest.mark.parametrize(
    "solution",
    [
        r"The first root is \boxed{3}. The second root is \boxed{8}.",
        r"(a) \boxed{3} (b) \boxed{8}",
        r"\boxed{3} + \boxed{8}",
        r"$x = \boxed{3}$ and $y = \boxed{4}$",
        r"the point $(\boxed{1}, \boxed{2})$",
        "no box",
        r"\boxed{3",
        r"\boxed 3 or \boxed 8",
    ],
)
def test_boxes_of_which_it_is_not_said_are_left_out(solution, load):
    with pytest.raises(ValueError, match="boxed"):
        boxed_answer(solution)
    mapping = MATHS | {"answer": {"column": "a", "boxed": True}}
    problems, report = load([{"q": "?", "a": solution}, {"q": "!", "a": r"\boxed{1}"}], mapping)
    assert len(problems) == 1 and "data.jsonl:1: column 'a' has " in report.reasons[0]


@pytest.mark.parametrize("piece", [r"\boxed{", r"\boxed{1}", r"\boxed{1}, ", "{", "}", r"\boxed 1 ", "a_", "x = "])
def test_boxes_are_read_in_linear_time(piece):
    began = time.process_time()
    for text in (piece * 40_000, piece * 40_000 + r"\boxed{3}"):
        with contextlib.suppress(ValueError):
            boxed_answer(text)
    assert time.process_time() - began < 2


# --- cells that are no text


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (11.0, "11"),
        (2.5, "2.5"),
        (-0.125, "-0.125"),
        (1e16, "10000000000000000"),
        (1.5e23, "150000000000000000000000"),
        (1e-7, "0.0000001"),
        (12345678901234567890123, "12345678901234567890123"),
        (["$4$", "$9$"], "4, 9"),
        (["$9 \\text{ cm}$"], "$9 \\text{ cm}$"),
        ([4, 9.0], "4, 9"),
        ([["4", "9"]], "4, 9"),
        (["1,234", "5"], "1234, 5"),
        (["(1,2)", "(3,4)"], "(1,2), (3,4)"),
        (["7"], "7"),
        ("['$4$', '$9$']", "4, 9"),
        ('["4", "9"]', "4, 9"),
        ("[3, 8]", "[3, 8]"),
        ([{"role": "user", "content": "?"}, {"role": "assistant", "content": "5"}], "5"),
        ([{"from": "human", "value": "?"}, {"from": "gpt", "value": "5"}], "5"),
    ],
)
def test_a_gold_cell_is_plain_text(cell, expected, load):
    (problem,), _ = load([{"q": "?", "a": cell}], MATHS)
    assert gold(problem) == expected


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (None, "is empty"),
        (True, "truth value true"),
        ([], "empty list"),
        ([None], "is empty"),
        ([True], "truth value"),
        (["", "4"], "empty item"),
        (["1, 2", "3"], "a list itself"),
        ({"value": 3, "unit": "m"}, "name one of its fields: value, unit"),
        (float("nan"), "no number"),
        (1234567890123456789.0, "lost digits"),
        (float("inf"), "no number"),
        ("['4' '9']", "without commas"),
        ([{"role": "user", "content": "?"}], "without an answer"),
        ([{"a": 1}], "name one of its fields: a"),
    ],
)
def test_a_gold_cell_without_plain_text_is_left_out_with_the_reason(cell, says, load):
    problems, report = load([{"q": "?", "a": cell}], MATHS)
    assert not problems and report.excluded == 1
    assert report.reasons[0].startswith(str(report.reasons[0].split(":1: ")[0]) + ":1: column 'a' ")
    assert says in report.reasons[0] and "\n" not in report.reasons[0]


def test_a_list_of_answers_needs_a_checker_of_lists(load):
    for checker in ("exact", "float:1e-6", "yes_no"):
        problems, report = load([{"q": "?", "a": ["1", "2"]}], MATHS | {"checker": checker})
        assert not problems and "holds 2 answers" in report.reasons[0] and "a.0" in report.reasons[0]
    assert gold(load([{"q": "?", "a": True}], MATHS | {"checker": "yes_no"})[0][0]) == "yes"


def test_binary_and_dated_cells_are_refused(load, tmp_path):
    for cell in (b"12", datetime.date(2026, 1, 2), datetime.timedelta(1)):
        pq.write_table(pa.Table.from_pylist([{"q": "?", "a": cell}]), tmp_path / "x.parquet")
        problems, report = load(tmp_path / "x.parquet", MATHS)
        assert not problems and "which is no text" in report.reasons[0]
    pq.write_table(pa.Table.from_pylist([{"q": "?", "a": decimal.Decimal("8.50")}]), tmp_path / "x.parquet")
    assert gold(load(tmp_path / "x.parquet", MATHS)[0][0]) == "8.5"


SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is 2+3?"}
TOLD = {"role": "assistant", "content": "5"}


@pytest.mark.parametrize(
    ("cell", "statement"),
    [
        ([USER], "What is 2+3?"),
        ([SYSTEM, USER], "Be brief.\n\nWhat is 2+3?"),
        ([USER, TOLD], "What is 2+3?"),
        (USER, "What is 2+3?"),
        ([{"from": "human", "value": "What is 2+3?"}, {"from": "gpt", "value": "5"}], "What is 2+3?"),
        ([{"role": "user", "content": [{"type": "text", "text": "What is 2+3?"}]}], "What is 2+3?"),
        (3, "3"),
    ],
)
def test_a_chat_is_asked_as_its_messages_say(cell, statement, load):
    assert load([{"q": cell, "a": "5"}], MATHS)[0][0].statement == statement


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ([USER, TOLD, USER], "answer in its middle; name one message, for example q.0.content"),
        ([TOLD], "nobody asks"),
        ([{"role": "tool", "content": "x"}], "role 'tool'"),
        ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "not all text"),
        ([{"role": "user", "content": None}], "is empty"),
        (["a", "b"], "is a list of 2; name an item of it, for example q.0"),
        ({"text": "x"}, "is an object; name one of its fields: text"),
        (None, "the statement is empty"),
        (False, "truth value false"),
    ],
)
def test_a_question_without_plain_text_is_left_out_with_the_reason(cell, says, load):
    problems, report = load([{"q": cell, "a": "5"}], MATHS | {"statement": "Q: {q}"})
    assert not problems and says in report.reasons[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{chat.1.content}", "What is 2+3?"),
        ("{chat.-1.content}", "What is 2+3?"),
        ("{text.0.content}", "Be brief."),
        ("{python.a.0}", "1"),
        ("{a.b}", "flat"),
        ("{nothing|a.b}", "flat"),
        ("{chat.0.content}/{a.b}", "Be brief./flat"),
    ],
)
def test_an_item_inside_a_cell_can_be_named(name, expected, load):
    row = {
        "chat": [SYSTEM, USER],
        "text": json.dumps([SYSTEM, USER]),
        "python": "{'a': ['1']}",
        "a.b": "flat",
        "x": "1",
    }
    (problem,), _ = load([row], {"name": "m", "statement": name, "answer": {"column": "x"}})
    assert problem.statement == expected


def test_an_item_that_is_not_there_is_a_reason(load):
    rows = [{"q": [], "a": "1"}, {"q": None, "a": "1"}, {"q": "text", "a": "1"}, {"q": [{"c": 1}], "a": "1"}]
    problems, report = load(rows, MATHS | {"statement": "{q.0}"})
    assert not problems and report.excluded == 4
    assert "no item 0 in a list of 0" in report.reasons[0] and "is empty" in report.reasons[1]


def test_where_and_difficulty_know_truth_and_numbers(load):
    rows = [
        {"q": str(n), "a": "1", "ok": ok, "d": d}
        for n, (ok, d) in enumerate([(True, 3.0), (False, "hard"), ("True", 1)])
    ]
    mapping = MATHS | {"where": {"ok": True}, "difficulty": {"column": "d", "values": {"hard": 9, "3": 4}, "scale": 2}}
    problems, report = load(rows, mapping)
    assert [p.statement for p in problems] == ["0", "2"] and report.passed_over == 1
    assert [p.difficulty for p in problems] == [4, 2]


# --- multiple choice

CHOICE = {"name": "c", "checker": "choice", "statement": "{q}", "answer": {"column": "a"}}
FOUR = ["w", "x", "y", "z"]


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"a": "B", "o": FOUR}, {"column": "o"}),
        ({"a": 1, "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": "1", "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": 1.0, "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": 2, "o": FOUR}, {"column": "o", "answer_is": "number"}),
        ({"a": "x", "o": FOUR}, {"column": "o", "answer_is": "text"}),
        ({"a": "2", "o": {"text": FOUR, "label": list("1234")}}, {"column": "o.text", "labels": "o.label"}),
        ({"a": "B", "o": {"text": FOUR, "label": list("ABCD")}}, {"column": "o.text", "labels": "o.label"}),
        ({"a": 20, "o": FOUR, "l": [10, 20, 30, 40]}, {"column": "o", "labels": "l"}),
        ({"a": "2", "o": [{"text": t, "label": str(n)} for n, t in enumerate(FOUR, 1)]},
         {"column": "o.text", "labels": "o.label"}),
        ({"a": 1, "p": "w", "q2": "x"}, {"columns": ["p", "q2"], "answer_is": "index"}),
        ({"a": "1", "o": "['w', 'x', 'y', 'z']"}, {"column": "o", "answer_is": "index"}),
        ({"a": 1, "o": [3, 4.0]}, {"column": "o", "answer_is": "index"}),
    ],
)  # fmt: skip
def test_the_right_choice_is_found_however_it_is_named(row, options, load):
    (problem,), _ = load([{"q": "?", **row}], CHOICE | {"options": options})
    assert gold(problem) == "B" and "None" not in problem.statement
    assert problem.statement.splitlines()[2] in ("(B) x", "(B) 4")


@pytest.mark.parametrize(
    ("row", "options", "says"),
    [
        ({"a": "5", "o": FOUR}, {"column": "o", "answer_is": "number"}, "no number 1 to 4"),
        ({"a": 0, "o": FOUR}, {"column": "o", "answer_is": "number"}, "no number 1 to 4"),
        ({"a": -1, "o": FOUR}, {"column": "o", "answer_is": "index"}, "no index 0 to 3"),
        ({"a": "", "o": FOUR}, {"column": "o", "answer_is": "index"}, "no index 0 to 3"),
        ({"a": True, "o": FOUR}, {"column": "o", "answer_is": "index"}, "truth value"),
        ({"a": "v", "o": FOUR}, {"column": "o", "answer_is": "text"}, "not one of w, x"),
        ({"a": "1", "o": FOUR, "l": ["1"]}, {"column": "o", "labels": "l"}, "1 labels for 4 options"),
        ({"a": "1", "o": FOUR, "l": list("1123")}, {"column": "o", "labels": "l"}, "not one of 1, 1"),
        ({"a": "1", "o": FOUR}, {"column": "o"}, "is none of A, B, C, D"),
        ({"a": "A", "o": "w x y z"}, {"column": "o"}, "no list of options"),
        ({"a": "A", "o": ["w"]}, {"column": "o"}, "1 options"),
        ({"a": "A", "o": ["w", None]}, {"column": "o"}, "is empty"),
        ({"a": "A", "o": ["w", {"t": 1}]}, {"column": "o"}, "is an object"),
        ({"a": ["A", "C"], "o": FOUR}, {"column": "o"}, "holds 2 answers"),
    ],
)
def test_a_choice_that_names_none_is_left_out_with_the_reason(row, options, says, load):
    problems, report = load([{"q": "?", **row}], CHOICE | {"options": options})
    assert not problems and says in report.reasons[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"column": "o", "columns": ["p", "q"]}, "either one `column`"),
        ({"column": "o", "answer_is": "label"}, "go together"),
        ({"column": "o", "labels": "l", "answer_is": "index"}, "go together"),
        ({"right": "r"}, "either one `column`"),
        ({"right": "r", "wrong": ["s"]}, "give one"),
    ],
)
def test_options_that_contradict_are_refused(options, says, load):
    with pytest.raises(SourceError, match=says):
        load([{"q": "?", "a": "A"}], CHOICE | {"options": options})


# --- tests as inputs and outputs

STDIN = {"name": "p", "kind": "stdin", "statement": "{q}", "tests": "input_output"}
CALL = {"name": "f", "kind": "function", "statement": "{q}", "tests": "input_output",
        "cases": {"hidden": ["t"], "signature": "s"}}  # fmt: skip
IO = {"inputs": ["3 4\n", "1 1\n"], "outputs": ["12\n", "1\n"]}


@pytest.mark.parametrize(
    "found",
    [
        IO,
        json.dumps(IO),
        {"input": IO["inputs"], "output": IO["outputs"]},
        [{"input": i, "output": o} for i, o in zip(IO["inputs"], IO["outputs"], strict=True)],
        json.dumps(
            [{"input": "3 4\n", "output": "12\n", "type": "stdin_stdout"}, {"input": "1 1\n", "expected": "1\n"}]
        ),
        {"inputs": [["3 4", ""], "1 1\n"], "outputs": [["12", ""], "1\n"]},
        {"inputs": IO["inputs"] * 2, "outputs": IO["outputs"] * 2},
    ],
)
def test_inputs_and_outputs_are_read_in_every_spelling(found, load, judge):
    (problem,), _ = load([{"q": "Multiply.", "input_output": found}], STDIN)
    assert [(t.args[0], t.expected) for t in problem.hidden_tests] == [("3 4\n", "12\n"), ("1 1\n", "1\n")]
    right = "```python\na, b = map(int, input().split())\nprint(a * b)\n```"
    assert passes(judge, problem, right) and not passes(judge, problem, right.replace("*", "+"))


def test_tests_of_several_columns_and_shown_ones(load):
    row = {"q": "?", "public": {"input": ["1\n"], "output": ["1\n"]}, "private": {"input": [], "output": []},
           "generated": {"input": ["1\n", "2\n"], "output": ["1\n", "4\n"]}}  # fmt: skip
    mapping = STDIN | {"cases": {"hidden": ["private", "generated"], "shown": ["public"]}}
    (problem,), _ = load([row], mapping)
    assert [t.args[0] for t in problem.public_examples] == ["1\n"] and [t.args[0] for t in problem.hidden_tests] == [
        "2\n"
    ]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"inputs": ["1"], "outputs": []}, "not as many inputs as outputs"),
        ({"inputs": [], "outputs": []}, "no test that could be scored"),
        ({"inputs": ["1"]}, "none of outputs, output"),
        ([{"in": "1"}], "none of inputs, input"),
        ("not JSON", "no tests in JSON"),
        (["a"], "neither a list of tests"),
        (None, "no test that could be scored"),
        ({"inputs": [{"a": 1}], "outputs": ["1"]}, "is an object"),
        ({"fn_name": "f", "inputs": [[1]], "outputs": [1]}, "no column .set `cases.signature`. gives its signature"),
    ],
)
def test_tests_that_are_none_are_a_reason(found, says, load):
    problems, report = load([{"q": "?", "input_output": found}], STDIN)
    assert not problems and re.search(says, report.reasons[0])


@pytest.mark.parametrize(
    ("signature", "tests", "calls"),
    [
        ("def f(a: int, b: int) -> int:", [{"input": [1, 2], "output": 3}], [((1, 2), 3)]),
        ("def f(a, b)", [{"input_args": [1, 2], "expected_output": 3}], [((1, 2), 3)]),
        ("def f(a, b):", [{"input": {"b": 2, "a": 1}, "expected": 3}], [((1, 2), 3)]),
        ("def f(xs: List[int]) -> int:", [{"input": [1, 2], "output": 3}], [(([1, 2],), 3)]),
        ("def f(xs: List[int]) -> int:", [{"input": [[1, 2]], "output": 3}], [(([1, 2],), 3)]),
        ("def f(xs: list) -> int:", [{"input": [5], "output": 5}], [(([5],), 5)]),
        ("def f(n: int) -> int:", [{"input": 5, "output": 5}], [((5,), 5)]),
        ("def f(s: str) -> str:", [{"input": "ab", "output": "ba"}], [(("ab",), "ba")]),
        ("def f(a, b):", [{"input": "[1]\n2", "output": "[1, 2]"}], [(([1], 2), [1, 2])]),
        ("class S:\n    def f(self, a: int) -> int:\n        ", {"fn_name": "f", "inputs": [[1]], "outputs": [[2]]},
         [((1,), 2)]),
        ("def f(a: int) -> List[int]:", {"fn_name": "f", "inputs": [[1]], "outputs": [[2]]}, [((1,), [2])]),
        ("def f(a: int) -> List[int]:", {"fn_name": "f", "inputs": [[1]], "outputs": [[[2]]]}, [((1,), [2])]),
        ("def f(a):", {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[2], [3, 4]]}, [((1,), [2]), ((2,), [3, 4])]),
        ("def f(a, b=2):", [{"input": [1], "output": 3}], [((1,), 3)]),
        ("def f():", [{"input": [], "output": 3}], [((), 3)]),
    ],
)  # fmt: skip
def test_tests_that_call_a_function_fit_its_signature(signature, tests, calls, load):
    (problem,), _ = load([{"q": "?", "t": tests, "s": signature}], CALL)
    assert [(t.args, t.expected) for t in problem.hidden_tests] == calls
    assert (problem.kind, problem.entry_point) == ("function", "f")
    assert problem.signature.startswith("def f(") and "self" not in problem.signature


@pytest.mark.parametrize(
    ("signature", "tests", "says"),
    [
        ("def f(a, b):", [{"input": [1], "output": 3}], "gives 1 arguments, and f takes a, b"),
        ("def f(a, b):", [{"input": {"b": 2}, "output": 3}], "arguments"),
        ("def f(a, b):", [{"input": "one two", "output": 3}], "not JSON, one a line"),
        ("not python", [{"input": [1], "output": 3}], "gives its signature"),
        ("", [{"input": [1], "output": 3}], "gives its signature"),
        (None, [{"input": [1], "output": 3}], "gives its signature"),
        ("def f(a):", {"fn_name": "g", "inputs": [[1]], "outputs": [[2]]}, "call the function g"),
        ("def f(a):", {"fn_name": "f", "inputs": [[1]], "outputs": [[2]]}, "does not say whether f returns a list"),
    ],
)
def test_calls_that_do_not_fit_are_a_reason(signature, tests, says, load):
    problems, report = load([{"q": "?", "t": tests, "s": signature}], CALL)
    assert not problems and says in report.reasons[0]


def test_packed_cases_of_any_depth_are_a_reason(load):
    for text in ("[" * 100_000, base64.b64encode(b"x" * 100).decode(), "9" * 5000):
        problems, report = load([{"q": "?", "input_output": text}], STDIN)
        assert not problems and report.excluded == 1 and "\n" not in report.reasons[0]


# --- files of other systems


def formats(name):
    folder = shared_folder("cases/formats")
    if folder is None:
        pytest.skip("there is no folder shared/cases beside the repository; set CRUCIBLE_SHARED to where it lies")
    return folder / name


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("problems_list.json", 2),
        ("problems_list_args.json", 1),
        ("problems_lines.jsonl", 1),
        ("problems_wrapped.json", 1),
        ("traces_with_tests.jsonl", 4),
    ],
)
def test_problems_with_tests_in_every_spelling(name, count, load, judge):
    problems, report = load(formats(name), "functions")
    assert len(problems) == count and not report.excluded
    for problem in problems:
        assert problem.entry_point == "clamp" and len(problem.public_examples) == 1 and problem.hidden_tests
    wrapped = "bounds" in problems[0].signature
    body = "low, high = bounds\n    " if wrapped else ""
    right = (
        f"```python\nfrom typing import List\n{problems[0].signature}\n    {body}return max(low, min(value, high))\n```"
    )
    assert passes(judge, problems[0], right) and not passes(judge, problems[0], right.replace("max(low", "max(high"))


@pytest.mark.parametrize(
    ("name", "golds"),
    [
        ("boxed_rows.jsonl", ["48", "7.5", "9"]),
        ("boxed_answers.jsonl", ["48"]),
        ("test_question_answer.jsonl", ["42", "B"]),
        ("test_problem_solution.jsonl", ["42"]),
    ],
)
def test_boxed_rows_and_test_sets_under_every_name(name, golds, load):
    problems, report = load(formats(name), "boxed")
    assert [gold(p) for p in problems] == golds
    assert report.excluded == (1 if name == "test_problem_solution.jsonl" else 0)


def test_a_file_that_is_not_there_is_named(tmp_path):
    script_set(tmp_path / "NAME")
    mapping = MATHS | {
        "hub": str(tmp_path / "NAME"),
        "hub_files": ["test.jsonl", "gone.jsonl"],
        "statement": "{question_id}",
    }
    with pytest.raises(SourceError, match=r"gone\.jsonl: cannot be read \(No such file"):
        load_hub(mapping | {"answer": {"column": "question_id"}}, tmp_path)
