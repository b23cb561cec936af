"""Which engine gets the next group: unlike engines are given work in proportion to what they have shown they can do.

Pure: no Ray, no clock of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

FORGETTING = 0.97
"""What is left of an engine's best rate with each measurement that does not reach it."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which an engine that failed is passed over: doubled by each failure in a row, up to the second."""


@dataclass(slots=True)
class _Engine:
    in_flight: int = 0
    since: float = 0.0
    done: int = 0
    rate: float | None = None
    """Groups a second that it can answer, as far as it has shown."""
    busy: float = 0.0
    """Seconds with work since the last measurement."""
    failures: int = 0
    """In a row; several at once count as one."""
    out_until: float = float("-inf")
    last_answer: float = float("-inf")
    """When it last answered, or was first given work after it had none."""


class LoadBalancer:
    """Chooses the engine that would be done soonest, by its load and its measured rate.

    An engine's rate is the best that it has lately shown while it had work: one with few requests in flight is slower
    than it could be, and a mean would keep it so (the reason for which BBR takes the maximum of delivery rates:
    Cardwell et al. 2016, "BBR: congestion-based congestion control", ACM Queue 14). Before anything is known of one it
    is taken to be as fast as the mean of the others, so that it is tried.

    An engine that failed is passed over for a while, and then tried with one group at a time until it answers: one that
    is dead fails faster than any other answers, and would draw all the work.
    """

    def __init__(self, engines: int):
        self._engines = [_Engine() for _ in range(engines)]

    def begin(self, now: float, lacking: Collection[int] = ()) -> int:
        """The engine for one more group; books it. `now` in seconds of any monotonic clock.

        Engines of `lacking` do not hold the policy that the group needs: they are for where there is no other.
        """
        known = [engine.rate for engine in self._engines if engine.rate]
        usual = sum(known) / len(known) if known else 1.0

        def wait(index: int) -> tuple[float, int]:
            return (self._engines[index].in_flight + 1) / (self._engines[index].rate or usual), index

        fit = [index for index in range(len(self._engines)) if index not in lacking] or list(range(len(self._engines)))
        able = [index for index in fit if _is_able(self._engines[index], now)]
        # Where all have failed, the one whose pause ends first.
        chosen = min(able, key=wait) if able else min(fit, key=self._return_of)
        engine = self._engines[chosen]
        self._tick(chosen, now)
        if not engine.in_flight:
            engine.last_answer = now
        engine.in_flight += 1
        return chosen

    def end(self, index: int, now: float, answered: bool, failed: bool | None = None) -> None:
        """Books that a group of `begin` has ended; one that was not answered says nothing of the engine's rate.

        `failed` says whether that is the engine's failure (without it: where it did not answer) and not the group's.
        """
        self._tick(index, now)
        engine = self._engines[index]
        engine.in_flight -= 1
        engine.done += answered
        if (not answered) if failed is None else failed:
            self._book_failure(engine, now)
            return
        if engine.failures:
            # Back, and perhaps not as it was: what it showed with one group at a time says little.
            engine.rate, engine.done, engine.busy = None, 0, 0.0
        engine.failures, engine.out_until, engine.last_answer = 0, float("-inf"), now
        # One answer is a noisy measure: a rate is taken over as many as are in flight together, and two at least.
        if engine.done >= max(2, engine.in_flight) and engine.busy > 0:
            seen = engine.done / engine.busy
            engine.rate = max(seen, FORGETTING * (engine.rate or 0.0))
            engine.done, engine.busy = 0, 0.0

    def on_probation(self, index: int) -> bool:
        """Whether an engine has failed and not answered since."""
        return self._engines[index].failures > 0

    def silence(self, index: int, now: float) -> float:
        """Seconds for which an engine with work has answered nothing."""
        engine = self._engines[index]
        return now - engine.last_answer if engine.in_flight else 0.0

    @property
    def rates(self) -> list[float | None]:
        """Groups a second of each engine while it had work; None where nothing is known yet."""
        return [engine.rate for engine in self._engines]

    def _book_failure(self, engine: _Engine, now: float) -> None:
        if now < engine.out_until:
            return
        engine.failures += 1
        engine.out_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(engine.failures - 1, 10))

    def _return_of(self, index: int) -> tuple[float, int, int]:
        engine = self._engines[index]
        return engine.out_until, engine.in_flight, index

    def _tick(self, index: int, now: float) -> None:
        engine = self._engines[index]
        if engine.in_flight:
            engine.busy += now - engine.since
        engine.since = now


def _is_able(engine: _Engine, now: float) -> bool:
    if not engine.failures:
        return True
    return now >= engine.out_until and not engine.in_flight
