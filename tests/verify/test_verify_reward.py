"""Rewards are pure functions of verdicts, and the machinery's failures are never paid or punished."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems.problem import Status, Verdict
from verify.config import RewardConfig
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


def test_the_machinerys_failure_is_none_everywhere():
    config = RewardConfig(format_weight=1.0, length_weight=1.0)
    assert outcome(BROKEN) is None and reward(BROKEN, config, 5000) is None


def test_shaping_is_apart_from_outcome():
    config = RewardConfig(outcome="fraction", format_weight=0.1, length_weight=0.2, length_free=100, length_budget=200)
    assert reward(HALF, config, 50) == pytest.approx(0.6)
    assert reward(HALF, config, 200) == pytest.approx(0.5)
    assert reward(HALF, config, 9999) == pytest.approx(0.4)
    assert reward(UNPARSED, config) == 0.0
    assert outcome(HALF, "fraction") == 0.5
    assert reward(PASSED) == 1.0


def test_format_is_what_could_be_read():
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
