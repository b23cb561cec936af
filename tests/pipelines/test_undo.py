"""UNDO: real SDK, ledger, sandbox and hub client against scripted servers; the student is scripted too."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pages import figures_of
from rich.console import Console
from servers import Front, busy
from undo_scripted import ScriptedStudent, ScriptedTeacher, config, shown, start

from pipelines.artifacts.plain_files import read_rows
from pipelines.errors import ConfigError
from pipelines.job import Context
from pipelines.jobs.evaluate import Evaluation
from pipelines.jobs.package_job import Outcome
from pipelines.jobs.undo import JOB
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.dataset import DATASET_SCHEMA
from pipelines.jobs.undo.job import distinct, has_fallen, run
from pipelines.jobs.undo.prompts import Mistake, hint_text, read_grade, rework, training_completion
from pipelines.measure.conditions import UNMET
from problems.config import ProblemsConfig
from problems.problem import Group, Status, Verdict
from problems.stream import ProblemStream
from rollout.teacher.request_cache import TeacherStopped

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


def problem(family):
    return ProblemStream(ProblemsConfig(families=(family,), difficulties=(1,)), "train").problem(0)


def artefacts(folder):
    results = json.loads((folder / "results.json").read_text())
    results.pop("cost")
    data = {path.parent.name: path.read_text() for path in sorted(folder.glob("dataset/*/train.jsonl"))}
    attempts = read_rows(folder / "attempts.jsonl")
    # A request's key is of the server's address too, which differs between two servers.
    return results, data, sorted(json.dumps({**row, "request": ""}) for row in attempts)


# --- words


def test_hints_tell_more_and_more():
    word, code = problem("word_problems"), problem("reverse_string")
    assert hint_text(word, "none") == "" == hint_text(code, "none")
    assert word.hidden_tests[0].expected in hint_text(word, "answer")
    assert "A right program gives" in hint_text(code, "answer") and "def " not in hint_text(code, "answer")
    assert f"def {code.entry_point}" in hint_text(code, "solution")


def test_what_is_learnt_of_an_answer():
    word, code = problem("word_problems"), problem("reverse_string")
    assert (
        training_completion(word, "<think>\nhm\n</think>\n2 + 2 = 4\n\\boxed{4}", "direct") == "2 + 2 = 4\n\\boxed{4}"
    )
    program = f"def {code.entry_point}(s):\n    return s[::-1]"
    whole = f"<think>\nturn it\n</think>\nHere:\n```python\n{program}\n```\nThat is all."
    assert training_completion(code, whole, "direct") == f"```python\n{program}\n```"
    assert training_completion(code, whole, "think") == whole


@pytest.mark.parametrize(
    ("text", "want"), [("so \\boxed{5}", 1), ("\\boxed{1}", -1), ("\\boxed{6}", None), ("4", None)]
)
def test_grades(text, want):
    assert read_grade(text) == want


def test_a_rework_shows_both_earlier_answers_and_errors_elsewhere():
    word, other = problem("word_problems"), problem("reverse_string")
    text = rework("Q?", "old answer", Mistake(word, "student's", "wrong answer"), [Mistake(other, "", "")])
    assert text.startswith("Q?") and text.endswith("Answer the first question anew.")
    assert text.index("old answer") < text.index("student's") < text.index("wrong answer") < text.index(other.statement)
    assert "(nothing)" in text


# --- the iterations


def test_iterations_end_when_validation_falls_and_the_best_is_kept(tmp_path):
    settings, student = config("", tmp_path), ScriptedStudent()
    with Front(reply=ScriptedTeacher(settings)) as front:
        settings = config(front.url, tmp_path)
        results = start(settings, student)
        asked = front.asked()
    assert results["stopped"] == "validation fell in iteration-2" and results["best"] == "iteration-1"
    first, second, _ = results["iterations"]
    assert first["asked"] == 12 and first["dropped"] == 1
    assert first["solved_with"]["none"] == 8 and sum(first["solved_with"].values()) == 11
    assert first["taught"] == 11 and second["asked"] == 7, "six are still wrong, and one was never solved"
    assert set(results["test"]) == {"base", "iteration-0", "iteration-1"}
    assert [(row["before"], row["after"]) for row in results["comparisons"]] == [
        ("base", "iteration-1"), ("iteration-0", "iteration-1"),
    ]  # fmt: skip
    assert all("mcnemar_p" in row and "low" in row["pass_at_1"] for row in results["comparisons"])
    # Each iteration goes on from the adapter before.
    assert [initial and initial.weights for _, _, initial in student.learnt] == [None, b"0", b"1"]
    texts = [body["messages"][0]["content"] for body in asked]
    anew = [text for text in texts if "Your earlier answer" in text]
    assert anew and all("Half of it" in text and "it is wrong" in text for text in anew)
    val = {p.statement for p in distinct(settings, "val", 8)}
    train = {p.statement for p in distinct(settings, "train", settings.train_problems)}
    assert all(len(shown(text)) == 2 and set(shown(text)) <= train for text in anew)
    assert not any(text.startswith(other) for text in anew for other in shown(text)), "its own error is told above"
    told = json.dumps([body["messages"] for body in asked])
    assert not any(json.dumps(statement)[1:-1] in told for statement in val - train), "validation chooses, unseen"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "plain distillation" in page and "McNemar" in page and "validation fell" in page
    drawn = figures_of(page)
    assert set(drawn) == {"skill", "hints"} and len(drawn["skill"]["data"][0]["x"]) == len(results["iterations"]) + 1


def test_datasets_have_their_columns(tmp_path):
    settings = config("", tmp_path, iterations=1)
    with Front(reply=ScriptedTeacher(settings)) as front:
        start(config(front.url, tmp_path, iterations=1), ScriptedStudent())
    folder = tmp_path / "run" / "dataset" / "iteration-1"
    table = pq.read_table(folder / "train.parquet")
    assert table.schema == DATASET_SCHEMA and table.num_rows == 11
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert [row["idx"] for row in rows] == [n for n in range(12) if n != 3]
    assert {row["hint"] for row in rows} <= {"none", "answer", "solution"} and len({row["hint"] for row in rows}) > 1
    assert {row["written_in"] for row in rows} == {0, 1} and all(row["student_solution"] for row in rows)


def test_two_teachers_share_the_questions_and_each_question_has_its_own_instructions(tmp_path):
    scripted = ScriptedTeacher(config("", tmp_path, iterations=0))

    def reply(body):
        system, text = body.get("system") or body["messages"][:1], body["messages"][-1]["content"]
        asked.append((body["model"], system[0].get("text") or system[0]["content"], text))
        return {**scripted({**body, "system": [{"text": ""}]}), "model": body["model"]}

    asked = []
    with Front(reply=reply) as front:
        others = [{"model": "other", "protocol": "openai", "base_url": front.url}]
        results = start(config(front.url, tmp_path, iterations=0, teacher={"others": others}), ScriptedStudent())
    boxed = {"boxed" in system and "Python block" not in system for _, system, text in asked if "boxed" in text}
    code = {"Python block" in system and "boxed" not in system for _, system, text in asked if "boxed" not in text}
    assert boxed == code == {True} and {model for model, _, _ in asked} == {"scripted", "other"}
    rows = read_rows(tmp_path / "run" / "attempts.jsonl")
    assert {row["teacher"] for row in rows if row["text"]} == {"scripted", "other"}
    assert results["cost"]["teacher"] == "scripted, other" and results["cost"]["requests_paid"] == len(asked)


def test_the_rubric_moves_what_is_written_anew(tmp_path):
    settings = config("", tmp_path, iterations=1)
    more = {"iterations": 1, "scoring": "rubric"}
    with Front(reply=ScriptedTeacher(settings)) as front:
        results = start(config(front.url, tmp_path, **more), ScriptedStudent())
    # Right answers whose reasoning is graded 2 of 5 have .6 - .2 = .4, below .5: all twelve are written anew.
    assert results["iterations"][1]["asked"] == 12
    grades = read_rows(tmp_path / "run" / "grades.jsonl")
    assert len(grades) == 12 and {row["grade"] for row in grades} == {-0.5}


def test_a_fall_that_chance_explains_may_be_gone_through(tmp_path):
    """Six of eight validation problems, then two: an exact paired interval of that still reaches above 0."""
    settings = config("", tmp_path)
    with Front(reply=ScriptedTeacher(settings)) as front:
        results = start(config(front.url, tmp_path, fall="interval"), ScriptedStudent())
    reached = [row["val"]["value"] for row in results["iterations"]]
    assert reached == [0.5, 0.75, 0.25, 1.0][: len(reached)] and len(reached) == 4
    assert results["stopped"] == "all iterations done" and results["best"] == "iteration-3"


class SayingWhichItIs(ScriptedStudent):
    """Its answers name the iteration that it is of."""

    def answer(self, problems, prompt, policy, name):
        found, own = (
            super().answer(problems, prompt, policy, name),
            f"Half of it, by {policy.weights.decode() or 'base'}",
        )
        groups = [replace(g, samples=tuple(replace(sample, text=own) for sample in g.samples)) for g in found.groups]
        return Evaluation(name, tuple(groups))


def test_after_a_fall_the_best_student_s_errors_are_rewritten_and_it_goes_on(tmp_path):
    student = SayingWhichItIs()
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        settings = config(front.url, tmp_path, rollback=True)
        results = start(settings, student)
        asked, whole = front.asked(), artefacts(tmp_path / "run")
        start(settings, SayingWhichItIs(), resume=True)
        assert front.asked() == asked and artefacts(tmp_path / "run") == whole, "a resumed run walks the same way"
    assert results["stopped"] == "all iterations done" and results["best"] == "iteration-3"
    assert [row["from"] for row in results["iterations"]] == ["base", "iteration-0", "iteration-1", "iteration-1"]
    assert [row["accepted"] for row in results["iterations"]] == [True, True, False, True]
    assert [initial and initial.weights for _, _, initial in student.learnt] == [None, b"0", b"1", b"1"]
    texts = [body["messages"][0]["content"] for body in asked if "Your earlier" in body["messages"][0]["content"]]
    shown = [re.search(r"now answers:\nHalf of it, by (\w+)", text)[1] for text in texts]
    assert set(shown) == {"0", "1"} and shown == sorted(shown), "nothing of the student that fell is shown"
    rows = [row for row in read_rows(tmp_path / "run" / "attempts.jsonl") if row["iteration"] in (2, 3)]
    asked_for = [{row["problem"] for row in rows if row["iteration"] == number} for number in (2, 3)]
    assert asked_for[0] == asked_for[1], "both iterations rewrite what the same student gets wrong"
    assert "iteration-2, rolled back" in (tmp_path / "run" / "report.html").read_text()


def test_falls_in_a_row_end_a_run_that_rolls_back(tmp_path):
    class Falling(ScriptedStudent):
        def answer(self, problems, prompt, policy, name):
            return super().answer(problems, prompt, policy and replace(policy, weights=policy.weights and b"2")
                                  if name[:11] in ("iteration-2", "iteration-3") else policy, name)  # fmt: skip

    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        results = start(config(front.url, tmp_path, rollback=True, iterations=9), Falling())
    assert results["stopped"] == "2 iterations in a row were rolled back" and results["best"] == "iteration-1"
    assert [row["accepted"] for row in results["iterations"]] == [True, True, False, False]
    assert set(results["test"]) == {"base", "iteration-0", "iteration-1"}


@pytest.mark.parametrize(("lost", "beyond"), [(0, False), (3, False), (5, False), (6, True), (12, True)])
def test_a_fall_counts_by_its_paired_interval(lost, beyond):
    best, now = (evaluation([False] * n + [True] * (20 - n)) for n in (0, lost))
    assert has_fallen(best, now, "interval") is beyond
    assert has_fallen(best, now, "any") is (lost > 0)
    assert not has_fallen(now, best, "interval") and not has_fallen(now, best, "any")


def evaluation(passed):
    groups = [
        Group(n, 0, replace(problem("word_problems"), id=f"p{n}"), (), (Verdict(status),), (1.0,))
        for n, status in enumerate(Status.PASSED if one else Status.WRONG_ANSWER for one in passed)
    ]
    return Evaluation("val", tuple(groups))


def test_an_untaught_student_that_was_better_is_kept(tmp_path):
    class Spoilt(ScriptedStudent):
        def answer(self, problems, prompt, policy, name):
            return super().answer(problems, prompt, policy, name.replace("-val", "-x") if not policy.weights else name)

        def learn(self, *arguments):
            policy = super().learn(*arguments)
            return type(policy)(policy.run, policy.number, b"2", {})

    class Good(Spoilt):
        def answer(self, problems, prompt, policy, name):
            found = super().answer(problems, prompt, policy, name)
            if policy.weights:
                return found
            passed = [type(g)(g.index, 0, g.problem, g.samples, (_passed(g.verdicts[0]),)) for g in found.groups]
            return type(found)(name, tuple(passed))

    settings = config("", tmp_path)
    with Front(reply=ScriptedTeacher(settings)) as front:
        results = start(config(front.url, tmp_path), Good())
    assert results["best"] == "base" and results["stopped"] == "validation fell in iteration-0"


def _passed(verdict):
    from dataclasses import replace

    from problems.problem import Status

    return replace(verdict, status=Status.PASSED)


def test_refused_requests_are_statuses_and_the_cascade_goes_on(tmp_path):
    settings = config("", tmp_path, iterations=0)
    with Front(reply=ScriptedTeacher(settings)) as front:
        front.script += [None, busy(400, "invalid_request_error")]
        results = start(config(front.url, tmp_path, iterations=0), ScriptedStudent())
    assert results["iterations"][0]["statuses"]["api_error"] == 1
    assert results["iterations"][0]["taught"] == 11


def test_a_spent_budget_loses_nothing(tmp_path):
    settings = config("", tmp_path)
    with Front(reply=ScriptedTeacher(settings)) as front:
        poor = config(front.url, tmp_path, teacher={"budget": 4.0})
        with pytest.raises(TeacherStopped, match="budget"):
            start(poor, ScriptedStudent())
        before = len(front.asked())
        assert before
        start(config(front.url, tmp_path, teacher={"budget": 900.0}), ScriptedStudent(), resume=True)
        bodies = [json.dumps(body) for body in front.asked()]
    assert len(bodies) == len(set(bodies)) > before


@pytest.mark.timeout(240)
def test_a_killed_run_goes_on_without_asking_anything_twice(tmp_path):
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        start(config(front.url, tmp_path / "whole"), ScriptedStudent())
        whole = len(front.asked())
    scripted, reached, answered = ScriptedTeacher(config("", tmp_path)), threading.Event(), []

    def until_the_kill(body):
        if len(answered) == 21 and not reached.is_set():  # in the middle of iteration 1
            reached.set()
            threading.Event().wait(3)
        answered.append(body)
        return scripted(body)

    with Front(reply=until_the_kill) as front:
        script, folder = ROOT / "tests/pipelines/undo_scripted.py", tmp_path / "killed"
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        process = subprocess.Popen(
            [sys.executable, str(script), front.url, str(folder), "{}"], env={**os.environ, "PYTHONPATH": path}
        )
        assert reached.wait(180)
        process.send_signal(signal.SIGKILL)
        process.wait()
        asked = front.asked()
        start(config(front.url, folder), ScriptedStudent(), resume=True)
        resumed = front.asked()[len(asked) :]
    assert not [body for body in resumed if body in asked[:-1]] and len(resumed) == whole - 21
    assert artefacts(tmp_path / "killed" / "run") == artefacts(tmp_path / "whole" / "run")


# --- conditions


def test_conditions_are_checked_on_the_test_problems_of_the_kept_student(tmp_path):
    required = ("overall >= 50", "before overall > 0", "every family >= 0", "easy > 90")
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        results = start(config(front.url, tmp_path, require=required), ScriptedStudent())
        others = config(front.url, tmp_path, require=("overall > 50",))
        again = start(others, ScriptedStudent(), resume=True)
    assert {one["condition"]: (one["value"], one["met"]) for one in results["conditions"]} == {
        "overall >= 50": (50, True), "before overall > 0": (0, False), "easy > 90": (50, False),
        "reverse_string >= 0": (50, True), "word_problems >= 0": (50, True),
    }  # fmt: skip
    assert JOB.show(Console(quiet=True), Outcome("there", results)) == UNMET == 3
    assert [one["condition"] for one in again["conditions"]] == ["overall > 50"], "a finished run is checked again"
    assert JOB.show(Console(quiet=True), Outcome("there", {**results, "conditions": []})) == 0


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("knapsack > 1", "none of the 8 problems is of knapsack; there are reverse_string, word_problems"),
        ("hard > 1", "none of the 8 problems is of hard"),
        ("pass@8 overall > 1", "needs 8 samples a problem, and there is 1: the student answers greedily"),
        ("against overall > 1", "nothing called against is measured here; there is before"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(tmp_path, condition, says):
    context = Context(JOB, config("", tmp_path, require=(condition,)), Console(quiet=True), False, None)
    with context, pytest.raises(ConfigError, match=says):
        run(context)
    assert not list(tmp_path.iterdir())


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hints": ()}, "at least one"),
        ({"hints": ("none", "none")}, "each once"),
        ({"scoring": "rubric"}, "reference teacher"),
        ({"patience": 3}, "patience counts rollbacks, so it has no effect with rollback False"),
        ({"rollback": True, "iterations": 0}, "rollback has no effect with iterations 0"),
        ({"rollback": True, "patience": 1}, "rollback has no effect with patience 1"),
        ({"rollback": True}, "rollback has no effect with the offline reference teacher"),
    ],
)
def test_settings_without_effect_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        UndoConfig.model_validate(settings)
