"""An evaluation's figures, whom it is compared with, and what it leaves in its run folder. Made-up samples."""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import save

import problems
from pipelines.artifacts.run_folder import RunFolder, plain_config
from pipelines.config import EvaluateConfig
from pipelines.errors import ConfigError
from pipelines.jobs import evaluate
from pipelines.jobs.evaluate import held_out_by, opponent_of, other_base, recorded_evaluation, write_evaluation
from pipelines.measure.conditions import LAST, Required
from pipelines.measure.evaluation import Evaluation, compare
from pipelines.measure.statistics import _bootstrap_mean, cell_rate, wilson_interval
from pipelines.measure.suites import load_suite, suite_names
from pipelines.options import load_yaml, parse
from pipelines.report import write_report
from problems.problem import Group, Problem, Sample, Status, Verdict
from rollout.policy import PolicyVersion

FIXTURES = Path(__file__).parents[1] / "problems" / "fixtures"
PASS, WRONG, LOST = Status.PASSED, Status.WRONG_ANSWER, Status.INFRASTRUCTURE


def problem(number: int, family: str = "lis", difficulty: int = 1) -> Problem:
    name = f"{family}-{difficulty}-{number}"
    return Problem(name, family, 1, difficulty, "test", "say it", "f", "def f():", (), (), params={"n": number})


def group(asked: Problem, *statuses: Status, finish: str = "stop") -> Group:
    samples = tuple(
        Sample(
            asked.id, "0.0", i, np.ones(2, np.int32), np.ones(3, np.int32), np.zeros(3, np.float32), "x", finish, 0, ""
        )
        for i in range(len(statuses))
    )
    verdicts = tuple(Verdict(s, tests_passed=4 if s is PASS else 1, tests_run=4, tests_total=4) for s in statuses)
    rewards = tuple(None if s is LOST else float(s is PASS) for s in statuses)
    return Group(int(asked.id.rpartition("-")[2]), 0, asked, samples, verdicts, rewards)


def drawn(name: str, skill: float, count: int = 40, samples: int = 4, seed: int = 0) -> Evaluation:
    """Two families by two difficulties; problem number n passes more often the smaller n is."""
    rng = random.Random(seed)
    groups = []
    for n in range(count):
        asked = problem(n, ("lis", "lcs")[n % 2], 1 + n // 2 % 2)
        chance = min(1.0, skill + 0.4 * (1 - n / count))
        groups.append(group(asked, *(PASS if rng.random() < chance else WRONG for _ in range(samples))))
    return Evaluation(name, tuple(groups))


def test_what_the_machinery_lost_counts_nowhere():
    groups = (
        group(problem(0), PASS, LOST, LOST, LOST),
        group(problem(1), WRONG, PASS, Status.UNPARSED, WRONG),
        group(problem(2, "lcs", 7), LOST, LOST, LOST, LOST),
        group(problem(3), PASS, PASS, PASS, PASS, finish="length"),
    )
    found = Evaluation("model", groups)
    row = found.row(0)
    assert set(found.outcomes) == {"lis-1-0", "lis-1-1", "lis-1-3"}
    assert found.ks == [1, 2, 4]
    assert found.pass_at(1).value == pytest.approx((1 + 1 / 4 + 1) / 3)
    assert found.pass_at(4).problems == 2, "one problem has too few scored samples for it"
    assert list(row["families"]) == ["lis"] and list(row["difficulties"]) == ["1"] and list(row["grid"]) == ["lis"]
    assert row["unscored"] == 7 and row["samples"] == 16
    assert row["unparsed"] == pytest.approx(1 / 9) and row["truncated"] == pytest.approx(1 / 4)
    assert row["tests_passed"] == pytest.approx((6 * 4 + 3 * 1) / (9 * 4))
    json.dumps(row, allow_nan=False)


def test_an_evaluation_of_nothing_scored_still_has_a_row():
    row = Evaluation("model", (group(problem(0), LOST),)).row(0)
    assert row["pass_at"] == row["families"] == row["grid"] == {}


def test_the_grid_holds_every_problem_once():
    found = drawn("model", 0.3)
    cells = [(family, d, cell) for family, line in found.grid().items() for d, cell in line.items()]
    assert [(f, d, c.problems) for f, d, c in cells] == [("lcs", 1, 10), ("lcs", 2, 10), ("lis", 1, 10), ("lis", 2, 10)]
    assert np.mean([c.value for _, _, c in cells]) == pytest.approx(found.pass_at(1).value)


def test_a_cells_interval_is_wilsons_and_covers_the_truth_where_a_bootstrap_does_not():
    assert (cell_rate({"a": [True], "b": [False]}).low, cell_rate({"a": [True], "b": [False]}).high) == wilson_interval(
        1, 2
    )
    rng, covered, narrow = np.random.default_rng(0), 0, 0
    for _ in range(60):
        skill_P = rng.beta(0.5, 0.5, size=4)
        outcomes = {str(i): (rng.random(8) < skill).tolist() for i, skill in enumerate(skill_P)}
        cell = cell_rate(outcomes)
        low, high = _bootstrap_mean(np.array([np.mean(done) for done in outcomes.values()]), 0.95, 0)
        covered += cell.low <= 0.5 <= cell.high
        narrow += low <= 0.5 <= high
    assert covered / 60 > 0.95 > 0.9 > narrow / 60
    with pytest.raises(ValueError, match="no problems were judged"):
        cell_rate({})


def test_several_samples_are_compared_by_bootstrap_and_single_ones_by_mcnemar_too():
    many = compare(drawn("against", 0.1), drawn("model", 0.5, seed=1))
    assert many["pass_at_1"]["low"] > 0 and many["pass_at_1"]["problems"] == 40 and "mcnemar_p" not in many
    assert many["pass_at_4"]["value"] > 0
    one, two = drawn("against", 0.1, samples=1), drawn("model", 0.5, samples=1, seed=1)
    greedy = compare(one, two)
    solved = [{i for i, (passed,) in e.outcomes.items() if passed} for e in (one, two)]
    assert (greedy["lost"], greedy["gained"]) == (len(solved[0] - solved[1]), len(solved[1] - solved[0]))
    assert greedy["mcnemar_p"] < 0.05 and "pass_at_4" not in greedy
    assert compare(one, one)["mcnemar_p"] == 1.0


def test_only_problems_that_both_answered_are_compared():
    before, after = drawn("against", 0.5), drawn("model", 0.5)
    assert compare(before, Evaluation("model", after.groups[:30]))["pass_at_1"]["problems"] == 30
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(Evaluation("against", before.groups[:3]), Evaluation("model", after.groups[3:]))


def test_seeds_bring_in_new_questions_only(monkeypatch):
    def ask(config, without):
        first = 4 * min(config.evaluation.seed, 2)
        return [problem(n) for n in range(first, first + 6)]

    monkeypatch.setattr(evaluate, "held_out", ask)
    found = held_out_by(EvaluateConfig(), (0, 1, 2))
    numbers = {seed: [int(p.id.rpartition("-")[2]) for p in problems] for seed, problems in found.items()}
    assert numbers == {0: [0, 1, 2, 3, 4, 5], 1: [6, 7, 8, 9], 2: [10, 11, 12, 13]}
    with pytest.raises(ConfigError, match=r"seed 9 brings in no problem .* raise evaluation\.samples"):
        held_out_by(EvaluateConfig(), (0, 2, 9))


def test_each_seeds_rate_is_that_of_its_own_problems():
    found = drawn("model", 0.3)
    halves = {7: [g.problem.id for g in found.groups[:20]], 8: [g.problem.id for g in found.groups[20:]]}
    row = Evaluation("model", found.groups, seeds=halves).row(0)
    assert [row["seeds"][s]["problems"] for s in ("7", "8")] == [20, 20]
    assert row["seeds"]["7"]["value"] > row["seeds"]["8"]["value"]
    assert np.mean([s["value"] for s in row["seeds"].values()]) == pytest.approx(row["pass_at"]["1"]["value"])


def record(path, evaluation: Evaluation, **settings) -> RunFolder:
    """The run folder that `crucible evaluate` leaves."""
    with RunFolder.create(path, EvaluateConfig(name=path.name, runs=path.parent, **settings)) as folder:
        write_evaluation(folder, evaluation, 0)
    return folder


def test_a_recorded_evaluation_is_used_where_it_asked_the_same(tmp_path):
    folder = record(tmp_path / "old", drawn("model", 0.2))
    assert isinstance(opponent_of(EvaluateConfig(against=str(folder.path))), RunFolder)
    problems = [g.problem for g in drawn("model", 0.2).groups[:30]]
    found = recorded_evaluation(folder, EvaluateConfig(), problems)
    assert found.name == "against" and list(found.outcomes) == [p.id for p in problems]
    assert found.outcomes == {p.id: drawn("model", 0.2).outcomes[p.id] for p in problems}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_tokens": 64}, "max_tokens was 192 there and is 64 here"),
        ({"evaluation": {"temperature": 0}}, "temperature was 1.0 there and is 0"),
        ({}, r"1 of these 2 problems \(such as lis-1-999\) were not measured there"),
    ],
)
def test_a_recorded_evaluation_of_other_samples_is_refused(tmp_path, changes, says):
    folder = record(tmp_path / "old", drawn("model", 0.2))
    with pytest.raises(ConfigError, match=says):
        recorded_evaluation(folder, EvaluateConfig(**changes), [drawn("model", 0.2).groups[0].problem, problem(999)])


def adapter_of(number: float) -> PolicyVersion:
    """An adapter whose one matrix holds `number`."""
    weights = save({"base_model.model.layer.lora_A.weight": np.full((4, 2), number, np.float32)})
    return PolicyVersion("run", 3, weights, {"r": 4})


def test_whom_to_compare_with(tmp_path):
    adapter = adapter_of(0)
    folder = record(tmp_path / "trained", drawn("before", 0.2))
    for step in ("000002", "000010"):
        (folder.checkpoints / step).mkdir()
        (folder.checkpoints / step / "checkpoint.json").write_text("{}")
        written = adapter_of(int(step)).write(folder.checkpoints / step)
        written.rename(folder.checkpoints / step / "adapter")
    assert opponent_of(EvaluateConfig()) is None
    assert opponent_of(EvaluateConfig(against="base", adapter="x")).weights == b""
    assert opponent_of(EvaluateConfig(against=str(adapter.write(tmp_path)))).weights == adapter.weights
    assert opponent_of(EvaluateConfig(against=str(folder.path))).weights == adapter_of(10).weights
    empty = RunFolder.create(tmp_path / "empty", EvaluateConfig())
    for against, says in ((str(empty.path), "no checkpoint and no recorded"), ("/no/such", "not a LoRA adapter")):
        with pytest.raises(ConfigError, match=says):
            opponent_of(EvaluateConfig(against=against))


@pytest.mark.parametrize(
    ("base", "model", "told"),
    [
        ("Qwen/Qwen2.5-0.5B", "/models/Qwen2.5-0.5B", False),
        ("/old/students/ab12", "/new/students/ab12", False),
        ("/students/ab12", "/students/cd34", True),
        (None, "/students/cd34", False),
    ],
)
def test_an_adapter_of_another_model_is_told(base, model, told):
    policy = PolicyVersion("r", 0, b"weights", {"base_model_name_or_path": base})
    assert other_base(policy, model) == (base if told else "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seeds", "1", "2", "1"], "name one twice"),
        (["--against", "base"], "compares the model with itself"),
        (["--suite-limit", "5"], "suite_limit has no effect without suites"),
        (["--suites", "gsm8k", "--seeds", "1", "2"], "seeds has no effect beside suites"),
        (["--suites", "gsm8k", "--problems.families", "lcs"], "problems has no effect beside suites"),
        (["--suites", "gsm8k", "--evaluation.problems", "9"], "evaluation.problems has no effect"),
    ],
)
def test_options_without_effect_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        parse(EvaluateConfig, options, prog="crucible evaluate")


ROWS = {path.name.partition(".")[0]: path for path in FIXTURES.iterdir()}
LIKE = {"mmlu_pro_math": "mmlu_pro", "gpqa_diamond": "gpqa"}
SUITES = {
    path.stem: ROWS[LIKE.get(path.stem, path.stem)] for path in Path(problems.__file__).parent.glob("mappings/*.yaml")
}
"""Every external data set that can be read, with a few rows in its own layout."""


@pytest.mark.parametrize("name", sorted(SUITES))
def test_every_data_set_is_a_suite(name):
    config = parse(EvaluateConfig, ["--suites", f"{name}={SUITES[name]}"], prog="crucible evaluate")
    assert config.problems == EvaluateConfig().problems
    asking = config.model_copy(update={"problems": config.questions})
    (found,) = held_out_by(asking, (0,)).values()
    assert found and {p.family for p in found} == {name} and {p.split for p in found} == {"test"}
    assert len({p.question_hash for p in found}) == len(found), "whole, and nothing twice"


def test_suites_are_asked_side_by_side_and_up_to_a_limit():
    named = [f"{name}={SUITES[name]}" for name in ("gsm8k", "mbpp")]
    config = parse(EvaluateConfig, ["--suites", *named, "--suite-limit", "1"], prog="crucible evaluate")
    (found,) = held_out_by(config.model_copy(update={"problems": config.questions}), (0,)).values()
    assert [p.family for p in found] == ["gsm8k", "mbpp"]


def test_a_suite_that_is_not_there_is_said_in_one_line():
    for suite, says in (("gsm8k=/none.jsonl", "/none.jsonl"), ("no_such_suite=/none.jsonl", "no_such_suite")):
        config = parse(EvaluateConfig, ["--suites", suite], prog="crucible evaluate")
        with pytest.raises(ConfigError, match=says) as error:
            held_out_by(config.model_copy(update={"problems": config.questions}), (0,))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("samples", [1, 4])
def test_what_an_evaluation_leaves(tmp_path, samples):
    config = EvaluateConfig(
        name="e", runs=tmp_path, against="base", adapter="a", evaluation={"temperature": 0 if samples == 1 else 1}
    )
    one, two = drawn("against", 0.1, samples=samples), drawn("model", 0.5, samples=samples, seed=1)
    said = io.StringIO()
    with RunFolder.create(tmp_path / "e", config) as folder:
        outcome = evaluate.conclude(folder, config, PolicyVersion("e", 0), two, one, Required.of((), {}, 1))
        write_report(folder)
    evaluate.show_outcome(Console(file=said, width=160), outcome)
    figures = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert set(figures["evaluations"]) == {"against", "model"} and figures["greedy"] == (samples == 1)
    assert figures["comparison"] == compare(one, two) and figures["conditions"] == []
    assert figures["evaluations"]["model"] == json.loads(json.dumps(two.row(0)))
    assert folder.samples("evaluation-*").num_rows == 2 * 40 * samples

    text = said.getvalue()
    assert "held-out pass@1 improved" in text and ("McNemar" in text) == (samples == 1)
    cell = two.grid()["lcs"][2]
    assert re.search(rf"lcs .*{100 * cell.value:.0f} \(10\)", text)

    page = (tmp_path / "e" / "report.html").read_text()
    charts = json.JSONDecoder().raw_decode(page.split("const figures = ", 1)[1])[0]
    heat = charts["chart-grid-1"]["data"][0]
    assert heat["type"] == "heatmap" and heat["x"] == ["1", "2"] and heat["y"] == ["lis", "lcs"]
    assert heat["z"][1][1] == cell.value and f"{cell.value:.1%}" in heat["text"][1][1]
    assert 'id="chart-grid-0"' in page and 'id="chart-grid-1"' in page


def unjudged(asked: Problem, count: int = 2, why: str = "the sandbox died") -> Group:
    lost = group(asked, *[LOST] * count)
    verdicts = tuple(Verdict(LOST, detail=why) for _ in lost.verdicts)
    return dataclasses.replace(lost, verdicts=verdicts, rewards=(None,) * count)


def judged(count: int, family: str = "lis") -> list[Group]:
    return [group(problem(number, family), PASS, WRONG) for number in range(count)]


@pytest.mark.parametrize(
    ("asked", "missing", "scored"), [(100, 1, True), (100, 2, False), (99, 1, False), (300, 3, True)]
)
@pytest.mark.parametrize("how", ["no answer", "no verdict"])
def test_a_score_needs_99_of_100_problems(asked, missing, scored, how):
    groups, lost = judged(asked - missing), ()
    if how == "no answer":
        lost = tuple(
            f"lost-{n}: engine number 1 of 2 is out: it has answered nothing for {600 + n} s" for n in range(missing)
        )
    else:
        groups += [unjudged(problem(1000 + n), why=f"worker {n} ended with -9") for n in range(missing)]
    found = Evaluation("model", tuple(groups), lost)
    assert len(found.without_verdict) == missing and found.row(0)["lost"] == missing
    if scored:
        found.check_complete()
        return
    with pytest.raises(
        ValueError, match=rf"model: no score, for {missing} of {asked} problems have no verdict"
    ) as raised:
        found.check_complete()
    text = str(raised.value)
    assert f"{missing} x " in text and ("engine number 1 of 2 is out" in text or "worker 0 ended" in text)
    assert "\n" not in text, "reasons that differ in numbers alone are one reason"


def test_samples_without_verdict_are_no_way_around_it():
    """One sample each of many problems: no problem is missing, and yet what was not judged would be left out."""
    groups = [group(problem(n), PASS, LOST) if n < 5 else group(problem(n), PASS, WRONG) for n in range(100)]
    with pytest.raises(ValueError, match=r"5 of 200 samples of 100 problems have no verdict"):
        Evaluation("model", tuple(groups)).check_complete()


def test_each_suite_must_be_whole():
    groups = [*judged(500, "math"), *judged(20, "code"), unjudged(problem(900, "code"))]
    found = Evaluation("model", tuple(groups))
    found.check_complete()
    parts = {name: [g.problem.id for g in groups if g.problem.family == name] for name in ("math", "code")}
    with pytest.raises(ValueError, match="1 of 21 problems of code have no verdict: 1 x the sandbox died"):
        found.check_complete(parts)
    config = parse(EvaluateConfig, ["--suites", "code=x.jsonl", "math=y.jsonl"], prog="crucible evaluate")
    with pytest.raises(ConfigError, match="of code have no verdict"):
        evaluate.check(found, config)


def test_what_is_missing_and_what_had_no_room_is_said():
    text = io.StringIO()
    found = Evaluation("model", tuple(judged(199)), ("lost-7: no engine",), short_of_room=3)
    evaluate.show(Console(file=text, width=300), [found])
    assert (
        "1 of 200 problems of model have no verdict and are left out, not counted as wrong: 1 x no engine (lost-7)"
        in (text.getvalue())
    )
    assert "3 samples of model had fewer than max_tokens to answer in" in text.getvalue()


def test_recorded_opponents_must_be_whole_too(tmp_path):
    problems_ = [problem(n) for n in range(20)]
    before = Evaluation("model", (*(group(p, PASS) for p in problems_[:-1]), unjudged(problems_[-1], 1)))
    config = EvaluateConfig()
    with RunFolder.create(tmp_path / "run", config) as folder:
        write_evaluation(folder, before, 0)
    with pytest.raises(ConfigError, match="against: no score, for 1 of 20 problems"):
        recorded_evaluation(RunFolder.open(tmp_path / "run"), config, problems_)


def partly(asked: Problem, *passed: int, total: int = 4) -> Group:
    """Samples that pass so many of `total` tests."""
    found = group(asked, *(PASS if tests == total else WRONG for tests in passed))
    verdicts = tuple(Verdict(v.status, tests, total, total) for v, tests in zip(found.verdicts, passed, strict=True))
    return dataclasses.replace(found, verdicts=verdicts)


def test_samples_are_solved_partly_right_or_wrong_throughout():
    groups = (
        partly(problem(0), 4, 3, 0), partly(problem(1, difficulty=3), 4, 4, 1), partly(problem(2, "lcs", 4), 0, 0, 0),
        partly(problem(3, "lcs", 7), 4, 4, 4), group(problem(4, difficulty=10), LOST, LOST, LOST),
    )  # fmt: skip
    found = Evaluation("model", groups)
    assert dataclasses.astuple(found.counts) == (6, 2, 4)
    assert found.partial_credit == pytest.approx((3 / 4 + 0 + 1 / 4 + 0 + 0 + 0) / 6), "of failures alone"
    row = found.row(0)
    assert row["counts"]["all"] == {"solved": 6, "partial": 2, "failed": 4, "partial_credit": pytest.approx(1 / 6)}
    assert {band: cell["value"] for band, cell in row["bands"].items()} == {
        "easy": pytest.approx((1 / 3 + 2 / 3) / 2), "medium": 0, "hard": 1,
    }  # fmt: skip
    assert row["counts"]["bands"]["hard"] == {"solved": 3, "partial": 0, "failed": 0, "partial_credit": None}
    assert row["counts"]["families"]["lcs"]["failed"] == 3 and row["counts"]["difficulties"]["3"]["partial"] == 1
    for key in ("bands", "families", "difficulties"):
        assert sum(of_it["solved"] for of_it in row["counts"][key].values()) == 6, "each sample once"


@pytest.mark.parametrize(("difficulty", "band"), [(1, "easy"), (3, "easy"), (4, "medium"), (6, "medium"), (7, "hard")])
def test_bands_of_difficulty(difficulty, band):
    assert list(Evaluation("model", (partly(problem(0, difficulty=difficulty), 4),)).bands()) == [band]


def test_bands_counts_and_conditions_are_shown(tmp_path):
    config = EvaluateConfig(name="e", runs=tmp_path, require=("overall >= 50", "hard > 99"))
    groups = [partly(problem(n, difficulty=(1, 5, 9)[n % 3]), 4 if n % 2 else n % 4) for n in range(12)]
    found, problems_ = Evaluation("model", tuple(groups)), [g.problem for g in groups]
    required = Required.of(config.require, {LAST: problems_}, 1)
    said = io.StringIO()
    with RunFolder.create(tmp_path / "e", config) as folder:
        outcome = evaluate.conclude(folder, config, PolicyVersion("e", 0), found, None, required)
        write_report(folder)
    assert evaluate.show_outcome(Console(file=said, width=160), outcome) == 3
    text = said.getvalue()
    assert re.search(r"solved / partial / failed\W+6 / 3 / 3", text) and re.search(r"partial credit\D+25\.0 %", text)
    assert re.search(r"medium: 50\.0 % \(4\)", text) and "not met: hard > 99, measured 50.00 %" in text
    figures = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert figures["conditions"] == [
        {"condition": "overall >= 50", "value": 50.0, "met": True},
        {"condition": "hard > 99", "value": 50.0, "met": False},
    ]
    page = re.sub(r"<[^>]+>|\s+", " ", (tmp_path / "e" / "report.html").read_text())
    page = re.sub(r"\s+", " ", page)
    assert "pass@1 by band of difficulty" in page and "solved / partial / failed 6 / 3 / 3" in page
    assert "hard &gt; 99 50.00 % not met" in page and "overall &gt;= 50 50.00 % met" in page


def test_a_grid_is_filled_for_every_seed():
    words = ["--problems.families", "lis", "lcs", "--problems.difficulties", "1", "9", "--evaluation.per-cell", "3"]
    config = parse(EvaluateConfig, [*words, "--seeds", "4", "5"], prog="crucible evaluate")
    found = held_out_by(config, config.seeds)
    for problems_ in found.values():
        cells = collections.Counter((p.family, p.difficulty) for p in problems_)
        assert cells == {(family, d): 3 for family in ("lis", "lcs") for d in (1, 9)}
    assert len({p.question_hash for problems_ in found.values() for p in problems_}) == 24


def test_a_grid_that_cannot_be_filled_is_refused(monkeypatch):
    def few(*_):
        raise ValueError("family lis has only 3 more test problems of difficulty 1 that ..., and 9 are wanted")

    monkeypatch.setattr("problems.questions.grid", few)
    with pytest.raises(ConfigError, match=r"family lis has only 3 .* wanted; lower evaluation\.per_cell"):
        held_out_by(EvaluateConfig(evaluation={"per_cell": 9}), (0,))


@pytest.mark.parametrize("name", suite_names())
def test_every_shipped_suite_loads(name, tmp_path):
    by_option = parse(EvaluateConfig, ["--suite", name], prog="crucible evaluate")
    (tmp_path / "c.yaml").write_text(f"suite: {name}\n")
    assert by_option == parse(EvaluateConfig, ["--config", str(tmp_path / "c.yaml")], prog="crucible evaluate")
    for key, value in load_suite(name).items():
        section = getattr(by_option, key)
        if isinstance(value, dict):
            assert {inner: plain_config({"v": getattr(section, inner)})["v"] for inner in value} == value
    if by_option.suites:
        assert {suite for suite in by_option.suites} <= SUITES.keys(), "data sets that can be read"
        files = [f"{suite}={SUITES[suite]}" for suite in by_option.suites]
        config = parse(EvaluateConfig, ["--suite", name, "--suites", *files], prog="crucible evaluate")
        config = config.model_copy(update={"problems": config.questions})
    else:
        config = by_option
    (found,) = held_out_by(config, (config.evaluation.seed,)).values()
    Required.of(config.require, {LAST: found}, config.evaluation.group_size)


def test_the_shipped_suites_are_named_where_people_look():
    text = EvaluateConfig.model_fields["suite"].description or ""
    table = (Path(problems.__file__).parents[1] / "docs" / "evaluation.md").read_text()
    for name in suite_names():
        assert name in text and f"| `{name}` |" in table


def test_what_the_shipped_suites_ask():
    def asked(name):
        config = parse(EvaluateConfig, ["--suite", name], prog="crucible evaluate")
        (found,) = held_out_by(config, (config.evaluation.seed,)).values()
        return config, found

    config, found = asked("sft_baseline")
    assert all(p.family.endswith("@classic") for p in found)
    assert len(found) == 55 and config.evaluation.seed == 999 and config.evaluation.temperature == 0.2
    assert {p.difficulty for p in found} == {1, 3, 5, 7, 10} and len({p.family for p in found}) == 11
    assert config.require == ("overall > 50", "easy > 80")
    config, found = asked("hard_distil")
    assert sorted(p.family for p in found) == ["coin_change@classic", "knapsack@classic", "n_queens@classic"]
    assert (config.evaluation.top_p, config.evaluation.seed, config.require) == (0.9, 42, ("overall >= 50",))
    config, found = asked("focused")
    assert {p.family for p in found} == {"remove_duplicates@classic", "fibonacci@classic"}
    assert len(found) == 20 and config.evaluation.samples == 8 and config.evaluation.temperature == 0.7
    config, found = asked("lrl")
    assert len(found) == 150 and {p.family for p in found} == {"scheduling"} and config.evaluation.group_size == 1


def test_what_is_given_beside_a_suite_comes_on_top(tmp_path):
    (tmp_path / "c.yaml").write_text("suite: hard_distil\nevaluation: {per_cell: 7}\nrequire: [overall > 1]\n")
    config = parse(EvaluateConfig, ["--config", str(tmp_path / "c.yaml"), "--evaluation.seed", "5"], prog="c")
    assert (config.evaluation.per_cell, config.evaluation.seed, config.evaluation.top_p) == (7, 5, 0.9)
    assert config.require == ("overall > 1",)
    recorded = tmp_path / "recorded.yaml"
    recorded.write_text(yaml.safe_dump(plain_config(config)))
    assert load_yaml(EvaluateConfig, recorded) == config, "a run folder's own file means the same"


@pytest.mark.parametrize("name", suite_names())
def test_a_default_that_is_given_beside_a_suite_is_recorded(name, tmp_path):
    """Whatever the suite sets: what is as by default again must not read back as the suite's."""
    plain = EvaluateConfig()
    sections = {section: values for section, values in load_suite(name).items() if isinstance(values, dict)}
    defaults = {
        section: {key: getattr(getattr(plain, section), key) for key in values} for section, values in sections.items()
    }
    given, recorded = tmp_path / "given.yaml", tmp_path / "recorded.yaml"
    given.write_text(yaml.safe_dump(plain_config({"suite": name, **defaults})))
    config = load_yaml(EvaluateConfig, given)
    assert all(getattr(config, section) == getattr(plain, section) for section in sections)
    recorded.write_text(yaml.safe_dump(plain_config(config)))
    assert load_yaml(EvaluateConfig, recorded) == config


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--suite", "sft_basline"], "there is no suite 'sft_basline'; did you mean sft_baseline"),
        (["--suite", "gsm8k"], "'gsm8k' is a data set: give it as --suites gsm8k"),
        (["--suites", "sft_baseline"], "a shipped evaluation and no data set: give it as --suite"),
        (["--suite", "sft_baseline", "--evaluation.problems", "9"], "no effect beside evaluation.per_cell"),
        (["--suites", "gsm8k", "--evaluation.per-cell", "2"], "per_cell has no effect beside suites"),
        (["--require", "overall >> 5"], "no single comparison"),
        (["--evaluation.temperature", "0", "--evaluation.top-p", "0.9"], "top_p has no effect at temperature 0"),
    ],
)
def test_what_a_suite_a_grid_or_a_condition_cannot_be(words, says):
    with pytest.raises(ConfigError, match=says) as error:
        parse(EvaluateConfig, words, prog="crucible evaluate")
    assert "\n" not in str(error.value)


def test_data_sets_have_no_grid():
    parts = ({"source": {"mapping": "gsm8k", "path": str(SUITES["gsm8k"]), "split": "test"}},)
    with pytest.raises(ValueError, match=r"problems\.parts has none: leave it out"):
        EvaluateConfig(problems={"parts": parts}, evaluation={"per_cell": 2})
