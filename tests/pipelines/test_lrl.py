"""Linguistic RL: real SDK, real ledger and real judging against a scripted teacher; the student is scripted too."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from lrl_scripted import STRATEGY, ScriptedStudent, config, start, teach
from pages import figures_of
from rich.console import Console
from servers import Front, busy

from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.errors import ConfigError
from pipelines.job import Context
from pipelines.jobs.lrl import JOB
from pipelines.jobs.lrl.balanced_problems import balanced, gold, problems_of
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.lrl.examples import check_room, even
from pipelines.jobs.lrl.job import run
from pipelines.jobs.lrl.prompts import RULES, TaskPrompts, journal_question
from pipelines.jobs.lrl.reading import read_verdict
from pipelines.jobs.lrl.scores import Answer, compare, figures
from pipelines.jobs.package_job import Outcome
from pipelines.measure.conditions import UNMET
from pipelines.measure.recorded import write_evaluation
from pipelines.report import main as report_main
from problems.problem import Status
from problems.questions import QuestionsConfig
from rollout.model_files import load_tokenizer
from rollout.teacher.request_cache import TeacherStopped
from verify.checkers.answers import read_yes_no

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


def artefacts(folder):
    results = json.loads((folder / "results.json").read_text())
    results.pop("cost")
    names = ("journal.md", "strategy.txt", "strategy_evolution.jsonl", "synthesis.jsonl")
    answers = sorted((r["stage"], r["problem"], r["said"], r["status"]) for r in read_rows(folder / "answers.jsonl"))
    return results, answers, [(folder / name).read_text() for name in names]


# --- problems


def test_labels_and_levels_are_balanced_and_no_question_comes_twice():
    train, test = balanced("train", 100, 42), balanced("test", 150, 123)
    more = balanced("train", 100, 999, {p.question_hash for p in train})
    for problems in (train, test, more):
        labels, levels = Counter(map(gold, problems)), Counter(p.variant for p in problems)
        assert labels["YES"] == labels["NO"] and max(levels.values()) - min(levels.values()) <= 2
    # A question's parameters are its sorted meetings, so another order of the same ones is no other question.
    assert len({p.question_hash for p in (*train, *test, *more)}) == 350


def test_the_classic_contract_has_the_labels_of_the_original_and_no_question_twice():
    chosen = LRLConfig(problems={"families": ["scheduling"], "difficulties": [2, 5, 8], "contract": "classic"})
    train, test = problems_of(chosen, "train", 100, 42), problems_of(chosen, "test", 150, 123)
    more = problems_of(chosen, "train", 100, 999, {p.question_hash for p in train})
    for problems in (train, test, more):
        assert {p.family for p in problems} == {"scheduling@classic"}
        levels = Counter(p.variant for p in problems)
        assert max(levels.values()) - min(levels.values()) <= 1
        assert 0.8 < Counter(map(gold, problems))["YES"] / len(problems) < 0.95
        assert all(gold(p) == "YES" for p in problems if p.variant == "easy")
    assert len({p.question_hash for p in (*train, *test, *more)}) == 350
    pairs = [(problem, "YES") for problem in train]
    assert even(pairs) == pairs  # nothing is left out to make labels even

    ours, drawn = TaskPrompts(chosen.names), TaskPrompts(LRLConfig().names)
    assert vars(ours) == vars(drawn) and "At most" in journal_question(train, [{"said": "NO", "gold": "YES"}], "")
    both = TaskPrompts(("scheduling@classic", "word_problems"))
    assert "@" not in both.rules and RULES in both.rules and "88" not in both.rules


# --- figures


def said(pairs):
    """Answers from (gold, said or status, how often)."""
    spread = [(g, s) for g, s, count in pairs for _ in range(count)]
    return [
        Answer(str(n), "easy", g, s if s in ("YES", "NO") else None, "answered" if s in ("YES", "NO") else s)
        for n, (g, s) in enumerate(spread)
    ]


def test_a_constant_answer_is_seen_through():
    """The published adapter: 129 of 150 right, 1 of 18 NO found; a constant YES scores more."""
    found = figures(said([("YES", "YES", 128), ("YES", "NO", 4), ("NO", "NO", 1), ("NO", "YES", 17)]))
    assert found["accuracy"]["value"] == pytest.approx(129 / 150)
    assert found["majority"] == {"label": "YES", "accuracy": 132 / 150, "balanced_accuracy": 0.5}
    balanced_accuracy = found["balanced_accuracy"]
    assert balanced_accuracy["value"] == pytest.approx((128 / 132 + 1 / 18) / 2)
    assert balanced_accuracy["low"] < 0.5 < balanced_accuracy["high"]
    assert found["confusion"]["NO"] == {"YES": 17, "NO": 1, "none": 0}


def test_silence_and_failures_are_no_answers():
    found = figures(said([("YES", "YES", 3), ("NO", "unparsed", 3), ("NO", "api_error", 4), ("NO", "NO", 1)]))
    assert (found["problems"], found["scored"]) == (11, 7)
    assert found["statuses"] == {"answered": 4, "api_error": 4, "unparsed": 3}
    assert found["confusion"]["NO"] == {"YES": 0, "NO": 1, "none": 3}
    assert found["accuracy"]["value"] == pytest.approx(4 / 7) and found["recall"]["NO"]["value"] == 0.25
    nothing = figures(said([("YES", "api_error", 2)]))
    assert nothing["accuracy"] is None and nothing["balanced_accuracy"] is None


def test_comparisons_are_of_problems_that_both_have_scored():
    before = said([("YES", "NO", 10), ("NO", "api_error", 5)])
    after = said([("YES", "YES", 10), ("NO", "YES", 5)])
    found = compare(before, after)
    assert (found["problems"], found["gained"], found["lost"], found["value"]) == (10, 10, 0, 1.0)
    assert found["p"] == pytest.approx(2 / 2**10)
    assert compare(said([("YES", "api_error", 1)]), said([("YES", "YES", 1)])) is None


@pytest.mark.parametrize(
    ("status", "text", "want"),
    [
        (Status.PASSED, "x \\boxed{NO}", ("NO", "answered")),
        (Status.WRONG_ANSWER, "Yes. It fits.", ("YES", "answered")),
        (Status.UNPARSED, "perhaps", (None, "unparsed")),
        (Status.TRUNCATED, "YES or NO is", (None, "truncated")),
        (Status.INFRASTRUCTURE, "YES", (None, "infrastructure")),
    ],
)
def test_a_verdict_is_read_only_where_there_is_one(status, text, want):
    assert read_verdict(status, text) == want


# --- the stages


def test_all_stages_and_what_they_leave(tmp_path):
    student = ScriptedStudent()
    with Front(reply=teach) as front:
        results = start(config(front.url, tmp_path), student)
    stages = results["stages"]
    assert list(stages) == [
        "student", "teacher", "bootstrap", "teacher_with_strategy", "student_with_strategy", "student_trained",
    ]  # fmt: skip
    assert stages["teacher"]["balanced_accuracy"]["value"] < 0.6
    assert stages["teacher_with_strategy"]["accuracy"]["value"] > 0.8
    assert results["comparisons"]["teacher -> teacher_with_strategy"]["gained"] > 5
    assert stages["student"]["statuses"] == {"infrastructure": 1, "unparsed": 17}, "a dead engine is no wrong answer"
    assert stages["student"]["accuracy"]["value"] == 0 and stages["student"]["scored"] == 17
    assert stages["student_trained"]["said_yes"]["value"] == 1, "and a constant answer is told as one"
    folder = tmp_path / "run"
    assert (folder / "journal.md").read_text().count("## Batch") == 3
    evolution = read_rows(folder / "strategy_evolution.jsonl")
    assert [(row["version"], row["batch"], row["status"]) for row in evolution] == [
        (1, 2, "answered"), (2, 3, "answered"),
    ]  # fmt: skip
    assert (folder / "strategy.txt").read_text().strip() == STRATEGY
    assert results["cost"]["requests_paid"] == 18 + 12 + 3 + 2 + 18 and results["cost"]["dollars"] > 0
    page = (folder / "report.html").read_text()
    assert "balanced accuracy" in page and "majority baseline" in page and "McNemar" in page and STRATEGY in page
    drawn = figures_of(page)
    assert set(drawn) == {"stages", "confusion", "levels", "evolution"}
    assert len(drawn["stages"]["data"]) == 3 and len(drawn["confusion"]["data"]) == len(stages)
    assert "I said YES too often." in page and "These are many meetings." in page
    (folder / "report.html").unlink()
    assert report_main([str(folder)]) == 0 and figures_of((folder / "report.html").read_text()) == drawn


def test_the_student_learns_and_answers_under_one_and_the_same_prompt(tmp_path):
    student = ScriptedStudent()
    with Front(reply=teach) as front:
        start(config(front.url, tmp_path), student)
    assert STRATEGY in student.trained_prompt.system
    assert student.prompts[2] == student.trained_prompt == student.prompts[1] and not student.prompts[0].system
    assert Counter(text for _, text in student.pairs) == {"\\boxed{YES}": 6, "\\boxed{NO}": 6}
    assert all(text == f"\\boxed{{{gold(problem)}}}" for problem, text in student.pairs)
    train = {p.question_hash for p in balanced("train", 12, 42)}
    assert not train & {problem.question_hash for problem, _ in student.pairs}


def test_the_teachers_own_answers_are_learnt_where_they_are_true_and_stay_balanced(tmp_path):
    student = ScriptedStudent()
    with Front(reply=teach) as front:
        start(config(front.url, tmp_path, synthesis="teacher", stages=(4,), strategy=STRATEGY), student)
    labels = Counter(gold(problem) for problem, _ in student.pairs)
    assert labels["YES"] == labels["NO"] > 0
    assert even([(p, "") for p in balanced("train", 1, 1)]) == []


def test_a_stopped_teacher_loses_nothing(tmp_path):
    student = ScriptedStudent()
    with Front(reply=teach) as front:
        dear = config(front.url, tmp_path, teacher={"budget": 4.0})
        with pytest.raises(TeacherStopped, match=r"budget of \$4"):
            start(dear, student)
        before = len(front.asked())
        assert 0 < before < 53
        more = dear.model_copy(update={"teacher": dear.teacher.model_copy(update={"budget": 500.0})})
        results = start(more, student, resume=True)
        assert len(front.asked()) == 53 == results["cost"]["requests_paid"]
    assert student.asked.count("student") == 1


def test_a_refused_request_is_an_api_error_and_no_verdict(tmp_path):
    with Front(reply=teach) as front:
        front.script += [None, busy(400, "invalid_request_error"), busy(413, "request_too_large")]
        results = start(config(front.url, tmp_path, stages=(1,)), ScriptedStudent())
    teacher = results["stages"]["teacher"]
    assert teacher["statuses"]["api_error"] == 2 and teacher["scored"] == 16
    assert sum(map(sum, (row.values() for row in teacher["confusion"].values()))) == 16


def test_a_strategy_that_cannot_be_used_leaves_the_one_before(tmp_path):
    def endless(body):
        whole = teach(body)
        if "into a strategy" in body["system"][0]["text"]:
            whole["content"][0]["text"] = "step " * 400
        return whole

    with Front(reply=endless) as front:
        settings = config(front.url, tmp_path, stages=(2,))
        results = start(settings, ScriptedStudent())
    assert results["strategy"] == "Read every time with care, and check the answer before giving it."
    assert [row["status"] for row in read_rows(tmp_path / "run" / "strategy_evolution.jsonl")] == ["too_long"] * 2


@pytest.mark.timeout(240)
def test_a_killed_run_goes_on_without_asking_anything_twice(tmp_path):
    with Front(reply=teach) as front:
        start(config(front.url, tmp_path / "whole"), ScriptedStudent())
        whole = front.asked()
    reached = threading.Event()
    answered = []

    def until_the_kill(body):
        if len(answered) == 29 and not reached.is_set():  # in the middle of stage 2
            reached.set()
            threading.Event().wait(3)
        answered.append(json.dumps(body))
        return teach(body)

    with Front(reply=until_the_kill) as front:
        arguments = [sys.executable, str(ROOT / "tests/pipelines/lrl_scripted.py"), front.url, str(tmp_path / "killed")]
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": path})
        assert reached.wait(180)
        process.send_signal(signal.SIGKILL)
        process.wait()
        asked = len(front.asked())
        start(config(front.url, tmp_path / "killed"), ScriptedStudent(), resume=True)
        resumed = front.asked()[asked:]
    repeated = [body for body in resumed if body in front.asked()[: asked - 1]]
    assert not repeated and len(resumed) == len(whole) - 29
    assert artefacts(tmp_path / "killed" / "run") == artefacts(tmp_path / "whole" / "run")


# --- conditions


class WritingStudent(ScriptedStudent):
    """Leaves its answers in the run folder, as the real one."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def answer(self, problems, prompt, policy, name):
        found = super().answer(problems, prompt, policy, name)
        write_evaluation(RunFolder.open(self.path), found, 0)
        return found


def test_conditions_are_checked_on_the_student_that_has_learnt(tmp_path):
    required = ("overall >= 20", "before overall > 0", "every difficulty >= 0")
    with Front(reply=teach) as front:
        student = WritingStudent(tmp_path / "run")
        results = start(config(front.url, tmp_path, require=required), student)
        found = {one["condition"]: one for one in results["conditions"]}
        again = start(config(front.url, tmp_path, require=("overall > 99",)), ScriptedStudent(), resume=True)
    accuracy = results["stages"]["student_trained"]["accuracy"]["value"]
    assert found["overall >= 20"]["value"] == pytest.approx(100 * accuracy) and found["overall >= 20"]["met"]
    assert not found["before overall > 0"]["met"] and len(found) == 2 + 3, "one for each level"
    assert JOB.show(Console(quiet=True), Outcome("there", results)) == UNMET == 3
    assert [(one["condition"], one["met"]) for one in again["conditions"]] == [("overall > 99", False)]


@pytest.mark.parametrize(
    ("condition", "stages", "says"),
    [
        ("word_problems > 1", (0, 4), "none of the 18 problems is of word_problems; there are scheduling"),
        ("pass@2 overall > 1", (0, 4), "needs 2 samples a problem, and there is 1: the student answers greedily"),
        ("before overall > 1", (2, 4), "nothing called before is measured here"),
    ],
)
def test_what_no_stage_measures_is_refused_before_anything_starts(tmp_path, condition, stages, says):
    settings = config("", tmp_path, require=(condition,), stages=stages)
    with Context(JOB, settings, Console(quiet=True), False, None) as context, pytest.raises(ConfigError, match=says):
        run(context)
    assert not list(tmp_path.iterdir())


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stages": (5,)}, "stages are 0, 1, 2, 3, 4"),
        ({"stages": ()}, "or none"),
        ({"synthesis": "teacher"}, "offline reference teacher"),
        ({"strategy": "x" * 2000}, "strategy_chars"),
        ({"require": ("overall > 1",), "stages": (0, 1, 2, 3)}, "require is measured on the student of stage 4"),
    ],
)
def test_settings_without_effect_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        LRLConfig.model_validate(settings)


def examples_of(name, tmp_path, **settings):
    settings = {"train_problems": 2, "test_problems": 4, "synthesis_problems": 30, "stages": (4,), **settings}
    student = ScriptedStudent()
    start(LRLConfig(name=name, runs=tmp_path, synthesis="worked", strategy=STRATEGY, **settings), student)
    return [json.loads(line) for line in (tmp_path / name / "synthesis.jsonl").read_text().splitlines()]


def test_examples_show_the_working_before_the_answer_that_follows_from_it(tmp_path):
    rows = examples_of("run", tmp_path)
    assert len(rows) == 30 and {row["gold"] for row in rows} == {"YES", "NO"}
    for row in rows:
        *times, summary, answer = row["completion"].split("\n")
        most, rooms = map(int, re.fullmatch(r"most (\d+), rooms (\d+)", summary).groups())
        counts = [int(line.split()[1]) for line in times]
        assert max(counts) == most and counts[-1] == 0 and row["gold"] == ("YES" if most <= rooms else "NO")
        assert read_yes_no(row["completion"]) == read_yes_no(answer) == row["gold"].lower()
        assert all(line.split()[0] in row["problem"]["statement"] for line in times)


def test_working_that_is_not_known_or_has_no_room_is_refused(tiny_student):
    tokenizer = load_tokenizer(tiny_student)
    few = {"synthesis": "worked", "synthesis_problems": 6}
    with pytest.raises(ConfigError, match=r"set max_tokens to (\d+) or more") as refused:
        check_room(LRLConfig(**few), tokenizer)
    enough = int(str(refused.value).split()[-3])
    check_room(LRLConfig(**few, max_tokens=enough), tokenizer)
    with pytest.raises(ConfigError, match="of these problems no working is known"):
        check_room(LRLConfig(**few, problems=QuestionsConfig(families=("word_problems",))), tokenizer)


def test_the_offline_teacher_runs_every_stage(tmp_path):
    settings = LRLConfig(name="run", runs=tmp_path, train_problems=6, test_problems=6, synthesis_problems=6, batch=3)
    results = start(settings, ScriptedStudent())
    assert results["stages"]["teacher_with_strategy"]["accuracy"]["value"] == 1
    assert "highest count" in results["strategy"]
    assert results["cost"]["dollars"] == 0
    assert "measure no strategy" in (tmp_path / "run" / "report.html").read_text()
