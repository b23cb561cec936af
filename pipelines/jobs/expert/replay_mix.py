"""What an iteration learns: verified solutions without repeats, mixed with replay; pairs of right and wrong. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.artifacts.traces import Trace, read_answer, trace_row
from pipelines.jobs.expert.ast_dedup import normal_form
from problems.problem import Group, Problem, Sample, Status, Verdict
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.request_cache import Reply
from verify.thinking import continued

ReplayOrder = Literal["balanced", "diverse"]
WRONG = (
    Status.WRONG_ANSWER, Status.EXCEPTION, Status.TIMEOUT, Status.OUT_OF_MEMORY, Status.OUTPUT_FLOOD, Status.FORBIDDEN,
)  # fmt: skip
"""A program that was run and found wrong. What was cut off, or held no program, says nothing about what to write; what
could not be judged says nothing at all."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A sample that passed every hidden test."""

    problem: Problem
    form: str
    """Its normal form: two solutions of a problem that share it are one."""
    focus: bool
    """Whether its problem is of the focus, not a general one."""
    iteration: int
    """That sampled it."""
    row: Mapping[str, Any] = field(repr=False)
    """Its row among the traces (`pipelines.artifacts.traces`)."""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for solutions that are one: same question, same syntax tree."""
        return self.problem.question_hash, self.form


@dataclass(frozen=True, slots=True)
class FilteredSamples:
    """An iteration's samples, of which the correct ones are kept."""

    solutions: tuple[Solution, ...]
    sampled: int
    """Samples in all."""
    failed: int
    """Of those, that could not be judged, for a failure of the infrastructure: neither right nor wrong."""
    passed: int
    """Of those judged, that passed."""
    repeats: int
    """Of those that passed, that repeat another solution of the same problem."""
    solved: int
    """Problems with a solution."""


def filter_correct(
    groups: Sequence[Group], problems: Mapping[str, Problem], focus: frozenset[str], iteration: int, keep: int
) -> FilteredSamples:
    """The verified solutions of judged groups, each once, at most `keep` of a problem.

    `problems` by id; `focus` holds the ids of the focus problems.
    """
    counts: Counter[str] = Counter()
    solutions = []
    for group in groups:
        problem, forms = problems[group.problem.id], set()
        for sample, verdict in zip(group.samples, group.verdicts, strict=True):
            counts["sampled"] += 1
            counts["failed"] += verdict.status is Status.INFRASTRUCTURE
            if not verdict.passed:
                continue
            counts["passed"] += 1
            row = _row(problem, iteration, group.prompt, sample, verdict)
            form = _form(problem, row["code"])
            counts["repeats"] += form in forms
            if form in forms or len(forms) == keep:
                continue
            forms.add(form)
            solutions.append(Solution(problem, form, problem.id in focus, iteration, row))
        counts["solved"] += bool(forms)
    names = ("sampled", "failed", "passed", "repeats", "solved")
    return FilteredSamples(tuple(solutions), *(counts[name] for name in names))


def solutions_of(traces: Sequence[Trace]) -> list[Solution]:
    """Verified traces as replay that was there before the first iteration, each solution once."""
    found = []
    for number, trace in enumerate(traces):
        problem, tests = trace.problem, len(trace.problem.hidden_tests)
        text = trace.completion("think" if trace.thinking else "direct")
        reply = Reply(f"replay.{number}", text, "stop", "replay", Usage())
        row = trace_row(problem, number, 0, reply, Verdict(Status.PASSED, tests, tests, tests))
        row |= {"code": trace.code, "thinking": trace.thinking, "timestamp": ""}
        found.append(Solution(problem, _form(problem, trace.code), False, 0, row))
    return fresh_only(found, ())


def fresh_only(solutions: Sequence[Solution], known: Sequence[Solution]) -> list[Solution]:
    """Those that are not among `known`, each once: a question may come back in a later iteration."""
    seen = {solution.key for solution in known}
    found = []
    for solution in solutions:
        if solution.key not in seen:
            seen.add(solution.key)
            found.append(solution)
    return found


def replay_mix(pool: Sequence[Solution], new: int, share: float, draw: ReplayOrder, seed: str) -> list[Solution]:
    """As many solutions of `pool` as make up `share` of a mix with `new` others, or all where it has fewer.

    Families take turns, so that a family that is solved often does not crowd out the others. In each, `balanced` draws
    at random; `diverse` takes one of every problem and syntax tree before a second of any. The same for the same
    `seed`. Raises ValueError for a share that is not of [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"a replay share of {share} leaves nothing to learn; use 0 or more, and less than 1")
    random_source = random.Random(seed)
    by_family: dict[str, list[Solution]] = {}
    for solution in sorted(pool, key=lambda s: s.key):
        by_family.setdefault(solution.problem.family, []).append(solution)
    turns = []
    for family in sorted(by_family):
        dealt = by_family[family]
        random_source.shuffle(dealt)
        turns.append(_unlike_first(dealt) if draw == "diverse" else dealt)
    # Whose turn comes first is random too, or the first families would always get one more.
    random_source.shuffle(turns)
    longest = max(map(len, turns), default=0)
    in_turn = [dealt[at] for at in range(longest) for dealt in turns if at < len(dealt)]
    return in_turn[: round(new * share / (1 - share))]


def _unlike_first(solutions: Sequence[Solution]) -> list[Solution]:
    """In the order of how often their problem and their syntax tree have come before."""
    problems, forms = Counter(), Counter()
    ranked = []
    for at, solution in enumerate(solutions):
        question, form = solution.key
        ranked.append((problems[question] + forms[form], at, solution))
        problems[question] += 1
        forms[form] += 1
    return [solution for _, _, solution in sorted(ranked, key=lambda r: r[:2])]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two samples of one prompt: one that passed, and one that was run and found wrong."""

    problem: Problem
    right: Sample
    wrong: Sample
    status: Status
    """Why the other is wrong."""


def pairs(groups: Sequence[Group], problems: Mapping[str, Problem], limit: int) -> list[Pair]:
    """Up to `limit` pairs of each problem, of programs that are all different."""
    found = []
    for group in groups:
        problem = problems[group.problem.id]
        sides: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for sample, verdict in zip(group.samples, group.verdicts, strict=True):
            # A completion without its end token would teach where to stop, not what to write.
            if sample.finish_reason == "stop" and (verdict.passed or verdict.status in WRONG):
                form = _form(problem, read_answer(problem, continued(group.prompt, sample.text))[1])
                sides[not verdict.passed].setdefault(form, (sample, verdict.status))
        for (right, _), (wrong, status) in list(zip(sides[0].values(), sides[1].values()))[:limit]:
            found.append(Pair(problem, right, wrong, status))
    return found


def _form(problem: Problem, code: str) -> str:
    return code.strip() if problem.kind == "answer" else normal_form(code)


def _row(problem: Problem, iteration: int, prompt: str, sample: Sample, verdict: Verdict) -> dict[str, Any]:
    """The trace of a sample: its teacher is the policy that wrote it, and it costs nothing."""
    who = f"self, adapter {sample.adapter_hash}" if sample.adapter_hash else "self, without adapter"
    usage = Usage(output=len(sample.completion_ids))
    text = continued(prompt, sample.text)
    reply = Reply(f"{sample.group_id}.{sample.index}", text, sample.finish_reason, who, usage)
    row = trace_row(problem, sample.index, iteration, reply, verdict)
    return {**row, "timestamp": ""}  # of the moment it was sampled nobody keeps a record
