"""The result of an evaluation: judged samples of one policy on a fixed list of problems, and its figures. Pure.

Samples that could not be judged for an infrastructure failure are left out and counted, never taken for wrong.
"""

from __future__ import annotations

import collections
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.measure.statistics import Difference, Estimate, cell_rate, mcnemar, paired_difference, pass_rate
from problems.problem import Group, Problem, Status, Verdict

MAX_MISSING = 0.01
"""Share of problems, or of samples, without a verdict above which there is no score."""
BANDS = ("easy", "medium", "hard")
"""Of difficulties: 1 to 3, 4 to 6, 7 to 10."""
_NUMBERS = re.compile(r"\d+")


def band_of(difficulty: int) -> str:
    """Which of `BANDS` a difficulty is in."""
    return BANDS[(difficulty > 3) + (difficulty > 6)]


@dataclass(frozen=True, slots=True)
class Counts:
    """Scored samples by how far they got."""

    solved: int
    """All hidden tests passed."""
    partial: int
    """Some did."""
    failed: int
    """None did."""

    def __str__(self) -> str:
        return f"{self.solved} / {self.partial} / {self.failed}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Judged samples of one policy on a fixed list of problems."""

    name: str
    groups: tuple[Group, ...]
    lost: tuple[str, ...] = ()
    """`<problem id>: <why>` of the problems that have no answer: never counted as wrong."""
    short_of_room: int = 0
    """Samples that had fewer than max_tokens to answer in, because their prompts are long."""
    seeds: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Seed of the choice of problems -> ids of those that it brought in; {} where there was but one."""

    gold: Mapping[str, str] = field(default_factory=dict)
    """Problem id -> a right answer or program, where one is known."""

    @property
    def outcomes(self) -> dict[str, list[bool]]:
        """Problem id -> whether each of its scored samples passed. Problems without a scored sample are left out."""
        scored = {
            g.problem.id: [v.passed for v in g.verdicts if v.status is not Status.INFRASTRUCTURE] for g in self.groups
        }
        return {problem: passed for problem, passed in scored.items() if passed}

    @property
    def without_verdict(self) -> dict[str, str]:
        """Problem id -> why none of its samples has a verdict: an infrastructure failure."""
        found = {line.partition(": ")[0]: line.partition(": ")[2] for line in self.lost}
        outcomes = self.outcomes
        for group in self.groups:
            if group.problem.id not in outcomes:
                details = [v.detail for v in group.verdicts if v.detail]
                found[group.problem.id] = details[0] if details else "its samples could not be judged"
        return found

    def check_complete(self, parts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Raises ValueError, with what is missing and why, where more than 1 % of the problems or samples have no
        verdict: a score of the rest would be of other problems.

        `parts` names lists of problem ids (suites, say) that each get a score of their own: the same holds for each.
        """
        missing = self.without_verdict
        every = [*dict.fromkeys([*(g.problem.id for g in self.groups), *missing])]
        for part, ids in {"": every, **(parts or {})}.items():
            gone, of = [i for i in ids if i in missing], f"{len(ids)} problems{f' of {part}' if part else ''}"
            if len(gone) > MAX_MISSING * len(ids):
                raise ValueError(
                    f"{self.name}: no score, for {len(gone)} of {of} have no verdict: "
                    f"{reasons({i: missing[i] for i in gone})}"
                )
            wanted = set(ids)
            verdicts = [v for g in self.groups if g.problem.id in wanted for v in g.verdicts]
            unjudged = [v for v in verdicts if v.status is Status.INFRASTRUCTURE]
            if len(unjudged) > MAX_MISSING * len(verdicts):
                why = reasons({str(n): v.detail or "could not be judged" for n, v in enumerate(unjudged)}, named=False)
                raise ValueError(
                    f"{self.name}: no score, for {len(unjudged)} of {len(verdicts)} samples of {of} have no verdict: "
                    f"{why}"
                )

    @property
    def ks(self) -> list[int]:
        """The k that pass@k is given for: powers of two up to the samples that most problems have."""
        counts = sorted(len(passed) for passed in self.outcomes.values())
        return [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if counts and k <= counts[len(counts) // 2]]

    def pass_at(self, k: int, families: Sequence[str] = ()) -> Estimate:
        """pass@k with its 95 % interval over problems of at least k scored samples, of all families or those named."""
        kept = {g.problem.id for g in self.groups if not families or g.problem.family in families}
        return pass_rate({i: o for i, o in self.outcomes.items() if i in kept and len(o) >= k}, k)

    def grid(self) -> dict[str, dict[int, Estimate]]:
        """Family -> difficulty -> pass@1. Cells without a scored problem are left out."""
        cells: dict[str, dict[int, dict[str, list[bool]]]] = {}
        outcomes = self.outcomes
        for problem in sorted((g.problem for g in self.groups), key=lambda p: (p.family, p.difficulty)):
            if problem.id in outcomes:
                cell = cells.setdefault(problem.family, {}).setdefault(problem.difficulty, {})
                cell[problem.id] = outcomes[problem.id]
        return {family: {d: cell_rate(cell) for d, cell in row.items()} for family, row in cells.items()}

    def part(self, holds: Callable[[Problem], bool]) -> Evaluation:
        """The same of those problems alone for which `holds`. What has no answer is in no part."""
        return replace(self, groups=tuple(g for g in self.groups if holds(g.problem)), lost=(), seeds={})

    def bands(self) -> dict[str, Evaluation]:
        """Band -> its part of the evaluation, without bands that have no scored problem."""
        parts = {band: self.part(lambda p, band=band: band_of(p.difficulty) == band) for band in BANDS}
        return {band: part for band, part in parts.items() if part.outcomes}

    @property
    def counts(self) -> Counts:
        """Scored samples that are solved, partly right, and wrong throughout."""
        solved = sum(v.passed for v in self._scored)
        partial = sum(v.tests_passed > 0 for v in self._scored if not v.passed)
        return Counts(solved, partial, len(self._scored) - solved - partial)

    @property
    def partial_credit(self) -> float | None:
        """Mean share of hidden tests passed over the scored samples that are not solved; None where all are."""
        shares = [v.tests_passed / max(1, v.tests_total) for v in self._scored if not v.passed]
        return statistics.fmean(shares) if shares else None

    def tally(self) -> dict[str, Any]:
        """Counts and partial credit as files of results hold them."""
        return {**asdict(self.counts), "partial_credit": self.partial_credit}

    @property
    def tests_passed(self) -> float:
        """Mean share of hidden tests passed, over scored samples."""
        return _mean(v.tests_passed / max(1, v.tests_total) for v in self._scored)

    @property
    def unparsed(self) -> float:
        """Share of scored samples in which no answer was found."""
        return _mean(v.status is Status.UNPARSED for v in self._scored)

    @property
    def truncated(self) -> float:
        """Share of samples that met the token limit."""
        return _mean(s.finish_reason == "length" for g in self.groups for s in g.samples)

    @property
    def _scored(self) -> list[Verdict]:
        return [v for g in self.groups for v in g.verdicts if v.status is not Status.INFRASTRUCTURE]

    def shares(self) -> dict[str, float]:
        """Share of samples by how their judging ended."""
        counts = collections.Counter(str(v.status) for g in self.groups for v in g.verdicts)
        return {status: count / max(1, sum(counts.values())) for status, count in sorted(counts.items())}

    def row(self, step: int) -> dict[str, Any]:
        """The evaluation's row of `metrics.jsonl`."""
        grid, outcomes = self.grid(), self.outcomes
        difficulties = sorted({d for cells in grid.values() for d in cells})
        parts = {
            "bands": self.bands(),
            "families": {name: self.part(lambda p, name=name: p.family == name) for name in grid},
            "difficulties": {str(d): self.part(lambda p, d=d: p.difficulty == d) for d in difficulties},
        }
        by_seed = {s: {i: outcomes[i] for i in ids if i in outcomes} for s, ids in self.seeds.items()}
        lengths = [len(s.completion_ids) for g in self.groups for s in g.samples]
        return {
            "kind": "evaluation",
            "name": self.name,
            "step": step,
            "problems": len(self.groups),
            "samples": len(lengths),
            "lost": len(self.without_verdict),
            "short_of_room": self.short_of_room,
            "unscored": len(lengths) - len(self._scored),
            "pass_at": {str(k): _plain(self.pass_at(k)) for k in self.ks},
            **{key: {name: _plain(part.pass_at(1)) for name, part in of_it.items()} for key, of_it in parts.items()},
            "counts": {key: {name: part.tally() for name, part in of_it.items()} for key, of_it in parts.items()}
            | {"all": self.tally()},
            "grid": {name: {str(d): _plain(e) for d, e in cells.items()} for name, cells in grid.items()},
            "seeds": {str(s): _plain(pass_rate(found)) for s, found in by_seed.items() if found},
            "tests_passed": self.tests_passed,
            "statuses": self.shares(),
            "truncated": self.truncated,
            "unparsed": self.unparsed,
            "completion_tokens": statistics.fmean(lengths) if lengths else 0.0,
        }


def reasons(missing: Mapping[str, str], named: bool = True) -> str:
    """Why problems are missing, by kind of reason and the most frequent first: each with a count and, if `named`, the
    ids of the first few. Reasons that differ in their numbers alone are of one kind."""
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for problem, why in missing.items():
        kinds[_NUMBERS.sub("#", why)].append(problem)
    texts = []
    for ids in sorted(kinds.values(), key=len, reverse=True)[:3]:
        few = f" ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" if named else ""
        texts.append(f"{len(ids)} x {missing[ids[0]]}{few}")
    more = len(kinds) - len(texts)
    return "; ".join(texts) + (f"; and {more} other reasons" if more > 0 else "")


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """After minus before, paired by problem: the row of `metrics.jsonl`.

    Several samples a problem: an interval over problems, of pass@1 and of the largest k that both are given for.
    One sample a problem (greedy): McNemar's test besides. Raises ValueError where the two share no problem.
    """
    # In the order of the one side, for a bootstrap depends on the order of what it resamples.
    outcomes = before.outcomes, after.outcomes
    one, two = ({i: found[i] for i in outcomes[0] if i in outcomes[1]} for found in outcomes)
    difference = paired_difference(one, two)
    row = {"kind": "comparison", "before": before.name, "after": after.name, "pass_at_1": _plain(difference)}
    k = max((k for k in before.ks if k in after.ks), default=1)
    if k > 1:
        enough = [i for i in one if min(len(one[i]), len(two[i])) >= k]
        row[f"pass_at_{k}"] = _plain(paired_difference({i: one[i] for i in enough}, {i: two[i] for i in enough}, k))
    if all(len(o) == 1 for o in (*one.values(), *two.values())):
        test = mcnemar(one, two)
        row |= {"mcnemar_p": test.p_value, "gained": test.gained, "lost": test.lost}
    return row


def _plain(estimate: Estimate | Difference) -> dict[str, float]:
    return asdict(estimate)


def _mean(values: Iterable[float]) -> float:
    numbers = [float(v) for v in values]
    return sum(numbers) / len(numbers) if numbers else 0.0
