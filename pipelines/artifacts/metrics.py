"""What a finished step says of itself: one row of `metrics.jsonl`. Pure."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from problems.problem import Status, Verdict
from rollout.admission import StepBatch
from rollout.coordinator import Event


def step_row(event: Event) -> dict[str, Any]:
    """The learner's metrics, the batch's, and where the time went, under stable names.

    Seconds are of the wall; `clock` holds every engine's totals since its start, by kind of work, and `engine_tokens`
    the completion tokens that it has sampled; `short_room` counts all engines' samples, since their start, whose prompt
    left fewer than `max_tokens`.
    """
    row = {"kind": "step", "step": event.step, **event.metrics}
    engines = row.pop("publish/engines", [])
    row["clock"] = {e["engine"]: e["clock"] for e in engines}
    row["engine_tokens"] = {e["engine"]: e["completion_tokens"] for e in engines}
    if any("short_room" in e for e in engines):
        row["short_room"] = sum(e.get("short_room", 0) for e in engines)
    row["completion_tokens_total"] = sum(row["engine_tokens"].values())
    if event.batch is not None:
        row |= batch_row(event.batch)
        tokens = sum(len(s.completion_ids) for g in event.batch.groups for s in g.samples)
        row["tokens_per_second"] = tokens / max(row["seconds/whole_step"], 1e-9)
    return row


def batch_row(batch: StepBatch) -> dict[str, Any]:
    """Rewards, outcomes, staleness and losses of a step's groups."""
    groups = batch.groups
    every = [one for g in groups for one in zip(g.samples, g.verdicts, g.rewards, strict=True)]
    # Figures of the policy are figures of its own samples.
    own = [one for one in every if not one[0].averaged]
    samples, verdicts = [s for s, _, _ in own], [v for _, v, _ in own]
    averages = [v for s, v, _ in every if s.averaged]
    averaged = {"averaged_pass_rate": _passed(averages)} if averages else {}
    counts = collections.Counter(str(v.status) for v in verdicts)
    return {
        "reward": _mean([r for _, _, r in own if r is not None]),
        "pass_rate": _passed(verdicts),
        **averaged,
        "groups_sampled": len(groups),
        "groups_informative": sum(batch.informative),
        "acceptance": _mean(batch.informative),
        "staleness_mean": _mean(batch.staleness),
        "staleness_max": max(batch.staleness, default=0),
        "completion_length": _mean([len(s.completion_ids) for s in samples]),
        "truncated": _mean([s.finish_reason == "length" for s in samples]),
        "statuses": dict(sorted(counts.items())),
        "verify_cpu_seconds": sum(v.cpu_seconds for _, v, _ in every),
        **{f"groups_{name}": count for name, count in batch.counts.items()},
    }


def _passed(verdicts: Sequence[Verdict]) -> float:
    return _mean([v.passed for v in verdicts if v.status is not Status.INFRASTRUCTURE])


def _mean(values: Any) -> float:
    numbers = [float(v) for v in values]
    return sum(numbers) / len(numbers) if numbers else 0.0
