"""Conditions that an evaluation must meet, such as `overall >= 50`, `easy > 80` or `pass@8 coin_change hard >= 60`.

    condition  = [evaluation] [measure] scope comparison number ["%"]
               | [evaluation] measure comparison number ["%"]            of all problems
    evaluation = "before" | "against"                                    the last one where neither is named
    measure    = "pass@" K | "tests_passed" | "truncated" | "unparsed"   pass@1 where none is named
    scope      = "overall" | "every" ("family" | "difficulty" | "band" | "cell")
               | NAME [level] | level                                    NAME is a family, in all its versions where
                                                                         it names none (lis, lis@VERSION), or a data set
    level      = "easy" | "medium" | "hard" | "difficulty" N             1 to 3, 4 to 6, 7 to 10
    comparison = ">" | ">=" | "<" | "<="
    number     = percent, with or without decimals

Words are separated by spaces; none is needed beside a comparison. The value that is compared is the estimate itself,
not an end of its interval. Pure.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator

from pipelines.errors import ConfigError
from pipelines.measure.evaluation import BANDS, Evaluation, band_of
from problems.problem import Problem

UNMET = 3
"""Exit status of a job that is done and whose conditions are not all met."""
LAST = ""
"""Name, in conditions, of the evaluation that a job ends with."""
OTHERS = ("before", "against")
"""Names, in conditions, of the evaluations that this one is compared with."""
SHARES = ("tests_passed", "truncated", "unparsed")
"""Measures besides pass@k: attributes of an evaluation."""
EVERY = ("family", "difficulty", "band", "cell")
COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
MORE_SAMPLES = "raise evaluation.samples (at a temperature above 0)"
GREEDY = "the student answers greedily, once; measure pass@1"
"""For `fix` of `Required.of`."""
DIGITS = 9
"""Decimals of a percentage that count: 57 of 100 are 56.99999999999999 % in binary."""
_PASS_AT = re.compile(r"pass@([1-9][0-9]{0,3})")
_NUMBER = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%?")
_RESERVED = {"overall", "every", "difficulty", *BANDS, *OTHERS, *SHARES}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which problems a condition is about; all where nothing is named."""

    name: str = ""
    """A family, or a data set."""
    band: str = ""
    difficulty: int | None = None
    every: str = ""
    """One condition each: `family`, `difficulty`, `band` or `cell`."""

    def holds(self, problem: Problem) -> bool:
        """Whether a problem is one of them."""
        return (
            self.name in ("", problem.family, problem.family.partition("@")[0])
            and (not self.band or band_of(problem.difficulty) == self.band)
            and (self.difficulty is None or problem.difficulty == self.difficulty)
        )

    def each(self, problems: Sequence[Problem]) -> list[Scope]:
        """The scopes that `every` stands for among `problems`, in order; itself where it is a single one."""
        match self.every:
            case "family":
                return [Scope(name=name) for name in sorted({p.family for p in problems})]
            case "difficulty":
                return [Scope(difficulty=d) for d in sorted({p.difficulty for p in problems})]
            case "band":
                there = {band_of(p.difficulty) for p in problems}
                return [Scope(band=band) for band in BANDS if band in there]
            case "cell":
                cells = sorted({(p.family, p.difficulty) for p in problems})
                return [Scope(name=name, difficulty=d) for name, d in cells]
        return [self]

    def __str__(self) -> str:
        if self.every:
            return f"every {self.every}"
        level = self.band or ("" if self.difficulty is None else f"difficulty {self.difficulty}")
        return " ".join(filter(None, (self.name, level))) or "overall"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `str` writes it in the grammar."""

    scope: Scope
    comparison: str
    bound: float
    """In percent."""
    measure: str = "pass@1"
    evaluation: str = LAST

    @property
    def k(self) -> int:
        """Of pass@k; 1 for other measures."""
        found = _PASS_AT.fullmatch(self.measure)
        return int(found[1]) if found else 1

    def value(self, evaluation: Evaluation) -> float | None:
        """What was measured, in percent; None where no problem of the scope has enough verdicts."""
        part = evaluation.part(self.scope.holds)
        if not any(len(passed) >= self.k for passed in part.outcomes.values()):
            return None
        share = getattr(part, self.measure) if self.measure in SHARES else part.pass_at(self.k).value
        return round(100 * share, DIGITS)

    def __str__(self) -> str:
        measure = "" if self.measure == "pass@1" else self.measure
        bound = f"{self.bound:f}".rstrip("0").rstrip(".")
        words = (self.evaluation, measure, str(self.scope), self.comparison, bound)
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a condition."""

    condition: str
    value: float | None
    """In percent; None where it could not be measured, which does not meet it."""
    met: bool


def parse(text: str) -> Condition:
    """The condition that a text says. Raises ValueError, in one line, with what is wrong and how it is written."""
    left, comparison, right = _split(text)
    number = _NUMBER.fullmatch(right)
    if number is None or float(number[1]) > 100:
        raise ValueError(f"condition {text!r}: {right!r} is no percentage from 0 to 100, as in overall >= 50")
    words = left.split()
    evaluation = words.pop(0) if words and words[0] in OTHERS else LAST
    measure = ""
    if words and (words[0] in SHARES or words[0].startswith("pass@")):
        measure = words.pop(0)
        if measure not in SHARES and not _PASS_AT.fullmatch(measure):
            raise ValueError(f"condition {text!r}: {measure!r} is no measure; use pass@K, {', '.join(SHARES)}")
    if not words and not measure:
        raise ValueError(f"condition {text!r} names nothing that is measured; write overall, easy or a family first")
    return Condition(_scope(text, words), comparison, float(number[1]), measure or "pass@1", evaluation)


def canonical(text: str) -> str:
    """The one way to write a condition. Raises ValueError as `parse` does."""
    return str(parse(text))


Conditions = tuple[Annotated[str, AfterValidator(canonical)], ...]
"""The type of an option that holds conditions."""


def _split(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([^<>=]*)(>=|<=|>|<)([^<>=]*)", text)
    if found is None:
        raise ValueError(f"condition {text!r} has no single comparison (>, >=, < or <=), as in overall >= 50")
    return found[1].strip(), found[2], found[3].strip()


def _scope(text: str, words: Sequence[str]) -> Scope:
    match list(words):
        case [] | ["overall"]:
            return Scope()
        case ["every", kind] if kind in EVERY:
            return Scope(every=kind)
        case ["every", *_]:
            raise ValueError(f"condition {text!r}: every is followed by one of {', '.join(EVERY)}")
        case [*name, band] if band in BANDS and len(name) < 2:
            return Scope(name=_name(text, name), band=band)
        case [*name, "difficulty", level] if len(name) < 2:
            if not re.fullmatch(r"[1-9]|10", level):
                raise ValueError(f"condition {text!r}: difficulty {level} does not exist; use 1 to 10")
            return Scope(name=_name(text, name), difficulty=int(level))
        case [name]:
            return Scope(name=_name(text, [name]))
    raise ValueError(
        f"condition {text!r}: {' '.join(words)!r} is no scope; write overall, a family or data set, a level "
        "(easy, medium, hard, difficulty N), or a family and a level"
    )


def _name(text: str, words: Sequence[str]) -> str:
    name = words[0] if words else ""
    if name in _RESERVED or not name.isprintable():
        raise ValueError(f"condition {text!r}: {name!r} is no family or data set")
    return name


@dataclass(frozen=True, slots=True)
class Required:
    """The conditions of a job, made before it starts anything, and checked at its end."""

    conditions: tuple[Condition, ...]
    problems: Mapping[str, Sequence[Problem]]
    """Those of each evaluation that the job makes, by its name in conditions."""

    @classmethod
    def of(
        cls, texts: Sequence[str], problems: Mapping[str, Sequence[Problem]], samples: int, fix: str = MORE_SAMPLES
    ) -> Required:
        """Raises ConfigError for a condition that evaluations of `samples` completions a problem cannot measure; `fix`
        says what is to be done where these are too few."""
        conditions = tuple(map(parse, texts))
        for condition in conditions:
            _refuse_unmeasurable(condition, problems, samples, fix)
        return cls(conditions, problems)

    @classmethod
    def twice(
        cls, texts: Sequence[str], problems: Sequence[Problem], samples: int, fix: str = MORE_SAMPLES
    ) -> Required:
        """Of a job that measures the same problems before and after."""
        return cls.of(texts, {"before": problems, LAST: problems}, samples, fix)

    def results(self, evaluations: Mapping[str, Evaluation]) -> tuple[Result, ...]:
        """What became of each condition; one that says `every` gives one result each. `evaluations` are by their names
        in conditions."""
        found = []
        for condition in self.conditions:
            for scope in condition.scope.each(self.problems[condition.evaluation]):
                one = replace(condition, scope=scope)
                value = one.value(evaluations[one.evaluation])
                met = value is not None and bool(COMPARISONS[one.comparison](value, one.bound))
                found.append(Result(str(one), value, met))
        return tuple(found)


def conditions_row(results: Sequence[Result], step: int) -> dict[str, Any]:
    """The row of `metrics.jsonl`."""
    return {"kind": "conditions", "step": step, "results": [asdict(result) for result in results]}


def _refuse_unmeasurable(
    condition: Condition, problems: Mapping[str, Sequence[Problem]], samples: int, fix: str
) -> None:
    text, name = str(condition), condition.evaluation
    if name not in problems:
        others = [other for other in problems if other != LAST]
        there = f"; there is {', '.join(others)}" if others else ""
        raise ConfigError(f"require {text!r}: nothing called {name} is measured here{there}")
    if condition.k > samples:
        raise ConfigError(f"require {text!r} needs {condition.k} samples a problem, and there is {samples}: {fix}")
    if not any(map(condition.scope.holds, problems[name])):
        raise ConfigError(
            f"require {text!r}: none of the {len(problems[name])} problems is of {condition.scope}; there are "
            f"{_there(condition.scope, problems[name])}"
        )


def _there(scope: Scope, problems: Sequence[Problem]) -> str:
    """What could have been named instead."""
    of_name = [p for p in problems if Scope(name=scope.name).holds(p)]
    if scope.name and not of_name:
        return ", ".join(sorted({p.family for p in problems}))
    levels = sorted({p.difficulty for p in (of_name or problems)})
    return f"difficulties {', '.join(map(str, levels))}"
