"""Rows and columns of numbers: turned, walked round, summed up."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class Matrix(Family):
    name = "matrix"
    summary = "turn a matrix, walk it in a spiral, best rows and columns, diagonals"
    functions = ("matrix", "grid_task", "transform", "solve")
    arguments = (Argument("rows", "list[list[int]]", ("table", "cells")),)
    variants = (
        Variant(
            "turn",
            "list[list[int]]",
            (
                (
                    "Turn the table {rows} by 90 degrees {way}, then add {k} to every number that is less than "
                    "{c}. Return the new table."
                ),
                "Rotate {rows} a quarter turn {way} and return it with {k} added to all numbers below {c}.",
                "Return {rows} rotated 90 degrees {way}, numbers under {c} raised by {k}.",
            ),
        ),
        Variant(
            "spiral",
            "list[int]",
            (
                (
                    "Walk {rows} in a spiral from the top left corner, first {first}, inwards to the end. Return "
                    "the numbers passed, without those equal to {c}."
                ),
                (
                    "List the numbers of {rows} along the spiral that begins at the top left and goes {first} "
                    "first, leaving out each {c}."
                ),
                "Read {rows} as a spiral (start: top left, going {first}) and return its numbers except {c}.",
            ),
            level=3,
        ),
        Variant(
            "line",
            "int",
            (
                (
                    "Return the largest sum of any {what} of {rows}, counting only numbers up to {c}. Return {v} "
                    "if {rows} is empty."
                ),
                (
                    "Numbers above {c} count 0. Which {what} of {rows} has the greatest sum? Return that sum, {v} "
                    "for an empty table."
                ),
                (
                    "What is the maximum, over every {what} of {rows}, of the sum of its numbers not above {c}? "
                    "{v} if there is none."
                ),
            ),
            level=2,
        ),
        Variant(
            "diagonal",
            "int",
            (
                (
                    "Return {w} times the sum of the numbers of {rows} at row i and column j with (i {sign} j) "
                    "divisible by {m}, rows and columns counted from 0."
                ),
                "Add up all {rows}[i][j] for which {m} divides i {sign} j and multiply by {w}.",
                (
                    "What is {w} times the total of the cells of {rows} whose row index {verb} column index is a "
                    "multiple of {m}? Indices start at 0."
                ),
            ),
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "turn":
            return {"clockwise": rng.chance(0.5), "c": rng.int(-20, 60), "k": rng.int(1, 99)}
        if variant == "spiral":
            return {"across": rng.chance(0.5), "c": rng.int(-99, 199)}
        if variant == "line":
            return {"columns": rng.chance(0.5), "c": rng.int(5, 60), "v": -rng.int(100, 999)}
        return {"plus": rng.chance(0.5), "m": rng.int(2, 5), "w": rng.int(2, 99)}

    def template_vars(self, variant, p):
        return {
            **p,
            "way": "clockwise" if p.get("clockwise") else "anticlockwise",
            "first": "to the right" if p.get("across") else "down",
            "what": "column" if p.get("columns") else "row",
            "sign": "+" if p.get("plus") else "-",
            "verb": "plus" if p.get("plus") else "minus",
        }

    def solve_turn(self, p, rows):
        turned = [list(r) for r in zip(*rows[::-1])] if p["clockwise"] else [list(r) for r in zip(*rows)][::-1]
        return [[x + p["k"] if x < p["c"] else x for x in r] for r in turned]

    def solve_spiral(self, p, rows):
        out, rows = [], rows if p["across"] else [list(r) for r in zip(*rows)]
        while rows:
            out += rows[0]
            rows = [list(r) for r in zip(*rows[1:])][::-1]
        return [x for x in out if x != p["c"]]

    def solve_line(self, p, rows):
        lines = zip(*rows) if p["columns"] else rows
        return max([sum([x for x in r if x <= p["c"]]) for r in lines], default=p["v"])

    def solve_diagonal(self, p, rows):
        sign, m = 1 if p["plus"] else -1, p["m"]
        return p["w"] * sum([x for i, r in enumerate(rows) for j, x in enumerate(r) if (i + sign * j) % m == 0])

    def edge_cases(self, rng, variant, p, difficulty):
        c = p.get("c", 5)
        yield ([],)
        yield ([[c]],)
        yield ([[c + 1, c - 1, c]],)
        yield ([[c - 1], [c + 2], [c - 3]],)
        yield ([[c + 1, c + 2], [c + 3, c + 4]],)
        yield ([[1, 2, 3], [4, 5, 6]],)
        yield ([[c - 1, 7, c + 9], [300, c, 301], [302, c - 2, 8]],)
        yield ([[101, 102, 103, 104], [105, 106, 107, 108], [109, 110, 111, 112], [113, 114, 115, 116]],)
        yield ([[-1, -2], [-3, -4]],)
        yield ([[101, 102, 103], [104, 105, 106], [107, 108, 109], [110, 111, 112]],)
        if variant == "line":
            yield from (
                ([[c, c], [c, -9], [1, c]],),
                ([[c + 5, 1, 2], [3, 4, c]],),
                ([[-c, -c - 1], [-1, -2]],),
                ([[c, 0, c], [c, 1, 1]],),
            )
        if variant == "diagonal":
            yield ([[2**j * (i + 1) for j in range(7)] for i in range(6)],)

    def sample(self, rng, variant, p, difficulty):
        height, width, top = rng.int(1, 2 + difficulty // 2), rng.int(1, 2 + difficulty // 2), p.get("c", 20) + 15
        low = min(0, top) - 9
        return ([rng.ints(width, low, top) for _ in range(height)],)

    def write_turn(self, p):
        k, c = p["k"], p["c"]
        one, other = "zip(*rows[::-1])", "list(zip(*rows))[::-1]"
        if not p["clockwise"]:
            one, other = other, one

        def turn(table=one, test=f"x < {c}", k=k):
            return f"return [[x + {k} if {test} else x for x in r] for r in {table}]"

        index = "rows[len(rows) - 1 - i][j]" if p["clockwise"] else "rows[i][len(rows[0]) - 1 - j]"
        by_index = (
            f"if not rows:\n    return []\nout = [[{index} for i in range(len(rows))] for j in range(len(rows[0]))]\n"
            f"for r in out:\n    for i in range(len(r)):\n        if r[i] < {c}:\n            r[i] += {k}\nreturn out"
        )
        thrice = (
            f"rows = [[x + {k} if x < {c} else x for x in r] for r in rows]\nfor _ in range(3):\n"
            f"    rows = [list(r) for r in {other}]\nreturn rows"
        )
        mutants = [
            ("other_way", turn(other), "turns the other way"),
            ("transposed", turn("zip(*rows)"), "swaps rows and columns"),
            ("half_turn", turn("[r[::-1] for r in rows[::-1]]"), "turns by half"),
            ("or_equal", turn(test=f"x <= {c}"), "raises equal numbers too"),
            ("not_raised", f"return [list(r) for r in {one}]", "raises nothing"),
            ("other_amount", turn(k=k + 1), "adds another number"),
        ]
        return [turn(), by_index, thrice], mutants

    def write_spiral(self, p):
        c = p["c"]
        flip, other = ("", "rows = list(zip(*rows))\n") if p["across"] else ("rows = list(zip(*rows))\n", "")

        def spiral(flip=flip, keep=f"[x for x in out if x != {c}]", turn="list(zip(*rows[1:]))[::-1]"):
            return f"{flip}out = []\nwhile rows:\n    out += rows[0]\n    rows = {turn}\nreturn {keep}"

        correct = [
            spiral(),
            (
                f"{flip}out, seen = [], set()\nif not rows:\n    return out\ni = j = a = 0\nb = 1\n"
                f"for _ in range(len(rows) * len(rows[0])):\n    seen.add((i, j))\n    if rows[i][j] != {c}:\n"
                "        out.append(rows[i][j])\n"
                "    if not (0 <= i + a < len(rows) and 0 <= j + b < len(rows[0]) and (i + a, j + b) not in "
                "seen):\n        a, b = b, -a\n    i, j = i + a, j + b\nreturn out"
            ),
            (
                f"{flip}out = []\nt = [list(r) for r in rows]\nwhile t and t[0]:\n    out += t.pop(0)\n"
                "    out += [r.pop() for r in t if r]\n    if t:\n        out += t.pop()[::-1]\n"
                f"    out += [r.pop(0) for r in t[::-1] if r]\nreturn [x for x in out if x != {c}]"
            ),
        ]
        mutants = [
            ("other_way", spiral(other), "goes the other way first"),
            ("rows", f"return [x for r in rows for x in r if x != {c}]", "reads row by row"),
            ("not_left_out", spiral(keep="out"), "keeps the number"),
            ("zigzag", spiral(turn="[r[::-1] for r in rows[1:]]"), "goes to and fro"),
            ("backwards", spiral(keep=f"[x for x in out[::-1] if x != {c}]"), "reads from the end"),
        ]
        return correct, mutants

    def write_line(self, p):
        c, v = p["c"], p["v"]
        lines, others = ("zip(*rows)", "rows") if p["columns"] else ("rows", "zip(*rows)")

        def line(lines=lines, test=f"x <= {c}", v=v, pick="max"):
            return f"return {pick}((sum(x for x in r if {test}) for r in {lines}), default={v})"

        correct = [
            line(),
            (
                f"t = []\nfor r in {lines}:\n    n = 0\n    for x in r:\n        if x <= {c}:\n            n += x\n"
                f"    t.append(n)\nreturn max(t) if t else {v}"
            ),
            f"if not rows:\n    return {v}\nreturn max(sum(x * (x <= {c}) for x in r) for r in {lines})",
        ]
        mutants = [
            ("other_lines", line(others), "looks the other way"),
            ("all_numbers", line(test="True").replace(" if True", ""), "counts all numbers"),
            ("strict", line(test=f"x < {c}"), "leaves out the limit itself"),
            ("smallest", line(pick="min"), "returns the smallest sum"),
            ("other_sentinel", line(v=v - 1), "has another answer for an empty table"),
        ]
        return correct, mutants

    def write_diagonal(self, p):
        m, w = p["m"], p["w"]
        sign, other = ("+", "-") if p["plus"] else ("-", "+")

        def diagonal(sign=sign, m=m, rest="== 0", what="x", w=w):
            return (
                f"return {w} * sum({what} for i, r in enumerate(rows) for j, x in enumerate(r) if (i {sign} "
                f"j) % {m} {rest})"
            )

        correct = [
            diagonal(),
            (
                "out = 0\nfor i in range(len(rows)):\n    for j in range(len(rows[i])):\n"
                f"        if (i {sign} j) % {m} == 0:\n            out += rows[i][j]\nreturn {w} * out"
            ),
            f"return {w} * sum(sum(r[{'-i' if p['plus'] else 'i'} % {m}::{m}]) for i, r in enumerate(rows))",
        ]
        mutants = [
            ("others", diagonal(rest="!= 0"), "adds the other cells"),
            ("other_step", diagonal(m=m + 1), "has another step"),
            (
                "exactly",
                f"return {w} * sum(x for i, r in enumerate(rows) for j, x in enumerate(r) if i {sign} j == 0)",
                "takes one diagonal only",
            ),
            ("count", diagonal(what="1"), "counts cells"),
            ("other_factor", diagonal(w=w + 1), "has another factor"),
        ]
        if m > 2:
            mutants.append(("other_sign", diagonal(other), "mixes sum and difference up"))
        return correct, mutants


FAMILY = Matrix()
