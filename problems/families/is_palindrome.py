"""Strings that read the same both ways, under rules that the plain comparison gets wrong."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS, MARKS

LABELS = (
    "yes",
    "no",
    "good",
    "bad",
    "same",
    "other",
    "A",
    "B",
    "ok",
    "fail",
    "in",
    "out",
    "up",
    "down",
    "left",
    "right",
)


class IsPalindrome(Family):
    name = "is_palindrome"
    summary = "palindromes that ignore, equate or allow some characters"
    functions = ("is_palindrome", "palindrome", "check", "solve")
    arguments = (Argument("s", "str", ("text", "word")),)
    variants = (
        Variant(
            "without",
            "bool",
            (
                "Return whether {s} is a palindrome when every '{x}' and '{y}' in it is ignored.",
                "Does {s} read the same both ways after removing each '{x}' and '{y}'? Return True or False.",
                "Leave out all characters '{x}' and '{y}' of {s}. Return True if the rest equals its reverse.",
            ),
        ),
        Variant(
            "alike",
            "bool",
            (
                "Return whether {s} is a palindrome if '{x}' and '{y}' count as the same letter.",
                "Does {s} read the same both ways when '{x}' and '{y}' are not told apart? Return True or False.",
                "Treat each '{x}' in {s} as a '{y}'. Return True if the result equals its reverse.",
            ),
        ),
        Variant(
            "case",
            "str",
            (
                "Return '{yes}' if {s} is a palindrome, ignoring case, and '{no}' otherwise.",
                "Upper and lower case count as the same. Return '{yes}' if {s} equals its reverse, else '{no}'.",
                "Does {s} read the same both ways without regard to case? Answer '{yes}' or, if not, '{no}'.",
            ),
        ),
        Variant(
            "letters",
            "str",
            (
                "Look only at letters and digits of {s} and ignore case. Return '{yes}' if they form a palindrome, "
                "else '{no}'.",
                "Return '{yes}' if {s} reads the same both ways when case and everything but letters and digits are "
                "ignored, otherwise '{no}'.",
                "Drop all but letters and digits from {s}, ignore case, and return '{yes}' for a palindrome and "
                "'{no}' for anything else.",
            ),
            level=2,
        ),
        Variant(
            "words",
            "str",
            (
                "{s} is a row of words separated by '{x}'. Return '{yes}' if the words are the same read from last to "
                "first, else '{no}'.",
                "Split {s} at '{x}'. Return '{yes}' if the list of words equals its reverse, otherwise '{no}'.",
                "Is the order of the words in {s} (separated by '{x}') the same both ways? Return '{yes}' or '{no}'.",
            ),
            level=3,
        ),
        Variant(
            "changes",
            "bool",
            (
                "Ignore every '{x}' in {s}. Return whether the rest becomes a palindrome by changing at most {k} "
                "characters.",
                "Remove each '{x}' from {s}. Can at most {k} replaced characters make the rest a palindrome? Return "
                "True or False.",
                "Return True if {s} without its '{x}' is at most {k} changed characters away from a palindrome.",
            ),
            level=4,
        ),
        Variant(
            "windows",
            "int",
            (
                "Remove every '{x}' from {s}. How many substrings of length {k} of the rest are palindromes?",
                "Count the positions in {s}, without its '{x}', at which a palindrome of length {k} starts.",
                "Return how many windows of {k} neighbouring characters of {s} are palindromes, once each '{x}' is "
                "taken out.",
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant in ("without", "alike"):
            x, y = rng.sample(LETTERS, 2)
            return {"x": x, "y": y}
        if variant in ("changes", "windows"):
            low, high = (1, 4) if variant == "changes" else (2, 5)
            return {"x": rng.pick(LETTERS + MARKS), "k": rng.int(low, high)}
        yes, no = rng.sample(LABELS, 2)
        p = {"yes": yes, "no": no}
        if variant == "words":
            p["x"] = rng.pick(MARKS)
        return p

    def _core(self, variant, p, s):
        if variant == "without":
            return s.replace(p["x"], "").replace(p["y"], "")
        if variant == "alike":
            return s.replace(p["x"], p["y"])
        if variant == "case":
            return s.lower()
        if variant == "letters":
            return "".join([c for c in s.lower() if c.isalnum()])
        if variant == "words":
            return s.split(p["x"])
        return s.replace(p["x"], "")

    def answer(self, variant, p, s):
        t = self._core(variant, p, s)
        if variant == "changes":
            half = len(t) // 2
            return sum([a != b for a, b in zip(t[:half], t[::-1])]) <= p["k"]
        if variant == "windows":
            k = p["k"]
            return sum([t[i : i + k] == t[i : i + k][::-1] for i in range(len(t) - k + 1)])
        same = t == t[::-1]
        return (p["yes"] if same else p["no"]) if "yes" in p else same

    def edge_cases(self, rng, variant, p, difficulty):
        free = [c for c in LETTERS if c not in (p.get("x"), p.get("y"))]
        letters = rng.sample(free, 5)
        if variant == "changes":
            made = self._edge_cases_changes(rng, p, letters[0], free)
        else:
            made = getattr(self, f"_edge_cases_{variant}")(p, *letters)
        return [(s,) for s in ("", *made)]

    def _edge_cases_without(self, p, a, b, c, d, e):
        x, y = p["x"], p["y"]
        yield from (x + a + b + a, a + b + y + a, a + x + b + b + y + y + a, x + y, a + b, x + a + b + x)
        yield from (a + b + x + y + a + a, a + b + c + b + a + y, y + a + x)

    def _edge_cases_alike(self, p, a, b, c, d, e):
        x, y = p["x"], p["y"]
        yield from (x + a + y, a + x + b + y + a, x + a + b, x + y, x + a, a + y, a + b + a, a + x + y + b)
        yield from (x + a + x + y + b + y, a + x + a + y, y + a + x)

    def _edge_cases_case(self, p, a, b, c, d, e):
        yield from (a + b + a.upper(), a + b, a.upper() + a, a + " " + b.upper() + a, a + " " + a.upper() + b + a)
        yield from (a + b + "." + a, a.upper() + b, a + b + c + b.upper() + a, a + b.upper() + b + c)
        yield a.upper() + b + b

    def _edge_cases_letters(self, p, a, b, c, d, e):
        yield from (a.upper() + ", " + b + a, a + b + "!", ".,", "0" + a.upper(), a + "1" + a.upper())
        yield from (a + "_" + b + a, a + "1" + a + "2", "9" + a + " " + a + "9.", a + b + " " + b + "," + c)
        yield a + b + "," + c + a

    def _edge_cases_words(self, p, a, b, c, d, e):
        rows = ((a + b, c, a + b), (a + b, b + a), (a + b + c,), (a, "", a), (a, b, c, a), (a, b))
        yield from map(p["x"].join, rows)
        yield from map(p["x"].join, ((a + b, c, d, c, a + b), (a, ""), (a + b + a, c, a + b)))

    def _edge_cases_changes(self, rng, p, a, free):
        x, k = p["x"], p["k"]
        left = rng.text("".join(free[:12]), k + 3)
        other = "".join([rng.pick(free[12:]) for _ in left])
        for offset in (0, k, k + 1):
            right = left[offset:][::-1] + other[:offset]
            yield from (left + right, x + left + x + x + a + right)
        yield from (left + other[: k + 3], x + left[: k + 2] + x)

    def _edge_cases_windows(self, p, a, b, c, d, e):
        x, k = p["x"], p["k"]
        half = "".join((a, b, c)[: (k + 1) // 2])
        whole = half + half[::-1][k % 2 :]
        yield from (whole, whole + d + whole, whole[:1] + x + whole[1:], d * (k + 2), d * (k - 1), d + e + whole)
        yield from (a + x + b + x + a + c + x + a, x * (k + 1), d + x * k + d + e)

    def sample(self, rng, variant, p, difficulty):
        x, y = p.get("x", ""), p.get("y", "")
        if variant == "words":
            half = [rng.text(LETTERS[:6], rng.int(1, 2)) for _ in range(rng.int(1, 1 + difficulty // 2))]
            words = half + half[::-1][rng.int(0, 1) :]
            if rng.chance(0.5):
                words[rng.int(0, len(words) - 1)] = rng.text(LETTERS[:6], 2)
            return (x.join(words),)
        letters = (
            rng.text(LETTERS, 4).replace(x, "") if variant in ("windows", "changes") and x else rng.text(LETTERS, 4)
        )
        half = rng.text(letters + y or "a", rng.int(1, 2 + difficulty))
        row = [*half, *half[::-1][rng.int(0, 1) :]]
        if rng.chance(0.5):
            row[rng.int(0, len(row) - 1)] = rng.pick(LETTERS)
        extra = {"without": x + y, "alike": x + y, "letters": " ,.'!?-"}.get(variant, x)
        if variant in ("case", "letters"):
            row = [c.upper() if rng.chance(0.4) else c for c in row]
        if variant == "alike":
            row = [rng.pick(extra) if c in extra else c for c in row]
        elif variant != "case":
            for _ in range(rng.int(0, 1 + difficulty // 2)):
                row.insert(rng.int(0, len(row)), rng.pick(extra))
        return ("".join(row),)

    def write_without(self, p):
        correct, mutants = _whole("without", p)
        x, y = repr(p["x"]), repr(p["y"])
        mutants += [
            ("one_of_two", f"t = s.replace({x}, '')\nreturn t == t[::-1]", "ignores one of the two"),
            ("replaced", f"t = s.replace({x}, {y})\nreturn t == t[::-1]", "takes one for the other"),
        ]
        return correct, mutants

    def write_alike(self, p):
        correct, mutants = _whole("alike", p)
        x, y = repr(p["x"]), repr(p["y"])
        mutants += [
            ("dropped", f"t = s.replace({x}, '').replace({y}, '')\nreturn t == t[::-1]", "ignores both letters"),
            ("one_dropped", f"t = s.replace({x}, '')\nreturn t == t[::-1]", "ignores one letter"),
        ]
        return correct, mutants

    def write_case(self, p):
        correct, mutants = _whole("case", p)
        only_letters = f"t = [c for c in s.lower() if c.isalnum()]\n{_verdict(p)}"
        return correct, [*mutants, ("letters", only_letters, "ignores other characters too")]

    def write_letters(self, p):
        correct, mutants = _whole("letters", p)
        mutants += [
            ("case_kept", f"t = [c for c in s if c.isalnum()]\n{_verdict(p)}", "takes case into account"),
            ("no_digits", f"t = [c for c in s.lower() if c.isalpha()]\n{_verdict(p)}", "ignores digits too"),
        ]
        return correct, mutants

    def write_words(self, p):
        correct, mutants = _whole("words", p)
        letters = f"t = s.replace({p['x']!r}, '')\n{_verdict(p)}"
        return correct, [*mutants, ("letters", letters, "compares letters, not words")]

    def write_changes(self, p):
        clean, slow = _clean("changes", p)
        k = p["k"]

        def changes(clean=clean, op="<=", k=k, half=" // 2"):
            return f"{clean}\nd = sum(a != b for a, b in zip(t, t[::-1])){half}\nreturn d {op} {k}"

        correct = [
            changes(),
            f"{slow}\nd = 0\nfor i in range(len(t) // 2):\n    d += t[i] != t[-1 - i]\nreturn d <= {k}",
            f"{clean}\nd = 0\nwhile len(t) > 1:\n    d += t[0] != t[-1]\n    t = t[1:-1]\nreturn d <= {k}",
        ]
        mutants = [
            ("strict", changes(op="<"), "allows one change less"),
            ("both_sides", changes(half=""), "counts each change twice"),
            ("not_ignored", changes(clean="t = s"), "does not ignore the character"),
            ("no_changes", f"{clean}\nreturn t == t[::-1]", "allows no change"),
            ("one_more", changes(k=p["k"] + 1), "allows one change more"),
        ]
        return correct, mutants

    def write_windows(self, p):
        clean, slow = _clean("windows", p)
        k = p["k"]

        def windows(clean=clean, k=k, size=f"len(t) - {p['k'] - 1}"):
            return (
                f"{clean}\nout = 0\nfor i in range({size}):\n    w = t[i:i + {k}]\n    out += w == w[::-1]\nreturn out"
            )

        correct = [
            windows(),
            (f"{slow}\nw = [t[i:i + {k}] for i in range(len(t) - {p['k'] - 1})]\nreturn sum(b == b[::-1] for b in w)"),
            (f"{clean}\nout = 0\nwhile len(t) >= {k}:\n    out += t[:{k}] == t[:{k}][::-1]\n    t = t[1:]\nreturn out"),
        ]
        mutants = [
            ("short_windows", windows(size="len(t)"), "counts shorter windows at the end"),
            ("not_ignored", windows(clean="t = s"), "does not take the character out"),
            ("other_length", windows(k=k + 1, size=f"len(t) - {p['k']}"), "looks at longer windows"),
            ("one_less", windows(size=f"len(t) - {k}"), "leaves out the last window"),
            ("whole", f"{clean}\nreturn int(t == t[::-1])", "looks at the whole string"),
        ]
        return correct, mutants


def _clean(variant, p):
    """Two ways to take from s what the variant ignores."""
    x, y = repr(p.get("x")), repr(p.get("y"))
    return {
        "without": (f"t = s.replace({x}, '').replace({y}, '')", f"t = ''.join(c for c in s if c != {x} and c != {y})"),
        "alike": (f"t = s.replace({x}, {y})", f"t = [{y} if c == {x} else c for c in s]"),
        "case": ("t = s.lower()", "t = s.upper()"),
        "letters": ("t = [c for c in s.lower() if c.isalnum()]", "t = ''.join(filter(str.isalnum, s)).upper()"),
        "words": (f"t = s.split({x})", f"t = tuple(s.split({x}))"),
        "changes": (f"t = s.replace({x}, '')", f"t = [c for c in s if c != {x}]"),
        "windows": (f"t = s.replace({x}, '')", f"t = [c for c in s if c != {x}]"),
    }[variant]


def _labels(p):
    """What is returned for a palindrome and for anything else."""
    return (repr(p["yes"]), repr(p["no"])) if "yes" in p else ("True", "False")


def _verdict(p, t="t", turned=False):
    if "yes" not in p:
        return f"return {t} {'!=' if turned else '=='} {t}[::-1]"
    yes, no = _labels(p)[::-1] if turned else _labels(p)
    return f"return {yes} if {t} == {t}[::-1] else {no}"


def _whole(variant, p):
    """Programs for the variants that ask whether the whole is a palindrome."""
    clean, slow = _clean(variant, p)
    yes, no = _labels(p)
    correct = [
        f"{clean}\n{_verdict(p)}",
        f"{slow}\nfor i in range(len(t) // 2):\n    if t[i] != t[-1 - i]:\n        return {no}\nreturn {yes}",
        f"{clean}\nwhile len(t) > 1:\n    if t[0] != t[-1]:\n        return {no}\n    t = t[1:-1]\nreturn {yes}",
    ]
    mutants = [
        ("naive", _verdict(p, "s"), "compares the string as it is"),
        ("negated", f"{clean}\n{_verdict(p, turned=True)}", "answers the opposite"),
        ("ends", f"{clean}\nreturn {yes} if t[:1] == t[-1:] else {no}", "compares the ends only"),
    ]
    return correct, mutants


FAMILY = IsPalindrome()
