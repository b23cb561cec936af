"""Settings of the verify room."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Outcome = Literal["binary", "fraction", "half_partial"]


class RewardConfig(BaseModel):
    """How a verdict becomes a reward: the weighted outcome plus shaping, which never counts as outcome."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome = "binary"
    """`binary`: 1 if every test passed; `fraction`: passed tests / tests; `half_partial`: half the fraction, but 1 if
    all passed."""
    outcome_weight: float = Field(default=1.0, ge=0)
    """Weight of the outcome in the sum."""
    format_weight: float = 0.0
    """Added if code (or an answer) could be extracted from the completion."""
    length_weight: float = Field(default=0.0, ge=0)
    """Length penalty at `length_budget` tokens over `length_free`: it rises linearly from 0 to this, and no further."""
    length_free: int = Field(default=0, ge=0)
    """Completion tokens without a penalty."""
    length_budget: int = Field(default=1024, ge=1)
    """Tokens beyond `length_free` at which the penalty reaches `length_weight`."""

    @model_validator(mode="after")
    def _something_to_earn(self) -> RewardConfig:
        if self.outcome_weight == 0 and self.format_weight == 0 and self.length_weight == 0:
            raise ValueError("every reward weight is 0, so nothing can be learned; set outcome_weight to 1")
        return self


class VerifyConfig(BaseModel):
    """The sandbox pool and the limits of a program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actors: int = Field(default=1, ge=1)
    """Verify actors; each drives one zygote and keeps about one core busy."""
    actor_cpus: float = Field(default=0.1, ge=0)
    """CPUs that Ray reserves for an actor."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Ray node labels that an actor's node must have, as in hardware.engine; for example nodes without keys."""
    batch_size: int = Field(default=32, ge=1, le=1024)
    """Solutions sent to an actor in one call."""
    cpu_seconds: float = Field(default=2.0, gt=0, le=600)
    """CPU time, in seconds, that one test may take; independent of the machine's load."""
    total_factor: float = Field(default=30.0, ge=1)
    """All tests of a solution together may take `cpu_seconds` x this of CPU time, or x their number if that is
    smaller."""
    wall_factor: float = Field(default=8.0, ge=1)
    """A test is stopped after `cpu_seconds` x this of wall time, whatever it waits for; all tests together likewise."""
    idle_seconds: float = Field(default=2.0, gt=0)
    """Time, in seconds, that a solution may sleep, with no thread running or ready to run."""
    memory_mib: int = Field(default=768, ge=64)
    """Address space that a solution may add to the interpreter's own."""
    output_kib: int = Field(default=1024, ge=1)
    """KiB that a solution may return or print beyond the size of the right answers."""
    threads: int = Field(default=64, ge=1)
    """Most threads that a solution may have at once."""
    overlap: int = Field(default=2, ge=1, le=16)
    """Solutions that an actor may run at once, so that a slow one does not block others; each may use `memory_mib`."""
    code_kib: int = Field(default=512, ge=1)
    """Code larger than this, in KiB, is not run."""
    max_tests: int = Field(default=10_000, ge=1)
    """Problems with more tests are rejected."""
    feed: Literal["batched", "streamed"] = "batched"
    """`streamed`: a program gets each input only after it has answered the previous one; costs two context switches for
    each test."""
    min_isolation: int = Field(default=2, ge=1, le=3)
    """Refuse to start below this level. 1: seccomp; 2: also Landlock; 3: also namespaces or a separate user."""
    retries: int = Field(default=2, ge=0)
    """Times that a solution is retried after a failure of the infrastructure."""
    recycle_after: int = Field(default=5000, ge=1)
    """Solutions after which a zygote is replaced by a fresh one."""
    cache: bool = True
    """Judge the same code on the same problem once."""
    cache_size: int = Field(default=20_000, ge=1)
    """Verdicts that each actor caches."""
    reward: RewardConfig = RewardConfig()
    """How verdicts become rewards."""

    @property
    def placement(self) -> dict[str, Any]:
        """Ray actor options of a verify actor."""
        return {"num_cpus": self.actor_cpus} | ({"label_selector": dict(self.labels)} if self.labels else {})

    def total_cpu_seconds(self, tests: int) -> float:
        """CPU time, in seconds, of a solution over all of its `tests`."""
        return self.cpu_seconds * min(max(tests, 1), self.total_factor)
