"""The plain contract of scheduling: the original's sizes, and labels as they come out, mostly YES."""

from __future__ import annotations

from problems.families.scheduling import Scheduling

SIZES = {"easy": ((2, 2), (2, 3)), "medium": ((3, 4), (2, 3)), "hard": ((4, 6), (2, 4))}
"""Fewest and most meetings, then rooms, of each level."""


class ClassicScheduling(Scheduling):
    """For comparison only: YES to everything is right for about 88 % of it, and for every easy problem."""

    name = "scheduling@classic"
    summary = "YES or NO: are the rooms enough; the original's sizes and label shares, for comparison only"
    even_labels = False

    def params(self, rng, variant, difficulty):
        """Meetings begin at a full hour from 9 to 15 and last 1 to 3 hours; times are minutes since midnight."""
        meetings, rooms = SIZES[variant]
        starts = rng.ints(rng.int(*meetings), 9, 15)
        times = sorted((60 * start, 60 * (start + rng.int(1, 3))) for start in starts)
        return {"rooms": rng.int(*rooms), "meetings": times}


FAMILIES = (ClassicScheduling(),)
