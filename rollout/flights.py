"""The groups that an engine has in hand: which of them are being sampled, from which version, and for how long yet.

Pure: no vLLM, no clock of its own. All times are in seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SLACK = 3.0
"""A group may take so many times what its longest possible answer takes at the pace that was measured."""
SHORTEST = 16
"""Tokens of an answer from which its pace says something; the time of a shorter one is mostly its prompt's."""
FORGETTING = 0.99
"""What is left of the slowest pace with each group that is quicker."""


@dataclass(slots=True, eq=False)
class Flight:
    """A group from its request to its last sample."""

    run: str
    group_id: str
    max_tokens: int
    policy_number: int = -1
    """-1 until its sampling begins."""
    began: float = 0.0
    ids: list[str] = field(default_factory=list)
    """Its requests, once its sampling has begun."""
    abandoned: bool = False

    def begin(self, policy_number: int, ids: Sequence[str], now: float) -> None:
        """Books that its sampling begins."""
        self.policy_number, self.ids, self.began = policy_number, list(ids), now


class Flights:
    """All groups that an engine has in hand, and the pace at which it has sampled."""

    def __init__(self) -> None:
        self._flying: list[Flight] = []
        self._pace = 0.0
        """Seconds a token of a group's longest answer, of the slowest group of late."""

    def add(self, flight: Flight) -> None:
        """Books a group as it is asked for."""
        self._flying.append(flight)

    def remove(self, flight: Flight) -> None:
        """Books that a group has ended, one way or another."""
        self._flying.remove(flight)

    def book_pace(self, flight: Flight, longest: int, now: float) -> None:
        """Measures the pace by a group whose longest answer has `longest` tokens."""
        if longest >= SHORTEST:
            self._pace = max(FORGETTING * self._pace, (now - flight.began) / longest)

    def in_hand(self, run: str, now: float) -> dict[str, float | None]:
        """Group id -> seconds that it may take yet; None where it waits, or where no pace is known."""
        return {
            one.group_id: SLACK * self._pace * one.max_tokens - (now - one.began) if one.ids and self._pace else None
            for one in self._flying
            if one.run == run
        }

    def abandon(self, run: str, oldest: int | None) -> list[str]:
        """Marks the groups of a run that are sampled from a version older than `oldest`; None: all of the run.

        Returns their requests.
        """
        found = [one for one in self._flying if one.run == run and (oldest is None or one.ids)]
        found = [one for one in found if oldest is None or one.policy_number < oldest]
        for one in found:
            one.abandoned = True
        return [request_id for one in found for request_id in one.ids]
