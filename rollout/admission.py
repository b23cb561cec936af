"""Admission: which problem of the stream may be generated now, and which groups a step learns from.

Pure: no Ray, no clock of its own. A problem of the stream has an index; a *lease* permits generating one index. The
book

- bounds staleness: at version v at most (v - v0 + 1 + S) * B indices have been issued since the run began or was
  restored at v0, plus one for each group that a step was allowed to replace (B = groups a step, S = max_staleness);
- loses nothing: a lease that is not answered in time is reissued, and so is one whose group came back too old, or was
  ended because it would;
- counts nothing twice: the first answer to an index wins, whichever attempt it belongs to.

With S = 0 a step's groups are the shortest stretch of the stream that fills it, so they do not depend on timing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from problems.problem import Group, GroupFilter, informative

MAX_FAILURES = 5
"""Times that an index may fail before it is given up and counted as lost."""
ABANDONED = "abandoned: no step to come may learn from its policy version"
"""Why a lease has no group where its sampling was ended; it is nobody's failure."""
LOOK_AFTER, FIRST_LOOK = 3.0, 30.0
"""A lease is looked for after so many times the longest time of an answer, and after so many seconds at least."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to generate one problem of the stream."""

    epoch: int
    """Which start or restore of the run issued it: answers to leases of an earlier one are void."""
    index: int
    """Position in the problem stream."""
    attempt: int
    """0 at first, then one more each time the index is reissued."""
    min_version: int
    """Oldest policy version that may answer."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which indices of the stream have been consumed: all below `low_water`, and those in `above`."""

    version: int = 0
    low_water: int = 0
    above: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"version": self.version, "low_water": self.low_water, "above": list(self.above)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_dict`."""
        return cls(data["version"], data["low_water"], tuple(data["above"]))

    def consume(self, indices: Iterable[int]) -> Ledger:
        """The ledger after consuming `indices` too. Raises ValueError for one that has been consumed already."""
        above = set(self.above)
        for index in indices:
            if index < self.low_water or index in above:
                raise ValueError(f"problem {index} of the stream would be consumed twice")
            above.add(index)
        low = self.low_water
        while low in above:
            above.discard(low)
            low += 1
        return Ledger(self.version, low, tuple(sorted(above)))


@dataclass(frozen=True, slots=True, eq=False)
class StepBatch:
    """All groups that one step consumes, in the order of the stream."""

    step: int
    """The step that trains on it: the policy goes from version `step` to `step` + 1."""
    groups: tuple[Group, ...]
    informative: tuple[bool, ...]
    """Which groups the learner's filter keeps; the others teach nothing."""
    ledger: Ledger
    """State after this step, for its checkpoint."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Since the step before: stale groups dropped, leases reissued, duplicates ignored, problems lost."""

    @property
    def staleness(self) -> list[int]:
        """Versions by which each group lags behind the step."""
        return [self.step - g.samples[0].policy_version for g in self.groups]


@dataclass(slots=True)
class _Outstanding:
    lease: Lease
    issued: float
    deadline: float


class LeaseBook:
    """Books of one run between two restores. All times are in seconds of the caller's monotonic clock."""

    def __init__(
        self,
        *,
        groups_per_step: int,
        max_staleness: int,
        refill: int = 0,
        lease_seconds: float = 600.0,
        ledger: Ledger | None = None,
        epoch: int = 0,
        limit: int | None = None,
        steps: int | None = None,
        group_filter: GroupFilter = "outcome",
    ):
        """`limit` ends the stream after that many indices; past `steps` versions nothing more is generated.

        `group_filter` says which groups teach nothing, and are replaced by `refill`: the learner's own.
        """
        self.epoch = epoch
        self.ledger = ledger or Ledger()
        self._size = groups_per_step
        self._staleness = max_staleness
        self._refill = refill * groups_per_step
        self._lease_seconds = lease_seconds
        self._limit = limit
        self._steps = steps
        self._filter: GroupFilter = group_filter
        self._start_version = self.ledger.version
        self._skip = set(self.ledger.above)
        self._next = self.ledger.low_water
        self._issued = 0
        self._extra = 0
        self._slowest = 0.0
        self._trained = -1
        self._failures: dict[int, int] = {}
        self._outstanding: dict[int, _Outstanding] = {}
        self._again: dict[int, int] = {}
        self._ready: dict[int, Group] = {}
        self._taken = {"stale": 0, "reissued": 0, "duplicate": 0, "lost": 0}

    @property
    def version(self) -> int:
        """Version of the policy that engines hold and prove."""
        return self.ledger.version

    @property
    def outstanding(self) -> int:
        """Leases without an answer."""
        return len(self._outstanding)

    @property
    def ready(self) -> int:
        """Groups delivered and not yet consumed."""
        return len(self._ready)

    @property
    def oldest(self) -> int:
        """The oldest version that a step to come may learn from."""
        return self.version + (self._trained == self.version) - self._staleness

    @property
    def patience(self) -> float:
        """Seconds after which a lease without an answer is looked for."""
        if not self._slowest:
            return self._lease_seconds
        return min(self._lease_seconds, max(FIRST_LOOK, LOOK_AFTER * self._slowest))

    def due(self, now: float) -> list[Lease]:
        """Leases that should have been answered: `lease` issues them again unless they are renewed before."""
        return [held.lease for held in self._outstanding.values() if held.deadline <= now]

    def renew(self, lease: Lease, now: float, seconds: float | None = None) -> None:
        """Gives a lease `seconds` more; None: what is left of `lease_seconds` since it was issued."""
        held = self._outstanding.get(lease.index)
        if held is not None and held.lease == lease:
            held.deadline = held.issued + self._lease_seconds if seconds is None else now + seconds

    def lease(self, count: int, now: float) -> list[Lease]:
        """Up to `count` leases; fewer, or none, where the staleness bound is reached."""
        self._expire(now)
        leases = []
        if self.oldest > self.version:  # what the policy of now would sample is too old for the next step
            return leases
        while len(leases) < count:
            if self._again:
                index = min(self._again)
                attempt = self._again.pop(index)
            elif self._issued < self._allowance() and (self._limit is None or self._next < self._limit):
                index, attempt = self._advance_cursor(), 0
                self._issued += 1
            else:
                break
            lease = Lease(self.epoch, index, attempt, self.version)
            self._outstanding[index] = _Outstanding(lease, now, now + self.patience)
            leases.append(lease)
        return leases

    def deliver(self, epoch: int, group: Group, now: float | None = None) -> bool:
        """Takes in an answer. False if it belongs to an earlier restore or the index has been answered already.

        With `now` the time that it has taken is booked.
        """
        if epoch != self.epoch or group.index not in self._known():
            self._taken["duplicate"] += 1
            return False
        held = self._outstanding.pop(group.index, None)
        if held is not None and now is not None:
            self._slowest = max(self._slowest, now - held.issued)
        self._again.pop(group.index, None)
        self._failures.pop(group.index, None)
        self._ready[group.index] = group
        return True

    def fail(self, lease: Lease) -> bool:
        """Books that a lease could not be answered: it is issued again. False where it had been given up or is void."""
        return self._is_out(lease) and self._reissue(lease.index)

    def abandon(self, lease: Lease) -> None:
        """Books that the sampling of a lease was ended as too old: it is issued again, and that is no failure."""
        if self._is_out(lease):
            self._outstanding.pop(lease.index)
            self._taken["stale"] += 1
            self._again[lease.index] = lease.attempt + 1

    def reissue_all(self) -> None:
        """Books all outstanding leases as unanswered: the stream that carried them has died, and they are not to blame.

        None is given up for it.
        """
        for index in list(self._outstanding):
            self._reissue(index, give_up=False)

    def take(self) -> StepBatch | None:
        """The next step's groups, or None while too few are ready; those too old for it are dropped and reissued."""
        self._drop_stale()
        chosen: list[int] = []
        uninformative = 0
        for index in sorted(self._ready):
            if len(chosen) >= self._size + min(uninformative, self._refill):
                break
            chosen.append(index)
            uninformative += not self._informative(self._ready[index])
        if len(chosen) < self._size + min(uninformative, self._refill) and not self._exhausted(len(chosen)):
            return None
        if self._staleness == 0 and chosen and self._outstanding and min(self._outstanding) < chosen[-1]:
            return None
        groups = tuple(self._ready.pop(s) for s in chosen)
        self._extra += len(groups) - self._size
        step = self._trained = self.version
        self.ledger = self.ledger.consume(chosen)
        after = Ledger(step + 1, self.ledger.low_water, self.ledger.above)
        counts, self._taken = self._taken, dict.fromkeys(self._taken, 0)
        return StepBatch(step, groups, tuple(self._informative(g) for g in groups), after, counts)

    def advance(self, version: int) -> None:
        """Books that engines hold and prove `version`. Raises ValueError where it is not the next one."""
        if version != self.version + 1:
            raise ValueError(f"version {version} was published where {self.version + 1} was due")
        self.ledger = Ledger(version, self.ledger.low_water, self.ledger.above)

    def _is_out(self, lease: Lease) -> bool:
        held = self._outstanding.get(lease.index)
        return lease.epoch == self.epoch and held is not None and held.lease.attempt == lease.attempt

    def _informative(self, group: Group) -> bool:
        return informative(group, self._filter)

    def _allowance(self) -> int:
        steps = self.version - self._start_version + 1 + self._staleness
        if self._steps is not None:
            steps = min(steps, self._steps - self._start_version)
        uninformative = sum(not self._informative(g) for g in self._ready.values())
        return steps * self._size + self._extra + min(uninformative, self._refill)

    def _exhausted(self, chosen: int) -> bool:
        """Whether the stream has ended and all that remains of it is in hand."""
        return chosen > 0 and self._limit is not None and self._next >= self._limit and not self._known(ready=False)

    def _known(self, ready: bool = False) -> set[int]:
        return set(self._outstanding) | set(self._again) | (set(self._ready) if ready else set())

    def _advance_cursor(self) -> int:
        while self._next in self._skip:
            self._next += 1
        self._next += 1
        return self._next - 1

    def _expire(self, now: float) -> None:
        for index, held in list(self._outstanding.items()):
            if held.deadline <= now:
                self._reissue(index)

    def _reissue(self, index: int, give_up: bool = True) -> bool:
        attempt = self._outstanding.pop(index).lease.attempt + 1
        self._failures[index] = self._failures.get(index, 0) + give_up
        if self._failures[index] >= MAX_FAILURES:
            # Given up: consumed without a sample, so that the stream moves on, and its place goes to the next index.
            del self._failures[index]
            self._taken["lost"] += 1
            self.ledger = self.ledger.consume([index])
            self._extra += 1
            return False
        self._taken["reissued"] += 1
        self._again[index] = attempt
        return True

    def _drop_stale(self) -> None:
        for index, group in list(self._ready.items()):
            if self.version - group.samples[0].policy_version > self._staleness:
                del self._ready[index]
                self._taken["stale"] += 1
                self._again[index] = group.attempt + 1
