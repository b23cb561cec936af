"""Choosing items under a capacity, with drawn bans, fees and limits."""

from __future__ import annotations

from textwrap import indent

from problems.family import Argument, Family, Variant


class Knapsack(Family):
    name = "knapsack"
    summary = "best value under a capacity: with bans, fees, repeats, a number limit, or exactly full"
    functions = ("knapsack", "pack", "best_value", "solve")
    arguments = (
        Argument("capacity", "int", ("limit", "room")),
        Argument("weights", "list[int]", ("sizes", "loads")),
        Argument("values", "list[int]", ("prices", "gains")),
    )
    variants = (
        Variant(
            "light",
            "int",
            (
                (
                    "Choose items with {weights} and {values}, each at most once, with total weight up to {capacity}. "
                    "Items heavier than {h} or worth less than {u} are banned. Return the greatest total value."
                ),
                (
                    "Item i has weight {weights}[i] and value {values}[i]. What is the best value of a set that weighs "
                    "at most {capacity} and holds no item heavier than {h} and none of value below {u}?"
                ),
                (
                    "Return the largest sum of {values} for a choice of items of value {u} or more each, whose "
                    "{weights} are {h} or less each and {capacity} or less together."
                ),
            ),
        ),
        Variant(
            "fee",
            "int",
            (
                (
                    "Choose items with {weights} and {values}, each at most once, with total weight up to "
                    "{capacity}. Each chosen item costs a fee of {f}. Return the greatest total value less fees."
                ),
                "Item i has weight {weights}[i] and value {values}[i]. What is the best value, minus {f} an item, of a "
                "set that weighs at most {capacity}?",
                (
                    "Return the largest sum of {values} minus {f} for each item taken, for a choice of items whose "
                    "{weights} are {capacity} or less together."
                ),
            ),
        ),
        Variant(
            "repeat",
            "int",
            (
                (
                    "Choose items with {weights} and {values}, each as often as you like, with total weight up to "
                    "{capacity}. Each one taken costs a fee of {f}. Return the greatest total value less fees."
                ),
                "Item i has weight {weights}[i] and value {values}[i] and may be taken many times. What is the best "
                "value, minus {f} a piece, that weighs at most {capacity}?",
                (
                    "Return the largest sum of {values} minus {f} for each piece taken, with repeats allowed, if "
                    "their {weights} are {capacity} or less together."
                ),
            ),
            level=2,
        ),
        Variant(
            "few",
            "int",
            (
                (
                    "Choose at most {k} items with {weights} and {values}, each at most once, with total weight up "
                    "to {capacity}, none heavier than {h}. Return the greatest total value."
                ),
                "Item i has weight {weights}[i] and value {values}[i]. What is the best value of no more than {k} "
                "items of weight up to {h} each and {capacity} together?",
                (
                    "Return the largest sum of {values} for a choice of up to {k} items whose {weights} are {h} or "
                    "less each and {capacity} or less together."
                ),
            ),
            level=4,
        ),
        Variant(
            "exact",
            "int",
            (
                (
                    "Choose items with {weights} and {values}, each at most once, with total weight exactly "
                    "{capacity}. Return the greatest total value, or {v} if no choice fits."
                ),
                "Item i has weight {weights}[i] and value {values}[i]. What is the best value of a set that weighs "
                "exactly {capacity}? Return {v} if there is none.",
                "Return the largest sum of {values} for items whose {weights} add up to exactly {capacity}; "
                "{v} if impossible.",
            ),
            level=5,
        ),
        Variant(
            "ways",
            "int",
            (
                (
                    "How many sets of items (with {weights} and {values}), the empty one included, weigh at most "
                    "{capacity} and are worth at least {g}?"
                ),
                "Item i has weight {weights}[i] and value {values}[i]. Count the subsets, also the empty one, of "
                "weight up to {capacity} and value {g} or more.",
                (
                    "Return the number of choices of items whose {weights} sum to at most {capacity} and {values} "
                    "to at least {g}."
                ),
            ),
            level=7,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "light":
            return {"h": rng.int(6, 40), "u": rng.int(5, 24)}
        if variant == "few":
            return {"h": rng.int(6, 60), "k": rng.int(2, 4)}
        if variant == "exact":
            return {"v": -rng.int(1, 500)}
        return {"g": rng.int(10, 300)} if variant == "ways" else {"f": rng.int(2, 99)}

    def answer(self, variant, p, capacity, weights, values):
        h, f, u = p.get("h", 10**6), p.get("f", 0), p.get("u", 0)
        items = [(w, v - f) for w, v in zip(weights, values) if w <= h and w <= capacity and v >= u]
        if variant == "ways":
            sums = [(0, 0)]
            for w, v in items:
                sums += [(a + w, b + v) for a, b in sums if a + w <= capacity]
            return sum([b >= p["g"] for _, b in sums])
        if variant == "few":
            best = [{0: 0} for _ in range(p["k"] + 1)]
            for w, v in items:
                for n in range(p["k"], 0, -1):
                    row = best[n]
                    for a, b in best[n - 1].items():
                        if a + w <= capacity and row.get(a + w, -1) < b + v:
                            row[a + w] = b + v
            return max([max(row.values()) for row in best])
        if variant == "repeat":
            best = [0] * (capacity + 1)
            for w, v in items:
                if v > 0:
                    for c in range(w, capacity + 1):
                        if (gain := best[c - w] + v) > best[c]:
                            best[c] = gain
            return best[capacity]
        worth = {0: 0}
        for w, v in items:
            if v > 0:
                for a, b in list(worth.items()):
                    if a + w <= capacity and worth.get(a + w, -1) < b + v:
                        worth[a + w] = b + v
        return worth.get(capacity, p["v"]) if variant == "exact" else max(worth.values())

    def edge_cases(self, rng, variant, p, difficulty):
        f, h = p.get("f", 0), p.get("h", 10)
        yield (0, [3, 4], [50 + f, 60 + f])
        yield (10, [], [])
        a = rng.int(3, min(h - 1, 9))
        # The best value for its weight shuts out two items worth more together, and the other way round.
        yield (2 * a, [a + 1, a, a], [27 + 25 // a + f, 25 + f, 25 + f])
        yield (2 * a, [a, a, a + 1, 1], [20 + f, 21 + f, 38 + f, 2 + f])
        yield (3 * a, [a], [40 + f])
        yield (a - 1, [a, a + 1], [40 + f, 90 + f])
        yield (6 * a, [a, a, a, a, a], [31 + f, 32 + f, 33 + f, 34 + f, 35 + f])
        if f:
            yield (4 * a, [a, a, a], [f - 1, f + 9, f])
            yield (3 * a, [a, a, a], [f - 1, 1, f - 1])
            yield (6 * a, [2 * a, a, a, a], [2 * f + 12, f + 5, f + 6, f + 3])
        if u := p.get("u"):
            yield (4 * a, [a, a, a], [u, u - 1, u + 1])
            yield (3 * a, [a, a], [u - 1, u])
            yield (3 * a, [a, a], [u - 1, u - 2])
        if variant in ("light", "few"):
            yield (3 * h, [h, h + 1, h - 1], [20, 60, 30])
            yield (2 * h + 2, [h + 1, h, 2], [90, 40, 7])
            yield (h + 1, [h + 1, h], [90, 40])
        if k := p.get("k"):
            yield (k * 3 + 3, [3] * (k + 1), [10 + i for i in range(k + 1)])
            yield (h, [1] * (k + 2) + [h], [10] * (k + 2) + [10 * k + 5])
            yield (6 * k, [5, 6] * k, [9, 14] * k)
        if variant == "exact":
            yield (2 * a + 1, [a, a, 2], [30, 40, 20])
            yield (2 * a, [a, a + 1, a, 2 * a], [30, 90, 20, 45])
            yield (2 * a, [a], [30])
            yield (a + 4, [a, 3, 2, 1], [30, 10, 20, 5])
        if g := p.get("g"):
            yield from (
                (10, [2, 3, 4], [g, g - 1, g - 1]),
                (5, [2, 3, 5, 6], [g - 4, 4, g, g]),
                (20, [5, 5, 5], [g // 2 + 1] * 3),
            )
            yield (12, [3, 4, 5, 6], [g // 3 + 1] * 4)

    def sample(self, rng, variant, p, difficulty):
        count = rng.int(2, 3 + (difficulty + 1) // 2)
        h, f = p.get("h", 0), p.get("f", 0)
        if variant == "repeat":
            capacity = rng.int(8, 14 + 2 * difficulty)
            return (capacity, rng.ints(count, 2, 9), rng.ints(count, max(f - 4, 1), f + 20 + difficulty))
        weights = rng.ints(count, max(2, h - 6), h + 4) if h else rng.ints(count, 2, 6 + difficulty)
        capacity = sum(weights) * rng.int(4, 8) // 10
        if variant == "exact":
            capacity = sum(rng.sample(weights, rng.int(1, count))) + rng.int(0, 1)
        if g := p.get("g"):
            return (capacity, weights, rng.ints(count, g // 8, g // 2 + 10))
        return (capacity, weights, rng.ints(count, max(f - 4, 1), f + 20 + difficulty))

    def write_light(self, p):
        h, u = p["h"], p["u"]
        fits = f"w <= {h} and v >= {u}"
        correct = [
            _table(fits),
            _sums(f" and {fits}"),
            _recursion(f"weights[i] <= min(c, {h}) and values[i] >= {u}"),
        ]
        mutants = [
            ("no_ban", _table(), "bans nothing"),
            ("greedy", _RATIO.format(test=f"w <= min(capacity, {h}) and v >= {u}", less=""), _GREEDY),
            ("strict", _table(f"w < {h} and v >= {u}"), "bans items of just that weight"),
            ("strict_value", _table(f"w <= {h} and v > {u}"), "bans items of just that value"),
            ("any_value", _table(f"w <= {h}"), "does not look at the least value"),
            ("repeated", _table(fits, span=_AGAIN), "takes items again"),
        ]
        return correct, mutants

    def write_fee(self, p):
        f = p["f"]
        less = f" - {f}"
        correct = [_table(less=less), _sums(less=less), _recursion("weights[i] <= c", less)]
        mutants = [
            ("free", _table(), "leaves the fee out"),
            ("once", _table(end=f"best[capacity] - {f}"), "takes the fee once"),
            ("greedy", _RATIO.format(test=f"w <= capacity and v > {f}", less=less), _GREEDY),
            ("repeated", _table(less=less, span=_AGAIN), "takes items again"),
            ("other_fee", _table(less=f" - {f + 1}"), "has another fee"),
        ]
        return correct, mutants

    def write_repeat(self, p):
        f = p["f"]
        less = f" - {f}"
        correct = [
            _table(less=less, span=_AGAIN),
            (
                "best = [0]\nfor c in range(1, capacity + 1):\n"
                f"    t = [best[c - w] + v - {f} for w, v in zip(weights, values) if w <= c]\n"
                "    best.append(max(t + [0]))\nreturn best[capacity]"
            ),
            _recursion("weights[i] <= c", less, nxt="i"),
        ]
        mutants = [
            ("free", _table(span=_AGAIN), "leaves the fee out"),
            ("not_repeated", _table(less=less), "takes each item once"),
            ("once", _table(span=_AGAIN, end=f"best[capacity] - {f}"), "takes the fee once"),
            ("other_fee", _table(less=f" - {f + 1}", span=_AGAIN), "has another fee"),
        ]
        return correct, mutants

    def write_few(self, p):
        h, k = p["h"], p["k"]

        def few(k=k, test=f" and w <= {h}", op="<"):
            return (
                "t = [(0, 0, 0)]\nfor w, v in zip(weights, values):\n"
                f"    t += [(a + w, b + v, n + 1) for a, b, n in t if a + w <= capacity and n {op} {k}{test}]\n"
                "return max(b for a, b, n in t)"
            )

        correct = [
            few(),
            (
                "def go(i, c, n):\n    if i == len(weights) or n == 0:\n        return 0\n"
                f"    out = go(i + 1, c, n)\n    if weights[i] <= min(c, {h}):\n"
                "        out = max(out, go(i + 1, c - weights[i], n - 1) + values[i])\n    return out\n"
                f"return go(0, capacity, {k})"
            ),
            (
                f"from itertools import combinations\nt = [x for x in zip(weights, values) if x[0] <= {h}]\n"
                f"out = 0\nfor n in range({k + 1}):\n    for b in combinations(t, n):\n"
                "        if sum(x[0] for x in b) <= capacity:\n"
                "            out = max(out, sum(x[1] for x in b))\nreturn out"
            ),
        ]
        mutants = [
            ("unlimited", _table(f"w <= {h}"), "takes any number of items"),
            ("one_more", few(op="<="), "takes one item too many"),
            ("no_ban", few(test=""), "bans nothing"),
            ("one_less", few(k=k - 1), "takes one item too few"),
        ]
        return correct, mutants

    def write_exact(self, p):
        v = p["v"]
        start = "best = [0] + [-10000] * capacity"
        end = f"best[capacity] if best[capacity] >= 0 else {v}"
        correct = [
            _table(start=start, end=end),
            _sums(end=f"max((v for w, v in t if w == capacity), default={v})"),
            f"best = {{0: 0}}\nfor w, v in zip(weights, values):\n    for c, b in list(best.items()):\n"
            f"        best[c + w] = max(best.get(c + w, 0), b + v)\nreturn best.get(capacity, {v})",
        ]
        mutants = [
            ("at_most", _table(), "allows a smaller weight"),
            ("repeated", _table(span=_AGAIN, start=start, end=end), "takes items again"),
            ("no_missing", _table(start=start), "returns a number where nothing fits"),
            (
                "other_missing",
                _table(start=start, end=end.replace(str(v), str(v - 1))),
                "has another answer where nothing fits",
            ),
            (
                "greedy",
                _RATIO.format(test="w <= capacity", less="").replace(
                    "return out", f"return out if capacity == 0 else {v}"
                ),
                _GREEDY,
            ),
        ]
        return correct, mutants

    def write_ways(self, p):
        g = p["g"]

        def ways(end=f"sum(v >= {g} for w, v in t)"):
            return _sums(end=end)

        correct = [
            ways(),
            (
                "def go(i, c, g):\n    if i == len(weights):\n        return int(g <= 0)\n"
                "    n = go(i + 1, c, g)\n    if weights[i] <= c:\n"
                "        n += go(i + 1, c - weights[i], g - values[i])\n    return n\n"
                f"return go(0, capacity, {g})"
            ),
            (
                "from itertools import combinations\nt, out = list(zip(weights, values)), 0\n"
                "for n in range(len(t) + 1):\n    for b in combinations(t, n):\n"
                f"        out += sum(x[0] for x in b) <= capacity and sum(x[1] for x in b) >= {g}\nreturn out"
            ),
        ]
        mutants = [
            ("best", _table(), "returns the best value"),
            ("strict", ways(f"sum(v > {g} for w, v in t)"), "leaves out sets of just that value"),
            ("all", ways("len(t)"), "counts sets of any value"),
            ("less", ways(f"sum(v < {g} for w, v in t)"), "counts the others"),
            ("any_weight", _sums(end=f"sum(v >= {g} for w, v in t)", fits=""), "ignores the capacity"),
        ]
        return correct, mutants


_GREEDY = "takes the best value for its weight first"
_AGAIN = "range(w, capacity + 1)"
_RATIO = (
    "t = sorted(zip(weights, values), key=lambda x: -x[1] / x[0])\nout = 0\nfor w, v in t:\n"
    "    if {test}:\n        capacity -= w\n        out += v{less}\nreturn out"
)


def _table(
    test="", less="", span="range(capacity, w - 1, -1)", start="best = [0] * (capacity + 1)", end="best[capacity]"
):
    """Dynamic programming over capacities; an upward `span` takes items again."""
    loop = f"for c in {span}:\n    best[c] = max(best[c], best[c - w] + v{less})"
    if test:
        loop = f"if {test}:\n{indent(loop, '    ')}"
    return f"{start}\nfor w, v in zip(weights, values):\n{indent(loop, '    ')}\nreturn {end}"


def _sums(test="", end="max(v for w, v in t)", less="", fits=" if a + w <= capacity"):
    """All (weight, value) sums that fit."""
    return (
        "t = [(0, 0)]\nfor w, v in zip(weights, values):\n"
        f"    t += [(a + w, b + v{less}) for a, b in t{fits}{test}]\nreturn {end}"
    )


def _recursion(test, less="", nxt="i + 1"):
    return (
        "def go(i, c):\n    if i == len(weights):\n        return 0\n    out = go(i + 1, c)\n"
        f"    if {test}:\n        out = max(out, go({nxt}, c - weights[i]) + values[i]{less})\n    return out\n"
        "return go(0, capacity)"
    )


FAMILY = Knapsack()
