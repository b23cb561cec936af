"""The results of a sweep: one record a trial, one a setting. Pure but for reading run folders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts.run_folder import RunFolder, replace_file
from pipelines.measure.statistics import bounded_mean_interval


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep."""

    id: str
    values: Mapping[str, Any]
    """Dotted keys, the seed not among them."""
    seed: int
    status: str
    """`finished`, `stopped` (by the scheduler) or `failed`."""
    error: str = ""
    steps: int = 0
    pass_rates: tuple[float, ...] = ()
    """Share of fresh training problems' samples that passed, step by step."""
    val: Mapping[str, float] | None = None
    """Held-out pass@1 on the val split with its 95 % interval: value, low, high."""
    gain: Mapping[str, float] | None = None
    """The same, minus the starting policy's, paired by problem."""
    missing: int = 0
    """Held-out problems of its evaluations that have no answer or no verdict, and are left out of `val` and `gain`."""
    seconds: float = 0.0
    """Wall time of its steps."""
    tokens: int = 0
    """Completion tokens it learned from."""
    tune_seconds: float | None = None
    """Seconds that it spent in reports to Ray Tune; known of a trial that finished."""

    @property
    def setting(self) -> str:
        """Its values as text."""
        return ", ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in self.values.items())

    def score(self, window: int) -> float:
        """Mean pass rate over its last steps; NaN before the first."""
        recent = self.pass_rates[-window:]
        return sum(recent) / len(recent) if recent else math.nan


@dataclass(frozen=True, slots=True)
class Setting:
    """All trials of one setting."""

    values: Mapping[str, Any]
    name: str
    trials: tuple[Trial, ...]
    val: Interval | None
    """Mean held-out pass@1 of the trials that finished, over seeds."""
    behind: Interval | None = field(default=None)
    """That minus the best setting's, paired by seed; None for the best, and where no seed is shared."""

    @property
    def finished(self) -> int:
        """Trials that ran to the end."""
        return sum(trial.val is not None for trial in self.trials)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval: Student's, or, where all values are the same and their spread says
    nothing, `statistics.bounded_mean_interval`. Low and high are NaN for a single value."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], least: float = 0.0) -> Interval:
        """Of values between `least` (-1 of differences) and 1. Raises ValueError for no values."""
        from scipy import stats

        if not values:
            raise ValueError("no values have no mean")
        mean = sum(values) / len(values)
        if len(values) == 1:
            return cls(mean, math.nan, math.nan)
        error = float(stats.sem(values))
        if error < 1e-12:
            return cls(mean, *bounded_mean_interval(np.array(values), least))
        low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
        return cls(mean, float(low), float(high))

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{100 * self.value:.1f} %"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def read_trial(path: Path, id: str, values: Mapping[str, Any], seed: int, error: str = "") -> Trial:
    """A trial as its run folder records it; one without a folder has nothing but its setting."""
    if not (path / "config.yaml").is_file():
        return Trial(id, values, seed, "failed" if error else "stopped", error)
    folder = RunFolder.open(path)
    rows, steps = folder.metrics(), folder.steps()
    after = [row for row in rows if row.get("kind") == "evaluation" and row.get("name") == "after"]
    compared = [row for row in rows if row.get("kind") == "comparison"]
    status = "finished" if after else "failed" if error else "stopped"
    tokens = sum(row.get("completion_length", 0) * row.get("groups_sampled", 0) for row in steps)
    return Trial(
        id=id,
        values=values,
        seed=seed,
        status=status,
        error=error,
        steps=len(steps),
        pass_rates=tuple(row["pass_rate"] for row in steps),
        val=after[-1]["pass_at"]["1"] if after else None,
        gain=compared[-1]["pass_at_1"] if compared else None,
        missing=sum(_missing(row) for row in rows if row.get("kind") == "evaluation"),
        seconds=sum(row.get("seconds/whole_step") or 0.0 for row in steps),
        tune_seconds=next((row["seconds/tune"] for row in reversed(rows) if row.get("kind") == "trial"), None),
        tokens=round(tokens * folder.config.get("rollout", {}).get("group_size", 1)),
    )


def settings_of(trials: Sequence[Trial]) -> list[Setting]:
    """Settings, the best first: by mean held-out pass@1 among those that most seeds finished, then by steps reached."""
    grouped: dict[str, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(trial.setting, []).append(trial)
    found = []
    for name, own in grouped.items():
        values = [trial.val["value"] for trial in own if trial.val is not None]
        found.append(Setting(own[0].values, name, tuple(own), Interval.of(values) if values else None))
    found.sort(key=lambda s: (-s.finished, -(s.val.value if s.val else -1.0), -max(t.steps for t in s.trials)))
    if not found or found[0].val is None:
        return found
    best = found[0]
    return [best, *(_behind(setting, best) for setting in found[1:])]


def write_table(path: Path, trials: Sequence[Trial], window: int) -> Path:
    """`results.parquet`: one row a trial, a column each dotted key."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    rows = [
        {"trial": t.id, **{key: t.values.get(key) for key in keys}, "seed": t.seed, "status": t.status,
         "error": t.error, "steps": t.steps, "score": t.score(window),
         **{f"val_pass_at_1{end}": (t.val or {}).get(key) for end, key in
            (("", "value"), ("_low", "low"), ("_high", "high"))},
         "gain": (t.gain or {}).get("value"), "gain_low": (t.gain or {}).get("low"),
         "gain_high": (t.gain or {}).get("high"), "gain_informative": (t.gain or {}).get("informative"),
         "missing": t.missing, "seconds": t.seconds, "tune_seconds": t.tune_seconds,
         "tokens": t.tokens}
        for t in trials
    ]  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return replace_file(path, sink.getvalue().to_pybytes())


def _behind(setting: Setting, best: Setting) -> Setting:
    top = {trial.seed: trial.val["value"] for trial in best.trials if trial.val is not None}
    gaps = [t.val["value"] - top[t.seed] for t in setting.trials if t.val is not None and t.seed in top]
    return Setting(setting.values, setting.name, setting.trials, setting.val, Interval.of(gaps, -1.0) if gaps else None)


def _missing(evaluation: Mapping[str, Any]) -> int:
    """Problems minus those that have a pass rate."""
    scored = (evaluation.get("pass_at") or {}).get("1") or {}
    return evaluation.get("lost", 0) + evaluation.get("problems", 0) - scored.get("problems", 0)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
