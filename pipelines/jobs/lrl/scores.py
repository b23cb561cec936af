"""Figures of YES and NO: accuracy beside balanced accuracy, a confusion matrix, and what a constant answer scores. Of
answers in a box: accuracy beside that of the most frequent answer.

What holds no verdict is a status, never an answer: `unparsed` and `truncated` are the answerer's failure and count as
not right for the class they belong to; `api_error` and `infrastructure` are not its failure, and are left out.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.jobs.lrl.balanced_problems import LABELS
from pipelines.measure.statistics import Difference, Estimate, mcnemar, paired_difference, wilson_interval

ANSWERED, API_ERROR = "answered", "api_error"
UNSCORED = (API_ERROR, "infrastructure")
"""Statuses that say nothing about who was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to one problem."""

    problem: str
    """Its id."""
    level: str
    gold: str
    """YES or NO, or what belongs into the box."""
    said: str | None
    """The answer, or None where `status` is not `answered`."""
    status: str
    """`answered`, or why there is no verdict."""
    yes_no: bool = True
    """Whether it is YES or NO; otherwise an answer in a box, where a right one is written as `gold`."""

    @property
    def right(self) -> bool:
        return self.said == self.gold

    @property
    def scored(self) -> bool:
        return self.status not in UNSCORED


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """All figures of one measurement, as plain data; shares with 95 % intervals.

    Accuracies are over the scored answers. Without any, they are None.
    """
    scored = [a for a in answers if a.scored]
    boxed, verdicts = [a for a in scored if not a.yes_no], [a for a in scored if a.yes_no]
    matrix = {gold: {said: 0 for said in (*LABELS, "none")} for gold in LABELS}
    for answer in verdicts:
        matrix[answer.gold][answer.said or "none"] += 1
    levels: dict[str, list[Answer]] = {}
    for answer in scored:
        levels.setdefault(answer.level, []).append(answer)
    return {
        "problems": len(answers),
        "scored": len(scored),
        "statuses": dict(sorted(Counter(a.status for a in answers).items())),
        "accuracy": _accuracy(scored),
        "balanced_accuracy": _balanced(verdicts),
        "recall": {gold: _accuracy([a for a in verdicts if a.gold == gold]) for gold in LABELS},
        "levels": {level: _accuracy(found) for level, found in levels.items()},
        "confusion": matrix,
        "said_yes": _share(sum(a.said == "YES" for a in verdicts), sum(a.said is not None for a in verdicts)),
        "majority": majority(scored),
    } | ({"boxed": len(boxed)} if boxed else {})


def majority(answers: Sequence[Answer]) -> dict[str, Any]:
    """What the better of the two constant answers scores on these very problems; of answers in a box, the most frequent
    one of each level."""
    if not answers:
        return {"label": None, "accuracy": None, "balanced_accuracy": None}
    if any(not a.yes_no for a in answers):
        levels = {(a.yes_no, "" if a.yes_no else a.level) for a in answers}
        best = [
            Counter(a.gold for a in answers if (a.yes_no, "" if a.yes_no else a.level) == level).most_common(1)[0]
            for level in sorted(levels)
        ]
        label = best[0][0] if len(best) == 1 else "the most frequent of each level"
        return {"label": label, "accuracy": sum(n for _, n in best) / len(answers), "balanced_accuracy": None}
    label, count = Counter(a.gold for a in answers).most_common(1)[0]
    # A constant answer has a recall of 1 on its own class and of 0 on the other.
    kinds = len({a.gold for a in answers})
    return {"label": label, "accuracy": count / len(answers), "balanced_accuracy": 1 / kinds}


def compare(before: Sequence[Answer], after: Sequence[Answer]) -> dict[str, Any] | None:
    """After minus before on the problems that both have scored, with McNemar's p; None where there are none."""
    one, two = ({a.problem: [a.right] for a in answers if a.scored} for answers in (before, after))
    shared = sorted(one.keys() & two.keys())
    if not shared:
        return None
    one, two = ({p: side[p] for p in shared} for side in (one, two))
    found: Difference = paired_difference(one, two)
    test = mcnemar(one, two)
    return {**asdict(found), "gained": test.gained, "lost": test.lost, "p": test.p_value}


def _accuracy(answers: Sequence[Answer]) -> dict[str, float] | None:
    return _share(sum(a.right for a in answers), len(answers))


def _share(count: int, total: int) -> dict[str, float] | None:
    return _plain(Estimate(count / total, *wilson_interval(count, total), total)) if total else None


def _balanced(answers: Sequence[Answer]) -> dict[str, float] | None:
    """Mean recall of the classes, with an interval made of Wilson's of each class; None where a class is missing.

    The classes' distances to their bounds are added as independent errors are, which keeps a width where a class is all
    right or all wrong. Source: Newcombe 1998, "Interval estimation for the difference between independent proportions"
    (Statistics in Medicine 17, method 10); for any sum, Zou and Donner 2008 (Statistics in Medicine 27).
    """
    right = [[a.right for a in answers if a.gold == gold] for gold in LABELS]
    if not all(right):
        return None
    recalls = [statistics.fmean(found) for found in right]
    bounds = [wilson_interval(sum(found), len(found)) for found in right]
    value, share = statistics.fmean(recalls), 1 / len(recalls)
    down = share * math.hypot(*(recall - low for recall, (low, _) in zip(recalls, bounds, strict=True)))
    up = share * math.hypot(*(high - recall for recall, (_, high) in zip(recalls, bounds, strict=True)))
    return _plain(Estimate(value, max(0.0, value - down), min(1.0, value + up), len(answers)))


def _plain(estimate: Estimate) -> dict[str, float]:
    return asdict(estimate)


def text(share: Mapping[str, Any] | None) -> str:
    """A share for people: `84.0 % [77.3, 89.0]`, or a dash."""
    return str(Estimate(**share)) if share else "-"
