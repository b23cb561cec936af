"""Run-length codes with drawn marks, written and read."""

from __future__ import annotations

from itertools import groupby

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS, MARKS


class RunLength(Family):
    name = "run_length"
    summary = "encode and decode runs with drawn separators, longest runs, shortened runs"
    functions = ("run_length", "encode", "compress", "solve")
    arguments = (Argument("s", "str", ("text", "code")),)
    variants = (
        Variant(
            "encode",
            "str",
            (
                (
                    "Write each run of equal characters in {s} as the character, '{x}' and its length, and join "
                    "the runs by '{y}'."
                ),
                (
                    "Encode {s}: every run of one character becomes that character followed by '{x}' and the run's "
                    "length; '{y}' stands between runs."
                ),
                "Return the run-length code of {s} with entries character{x}length joined by '{y}'.",
            ),
        ),
        Variant(
            "decode",
            "str",
            (
                (
                    "{s} lists runs as length, '{x}' and character, joined by '{y}'. Return the text that it "
                    "stands for ('' for an empty {s})."
                ),
                (
                    "Decode {s}: entries are separated by '{y}', each is a number, '{x}' and the character to "
                    "repeat so often. An empty {s} gives ''."
                ),
                "Return the text whose run-length code is {s}, with entries length{x}character joined by '{y}'.",
            ),
            level=2,
        ),
        Variant(
            "shorten",
            "str",
            (
                "Shorten every run of more than {k} equal characters in {s} to {k} characters followed by '{x}'.",
                "Return {s} with each run longer than {k} cut to {k} of its characters plus '{x}'. Shorter runs stay.",
                "Where a character of {s} stands more than {k} times in a row, keep {k} of them and add '{x}'.",
            ),
            level=3,
        ),
        Variant(
            "longest",
            "str",
            (
                (
                    "Return the character with the longest run in {s}, not counting '{x}' (the first of several), "
                    "or '{y}' if there is none."
                ),
                (
                    "Which character other than '{x}' has the longest run in {s}? At a tie take the run that comes "
                    "first. Return '{y}' if there is no such character."
                ),
                (
                    "Find the longest stretch of one character in {s}, '{x}' aside, the leftmost at a tie. Return "
                    "the character, '{y}' for none."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "shorten":
            return {"k": rng.int(1, 12), "x": rng.text(MARKS, rng.int(1, 2))}
        if variant == "longest":
            return {"x": rng.pick(LETTERS), "y": rng.pick(MARKS)}
        x, y = rng.sample(MARKS, 2)
        return {"x": x, "y": y}

    def solve_encode(self, p, s):
        return p["y"].join([f"{c}{p['x']}{len(list(run))}" for c, run in groupby(s)])

    def solve_decode(self, p, s):
        entries = [e.split(p["x"]) for e in s.split(p["y"])] if s else []
        return "".join([int(n) * c for n, c in entries])

    def solve_shorten(self, p, s):
        runs = ["".join(run) for _, run in groupby(s)]
        return "".join([r[: p["k"]] + p["x"] if len(r) > p["k"] else r for r in runs])

    def solve_longest(self, p, s):
        runs = [(c, len(list(run))) for c, run in groupby(s) if c != p["x"]]
        return max(runs, key=lambda run: run[1])[0] if runs else p["y"]

    def edge_cases(self, rng, variant, p, difficulty):
        x, y, k = p.get("x", ""), p.get("y", ""), p.get("k", 3)
        a, b, c = rng.sample([ch for ch in LETTERS if ch != x], 3)
        yield ("",)
        if variant == "encode":
            yield from (
                (a,),
                (a * 3,),
                (a * 2 + b + a * 2,),
                (a + b + c,),
                (a * 12 + b,),
                (a + b * 10 + c,),
                (a + "1" * 3,),
                (b * 2 + a,),
            )
        elif variant == "decode":
            yield from (
                (f"1{x}{a}",),
                (f"12{x}{a}",),
                (f"2{x}{a}{y}1{x}{b}",),
                (f"1{x}{b}{y}3{x}{a}{y}1{x}{b}",),
                (f"3{x}7",),
                (f"10{x}{a}{y}20{x}{b}",),
            )
            yield from ((f"2{x}{a}{y}2{x}{a}",), (f"0{x}{a}{y}1{x}{c}",))
        elif variant == "shorten":
            yield from (
                (a * k,),
                (a * (k + 1),),
                (a * (k - 1) + b,),
                (a * (k + 2) + b + a * (k + 3),),
                (a * (2 * k + 3),),
                (a + b * (k + 5) + c,),
            )
            yield (a * k + b * k + a * (k + 1),)
        else:
            yield from (
                (x,),
                (x * 5 + a,),
                (a * 2 + b * 2,),
                (b + a * 3 + b * 2,),
                (a + x * 4 + b * 2,),
                (b * 2 + a * 3 + b * 2,),
                (c + b * 2 + x * 3,),
            )
            yield from ((b + a + c + a + c + c,), (a + x + a + x + a + b + b,))

    def sample(self, rng, variant, p, difficulty):
        alphabet = rng.text(LETTERS, 3)
        top = 3 + p.get("k", 0) + difficulty // 3
        runs = [(rng.pick(alphabet), rng.int(1, top)) for _ in range(rng.int(2, 3 + difficulty))]
        if variant == "decode":
            return (p["y"].join([f"{n}{p['x']}{c}" for c, n in runs]),)
        if variant == "longest":
            runs.append((p["x"], rng.int(1, top)))
        return ("".join([c * n for c, n in runs]),)

    def write_encode(self, p):
        x, y = p["x"], repr(p["y"])

        def encode(x=x, y=y, entry="c + {x} + str(len(list(g)))", over="groupby(s)"):
            return f"from itertools import groupby\nreturn {y}.join({entry.format(x=repr(x))} for c, g in {over})"

        correct = [
            encode(),
            (
                "out = []\nfor c in s:\n    if out and out[-1][0] == c:\n        out[-1][1] += 1\n    else:\n"
                f"        out.append([c, 1])\nreturn {y}.join(c + {x!r} + str(n) for c, n in out)"
            ),
            f"out, i = [], 0\nwhile i < len(s):\n    j = i\n    while j < len(s) and s[j] == s[i]:\n        j += 1\n"
            f"    out.append(s[i] + {x!r} + str(j - i))\n    i = j\nreturn {y}.join(out)",
        ]
        mutants = [
            ("swapped_marks", encode(p["y"], repr(x)), "mixes the marks up"),
            ("length_first", encode(entry="str(len(list(g))) + {x} + c"), "writes the length first"),
            (
                "counts",
                f"return {y}.join(c + {x!r} + str(s.count(c)) for c in dict.fromkeys(s))",
                "counts characters over all runs",
            ),
            ("sorted", encode(over="groupby(sorted(s))"), "sorts first"),
            (
                "last_run",
                (
                    "out, n = [], 1\nfor a, b in zip(s, s[1:]):\n    if a == b:\n        n += 1\n    else:\n"
                    f"        out.append(a + {x!r} + str(n))\n        n = 1\nreturn {y}.join(out)"
                ),
                "forgets the last run",
            ),
        ]
        return correct, mutants

    def write_decode(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        guard = "if not s:\n    return ''\n"
        correct = [
            (
                f"out = ''\nfor t in s.split({y}):\n    if t:\n        n, c = t.split({x})\n"
                "        out += int(n) * c\nreturn out"
            ),
            f"{guard}t = [e.split({x}) for e in s.split({y})]\nreturn ''.join(int(n) * c for n, c in t)",
            (
                f"out, t = '', s\nwhile t:\n    i = t.index({x})\n    out += int(t[:i]) * t[i + 1]\n"
                "    t = t[i + 3:]\nreturn out"
            ),
        ]
        mutants = [
            (
                "swapped_marks",
                f"{guard}t = [e.split({y}) for e in s.split({x})]\nreturn ''.join(int(e[0]) * e[-1] for e in t)",
                "mixes the marks up",
            ),
            ("one_digit", f"{guard}return ''.join(int(e[0]) * e[-1] for e in s.split({y}))", "reads one digit"),
            (
                "empty",
                f"t = [e.split({x}) for e in s.split({y})]\nreturn ''.join(int(n) * c for n, c in t)",
                "fails on the empty text",
            ),
            ("no_repeat", f"{guard}return ''.join(e.split({x})[1] for e in s.split({y}))", "does not repeat"),
            (
                "kept_marks",
                f"{guard}t = [e.split({x}) for e in s.split({y})]\nreturn {y}.join(int(n) * c for n, c in t)",
                "keeps the separators",
            ),
        ]
        return correct, mutants

    def write_shorten(self, p):
        x, k = repr(p["x"]), p["k"]

        def shorten(k=k, mark=f" + {x}", op=">"):
            return (
                f"from itertools import groupby\nt = [''.join(g) for c, g in groupby(s)]\n"
                f"return ''.join(r[:{k}]{mark} if len(r) {op} {k} else r for r in t)"
            )

        correct = [
            shorten(),
            (
                f"out, n, old = '', 0, ''\nfor c in s:\n    n = n + 1 if c == old else 1\n    if n <= {k}:\n"
                f"        out += c\n    elif n == {k + 1}:\n        out += {x}\n    old = c\nreturn out"
            ),
            f"out, i = '', 0\nwhile i < len(s):\n    j = i\n    while j < len(s) and s[j] == s[i]:\n        j += 1\n"
            f"    out += s[i] * min(j - i, {k}) + {x} * (j - i > {k})\n    i = j\nreturn out",
        ]
        mutants = [
            ("no_mark", shorten(mark=""), "adds no mark"),
            ("or_equal", shorten(op=">="), "marks runs of just that length"),
            ("one_more", shorten(k + 1), "keeps one more"),
            (
                "mark_each",
                (
                    "out, n, old = '', 0, ''\nfor c in s:\n    n = n + 1 if c == old else 1\n"
                    f"    out += c if n <= {k} else {x}\n    old = c\nreturn out"
                ),
                "adds a mark for each character cut",
            ),
            (
                "all_runs",
                f"from itertools import groupby\nreturn ''.join(''.join(g)[:{k}] + {x} for c, g in groupby(s))",
                "marks every run",
            ),
        ]
        return correct, mutants

    def write_longest(self, p):
        x, y = repr(p["x"]), repr(p["y"])

        def longest(skip=f"c != {x} and ", op=">", y=y, what="best"):
            return (
                f"best, m, n, old = {y}, 0, 0, ''\nfor c in s:\n    n = n + 1 if c == old else 1\n"
                f"    if {skip}n {op} m:\n        best, m = c, n\n    old = c\nreturn {what}"
            )

        correct = [
            (
                f"from itertools import groupby\nt = [''.join(g) for c, g in groupby(s) if c != {x}]\n"
                f"return max(t, key=len)[0] if t else {y}"
            ),
            "from itertools import groupby\nbest, m = "
            + f"{y}, 0\nfor c, g in groupby(s):\n    n = len(list(g))\n    if c != {x} and n > m:\n"
            "        best, m = c, n\nreturn best",
            (
                "for n in range(len(s), 0, -1):\n    for i in range(len(s) - n + 1):\n"
                f"        if s[i] != {x} and s[i:i + n] == s[i] * n:\n            return s[i]\nreturn {y}"
            ),
        ]
        mutants = [
            ("last_tie", longest(op=">="), "takes the last at a tie"),
            ("not_skipped", longest(skip=""), "does not leave the character out"),
            (
                "most_frequent",
                f"t = [c for c in s if c != {x}]\nreturn max(t, key=t.count) if t else {y}",
                "counts over all runs",
            ),
            ("removed_first", f"s = s.replace({x}, '')\n" + longest(skip=""), "joins runs by removing the character"),
            ("no_sentinel", longest(y="''"), "returns '' where there is none"),
        ]
        return correct, mutants


FAMILY = RunLength()
