"""Intervals joined, measured, counted, with drawn gaps."""

from __future__ import annotations

from itertools import pairwise

from problems.family import Argument, Family, Variant


class MergeIntervals(Family):
    name = "merge_intervals"
    summary = "join intervals with small gaps, cover, find holes, count overlaps in a window"
    functions = ("merge_intervals", "intervals", "join", "solve")
    arguments = (Argument("spans", "list[list[int]]", ("intervals", "ranges")),)
    variants = (
        Variant(
            "merged",
            "list[list[int]]",
            (
                (
                    "{spans} holds intervals [start, end]. Merge those that overlap or whose gap is at most {g}. "
                    "Return the result in ascending order."
                ),
                (
                    "Join intervals [start, end] of {spans} as long as the next one starts no more than {g} after "
                    "the end of one. Return the joined ones, sorted."
                ),
                (
                    "Two intervals of {spans} belong together if the distance between them is {g} or less. Return "
                    "the sorted list of merged [start, end]."
                ),
            ),
        ),
        Variant(
            "cover",
            "int",
            (
                (
                    "{spans} holds intervals [start, end]. How much of the range from {a} to {b} do they cover, in "
                    "total length?"
                ),
                "Return the total length within {a} to {b} that lies in at least one interval [start, end] of {spans}.",
                (
                    "What length of the stretch between {a} and {b} is covered by the intervals {spans}, overlaps "
                    "counted once?"
                ),
            ),
            level=2,
        ),
        Variant(
            "holes",
            "list[list[int]]",
            (
                (
                    "{spans} holds intervals [start, end]. Return, sorted, the gaps [end, start] between them that "
                    "are at least {g} long and that no interval covers."
                ),
                (
                    "List in ascending order the uncovered stretches between the intervals of {spans} with a "
                    "length of {g} or more."
                ),
                (
                    "Which parts between the first start and the last end of {spans} are in no interval? Return "
                    "those of length {g} or more, sorted."
                ),
            ),
            level=3,
        ),
        Variant(
            "busiest",
            "int",
            (
                (
                    "{spans} holds intervals [start, end), ends excluded. How many of them, each made {g} longer "
                    "at its end, overlap at once at most?"
                ),
                (
                    "Each interval [start, end) of {spans} is followed by {g} of rest. What is the greatest number "
                    "that are active or resting at the same time?"
                ),
                (
                    "Extend each interval [start, end) of {spans} by {g} at its end (which stays excluded). Return "
                    "the largest number of intervals over one point."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "cover":
            a = rng.int(0, 40)
            return {"a": a, "b": a + rng.int(12, 60)}
        return {"g": rng.int(1, 299 if difficulty > 5 else 99)}

    def solve_merged(self, p, spans):
        return _merged(spans, p["g"])

    def solve_cover(self, p, spans):
        inside = [[max(s, p["a"]), min(e, p["b"])] for s, e in spans if s < p["b"] and e > p["a"]]
        return sum([e - s for s, e in _merged(inside, 0)])

    def solve_holes(self, p, spans):
        joined = _merged(spans, 0)
        return [[a[1], b[0]] for a, b in pairwise(joined) if b[0] - a[1] >= p["g"]]

    def solve_busiest(self, p, spans):
        ends = [(s, 1) for s, e in spans] + [(e + p["g"], -1) for s, e in spans]
        count = best = 0
        for _, change in sorted(ends):
            count += change
            best = max(best, count)
        return best

    def edge_cases(self, rng, variant, p, difficulty):
        g = p.get("g", 3)
        x = rng.int(5, 20)
        yield ([],)
        if variant == "cover":
            a, b = p["a"], p["b"]
            yield from (
                ([[a - 9, b + 9]],),
                ([[a - 9, a]],),
                ([[b, b + 5]],),
                ([[a + 1, a + 5], [a + 3, a + 7]],),
                ([[a + 2, a + 9], [a + 3, a + 4]],),
            )
            yield from (([[a - 5, a + 2], [b - 3, b + 4]],), ([[a + 5, a + 8], [a + 1, a + 3]],), ([[a, b], [a, b]],))
            yield ([[b + 1, b + 7], [a - 7, a - 2], [a + 4, a + 6]],)
            return
        yield ([[x, x + 5]],)
        yield ([[x, x + 9], [x + 2, x + 4], [x + 10 + g, x + 12 + g]],)
        yield ([[x + 5 + g, x + 9 + g], [x, x + 5]],)
        yield ([[x, x + 5], [x + 6 + g, x + 8 + g]],)
        yield ([[x, x + 5], [x + 5, x + 8]],)
        yield ([[x, x + 5], [x + 4 + g, x + 8 + g]],)
        yield ([[x + 30 + 2 * g, x + 31 + 2 * g], [x, x + 40 + g], [x + 3, x + 4]],)
        yield ([[x, x + 3], [x + 3 + g, x + 6 + g], [x + 6 + 2 * g, x + 7 + 2 * g]],)
        yield ([[x, x + 3], [x + 4 + g, x + 6 + g], [x + 7 + 2 * g, x + 8 + 3 * g]],)
        yield ([[x, x + 3 * g + 9], [x + g, x + g + 1], [x + 3 * g + 5, x + 3 * g + 20]],)
        if variant == "busiest":
            yield from (([[x, x + 1], [x + g, x + g + 1], [x + g + 1, x + g + 2]],), ([[x, x + 2]] * 3,))
            yield ([[x, x + 1], [x + 1, x + 2], [x + 2, x + 3]],)

    def sample(self, rng, variant, p, difficulty):
        g = p.get("g", 3)
        top = (p["b"] + 10) if "b" in p else 20 + 2 * difficulty + g * 2
        starts = rng.ints(rng.int(2, 3 + difficulty), 0, top)
        spans = [[s, s + rng.int(1, 4 + difficulty // 2 + g // 3)] for s in starts]
        if "b" not in p and rng.chance(0.5):
            spans.append([spans[0][1] + g, spans[0][1] + g + 2])
        return (rng.shuffled(spans),)

    def write_merged(self, p):
        g = p["g"]

        def merged(g=g, order="sorted(spans)", end="max(out[-1][1], e)", op="<="):
            return (
                f"out = []\nfor s, e in {order}:\n    if out and s {op} out[-1][1] + {g}:\n"
                f"        out[-1][1] = {end}\n    else:\n        out.append([s, e])\nreturn out"
            )

        correct = [
            merged(),
            (
                f"spans.sort()\nout = []\nfor x in spans:\n    if not out or x[0] - out[-1][1] > {g}:\n"
                "        out.append(x[:])\n    elif x[1] > out[-1][1]:\n        out[-1][1] = x[1]\nreturn out"
            ),
            (
                "t = sorted(s for s, e in spans)\nu = sorted(e for s, e in spans)\nout = []\ni = 0\n"
                f"for j in range(len(t)):\n    if j + 1 == len(t) or t[j + 1] > u[j] + {g}:\n"
                "        out.append([t[i], u[j]])\n        i = j + 1\nreturn out"
            ),
        ]
        mutants = [
            ("no_gap", merged(0), "does not bridge gaps"),
            ("strict", merged(op="<"), "does not bridge a gap of just that size"),
            ("unsorted", merged(order="spans"), "does not sort"),
            ("last_end", merged(end="e"), "lets a contained interval shorten the join"),
            ("other_gap", merged(g + 1), "bridges larger gaps"),
        ]
        return correct, mutants

    def write_cover(self, p):
        a, b = p["a"], p["b"]
        correct = [
            f"return sum(any(s <= x < e for s, e in spans) for x in range({a}, {b}))",
            f"t = set()\nfor s, e in spans:\n    t.update(range(max(s, {a}), min(e, {b})))\nreturn len(t)",
            (
                f"out, x = 0, {a}\nfor s, e in sorted(spans):\n    s, e = max(s, x), min(e, {b})\n    if e > s:\n"
                "        out += e - s\n        x = e\nreturn out"
            ),
        ]
        mutants = [
            ("twice", f"return sum(max(min(e, {b}) - max(s, {a}), 0) for s, e in spans)", "counts overlaps twice"),
            (
                "everywhere",
                "t = set()\nfor s, e in spans:\n    t.update(range(s, e))\nreturn len(t)",
                "looks outside the range too",
            ),
            ("points", f"return sum(any(s <= x <= e for s, e in spans) for x in range({a}, {b} + 1))", "counts points"),
            (
                "uncovered",
                f"return sum(not any(s <= x < e for s, e in spans) for x in range({a}, {b}))",
                "measures the rest",
            ),
            (
                "one_more",
                f"return sum(any(s <= x < e for s, e in spans) for x in range({a}, {b + 1}))",
                "looks one further",
            ),
        ]
        return correct, mutants

    def write_holes(self, p):
        g = p["g"]

        def holes(g=g, order="sorted(spans)", op=">=", end="e if x is None else max(x, e)", what="[x, s]"):
            return (
                f"out, x = [], None\nfor s, e in {order}:\n    if x is not None and s - x {op} {g}:\n"
                f"        out.append({what})\n    x = {end}\nreturn out"
            )

        correct = [
            holes(),
            (
                "out = []\nspans.sort()\nfor i in range(1, len(spans)):\n    x = max(e for s, e in spans[:i])\n"
                f"    if spans[i][0] - x >= {g}:\n        out.append([x, spans[i][0]])\nreturn out"
            ),
            f"t = sorted(s for s, e in spans)\nu = sorted(e for s, e in spans)\n"
            f"return [[x, y] for x, y in zip(u, t[1:]) if y - x >= {g}]",
        ]
        mutants = [
            ("any_gap", holes(1), "lists short gaps too"),
            ("strict", holes(op=">"), "leaves out gaps of just that length"),
            ("unsorted", holes(order="spans"), "does not sort"),
            ("last_end", holes(end="e"), "looks at the last end only"),
            ("lengths", holes(what="s - x"), "returns the lengths"),
        ]
        return correct, [w for w in mutants if not (w[0] == "any_gap" and g == 1)]

    def write_busiest(self, p):
        g = p["g"]

        def busiest(test="s <= x < e + {g}", g=g):
            return f"t = [sum({test.format(g=g)} for s, e in spans) for x, y in spans]\nreturn max(t, default=0)"

        correct = [
            busiest(),
            (
                f"n = best = 0\nfor x, d in sorted([(s, 1) for s, e in spans] + [(e + {g}, -1) for s, e in "
                "spans]):\n    n += d\n    best = max(best, n)\nreturn best"
            ),
            (
                "import heapq\nt, best = [], 0\nfor s, e in sorted(spans):\n    while t and t[0] <= s:\n"
                f"        heapq.heappop(t)\n    heapq.heappush(t, e + {g})\n    best = max(best, len(t))\n"
                "return best"
            ),
        ]
        mutants = [
            ("no_rest", busiest("s <= x < e"), "forgets the extension"),
            ("with_end", busiest("s <= x <= e + {g}"), "counts the end too"),
            ("all", "return len(spans)", "counts all"),
            ("other_rest", busiest(g=g + 1), "has another extension"),
            (
                "pairs",
                f"return max([sum(s < f + {g} and r < e + {g} for s, e in spans) for r, f in spans], default=0)",
                "counts overlaps with one interval",
            ),
        ]
        return correct, mutants


def _merged(spans, gap):
    out = []
    for s, e in sorted(spans):
        if out and s <= out[-1][1] + gap:
            out[-1][1] = max(out[-1][1], e)
        else:
            out.append([s, e])
    return out


FAMILY = MergeIntervals()
