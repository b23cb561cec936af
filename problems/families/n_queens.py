"""Queens and knights on boards: whole solutions, attacks and free columns, with drawn reach and rules."""

from __future__ import annotations

from functools import cache

from problems.family import Argument, Family, Variant

LABELS = (
    "yes",
    "no",
    "safe",
    "hit",
    "ok",
    "fail",
    "good",
    "bad",
    "free",
    "taken",
    "P",
    "N",
    "Y",
    "X",
    "in",
    "out",
)


class NQueens(Family):
    name = "n_queens"
    summary = "count placements of queens, check boards, count attacks and free columns"
    functions = ("n_queens", "queens", "place", "solve")
    arguments = (Argument("cols", "list[int]", ("board", "places")),)
    variants = (
        Variant(
            "attacks",
            "int",
            (
                "Row i of a board has a queen in column {cols}[i]. Add {w} for each pair of queens in one column and 1 "
                "for each pair on one diagonal, if their rows are at most {k} apart.",
                "{cols} gives the queen's column for each row. Of pairs no more than {k} rows apart, those in one "
                "column count {w} and those on one diagonal 1. Return the sum.",
                "Queens stand in columns {cols}, one a row, and reach {k} rows far. A pair that attack along a column "
                "counts {w}, along a diagonal 1. Return the total.",
            ),
        ),
        Variant(
            "safe",
            "str",
            (
                "Row i of a board has a queen in column {cols}[i]. Return '{yes}' if no two queens share a column or "
                "diagonal, else '{no}'.",
                "{cols} gives the queen's column for each row. Answer '{yes}' if none attacks another, otherwise "
                "'{no}'.",
                "Queens stand in columns {cols}, one a row. Is the board free of attacks? Return '{yes}' or '{no}'.",
            ),
        ),
        Variant(
            "knights",
            "int",
            (
                "Row i of a board has a piece in column {cols}[i]; it leaps {a} rows and {b} columns. How many pairs "
                "attack each other?",
                "{cols} gives the piece's column for each row. Count the pairs that are exactly {a} rows and {b} "
                "columns apart.",
                "Pieces stand in columns {cols}, one a row. Each leaps {a} rows up or down and {b} columns to either "
                "side. Return the number of pairs that attack each other.",
            ),
        ),
        Variant(
            "free",
            "list[int]",
            (
                "Rows 0, 1, ... of a board with columns 0 to {m} hold queens in columns {cols}. In which columns of "
                "the next row, other than {x}, is a queen not attacked? Return them in ascending order.",
                "{cols} gives the queens' columns in the first rows of a board whose last column is {m}. List, "
                "ascending, the columns of the next row but {x} that no queen attacks.",
                "Queens stand in columns {cols}, one a row from the top. Return the sorted columns from 0 to {m}, "
                "without {x}, where another queen in the next row is safe.",
            ),
            level=3,
        ),
        Variant(
            "solutions",
            "int",
            (
                "In how many ways can {n} queens stand on an {n} by {n} board, none attacking another, if the first "
                "row's queen is not in column {c} (from 0)? Return {v} if in none.",
                "Count the solutions of the {n} queens problem whose first queen is not in column {c}, counted from "
                "0. Return {v} instead of 0.",
                "Place {n} queens on {n} rows and columns without attacks and without using column {c} (from 0) in "
                "the first row. Return the number of ways, or {v} if there are none.",
            ),
            level=4,
            arguments=(Argument("n", "int", ("size",)),),
            max_inputs=8,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "attacks":
            return {"k": rng.int(1, 6), "w": rng.int(2, 99)}
        if variant == "safe":
            yes, no = rng.sample(LABELS, 2)
            return {"yes": yes, "no": no}
        if variant == "knights":
            a, b = rng.sample(range(1, 12), 2)
            return {"a": min(a, 6), "b": b if b != min(a, 6) else 12}
        if variant == "free":
            m = rng.int(4, 30)
            return {"m": m, "x": rng.int(0, m)}
        return {"c": rng.int(0, 3), "v": -rng.int(1, 99)}

    def answer(self, variant, p, given):
        if variant == "solutions":
            return sum([_completions(given, (c,)) for c in range(given) if c != p["c"]]) or p["v"]
        rows = list(enumerate(given))
        if variant == "free":
            n = len(rows)
            return [
                c for c in range(p["m"] + 1) if c != p["x"] and all([q != c and n - i != abs(q - c) for i, q in rows])
            ]
        pairs = [(j - i, abs(a - b)) for i, a in rows for j, b in rows[i + 1 :]]
        if variant == "safe":
            return p["yes"] if all([across and across != down for down, across in pairs]) else p["no"]
        if variant == "knights":
            return sum([pair == (p["a"], p["b"]) for pair in pairs])
        near = [pair for pair in pairs if pair[0] <= p["k"]]
        return sum([p["w"] * (across == 0) + (across == down) for down, across in near])

    def edge_cases(self, rng, variant, p, difficulty):
        if variant == "solutions":
            yield from ((4,), (2,), (5,), (6,), (1,))
            return
        yield ([],)
        yield ([0],)
        if variant == "safe":
            yield from (
                ([1, 3, 0, 2],),
                ([2, 0, 3, 1],),
                ([0, 1],),
                ([1, 0],),
                ([0, 2],),
                ([0, 2, 0],),
                ([0, 2, 4, 2],),
            )
            yield from (
                ([3, 0, 2, 5, 1, 6, 4],),
                ([0, 4, 7, 5, 2, 6, 1, 3],),
                ([0, 2, 4, 1, 3, 5],),
                ([0, 3, 6, 3],),
            )
            yield ([3, 5, 1, 0],)
        elif variant == "knights":
            a, b = p["a"], p["b"]
            far = rng.int(30, 40)
            yield from (
                ([b, *[far + 20 * i for i in range(a - 1)], 2 * b],),
                ([b, *[far + 20 * i for i in range(a - 1)], 0],),
            )
            yield ([a, *[far + 20 * i for i in range(b - 1)], 2 * a],)
            yield ([b * (1 + i % 2) for i in range(2 * a + 3)],)
            yield ([0] * (a + 2),)
            yield ([b * i for i in range(a + 2)],)
            yield ([(b + 1) * (i // a % 2) for i in range(2 * a)],)
            yield ([b * (i // a % 2) for i in range(2 * a + 1)],)
        elif variant == "free":
            m, x = p["m"], p["x"]
            yield ([x],)
            yield ([m],)
            yield ([m // 2, m // 2],)
            yield ([m // 2, m],)
            yield ([1, 3, 0],)
            yield ([0, 0, 0],)
            yield ([m, 0, m // 2],)
        else:
            k = p["k"]
            yield from (
                ([2] * (k + 1),),
                ([2] * (k + 2),),
                (list(range(k + 2)),),
                (list(range(k + 3))[::-1],),
            )
            yield from (
                ([0, 1, 1, 0],),
                ([3, *range(10, 10 + 3 * k, 3), 3],),
                ([0, *range(20, 20 + 3 * k, 3), k + 1],),
            )
            yield ([1, *range(10, 10 + 3 * (k - 1), 3), 1],)

    def sample(self, rng, variant, p, difficulty):
        if variant == "solutions":
            return (rng.int(1, 8),)
        size = rng.int(2, 4 + difficulty)
        if variant == "safe":
            return (rng.sample(range(size + 1), size),)
        if variant == "free":
            return (rng.ints(rng.int(1, 2 + difficulty // 2), 0, p["m"]),)
        if variant == "knights":
            row = rng.ints(size + p["a"], 0, p["b"] + 3)
            return ([c + p["b"] if i >= p["a"] and rng.chance(0.3) else c for i, c in enumerate(row)],)
        return (rng.ints(size + p["k"] // 2, 0, 3 + difficulty),)

    def write_attacks(self, p):
        k, w = p["k"], p["w"]

        def attacks(k=k, w=w, op="<=", diagonal=" + (d == i - j)"):
            return _pairs(
                f"        if i - j {op} {k}:\n            d = abs(cols[i] - cols[j])\n"
                f"            out += {w} * (d == 0){diagonal}\n"
            )

        correct = [
            attacks(),
            f"out = 0\nfor i, q in enumerate(cols):\n    for d in range(1, {k + 1}):\n        if d <= i:\n"
            f"            e = abs(q - cols[i - d])\n            out += {w} if e == 0 else int(e == d)\nreturn out",
            "n = len(cols)\nt = [(j - i, abs(cols[i] - cols[j])) for i in range(n) for j in range(i + 1, n)]\n"
            f"return sum({w} * (e == 0) + (e == d) for d, e in t if d <= {k})",
        ]
        mutants = [
            ("strict", attacks(op="<"), "reaches one row less"),
            (
                "no_limit",
                _pairs(f"        d = abs(cols[i] - cols[j])\n        out += {w} * (d == 0) + (d == i - j)\n"),
                "reaches any distance",
            ),
            ("columns_only", attacks(diagonal=""), "forgets diagonals"),
            ("unweighted", attacks(w=1).replace("1 * (d == 0)", "(d == 0)"), "leaves the weight out"),
            ("other_weight", attacks(w=w + 1), "has another weight"),
        ]
        return correct, mutants

    def write_safe(self, p):
        yes, no = repr(p["yes"]), repr(p["no"])

        def safe(test="d in (0, i - j)", yes=yes, no=no):
            return _pairs(
                f"        d = abs(cols[i] - cols[j])\n        if {test}:\n            return {no}\n",
                "",
                yes,
            ).lstrip("\n")

        correct = [
            safe(),
            (
                f"n = len(cols)\nt = [{{x for x in cols}}, {{i + x for i, x in enumerate(cols)}}, {{i - x for "
                f"i, x in enumerate(cols)}}]\nreturn {yes} if all(len(u) == n for u in t) else {no}"
            ),
            (
                "for i, x in enumerate(cols):\n    for d, y in enumerate(cols[i + 1:], 1):\n"
                f"        if y in (x - d, x, x + d):\n            return {no}\nreturn {yes}"
            ),
        ]
        mutants = [
            (
                "columns_only",
                f"return {yes} if len(set(cols)) == len(cols) else {no}",
                "forgets diagonals",
            ),
            ("diagonals_only", safe("d == i - j"), "forgets columns"),
            ("one_diagonal", safe("cols[i] - cols[j] in (0, i - j)"), "forgets one of the diagonals"),
            ("negated", safe(yes=no, no=yes), "answers the opposite"),
            (
                "neighbours",
                f"for x, y in zip(cols, cols[1:]):\n    if abs(x - y) < 2:\n        return {no}\nreturn {yes}",
                "looks at neighbouring rows only",
            ),
        ]
        return correct, mutants

    def write_knights(self, p):
        a, b = p["a"], p["b"]

        def leaps(a=a, b=b, across="abs(x - y)"):
            return f"return sum({across} == {b} for x, y in zip(cols, cols[{a}:]))"

        correct = [
            leaps(),
            (
                f"out = 0\nfor i in range(len(cols) - {a}):\n    if abs(cols[i] - cols[i + {a}]) == {b}:\n"
                "        out += 1\nreturn out"
            ),
            _pairs(f"        out += i - j == {a} and abs(cols[i] - cols[j]) == {b}\n"),
        ]
        mutants = [
            ("turned", leaps(b, a), "mixes rows and columns up"),
            ("one_side", leaps(across="y - x"), "leaps to one side only"),
            ("at_least", leaps().replace("==", ">="), "counts wider leaps too"),
            ("any_rows", _pairs(f"        out += abs(cols[i] - cols[j]) == {b}\n"), "ignores the rows"),
            ("other_width", leaps(b=b + 1), "leaps further"),
        ]
        return correct, mutants

    def write_free(self, p):
        m, x = p["m"], p["x"]

        def free(last=m + 1, bans=f"c != {x} and ", test="q == c or abs(q - c) == n - i"):
            return (
                f"n, out = len(cols), []\nfor c in range({last}):\n"
                f"    if {bans}not any({test} for i, q in enumerate(cols)):\n        out.append(c)\nreturn out"
            )

        correct = [
            free(),
            f"t, n = {{{x}}}, len(cols)\nfor i, q in enumerate(cols):\n    t |= {{q, q - n + i, q + n - i}}\n"
            f"return [c for c in range({m + 1}) if c not in t]",
            (
                f"out = set(range({m + 1})) - {{{x}}}\nfor d, q in enumerate(cols[::-1], 1):\n"
                f"    out -= {{q - d, q, q + d}}\nreturn sorted(out)"
            ),
        ]
        mutants = [
            ("not_excluded", free(bans=""), "forgets the excluded column"),
            ("columns_only", free(test="q == c"), "forgets diagonals"),
            ("diagonals_only", free(test="abs(q - c) == n - i"), "forgets columns"),
            ("count", free().replace("return out", "return len(out)"), "counts them"),
        ]
        if x != m:
            mutants.append(("no_last", free(m), "leaves out the last column"))
        return correct, mutants

    def write_solutions(self, p):
        c, v = p["c"], p["v"]

        def count(
            first=f" and (i or c != {c})",
            zero=f" or {v}",
            test="all(q != c and abs(q - c) != i - j for j, q in enumerate(t))",
        ):
            return (
                f"def go(t):\n    i = len(t)\n    if i == n:\n        return 1\n"
                f"    return sum(go(t + [c]) for c in range(n) if {test}{first})\nreturn go([]){zero}"
            )

        correct = [
            count(),
            (
                "from itertools import permutations\nout = 0\nfor t in permutations(range(n)):\n"
                f"    out += t[0] != {c} and len({{i + x for i, x in enumerate(t)}}) == len({{i - x for i, x in "
                f"enumerate(t)}}) == n\nreturn out or {v}"
            ),
            f"def go(i, a, b, d):\n    if i == n:\n        return 1\n    k = 0\n    for c in range(n):\n"
            f"        if c not in a and i + c not in b and i - c not in d and (i or c != {c}):\n"
            f"            k += go(i + 1, a | {{c}}, b | {{i + c}}, d | {{i - c}})\n    return k\n"
            f"return go(0, set(), set(), set()) or {v}",
        ]
        mutants = [
            ("any_first", count(first=""), "allows every first column"),
            ("no_missing", count(zero=""), "returns 0 where there are none"),
            ("that_first", count(first=f" and (i or c == {c})"), "demands the forbidden column"),
            ("rooks", count(test="c not in t"), "forgets diagonals"),
            ("other_missing", count(zero=f" or {v - 1}"), "has another answer where there are none"),
        ]
        return correct, mutants


def _pairs(body, start="out = 0", end="out"):
    """A loop over all pairs of rows."""
    return f"{start}\nfor i in range(len(cols)):\n    for j in range(i):\n{body}return {end}"


@cache
def _completions(n: int, cols: tuple[int, ...]) -> int:
    i = len(cols)
    if i == n:
        return 1
    free = [c for c in range(n) if all([q != c and abs(q - c) != i - j for j, q in enumerate(cols)])]
    return sum([_completions(n, (*cols, c)) for c in free])


FAMILY = NQueens()
