"""From a row or a family to a verdict: what is asked, answered as the prompt says, is judged by the sandbox itself."""

import pytest
from problems_helpers import FILES, FIXTURES

from problems import families, mapping
from problems.cli import main
from problems.problem import Problem, Status
from problems.reference_check import passes
from problems.sources import Report, SourceConfig, read
from problems.validate import problem_of
from rollout.prompts import PromptConfig, completion_text, message
from verify.pool import Judge

PROGRAMS = {
    ("livecodebench", "stdin"): "n = int(input())\nprint(sum(int(x) ** 2 for x in input().split()[:n]))",
    ("livecodebench", "function"): "class Solution:\n    def clampAll(self, nums, low, high):\n"
    "        return [min(max(x, low), high) for x in nums]",
    ("functions", "function"): "def halve(n):\n    return n // 2",
}
"""Programs for layouts that ship none."""
WRONG_CODE = {
    "humaneval": "def shift(values, k):\n    return values\n\ndef double(x):\n    return x",
    "mbpp": "def vowels(word):\n    return len(word)\n\ndef hypotenuse(a, b):\n    return a + b",
    "mbpp_sanitized": "def dashed(words):\n    return '-'",
    "livecodebench": "def clampAll(nums, low, high):\n    return nums",
    "functions": "def halve(n):\n    return n",
}


@pytest.fixture(scope="module")
def judge():
    with Judge() as judge:
        yield judge


def load(name: str, judge: Judge) -> tuple[list[tuple[Problem, str]], Report]:
    """The data set's problems with their gold answers, each proven as a job proves it."""
    golds, report = {}, Report()

    def prove(problem: Problem, gold: str) -> str:
        golds[problem.id] = gold or PROGRAMS[name, problem.kind]
        return str(judge.judge(problem, completion_text(golds[problem.id], kind=problem.kind)).detail)

    config = SourceConfig(mapping=name, path=str(FIXTURES / FILES[name]), strict=True)
    return [(p, golds[p.id]) for p in read(config, report, prove)], report


@pytest.mark.parametrize("name", mapping.names())
@pytest.mark.parametrize("style", ["direct", "think"])
def test_every_layout_is_asked_answered_and_judged(name, style, judge):
    problems, report = load(name, judge)
    assert problems and not report.excluded
    for problem, gold in problems:
        text = message(problem, PromptConfig(style=style))
        assert text.startswith(problem.statement) and text.count("<think>") == (style == "think")
        assert ("\\boxed{" in text.splitlines()[-1]) is (problem.kind == "answer")
        thought = "It may be \\boxed{0} or\n```python\nprint(0)\n```" if style == "think" else ""
        right = completion_text(gold, style, thought, problem.kind)
        assert judge.judge(problem, right).status is Status.PASSED, (problem.id, right)
        letter = "B" if gold == "A" else "A"
        wrong = WRONG_CODE[name] if problem.kind != "answer" else letter if problem.checker == "choice" else "31337"
        verdict = judge.judge(problem, completion_text(wrong, style, thought, problem.kind))
        assert verdict.status in (Status.WRONG_ANSWER, Status.EXCEPTION), (problem.id, verdict)
        if problem.kind == "answer":
            assert judge.judge(problem, "I do not know.").status in (Status.UNPARSED, Status.WRONG_ANSWER)


@pytest.mark.parametrize(
    ("checker", "gold", "right", "wrong"),
    [
        ("math", "\\frac{1}{2}", ["0.5", "\\dfrac12", "\\boxed{1/2}"], ["2", "\\frac{1}{3}", "50"]),
        ("math", "1,550", ["1550", "$1550$"], ["1", "550"]),
        ("math", "\\{1, 2\\}", ["\\{2,1\\}"], ["(2,1)", "\\{1\\}"]),
        ("choice", "C", ["C", "(C)", "\\text{C}"], ["B", "A common mistake"]),
        ("yes_no", "YES", ["yes", "Yes."], ["NO", "maybe"]),
        ("float:1e-3", "3.7", ["3.7", "3.7001"], ["3.2", "3"]),
    ],
)
def test_answers_are_read_by_the_checker_that_the_problem_names(checker, gold, right, wrong, judge, tmp_path):
    (tmp_path / "m.yaml").write_text(f'name: m\nchecker: "{checker}"\nstatement: "{{q}}"\nanswer: {{column: a}}\n')
    quoted = gold.replace("\\", "\\\\")
    (tmp_path / "d.jsonl").write_text(f'{{"q": "What?", "a": "{quoted}"}}\n')
    (problem,) = read(SourceConfig(mapping=str(tmp_path / "m.yaml"), path=str(tmp_path / "d.jsonl"), strict=True))
    assert [judge.judge(problem, f"So it is \\boxed{{{a}}}.").passed for a in right] == [True] * len(right)
    assert [judge.judge(problem, f"So it is \\boxed{{{a}}}.").passed for a in wrong] == [False] * len(wrong)


@pytest.mark.parametrize("name", (*families.names(), *families.contracts()))
def test_the_sandbox_agrees_with_the_families_own_proof(name, judge):
    for difficulty in (2, 9):
        problem = problem_of(families.get(name), difficulty, seed=3)
        found = families.get(name).solutions(problem)
        for code in (*found.correct, *(w.code for w in found.mutants)):
            verdict = judge.judge(problem, completion_text(code, kind=problem.kind))
            assert verdict.passed is passes(problem, code), (problem.id, verdict, code)


def test_a_reference_program_that_fails_its_tests_is_named_by_the_command(tmp_path, capsys):
    from pipelines.measure.problem_set import main as problems_command

    text = (FIXTURES / "mbpp.jsonl").read_text().replace("== 0", "== 1", 1)
    (tmp_path / "mbpp.jsonl").write_text(text)
    path = str(tmp_path / "mbpp.jsonl")
    assert problems_command(["load", "mbpp", "--path", path]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "mbpp.jsonl:1: the gold answer fails its own check" in printed and "1 problems, 1 rows excluded" in printed
    assert problems_command(["load", "mbpp", "--path", path, "--strict"]) == 2
    assert "strict mode stops here" in capsys.readouterr().err
    assert main(["load", "mbpp", "--path", path]) == 0  # by form alone nothing speaks against it
    assert "2 problems, 0 rows excluded" in " ".join(capsys.readouterr().out.split())
