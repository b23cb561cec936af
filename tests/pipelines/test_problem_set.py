"""The problems of a job: proven, shown as shots, and asked at a level that does not depend on when they are asked."""

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from job import crucible
from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder, step_name
from pipelines.artifacts.samples import sample_rows
from pipelines.config import ConfigError, EvaluateConfig, GRPOConfig
from pipelines.measure.problem_set import (
    LevelsActor,
    SandboxProof,
    indices_per_step,
    outcomes_of,
    outcomes_of_table,
    questions_of,
    train_problem,
    with_questions,
    with_shots,
)
from problems.curriculum import CurriculumConfig, Levels
from problems.problem import Group, Problem, Sample, Status, Test, Verdict

FIXTURES = Path(__file__).parents[1] / "problems" / "fixtures"
QUIET = Console(quiet=True)
ADAPTIVE = CurriculumConfig(schedule="adaptive", window=1)


def job(*parts: dict, **fields) -> GRPOConfig:
    return GRPOConfig.model_validate({"problems": {"parts": parts}, **fields})


def source(name: str, split: str = "train", **fields) -> dict:
    return {"source": {"mapping": name.partition(".")[0], "path": str(FIXTURES / name), "split": split, **fields}}


def group(index: int, passed: list[bool | None], difficulty: int = 1) -> Group:
    """A judged group; None is a sample that could not be judged."""
    problem = Problem(
        id=f"p{index}", family="lcs", family_version=1, difficulty=difficulty, split="train", statement="s",
        entry_point="f", signature="def f() -> int:", public_examples=(), hidden_tests=(Test((), 1),),
    )  # fmt: skip
    sample = Sample(
        problem_id=problem.id, group_id=f"g{index}", index=0, prompt_ids=np.array([1], np.int32),
        completion_ids=np.array([2], np.int32), logprobs=np.array([-1.0], np.float32), text="t", finish_reason="stop",
        policy_version=0, adapter_hash="",
    )  # fmt: skip
    status = {True: Status.PASSED, False: Status.WRONG_ANSWER, None: Status.INFRASTRUCTURE}
    rewards = tuple(None if p is None else float(p) for p in passed)
    return Group(index, 0, problem, (sample,) * len(passed), tuple(Verdict(status[p]) for p in passed), rewards)


def test_sources_of_a_job_are_proven_in_the_sandbox(tmp_path):
    text = (FIXTURES / "mbpp.jsonl").read_text().replace("== 0", "== 1", 1)
    (tmp_path / "mbpp.jsonl").write_text(text)
    bad = source("mbpp.jsonl")
    bad["source"]["path"] = str(tmp_path / "mbpp.jsonl")
    questions = questions_of(job(bad, source("gsm8k.jsonl", "test")))
    assert (questions.report.kept, questions.report.excluded) == (4, 1)
    assert "mbpp.jsonl:1: the gold answer fails its own check: wrong_answer" in questions.report.reasons[0]
    bad["source"]["strict"] = True
    with pytest.raises(ConfigError, match="strict mode stops here"):
        questions_of(job(bad))


@pytest.mark.parametrize(("given", "missing"), [("test", "train"), ("train", "test")])
def test_a_job_without_problems_of_a_split_says_so_before_it_starts(given, missing):
    with pytest.raises(ConfigError, match=f"no problems of split {missing}, only of {given}"):
        with_questions(job(source("svamp.json", given)), QUIET)


def test_the_proof_travels_to_workers_without_its_sandbox():
    with SandboxProof() as prove:
        problem = group(0, [True]).problem
        assert prove(problem, "def f():\n    return 1") == "" and "wrong_answer" in prove(
            problem, "def f():\n    return 2"
        )
        with pickle.loads(pickle.dumps(prove)) as again:
            assert again(problem, "def f():\n    return 1") == ""


def test_few_shot_examples_are_worked_training_problems():
    parts = {"procedural": {"families": ["lcs", "rpn"]}}, source("gsm8k.jsonl"), source("svamp.json", "test")
    config = with_questions(job(*parts, prompt={"few_shot": 3}), QUIET)
    drawn = config.prompt
    assert drawn.few_shot == 0 and len({s.question for s in drawn.shots}) == 3
    assert sum("```python\ndef " in s.answer for s in drawn.shots) == 2, "a shot of each family first"
    assert sum(s.answer.startswith("\\boxed{") for s in drawn.shots) == 1
    assert with_questions(config, QUIET) == config == with_questions(job(*parts, prompt={"few_shot": 3}), QUIET)
    with pytest.raises(ConfigError, match="answers are known of 0 training problems"):
        with_questions(job(source("livecodebench.jsonl"), parts[2], prompt={"few_shot": 1}), QUIET)
    only_test = EvaluateConfig.model_validate({"problems": {"parts": [parts[2]]}, "prompt": {"few_shot": 1}})
    with pytest.raises(ConfigError, match="no problems of split train"):
        with_questions(only_test, QUIET)
    with pytest.raises(ConfigError, match="no problems of split train"):
        with_shots(only_test.prompt, questions_of(only_test))


def test_few_shot_examples_of_verdicts_show_each_verdict():
    shots = with_questions(
        job({"procedural": {"families": ["scheduling"]}}, prompt={"few_shot": 2}), QUIET
    ).prompt.shots
    assert len({shot.answer for shot in shots}) == 2


def test_outcomes_are_the_same_from_groups_and_from_the_run_folder(tmp_path):
    steps = [
        [group(1, [True, False]), group(0, [True, True], 3)],
        [group(2, [None, None])],
        [group(3, [None, False, True, True])],
    ]
    with RunFolder.create(tmp_path / "run", {}) as folder:
        for step, groups in enumerate(steps, start=1):
            folder.write_samples(step_name(step), [row for g in groups for row in sample_rows(g, step=step)])
        found = outcomes_of_table(
            folder.samples(columns=["step", "sequence", "family", "difficulty", "passed", "reward"])
        )
    assert found == [outcomes_of(groups) for groups in steps]
    assert found == [[("lcs", 3, 1.0), ("lcs", 1, 0.5)], [], [("lcs", 1, 2 / 3)]]


def test_levels_wait_for_the_steps_before_a_number_and_survive_a_restart(tmp_path):
    async def scenario() -> None:
        actor = LevelsActor(ADAPTIVE, 2, 0, str(tmp_path / "run"))
        assert await actor.difficulties(1, "lcs") == (1,)
        waiting = asyncio.ensure_future(actor.difficulties(2, "lcs"))
        await asyncio.sleep(0.01)
        assert not waiting.done(), "step 0 is not over yet"
        folder.write_samples(step_name(1), sample_rows(group(0, [True]), step=1))
        await actor.observe(0, outcomes_of([group(0, [True])]))
        assert await waiting == (2,)
        again = LevelsActor(ADAPTIVE, 2, 0, str(tmp_path / "run"))
        assert [await again.difficulties(n, "lcs") for n in range(4)] == [(1,), (1,), (2,), (2,)]
        waiting = asyncio.ensure_future(again.difficulties(4, "lcs"))
        await asyncio.sleep(0.01)
        await again.roll_back(0)
        assert await waiting == (1,), "a lease of before the roll-back is void and must not hold the stream up"

    with RunFolder.create(tmp_path / "run", {}) as folder:
        asyncio.run(scenario())


def test_a_job_s_numbers_mean_the_same_problem_whenever_they_are_asked():
    curriculum = {"schedule": "linear", "steps_per_level": 1}
    config = GRPOConfig.model_validate({"problems": {"families": ["lcs"], "curriculum": curriculum}, "seed": 3})
    assert indices_per_step(config) == 8
    problem = train_problem(config, None)
    assert [problem(n).difficulty for n in (0, 7, 8, 16, 800)] == [1, 1, 2, 3, 10]
    assert pickle.loads(pickle.dumps(problem))(9) == problem(9)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_a_mix_asks_every_number_at_its_level_also_after_it_was_resumed(ray_local, tiny_student, tmp_path):
    config = {
        "model": str(tiny_student),
        "evaluation": {"problems": 6, "samples": 2},
        "rollout": {"groups_per_step": 4, "group_size": 4, "max_staleness": 1, "sampling": {"max_tokens": 64}},
        "train": {"checkpoint_every": 2, "group_filter": "reward"},
        "verify": {"reward": {"outcome": "fraction", "format_weight": 0.5}},
        "problems": {
            "parts": [
                {"procedural": {"families": ["reverse_string", "is_palindrome"]}, "weight": 3},
                source("mbpp.jsonl"),
                source("gsm8k.jsonl", "test"),
            ],
            "curriculum": {"schedule": "staged", "most_groups": 3},
        },
    }
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(config))
    start = ["--config", tmp_path / "mix.yaml", "--runs", tmp_path, "--name", "mix", "--steps=3"]
    for arguments in (start, ["--resume", tmp_path / "mix", "--steps=5"]):
        assert "data sets: 5 problems, 0 rows excluded" in crucible("grpo", *arguments)
    folder = RunFolder.open(tmp_path / "mix")
    table = folder.samples(columns=["step", "sequence", "family", "difficulty", "passed", "reward"])
    levels = Levels(CurriculumConfig(**config["problems"]["curriculum"]), indices_per_step=4, max_staleness=1)
    for step, outcomes in enumerate(outcomes_of_table(table)):
        levels.observe(step, outcomes)
    asked = {(row["sequence"], row["family"], row["difficulty"]) for row in table.to_pylist()}
    assert {number for number, _, _ in asked} >= set(range(19)) and levels.steps == 5
    for number, family, difficulty in asked:
        assert difficulty in ((3,) if family == "mbpp" else levels.difficulties(number, family))
    assert {family for _, family, _ in asked} == {"reverse_string", "is_palindrome", "mbpp"}
    assert max(difficulty for _, family, difficulty in asked if family != "mbpp") > 3, "no stage was left"
    evaluated = folder.samples("evaluation-before", ["family", "split"]).to_pylist()
    assert {row["split"] for row in evaluated} == {"test"} and "gsm8k" in {row["family"] for row in evaluated}
