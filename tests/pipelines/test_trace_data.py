"""Traces that others wrote, in every layout, judged again: files of the five systems, public sets, hostile rows."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from shared_folder import needed_folder

from cluster.storage import Storage
from pipelines.artifacts.traces import TracesError, trace_row, write_traces
from pipelines.jobs.undo.dataset import Example, Trace, write_dataset
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_data import load_traces, written_traces
from pipelines.trace_rows import TRIED, Candidate, NotATrace, Reader, is_of_use, rows_of, split_response
from problems import families, mapping
from problems.problem import Status, Verdict
from problems.questions import QuestionsConfig
from problems.rows import Row
from problems.stream import ProblemStream
from rollout.prompts import THINK_OPEN, completion_text
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.request_cache import Reply
from tests.object_store import s3_server
from verify.config import VerifyConfig

CLAMP = "def clamp(value: int, low: int, high: int) -> int:\n    return max(low, min(value, high))"
TESTED = {
    "problem_id": "c", "problem_description": "Limit value.", "function_signature": "def clamp(value, low, high):",
    "test_cases": [{"input_args": [5, 0, 3], "expected_output": 3}, {"input_args": [-2, 0, 3], "expected_output": 0}],
    "solution_code": CLAMP, "thinking": "Both ends.", "verified": True,
}  # fmt: skip
BOXED = {"problem": "What is 6 times 7?", "teacher_solution": "6 * 7 = 42\n$\\boxed{42}$", "gt": "$\\boxed{42}$"}


def load(*places, **config):
    return load_traces([str(p) for p in places], TraceDataConfig(**config), VerifyConfig(), Console(quiet=True))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def formats():
    return needed_folder("cases/formats")


# --- the files of the five systems


def test_traces_with_tests_are_judged_again_whatever_they_say(formats):
    traces, report = load(formats / "traces_with_tests.jsonl")
    assert [trace.problem.id for trace in traces] == ["functions-clamp_1", "functions-clamp_2", "functions-clamp_3"]
    assert (report.rows, report.failed, report.claimed) == (4, 1, 1)
    assert "jsonl:4: fails its own tests, although it says it is verified: wrong_answer" in report.reasons[0]
    assert [trace.thinking[:7] for trace in traces] == ["Step 1:", "Step 1:", ""]
    assert traces[1].thinking == "Step 1: the smaller of value and high, then the larger of that and low."
    assert traces[1].completion("think") == completion_text(CLAMP, "think", traces[1].thinking)
    assert traces[2].completion("direct") == completion_text(CLAMP)


def test_traces_without_tests_are_refused_until_they_are_trusted(formats):
    with pytest.raises(TracesError, match=r"no tests and no gold answer.*set data.trust to True") as refused:
        load(formats / "traces_without_tests.jsonl")
    assert "\n" not in str(refused.value) and "traces_without_tests.jsonl:1" in str(refused.value)
    (trace,), report = load(formats / "traces_without_tests.jsonl", trust=True)
    assert trace.completion("think") == completion_text(CLAMP, "think", "Compare with both ends.")
    assert trace.problem.entry_point == "clamp" and (report.trusted, report.untested) == (1, 0)


def test_solutions_are_judged_by_the_problems_beside_them(formats):
    """A question that the file asks twice has the tests of both: the second solution passes its own two alone."""
    beside = str(formats / "problems_list.json")
    (trace,), report = load(formats / "solutions.jsonl", problems=(beside,))
    assert trace.problem.id == "functions-clamp_train_0" and trace.code == CLAMP and report.failed == 1
    with pytest.raises(TracesError, match=r"'clamp_train_0': data.problems names no file that has it"):
        load(formats / "solutions.jsonl")
    with pytest.raises(TracesError, match=r"data.problems has none of that id"):
        load(formats / "solutions.jsonl", problems=(str(formats / "problems_wrapped.json"),))
    with pytest.raises(TracesError, match=r"solutions.jsonl holds no problems; tried own: .*functions: .*boxed: "):
        load(formats / "solutions.jsonl", problems=(str(formats / "solutions.jsonl"),))


def test_boxed_solutions_are_judged_by_their_gold_answers(formats):
    traces, report = load(formats / "boxed_rows.jsonl")
    assert [trace.completion("direct") for trace in traces] == [
        "12 * 4 = 48\n$\\boxed{48}$",
        "30 / 4 = 7.5\n$\\boxed{\\tfrac{15}{2}}$",
    ]
    assert report.failed == 1 and "boxed_rows.jsonl:3: fails its own tests: wrong_answer" in report.reasons[0]
    (own,), _ = load(formats / "boxed_answers.jsonl")
    assert own.completion("direct") == "12 * 4 = 48  \nFinal Answer: $\\boxed{48}$"
    (worked,), report = load(formats / "test_problem_solution.jsonl")
    assert worked.completion("direct") == "Six sevens are $\\boxed{42}$." and report.excluded == 1


@pytest.mark.parametrize("name", ["test_question_answer.jsonl", "problems_list.json", "problems_wrapped.json"])
def test_a_row_that_fits_no_mapping_is_said_in_one_line(name, formats):
    with pytest.raises(TracesError, match=f"{name}:1: fits no mapping; its columns are ") as refused:
        load(formats / name)
    line = str(refused.value)
    assert "\n" not in line and all(f"{tried}: " in line for tried in ("own", *TRIED))


# --- public sets


@pytest.mark.parametrize(
    ("row", "learned"),
    [
        (
            {"question": "6 pens each in 7 boxes?", "answer": "6 * 7 = <<6*7=42>>42 pens.\n#### 42"},
            "6 * 7 = <<6*7=42>>42 pens.\n\\boxed{42}",
        ),
        (
            {"problem": "6 * 7?", "generated_solution": "It is \\boxed{42}.", "expected_answer": "42"},
            "It is \\boxed{42}.",
        ),
        (
            {"messages": [{"role": "user", "content": "6 * 7?"}, {"role": "assistant", "content": "\\boxed{42}"}]},
            "\\boxed{42}",
        ),
        (
            {"conversations": [{"from": "human", "value": "6 * 7?"}, {"from": "gpt", "value": "so \\boxed{42}"}]},
            "so \\boxed{42}",
        ),
        (
            {"problem": "6 * 7?", "solution": "\\boxed{42}", "source": "x", "messages": []},
            "\\boxed{42}",
        ),
        (
            {
                "text": "Double a number.", "code": "def double(x):\n    return 2 * x", "task_id": 1,
                "test_list": ["assert double(2) == 4", "assert double(3) == 6"],
            },
            completion_text("def double(x):\n    return 2 * x"),
        ),
        (
            {
                "prompt": "def double(x):\n", "canonical_solution": "    return 2 * x", "entry_point": "double",
                "test": "def check(candidate):\n    assert candidate(2) == 4", "task_id": "t/1",
            },
            completion_text("def double(x):\n    return 2 * x"),
        ),
    ],
)  # fmt: skip
def test_rows_of_public_sets(row, learned, tmp_path):
    (trace,), _ = load(write(tmp_path / "t.jsonl", [row]))
    assert trace.completion("direct") == learned


def test_thinking_stands_apart_or_within_the_response(tmp_path):
    within = {**BOXED, "teacher_solution": f"{THINK_OPEN}\nSeven sixes.\n</think>\nSo $\\boxed{{42}}$"}
    (apart, inside), _ = load(write(tmp_path / "t.jsonl", [{**BOXED, "thinking": "Seven sixes."}, within]))
    assert apart.thinking == inside.thinking == "Seven sixes."
    assert inside.completion("think") == f"{THINK_OPEN}\nSeven sixes.\n</think>\nSo $\\boxed{{42}}$"


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("think\nSteps.\n\n```python\nx\n```", "Steps.", "```python\nx\n```"),
        ("Think:\nSteps.\n/think\n```python\nx\n```", "Steps.", "```python\nx\n```"),
        ("<think>Steps.</think>\n```\nx\n```", "Steps.", "\n```\nx\n```"),
        ("Steps.</think>\\boxed{1}", "Steps.", "\\boxed{1}"),
        ("<think>Steps", "", ""),
        ("thinking is hard\n```\nx\n```", "", "thinking is hard\n```\nx\n```"),
        ("think\nno program", "", "think\nno program"),
    ],
)
def test_thinking_is_told_from_the_answer(text, thinking, answer):
    assert split_response(text) == (thinking, answer)


# --- what our own jobs write


def test_rows_of_undo_are_learned_from(tmp_path):
    questions = QuestionsConfig(families=("word_problems", "reverse_string"), difficulties=(1,))
    stream, examples = ProblemStream(questions, "train"), {}
    for index in range(20):
        problem = stream.problem(index)
        right = families.get(problem.family).solutions(problem).correct[0]
        text = f"{THINK_OPEN}\nSo it is.\n</think>\n{completion_text(right, kind=problem.kind)}"
        examples[problem.family] = Example(index, problem, Trace(text, "none", 0), "", None)
    run = tmp_path / "run"
    for number in (0, 9, 10):
        write_dataset(run / "dataset" / f"iteration-{number}", number, list(examples.values()))
    (run / "config.yaml").write_text("{}")
    traces, report = load(run)
    assert {trace.problem.family for trace in traces} == set(examples) and report.rows == 2
    assert all(trace.thinking == "So it is." for trace in traces)
    assert load(run / "dataset" / "iteration-9" / "train.jsonl")[0] == traces
    assert next(row.file for row in rows_of([str(run)], TraceDataConfig())).endswith("iteration-10/train.parquet")


def own_rows(count=3):
    problem = ProblemStream(QuestionsConfig(families=("reverse_string",), difficulties=(1,)), "train").problem(0)
    codes = families.get("reverse_string").solutions(problem).correct[:count]
    reply = Reply("k", "", "stop", "t", Usage())
    rows = [trace_row(problem, n, 0, reply, Verdict(Status.PASSED, 1, 1, 1)) for n in range(len(codes))]
    return [{**row, "code": code, "thinking": "so"} for row, code in zip(rows, codes, strict=True)]


def test_own_traces_are_judged_again(tmp_path):
    rows = own_rows()
    wrong = {**rows[0], "code": "def f(text):\n    return text"}
    late = {**rows[1], "verified": False}
    path = write(tmp_path / "t.jsonl", [rows[0], wrong, late, rows[0]])
    traces, report = load(path)
    assert [trace.code for trace in traces] == [rows[0]["code"], rows[1]["code"]]
    assert (report.failed, report.claimed, report.repeats) == (1, 1, 1)
    write_traces(tmp_path, "w", [rows[0], late])
    assert [trace.code for trace in written_traces(tmp_path / "w.parquet")] == [rows[0]["code"]]


def test_files_that_are_no_traces_are_refused_with_the_row(tmp_path):
    good, path = own_rows(1)[0], tmp_path / "t.jsonl"

    def refuses(text, says, **config):
        path.write_text(text)
        with pytest.raises(TracesError, match=says) as refused:
            load(path, **config)
        assert "\n" not in str(refused.value)

    refuses('{"problem_type": "x", "code": "y"}\n', "t.jsonl:1: fits no mapping; its columns are problem_type, code")
    refuses('{"code": "y"}\n', "t.jsonl:1: there is no column 'problem' with a whole problem", mapping="own")
    refuses(json.dumps(good) + "\nnot json\n", "t.jsonl:2: .*data.strict stops here", strict=True)
    refuses("not json\n", "t.jsonl:1: ")
    refuses("", "holds no traces")
    refuses(json.dumps({**good, "problem": "{}"}) + "\n", "t.jsonl:1: its problem cannot be read")
    refuses(json.dumps({**good, "code": 1}) + "\n", "column 'code' holds no text")
    refuses(
        json.dumps({**TESTED, "solution_code": "x" * (2**20 + 1)}) + "\n", "'solution_code|code' has 1,048,577 char"
    )
    refuses(json.dumps({**TESTED, "test_cases": [{"input": [1, 2, 3]}]}) + "\n", "has none of outputs.*functions")
    refuses(json.dumps({**BOXED, "teacher_solution": "so 42"}) + "\n", "no .boxed answer", mapping="boxed")
    with pytest.raises(TracesError, match=r"there are no traces at .*none; correct the path, or write hub:OWNER/NAME"):
        load(tmp_path / "none")
    with pytest.raises(TracesError, match="there are no traces to learn from"):
        load()
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(TracesError, match="is a run folder and holds no traces"):
        load(tmp_path)


# --- several files, order and limit


def test_several_files_folders_and_formats_are_one_set(tmp_path):
    rows = [{**BOXED, "problem": f"What is 6 times 7, {n}?"} for n in range(6)]
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "a.json").write_text(json.dumps(rows[:2]))
    pq.write_table(pa.Table.from_pylist(rows[2:4]), tmp_path / "folder" / "deep" / "b.parquet")
    places = (write(tmp_path / "c.jsonl", [rows[4], rows[0], TESTED]), tmp_path / "folder")
    traces, report = load(*places)
    assert len(traces) == 6 and report.repeats == 1 and traces[2].problem.kind == "function"
    shuffled = [load(*places, shuffle=seed)[0] for seed in (1, 1, 2)]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert sorted(t.problem.id for t in shuffled[0]) == sorted(t.problem.id for t in traces)
    few, _ = load(*places, shuffle=1, limit=2)
    assert few == shuffled[0][:2]


def test_a_data_set_of_the_hub_is_read_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "OWNER" / "NAME").mkdir(parents=True)
    write(tmp_path / "OWNER" / "NAME" / "train.jsonl", [BOXED])
    (trace,), report = load("hub:OWNER/NAME")
    assert trace.code == "42" and report.rows == 1
    with pytest.raises(TracesError, match="cannot read OWNER/NAME from the hub"):
        load("hub:OWNER/NAME", hub_split="nothing")


def test_a_mapping_of_one_s_own_is_a_file(tmp_path):
    (tmp_path / "m.yaml").write_text(
        'name: mine\nstatement: "{q}"\nanswer: {column: a}\ntrace: {response: w}\nwhere: {lang: en}\n'
    )
    rows = [{"q": "6 * 7?", "a": 42, "w": "It is \\boxed{42}", "lang": lang} for lang in ("en", "de")]
    (trace,), report = load(write(tmp_path / "t.jsonl", rows), mapping=str(tmp_path / "m.yaml"))
    assert trace.problem.family == "mine" and report.passed_over == 1
    (tmp_path / "n.yaml").write_text('name: mine\nstatement: "{q}"\nanswer: {column: a}\n')
    with pytest.raises(TracesError, match="says nothing of worked answers; give it a `trace`"):
        load(tmp_path / "t.jsonl", mapping=str(tmp_path / "n.yaml"))
    with pytest.raises(TracesError, match=r"data.mapping: no mapping is called 'unknown'"):
        load(tmp_path / "t.jsonl", mapping="unknown")


# --- strangers


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    | st.sampled_from(["{}", "[" * 3000, "\\boxed{", "\\boxed{1}", "<think>", "think\n```", CLAMP, "\ud800", "#### 1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
NAMES = sorted(
    {name for keys in (TESTED, BOXED) for name in keys}
    | {"problem_row", "code", "response", "raw_response", "messages", "conversations", "question", "answer", "text"}
    | {"solution", "test_list", "test", "prompt", "entry_point", "canonical_solution", "finish_reason"}
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([{}, TESTED, BOXED]), st.dictionaries(st.sampled_from(NAMES), CELLS, max_size=6))
@example({}, {"problem": '{"id": 1, "hidden_tests": "[]"}', "code": "x", "thinking": ""})
def test_any_row_is_a_candidate_or_a_reason_in_one_line(base, cells):
    try:
        found = Reader(TraceDataConfig(trust=True)).read(Row({**base, **cells}, "f", 1))
    except NotATrace as error:
        assert str(error).startswith("f:1: ") and "\n" not in str(error) and len(str(error)) < 20_000
        return
    assert isinstance(found, Candidate) and isinstance(found.trace.completion("think"), str)


def test_hostile_rows_of_our_own_layout_are_reasons(tmp_path):
    good = own_rows(1)[0]
    problem = json.loads(good["problem"])
    changed = [{**problem, key: value} for key in problem for value in (None, 7, [], {"a": 1}, "[" * 5000)]
    rows = [{**good, "problem": json.dumps(values), "thinking": str(n)} for n, values in enumerate(changed)]
    traces, report = load(write(tmp_path / "t.jsonl", [*rows, good]))
    assert traces and traces[-1].code == good["code"] and report.rows == len(rows) + 1
    assert all("\n" not in reason for reason in report.reasons) and report.excluded > len(changed) // 2


def test_nothing_of_a_row_runs_outside_the_sandbox(tmp_path):
    """Neither what a program does, nor code that hides in a signature, a statement or a pickle."""
    made = tmp_path / "made"
    evil = f"open({str(made)!r}, 'w').write('x')"
    rows = [
        {**TESTED, "solution_code": f"{evil}\n{CLAMP}"},
        {**TESTED, "function_signature": f"def clamp(value, low={evil}, high=0):"},
        {**TESTED, "problem_description": "{{ self.__init__.__globals__ }}{% for x in y %}"},
        {**BOXED, "gt": f"__import__('os').system('touch {made}')"},
    ]
    load(write(tmp_path / "t.jsonl", [*rows, BOXED]))
    assert not made.exists()


def test_every_mapping_that_is_tried_says_where_worked_answers_are():
    assert all(mapping.load(name).trace is not None for name in TRIED)


@pytest.mark.parametrize(
    ("name", "of_a_run", "of_data"),
    [
        ("config.yaml", True, False),
        ("traces.parquet", True, True),
        ("dataset/iteration-2/train.parquet", True, True),
        ("iterations/1/solutions.parquet", True, True),
        ("attempts.jsonl", False, True),
        ("samples/step-000001.parquet", False, True),
        ("checkpoints/000001/checkpoint.json", False, True),
        ("log.txt", False, False),
    ],
)
def test_of_a_stored_run_only_what_is_learned_from_is_brought(name, of_a_run, of_data):
    assert (is_of_use(name, is_run=True), is_of_use(name, is_run=False)) == (of_a_run, of_data)


@pytest.mark.timeout(120)
def test_what_is_said_of_a_file_of_a_store_names_its_place_there(tmp_path, monkeypatch):
    with s3_server(tmp_path) as reach:
        for name, value in reach.items():
            monkeypatch.setenv(name, value)
        there = Storage("s3://bucket/data")
        there.write("more/rows.jsonl", json.dumps(BOXED).encode() + b"\n{broken\n")
        there.write("pointer.jsonl", b"version https://git-lfs.github.com/spec/v1\n")
        for place in ("s3://bucket/data/more", "s3://bucket/data/more/", "s3://bucket/data/more/rows.jsonl"):
            rows = list(rows_of([place], TraceDataConfig()))
            assert [row.place for row in rows] == [f"s3://bucket/data/more/rows.jsonl:{n}" for n in (1, 2)]
            assert rows[1].error
        with pytest.raises(TracesError, match=r"^s3://bucket/data/pointer\.jsonl: is Git LFS"):
            list(rows_of(["s3://bucket/data/pointer.jsonl"], TraceDataConfig()))
        with pytest.raises(TracesError, match="there are no traces at s3://bucket/data/none"):
            list(rows_of(["s3://bucket/data/none"], TraceDataConfig()))
