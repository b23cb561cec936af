"""Rain water between bars, with drawn outer walls and limits."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class Trap(Family):
    name = "trap"
    summary = "water held between bars and outer walls, with a depth limit, wet places, largest container"
    functions = ("trap", "water", "hold", "solve")
    arguments = (Argument("height", "list[int]", ("bars", "levels")),)
    variants = (
        Variant(
            "walls",
            "int",
            (
                (
                    "{height} gives bars of width 1, with a wall of height {a} on the left and one of height {b} "
                    "on the right. How much rain water stays above the bars?"
                ),
                (
                    "Rain fills the bars {height} (each 1 wide) between a left wall of height {a} and a right wall "
                    "of height {b}. Return the amount of water held."
                ),
                (
                    "Over each bar of {height} water rises to the lower of the highest barriers on both sides; "
                    "outer walls are {a} (left) and {b} (right). Return the total."
                ),
            ),
        ),
        Variant(
            "container",
            "int",
            (
                (
                    "Choose two bars of {height} at most {k} places apart as the sides of a tank. Return the "
                    "largest value of the lower height times the distance, or {v} for fewer than two bars."
                ),
                (
                    "What is the largest min({height}[i], {height}[j]) * (j - i) with 0 < j - i <= {k}? Return {v} "
                    "if there are not two bars."
                ),
                (
                    "Two bars of {height} no more than {k} apart hold the lower one's height times their distance. "
                    "Return the maximum; {v} without two bars."
                ),
            ),
            level=2,
        ),
        Variant(
            "shallow",
            "int",
            (
                (
                    "{height} gives bars of width 1. Water above them is never deeper than {k}, since it drains "
                    "away. How much stays, with a wall of height {a} on the left only?"
                ),
                (
                    "Rain fills the bars {height} between a left wall of height {a} and no right wall, but on each "
                    "bar at most {k} of water remains. Return the total."
                ),
                (
                    "Return the water held by the bars {height} with a wall of height {a} to their left, counting "
                    "at most {k} on any bar."
                ),
            ),
            level=4,
        ),
        Variant(
            "wet",
            "int",
            (
                (
                    "{height} gives bars of width 1 between two outer walls of height {a}. On how many bars does "
                    "rain water stand at least {k} deep?"
                ),
                (
                    "Rain fills the bars {height}, with a wall of height {a} at either end. Count the bars with a "
                    "water depth of {k} or more."
                ),
                (
                    "Return how many bars of {height} are under {k} or more of water when walls of height {a} "
                    "stand on both sides."
                ),
            ),
            level=3,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "walls":
            a, b = rng.sample(range(26), 2)
            return {"a": a, "b": b}
        if variant == "container":
            return {"k": rng.int(2, 6), "v": -rng.int(1, 99)}
        k = rng.int(2, 6)
        return {"a": k + rng.int(1, 54), "k": k}

    def solve_walls(self, p, height):
        return sum(_depths(height, p["a"], p["b"]))

    def solve_container(self, p, height):
        n, k = len(height), p["k"]
        areas = [min(height[i], height[j]) * (j - i) for i in range(n) for j in range(i + 1, min(i + k, n - 1) + 1)]
        return max(areas, default=p["v"])

    def solve_shallow(self, p, height):
        return sum([min(d, p["k"]) for d in _depths(height, p["a"], 0)])

    def solve_wet(self, p, height):
        return sum([d >= p["k"] for d in _depths(height, p["a"], p["a"])])

    def edge_cases(self, rng, variant, p, difficulty):
        a, b, k = p.get("a", 5), p.get("b", 0), p.get("k", 2)
        x = rng.int(2, 9)
        yield ([],)
        yield ([x],)
        yield ([3, 0, 2, 0, 4],)
        yield ([0, 0],)
        if variant == "container":
            yield from (
                ([9, *[1] * k, 9],),
                ([9, *[1] * (k - 1), 8],),
                ([1, 8, 6, 2, 5, 4, 8, 3, 7],),
                ([0, x, 0],),
                ([4, 4],),
                ([2, 9, 9, 2],),
            )
            yield ([3] * (k + 3),)
            yield ([7, *[1] * (k - 2), 9, 9],)
        elif variant == "walls":
            top = max(a, b)
            yield from (
                ([top + 3, 0, top + 5],),
                ([0, top + 2, 0],),
                ([a, b],),
                ([min(a, b) + 1, 0, min(a, b) + 1],),
                ([0, a + b, 1, 0],),
            )
            yield ([1, 0, 2, 1, 0],)
        else:
            yield from (
                ([a + 3, 0, a + 5],),
                ([max(a - k, 0)],),
                ([max(a - k, 0), a],),
                ([max(a - k + 1, 0), a],),
                ([max(a - k - 1, 0), a + 1],),
                ([0, a + 2, 0],),
            )
            yield from (([2 * k + 2, 0, k, 1, 2 * k + 2],), ([max(a - k, 0), 0, k],), ([0, k, 2 * k, 1, k + 2],))

    def sample(self, rng, variant, p, difficulty):
        top = 3 + difficulty + max(p.get("a", 0), p.get("b", 0)) // 2
        return (rng.ints(rng.int(3, 5 + 2 * difficulty), 0, top),)

    def write_walls(self, p):
        a, b = p["a"], p["b"]
        correct = [
            _water(f"[{a}] + height[:i]", f"height[i:] + [{b}]", "max(0, min(l, r) - height[i])"),
            (
                f"t = [{a}] + height + [{b}]\nout = 0\nfor i in range(1, len(t) - 1):\n"
                "    out += max(min(max(t[:i]), max(t[i:])) - t[i], 0)\nreturn out"
            ),
            (
                f"t = [{a}] + height + [{b}]\ni, j, l, r, out = 0, len(t) - 1, 0, 0, 0\nwhile i < j:\n"
                "    if t[i] < t[j]:\n        l = max(l, t[i])\n        out += l - t[i]\n        i += 1\n"
                "    else:\n        r = max(r, t[j])\n        out += r - t[j]\n        j -= 1\nreturn out"
            ),
        ]
        mutants = [
            (
                "no_walls",
                _water("[0] + height[:i]", "height[i:]", "max(0, min(l, r) - height[i])"),
                "forgets the outer walls",
            ),
            (
                "swapped_walls",
                _water(f"[{b}] + height[:i]", f"height[i:] + [{a}]", "max(0, min(l, r) - height[i])"),
                "mixes the walls up",
            ),
            (
                "higher_side",
                _water(f"[{a}] + height[:i]", f"height[i:] + [{b}]", "max(0, max(l, r) - height[i])"),
                "fills to the higher side",
            ),
            ("walls_only", f"return sum(max(0, {min(a, b)} - x) for x in height)", "looks at the walls only"),
        ]
        return correct, mutants

    def write_container(self, p):
        k, v = p["k"], p["v"]

        def tank(k=f"min(i + {k}, n - 1) + 1", v=v, area="min(height[i], height[j]) * (j - i)", first="i + 1"):
            return (
                f"n = len(height)\nt = [{area} for i in range(n) for j in range({first}, {k})]\n"
                f"return max(t, default={v})"
            )

        correct = [
            tank(),
            (
                f"best = {v}\nfor j, x in enumerate(height):\n    for d in range(1, {k + 1}):\n        if d <= j:\n"
                "            best = max(best, min(x, height[j - d]) * d)\nreturn best"
            ),
            (
                f"t = [d * min(x, y) for d in range(1, {k + 1}) for x, y in zip(height, height[d:])]\n"
                f"return max(t) if t else {v}"
            ),
        ]
        mutants = [
            ("any_distance", tank("n"), "allows every distance"),
            ("one_less", tank(f"min(i + {k - 1}, n - 1) + 1"), "allows a smaller distance"),
            ("higher", tank(area="max(height[i], height[j]) * (j - i)"), "takes the higher side"),
            ("other_sentinel", tank(v=v - 1), "has another answer for too few bars"),
            ("places", tank(area="min(height[i], height[j]) * (j - i + 1)"), "counts the bars, not the distance"),
        ]
        return correct, mutants

    def write_shallow(self, p):
        a, k = p["a"], p["k"]

        def shallow(left=f"[{a}] + height[:i]", depth=f"min(max(0, min(l, r) - height[i]), {k})", right="height[i:]"):
            return _water(left, right, depth)

        correct = [
            shallow(),
            (
                "out, r = 0, 0\nfor i in range(len(height) - 1, -1, -1):\n    r = max(r, height[i])\n"
                f"    l = max([{a}] + height[:i])\n    out += max(0, min(l - height[i], r - height[i], {k}))\n"
                "return out"
            ),
            (
                f"t = [{a}] + height\nd = [min(max(t[:i]), max(t[i:])) - t[i] for i in range(1, len(t))]\n"
                f"return sum(min(max(x, 0), {k}) for x in d)"
            ),
        ]
        mutants = [
            ("no_limit", shallow(depth="max(0, min(l, r) - height[i])"), "has no limit of depth"),
            ("no_wall", shallow("[0] + height[:i]"), "forgets the wall"),
            ("both_walls", shallow(right=f"height[i:] + [{a}]"), "has a wall on the right too"),
            ("other_limit", shallow(depth=f"min(max(0, min(l, r) - height[i]), {k + 1})"), "has another limit"),
            (
                "all_limited",
                (
                    f"t = [{a}] + height\nd = sum(max(min(max(t[:i]), max(t[i:])) - t[i], 0) for i in range(1, "
                    f"len(t)))\nreturn min(d, {k})"
                ),
                "limits the total",
            ),
        ]
        return correct, mutants

    def write_wet(self, p):
        a, k = p["a"], p["k"]

        def wet(left=f"[{a}] + height[:i]", right=f"height[i:] + [{a}]", test=f"min(l, r) - height[i] >= {k}"):
            return _water(left, right, test)

        correct = [
            wet(),
            (
                f"t = [{a}] + height + [{a}]\n"
                f"return sum(min(max(t[:i]), max(t[i:])) >= t[i] + {k} for i in range(1, len(t) - 1))"
            ),
            f"n = 0\nfor i, x in enumerate(height):\n    if max(height[:i], default=0) >= x + {k} or {a} >= x + {k}:\n"
            f"        if max(height[i:] + [{a}]) >= x + {k}:\n            n += 1\nreturn n",
        ]
        mutants = [
            ("deeper", wet(test=f"min(l, r) - height[i] > {k}"), "asks for more depth"),
            ("any_depth", wet(test="min(l, r) > height[i]"), "counts every wet bar"),
            ("no_walls", wet("[0] + height[:i]", "height[i:]"), "forgets the walls"),
            ("amount", wet(test="max(0, min(l, r) - height[i])"), "returns the amount"),
        ]
        return correct, mutants


def _water(left, right, term):
    return (
        f"out = 0\nfor i in range(len(height)):\n    l = max({left})\n    r = max({right})\n"
        f"    out += {term}\nreturn out"
    )


def _depths(height, a, b):
    lefts, rights = [], []
    for x in height:
        lefts.append(a)
        a = max(a, x)
    for x in reversed(height):
        rights.append(b)
        b = max(b, x)
    return [max(0, min(left, right) - x) for left, right, x in zip(lefts, reversed(rights), height)]


FAMILY = Trap()
