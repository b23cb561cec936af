"""Linguistic RL on other problems than scheduling: several families, answers in a box, data sets."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
from lrl_scripted import ScriptedStudent, config, start
from pages import figures_of
from servers import Front, message

from pipelines.errors import ConfigError
from pipelines.jobs.lrl.balanced_problems import balanced, gold, is_yes_no, problems_of
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.lrl.examples import even
from pipelines.jobs.lrl.prompts import DISTIL_SYSTEM, JOURNAL_SYSTEM, RULES, TaskPrompts, journal_question
from pipelines.jobs.lrl.reading import read_answer
from pipelines.jobs.lrl.report import parts, verdict
from pipelines.jobs.lrl.scores import Answer, figures
from pipelines.measure.problem_set import questions_of
from problems import families
from problems.problem import Status

BOTH = {"families": ("scheduling", "word_problems"), "difficulties": (2, 5)}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


# --- problems


def test_each_family_and_difficulty_is_asked_equally_often_and_labels_are_even():
    found = balanced("test", 24, 3, (), BOTH["families"], BOTH["difficulties"])
    cells = Counter((p.family, p.difficulty) for p in found)
    assert cells == {("scheduling", 2): 8, ("scheduling", 5): 8, ("word_problems", 2): 4, ("word_problems", 5): 4}
    labels = Counter(gold(p) for p in found if is_yes_no(p))
    assert labels == {"YES": 8, "NO": 8} and len({p.question_hash for p in found}) == 24
    assert {p.id for p in balanced("test", 30, 123)} == {p.id for p in problems_of(LRLConfig(), "test", 30, 123)}


def data_set(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mapping = tmp_path / "fits.yaml"
    mapping.write_text("name: fits\nstatement: '{q}'\nanswer: {column: a}\nchecker: yes_no\ndifficulty: 3\n")
    return {"parts": [{"source": {"mapping": str(mapping), "path": str(path), "split": "train"}}]}


def test_a_data_set_of_yes_and_no_is_asked_evenly(tmp_path):
    rows = [{"q": f"Is {n} a multiple of four?", "a": "yes" if n % 4 == 0 else "no"} for n in range(200)]
    asked = LRLConfig.model_validate({"problems": data_set(tmp_path, rows)})
    found = problems_of(asked, "train", 40, 42)
    assert Counter(map(gold, found)) == {"YES": 20, "NO": 20}
    others = problems_of(asked, "train", 10, 7, {p.question_hash for p in found})
    assert not {p.id for p in others} & {p.id for p in found}
    with pytest.raises(ConfigError, match=r"has no 300 different train questions.*10[01] were found"):
        problems_of(asked, "train", 300, 42)
    with pytest.raises(ConfigError, match="no problems of split test"):
        problems_of(asked, "test", 4, 42)


def test_what_wants_a_program_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"problems.families lcs wants a program.*scheduling, word_problems"):
        LRLConfig.model_validate({"problems": {"families": ("lcs",)}})
    asked = LRLConfig.model_validate({"problems": {"parts": [{"procedural": {"families": ("lcs",)}}]}})
    assert questions_of(asked)
    with pytest.raises(ConfigError, match="wants a program, and lrl asks for YES or NO"):
        problems_of(asked, "train", 2, 1)


# --- words


def test_the_words_are_scheduling_s_own_or_the_families_own_descriptions():
    own = TaskPrompts(["scheduling"])
    assert own.solve_system("") == RULES and own.solve_system("S").startswith(f"{RULES}\n\nStrategy:\nS")
    assert own.journal_system == JOURNAL_SYSTEM.format(subject="scheduling problems")
    assert own.distil_system == DISTIL_SYSTEM.format(subject="scheduling problems", decide="decide")
    both = TaskPrompts(["scheduling", "word_problems", "gsm8k"])
    assert families.get("word_problems").summary in both.rules and RULES in both.rules and "- gsm8k" in both.rules
    assert "scheduling, word problems and gsm8k" in both.journal_system
    other = TaskPrompts(["word_problems"])
    for text in (other.rules, other.journal_system, other.distil_system, other.first_strategy):
        assert "meeting" not in text and "room" not in text and "scheduling" not in text


def test_a_journal_tells_only_what_its_problems_have():
    found = balanced("train", 6, 1, (), BOTH["families"], (2,))
    rows = [{"gold": gold(p), "said": gold(p), "status": "answered"} for p in found]
    text = journal_question(found, rows, "S")
    shown = found[:5]
    assert text.count("meetings are on at once") == sum(p.family == "scheduling" for p in shown) > 0
    assert any(p.family == "word_problems" for p in shown)


# --- answers and figures


def test_an_answer_in_a_box_is_right_however_it_is_written():
    (problem,) = balanced("train", 1, 1, (), ("word_problems",), (1,))
    assert read_answer(problem, Status.PASSED, "so \\boxed{4.0}") == (gold(problem), "answered")
    assert read_answer(problem, Status.WRONG_ANSWER, "so \\boxed{99999}") == ("99999", "answered")
    said, _ = read_answer(problem, Status.WRONG_ANSWER, f"\\boxed{{{gold(problem)}}}")
    assert said != gold(problem), "what was judged wrong is never booked as right"
    assert read_answer(problem, Status.TRUNCATED, "\\boxed{4}") == (None, "truncated")


def boxed(pairs, level="a"):
    return [Answer(f"{level}{n}", level, g, s, "answered", False) for n, (g, s) in enumerate(pairs)]


def test_answers_in_boxes_stand_beside_the_most_frequent_one():
    found = figures(boxed([("4", "4"), ("4", "5"), ("6", "6"), ("7", "7")]) + boxed([("1", "1"), ("1", "2")], "b"))
    assert found["accuracy"]["value"] == pytest.approx(4 / 6) and found["balanced_accuracy"] is None
    assert found["majority"]["accuracy"] == pytest.approx((2 + 2) / 6) and found["boxed"] == 6
    assert sum(map(sum, (row.values() for row in found["confusion"].values()))) == 0
    assert verdict(found) == "no"
    sure = figures(boxed([(str(n), str(n)) for n in range(60)]))
    assert verdict(sure) == "above" and sure["majority"]["accuracy"] == pytest.approx(1 / 60)


def test_both_kinds_are_measured_apart():
    verdicts = [
        Answer(str(n), "easy", g, s, "answered") for n, (g, s) in enumerate([("YES", "YES"), ("NO", "YES")] * 4)
    ]
    found = figures([*verdicts, *boxed([("4", "4")] * 8)])
    assert found["accuracy"]["value"] == 0.75 and found["balanced_accuracy"]["value"] == 0.5
    assert found["confusion"]["NO"]["YES"] == 4 and found["majority"]["accuracy"] == (4 + 8) / 16
    assert "boxed" not in figures(verdicts)


# --- the stages


def teach(body):
    """A teacher that answers one more than the truth until it has a strategy; the truth is in no request, so it is
    worked out of the question's only sum."""
    system, question = body["system"][0]["text"], body["messages"][-1]["content"]
    if "keep a journal" in system:
        return message("I was off by one.", model="scripted")
    if "into a strategy" in system:
        return message("1. Do not add one.", model="scripted")
    one, two = map(int, re.search(r"What is (\d+) plus (\d+)", question).groups())
    return message(f"\\boxed{{{one + two + ('Do not add' not in system)}}}", model="scripted")


class BoxedStudent(ScriptedStudent):
    """Once it is trained it answers 7."""

    def answer(self, problems, prompt, policy, name):
        from pipelines.jobs.evaluate import Evaluation
        from problems.problem import Group, Sample, Verdict

        none, groups = np.zeros(0, np.int32), []
        for number, problem in enumerate(problems):
            text = "\\boxed{7}" if policy.weights else "hm"
            status = Status.UNPARSED if not policy.weights else (
                Status.PASSED if gold(problem) == "7" else Status.WRONG_ANSWER
            )  # fmt: skip
            sample = Sample(problem.id, f"g{number}", 0, none, none, none, text, "stop", 0, policy.adapter_hash)
            groups.append(Group(number, 0, problem, (sample,), (Verdict(status),), (0.0,)))
        return Evaluation(name, tuple(groups))


def test_a_strategy_is_learnt_for_answers_in_boxes(tmp_path):
    rows = [{"problem": f"What is {n} plus {n + 3}?", "gt": f"\\boxed{{{2 * n + 3}}}"} for n in range(400)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"parts": [{"source": {"mapping": "boxed", "path": str(path), "split": "by_hash"}}]}
    student = BoxedStudent()
    with Front(reply=teach) as front:
        results = start(config(front.url, tmp_path, problems=asked), student)
    stages = results["stages"]
    assert stages["teacher"]["accuracy"]["value"] == 0 and stages["teacher_with_strategy"]["accuracy"]["value"] == 1
    assert stages["bootstrap"]["boxed"] == 12 and stages["student"]["statuses"] == {"unparsed": 18}
    assert results["strategy"] == "1. Do not add one."
    assert len(student.pairs) == 12 and all(text == f"\\boxed{{{gold(p)}}}" for p, text in student.pairs)
    page = (tmp_path / "run" / "report.html").read_text()
    assert set(figures_of(page)) == {"stages", "levels", "evolution"} and "<h2>Answers</h2>" in page
    tables = [getattr(part, "title", "") for part in parts(results)]
    assert "Answers, with 95 % intervals" in tables and not any("Confusion" in str(title) for title in tables)


def test_the_offline_teacher_runs_several_families(tmp_path):
    settings = LRLConfig(
        name="run", runs=tmp_path, train_problems=8, test_problems=8, synthesis_problems=8, batch=4, problems=BOTH,
        stages=(1, 2, 3),
    )  # fmt: skip
    results = start(settings, ScriptedStudent())
    final = results["stages"]["teacher_with_strategy"]
    assert final["accuracy"]["value"] == 1 and 0 < final["boxed"] < 8 and final["balanced_accuracy"]["value"] == 1
    assert "every number" in results["strategy"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "confusion" in figures_of(page) and "scheduling easy" in page


def test_pairs_are_evened_by_their_labels_alone():
    found = balanced("train", 9, 1, (), BOTH["families"], (2,))
    pairs = [(p, "") for p in found if not (is_yes_no(p) and gold(p) == "NO")]
    assert all(not is_yes_no(p) for p, _ in even(pairs)) and len(even(pairs)) == 3
