"""Rewards: pure functions of a verdict.

`outcome` is the correctness of an answer and nothing else; filters and pass rates use it. `reward` is what the learner
sees: the outcome plus shaping (format, length). For a verdict of status `infrastructure` both are None, never 0.
"""

from __future__ import annotations

from problems.problem import Status, Verdict
from verify.config import Outcome, RewardConfig

_NO_SHARE = (Status.FORBIDDEN, Status.OUTPUT_FLOOD)
"""Statuses without partial credit: attacking the sandbox or flooding it must not be rewarded."""
_NO_FORMAT = (Status.UNPARSED, Status.TRUNCATED)


def passed_fraction(verdict: Verdict) -> float:
    """Passed tests as a fraction of all tests, 0 to 1; tests that did not run count as not passed.

    Below 1 unless the verdict is `passed`, even if every answer was right: the program may have been stopped after the
    last one.
    """
    if verdict.status in _NO_SHARE or not verdict.tests_total:
        return 0.0
    most = verdict.tests_total if verdict.passed else verdict.tests_total - 1
    return min(verdict.tests_passed, most) / verdict.tests_total


def outcome(verdict: Verdict, kind: Outcome = "binary") -> float | None:
    """Correctness of the answer, 0 to 1. None if the infrastructure failed."""
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
    """1 if code, or an answer, could be extracted from the completion, else 0."""
    return 0.0 if verdict.status in _NO_FORMAT else 1.0


def length_penalty(tokens: int, free: int, budget: int) -> float:
    """0 up to `free` completion tokens, rising linearly to 1 at `free + budget`."""
    return min(1.0, max(0.0, (tokens - free) / budget))


def reward(verdict: Verdict, config: RewardConfig | None = None, completion_tokens: int = 0) -> float | None:
    """The weighted sum that the learner sees. None if the infrastructure failed: such a sample is excluded."""
    config = config or RewardConfig()
    base = outcome(verdict, config.outcome)
    if base is None:
        return None
    return (
        config.outcome_weight * base
        + config.format_weight * format_reward(verdict)
        - config.length_weight * length_penalty(completion_tokens, config.length_free, config.length_budget)
    )
