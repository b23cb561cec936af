"""Rows whose tests are code: what a prompt defines is the problem's, and what nothing tests is refused."""

import json

import pytest
from shared_folder import cases

from pipelines.measure.problem_set import SandboxProof
from problems.benchmark_formats import preamble
from problems.problem import Problem
from problems.sources import Report, SourceConfig, read
from verify.config import VerifyConfig
from verify.pool import Judge

OF_PROGRAMS = ("humaneval", "mbpp")


@pytest.fixture(scope="module")
def prove():
    with SandboxProof(VerifyConfig(cpu_seconds=1.0)) as prove:
        yield prove


def load(rows, mapping, folder, prove):
    """The problems of rows, each proven in the sandbox, and what became of the others."""
    path, report = folder / "rows.jsonl", Report()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read(SourceConfig(mapping=mapping, path=str(path)), report, prove)), report


@pytest.mark.parametrize("case", cases("datasets", lambda case: case.get("mapping") in OF_PROGRAMS))
def test_given_rows(case, prove, tmp_path):
    problems, report = load(case["rows"], case["mapping"], tmp_path, prove)
    assert len(problems) == 1, report.reasons
    if "completion" in case:
        with Judge(VerifyConfig()) as judge:
            verdict = judge.judge(problems[0], case["completion"])
        assert verdict.passed is (case["expected"] == "passed"), verdict


def mbpp(code, *tests, setup=""):
    return {
        "task_id": abs(hash((code, tests))), "text": f"Do as {tests} say.", "code": code, "test_list": list(tests),
        "test_setup_code": setup, "challenge_test_list": [],
    }  # fmt: skip


NODE = "class Node:\n    def __init__(self, v):\n        self.v = v\n        self.left = self.right = None\n"
KEPT = {
    "objects": mbpp(
        "class Pair(object):\n    def __init__(self, a, b):\n        self.a = a\n        self.b = b\n"
        "def longest(pairs, n):\n    return max(p.b - p.a for p in pairs[:n])\n",
        "assert longest([Pair(5, 24), Pair(15, 25)], 2) == 19",
        "assert longest([Pair(1, 2)], 1) == 1",
    ),
    "a tree built by the set-up": mbpp(
        NODE + "def depth(n):\n    return 0 if n is None else 1 + max(depth(n.left), depth(n.right))",
        "assert depth(root) == 2",
        "assert depth(root.left) == 1",
        setup="root = Node(1)\nroot.left = Node(2)\n",
    ),
    "complex numbers": mbpp(
        "import cmath\ndef polar(r, a):\n    return cmath.polar(r), cmath.rect(2, a)",
        "assert polar(3, 0)[1] == 2 + 0j",
        "assert polar(4, 0) == ((4.0, 0.0), (2 + 0j))",
    ),
    "a lazy answer": mbpp(
        "def squares(xs):\n    return map(lambda x: x * x, xs)",
        "assert list(squares([1, 2])) == [1, 4]",
        "assert list(squares([3])) == [9]",
    ),
    "a change in place": mbpp(
        "def double(xs):\n    for i, x in enumerate(xs):\n        xs[i] = 2 * x",
        "xs = [1]\ndouble(xs)\nassert xs == [2]",
        "xs = [1, 3]\ndouble(xs)\nassert xs == [2, 6]",
    ),
    "a function": mbpp(
        "def adder(n):\n    return lambda x: x + n", "assert adder(2)(3) == 5", "assert adder(0)(3) == 3"
    ),
    "numpy in the set-up": mbpp(
        "def half(xs):\n    return [x / 2 for x in xs]",
        "assert np.allclose(half([1]), [0.5])",
        "assert np.allclose(half([2, 3]), [1, 1.5])",
        setup="import numpy as np",
    ),
    "tests in functions": mbpp(
        "def inc(x):\n    return x + 1", "assert inc(1) == 2", "def test_it():\n    assert inc(2) == 3"
    ),
}
LEFT_OUT = {
    "nothing asserted": (mbpp("def f(x):\n    return 1", "assert f(1) == 1", "f(2)"), "returns None"),
    "only that it may fail": (
        mbpp("def f(x):\n    return 1", "assert f(1) == 1", "try:\n    f(2)\nexcept Exception:\n    pass"),
        "defines nothing",
    ),
    "no call": (
        mbpp("def f(x):\n    return 1", "assert f(1) == 1", "def helper():\n    assert f(2) == 1"),
        "never calls the solution",
    ),
    "compared with itself": (
        mbpp("def f(x):\n    return 1", "assert f(1) == 1", "assert f(2) == f(3)"),
        "returns None",
    ),
    "endless": (mbpp("def f(x):\n    return 1", "assert f(1) == 1", "while True:\n    pass\nf(1)"), "test code itself"),
}


@pytest.mark.parametrize("row", KEPT)
def test_rows_with_right_programs_are_kept(row, prove, tmp_path):
    problems, report = load([KEPT[row]], "mbpp", tmp_path, prove)
    assert len(problems) == 1, report.reasons


@pytest.mark.parametrize("row", LEFT_OUT)
def test_rows_whose_tests_score_nothing_are_named_and_counted(row, prove, tmp_path):
    values, reason = LEFT_OUT[row]
    problems, report = load([values, KEPT["objects"]], "mbpp", tmp_path, prove)
    assert len(problems) == 1 and report.excluded == 1
    assert report.reasons[0].startswith(f"{tmp_path}/rows.jsonl:1: ") and reason in report.reasons[0]


PROMPT = (
    "import math\nfrom typing import List\n\nBASE = 3\n\n\nclass Box:\n    size = 1\n\n\n"
    'def helper(x):\n    """Shown."""\n'
    '    return x + BASE\n\n\ndef stub(x):\n    """To be written."""\n\n\ndef asked(x: List[int]):\n    """Asked."""\n'
)


def test_the_preamble_is_what_the_prompt_defines_beside_the_function_asked_for():
    shown = preamble(PROMPT, "asked")
    names = {}
    exec(shown, names)
    assert names["helper"](1) == 4 and names["Box"].size == 1 and {"math", "List", "BASE"} <= names.keys()
    assert "asked" not in names and "stub" not in names
    assert preamble("def asked(x):\n", "asked") == "" and preamble("import os\ndef asked(x):", "asked") == "import os"
    assert preamble("Write a function asked(x) that", "asked") == ""


def test_problems_with_a_preamble_go_there_and_back():
    row = {"task_id": "T/1", "prompt": PROMPT, "canonical_solution": "    return 1\n", "entry_point": "asked"}
    row["test"] = "def check(candidate):\n    assert candidate([]) == helper(-2)\n"
    from problems import mapping
    from problems.rows import Row

    problem, _ = mapping.to_problem(mapping.load("humaneval"), Row(row, "rows.jsonl", 1), "test")
    assert Problem.from_row(problem.to_row()) == problem
    old = {name: value for name, value in problem.to_row().items() if name != "preamble"}
    assert Problem.from_row(old).preamble == ""
