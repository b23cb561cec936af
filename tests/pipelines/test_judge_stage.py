"""Groups are judged behind the prompts that they answer, and trained on by the same rule."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.artifacts.samples import groups_of, sample_rows
from pipelines.artifacts.traces import read_answer
from pipelines.jobs.expert.replay_mix import filter_correct
from pipelines.stream import Judges, Judging
from problems.problem import Group, Problem, Sample, Status, Test
from rollout.admission import Lease
from verify import pool
from verify.config import RewardConfig, VerifyConfig
from verify.sandbox.worker import ZygoteDied

PROBLEM = Problem(
    id="f", family="f", family_version=1, difficulty=1, split="train", statement="", entry_point="f",
    signature="def f(x: int) -> int:", public_examples=(), hidden_tests=(Test((2,), 3),),
)  # fmt: skip
CODE = "```python\ndef f(x):\n    return x + 1\n```"
TEXTS = (CODE, f"Draft.\n{CODE}\nBut wait", f"Draft.\n</think>\n\n{CODE}")


def group(prompt: str) -> Group:
    nothing = np.zeros(0, np.int32)
    samples = tuple(
        Sample("f", "0.0", number, nothing, nothing, nothing.astype(np.float32), text, reason, 0, "")
        for number, (text, reason) in enumerate(zip(TEXTS, ("stop", "length", "stop"), strict=True))
    )
    return Group(0, 0, PROBLEM, samples, prompt=prompt)


@pytest.fixture(scope="module")
def judges():
    return Judges()


@pytest.mark.parametrize(
    "prompt, statuses",
    [
        ("<user>f<assistant>", (Status.PASSED, Status.PASSED, Status.PASSED)),
        ("<user>f<assistant><think>\n", (Status.UNPARSED, Status.TRUNCATED, Status.PASSED)),
        ("<user>f<assistant><think>\n\n</think>\n\n", (Status.PASSED, Status.PASSED, Status.PASSED)),
    ],
)
def test_a_draft_in_a_thinking_that_the_prompt_opened_is_no_answer(prompt, statuses, judges):
    ((_, judged, error),) = judges.judge(Judging(VerifyConfig()), [(Lease(0, 0, 0, 0), group(prompt), "")])
    assert not error and tuple(verdict.status for verdict in judged.verdicts) == statuses
    assert judged.rewards == tuple(float(status is Status.PASSED) for status in statuses)


def test_what_was_thought_is_kept_with_the_solution_also_after_a_detour_through_a_run_folder(judges):
    ((_, judged, _),) = judges.judge(Judging(VerifyConfig()), [(Lease(0, 0, 0, 0), group("<assistant><think>\n"), "")])
    (read,) = groups_of(pa.Table.from_pylist(sample_rows(judged)))
    for one in (judged, read):
        (solution,) = filter_correct([one], {"f": PROBLEM}, frozenset(), 0, 4).solutions
        assert solution.row["thinking"] == "Draft." and "return x + 1" in solution.row["code"]


def test_a_tag_in_a_string_of_the_code_does_not_end_the_thinking():
    text = "<think>\nHm.\n</think>\n```python\ndef f(x):\n    return x.split('</think>')\n```"
    assert read_answer(PROBLEM, text) == ("Hm.", "def f(x):\n    return x.split('</think>')")
    assert read_answer(PROBLEM, "<think>\nHm.") == ("", "")
    assert read_answer(PROBLEM, CODE) == ("", CODE[10:-4])


def test_jobs_share_a_sandbox_where_they_grant_programs_the_same():
    lease, own = Lease(0, 0, 0, 0), Judges()
    halves = RewardConfig(outcome="fraction", format_weight=0.5)
    ((_, one, _),) = own.judge(Judging(VerifyConfig()), [(lease, group(""), "")])
    ((_, two, _),) = own.judge(Judging(VerifyConfig(reward=halves)), [(lease, group(""), "")])
    assert len(own._judges) == 1 and one.verdicts == two.verdicts
    assert two.rewards == tuple(reward + 0.5 for reward in one.rewards), "each by the rewards of its own job"
    own.judge(Judging(VerifyConfig(cpu_seconds=1.0)), [(lease, group(""), "")])
    assert len(own._judges) == 2
    assert own.judge(Judging(VerifyConfig()), [(lease, None, "why")]) == [(lease, None, "why")]


def test_a_sandbox_that_does_not_start_at_once_is_started_again(monkeypatch):
    starts, real = [], pool.Judge

    def failing(config):
        starts.append(config)
        if len(starts) < 3:
            raise ZygoteDied("no memory")
        return real(config)

    monkeypatch.setattr(pool, "Judge", failing)
    ((_, judged, _),) = Judges().judge(Judging(VerifyConfig()), [(Lease(0, 0, 0, 0), group(""), "")])
    assert len(starts) == 3 and judged.verdicts[0].passed
