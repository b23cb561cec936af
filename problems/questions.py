"""The problems of a job, for every split: the families' own stream, or a mix of streams and data sets.

Training and evaluation take their problems from here. A problem is a pure function of its index in the stream or, if a
curriculum changes the difficulty, of its index and the level that applies to it (`problems.curriculum`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems import families
from problems.config import ProblemsConfig
from problems.curriculum import CurriculumConfig
from problems.grid import grid
from problems.mix import Finite, Mix, Part
from problems.problem import Problem, Split
from problems.sources import Prove, Report, SourceConfig, read
from problems.stream import ProblemStream
from problems.turns import Turns

TRIES_PER_PROBLEM = 50
"""Indices of a stream to try for each different question wanted from it."""
SEEDS_APART = 1_000_003
"""Distance between the seeds of a mix's procedural parts, so that two parts never give one problem id."""


Levels = Callable[[int, str], Sequence[int]]
"""(index in the stream, family) to the difficulties to sample from."""


class PartConfig(BaseModel):
    """One part of a mix: a procedural stream or a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.0, ge=0)
    """Relative weight among the parts of its split; 0 leaves it out."""
    procedural: ProblemsConfig | None = None
    """A stream of the families, which has problems of every split."""
    source: SourceConfig | None = None
    """A data set, held in memory; it is used for its own split."""

    @model_validator(mode="after")
    def _one_of_two(self) -> PartConfig:
        if (self.procedural is None) == (self.source is None):
            raise ValueError("a part of a mix is either `procedural` or `source`; give one of them")
        return self


class QuestionsConfig(ProblemsConfig):
    """The problems of a job: a procedural stream, or `parts` instead of it, and a `curriculum` of difficulties."""

    replaces: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "parts": ("families", "contract", "difficulties", "weights", "hidden_tests", "public_examples")
    }
    """Key -> those that have no effect beside it."""

    parts: tuple[PartConfig, ...] = Field(default=(), exclude_if=lambda parts: not parts)
    """A mix of streams and data sets; empty uses the families named here."""
    curriculum: CurriculumConfig = Field(
        default=CurriculumConfig(), exclude_if=lambda curriculum: curriculum == CurriculumConfig()
    )
    """How difficulty changes in training; data sets keep their own. Evaluations use all difficulties."""

    @model_validator(mode="after")
    def _no_idle_fields(self) -> QuestionsConfig:
        plain = ProblemsConfig()
        idle = [name for name in self.replaces["parts"] if getattr(self, name) != getattr(plain, name)]
        if self.parts and idle:
            raise ValueError(
                f"{', '.join(idle)} would have no effect together with parts; set them in a part's `procedural`"
            )
        self._check_turns()
        moved = self.curriculum.schedule != "constant"
        if moved and self.parts and not any(part.procedural for part in self.parts):
            raise ValueError("a curriculum applies to procedural parts only, and there are none; use schedule constant")
        return self

    def _check_turns(self) -> None:
        turns = self.curriculum.steps_by_family
        for name, there in {"parts": self.parts, "weights": self.weights}.items():
            if turns and there:
                raise ValueError(f"{name} has no effect beside curriculum.steps_by_family: leave out either")
        if turns and (unlike := sorted({*turns} ^ {*self.families})):
            where = "steps_by_family" if unlike[0] in turns else "families"
            raise ValueError(
                f"{unlike[0]} is in {where} alone: curriculum.steps_by_family names each of the families, and no other"
            )


class Questions:
    """The problems of every split. Data sets are read once, on construction."""

    def __init__(self, config: QuestionsConfig, prove: Prove | None = None) -> None:
        """Counts in `report` what happened to the rows of data sets.

        Raises SourceError for a data set that cannot be read, ValueError for one without any usable row.
        """
        self.config = config
        self.report = Report()
        self._held: dict[int, list[Problem]] = {}
        for number, part in enumerate(config.parts):
            if part.source is not None and part.weight > 0:
                self._held[number] = self._read(part.source, prove)
        self._held_out = {identity(p) for held in self._held.values() for p in held if p.split != "train"}

    def _read(self, source: SourceConfig, prove: Prove | None) -> list[Problem]:
        report = Report()
        problems = list(read(source, report, prove))
        self.report.add(report)
        if not problems:
            reason = f"; the first of {report.excluded} excluded rows: {report.reasons[0]}" if report.reasons else ""
            raise ValueError(f"source {source.path or source.mapping} gave no problems{reason}")
        return problems

    def part(self, split: Split, seed: int) -> Part:
        """The stream of one split. `seed` replaces the configuration's; a part's own seed is added to it.

        A training question that is also in a val or test data set is left out and counted. Raises ValueError if no
        part has problems of this split.
        """
        config = self.config
        if not config.parts:
            return ProblemStream(config.model_copy(update={"seed": seed}), split)
        parts: list[tuple[Part, float]] = []
        leaked = 0
        for number, part in enumerate(config.parts):
            if part.weight == 0:
                continue
            if part.procedural is not None:
                own = part.procedural.seed + seed + SEEDS_APART * number
                parts.append((ProblemStream(part.procedural.model_copy(update={"seed": own}), split), part.weight))
                continue
            held = [p for p in self._held[number] if p.split == split]
            if split == "train":
                clean = [p for p in held if identity(p) not in self._held_out]
                leaked += len(held) - len(clean)
                held = clean
            if held:
                parts.append((Finite(held, seed), part.weight))
        if split == "train":
            self.report.leaked = leaked
        if not parts:
            given = ", ".join(sorted({p.split for held in self._held.values() for p in held})) or "nothing"
            raise ValueError(
                f"problems.parts holds no problems of split {split}, only of {given}; give a source with "
                f"`split: {split}`, one with `split: by_hash`, or a procedural part"
            )
        return Mix(parts, seed)

    def distinct(self, split: Split, count: int, seed: int) -> list[Problem]:
        """The first `count` problems of the split's stream with different questions; fewer if there are not as many."""
        return list(self.each_distinct(split, count, seed))

    def each_distinct(self, split: Split, count: int, seed: int) -> Iterator[Problem]:
        """The problems of `distinct` one after another; only the hashes of their questions are held."""
        part: Part = self.part(split, seed)
        seen: set[str] = set()
        for index in range(TRIES_PER_PROBLEM * count):
            problem = part.problem(index)
            if (key := problem.question_hash) not in seen:
                seen.add(key)
                yield problem
            if len(seen) == count:
                return

    def grid(self, split: Split, count: int, seed: int, without: Collection[str] = ()) -> list[Problem]:
        """`count` problems of each family at each difficulty; see `problems.grid`. Raises ValueError where a cell has
        fewer, and where data sets are asked, which have no such cells."""
        if self.config.parts:
            raise ValueError("problems.parts has no cells of family and difficulty to fill")
        return grid(self.config.model_copy(update={"seed": seed}), split, count, without)

    def whole(self, split: Split) -> list[Problem]:
        """Every problem of a split in the data sets, each question once, in the order of the parts.

        As in `part`, training questions are those of no val or test data set.
        """
        chosen: dict[str, Problem] = {}
        for problem in (p for held in self._held.values() for p in held if p.split == split):
            if split == "train" and identity(problem) in self._held_out:
                continue
            chosen.setdefault(problem.question_hash, problem)
        return list(chosen.values())


def identity(problem: Problem) -> str:
    """Identifies a question across data sets: by its text, or by its own hash if it is a family's."""
    return str(problem.params.get("question") or problem.question_hash)


def by_index(
    part: Part, curriculum: CurriculumConfig, indices_per_step: int, levels: Levels | None = None
) -> Callable[[int], Problem]:
    """The function from an index of a run's stream to its problem; it is picklable.

    A linear curriculum, and families that take turns, count `indices_per_step` indices as a step. `levels` gives the
    difficulties of (index, family) under the schedules that follow outcomes. Raises ValueError if such a schedule has
    no `levels`.
    """
    if curriculum.steps_by_family:
        if not isinstance(part, ProblemStream):
            raise ValueError("steps_by_family is for families alone, and these problems are a mix: leave it out")
        part = Turns(part, curriculum.steps_by_family, indices_per_step)
    if curriculum.schedule == "constant":
        return part.problem
    if curriculum.schedule == "linear":
        return partial(_rising, part, curriculum, indices_per_step)
    if levels is None:
        raise ValueError(f"schedule {curriculum.schedule} follows outcomes, so it needs `levels`")
    return partial(_levelled, part, levels)


def _rising(part: Part, curriculum: CurriculumConfig, indices_per_step: int, index: int) -> Problem:
    return part.problem(index, (curriculum.linear(index // indices_per_step),))


def _levelled(part: Part, levels: Levels, index: int) -> Problem:
    return part.problem(index, levels(index, part.family(index)))


def worked_answer(problem: Problem) -> str:
    """A correct answer to a problem, as a program or as the content of the box; "" if none is known."""
    if families.known(problem.family):
        return families.get(problem.family).solutions(problem).correct[0]
    return str(problem.hidden_tests[0].expected) if problem.kind == "answer" else ""
