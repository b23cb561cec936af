"""Tests of programs as inputs with their outputs, in every spelling, and the files of other systems."""

import base64
import json
import re

import pytest
from problems_helpers import MATHS, gold, load_hub, passes, script_set
from shared_folder import MISSING, shared_folder

from problems.rows import SourceError
from problems.sources import SourceConfig, read

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
        pytest.skip(MISSING.format("cases"))
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


@pytest.mark.parametrize(("show", "shown", "hidden"), [(None, 1, 4), (0, 0, 5), (3, 3, 2), (9, 4, 1)])
def test_examples_are_shown_or_hidden_by_option(show, shown, hidden):
    path = str(formats("problems_list.json"))
    first = next(read(SourceConfig(mapping="functions", path=path, show=show)))
    assert (len(first.public_examples), len(first.hidden_tests)) == (shown, hidden)
    with pytest.raises(SourceError, match="show 2 has no effect: mapping boxed"):
        list(read(SourceConfig(mapping="boxed", path=path, show=2)))
    with pytest.raises(ValueError, match="show 2 has no effect on problems of our own"):
        SourceConfig(path=path, show=2)


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
