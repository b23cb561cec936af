"""What a run folder's rows say, sorted for the page: steps, evaluations, and where the time went. Pure.

Any part may be missing: a run that was interrupted, or is of another job, has fewer rows and fewer keys.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.artifacts.run_folder import RunFolder
from pipelines.display import TREND
from rollout.engine import CANARY_BOUNDS

TIME_PARTS = (
    ("waiting for samples", "seconds/wait_for_batch"),
    ("training", "seconds/step"),
    ("publishing the adapter", "publish/seconds"),
    ("checkpoint", "seconds/checkpoint"),
)
"""Label and key of the parts of a step's wall time; what is left of the whole step is `other`."""

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Record:
    """A run as its folder records it."""

    name: str
    config: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    """One row a step, in order; of a step that was redone, the last."""
    evaluations: tuple[Mapping[str, Any], ...]
    """One row an evaluation, `before` first and `after` last; of one that was redone, the last."""
    comparison: Mapping[str, Any]
    """{} where no two evaluations were compared."""
    validation: tuple[Mapping[str, Any], ...] = ()
    """One row a look at the validation loss, of a run that learns from traces."""
    traces: Mapping[str, Any] = field(default_factory=dict)
    """What such a run learnt from."""
    conditions: tuple[Any, ...] = ()
    """What became of those that were required."""

    @classmethod
    def read(cls, folder: RunFolder) -> Record:
        """Raises RunFolderError where `metrics.jsonl` cannot be read."""
        steps = {row["step"]: row for row in folder.steps() if is_number(row["step"])}
        rows = folder.metrics()
        evaluations = {str(row["name"]): row for row in rows if row.get("kind") == "evaluation" and row.get("name")}
        place = {"before": -1, "after": 1}
        comparisons = [row for row in rows if row.get("kind") == "comparison"]
        return cls(
            name=folder.path.resolve().name,
            config=folder.config,
            steps=tuple(steps[step] for step in sorted(steps)),
            evaluations=tuple(sorted(evaluations.values(), key=lambda row: place.get(row["name"], 0))),
            comparison=comparisons[-1] if comparisons else {},
            validation=tuple(row for row in rows if row.get("kind") == "validation"),
            conditions=_conditions(rows),
            traces=next((row for row in rows if row.get("kind") == "traces"), {}),
        )

    def setting(self, dotted: str, default: Any = None) -> Any:
        """A value of the configuration; `default` where there is none."""
        value: Any = self.config
        for key in dotted.split("."):
            if not isinstance(value, Mapping) or value.get(key) is None:
                return default
            value = value[key]
        return value

    @property
    def numbers(self) -> list[int]:
        """The steps' numbers."""
        return [row["step"] for row in self.steps]

    def series(self, key: str) -> list[float | None]:
        """A metric over the steps, None where a step has no finite value of it."""
        return [number(row, key) for row in self.steps]

    @property
    def last_step(self) -> int:
        """The last step done; 0 for none."""
        return self.steps[-1]["step"] if self.steps else 0

    @property
    def finished(self) -> bool:
        """Whether the planned steps are done and nothing is left to evaluate."""
        planned = self.setting("steps")
        if not is_number(planned):
            return bool(self.evaluations)
        return self.last_step >= planned and any(row["name"] == "after" for row in self.evaluations)


def _conditions(rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """The results of the last row of conditions."""
    found = [row.get("results") for row in rows if row.get("kind") == "conditions"]
    return tuple(found[-1]) if found and isinstance(found[-1], list) else ()


def mapping(value: Any) -> Mapping[str, Any]:
    """A value that should be a mapping; {} for anything else."""
    return value if isinstance(value, Mapping) else {}


def is_number(value: Any) -> bool:
    """Whether it is a finite number (True and False are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(row: Mapping[str, Any], key: str) -> float | None:
    """A finite number of a row, or None."""
    value = row.get(key)
    return value if is_number(value) else None


def total(values: Iterable[float | None]) -> float:
    """The sum of what is there."""
    return sum(value for value in values if value is not None)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None of nothing."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def smoothed(values: Sequence[float | None]) -> list[float | None]:
    """At each step the mean of the last `TREND` steps, as the live display shows it; None where the step has no
    value."""
    return [None if value is None else mean(values[max(0, at + 1 - TREND) : at + 1]) for at, value in enumerate(values)]


def time_parts(record: Record) -> dict[str, list[float]]:
    """Part -> seconds of the learner's wall time at each step. Parts that never took any are left out."""
    parts = {label: [value or 0.0 for value in record.series(key)] for label, key in TIME_PARTS}
    whole = record.series("seconds/whole_step")
    booked = [sum(step) for step in zip(*parts.values())]
    parts[OTHER] = [max(0.0, (all_of_it or 0.0) - known) for all_of_it, known in zip(whole, booked)]
    return {label: seconds for label, seconds in parts.items() if any(seconds)}


def engine_times(record: Record) -> list[dict[str, dict[str, float]]]:
    """At each step: engine -> kind of work -> seconds since the step before.

    An engine's clock counts from its start, so its first step (which would hold its start and the evaluation before
    the training) is left out; one that was started again counts from zero.
    """
    found, before = [], {}
    for row in record.steps:
        clocks = mapping(row.get("clock"))
        now = {
            str(e): {k: v for k, v in c.items() if is_number(v)} for e, c in clocks.items() if isinstance(c, Mapping)
        }
        found.append({e: _since(before[e], clock) for e, clock in now.items() if e in before})
        before |= now
    return found


def _since(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    restarted = any(now[kind] < before.get(kind, 0.0) - 1e-3 for kind in now)
    return {kind: value if restarted else max(0.0, value - before.get(kind, 0.0)) for kind, value in now.items()}


@dataclass(frozen=True, slots=True)
class EngineRate:
    """What engines of one kind (one hardware profile) did over the steps whose times are known."""

    kind: str
    engines: int
    tokens: float
    """Completion tokens sampled."""
    busy: float
    """Seconds of prefill and decode, summed over the engines."""

    @property
    def rate(self) -> float:
        """Completion tokens a second of one engine that has work."""
        return self.tokens / self.busy if self.busy else math.nan


def engine_rates(record: Record) -> list[EngineRate]:
    """Measured speed by kind of engine; engines are named <run>-<kind>-<number>. [] where no step tells."""
    seconds: dict[str, float] = collections.defaultdict(float)
    tokens: dict[str, float] = collections.defaultdict(float)
    before: Mapping[str, Any] = {}
    for row, times in zip(record.steps, engine_times(record)):
        counts = mapping(row.get("engine_tokens"))
        for engine, clock in times.items():
            now: Any = counts.get(engine)
            then: Any = before.get(engine)
            if not is_number(now) or not is_number(then):
                continue
            # An engine that was started again counts from zero.
            tokens[engine] += now - then if now >= then else now
            seconds[engine] += sum(clock.get(kind, 0.0) for kind in ("prefill", "decode"))
        before = counts
    kinds: dict[str, list[str]] = {}
    for engine in tokens:
        kinds.setdefault(engine.rpartition("-")[0].rpartition("-")[2] or engine, []).append(engine)
    return [
        EngineRate(kind, len(names), sum(tokens[n] for n in names), sum(seconds[n] for n in names))
        for kind, names in sorted(kinds.items())
    ]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How near a run came to generating and learning at once. Seconds over the steps whose engine times are known."""

    steps: int
    generate: float
    """Of the busiest engine."""
    learn: float
    """Training, publishing, checkpoints."""
    actual: float

    @property
    def bound(self) -> float:
        """What perfect overlap would take: the slower of the two alone."""
        return max(self.generate, self.learn)

    @property
    def in_turns(self) -> float:
        """What one after the other would take."""
        return self.generate + self.learn


def step_overlaps(record: Record) -> list[Overlap | None]:
    """The overlap of each step by itself; None where its engine times are unknown."""
    found: list[Overlap | None] = []
    for row, engines in zip(record.steps, engine_times(record)):
        whole = number(row, "seconds/whole_step")
        if not engines or whole is None:
            found.append(None)
            continue
        generate = max(
            sum(s for kind, s in clock.items() if kind in ("prefill", "decode")) for clock in engines.values()
        )
        learn = total(number(row, key) for _, key in TIME_PARTS[1:])
        found.append(Overlap(1, generate, learn, whole))
    return found


def whole_overlap(record: Record) -> Overlap | None:
    """Over all steps together; None where no engine's times are known."""
    known = [overlap for overlap in step_overlaps(record) if overlap is not None]
    if not known:
        return None
    sums = (sum(getattr(o, name) for o in known) for name in ("generate", "learn", "actual"))
    return Overlap(len(known), *sums)


def sync_bounds(record: Record) -> dict[str, float]:
    """Label -> mean gap of a canary that the engines accept. Two where the dtype is left to the machine."""
    configured = record.setting("rollout.engine.canary_bound")
    if is_number(configured):
        return {"configured bound": configured}
    machine = {"cpu": "float32", "gpu": "bfloat16"}.get(record.setting("hardware.device", "auto"), "auto")
    both = {record.setting(key, "auto") for key in ("rollout.engine.dtype", "train.dtype")}
    known = {machine if dtype == "auto" else dtype for dtype in both} | {record.setting("train.quantise", "none")}
    open_, known = "auto" in known, known & CANARY_BOUNDS.keys()
    bound = CANARY_BOUNDS.__getitem__
    widest = {max({*known, kind}, key=bound) for kind in (("float32", "bfloat16") if open_ else known)}
    return {f"{kind} bound": bound(kind) for kind in sorted(widest, key=bound)}
