"""Meetings that need rooms: are there enough, how many, when is it quiet."""

from __future__ import annotations

from problems.family import Argument, Family, Params, Variant
from problems.rng import LABELS

_M = Argument("meetings", "list[list[int]]", ("bookings", "slots"))


class MeetingRooms(Family):
    name = "meeting_rooms"
    summary = "enough rooms for meetings with drawn cleaning times, rooms needed, longest pause, rejected requests"
    functions = ("meeting_rooms", "rooms", "plan_rooms", "solve")
    arguments = (_M,)
    variants = (
        Variant(
            "enough",
            "str",
            (
                (
                    "{meetings} holds [start, end] in minutes; after each, its room is cleaned for {g} minutes. "
                    "Return '{yes}' if {count} rooms are enough, else '{no}'. A room is free again at the very end."
                ),
                (
                    "Can all of {meetings} ([start, end]) be held in {count} rooms, if a room needs {g} minutes "
                    "between the end of one meeting and the next? Answer '{yes}' or '{no}'."
                ),
                (
                    "Answer '{yes}' if no more than {count} of {meetings} are on at once, each [start, end] "
                    "lasting {g} longer than it says (ends not included), otherwise '{no}'."
                ),
            ),
            arguments=(_M, Argument("count", "int", ("limit", "number"))),
        ),
        Variant(
            "needed",
            "int",
            (
                (
                    "{meetings} holds [start, end] in minutes; after each, its room is cleaned for {g} minutes. "
                    "How many rooms are needed? A room is free again at the very end."
                ),
                (
                    "Return the least number of rooms for all of {meetings} ([start, end]), if a room needs {g} "
                    "minutes between the end of one meeting and the next."
                ),
                (
                    "How many of {meetings} are on at once at most, each [start, end] lasting {g} longer than it "
                    "says (ends not included)?"
                ),
            ),
            level=2,
        ),
        Variant(
            "pause",
            "int",
            (
                (
                    "{meetings} holds [start, end] in minutes. How long is the longest time between {a} and {b} "
                    "without any meeting?"
                ),
                "Return the length of the longest stretch from {a} to {b} that no [start, end] of {meetings} touches.",
                (
                    "Between minute {a} and minute {b}, what is the greatest pause, in minutes, in which none of "
                    "{meetings} ([start, end]) is on?"
                ),
            ),
            level=3,
        ),
        Variant(
            "refused",
            "list[list[int]]",
            (
                (
                    "Requests {meetings} ([start, end]) come in order for one room, which is cleaned for {g} "
                    "minutes after each meeting. A request is granted if it fits those granted before. Return the "
                    "refused ones in order."
                ),
                (
                    "One room, {g} minutes of cleaning after every meeting. Go through {meetings} and accept each "
                    "[start, end] that does not collide with an accepted one. Return the others in order."
                ),
                (
                    "Book one room for {meetings} in the order given; refuse every [start, end] that overlaps an "
                    "accepted one, or leaves less than {g} minutes between the two. Return the refused ones."
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "pause":
            a = rng.int(0, 120)
            return {"a": a, "b": a + rng.int(60, 240)}
        p: Params = {"g": rng.int(1, 120)}
        if variant == "enough":
            p["yes"], p["no"] = rng.sample(LABELS, 2)
        return p

    def solve_needed(self, p, meetings):
        return _peak(meetings, p["g"])

    def solve_enough(self, p, meetings, count):
        return p["yes"] if _peak(meetings, p["g"]) <= count else p["no"]

    def solve_pause(self, p, meetings):
        free, best = p["a"], 0
        for s, e in sorted(meetings):
            if s < p["b"]:
                best, free = max(best, s - free), max(free, e)
        return max(best, p["b"] - free)

    def solve_refused(self, p, meetings):
        kept, refused = [], []
        for s, e in meetings:
            clash = any([s < b + p["g"] and a < e + p["g"] for a, b in kept])
            (refused if clash else kept).append([s, e])
        return refused

    def edge_cases(self, rng, variant, p, difficulty):
        if variant == "pause":
            a, b = p["a"], p["b"]
            rows = [
                [],
                [[a, b]],
                [[a, a + 9]],
                [[b - 9, b]],
                [[a + 20, a + 30]],
                [[a - 50, a - 9]],
                [[b + 5, b + 50]],
                [[a - 5, b + 5]],
            ]
            rows += [
                [[a + 30, a + 40], [a + 5, a + 10]],
                [[a + 5, a + 50], [a + 10, a + 12]],
                [[a + 20, a + 21], [b - 20, b - 9], [b + 90, b + 99]],
            ]
            rows += [
                [[a + 10, a + 20], [a + 20, a + 30]],
                [[a + 40, b], [a + 5, a + 10]],
                [[a - 90, a - 70], [a + 3, b - 4]],
            ]
            yield from ((r,) for r in rows)
            return
        g, x = p["g"], rng.int(0, 60)
        rows = [
            [],
            [[x, x + 30]],
            [[x, x + 30], [x + 30, x + 60]],
            [[x, x + 30], [x + 30 + g, x + 60 + g]],
            [[x, x + 30], [x + 29 + g, x + 60 + g]],
            [[x, x + 30], [x + 31 + g, x + 60 + g]],
            [[x, x + 9], [x, x + 9], [x, x + 9]],
            [[x + 50 + 2 * g, x + 60 + 2 * g], [x, x + 10], [x + 20 + g, x + 40 + g]],
            [[x, x + 99], [x + 10, x + 20], [x + 30 + g, x + 40 + g], [x + 50 + 2 * g, x + 60 + 2 * g]],
            [[x, x + 10 + g], [x + 5, x + 30], [x + 12 + g, x + 40 + g], [x + 6, x + 8]],
            [[x + 20, x + 40], [x, x + 19], [x + 40, x + 50], [x + 41 + g, x + 45 + g]],
        ]
        for row in rows:
            if variant == "enough":
                need = max(_peak(row, g), 1)
                yield (row, need)
                if row:
                    yield (row, need - 1)
            else:
                yield (row,)

    def sample(self, rng, variant, p, difficulty):
        top = (p["b"] if variant == "pause" else 120 + 8 * difficulty) + p.get("g", 0)
        starts = rng.ints(rng.int(2, 3 + difficulty), 0, top)
        meetings = [[s, s + rng.int(5, 20 + 3 * difficulty)] for s in starts]
        if variant == "enough":
            return (meetings, max(1, _peak(meetings, p["g"]) - rng.int(0, 1)))
        return (meetings,)

    def write_enough(self, p):
        g, yes, no = p["g"], repr(p["yes"]), repr(p["no"])
        correct, mutants = _count_programs(g, lambda n: f"{yes} if {n} <= count else {no}")
        mutants += [
            ("negated", _overlap(g, lambda n: f"{no} if {n} <= count else {yes}"), "answers the opposite"),
            ("strict", _overlap(g, lambda n: f"{yes} if {n} < count else {no}"), "asks for one room more"),
        ]
        return correct, mutants

    def write_needed(self, p):
        return _count_programs(p["g"], str)

    def write_pause(self, p):
        a, b = p["a"], p["b"]

        def pause(a=a, b=b, order="sorted(meetings)", end="max(x, e)", last="max(best, {b} - x)"):
            return (
                f"x, best = {a}, 0\nfor s, e in {order}:\n    if s < {b}:\n        best = max(best, s - x)\n"
                f"        x = {end}\nreturn {last.format(b=b)}"
            )

        correct = [
            pause(),
            (
                f"best = n = 0\nfor x in range({a}, {b}):\n"
                "    n = 0 if any(s <= x < e for s, e in meetings) else n + 1\n    best = max(best, n)\nreturn best"
            ),
            f"t = [x in set().union(*[range(s, e) for s, e in meetings]) for x in range({a}, {b})]\n"
            "return max(len(w) for w in ''.join('x' if v else '.' for v in t).split('x'))",
        ]
        mutants = [
            ("unsorted", pause(order="meetings"), "does not sort"),
            ("last_end", pause(end="e"), "looks at the last end only"),
            ("no_tail", pause(last="best"), "forgets the time after the last"),
            (
                "total",
                f"return sum(not any(s <= x < e for s, e in meetings) for x in range({a}, {b}))",
                "adds up all pauses",
            ),
            (
                "between",
                "t = sorted(meetings)\nreturn max([y[0] - x[1] for x, y in zip(t, t[1:])], default=0)",
                "looks between meetings only",
            ),
        ]
        return correct, mutants

    def write_refused(self, p):
        g = p["g"]

        def refused(test="s < b + {g} and a < e + {g}", g=g, order="meetings", which="out"):
            return (
                f"t, out = [], []\nfor s, e in {order}:\n    if any({test.format(g=g)} for a, b in t):\n"
                f"        out.append([s, e])\n    else:\n        t.append([s, e])\nreturn {which}"
            )

        correct = [
            refused(),
            (
                f"busy, out = set(), []\nfor s, e in meetings:\n    if busy & set(range(s, e + {g})):\n"
                f"        out.append([s, e])\n    else:\n        busy |= set(range(s, e + {g}))\nreturn out"
            ),
            (
                "t, out = [], []\nfor m in meetings:\n    ok = True\n    for k in t:\n"
                f"        if m[0] - k[1] < {g} and k[0] - m[1] < {g}:\n            ok = False\n    if ok:\n"
                "        t.append(m)\n    else:\n        out.append(m)\nreturn out"
            ),
        ]
        mutants = [
            ("no_cleaning", refused("s < b and a < e"), "forgets the cleaning"),
            ("one_side", refused("a <= s < b + {g}"), "looks at earlier meetings only"),
            ("accepted", refused(which="t"), "returns the accepted ones"),
            ("sorted", refused(order="sorted(meetings)"), "sorts the requests"),
            ("other_cleaning", refused(g=g + 1), "cleans for longer"),
            (
                "all",
                (
                    "out = []\nfor i, (s, e) in enumerate(meetings):\n"
                    f"    if any(s < b + {g} and a < e + {g} for a, b in meetings[:i]):\n"
                    "        out.append([s, e])\nreturn out"
                ),
                "compares with refused ones too",
            ),
        ]
        return correct, mutants


def _overlap(g, end, test="s <= x < e + {g}"):
    return f"n = max([sum({test.format(g=g)} for s, e in meetings) for x, y in meetings], default=0)\nreturn {end('n')}"


def _count_programs(g, end):
    correct = [
        _overlap(g, end),
        (
            f"n = best = 0\nfor x, d in sorted([(s, 1) for s, e in meetings] + [(e + {g}, -1) for s, e in "
            f"meetings]):\n    n += d\n    best = max(best, n)\nreturn {end('best')}"
        ),
        (
            "free = []\nfor s, e in sorted(meetings):\n    t = [x for x in free if x <= s]\n    if t:\n"
            f"        free.remove(t[0])\n    free.append(e + {g})\nreturn {end('len(free)')}"
        ),
    ]
    mutants = [
        ("no_cleaning", _overlap(g, end, "s <= x < e"), "forgets the cleaning"),
        ("with_end", _overlap(g, end, "s <= x <= e + {g}"), "counts the end too"),
        ("all", f"return {end('len(meetings)')}", "gives each meeting a room"),
        ("other_cleaning", _overlap(g + 1, end), "cleans for longer"),
        (
            "neighbours",
            (
                f"n = 1\nt = sorted(meetings)\nfor x, y in zip(t, t[1:]):\n    if y[0] < x[1] + {g}:\n"
                f"        n += 1\nreturn {end('n')}"
            ),
            "compares neighbours only",
        ),
    ]
    return correct, mutants


def _peak(meetings, gap):
    count = best = 0
    for _, change in sorted([(s, 1) for s, e in meetings] + [(e + gap, -1) for s, e in meetings]):
        count += change
        best = max(best, count)
    return best


FAMILY = MeetingRooms()
