"""Groups are judged behind the prompts that they answer, and trained on by the same rule."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.artifacts.samples import groups_of, sample_rows
from pipelines.artifacts.traces import read_answer
from pipelines.jobs.expert.replay_mix import filter_correct
from pipelines.stream import JudgeStage
from problems.problem import Group, Problem, Sample, Status, Test
from rollout.admission import Lease
from rollout.stream import pack, unpack
from verify.config import VerifyConfig

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
def stage():
    return JudgeStage(VerifyConfig())


@pytest.mark.parametrize(
    "prompt, statuses",
    [
        ("<user>f<assistant>", (Status.PASSED, Status.PASSED, Status.PASSED)),
        ("<user>f<assistant><think>\n", (Status.UNPARSED, Status.TRUNCATED, Status.PASSED)),
        ("<user>f<assistant><think>\n\n</think>\n\n", (Status.PASSED, Status.PASSED, Status.PASSED)),
    ],
)
def test_a_draft_in_a_thinking_that_the_prompt_opened_is_no_answer(prompt, statuses, stage):
    batch = stage(pack([(Lease(0, 0, 0, 0), PROBLEM, group(prompt))]))
    ((_, judged, error),) = unpack(batch)
    assert not error and tuple(verdict.status for verdict in judged.verdicts) == statuses
    assert judged.rewards == tuple(float(status is Status.PASSED) for status in statuses)


def test_what_was_thought_is_kept_with_the_solution_also_after_a_detour_through_a_run_folder(stage):
    batch = stage(pack([(Lease(0, 0, 0, 0), PROBLEM, group("<assistant><think>\n"))]))
    ((_, judged, _),) = unpack(batch)
    (read,) = groups_of(pa.Table.from_pylist(sample_rows(judged)))
    for one in (judged, read):
        (solution,) = filter_correct([one], {"f": PROBLEM}, frozenset(), 0, 4).solutions
        assert solution.row["thinking"] == "Draft." and "return x + 1" in solution.row["code"]


def test_a_tag_in_a_string_of_the_code_does_not_end_the_thinking():
    text = "<think>\nHm.\n</think>\n```python\ndef f(x):\n    return x.split('</think>')\n```"
    assert read_answer(PROBLEM, text) == ("Hm.", "def f(x):\n    return x.split('</think>')")
    assert read_answer(PROBLEM, "<think>\nHm.") == ("", "")
    assert read_answer(PROBLEM, CODE) == ("", CODE[10:-4])
