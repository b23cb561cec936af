"""What two strings have in common: subsequences, substrings, letters, with drawn weights and bans."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS


class Lcs(Family):
    name = "lcs"
    summary = "longest common subsequence or substring with weighted or banned letters, merges, deletions"
    functions = ("lcs", "common", "longest", "solve")
    arguments = (Argument("s1", "str", ("first", "left")), Argument("s2", "str", ("second", "right")))
    variants = (
        Variant(
            "shared",
            "int",
            (
                "How many letters of {s1} can be paired with equal letters of {s2}, in any order, each used once? A "
                "pair of '{x}' counts {w}, other pairs 1.",
                "Pair equal letters of {s1} and {s2} regardless of place, each letter once. Return the number of "
                "pairs, where a pair of '{x}' counts {w}.",
                "For each letter take the smaller of its counts in {s1} and {s2}. Return the sum, with '{x}' counted "
                "{w} times.",
            ),
        ),
        Variant(
            "subsequence",
            "int",
            (
                "Return the largest weight of a common subsequence of {s1} and {s2}, where '{x}' weighs {w} and any "
                "other letter 1.",
                "A letter '{x}' counts {w} points, any other letter 1. How many points has the best common "
                "subsequence of {s1} and {s2}?",
                "Find a common subsequence of {s1} and {s2} (letters in order, gaps allowed) worth the most. '{x}' is "
                "worth {w}, other letters 1. Return its worth.",
            ),
        ),
        Variant(
            "banned",
            "int",
            (
                "Return the length of the longest common subsequence of {s1} and {s2} that has neither '{x}' nor "
                "'{y}'.",
                "How long is the longest sequence of letters other than '{x}' and '{y}' that is in {s1} and {s2} in "
                "order, gaps allowed?",
                "Ignore '{x}' and '{y}' in {s1} and {s2}. Return the length of their longest common subsequence.",
            ),
            level=2,
        ),
        Variant(
            "deletions",
            "int",
            (
                "Deleting a letter of {s1} costs {d}, one of {s2} costs {e}. What does it cost at least to make the "
                "two equal?",
                "Return the least cost of making {s1} and {s2} equal by deletions alone, at {d} a letter in {s1} and "
                "{e} a letter in {s2}.",
                "Cross out letters until {s1} and {s2} are the same. Each costs {d} in {s1} and {e} in {s2}. Return "
                "the minimum cost.",
            ),
            level=3,
        ),
        Variant(
            "substring",
            "int",
            (
                "Return the length of the longest common substring (no gaps) of {s1} and {s2} without '{x}' and "
                "'{y}' in it.",
                "How long is the longest piece that stands, without gaps, in {s1} and in {s2} and has neither '{x}' "
                "nor '{y}'?",
                "Find the longest run of neighbouring letters, none of them '{x}' or '{y}', that occurs in both {s1} "
                "and {s2}. Return its length.",
            ),
            level=4,
        ),
        Variant(
            "merged",
            "int",
            (
                "What does the cheapest string that contains {s1} and {s2} as subsequences cost, if '{x}' costs {w} "
                "and any other letter 1?",
                "Return the least cost of a string that holds both {s1} and {s2} as subsequences. Letter '{x}' costs "
                "{w}, others 1.",
                "Merge {s1} and {s2} into one string, sharing letters where possible and keeping both orders. Return "
                "the least cost: {w} for each '{x}', 1 for other letters.",
            ),
            level=6,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "deletions":
            return {"d": rng.int(1, 20), "e": rng.int(1, 20)}
        if variant in ("banned", "substring"):
            x, y = rng.sample(LETTERS, 2)
            return {"x": x, "y": y}
        return {"x": rng.pick(LETTERS), "w": rng.int(2, 9)}

    def answer(self, variant, p, s1, s2):
        x, y, w = p.get("x"), p.get("y"), p.get("w", 1)
        if variant == "shared":
            return sum([min(s1.count(c), s2.count(c)) * (w if c == x else 1) for c in set(s1)])
        if variant == "substring":
            best, old = 0, [0] * (len(s2) + 1)
            for a in s1:
                old = [0] + [old[j] + 1 if a == b and a != x and a != y else 0 for j, b in enumerate(s2)]
                best = max(best, max(old))
            return best
        if variant == "banned":
            s1, s2 = s1.replace(x, "").replace(y, ""), s2.replace(x, "").replace(y, "")
        common = _heaviest(s1, s2, x, w)
        if variant == "deletions":
            return (len(s1) - common) * p["d"] + (len(s2) - common) * p["e"]
        if variant == "merged":
            return len(s1) + len(s2) + (w - 1) * (s1.count(x) + s2.count(x)) - common
        return common

    def edge_cases(self, rng, variant, p, difficulty):
        x, y, w = p.get("x", ""), p.get("y", ""), p.get("w", 0)
        a, b, c, d = rng.sample([ch for ch in LETTERS if ch not in (x, y)], 4)
        yield from (
            ("", ""),
            (a + b, ""),
            ("", b + c),
            (a + b + c, a + b + c),
            (a + b + c + d, d + c + b + a),
            (a, b),
        )
        yield from (
            (a + b + a + c, a + c + a + b),
            (a + a + b, a + b + b + c),
            (a + c + b + d + c, a + b + c),
            (a + b + c + d, a + b + d),
        )
        if x and w:
            yield from (
                (x + a, a + x),
                (a + b + x, x + a + b),
                (x + x + a, x + b + x),
                (x, x),
                (a + x + b, b + x + a + x),
                (x, ""),
            )
            yield (a * (w - 1) + x, x + a * (w - 1))
        if y:
            yield from (
                (x + a + y, x + a + y),
                (a + x + b, a + x + b),
                (y + a, y + b),
                (a + b + y + c, a + b + c),
                (a + x + b + c, a + x + b + d),
            )

    def sample(self, rng, variant, p, difficulty):
        x, y = p.get("x", ""), p.get("y", "")
        alphabet = x + y + rng.text(LETTERS, 3 + difficulty // 4)
        low, high = 2 + difficulty // 3, 4 + (2 * difficulty) // 3
        s1 = rng.text(alphabet, rng.int(low, high))
        if rng.chance(0.5):
            return (s1, rng.text(alphabet, rng.int(low, high)))
        s2 = [ch for ch in s1 if rng.chance(0.7)]
        s2.insert(rng.int(0, len(s2)), rng.pick(alphabet))
        return (s1, "".join(s2))

    def write_shared(self, p):
        x, w = repr(p["x"]), p["w"]

        def shared(weight=f"({w} if c == {x} else 1)", count="min(s1.count(c), s2.count(c))", of="set(s1)"):
            return f"return sum({count} * {weight} for c in {of})"

        correct = [
            shared(),
            (
                "n = sum(min(s1.count(c), s2.count(c)) for c in set(s1))\n"
                f"return n + {w - 1} * min(s1.count({x}), s2.count({x}))"
            ),
            (
                "t, out = list(s2), 0\nfor c in s1:\n    if c in t:\n        t.remove(c)\n"
                f"        out += {w} if c == {x} else 1\nreturn out"
            ),
        ]
        mutants = [
            ("unweighted", shared("1").replace(" * 1", ""), "leaves the weight out"),
            (
                "not_used_up",
                f"return sum({w} if c == {x} else 1 for c in s1 if c in s2)",
                "uses letters again",
            ),
            (
                "sets",
                f"return sum({w} if c == {x} else 1 for c in set(s1) & set(s2))",
                "counts each letter once",
            ),
            ("larger", shared(count="max(s1.count(c), s2.count(c))"), "takes the larger count"),
            ("other_weight", shared(f"({w + 1} if c == {x} else 1)"), "has another weight"),
        ]
        return correct, mutants

    def write_substring(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        banned = repr(p["x"] + p["y"])

        start = "n = len(s1)\nt = [s1[i:j] for i in range(n) for j in range(i, n + 1)]\n"
        correct = [
            start + f"return max([len(a) for a in t if a in s2 and {x} not in a and {y} not in a], default=0)",
            (
                "best, r = 0, [0] * (len(s2) + 1)\nfor a in s1:\n    old, r = r, [0]\n"
                "    for j, b in enumerate(s2):\n"
                f"        r.append(old[j] + 1 if a == b and a not in {banned} else 0)\n"
                "    best = max(best, max(r))\nreturn best"
            ),
            f"best = 0\nfor i in range(len(s1)):\n    for j in range(len(s2)):\n        n = 0\n"
            "        while s1[i + n:i + n + 1] == s2[j + n:j + n + 1] != '' and "
            f"s1[i + n] not in {banned}:\n            n += 1\n        best = max(best, n)\nreturn best",
        ]
        mutants = [
            (
                "not_banned",
                start + "return max([len(a) for a in t if a in s2], default=0)",
                "bans nothing",
            ),
            (
                "one_of_two",
                start + f"return max([len(a) for a in t if a in s2 and {x} not in a], default=0)",
                "bans one of the two",
            ),
            (
                "taken_out",
                f"s1 = s1.replace({x}, '').replace({y}, '')\n"
                + start
                + "return max([len(a) for a in t if a in s2], default=0)",
                "takes the letters out of one string",
            ),
            (
                "prefix",
                "n = 0\nfor a, b in zip(s1, s2):\n    if a != b:\n        break\n    n += 1\nreturn n",
                "looks at the start only",
            ),
        ]
        return correct, mutants

    def write_subsequence(self, p):
        x, w = repr(p["x"]), p["w"]
        gain = f"({w} if a == {x} else 1)"
        correct = [
            _rows(gain),
            _grid(gain.replace("a ==", "s1[i] ==")),
            _recursion(gain.replace("a ==", "s1[i] ==")),
        ]
        mutants = [
            ("unweighted", _rows(), "leaves the weight out"),
            ("greedy", _GREEDY.format(gain=gain, end="n"), "takes the first match of each letter"),
            ("other_weight", _rows(gain.replace(str(w), str(w + 1))), "has another weight"),
            (
                "any_order",
                f"return sum(min(s1.count(c), s2.count(c)) * ({w} if c == {x} else 1) for c in set(s1))",
                "ignores the order",
            ),
        ]
        return correct, mutants

    def write_banned(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        out = f"s1 = s1.replace({x}, '').replace({y}, '')\n"
        correct = [_rows(first=out), _grid(first=out), _recursion(first=out)]
        mutants = [
            ("not_banned", _rows(), "bans nothing"),
            ("one_of_two", _rows(first=f"s1 = s1.replace({x}, '')\n"), "bans one of the two"),
            (
                "replaced",
                _rows(first=f"s1 = s1.replace({x}, {y})\ns2 = s2.replace({x}, {y})\n"),
                "takes one for the other",
            ),
            (
                "any_order",
                f"{out}return sum(min(s1.count(c), s2.count(c)) for c in set(s1))",
                "ignores the order",
            ),
        ]
        return correct, mutants

    def write_deletions(self, p):
        d, e = p["d"], p["e"]

        def cost(n, d=d, e=e):
            return f"(len(s1) - {n}) * {d} + (len(s2) - {n}) * {e}"

        correct = [_rows(end=cost("r[-1]")), _grid(end=cost("t[-1][-1]")), _recursion(end=cost("go(0, 0)"))]
        mutants = [
            ("length", _rows(), "returns the common length"),
            ("one_string", _rows(end=f"(len(s1) - r[-1]) * {d}"), "deletes from one string only"),
            ("other_cost", _rows(end=cost("r[-1]", d + 1)), "has another cost"),
            (
                "any_order",
                f"n = sum(min(s1.count(c), s2.count(c)) for c in set(s1))\nreturn {cost('n')}",
                "ignores the order",
            ),
        ]
        if d != e:
            mutants.append(("swapped_costs", _rows(end=cost("r[-1]", e, d)), "mixes the costs up"))
        return correct, mutants

    def write_merged(self, p):
        x, w = repr(p["x"]), p["w"]
        gain = f"({w} if a == {x} else 1)"
        both = f"len(s1 + s2) + {w - 1} * (s1 + s2).count({x})"

        correct = [
            _rows(gain, end=f"{both} - r[-1]"),
            _grid(gain.replace("a ==", "s1[i] =="), end=f"{both} - t[-1][-1]"),
            _recursion(gain.replace("a ==", "s1[i] =="), end=f"{both} - go(0, 0)"),
        ]
        mutants = [
            ("unweighted", _rows(end="len(s1 + s2) - r[-1]"), "leaves the cost out"),
            ("glued", f"return {both}", "shares no letter"),
            ("common", _rows(gain), "returns what is shared"),
            (
                "greedy",
                _GREEDY.format(gain=gain, end=f"{both} - n"),
                "takes the first match of each letter",
            ),
            (
                "other_cost",
                _rows(
                    gain.replace(str(w), str(w + 1)),
                    end=f"len(s1 + s2) + {w} * (s1 + s2).count({x}) - r[-1]",
                ),
                "has another cost",
            ),
        ]
        return correct, mutants


_GREEDY = (
    "j = n = 0\nfor a in s1:\n    i = s2.find(a, j)\n    if i >= 0:\n        j = i + 1\n"
    "        n += {gain}\nreturn {end}"
)


def _rows(gain="1", first="", end="r[-1]"):
    return (
        f"{first}r = [0] * (len(s2) + 1)\nfor a in s1:\n    old, r = r, [0]\n    for j, b in enumerate(s2):\n"
        f"        r.append(old[j] + {gain} if a == b else max(r[j], old[j + 1]))\nreturn {end}"
    )


def _recursion(gain="1", first="", end="go(0, 0)"):
    return (
        f"{first}from functools import cache\n@cache\ndef go(i, j):\n    if i == len(s1) or j == len(s2):\n"
        f"        return 0\n    if s1[i] == s2[j]:\n        return go(i + 1, j + 1) + {gain}\n"
        f"    return max(go(i + 1, j), go(i, j + 1))\nreturn {end}"
    )


def _grid(gain="1", first="", end="t[-1][-1]"):
    return (
        f"{first}n, m = len(s1), len(s2)\nt = [[0] * (m + 1) for _ in range(n + 1)]\nfor i in range(n):\n"
        f"    for j in range(m):\n        t[i + 1][j + 1] = max(t[i][j + 1], t[i + 1][j])\n"
        f"        if s1[i] == s2[j]:\n            t[i + 1][j + 1] = t[i][j] + {gain}\nreturn {end}"
    )


def _heaviest(one: str, two: str, x: str | None, w: int) -> int:
    row = [0] * (len(two) + 1)
    for a in one:
        gain = w if a == x else 1
        old, row, left = row, [0], 0
        for j, b in enumerate(two):
            if a == b:
                left = old[j] + gain
            elif old[j + 1] > left:
                left = old[j + 1]
            row.append(left)
    return row[-1]


FAMILY = Lcs()
