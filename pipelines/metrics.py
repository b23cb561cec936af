"""What a finished step says of itself: one row of `metrics.jsonl`. Pure."""

from __future__ import annotations

import collections
from typing import Any

from problems.problem import Status
from rollout.admission import StepBatch
from rollout.coordinator import Event


def step_row(event: Event) -> dict[str, Any]:
    """The learner's metrics, the batch's, and where the time went, under stable names.

    Seconds are of the wall; `clock` holds every engine's totals since its start, by kind of work, and `engine_tokens`
    the completion tokens that it has sampled.
    """
    row = {"kind": "step", "step": event.step, **event.metrics}
    engines = row.pop("publish/engines", [])
    row["clock"] = {e["engine"]: e["clock"] for e in engines}
    row["engine_tokens"] = {e["engine"]: e["completion_tokens"] for e in engines}
    row["completion_tokens_total"] = sum(row["engine_tokens"].values())
    if event.batch is not None:
        row |= batch_row(event.batch)
        tokens = sum(len(s.completion_ids) for g in event.batch.groups for s in g.samples)
        row["tokens_per_second"] = tokens / max(row["seconds/whole_step"], 1e-9)
    return row


def batch_row(batch: StepBatch) -> dict[str, Any]:
    """Rewards, outcomes, staleness and losses of a step's groups."""
    groups = batch.groups
    verdicts = [v for g in groups for v in g.verdicts]
    scored = [r for g in groups for r in g.rewards if r is not None]
    judged = [v for v in verdicts if v.status is not Status.INFRASTRUCTURE]
    lengths = [len(s.completion_ids) for g in groups for s in g.samples]
    counts = collections.Counter(str(v.status) for v in verdicts)
    return {
        "reward": _mean(scored),
        "pass_rate": _mean([v.passed for v in judged]),
        "groups_sampled": len(groups),
        "groups_informative": sum(batch.informative),
        "acceptance": _mean(batch.informative),
        "staleness_mean": _mean(batch.staleness),
        "staleness_max": max(batch.staleness, default=0),
        "completion_length": _mean(lengths),
        "truncated": _mean([s.finish_reason == "length" for g in groups for s in g.samples]),
        "statuses": dict(sorted(counts.items())),
        "verify_cpu_seconds": sum(v.cpu_seconds for v in verdicts),
        **{f"groups_{name}": count for name, count in batch.counts.items()},
    }


def _mean(values: Any) -> float:
    numbers = [float(v) for v in values]
    return sum(numbers) / len(numbers) if numbers else 0.0
