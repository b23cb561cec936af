"""What the self-test has found, as data and as text: a pure module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cluster.memory_plan import GIB, MemoryNeed
from problems.plain_text import one_line

Outcome = Literal["passed", "failed", "noted"]
ROOM = 1.15
"""A planned figure holds up to this times itself."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    what: str
    outcome: Outcome
    found: str
    """What was measured, with its unit and its bound."""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One actor's memory, planned and measured, in bytes."""

    who: str
    planned: int
    measured: int
    parts: Mapping[str, int] = field(default_factory=dict)
    """Of what was planned."""
    how: str = ""
    """What was measured: resident memory of processes, or what the driver says that they hold of the GPU."""


@dataclass(slots=True)
class SelfTest:
    """Everything that goes into the file."""

    machine: dict[str, Any]
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    """The metrics of the training steps."""
    rates: dict[str, float] = field(default_factory=dict)
    """Tokens a second."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage."""
    error: str = ""
    """What ended the test before its time."""
    log: str = ""
    """The end of the log of an engine that did not start."""

    @property
    def passed(self) -> bool:
        """Whether nothing has failed."""
        return not self.error and all(check.outcome != "failed" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the JSON file."""
        return {"passed": self.passed, **asdict(self)}


def step_checks(rows: Sequence[Mapping[str, Any]], bound: float) -> list[Check]:
    """What the rows of training steps prove. `bound`: nats a token, on average, that engine and learner may differ."""
    if not rows:
        return [Check("training step", "failed", "none was finished")]
    last = rows[-1]
    found = [_published(rows, bound), _agreement(rows, bound)]
    norm, skipped = last.get("grad_norm") or 0.0, last.get("skipped_steps") or 0
    text = f"{len(rows)} steps, gradient norm {norm:.3g}, {last.get('seconds/step', 0.0):.1f} s for the last"
    if skipped:
        found.append(
            Check("training step", "failed", f"{text}; {skipped:g} were skipped: their gradient is not finite")
        )
    elif not any(row.get("grad_norm") for row in rows):
        found.append(
            Check("training step", "noted", f"{text}; all answers had the same reward, so nothing was learned")
        )
    else:
        found.append(Check("training step", "passed", text))
    return found


def _published(rows: Sequence[Mapping[str, Any]], bound: float) -> Check:
    what, gaps = "adapter in the engine", [row["publish/canary_gap"] for row in rows if "publish/canary_gap" in row]
    if not gaps:
        return Check(what, "failed", "no adapter was published")
    worst, size = max(gaps), max(row.get("publish/bytes") or 0 for row in rows)
    seconds = max(row.get("publish/seconds") or 0.0 for row in rows)
    text = (
        f"{len(gaps)} versions of {size / 2**20:.1f} MiB loaded and proven by the checksums of their tensors, "
        f"{1000 * seconds:.0f} ms at most; canary {worst:.2g} nats a token on average (at most {bound:g})"
    )
    return Check(what, "passed" if worst <= bound else "failed", text)


def _agreement(rows: Sequence[Mapping[str, Any]], bound: float) -> Check:
    what = "sampler against learner"
    largest = [row["logprob_gap/fresh_max"] for row in rows if row.get("logprob_gap/fresh_max") is not None]
    means = [row["logprob_gap/mean"] for row in rows if row.get("logprob_gap/mean") is not None]
    if not largest or not means:
        return Check(what, "failed", "no sample of the current policy was trained on")
    text = (
        f"log-probabilities differ by {max(means):.2g} nats a token on average (at most {bound:g}), and by "
        f"{max(largest):.2g} at the worst token"
    )
    return Check(what, "passed" if max(means) <= bound else "failed", text)


def memory_row(needs: Sequence[MemoryNeed], who: str, measured: int, how: str) -> MemoryRow:
    """The plan of all actors of one kind, beside what was measured of all of them."""
    parts: dict[str, int] = {}
    for part in (part for need in needs for part in need.parts if part.bytes):
        parts[part.name] = parts.get(part.name, 0) + part.bytes
    return MemoryRow(who, sum(parts.values()), measured, parts, how)


def memory_check(rows: Sequence[MemoryRow]) -> Check:
    """Whether the plan holds; what is not as planned is noted, not failed: the run got through."""
    seen = [row for row in rows if row.measured]
    if not seen:
        return Check("memory against the plan", "noted", "nothing could be measured")
    text = "; ".join(f"{row.who} {row.measured / GIB:.2f} GiB, planned {row.planned / GIB:.2f}" for row in seen)
    kept = all(row.measured <= ROOM * row.planned for row in seen)
    return Check("memory against the plan", "passed" if kept else "noted", text)


def rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Tokens a second of the engines, at work, and of the learner: those of the last step, the first for warming up."""
    if not rows:
        return {}
    last, before = rows[-1], rows[-2] if len(rows) > 1 else {}
    found = {}
    busy = _busy(last) - _busy(before)
    sampled = sum((last.get("engine_tokens") or {}).values()) - sum((before.get("engine_tokens") or {}).values())
    if busy > 0 and sampled > 0:
        found["sampled tokens a second and engine at work"] = sampled / busy
    if last.get("seconds/step") and last.get("tokens"):
        found["trained tokens a second"] = last["tokens"] / last["seconds/step"]
    return found


def _busy(row: Mapping[str, Any]) -> float:
    clocks = (row.get("clock") or {}).values()
    return sum(clock.get("prefill", 0.0) + clock.get("decode", 0.0) for clock in clocks)


def text(found: SelfTest) -> str:
    """The report for people."""
    machine = found.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    gpus = ", ".join(f"{gpu['name']} {gpu['memory']} (driver {gpu['driver']})" for gpu in machine.get("gpus", ()))
    lines = [
        f"Self-test of Crucible: {'passed' if found.passed else 'FAILED'}",
        "",
        f"model     {one_line(found.model)}",
        f"machine   {machine.get('cpus')} CPUs, {machine.get('memory', 0) / GIB:.1f} GiB free, GPUs: {gpus or 'none'}",
        f"software  Python {machine.get('python')}, {versions}; code {machine.get('code')}",
        f"settings  {', '.join(f'{name} {value}' for name, value in found.settings.items())}",
        "",
    ]
    lines += [f"{check.outcome:<8}{check.what}: {one_line(check.found)}" for check in found.checks]
    if found.error:
        lines.append(f"failed  {one_line(found.error)}")
    for row in found.memory:
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in row.parts.items())
        lines += ["", f"{row.who}: planned {row.planned / GIB:.2f} GiB, measured {row.measured / GIB:.2f} ({row.how})"]
        lines.append(f"    planned: {parts}")
    if found.rates:
        lines += ["", *(f"{value:,.0f} {name}" for name, value in found.rates.items())]
    lines += ["", "seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in found.seconds.items())]
    if found.log:
        lines += ["", "End of the engine's log:", found.log]
    return "\n".join(lines) + "\n"
