"""`crucible expert-iteration`: what counts as one solution, what is mixed and paired, what is rolled back; the whole on
a scripted student, and on a real one that is killed."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from expert_scripted import START, ScriptedStudent, config, start
from hypothesis import given
from hypothesis import strategies as st
from job import crucible
from job import start as start_apart
from pages import figures_of

from pipelines.errors import ConfigError
from pipelines.jobs.expert import main
from pipelines.jobs.expert.ast_dedup import normal_form
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.expert.job import best_of, fallen
from pipelines.jobs.expert.replay_mix import Solution, filter_correct, fresh_only, pairs, replay_mix
from pipelines.measure.statistics import Difference
from pipelines.student import StudentRecipe, build_student
from pipelines.trace_data import written_traces
from problems.config import ProblemsConfig
from problems.problem import Group, Sample, Status, Verdict
from problems.splits import split_of
from problems.stream import ProblemStream
from rollout.prompts import completion_text
from train.pretrain import ArchitectureConfig, PretrainConfig

ROOT = Path(__file__).resolve().parents[2]

# --- which programs are one

PROGRAM = """
def total(values, start):
    rest = [value + start for value in values if value]
    def add(one, other=start):
        return one + other
    for place, value in enumerate(rest):
        rest[place] = add(value)
    return sum(rest)
"""
LOCALS = ("values", "start", "rest", "add", "one", "other", "place", "value")


@given(st.lists(st.from_regex(r"[a-z]{2}_[a-z0-9]{1,5}", fullmatch=True), min_size=8, max_size=8, unique=True))
def test_names_of_locals_make_no_difference(names):
    renamed = re.sub(r"\b(" + "|".join(LOCALS) + r")\b", lambda m: names[LOCALS.index(m[1])], PROGRAM)
    assert ast.parse(renamed) and normal_form(renamed) == normal_form(PROGRAM)


@given(st.permutations(LOCALS))
def test_names_may_trade_places(names):
    renamed = re.sub(r"\b(" + "|".join(LOCALS) + r")\b", lambda m: names[LOCALS.index(m[1])], PROGRAM)
    assert normal_form(renamed) == normal_form(PROGRAM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(n):\n    return n + 1", "def f(k: int) -> int:\n    '''Adds one.'''\n    # so\n    return k+1"),
        ("def f(n):\n    a: list[int] = []\n    return a", "def f(m):\n\n    b = []\n    return (b)"),
        ("def f(a, b):\n    a, b = b, a\n    return a", "def f(b, a):\n    b, a = a, b\n    return b"),
        ("def f(n):\n    def g(k): return k * n\n    return g(2)",
         "def f(x):\n    def h(y): return y * x\n    return h(2)"),
        ("def f(n):\n    return lambda a: a + n", "def f(a):\n    return lambda n: n + a"),
        ("def f(x):\n    return [y for y in x for z in y]", "def f(y):\n    return [x for x in y for w in x]"),
        ("def f(x):\n    try:\n        pass\n    except E as e:\n        return e\n    else:\n        pass",
         "def f(y):\n    try:\n        pass\n    except E as z:\n        return z"),
        ("def f(x):\n    match x:\n        case [a, *b]: return b",
         "def f(y):\n    match y:\n        case [c, *d]: return d"),
        ("def f(n):\n    c = 0\n    def g():\n        nonlocal c\n        c += n\n    return g",
         "def f(m):\n    k = 0\n    def h():\n        nonlocal k\n        k += m\n    return h"),
        ("def f(x):\n    return (y := x) + y", "def f(a):\n    return (b := a) + b"),
    ],
)  # fmt: skip
def test_one_solution_however_it_is_written(one, other):
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a"),
        ("def f(n):\n    return n", "def g(n):\n    return n"),
        ("def f(n):\n    return 'n'", "def f(k):\n    return 'k'"),
        ("def f(n):\n    return n + 1", "def f(n):\n    return n + 2"),
        ("def f(n):\n    return len(n)", "def f(n):\n    return max(n)"),
        ("def f(n):\n    x = 1\n    return [x for x in n], x", "def f(n):\n    x = 1\n    return [y for y in n], n"),
        # A keyword names the parameter that it gives.
        ("def f(n):\n    def g(a, b): return a - b\n    return g(a=n, b=1)",
         "def f(n):\n    def g(b, a): return b - a\n    return g(a=n, b=1)"),
        ("def f(n):\n    a = 1\n    return eval('a')", "def f(n):\n    b = 1\n    return eval('a')"),
        ("def f(n):\n    global a\n    a = n", "def f(n):\n    global b\n    b = n"),
        ("class A:\n    x = 1\ndef f(n):\n    return A.x", "class A:\n    y = 1\ndef f(n):\n    return A.y"),
        ("def f(:", "def g(:"),
    ],
)  # fmt: skip
def test_unlike_programs_stay_apart(one, other):
    assert normal_form(one) != normal_form(other)


@given(st.text(max_size=60))
def test_any_text_has_a_normal_form(text):
    assert normal_form(text) == normal_form(text)


def test_nests_and_null_bytes_stand_for_themselves():
    for code in ("(" * 5000, "-" * 15000 + "1", "def f():\0", "x" * 30000):
        assert len(normal_form(code)) == 16


# --- correct samples, replay, pairs

PROBLEMS = list(ProblemStream(ProblemsConfig(families=("reverse_string", "is_palindrome")), "train").range(0, 12))
BY_ID = {problem.id: problem for problem in PROBLEMS}


def group(problem, *answers):
    """A group of (code, status) or (code, status, finish reason)."""
    none, samples, verdicts = np.zeros(0, np.int32), [], []
    for index, (code, status, *finish) in enumerate(answers):
        text, reason = completion_text(code), finish[0] if finish else "stop"
        samples.append(Sample(problem.id, "0.0", index, none, none, none, text, reason, 0, ""))
        verdicts.append(Verdict(status))
    return Group(0, 0, problem, tuple(samples), tuple(verdicts))


def test_only_what_passed_is_kept_and_each_once():
    passed, wrong, failed = Status.PASSED, Status.WRONG_ANSWER, Status.INFRASTRUCTURE
    a = "def {}(x):\n    return x"
    b, c = "def {}(y: int):\n    # the same\n    return y", "def {}(x):\n    return [x][0]"
    one, two = PROBLEMS[0], PROBLEMS[1]
    a1, b1, c1 = (text.format(one.entry_point) for text in (a, b, c))
    groups = [
        group(one, (a1, passed), (b1, passed), (c1, passed), ("def g(): 1", wrong), (c1, failed)),
        group(two, (a.format(two.entry_point), wrong), (a.format(two.entry_point), failed)),
    ]
    found = filter_correct(groups, BY_ID, frozenset({one.id}), 1, keep=2)
    assert [s.row["code"] for s in found.solutions] == [a1, c1]
    assert (found.sampled, found.failed, found.passed, found.repeats, found.solved) == (7, 2, 3, 1, 1)
    assert all(s.focus and s.row["verified"] and s.row["timestamp"] == "" for s in found.solutions)
    assert len(filter_correct(groups, BY_ID, frozenset(), 1, keep=1).solutions) == 1
    assert fresh_only(found.solutions, found.solutions[:1]) == list(found.solutions[1:])


def solution(number, family, form="", focus=False):
    problem = next(p for p in PROBLEMS if p.family == family)
    problem = type(problem)(**{f: getattr(problem, f) for f in problem.__slots__} | {"params": {"n": number}})
    return Solution(problem, form or str(number), focus, 1, {})


POOLS = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(
    lambda sizes: (
        [solution(n, "reverse_string") for n in range(sizes[0])]
        + [solution(100 + n, "is_palindrome") for n in range(sizes[1])]
    )
)


@given(POOLS, st.integers(0, 30), st.floats(0, 0.9), st.sampled_from(["balanced", "diverse"]), st.integers(0, 3))
def test_replay_is_its_share_without_repeats_and_fair_to_families(pool, new, share, draw, seed):
    found = replay_mix(pool, new, share, draw, str(seed))
    assert found == replay_mix(list(reversed(pool)), new, share, draw, str(seed)), "the pool's order decides nothing"
    assert len(found) == min(len(pool), round(new * share / (1 - share)))
    assert len({s.key for s in found}) == len(found) and {s.key for s in found} <= {s.key for s in pool}
    counts, there = Counter(s.problem.family for s in found), Counter(s.problem.family for s in pool)
    for family, other in (("reverse_string", "is_palindrome"), ("is_palindrome", "reverse_string")):
        assert counts[family] >= min(there[family], counts[other] - 1)


def test_diverse_replay_takes_unlike_programs_first():
    pool = [solution(n, "reverse_string", form="same") for n in range(9)]
    pool += [solution(50 + n, "reverse_string", form=f"other {n}") for n in range(3)]
    found = replay_mix(pool, 4, 0.5, "diverse", "0")
    assert {s.form for s in found} == {"same", "other 0", "other 1", "other 2"}


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ValueError, match="replay share"):
        replay_mix([], 3, share, "balanced", "0")


def test_pairs_are_of_real_judgements_alone():
    problem = PROBLEMS[0]
    right, same = f"def {problem.entry_point}(x):\n    return x", f"def {problem.entry_point}(z):\n    return z"
    wrong = [f"def {problem.entry_point}(x):\n    return {n}" for n in range(5)]
    groups = [
        group(
            problem, (right, Status.PASSED), (same, Status.PASSED), (wrong[0], Status.INFRASTRUCTURE),
            (wrong[1], Status.TRUNCATED, "length"), (wrong[2], Status.UNPARSED), (wrong[3], Status.TIMEOUT),
            (wrong[4], Status.WRONG_ANSWER),
        ),
        group(PROBLEMS[1], (wrong[0], Status.WRONG_ANSWER)),
    ]  # fmt: skip
    (pair,) = pairs(groups, BY_ID, 3)
    assert (pair.right.index, pair.wrong.index, pair.status) == (0, 5, Status.TIMEOUT)


# --- what is rolled back, and what is best


@pytest.mark.parametrize(
    ("focus", "general", "want"),
    [((0.1, 0.05, 0.2), (-0.1, -0.2, -0.01), ("general",)), ((0.1, 0.0, 0.2), (-0.1, -0.2, 0.0), ()),
     ((-0.2, -0.3, -0.1), (-0.2, -0.3, -0.1), ("focus", "general"))],
)  # fmt: skip
def test_a_side_has_fallen_where_its_whole_interval_is_below_zero(focus, general, want):
    assert fallen({"focus": Difference(*focus, 9), "general": Difference(*general, 9)}) == want


def test_the_best_is_the_first_of_highest_focus_among_the_accepted():
    rows = [
        {"name": name, "accepted": accepted, "val": {"focus": {"value": value}}}
        for name, accepted, value in (("a", True, 0.5), ("b", False, 0.9), ("c", True, 0.6), ("d", True, 0.6))
    ]
    assert best_of(0.4, rows) == "c" and best_of(0.6, rows) == "start" and best_of(0.4, []) == "start"


# --- a whole run, on a scripted student


def test_replay_keeps_what_the_model_knew(tmp_path):
    results, student = start(config(tmp_path))
    assert [row["accepted"] for row in results["iterations"]] == [True] * 3 and results["best"] == "iteration-3"
    assert results["change"]["focus"]["low"] > 0 and results["change"]["general"]["value"] == 0
    # Each iteration goes on from the adapter before, and half of what it learns is replay.
    assert [initial and initial.weights for _, _, initial in student.learnt] == [None, b"65,80", b"80,80"]
    for row, (_, traces, _) in zip(results["iterations"], student.learnt, strict=True):
        assert row["learnt"]["focus"] + row["learnt"]["replay"] == len(traces)
        assert row["learnt"]["share"] == pytest.approx(0.5, abs=0.1) and row["learnt"]["general"]
        assert row["samples"]["repeats"] > 0 and all(trace["verified"] for trace in traces)
    # New problems of the train split each time; held-out ones are of their own split.
    asked = {name: ids for name, ids, _ in student.asked}
    trained = [i for name, ids in asked.items() if name.endswith("-train") for i in ids]
    assert len(trained) == len(set(trained)) == 72 and all("-train-" in i for i in trained)
    assert all("-val-" in i for i in asked["start-val"]) and all("-test-" in i for i in asked["start-test"])
    assert [name for name in asked if name.endswith("-test")] == ["start-test", "iteration-3-test"]
    folder = tmp_path / "run"
    assert (folder / "adapter" / "adapter_model.safetensors").read_bytes() == b"95,80"
    kept = written_traces(folder / "iterations" / "1" / "solutions.jsonl")
    assert len(kept) == results["iterations"][0]["samples"]["kept"]
    assert all(split_of(trace.problem.question_hash) == "train" for trace in kept)
    assert pq.read_table(folder / "iterations" / "1" / "traces.parquet").num_rows == len(student.learnt[0][1])
    page = (folder / "report.html").read_text()
    assert "did not change beyond chance" in page and "improved" in page and set(figures_of(page)) == {"skill"}


def test_conditions_are_checked_on_the_test_problems(tmp_path):
    required = ("reverse_string > 60", "before reverse_string > 60", "every family >= 0")
    results, _ = start(config(tmp_path, require=required))
    assert {one["condition"]: one["met"] for one in results["conditions"]} == {
        "reverse_string > 60": True, "before reverse_string > 60": False, "reverse_string >= 0": True,
        "is_palindrome >= 0": True, "max_subarray >= 0": True,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="none of the 80 problems is of knapsack; there are is_palindrome"):
        start(config(tmp_path / "other", require=("knapsack > 1",)))


def test_without_replay_the_loss_is_shown(tmp_path):
    results, student = start(config(tmp_path, replay=0, rollback=False))
    assert results["change"]["general"]["high"] < 0 < results["change"]["focus"]["low"]
    assert [row["fallen"] for row in results["iterations"]] == [["general"]] * 3
    asked = {i.split("-d")[0] for name, ids, _ in student.asked if name.endswith("-train") for i in ids}
    assert asked == {"reverse_string"}, "nothing general is sampled where nothing is replayed"
    assert all(row["learnt"]["replay"] == 0 for row in results["iterations"][:1])


def test_a_loss_is_rolled_back_until_patience_ends(tmp_path):
    results, student = start(config(tmp_path, replay=0))
    assert [row["accepted"] for row in results["iterations"]] == [False, False]
    assert results["stopped"] == "2 iterations in a row were rolled back" and results["best"] == "start"
    assert [initial for _, _, initial in student.learnt] == [None, None], "both start from the last good adapter"
    assert not (tmp_path / "run" / "adapter").exists() and results["change"] == {}
    assert "rolled back" in (tmp_path / "run" / "report.html").read_text()


def test_growing_from_the_base_learns_all_solutions_so_far(tmp_path):
    results, student = start(config(tmp_path, grow="base", iterations=2))
    assert [initial for _, _, initial in student.learnt] == [None, None]
    first, second = ({t["problem_id"] for t in traces} for _, traces, _ in student.learnt)
    focus = {i for i in first if i.startswith("reverse_string")}
    assert focus < second and results["iterations"][1]["learnt"]["focus"] > results["iterations"][0]["learnt"]["focus"]


@pytest.mark.parametrize(("stage", "after"), [("after", b"65,80"), ("instead", None)])
def test_negatives(tmp_path, stage, after):
    settings = config(tmp_path, negatives="dpo", dpo={"stage": stage}, iterations=1)
    results, student = start(settings)
    ((number, chosen, initial),) = student.preferred
    assert number == 1 and (initial and initial.weights) == after and len(student.learnt) == (stage == "after")
    assert results["iterations"][0]["pairs"] == len(chosen) > 0
    lines = (tmp_path / "run" / "iterations" / "1" / "pairs.jsonl").read_text().splitlines()
    assert len(lines) == len(chosen) and {json.loads(line)["status"] for line in lines} == {"wrong_answer"}


def test_a_student_that_solves_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("expert_scripted.START", (0, START[1]))
    with pytest.raises(ValueError, match="12 focus problems the model solved 0 in 4 samples each"):
        start(config(tmp_path))


@pytest.mark.parametrize("kill_at", [2, 3, 7])
def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path, kill_at, whole):
    script, runs = ROOT / "tests/pipelines/expert_scripted.py", tmp_path / "killed"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, str(script), str(runs), str(kill_at)], env={**os.environ, "PYTHONPATH": path}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL and not (runs / "run" / "results.json").exists()
    start(config(runs), resume=True)
    assert artefacts(runs / "run") == whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    runs = tmp_path_factory.mktemp("whole")
    start(config(runs))
    return artefacts(runs / "run")


def artefacts(folder):
    """What a run leaves that must not depend on where it was interrupted."""
    files = [*folder.glob("iterations/*/*.jsonl"), *folder.glob("adapter/*"), folder / "results.json"]
    samples = {
        path.name: pq.read_table(path, columns=["problem_id", "completion", "status", "reward"]).to_pylist()
        for path in folder.glob("samples/*.parquet")
    }
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}, samples


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"focus": {"families": ["coin_change"]}, "general": {"families": ["coin_change"]}}, "coin_change cannot be"),
        ({"replay": 1.0}, "less than 1"),
        ({"general_problems": 0}, "nothing general to replay"),
        ({"replay": 0, "draw": "diverse"}, "draw has no effect"),
        ({"rollback": False, "patience": 5}, "patience counts rollbacks"),
        ({"replay": 0, "replay_traces": "here.jsonl"}, "replay_traces has no effect with replay 0"),
        ({"data": {"trust": True}}, "data has no effect without replay_traces"),
        ({"dpo": {"beta": 0.3}}, "dpo has no effect without negatives"),
    ],
)
def test_settings_without_effect_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        ExpertConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--replay", "2"], "replay"),
        (["--focus.families", "coin_chang"], "coin_change"),
        (["--model", "/nowhere"], "no model folder"),
        (["--resume", "/nowhere"], "no run to resume"),
        (["--iteration", "3"], "iterations"),
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, says, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said and len(said.strip().splitlines()) == 1


# --- a real engine, a real learner


@pytest.fixture(scope="module")
def crammer(tmp_path_factory):
    """Folder of a student that knows some twenty training problems of each of two families by heart: it is made in ten
    seconds, and solves what a run asks it first."""
    recipe = StudentRecipe(
        problems=ProblemsConfig(families=("reverse_string", "is_palindrome"), difficulties=(1, 2)),
        count=40,
        recall=0,
        right=1.0,
        other=0.0,
        vocabulary=512,
        architecture=ArchitectureConfig(layers=2, intermediate=256),
        pretrain=PretrainConfig(steps=150, batch_size=16),
    )
    return build_student(recipe, tmp_path_factory.mktemp("students"), quiet=True, threads=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_student_learns_and_goes_on_after_a_kill(crammer, tmp_path, ray_local):
    sizes = ["--focus-problems=12", "--general-problems=8", "--samples=4", "--val-problems=8", "--test-problems=8",
             "--measured=2", "--iterations=1", "--max-tokens=64", "--negatives=dpo", "--rollback=False"]  # fmt: skip
    asked = ["--focus.families", "reverse_string", "--focus.difficulties", "1", "2", "--general.families",
             "is_palindrome", "--general.difficulties", "1", "2", "--sft.epochs=2"]  # fmt: skip
    common = ["expert-iteration", "--model", crammer, "--runs", tmp_path, *sizes, *asked]
    crucible(*common, "--name", "whole")
    folder = tmp_path / "whole"
    (row,) = json.loads((folder / "results.json").read_text())["iterations"]
    assert row["learnt"]["general"] and row["pairs"] and (folder / "iterations/1/dpo/adapter").is_dir()
    process = start_apart(*common, "--name", "cut", start_new_session=True)
    deadline = time.monotonic() + 400
    while not list((tmp_path / "cut/iterations/1/sft/checkpoints").glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "results.json").exists()
    crucible("expert-iteration", "--resume", tmp_path / "cut")
    assert artefacts(tmp_path / "cut") == artefacts(folder)
    weights = [path / "iterations/1/dpo/adapter/adapter_model.safetensors" for path in (folder, tmp_path / "cut")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_scripted_student_is_asked_nothing_twice(tmp_path):
    _, first = start(config(tmp_path))
    before = artefacts(tmp_path / "run")
    _, again = start(config(tmp_path), resume=True)
    assert artefacts(tmp_path / "run") == before and first.used > 0 == again.used
    assert isinstance(again, ScriptedStudent)
