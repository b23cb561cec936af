"""Jobs with a teacher ask the data sets that `problems.parts` names, by file and by option, and no others."""

from __future__ import annotations

import json

import pytest
import yaml
from rich.console import Console
from servers import Front
from undo_scripted import ScriptedStudent, ScriptedTeacher, config, start

from pipelines.errors import ConfigError
from pipelines.jobs.distil import Requests, select_problems
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.teacher_job_config import DistilConfig, HardDistilConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.job import distinct
from pipelines.measure.problem_set import check_known, questions_of
from pipelines.options import parse
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_data import load_traces
from problems.config import ProblemsConfig
from problems.stream import ProblemStream
from verify.config import VerifyConfig

CLAMP = {
    "description": "Limit value.", "function_signature": "def clamp(value: int, low: int, high: int) -> int:",
    "test_cases": [{"input": [n, 0, 3], "output": m} for n, m in ((5, 3), (-2, 0), (2, 2))],
}  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def boxed(tmp_path):
    rows = [{"problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."} for n in range(2000, 2120)]
    return write(tmp_path / "boxed.jsonl", rows)


def parts(path, mapping="boxed", split="by_hash"):
    return [{"source": {"mapping": mapping, "path": path, "split": split}}]


@pytest.mark.parametrize("model", [UndoConfig, DistilConfig, HardDistilConfig])
@pytest.mark.parametrize("how", ["file", "option"])
def test_parts_take_the_place_of_a_job_s_own_families(model, how, boxed, tmp_path):
    given = parts(boxed)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"problems": {"parts": given}}))
    arguments = ["--config", str(tmp_path / "c.yaml")] if how == "file" else ["--problems.parts", json.dumps(given)]
    found = parse(model, arguments, prog="").problems
    assert found.parts[0].source.path == boxed and found.families == ProblemsConfig().families
    with pytest.raises(ConfigError, match="families would have no effect together with parts"):
        parse(model, [*arguments, "--problems.families", "lcs"], prog="")
    both = {"problems": {"parts": given, "difficulties": [3]}}
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(both))
    with pytest.raises(ConfigError, match="difficulties would have no effect together with parts"):
        parse(model, ["--config", str(tmp_path / "d.yaml")], prog="")


def test_expert_iteration_has_a_data_set_as_its_focus(boxed):
    config = parse(ExpertConfig, ["--focus.parts", json.dumps(parts(boxed))], prog="")
    assert {p.family for p in questions_of(config.asking(config.focus)).distinct("val", 4, 0)} == {"boxed"}


def test_distil_asks_every_training_row_of_a_data_set(boxed):
    asked = DistilConfig.model_validate({"problems": {"parts": parts(boxed)}})
    found = select_problems(asked)
    assert {p.family for p in found} == {"boxed"} and {p.split for p in found} == {"train"}
    assert len(found) == len({p.question_hash for p in found}) == len(questions_of(asked).whole("train")) > 70
    request = Requests(asked).first(found[0])
    assert "\\boxed{answer}" in request.messages[0][1] and "Python" not in request.system
    few = select_problems(asked.model_copy(update={"total": 5}))
    assert len(few) == 5 and {p.id for p in few} <= {p.id for p in found}
    with pytest.raises(ConfigError, match="different training problems; lower total"):
        select_problems(asked.model_copy(update={"total": 500}))
    with pytest.raises(ConfigError, match="no problems of split train"):
        select_problems(DistilConfig.model_validate({"problems": {"parts": parts(boxed, split="test")}}))


def test_a_training_question_that_a_test_set_asks_is_not_taught(boxed, tmp_path):
    held = write(tmp_path / "held.jsonl", [{"question": "What is 2000 + 2000?", "answer": "\\boxed{4000}"}])
    both = [*parts(boxed, split="train"), *parts(held, split="test")]
    found = select_problems(DistilConfig.model_validate({"problems": {"parts": both}}))
    assert len(found) == 119 and not any("2000" in p.statement for p in found)


def test_families_that_ask_for_an_answer_are_not_asked_for_a_program():
    asked = DistilConfig.model_validate({"problems": {"families": ["word_problems"], "difficulties": [1]}, "count": 1})
    assert "Python" not in Requests(asked).first(select_problems(asked)[0]).system
    code = DistilConfig.model_validate({"problems": {"families": ["lcs"], "difficulties": [1]}, "count": 1})
    assert "fenced Python block" in Requests(code).first(select_problems(code)[0]).system


def test_what_counts_is_count_or_total(boxed):
    with pytest.raises(ConfigError, match=r"total has no effect without problems\.parts"):
        parse(DistilConfig, ["--total", "3"], prog="")
    with pytest.raises(ConfigError, match=r"count has no effect with problems\.parts"):
        parse(HardDistilConfig, ["--count", "3", "--problems.parts", json.dumps(parts(boxed))], prog="")
    with pytest.raises(ConfigError, match="have no end: set total"):
        parse(DistilConfig, ["--problems.parts", "[{procedural: {families: [lcs]}}]"], prog="")


def test_the_offline_teacher_is_not_asked_what_it_does_not_know(tmp_path, boxed):
    path = write(tmp_path / "clamp.jsonl", [{**CLAMP, "problem_id": "a"}])
    asked = DistilConfig.model_validate({"problems": {"parts": parts(path, "functions", "train")}})
    with pytest.raises(ConfigError, match="knows no answer to 1 of 1 problems, functions-a for example"):
        check_known(select_problems(asked))
    check_known(select_problems(DistilConfig.model_validate({"problems": {"parts": parts(boxed)}})))


def test_undo_teaches_a_data_set_and_sft_reads_what_it_taught(boxed, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    more = {"problems": {"parts": parts(boxed)}, "iterations": 1, "val_problems": 4, "test_problems": 4}
    settings = config("", tmp_path, **more)
    assert {p.family for p in distinct(settings, "val", 4)} == {"boxed"}
    with Front(reply=ScriptedTeacher(settings)) as front:
        results = start(config(front.url, tmp_path, **more), ScriptedStudent())
    assert results["iterations"][0]["taught"] == 11 and set(results["test"]["base"]["families"]) == {"boxed"}
    traces, report = load_traces([str(tmp_path / "run")], TraceDataConfig(), VerifyConfig(), Console(quiet=True))
    assert report.rows == len(traces) == 11 and traces[0].completion("direct").startswith("So it is.\n\\boxed{")
    with pytest.raises(ConfigError, match=r"only \d+ different val questions; ask for fewer \(val_problems\)"):
        distinct(settings, "val", 100)


def test_undo_gives_no_hint_that_a_data_set_does_not_have(tmp_path):
    from pipelines.jobs.undo.prompts import gold, has_hint

    path = write(tmp_path / "clamp.jsonl", [{**CLAMP, "problem_id": "a"}])
    asked = DistilConfig.model_validate({"problems": {"parts": parts(path, "functions", "train")}})
    (problem,) = select_problems(asked)
    assert gold(problem) == "" and not has_hint(problem, "solution") and has_hint(problem, "answer")
    own = ProblemStream(ProblemsConfig(families=("lcs",)), "train").problem(0)
    assert gold(own) and has_hint(own, "solution") and has_hint(own, "answer") and has_hint(own, "none")
