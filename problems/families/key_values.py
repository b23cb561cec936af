"""Texts of settings with drawn separators: read, add up, merge."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS

_S = Argument("s", "str", ("text", "config"))
_TWO = (_S, Argument("key", "str", ("name",)))


class KeyValues(Family):
    name = "key_values"
    summary = "parse texts like a=1;b=2 with drawn separators: look up, add up, normalise, join lists"
    functions = ("key_values", "parse", "read_settings", "solve")
    arguments = (_S,)
    variants = (
        Variant(
            "lookup",
            "int",
            (
                (
                    "{s} holds entries name{y}number separated by '{x}'. Return the number of the last entry named "
                    "{key}, or {v} if there is none."
                ),
                (
                    "Parse {s}: entries are separated by '{x}', name and number by '{y}'. What number has {key}? A "
                    "later entry replaces an earlier one; {v} if it is missing."
                ),
                (
                    "Look up {key} in {s}, a text of name{y}number entries joined by '{x}'. Return its last "
                    "number, {v} if absent."
                ),
            ),
            arguments=_TWO,
        ),
        Variant(
            "total",
            "int",
            (
                (
                    "{s} holds entries name{y}number separated by '{x}', blanks around names and numbers allowed. "
                    "Return the sum of all numbers of entries named {key}."
                ),
                (
                    "Parse {s}: entries are separated by '{x}', name and number by '{y}'; ignore blanks. Add up "
                    "the numbers of {key}."
                ),
                (
                    "In {s}, a text of name{y}number entries joined by '{x}' (with blanks in places), what is the "
                    "total of the entries called {key}?"
                ),
            ),
            level=2,
            arguments=_TWO,
        ),
        Variant(
            "tidy",
            "str",
            (
                (
                    "{s} holds entries name{y}number separated by '{x}'. Keep the last entry of each name, sort by "
                    "name, and join them in the same form."
                ),
                (
                    "Parse {s}: entries are separated by '{x}', name and number by '{y}'. Return the text with "
                    "names in alphabetical order, each once with its last number."
                ),
                (
                    "Rewrite {s}, a text of name{y}number entries joined by '{x}': sorted by name, and only the "
                    "last number of each name."
                ),
            ),
            level=3,
        ),
        Variant(
            "best",
            "str",
            (
                (
                    "{s} holds entries name{y}number separated by '{x}'. Add up the numbers of each name and "
                    "return the name with the largest sum, the alphabetically first of several; '' if {s} is empty."
                ),
                (
                    "Parse {s}: entries are separated by '{x}', name and number by '{y}'. Which name has the "
                    "greatest total? At a tie the smallest name; '' for an empty text."
                ),
                (
                    "In {s}, a text of name{y}number entries joined by '{x}', find the name whose numbers have the "
                    "highest sum (ties: first in the alphabet). Return '' for an empty text."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        x, y = rng.sample("+*/:;,|~^=#@!&%$?", 2)
        return {"x": x, "y": y} | ({"v": -rng.int(1, 999)} if variant == "lookup" else {})

    def _entries(self, p, s):
        parts = [e.split(p["y"]) for e in s.split(p["x"])] if s else []
        return [(k.strip(), int(v)) for k, v in parts]

    def solve_lookup(self, p, s, key):
        return dict(self._entries(p, s)).get(key, p["v"])

    def solve_total(self, p, s, key):
        return sum([v for k, v in self._entries(p, s) if k == key])

    def solve_tidy(self, p, s):
        return p["x"].join([f"{k}{p['y']}{v}" for k, v in sorted(dict(self._entries(p, s)).items())])

    def solve_best(self, p, s):
        totals = {}
        for k, v in self._entries(p, s):
            totals[k] = totals.get(k, 0) + v
        return max(sorted(totals), key=lambda k: totals[k], default="")

    def edge_cases(self, rng, variant, p, difficulty):
        x, y = p["x"], p["y"]
        a, b, c = sorted(rng.sample(LETTERS, 3))
        rows = [
            "",
            f"{a}{y}7",
            f"{a}{y}-3{x}{b}{y}12",
            f"{b}{y}4{x}{a}{y}5{x}{b}{y}6",
            f"{a}{b}{y}9{x}{b}{y}2{x}{a}{y}1",
            f"{c}{y}3{x}{a}{y}3{x}{b}{y}3",
            f"{b}{y}8{x}{c}{y}5{x}{c}{y}5{x}{a}{y}-9",
            f"{b}{y}-8{x}{a}{y}-8",
            f"{a}{y}0{x}{a}{y}15{x}{b}{y}9{x}{a}{y}-8{x}{c}{y}8",
            f"{c}{y}10{x}{b}{y}9{x}{a}{y}10",
        ]
        if variant == "total":
            rows = [*rows, f" {a} {y} 5 {x}{b}{y}6", f"{a}{y}2{x} {a}{y}3{x}{a} {y}4", f"{a}{a}{y}5{x}{a}{y} 6"]
        if variant in ("lookup", "total"):
            rows.append(f"{a}{y}1{x}{a}{b}{y}9")
            yield (rows[1], b)
            yield from ((row, a) for row in rows)
        else:
            yield from ((row,) for row in rows)

    def sample(self, rng, variant, p, difficulty):
        names = [rng.text(LETTERS[:8], rng.int(1, 1 + difficulty // 4)) for _ in range(3 + difficulty // 3)]
        low = -9 if difficulty > 3 else 0
        entries = [
            f"{rng.pick(names)}{p['y']}{rng.int(low, 9 + 9 * difficulty)}" for _ in range(rng.int(2, 3 + difficulty))
        ]
        if variant == "total":
            entries = [
                " " + e if rng.chance(0.3) else e.replace(p["y"], " " + p["y"]) if rng.chance(0.2) else e
                for e in entries
            ]
        s = p["x"].join(entries)
        return (s, rng.pick(names) if rng.chance(0.85) else "zz") if variant in ("lookup", "total") else (s,)

    def write_lookup(self, p):
        x, y, v = repr(p["x"]), repr(p["y"]), p["v"]

        def lookup(x=x, y=y, v=v, keep="out = int(t[1])", test="t[0] == key"):
            return (
                f"out = {v}\nfor e in s.split({x}):\n    t = e.split({y})\n    if {test}:\n        {keep}\nreturn out"
            )

        correct = [
            lookup(),
            f"d = dict(e.split({y}) for e in s.split({x}) if e)\nreturn int(d.get(key, {v}))",
            (
                f"for e in reversed(s.split({x})):\n    if e.startswith(key + {y}):\n"
                f"        return int(e[len(key) + 1:])\nreturn {v}"
            ),
        ]
        mutants = [
            ("first", lookup(keep="return int(t[1])"), "returns the first"),
            ("text", lookup(keep="out = t[1]"), "returns text"),
            ("prefix", lookup(test="e and t[0].startswith(key)"), "takes longer names too"),
            ("swapped_marks", lookup(y, x), "mixes the separators up"),
            ("other_sentinel", lookup(v=v - 1), "has another answer for a missing name"),
            ("absolute", lookup(keep="out = abs(int(t[1]))"), "drops the sign"),
        ]
        return correct, mutants

    def write_total(self, p):
        x, y = repr(p["x"]), repr(p["y"])

        def total(test="t[0].strip() == key", add="out += int(t[1])", x=x, y=y):
            return f"out = 0\nfor e in s.split({x}):\n    t = e.split({y})\n    if {test}:\n        {add}\nreturn out"

        correct = [
            total(),
            (
                f"s = s.replace(' ', '')\nreturn sum(int(e[len(key) + 1:]) for e in s.split({x}) if "
                f"e.startswith(key + {y}))"
            ),
            f"t = [e.split({y}) for e in s.split({x}) if e]\nreturn sum(int(v) for k, v in t if k.strip() == key)",
        ]
        mutants = [
            ("blanks", total("t[0] == key"), "does not ignore blanks"),
            ("last", total(add="out = int(t[1])"), "returns the last"),
            ("count", total(add="out += 1"), "counts"),
            ("prefix", total("e and t[0].strip().startswith(key)"), "takes longer names too"),
            ("all", total("e"), "adds every number"),
        ]
        return correct, mutants

    def write_tidy(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        read = f"d = dict(e.split({y}) for e in s.split({x}) if e)\n"

        def tidy(read=read, order="sorted(d)", x=x, y=y):
            return f"{read}return {x}.join(k + {y} + d[k] for k in {order})"

        correct = [
            tidy(),
            (
                f"d = {{}}\nfor e in s.split({x}):\n    if e:\n        k, v = e.split({y})\n        d[k] = v\n"
                f"return {x}.join(k + {y} + v for k, v in sorted(d.items()))"
            ),
            f"t = s.split({x})\nnames = sorted({{e.split({y})[0] for e in t if e}})\nout = []\nfor k in names:\n"
            f"    out.append([e for e in t if e.startswith(k + {y})][-1])\nreturn {x}.join(out)",
        ]
        mutants = [
            ("unsorted", tidy(order="d"), "does not sort"),
            ("first", tidy(f"d = dict(e.split({y}) for e in s.split({x})[::-1] if e)\n"), "keeps the first"),
            ("repeats", f"return {x}.join(sorted(s.split({x})))", "keeps repeats"),
            ("swapped_marks", tidy(x=y, y=x), "mixes the separators up"),
            ("falling", tidy(order="sorted(d)[::-1]"), "sorts backwards"),
            ("numbers", tidy(order="sorted(d, key=lambda k: int(d[k]))"), "sorts by number"),
        ]
        return correct, mutants

    def write_best(self, p):
        x, y = repr(p["x"]), repr(p["y"])

        def best(add="d.get(k, 0) + int(v)", order="sorted(d)", pick="max"):
            return (
                f"d = {{}}\nfor e in s.split({x}):\n    if e:\n        k, v = e.split({y})\n        d[k] = {add}\n"
                f"return {pick}({order}, key=d.get, default='')"
            )

        correct = [
            best(),
            (
                f"t = [e.split({y}) for e in s.split({x}) if e]\n"
                f"d = {{k: sum(int(v) for n, v in t if n == k) for k, v in t}}\n"
                "return min(d, key=lambda k: (-d[k], k), default='')"
            ),
            (
                f"d = {{}}\nfor e in s.split({x}):\n    if e:\n        k, v = e.split({y})\n"
                "        d[k] = d.get(k, 0) + int(v)\nt = sorted((-v, k) for k, v in d.items())\n"
                "return t[0][1] if t else ''"
            ),
        ]
        mutants = [
            ("last", best("int(v)"), "takes the last number of each name"),
            ("single", best("max(d.get(k, 0), int(v))"), "takes the largest single number"),
            ("last_tie", best(order="sorted(d)[::-1]"), "takes the last name at a tie"),
            ("given_tie", best(order="list(d)"), "takes the first given at a tie"),
            ("smallest", best(pick="min"), "takes the smallest sum"),
            ("count", best("d.get(k, 0) + 1"), "counts entries"),
        ]
        return correct, mutants


FAMILY = KeyValues()
