"""Costs of turning one word into another, with drawn costs and rules."""

from __future__ import annotations

from functools import partial

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS


class EditDistance(Family):
    name = "edit_distance"
    summary = "cheapest edits with drawn costs, letters that are alike, no substitution, limits"
    functions = ("edit_distance", "distance", "min_cost", "solve")
    arguments = (Argument("word1", "str", ("source", "first")), Argument("word2", "str", ("target", "second")))
    variants = (
        Variant(
            "positions",
            "int",
            (
                "Compare {word1} and {word2} position by position. Each differing pair costs {s}, each letter that one "
                "word has more costs {e}. Return the cost.",
                "Lay {word1} and {word2} side by side from the start. Return {s} for every position where they differ "
                "plus {e} for every letter by which one is longer.",
                "Return {s} times the number of unequal positions in the common length of {word1} and {word2}, plus "
                "{e} times their difference in length.",
            ),
        ),
        Variant(
            "indel",
            "int",
            (
                "Turn {word1} into {word2}. Inserting a letter costs {i}, deleting one costs {d}; nothing else is "
                "allowed. Return the least cost.",
                "What is the cheapest way from {word1} to {word2} by insertions ({i} each) and deletions ({d} each) "
                "alone? Return its cost.",
                "Return the minimum cost to change {word1} into {word2} with deletions at {d} and insertions at {i}, "
                "without substitutions.",
            ),
        ),
        Variant(
            "costs",
            "int",
            (
                "Turn {word1} into {word2}. Inserting a letter costs {i}, deleting one {d}, replacing one {s}. Return "
                "the least cost.",
                "What is the cheapest way from {word1} to {word2} by insertions ({i} each), deletions ({d} each) and "
                "replacements ({s} each)? Return its cost.",
                "Return the minimum edit cost from {word1} to {word2}: insertion {i}, deletion {d}, substitution {s}.",
            ),
            level=2,
        ),
        Variant(
            "alike",
            "int",
            (
                "How many insertions, deletions or replacements of a letter turn {word1} into {word2} at least? '{x}' "
                "and '{y}' count as the same letter.",
                "Return the edit distance of {word1} and {word2} when '{x}' and '{y}' are not told apart.",
                "Each insertion, deletion or replacement of a letter costs 1, but '{x}' for '{y}' or back is free. "
                "Return the least cost from {word1} to {word2}.",
            ),
            level=3,
        ),
        Variant(
            "within",
            "bool",
            (
                "Can at most {k} insertions, deletions or replacements turn {word1} into {word2}, if '{x}' and '{y}' "
                "count as the same letter? Return True or False.",
                "Return whether the edit distance of {word1} and {word2} is {k} or less when '{x}' and '{y}' are not "
                "told apart.",
                "Treat '{x}' as '{y}'. Return True if {word1} is no more than {k} single-letter edits away from "
                "{word2}.",
            ),
            level=5,
        ),
        Variant(
            "swaps",
            "int",
            (
                "Turn {word1} into {word2} by inserting ({i}), deleting ({i}) or replacing ({s}) a letter or swapping "
                "two neighbours ({t}). No letter is edited twice. Return the least cost.",
                "What is the cheapest way from {word1} to {word2}, editing no letter twice: insertion or deletion {i}, "
                "replacement {s}, swap of two neighbours {t}?",
                "Return the minimum cost from {word1} to {word2} where inserts and deletes cost {i}, substitutions "
                "{s}, swaps of adjacent letters {t}, and no letter is edited twice.",
            ),
            level=7,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "positions":
            return {"s": rng.int(1, 9), "e": rng.int(1, 9)}
        if variant == "indel":
            return {"i": rng.int(1, 12), "d": rng.int(1, 12)}
        if variant == "costs":
            i, d = rng.int(1, 6), rng.int(1, 6)
            return {"i": i, "d": d, "s": rng.int(1, i + d - 1)}
        if variant == "swaps":
            i = rng.int(3, 8)
            s = rng.int(3, 2 * i - 1)
            return {"i": i, "s": s, "t": rng.int(1, min(2 * i, 2 * s, i + s) - 2)}
        x, y = rng.sample(LETTERS, 2)
        return {"x": x, "y": y} if variant == "alike" else {"x": x, "y": y, "k": rng.int(1, 4)}

    def answer(self, variant, p, word1, word2):
        if variant == "positions":
            unlike = sum([a != b for a, b in zip(word1, word2)])
            return p["s"] * unlike + p["e"] * abs(len(word1) - len(word2))
        insert, delete = p.get("i", 1), p.get("d", p.get("i", 1))
        change = p.get("s", 1) if variant != "indel" else insert + delete
        if "x" in p:
            word1, word2 = word1.replace(p["x"], p["y"]), word2.replace(p["x"], p["y"])
        cost = _distance(word1, word2, insert, delete, change, p.get("t"))
        return cost <= p["k"] if variant == "within" else cost

    def edge_cases(self, rng, variant, p, difficulty):
        x, y = p.get("x", ""), p.get("y", "")
        a, b, c, d = rng.sample([ch for ch in LETTERS if ch not in (x, y)], 4)
        k = p.get("k", 0)
        if k:
            word = rng.text(a + b + c, k + 3)
            e, f = rng.sample([ch for ch in LETTERS if ch not in (x, y, a, b, c)], 2)
            yield from (("", ""), (word, word), (word, e * k + word[k:]), (word, e * (k + 1) + word[k + 1 :]))
            yield from ((word, word + e * k), (word, word + f * (k + 1)), (x * (k + 1) + a, y * (k + 1) + a))
            yield (y * (k + 1) + b, x * (k + 1) + b)
            yield from (
                (e + f + word, word),
                (x * 6 + a, y * 6 + b),
                ("", a * k),
                (a * (k + 1), ""),
                (x * k + a, y * k + b),
            )
            return
        yield from (("", ""), ("", a + b), (a + b + c, ""), (a + b, a + b), (a + b + c, a + c), (a + c, a + b + c))
        yield from ((a + b + c + d, b + c + d + a), (a, b), (a + b + c, a + b + d), (a + b + c + d + a, d + b + a))
        if x:
            yield from (
                (x + a, y + a),
                (y + a + x, x + a + y),
                (x + b, a + b),
                (y + y + a, x + b + x),
                (x, ""),
                (a + y, a + b),
            )
        if "t" in p:
            yield from (
                (a + b, b + a),
                (a + b + c + d, b + a + d + c),
                (c + a + b, c + b + a),
                (a + b + c, c + a),
                (a + b + d, b + a),
            )

    def sample(self, rng, variant, p, difficulty):
        x, y = p.get("x", ""), p.get("y", "")
        alphabet = (x + y) * 2 + rng.text(LETTERS, 4)
        size = rng.int(2, 3 + (difficulty + 1) // 2)
        word = rng.text(alphabet, size)
        other = list(word)
        for _ in range(rng.int(1, 2 + difficulty // 3)):
            at, change = rng.int(0, len(other)), rng.random()
            if change < 0.35:
                other.insert(at, rng.pick(alphabet))
            elif other and change < 0.6:
                other.pop(min(at, len(other) - 1))
            elif other and change < 0.85:
                other[min(at, len(other) - 1)] = rng.pick(alphabet)
            elif len(other) > 1:
                at = min(at, len(other) - 2)
                other[at], other[at + 1] = other[at + 1], other[at]
        if rng.chance(0.2):
            other = rng.picks(alphabet, size)
        return (word, "".join(other))

    def write_positions(self, p):
        s, e = p["s"], p["e"]

        def side(s=s, e=e, op="!=", longer="abs(len(word1) - len(word2))"):
            return f"n = sum(a {op} b for a, b in zip(word1, word2))\nreturn {s} * n + {e} * {longer}"

        correct = [
            side(),
            f"m = min(len(word1), len(word2))\nout = {e} * (len(word1) + len(word2) - 2 * m)\nfor i in range(m):\n"
            f"    if word1[i] != word2[i]:\n        out += {s}\nreturn out",
            (
                "from itertools import zip_longest\nout = 0\nfor a, b in zip_longest(word1, word2):\n"
                f"    if a is None or b is None:\n        out += {e}\n    elif a != b:\n        out += {s}\n"
                "return out"
            ),
        ]
        mutants = [
            ("equal", side(op="=="), "counts equal positions"),
            ("no_rest", f"return {s} * sum(a != b for a, b in zip(word1, word2))", "forgets the longer word's rest"),
            ("signed", side(longer="(len(word1) - len(word2))"), "subtracts where the second is longer"),
            ("other_cost", side(s=s + 1), "has another cost"),
        ]
        if s != e:
            mutants.append(("swapped_costs", side(e, s), "mixes the costs up"))
        return correct, mutants

    def write_indel(self, p):
        insert, delete = p["i"], p["d"]
        rows = partial(_rows, insert=insert, delete=delete, change=None)
        grid = partial(_grid, insert=insert, delete=delete)
        common = (
            "t = [[0] * (len(word2) + 1)]\nfor a in word1:\n    r = [0]\n    for j, b in enumerate(word2):\n"
            "        r.append(t[-1][j] + 1 if a == b else max(r[j], t[-1][j + 1]))\n    t.append(r)\n"
        )
        correct = [
            rows(),
            grid(insert + delete),
            f"{common}n = t[-1][-1]\nreturn (len(word1) - n) * {delete} + (len(word2) - n) * {insert}",
        ]
        mutants = [
            ("substitution", rows(change=min(insert, delete)), "allows cheap substitutions"),
            (
                "lengths",
                f"n = len(word2) - len(word1)\nreturn n * {insert} if n > 0 else -n * {delete}",
                "looks at the lengths only",
            ),
            ("rewrite", f"return len(word1) * {delete} + len(word2) * {insert}", "writes everything anew"),
            ("other_cost", rows(insert=insert + 1), "has another cost"),
        ]
        if insert != delete:
            mutants.append(("swapped_costs", rows(insert=delete, delete=insert), "mixes the costs up"))
        return correct, mutants

    def write_costs(self, p):
        insert, delete, s = p["i"], p["d"], p["s"]
        rows = partial(_rows, insert=insert, delete=delete, change=s)
        grid = partial(_grid, insert=insert, delete=delete)
        recursion = partial(_recursion, insert=insert, delete=delete)
        correct = [rows(), grid(s), recursion(s)]
        mutants = [
            ("no_substitution", rows(change=None), "never replaces a letter"),
            (
                "positions",
                f"n = sum(a != b for a, b in zip(word1, word2))\nm = len(word2) - len(word1)\n"
                f"return {s} * n + (m * {insert} if m > 0 else -m * {delete})",
                "compares position by position",
            ),
            ("other_cost", rows(delete=delete + 1), "has another cost"),
        ]
        if (insert, delete, s) != (1, 1, 1):
            mutants.append(("unit_costs", rows(insert=1, delete=1, change=1), "takes every cost for 1"))
        if insert != delete:
            mutants.append(("swapped_costs", rows(insert=delete, delete=insert), "mixes the costs up"))
        return correct, mutants

    def write_alike(self, p):
        return self._write_same("alike", p)

    def write_within(self, p):
        return self._write_same("within", p)

    def _write_same(self, variant, p):
        x, y, k = repr(p["x"]), repr(p["y"]), p.get("k")
        same = f"word1, word2 = word1.replace({x}, {y}), word2.replace({x}, {y})\n"
        end, last = ("row[-1]", "d[-1][-1]") if variant == "alike" else (f"row[-1] <= {k}", f"d[-1][-1] <= {k}")
        call = "go(0, 0)" if variant == "alike" else f"go(0, 0) <= {k}"
        correct = [_rows(first=same, end=end), _grid(1, same, last), _recursion(1, first=same, call=call)]
        mutants = [
            ("told_apart", _rows(end=end), "tells the two letters apart"),
            ("one_word", _rows(first=f"word1 = word1.replace({x}, {y})\n", end=end), "changes one word only"),
            ("dropped", _rows(first=same.replace(y, "''"), end=end), "drops one of the letters"),
        ]
        if variant == "within":
            mutants += [
                ("strict", _rows(first=same, end=f"row[-1] < {k}"), "allows one edit less"),
                ("one_more", _rows(first=same, end=f"row[-1] <= {k + 1}"), "allows one edit more"),
            ]
        else:
            mutants += [
                ("no_substitution", _rows(change=None, first=same), "never replaces a letter"),
                (
                    "positions",
                    f"{same}n = sum(a != b for a, b in zip(word1, word2))\nreturn n + abs(len(word1) - len(word2))",
                    "compares position by position",
                ),
            ]
        return correct, mutants

    def write_swaps(self, p):
        insert, s, t = p["i"], p["s"], p["t"]
        rows = partial(_rows, insert=insert, delete=insert, change=s)
        grid = partial(_grid, insert=insert, delete=insert)
        recursion = partial(_recursion, insert=insert, delete=insert)
        swap = (
            "        if i > 1 and j > 1 and word1[i - 2:i] == word2[j - 2:j][::-1]:\n"
            "            d[i][j] = min(d[i][j], d[i - 2][j - 2] + {t})\n"
        )
        deep = (
            "    if len(word1) > i + 1 and word1[i:i + 2] == word2[j:j + 2][::-1]:\n"
            "        out = min(out, go(i + 2, j + 2) + {t})\n"
        )
        free = (
            recursion(s, deep.format(t=t))
            .replace("    if word1[i] == word2[j]:\n        return go(i + 1, j + 1)\n", "")
            .replace(f"go(i + 1, j + 1) + {s}", f"go(i + 1, j + 1) + {s} * (word1[i] != word2[j])")
        )
        turned = grid(s, more=swap.format(t=t)).replace("n, m =", "word1, word2 = word1[::-1], word2[::-1]\nn, m =")
        correct = [grid(s, more=swap.format(t=t)), free, turned]
        mutants = [
            ("no_swaps", rows(), "never swaps"),
            ("other_cost", grid(s, more=swap.format(t=t + 1)), "has another cost of a swap"),
            ("no_substitution", grid(2 * insert, more=swap.format(t=t)), "never replaces a letter"),
            (
                "positions",
                (
                    "n = sum(a != b for a, b in zip(word1, word2))\n"
                    f"return n * {s} + abs(len(word1) - len(word2)) * {insert}"
                ),
                "compares position by position",
            ),
        ]
        return correct, mutants


def _rows(insert=1, delete=1, change: int | None = 1, first="", end="row[-1]"):
    """One row of the table at a time; `change` None forbids substitutions."""
    if change is None:
        step = f"old[j] if a == b else min(row[-1] + {insert}, old[j + 1] + {delete})"
    else:
        times = "" if change == 1 else f"{change} * "
        step = f"min(row[-1] + {insert}, old[j + 1] + {delete}, old[j] + {times}(a != b))"
    start = "list(range(len(word2) + 1))" if insert == 1 else f"[j * {insert} for j in range(len(word2) + 1)]"
    return (
        f"{first}row = {start}\nfor a in word1:\n    old, row = row, [row[0] + {delete}]\n"
        f"    for j, b in enumerate(word2):\n        row.append({step})\nreturn {end}"
    )


def _recursion(change=1, more="", first="", call="go(0, 0)", insert=1, delete=1):
    return (
        f"{first}from functools import cache\n@cache\ndef go(i, j):\n    if i == len(word1):\n"
        f"        return (len(word2) - j) * {insert}\n    if j == len(word2):\n"
        f"        return (len(word1) - i) * {delete}\n    if word1[i] == word2[j]:\n"
        "        return go(i + 1, j + 1)\n"
        f"    out = min(go(i, j + 1) + {insert}, go(i + 1, j) + {delete}, go(i + 1, j + 1) + {change})\n"
        f"{more}    return out\nreturn {call}"
    )


def _grid(change=1, first="", end="d[-1][-1]", more="", insert=1, delete=1):
    return (
        f"{first}n, m = len(word1) + 1, len(word2) + 1\n"
        f"d = [[i * {delete} + j * {insert} for j in range(m)] for i in range(n)]\n"
        "for i in range(1, n):\n    for j in range(1, m):\n"
        f"        c = 0 if word1[i - 1] == word2[j - 1] else {change}\n"
        f"        d[i][j] = min(d[i - 1][j] + {delete}, d[i][j - 1] + {insert}, d[i - 1][j - 1] + c)\n"
        f"{more}return {end}"
    )


def _distance(one: str, two: str, insert: int, delete: int, change: int, swap: int | None) -> int:
    """Cheapest alignment (Wagner and Fischer 1974; with `swap`, optimal string alignment)."""
    before: list[int] = []
    row = [j * insert for j in range(len(two) + 1)]
    last = ""
    for a in one:
        older, before, row = before, row, [row[0] + delete]
        left = row[0]
        for j, b in enumerate(two):
            cost = before[j] if a == b else before[j] + change
            if (other := before[j + 1] + delete) < cost:
                cost = other
            if (other := left + insert) < cost:
                cost = other
            if swap is not None and j and older and a == two[j - 1] and last == b and older[j - 1] + swap < cost:
                cost = older[j - 1] + swap
            row.append(cost)
            left = cost
        last = a
    return row[-1]


FAMILY = EditDistance()
