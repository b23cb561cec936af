"""Which engine gets the next group: unlike engines are given work in proportion to what they have shown they can do.

Pure: no Ray, no clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

FORGETTING = 0.97
"""What is left of an engine's best rate with each measurement that does not reach it."""


@dataclass(slots=True)
class _Engine:
    in_flight: int = 0
    since: float = 0.0
    done: int = 0
    rate: float | None = None
    """Groups a second that it can answer, as far as it has shown."""
    busy: float = 0.0
    """Seconds with work since the last measurement."""


class Balancer:
    """Chooses the engine that would be done soonest, by its load and its measured rate.

    An engine's rate is the best that it has lately shown while it had work: one with few requests in flight is slower
    than it could be, and a mean would keep it so (the reason for which BBR takes the maximum of delivery rates:
    Cardwell et al. 2016, "BBR: congestion-based congestion control", ACM Queue 14). Before anything is known of one it
    is taken to be as fast as the mean of the others, so that it is tried.
    """

    def __init__(self, engines: int):
        self._engines = [_Engine() for _ in range(engines)]

    def begin(self, now: float) -> int:
        """The engine for one more group; books it. `now` in seconds of any monotonic clock."""
        rates = [engine.rate for engine in self._engines]
        known = [rate for rate in rates if rate]
        usual = sum(known) / len(known) if known else 1.0

        def wait(index: int) -> tuple[float, int]:
            return (self._engines[index].in_flight + 1) / (rates[index] or usual), index

        chosen = min(range(len(self._engines)), key=wait)
        self._tick(chosen, now)
        self._engines[chosen].in_flight += 1
        return chosen

    def end(self, index: int, now: float, answered: bool) -> None:
        """Books that a group of `begin` has ended; one that failed says nothing of the engine's rate."""
        self._tick(index, now)
        engine = self._engines[index]
        engine.in_flight -= 1
        engine.done += answered
        # One answer is a noisy measure: a rate is taken over as many as are in flight together, and two at least.
        if engine.done >= max(2, engine.in_flight) and engine.busy > 0:
            seen = engine.done / engine.busy
            engine.rate = max(seen, FORGETTING * (engine.rate or 0.0))
            engine.done, engine.busy = 0, 0.0

    @property
    def rates(self) -> list[float | None]:
        """Groups a second of each engine while it had work; None where nothing is known yet."""
        return [engine.rate for engine in self._engines]

    def _tick(self, index: int, now: float) -> None:
        engine = self._engines[index]
        if engine.in_flight:
            engine.busy += now - engine.since
        engine.since = now
