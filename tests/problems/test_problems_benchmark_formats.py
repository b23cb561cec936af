"""Data sets in every layout that people use: the shared cases, files of libraries and hubs, code benchmarks."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from problems_helpers import gold, load_hub, passes, script_set
from shared_folder import cases

from problems.rows import SourceError, read_rows
from problems.sources import SourceConfig, read

FROM_TESTS = ("datasets-10", "datasets-11", "datasets-12")
"""Cases about test code, which are tested with it."""
WAYS = {  # what a person would write for a case that leaves it open
    "datasets-07": {"options": {"column": "choices.text", "labels": "choices.label"}},
    "datasets-08": {
        "name": "io", "kind": "stdin", "id": "problem_id", "statement": "{question}", "tests": "input_output",
        "solution": "{solutions.0}",
    },
}  # fmt: skip

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
