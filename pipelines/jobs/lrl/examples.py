"""Labelled examples that the student of stage 4 learns from: what each of them answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.errors import ConfigError
from pipelines.jobs.lrl.balanced_problems import gold, is_to_be_balanced, problems_of
from pipelines.jobs.lrl.config import LRLConfig
from problems import families
from problems.problem import Problem
from rollout.prompts import completion_text


def completion_of(problem: Problem, is_worked: bool) -> str:
    """A completion with the true answer, behind its working where that is wanted."""
    working = families.get(problem.family).working(problem) if is_worked and families.known(problem.family) else ""
    answer = completion_text(gold(problem), "direct", kind="answer")
    return f"{working}\n{answer}" if working else answer


def check_room(config: LRLConfig, tokenizer: Any) -> None:
    """Raises ConfigError where no example has a working, or one is longer than the student's longest completion."""
    problems = problems_of(config, "train", config.synthesis_problems, config.synthesis_seed)
    texts = [completion_of(problem, True) for problem in problems]
    if texts == [completion_of(problem, False) for problem in problems]:
        raise ConfigError("synthesis worked: of these problems no working is known; use gold, or a teacher")
    longest = max(len(tokenizer(text)["input_ids"]) for text in texts) + 1
    if longest > config.max_tokens:
        raise ConfigError(
            f"synthesis worked: examples have up to {longest} tokens, and the student's longest completion has "
            f"{config.max_tokens}: set max_tokens to {longest} or more"
        )


def even(pairs: Sequence[tuple[Problem, str]]) -> list[tuple[Problem, str]]:
    """Of YES and NO the first pairs of each label, as many as the rarer label has: a student must not learn which is
    more common. All others, and all of a contract whose labels are taken as they come."""
    by_label: dict[str, list[tuple[Problem, str]]] = {"YES": [], "NO": []}
    for problem, text in pairs:
        if is_to_be_balanced(problem):
            by_label[gold(problem)].append((problem, text))
    least = min(map(len, by_label.values()))
    kept = {problem.id for found in by_label.values() for problem, _ in found[:least]}
    return [(problem, text) for problem, text in pairs if problem.id in kept or not is_to_be_balanced(problem)]
