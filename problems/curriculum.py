"""Which difficulties to use next: a fixed set, or one that rises with steps or with success.

The state is a few numbers (`state`, `restore`), so that a checkpoint can hold it and a resumed run continues as an
uninterrupted one would. Pass rates are reported one group at a time, as shares between 0 and 1.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems import families
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY

Schedule = Literal["constant", "linear", "adaptive", "self_paced", "staged"]

STAGES = ((1, 3), (4, 6), (7, 10))
"""Easy, medium and hard, for the staged schedule."""


class CurriculumConfig(BaseModel):
    """How difficulty changes during a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = "constant"
    """constant: the problems' own difficulties; linear: up by steps; adaptive: up and down by success over all
    families; self_paced: the same for each family on its own; staged: easy, medium, hard, until targets are met."""
    steps_by_family: Mapping[str, int] = Field(default_factory=dict)
    """Training steps that each family has to itself, in this order and round after round, under any schedule; {} draws
    the family of every problem by weight."""
    start: int = Field(default=MIN_DIFFICULTY, ge=MIN_DIFFICULTY, le=MAX_DIFFICULTY)
    """First difficulty."""
    end: int = Field(default=MAX_DIFFICULTY, ge=MIN_DIFFICULTY, le=MAX_DIFFICULTY)
    """Last difficulty."""
    steps_per_level: int = Field(default=20, ge=1)
    """linear: training steps before difficulty rises by 1."""
    window: int = Field(default=10, ge=1)
    """adaptive, self_paced: number of groups at a level over which the pass rate is averaged."""
    raise_at: float = Field(default=0.7, ge=0, le=1)
    """adaptive, self_paced: mean pass rate from which difficulty rises by 1 (0.85 suits self_paced)."""
    lower_at: float = Field(default=0.3, ge=0, le=1)
    """adaptive, self_paced: mean pass rate below which difficulty falls by 1."""
    targets: tuple[float, float, float] = (0.8, 0.7, 0.6)
    """staged: mean pass rate at which easy, medium and hard are left."""
    least_groups: tuple[int, int, int] = (5, 10, 15)
    """staged: minimum groups of a stage before it can be left."""
    most_groups: int = Field(default=0, ge=0)
    """staged: groups after which a stage is left whatever its pass rate; 0 means never."""

    @model_validator(mode="after")
    def _in_order(self) -> CurriculumConfig:
        if self.start > self.end:
            raise ValueError(f"the curriculum starts at {self.start} and ends at {self.end}; swap them")
        if self.lower_at >= self.raise_at:
            raise ValueError(f"lower_at {self.lower_at} must be below raise_at {self.raise_at}")
        for name, steps in self.steps_by_family.items():
            if steps < 1:
                raise ValueError(
                    f"steps_by_family gives {name} {steps} steps: give each family 1 or more, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _no_idle_fields(self) -> CurriculumConfig:
        for name, field in type(self).model_fields.items():
            used_by_all = ("schedule", "steps_by_family")
            if name not in (*used_by_all, *_APPLY[self.schedule]) and getattr(self, name) != field.default:
                used = ", ".join(_APPLY[self.schedule]) or "none"
                raise ValueError(
                    f"{name} has no effect with schedule {self.schedule}, which uses: {used}; leave it out"
                )
        return self

    def linear(self, step: int) -> int:
        """The linear schedule's difficulty after `step` steps."""
        return min(self.start + step // self.steps_per_level, self.end)


_BY_SUCCESS = ("start", "end", "window", "raise_at", "lower_at")
_APPLY: Mapping[Schedule, tuple[str, ...]] = {
    "constant": (),
    "linear": ("start", "end", "steps_per_level"),
    "adaptive": _BY_SUCCESS,
    "self_paced": _BY_SUCCESS,
    "staged": ("targets", "least_groups", "most_groups"),
}
"""Fields that each schedule reads."""


class Curriculum:
    """The current difficulties of a run. Deterministic: the same reports in the same order give the same levels."""

    def __init__(self, config: CurriculumConfig) -> None:
        self.config = config
        self._step = 0
        self._stage = 0
        self._levels: dict[str, int] = defaultdict(lambda: config.start)
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=self._window()))

    def _window(self) -> int | None:
        return None if self.config.schedule == "staged" else self.config.window

    def difficulties(self, family: str = "", default: Sequence[int] = ()) -> tuple[int, ...]:
        """Difficulties to sample from now; `default`, the problems' own, if the schedule is constant."""
        c = self.config
        match c.schedule:
            case "constant":
                return tuple(default) or tuple(range(c.start, c.end + 1))
            case "linear":
                return (c.linear(self._step),)
            case "staged":
                low, high = STAGES[self._stage]
                return tuple(range(low, high + 1))
        return (self._levels[self._key(family)],)

    def step(self) -> None:
        """Records that a training step is finished."""
        self._step += 1

    def observe(self, family: str, difficulty: int, pass_rate: float) -> None:
        """Records a group's pass rate. A group of a difficulty that is no longer in use does not count."""
        if difficulty not in self.difficulties(family) or self.config.schedule in ("constant", "linear"):
            return
        if self.config.schedule == "staged":
            self._observe_stage(pass_rate)
            return
        key, c = self._key(family), self.config
        recent = self._recent[key]
        recent.append(pass_rate)
        if len(recent) < c.window:
            return
        mean = sum(recent) / len(recent)
        move = (mean >= c.raise_at) - (mean < c.lower_at)
        level = min(max(self._levels[key] + move, c.start), c.end)
        if level != self._levels[key]:
            self._levels[key] = level
            recent.clear()

    def _observe_stage(self, pass_rate: float) -> None:
        c, recent, stage = self.config, self._recent[""], self._stage
        recent.append(pass_rate)
        done = len(recent) >= c.least_groups[stage] and sum(recent) / len(recent) >= c.targets[stage]
        forced = c.most_groups and len(recent) >= c.most_groups
        if (done or forced) and stage + 1 < len(STAGES):
            self._stage += 1
            recent.clear()

    def _key(self, family: str) -> str:
        return family if self.config.schedule == "self_paced" else ""

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "step": self._step,
            "stage": self._stage,
            "levels": dict(self._levels),
            "recent": {key: list(rates) for key, rates in self._recent.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned. Raises KeyError for anything else."""
        self._step = state["step"]
        self._stage = state["stage"]
        self._levels.clear()
        self._levels.update(state["levels"])
        self._recent.clear()
        for key, rates in state["recent"].items():
            self._recent[key].extend(rates)


Outcome = tuple[str, int, float]
"""Family, difficulty and pass rate of a group."""


class Levels:
    """The difficulties of each index of a run's stream, for schedules that follow outcomes.

    Index n gets the level that applied after the steps that must be finished before n can be issued at all
    (`steps_before`). So its problem depends on n and on those steps' outcomes, not on when it is issued: an index that
    is reissued, also by a resumed run, is the same problem.
    """

    def __init__(self, config: CurriculumConfig, indices_per_step: int, max_staleness: int) -> None:
        """A step consumes at most `indices_per_step`; indices are issued up to `max_staleness` steps in advance."""
        self._config = config
        self._indices_per_step = indices_per_step
        self._staleness = max_staleness
        self._outcomes: list[tuple[Outcome, ...]] = []
        self._restart()

    def _restart(self) -> None:
        self._curriculum = Curriculum(self._config)
        self._tables = [{"": self._curriculum.difficulties()}]  # by family; "" is for families without groups so far

    @property
    def steps(self) -> int:
        """Steps whose outcomes are known."""
        return len(self._outcomes)

    def steps_before(self, index: int) -> int:
        """Steps that are finished before this index can be issued, because a version admits only so many."""
        return max(0, index // self._indices_per_step - self._staleness)

    def observe(self, step: int, outcomes: Sequence[Outcome]) -> None:
        """Records the groups of a step (0 is the first), in the order of the stream; a step counts only once.

        Groups of data sets do not count, since no level applies to them. Raises ValueError if the step before is
        missing.
        """
        if step < self.steps:
            return
        if step > self.steps:
            raise ValueError(f"the outcomes of step {step} were recorded before those of step {self.steps}")
        moved = tuple(outcome for outcome in outcomes if families.known(outcome[0]))
        self._outcomes.append(moved)
        for family, difficulty, rate in moved:
            self._curriculum.observe(family, difficulty, rate)
        self._curriculum.step()
        seen = {*self._tables[-1], *(family for family, _, _ in moved)}
        self._tables.append({family: self._curriculum.difficulties(family) for family in seen})

    def roll_back(self, steps: int) -> None:
        """Drops the outcomes of all but the first `steps` steps."""
        if steps < self.steps:
            kept, self._outcomes = self._outcomes[:steps], []
            self._restart()
            for step, outcomes in enumerate(kept):
                self.observe(step, outcomes)

    def difficulties(self, index: int, family: str) -> tuple[int, ...]:
        """The difficulties of this index; while outcomes of steps before it are missing, by those that are known."""
        table = self._tables[min(self.steps_before(index), self.steps)]
        return table.get(family, table[""])
