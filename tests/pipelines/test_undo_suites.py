"""UNDO on data sets in others' layouts: suites measured at each iteration, and hints that show worked solutions."""

from __future__ import annotations

import io
import json

import pytest
from pages import figures_of
from rich.console import Console
from servers import Front
from undo_scripted import ScriptedStudent, ScriptedTeacher, config, start

from pipelines.errors import ConfigError
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.job import conditions_of, distinct
from pipelines.jobs.undo.prompts import has_hint, hint_text, worked_hints
from pipelines.jobs.undo.report import parts as report_parts
from pipelines.jobs.undo.suites import Suites
from problems.problem import Problem, Test
from problems.sources import SourceConfig, read
from problems.worked_answers import worked_answers
from verify.config import VerifyConfig
from verify.pool import Judge


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def numina(n, wrong=0):
    solution = f"First add the units of both numbers, then the tens.\nThis gives $\\boxed{{{2 * n + wrong}}}$."
    return {"problem": f"What is {n} + {n}?", "solution": solution, "source": "synthetic_math", "messages": []}


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "numina.jsonl", [numina(n) for n in range(2000, 2120)])


@pytest.fixture
def suites(tmp_path):
    """The four layouts; MATH-500 asks one question that the training data ask too."""
    math = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "level": 2, "unique_id": f"t/{n}", "subject": "A",
             "solution": ""} for n in (2003, 7, 8)]  # fmt: skip
    gsm = [{"question": f"Ann has {n} apples and buys one. How many?", "answer": f"{n} + 1\n#### {n + 1}"}
           for n in range(4)]  # fmt: skip
    mmlu = [{"question_id": n, "question": f"What is {n} + 1?", "options": [str(n), str(n + 1), "0.5"], "answer": "B",
             "answer_index": 1, "category": "math"} for n in range(3)]  # fmt: skip
    svamp = [{"ID": f"c-{n}", "Body": f"Tom has {n} nuts.", "Question": "How many in two bags?",
              "Answer": f"{2 * n}.0"} for n in range(2, 5)]  # fmt: skip
    rows = {"math500": math, "gsm8k": gsm, "mmlu_pro_math": mmlu, "svamp": svamp}
    return tuple(f"{name}={write(tmp_path / f'{name}.jsonl', found)}" for name, found in rows.items())


def settings(url, tmp_path, data, suites, **more):
    part = {"source": {"mapping": "numina_math_cot", "path": data, "split": "by_hash"}}
    given = {"val_problems": 4, "test_problems": 4, "problems": {"parts": [part]}, "suites": suites, "iterations": 3}
    return config(url, tmp_path, **{**given, **more})


def run(tmp_path, data, suites, **more):
    first, student = settings("", tmp_path, data, suites, **more), ScriptedStudent()
    with Front(reply=ScriptedTeacher(first)) as front:
        results = start(settings(front.url, tmp_path, data, suites, **more), student)
    return results, student, front


def test_every_iteration_is_measured_on_every_suite(tmp_path, data, suites):
    results, student, _ = run(tmp_path, data, suites)
    found = results["suites"]
    assert found["problems"] == {"math500": 3, "gsm8k": 4, "mmlu_pro_math": 3, "svamp": 3}
    assert list(found["iterations"]) == ["base", "iteration-0", "iteration-1", "iteration-2"], "that which fell as well"
    assert all(list(row) == list(found["problems"]) for row in found["iterations"].values())
    assert found["iterations"]["base"]["gsm8k"]["value"] == 0
    assert [name for name in student.asked if name.endswith("-suites")] == [
        "base-suites", "iteration-0-suites", "iteration-1-suites", "iteration-2-suites",
    ]  # fmt: skip
    compared = {(row["suite"], row["before"], row["after"]) for row in found["comparisons"]}
    assert ("svamp", "base", "iteration-1") in compared and len(compared) == 8
    console = Console(width=200, record=True, file=io.StringIO())
    for part in report_parts(results):
        console.print(part)
    text = console.export_text()
    row = next(line for line in text.splitlines() if "iteration-1, kept" in line)
    assert "svamp (3)" in text and row.count("[") == 4, "an interval each"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "mmlu_pro_math (3)" in page and len(figures_of(page)["suites"]["data"]) == 4


@pytest.mark.parametrize("test_problems", [4, 0])
def test_a_condition_names_a_suite(tmp_path, data, suites, test_problems):
    required = ("gsm8k >= 0", "before svamp > 1", "every family >= 0")
    results, _, _ = run(tmp_path, data, suites, require=required, test_problems=test_problems, iterations=1)
    found = {one["condition"]: one["value"] for one in results["conditions"]}
    own = ["numina_math_cot >= 0"] if test_problems else []
    assert set(found) == {"before svamp > 1", *own, *(f"{name} >= 0" for name in results["suites"]["problems"])}
    measured = results["suites"]["iterations"][results["best"]]
    assert 0 < found["gsm8k >= 0"] == pytest.approx(100 * measured["gsm8k"]["value"])
    assert not any(one["met"] for one in results["conditions"] if one["condition"].startswith("before"))


def test_a_suite_that_is_not_asked_is_in_no_condition(tmp_path, data, suites):
    asked = settings("", tmp_path, data, suites, require=("aime24 > 1",), test_problems=0)
    with pytest.raises(ConfigError, match="none of the 13 problems is of aime24; there are gsm8k, math500"):
        conditions_of(asked, [], Suites(asked))


def test_suites_may_be_all_that_is_measured(tmp_path, data, suites):
    results, student, _ = run(tmp_path, data, suites, test_problems=0, suite_limit=2, iterations=1)
    assert results["test"] == {} and results["comparisons"] == []
    assert set(results["suites"]["problems"].values()) == {2}
    assert not any(name.endswith("-test") for name in student.asked)
    assert "pass@1 on the suites" in (tmp_path / "run" / "report.html").read_text()


def test_what_a_suite_asks_is_neither_taught_nor_chosen_by(tmp_path, data, suites):
    asked = settings("", tmp_path, data, suites)
    read_suites = Suites(asked)
    every = {p.statement: p for split in ("train", "val") for n in (1,) for p in distinct(asked, split, n)}
    assert every and read_suites.size == 13
    found = [p for split, n in (("train", 80), ("val", 4)) for p in distinct(asked, split, n, read_suites)]
    assert not any("2003" in p.statement for p in found) and not any(read_suites.asks(p) for p in found)
    whole = len(distinct(asked, "train", 80))
    assert whole == 80, "and what is left out is replaced"


# --- worked solutions as hints


def test_the_worked_solutions_of_chosen_problems_are_read_again(tmp_path):
    path = write(tmp_path / "n.jsonl", [numina(1), {"problem": "x"}, numina(2), numina(3)])
    source = SourceConfig(mapping="numina_math_cot", path=path, prove=False)
    problems = list(read(source))
    found = worked_answers([source], {problems[0].id, problems[2].id, "numina_math_cot-none"})
    assert set(found) == {problems[0].id, problems[2].id} and "units of both numbers" in found[problems[0].id]
    assert worked_answers([source], set()) == {}


def problem(gold, id="p"):
    return Problem(
        id=id, family="f", family_version=1, difficulty=1, split="train", statement="?", entry_point="", signature="",
        public_examples=(), hidden_tests=(Test((), gold),), checker="math", kind="answer",
    )  # fmt: skip


def test_a_solution_that_is_wrong_or_says_nothing_is_no_hint():
    asked = [problem("12", "good"), problem("12", "wrong"), problem("12", "alone"), problem("12", "open")]
    worked = {
        "good": "Six pairs of shoes.\nSo $\\boxed{12}$.", "wrong": "Six pairs of shoes, so $\\boxed{13}$.",
        "alone": "$\\boxed{12}$", "open": "There are 6 pairs, and 6 * 2 = 12 shoes.",
    }  # fmt: skip
    with Judge(VerifyConfig()) as judge:
        found = worked_hints(judge, asked, worked)
    assert set(found) == {"good", "open"}
    assert has_hint(asked[0], "solution", found["good"]) and not has_hint(asked[0], "solution")
    text = hint_text(asked[0], "solution", found["good"])
    assert "Six pairs" in text and "answer is 12" in text


def test_the_cascade_ends_with_the_data_set_s_own_solution(tmp_path, data, suites):
    results, _, front = run(tmp_path, data, suites, iterations=0)
    first = results["iterations"][0]
    assert set(first["solved_with"]) == {"none", "answer", "solution"} and first["dropped"] == 1
    texts = [body["messages"][0]["content"] for body in front.asked()]
    with_solution = [text for text in texts if "units of both numbers" in text]
    assert len(with_solution) == 1, "the one that neither alone nor with its answer was solved"
    assert "The final answer is" not in with_solution[0] and "whose final answer is" in with_solution[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"suite_limit": 3}, "suite_limit has no effect without suites"),
        ({"test_problems": 0}, "leaves nothing to measure"),
        ({"suites": ("boxed=a", "boxed=b")}, "name boxed twice"),
    ],
)
def test_suites_that_cannot_be_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        UndoConfig.model_validate(given)


def test_a_suite_that_is_not_there_is_named(tmp_path, data):
    with pytest.raises(ConfigError, match="no mapping is called 'maths500'"):
        Suites(settings("", tmp_path, data, ("maths500=x.jsonl",)))
