"""Do the meetings fit into the rooms? YES or NO, with both equally likely at every difficulty."""

from __future__ import annotations

from problems.answer_family import AnswerFamily
from problems.family import Variant

_ASK = (
    (
        "{count} meetings: {meetings}. Meeting rooms: {rooms}. A room is free again at the moment its meeting "
        "ends. Can all meetings take place? Answer YES or NO."
    ),
    (
        "These {count} meetings are wanted: {meetings}. A meeting may begin in a room just when another one there "
        "ends. Number of rooms: {rooms}. Is that enough? Answer YES or NO."
    ),
    (
        "Number of rooms in an office: {rooms}. Meetings: {meetings}. Each of the {count} meetings needs a room of "
        "its own while it lasts; one may follow right after another. Is there a plan for all? Answer YES or NO."
    ),
)

LEVELS = {
    "easy": ((2, 1), (3, 1), (3, 2), (4, 2)),
    "medium": ((4, 2), (5, 2), (5, 3), (6, 3)),
    "hard": ((6, 2), (7, 3), (8, 3), (8, 4), (9, 4)),
}
"""Numbers of meetings and rooms that are drawn, such that neither answer is rare."""


class Scheduling(AnswerFamily):
    name = "scheduling"
    summary = "YES or NO: are the rooms enough for the meetings; three levels, balanced labels"
    checker = "yes_no"
    variants = (
        Variant("easy", "", _ASK, last_level=3),
        Variant("medium", "", _ASK, level=4, last_level=6),
        Variant("hard", "", _ASK, level=7),
    )

    def params(self, rng, variant, difficulty):
        """Times are minutes since midnight. The label is drawn first, then meetings are drawn until it is theirs.

        The numbers of meetings and rooms are drawn beforehand, so they say nothing about the label.
        """
        wanted = rng.chance(0.5)
        count, rooms = rng.pick(LEVELS[variant])
        step, longest = (30, 5) if variant == "hard" else (60, 3)
        while True:
            starts = [9 * 60 + step * rng.int(0, 7 * 60 // step) for _ in range(count)]
            meetings = sorted((s, s + step * rng.int(1, longest)) for s in starts)
            if (peak(meetings) <= rooms) == wanted:
                return {"rooms": rooms, "meetings": meetings}

    def story(self, rng, variant, p):
        texts = [f"{_clock(s)} to {_clock(e)}" for s, e in rng.shuffled(p["meetings"])]
        return {"rooms": p["rooms"], "count": len(texts), "meetings": ", ".join(texts)}

    def answer(self, variant, p):
        return "YES" if peak(p["meetings"]) <= p["rooms"] else "NO"

    def working(self, problem):
        """The sweep: each time at which something begins or ends, with the meetings that are then on."""
        self.check_own(problem)
        meetings, rooms = problem.params["meetings"], problem.params["rooms"]
        times = sorted({time for meeting in meetings for time in meeting})
        counts = [sum(start <= time < end for start, end in meetings) for time in times]
        lines = [f"{_clock(time)} {count}" for time, count in zip(times, counts, strict=True)]
        return "\n".join([*lines, f"most {max(counts)}, rooms {rooms}"])

    def near_misses(self, variant, p):
        return [("opposite", "NO" if self.answer(variant, p) == "YES" else "YES", "answers the opposite")]


def peak(meetings) -> int:
    """How many meetings are on at once at most: a sweep over starts and ends, ends first."""
    count = best = 0
    for _, change in sorted([(s, 1) for s, _ in meetings] + [(e, -1) for _, e in meetings]):
        count += change
        best = max(best, count)
    return best


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


FAMILY = Scheduling()
