"""Rewards are pure functions of verdicts, and a failure of the infrastructure is neither rewarded nor punished."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems.problem import Problem, Status, Test, Verdict
from verify.config import RewardConfig, VerifyConfig
from verify.pool import Judge
from verify.reward import format_reward, length_penalty, outcome, passed_fraction, reward

PASSED = Verdict(Status.PASSED, 4, 4, 4)
HALF = Verdict(Status.WRONG_ANSWER, 2, 4, 4)
ALL_BUT_STOPPED = Verdict(Status.TIMEOUT, 3, 3, 4)
UNPARSED = Verdict(Status.UNPARSED, 0, 0, 4)
BROKEN = Verdict(Status.INFRASTRUCTURE, 0, 0, 4)


@pytest.mark.parametrize(
    "kind, passed, half, stopped",
    [("binary", 1.0, 0.0, 0.0), ("fraction", 1.0, 0.5, 0.75), ("half_partial", 1.0, 0.25, 0.375)],
)
def test_outcomes(kind, passed, half, stopped):
    assert [outcome(v, kind) for v in (PASSED, HALF, ALL_BUT_STOPPED, UNPARSED)] == [passed, half, stopped, 0.0]


SHARED = (Status.WRONG_ANSWER, Status.EXCEPTION, Status.TIMEOUT, Status.OUT_OF_MEMORY)
"""Statuses with partial credit for passed tests."""


@pytest.mark.parametrize("kind, share", [("binary", 0.0), ("fraction", 1.0), ("half_partial", 0.5)])
@pytest.mark.parametrize("status", [s for s in Status if s is not Status.INFRASTRUCTURE])
@pytest.mark.parametrize("right, total", [(0, 4), (1, 4), (3, 4), (4, 4), (1, 1), (0, 0)])
def test_the_reward_of_each_status(status, kind, share, right, total):
    earned = outcome(Verdict(status, right, right, total), kind)
    if status is Status.PASSED:
        assert earned == 1.0
    elif status in SHARED and total:
        # Every answer is right, but the program did not pass: never the full reward.
        assert earned == share * min(right, total - 1) / total
    elif status in (Status.FORBIDDEN, Status.OUTPUT_FLOOD):
        assert earned == 0.0
    assert earned < 1.0 or status is Status.PASSED


LAST_TEST = {
    "os.write(3, b'=3\\n' * 99)": (Status.FORBIDDEN, 0.0),
    "os.fork()": (Status.FORBIDDEN, 0.0),
    "return 'x' * 10**7": (Status.OUTPUT_FLOOD, 0.0),
    "time.sleep(9)": (Status.TIMEOUT, 0.75),
    "while True: pass": (Status.TIMEOUT, 0.75),
    "return bytearray(1 << 40)": (Status.OUT_OF_MEMORY, 0.75),
    "os._exit(0)": (Status.EXCEPTION, 0.75),
    "return -1": (Status.WRONG_ANSWER, 0.75),
}


@pytest.mark.parametrize("ending", LAST_TEST)
def test_the_reward_of_a_program_that_fails_in_its_last_test(ending, impatient):
    status, earned = LAST_TEST[ending]
    problem = Problem(
        id="p", family="p", family_version=1, difficulty=1, split="test", statement="", entry_point="f",
        signature="", public_examples=(), hidden_tests=tuple(Test((n,), n) for n in range(4)),
    )  # fmt: skip
    code = f"import os, time\ndef f(n):\n    if n < 3:\n        return n\n    {ending}\n    return n\n"
    verdict = impatient.judge_code(problem, code)
    assert (verdict.status, outcome(verdict, "fraction")) == (status, earned), verdict


@pytest.fixture(scope="module")
def impatient():
    with Judge(VerifyConfig(cpu_seconds=0.4, idle_seconds=0.3, cache=False)) as judge:
        yield judge


def test_a_failure_of_the_infrastructure_has_no_reward():
    config = RewardConfig(format_weight=1.0, length_weight=1.0)
    assert outcome(BROKEN) is None and reward(BROKEN, config, 5000) is None


def test_shaping_does_not_change_the_outcome():
    config = RewardConfig(outcome="fraction", format_weight=0.1, length_weight=0.2, length_free=100, length_budget=200)
    assert reward(HALF, config, 50) == pytest.approx(0.6)
    assert reward(HALF, config, 200) == pytest.approx(0.5)
    assert reward(HALF, config, 9999) == pytest.approx(0.4)
    assert reward(UNPARSED, config) == 0.0
    assert outcome(HALF, "fraction") == 0.5
    assert reward(PASSED) == 1.0


def test_the_format_reward_depends_on_extraction():
    found = {status: format_reward(Verdict(status)) for status in Status}
    assert {status for status, paid in found.items() if not paid} == {Status.UNPARSED, Status.TRUNCATED}


def test_the_penalty_is_bounded():
    assert [length_penalty(t, 10, 20) for t in (0, 10, 20, 30, 10**6)] == [0.0, 0.0, 0.5, 1.0, 1.0]


@given(st.sampled_from([s for s in Status if s is not Status.INFRASTRUCTURE]), st.integers(0, 9), st.integers(0, 9))
def test_bounds_and_order(status, passed, total):
    passed = min(passed, total)
    verdict = Verdict(status, passed, passed, total)
    found = {kind: outcome(verdict, kind) for kind in ("binary", "half_partial", "fraction")}
    assert all(0.0 <= value <= 1.0 for value in found.values())
    assert found["binary"] <= found["half_partial"] <= found["fraction"]
    assert 0.0 <= passed_fraction(verdict) <= 1.0


def test_bad_settings():
    with pytest.raises(ValueError, match="nothing can be learned"):
        RewardConfig(outcome_weight=0)
    with pytest.raises(ValueError, match="outcome"):
        RewardConfig(outcome="all")
    with pytest.raises(ValueError, match="unknown outcome"):
        outcome(HALF, "most")
    with pytest.raises(ValueError, match="length_budget"):
        RewardConfig(length_budget=0)
