"""Strings cut into words of a dictionary."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LABELS, LETTERS


class WordBreak(Family):
    name = "word_break"
    summary = "cut a string into dictionary words: possible, in how many ways, with how few, each word once"
    functions = ("word_break", "cut_words", "split_words", "solve")
    arguments = (Argument("s", "str", ("text", "row")), Argument("words", "list[str]", ("dictionary", "pieces")))
    variants = (
        Variant(
            "possible",
            "str",
            (
                (
                    "Return '{yes}' if {s} is a row of words from {words}, each any number of times, else '{no}'. "
                    "The empty string is one."
                ),
                (
                    "Can {s} be cut completely into words of {words}, which may repeat? Answer '{yes}' or '{no}'. "
                    "Nothing needs no words."
                ),
                (
                    "Answer '{yes}' if some words of {words}, written one after another (repeats allowed, also "
                    "none at all), give {s}, otherwise '{no}'."
                ),
            ),
        ),
        Variant(
            "fewest",
            "int",
            (
                (
                    "Return the least number of words from {words}, repeats allowed, that written one after "
                    "another give {s}, or {v} if none do."
                ),
                (
                    "Into how few words of {words} (each any number of times) can {s} be cut? Return {v} if it is "
                    "impossible, 0 for an empty string."
                ),
                (
                    "Cut {s} completely into as few words of {words} as possible and return their number; {v} if "
                    "it cannot be done."
                ),
            ),
            level=2,
        ),
        Variant(
            "ways",
            "int",
            (
                (
                    "In how many ways can {s} be cut into words of {words}, repeats allowed? Return the number "
                    "modulo {m}. The empty string has one way."
                ),
                (
                    "Count the rows of words from {words} that give {s}. Return the count modulo {m}; an empty {s} "
                    "counts 1."
                ),
                "Return, modulo {m}, how many different cuts of {s} leave only words of {words}.",
            ),
            level=4,
        ),
        Variant(
            "joined",
            "int",
            (
                (
                    "{s} is a row of words from {words} (repeats allowed) with one '{c}' between neighbours. "
                    "Return the number of words, or {v} if {s} is no such row."
                ),
                (
                    "Split {s} at each '{c}'. If all parts are words of {words}, return how many parts there are, "
                    "else {v}."
                ),
                "Is {s} made of words from {words} joined by '{c}'? Return their number, or {v} if any part is not in "
                "{words}.",
            ),
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "possible":
            yes, no = rng.sample(LABELS, 2)
            return {"yes": yes, "no": no}
        if variant == "ways":
            return {"m": rng.int(20, 399)}
        return {"v": -rng.int(1, 500)} if variant == "fewest" else {"v": -rng.int(1, 99), "c": rng.pick("-_+*/.|")}

    def solve_possible(self, p, s, words):
        return p["yes"] if _fewest(s, words) is not None else p["no"]

    def solve_fewest(self, p, s, words):
        n = _fewest(s, words)
        return p["v"] if n is None else n

    def solve_ways(self, p, s, words):
        ways = [1] + [0] * len(s)
        for i in range(1, len(s) + 1):
            ways[i] = sum([ways[i - len(w)] for w in words if len(w) <= i and s[i - len(w) : i] == w])
        return ways[-1] % p["m"]

    def solve_joined(self, p, s, words):
        parts = s.split(p["c"])
        return len(parts) if all([w in words for w in parts]) else p["v"]

    def edge_cases(self, rng, variant, p, difficulty):
        a, b, c, d = rng.sample(LETTERS, 4)
        if variant == "joined":
            x = p["c"]
            yield from (
                (a + b, [a + b]),
                (a + x + b, [a, b]),
                (a + b, [a, b]),
                (a + x, [a, b]),
                ("", [a]),
                (a + x + x + b, [a, b]),
            )
            yield from (
                (x.join([a, b, a, c]), [a, b, c]),
                (x.join([a, b, d]), [a, b, c]),
                (a + b + x + c, [c, a + b]),
                (x, [a]),
            )
            yield (x.join([a, a, a]), [a])
            return
        yield from (("", [a]), (a + a + a, [a]), (a + b + c, [a + b, b + c, a]), (a + b + c, [a + b, a, b + c]))
        # The longest word at the front leads astray, and so does the first that fits.
        yield (a + b + c + d, [a + b + c, a + b, c + d])
        yield (a + b + c + d, [a, a + b, b + c + d, c])
        yield (a + b + a + b, [a + b])
        yield (b + a + b, [a + b])
        yield (a + b + c, [a, c])
        yield (a + b + b, [a + b, a, b])
        yield (a + a + a + b, [a, a + a, a + b])
        yield (a + b + c + a + b, [a + b, c, a + b + c, b])
        if variant == "ways":
            yield (a * (10 + difficulty // 2), [a, a + a])
            yield (a * 12 + b, [a + a, a, a * 3, b])
        if variant == "fewest":
            yield (a + b + c + d + a, [a, b, c, d, a + b + c + d, b + c + d + a])
            yield (a * 6, [a * 4, a * 3, a])

    def sample(self, rng, variant, p, difficulty):
        alphabet = rng.text(LETTERS, 2 + difficulty // 5)
        words = sorted({rng.text(alphabet, rng.int(1, 3)) for _ in range(3 + difficulty // 3)})
        words = rng.shuffled(words)
        parts = rng.picks(words, rng.int(2, 2 + difficulty))
        if rng.chance(0.5):
            parts[rng.int(0, len(parts) - 1)] = rng.text(alphabet + rng.pick(LETTERS), 2)
        return (p.get("c", "").join(parts), words)

    def write_possible(self, p):
        yes, no = repr(p["yes"]), repr(p["no"])

        def table(yes=yes, no=no):
            return _forward("[True] + [False] * len(s)", "ok[i + len(w)] = True", f"{yes} if ok[-1] else {no}", "ok")

        def greedy(order):
            return (
                f"while s:\n    t = [w for w in words if s.startswith(w)]\n    if not t:\n        return {no}\n"
                f"    s = s[len({order}):]\nreturn {yes}"
            )

        correct = [
            table(),
            (
                "from functools import cache\n@cache\ndef go(i):\n"
                "    return i == len(s) or any(s.startswith(w, i) and go(i + len(w)) for w in words)\n"
                f"return {yes} if go(0) else {no}"
            ),
            (
                f"seen, todo = {{s}}, [s]\nfor t in todo:\n    for w in words:\n"
                "        if t.startswith(w) and t[len(w):] not in seen:\n            seen.add(t[len(w):])\n"
                f"            todo.append(t[len(w):])\nreturn {yes} if '' in seen else {no}"
            ),
        ]
        mutants = [
            ("longest_first", greedy("max(t, key=len)"), "takes the longest word"),
            ("first_fit", greedy("t[0]"), "takes the first word that fits"),
            ("negated", table(no, yes), "answers the opposite"),
            ("letters", f"return {yes} if set(s) <= set(''.join(words)) else {no}", "looks at the letters only"),
            (
                "strip",
                f"for w in words:\n    s = s.replace(w, '')\nreturn {yes} if s == '' else {no}",
                "removes words anywhere",
            ),
        ]
        return correct, mutants

    def write_fewest(self, p):
        v = p["v"]

        def table(pick="min", v=v, start="[0] + [10**6] * len(s)", end="n[-1] if n[-1] < 10**6 else {v}"):
            return _forward(
                start, f"n[i + len(w)] = {pick}(n[i + len(w)], n[i] + 1)", end.format(v=v), "n", "n[i] < 10**6"
            )

        correct = [
            table(),
            f"from functools import cache\n@cache\ndef go(i):\n    if i == len(s):\n        return 0\n"
            f"    return 1 + min([go(i + len(w)) for w in words if s.startswith(w, i)], default=10**6)\n"
            f"n = go(0)\nreturn n if n < 10**6 else {v}",
            f"t, n = {{0}}, 0\nwhile t:\n    if len(s) in t:\n        return n\n"
            f"    t = {{i + len(w) for i in t for w in words if s.startswith(w, i)}}\n    n += 1\nreturn {v}",
        ]
        mutants = [
            (
                "longest_first",
                f"n = 0\nwhile s:\n    t = [w for w in words if s.startswith(w)]\n    if not t:\n        return {v}\n"
                "    s = s[len(max(t, key=len)):]\n    n += 1\nreturn n",
                "takes the longest word",
            ),
            ("other_sentinel", table(v=v - 1), "has another answer where it is impossible"),
            ("no_sentinel", table(end="n[-1]"), "returns a huge number where it is impossible"),
            ("letters", table(end="len(s) if n[-1] < 10**6 else {v}"), "returns the length"),
        ]
        return correct, mutants

    def write_ways(self, p):
        m = p["m"]

        def table(end=f"n[-1] % {m}", start="[1] + [0] * len(s)", update="n[i + len(w)] += n[i]"):
            return _forward(start, update, end, "n", "True")

        correct = [
            table(),
            f"from functools import cache\n@cache\ndef go(i):\n    if i == len(s):\n        return 1\n"
            f"    return sum(go(i + len(w)) for w in words if s.startswith(w, i))\nreturn go(0) % {m}",
            (
                "n = [1]\nfor i in range(1, len(s) + 1):\n"
                f"    n.append(sum(n[i - len(w)] for w in words if s[:i].endswith(w)))\nreturn n[-1] % {m}"
            ),
        ]
        mutants = [
            ("no_modulus", table("n[-1]"), "does not take the remainder"),
            ("other_modulus", table(f"n[-1] % {m + 1}"), "divides by another number"),
            ("no_start", table(start="[0] * (len(s) + 1)"), "has no way to write nothing"),
            ("possible", table(update="n[i + len(w)] = n[i]"), "counts at most one way"),
        ]
        return correct, mutants

    def write_joined(self, p):
        v, c = p["v"], repr(p["c"])

        def joined(test="all(w in words for w in t)", v=v, what="len(t)", c=c):
            return f"t = s.split({c})\nreturn {what} if {test} else {v}"

        correct = [
            joined(),
            (
                f"n, w = 0, ''\nfor a in s + {c}:\n    if a != {c}:\n        w += a\n    elif w not in words:\n"
                f"        return {v}\n    else:\n        n, w = n + 1, ''\nreturn n"
            ),
            f"if set(s.split({c})) <= set(words):\n    return s.count({c}) + 1\nreturn {v}",
        ]
        mutants = [
            ("any", joined("any(w in words for w in t)"), "asks for one word only"),
            ("separators", joined(what=f"s.count({c})"), "counts the separators"),
            ("other_sentinel", joined(v=v - 1), "has another answer for other rows"),
            (
                "empty_parts",
                f"t = [w for w in s.split({c}) if w]\nreturn len(t) if all(w in words for w in t) else {v}",
                "overlooks empty parts",
            ),
            ("different", joined(what="len(set(t))"), "counts different words"),
        ]
        return correct, mutants


def _forward(start, update, end, name, test=None):
    test = f"{test or name + '[i]'} and " if test != "True" else ""
    return (
        f"{name} = {start}\nfor i in range(len(s)):\n    for w in words:\n        if {test}s.startswith(w, i):\n"
        f"            {update}\nreturn {end}"
    )


def _fewest(s, words):
    best = [0, *[None] * len(s)]
    for i in range(len(s)):
        if best[i] is not None:
            for w in words:
                if s.startswith(w, i):
                    j = i + len(w)
                    if best[j] is None or best[i] + 1 < best[j]:
                        best[j] = best[i] + 1
    return best[-1]


FAMILY = WordBreak()
