"""Rewards: pure functions of a verdict.

`outcome` says how right an answer is, and nothing else: filters and pass rates read it. `reward` is what the
learner is paid: the outcome, plus shaping (format, length) that is never mistaken for it. A verdict whose
status is `infrastructure` has neither: None, never 0.
"""

from __future__ import annotations

from problems.problem import Status, Verdict
from verify.config import Outcome, RewardConfig

_NO_SHARE = (Status.FORBIDDEN, Status.OUTPUT_FLOOD)
"""What earns nothing for the tests that were passed before it: a program that attacks or floods must not pay."""
_NO_FORMAT = (Status.UNPARSED, Status.TRUNCATED)


def passed_fraction(verdict: Verdict) -> float:
    """Passed tests as a share of all, 0 to 1; tests that never ran have not passed.

    Below 1 for what has not passed, though every answer was right: a program that was stopped behind the last one.
    """
    if verdict.status in _NO_SHARE or not verdict.tests_total:
        return 0.0
    most = verdict.tests_total if verdict.passed else verdict.tests_total - 1
    return min(verdict.tests_passed, most) / verdict.tests_total


def outcome(verdict: Verdict, kind: Outcome = "binary") -> float | None:
    """How right the answer is, 0 to 1. None where the machinery failed."""
    if verdict.status is Status.INFRASTRUCTURE:
        return None
    if verdict.passed:
        return 1.0
    match kind:
        case "binary":
            return 0.0
        case "fraction":
            return passed_fraction(verdict)
        case "half_partial":
            return 0.5 * passed_fraction(verdict)
    raise ValueError(f"unknown outcome {kind!r}; use binary, fraction or half_partial")


def format_reward(verdict: Verdict) -> float:
    """1 where code, or an answer, could be read out of the completion."""
    return 0.0 if verdict.status in _NO_FORMAT else 1.0


def length_penalty(tokens: int, free: int, budget: int) -> float:
    """0 up to `free` completion tokens, rising linearly to 1 at `free + budget`."""
    return min(1.0, max(0.0, (tokens - free) / budget))


def reward(verdict: Verdict, config: RewardConfig | None = None, completion_tokens: int = 0) -> float | None:
    """The weighted sum that the learner is paid. None where the machinery failed: such a sample is excluded,
    not scored."""
    config = config or RewardConfig()
    base = outcome(verdict, config.outcome)
    if base is None:
        return None
    return (
        config.outcome_weight * base
        + config.format_weight * format_reward(verdict)
        - config.length_weight * length_penalty(completion_tokens, config.length_free, config.length_budget)
    )
