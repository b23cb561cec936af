"""Brackets made of drawn characters: balance, depth, errors and repairs."""

from __future__ import annotations

from functools import partial
from textwrap import indent

from problems.family import Argument, Family, Params, Variant
from problems.rng import LETTERS

CHARS = "()[]{}<>/|!?abxyuvLR01"


class Parentheses(Family):
    name = "parentheses"
    summary = "balanced brackets of drawn characters: valid, depth, limit, first error, repairs, two kinds"
    functions = ("parentheses", "brackets", "check", "solve")
    arguments = (Argument("s", "str", ("text", "row")),)
    variants = (
        Variant(
            "valid",
            "bool",
            (
                "In {s}, '{o}' opens and '{c}' closes; other characters mean nothing. Return whether all are matched "
                "properly.",
                "Is {s} balanced if '{o}' is the opening and '{c}' the closing bracket? Ignore other characters. "
                "Return True or False.",
                "Return True if each '{o}' in {s} is closed by a later '{c}' and each '{c}' closes one; ignore the "
                "rest.",
            ),
        ),
        Variant(
            "depth",
            "int",
            (
                "In {s}, '{o}' opens and '{c}' closes, and all are matched. Return how deep they are nested at most.",
                "{s} is balanced, with '{o}' as opening and '{c}' as closing bracket. Return its greatest nesting "
                "depth.",
                "How many '{o}' are open at once at most in {s}, where each '{c}' closes one? {s} is balanced.",
            ),
        ),
        Variant(
            "repairs",
            "int",
            (
                "In {s}, '{o}' opens and '{c}' closes. How many brackets must be inserted at least to match all?",
                "Return the smallest number of '{o}' and '{c}' to add to {s} so that it is balanced ('{o}' opens, "
                "'{c}' closes).",
                "Count the brackets of {s} without a partner; '{o}' is the opening and '{c}' the closing one.",
            ),
            level=2,
        ),
        Variant(
            "error",
            "int",
            (
                "In {s}, '{o}' opens and '{c}' closes. Return the index of the first '{c}' that closes nothing, or "
                "{v} if there is none.",
                "Which is the index of the first '{c}' in {s} without an open '{o}' before it? Return {v} if every "
                "one has a partner.",
                "Read {s} from the left, '{o}' opening and '{c}' closing. Return the index at which a '{c}' first has "
                "no partner, else {v}.",
            ),
            level=3,
        ),
        Variant(
            "limit",
            "bool",
            (
                "In {s}, '{o}' opens and '{c}' closes. Return whether all are matched and never more than {k} are "
                "open at once.",
                "Is {s} balanced and nested at most {k} deep, with '{o}' as opening and '{c}' as closing bracket? "
                "Return True or False.",
                "Return True if the '{o}' and '{c}' of {s} match (open, close) with a depth of no more than {k}.",
            ),
            level=4,
        ),
        Variant(
            "pairs",
            "int",
            (
                "In {s}, '{o}' opens and '{c}' closes. How many pairs match if a '{c}' takes the nearest open '{o}'?",
                "Count the '{c}' in {s} that close an '{o}'; those without a partner do not count.",
                "Return the number of matched pairs of '{o}' (opening) and '{c}' (closing) in {s}.",
            ),
            level=3,
        ),
        Variant(
            "kinds",
            "bool",
            (
                "{s} has two kinds of brackets: '{o}' closed by '{c}', and '{x}' closed by '{y}'. Return whether they "
                "are properly matched and nested.",
                "Is {s} balanced, where '{c}' closes '{o}', '{y}' closes '{x}', and pairs must not cross? Return True "
                "or False.",
                "Return True if each bracket of {s} is closed in the right order: '{o}' by '{c}' and '{x}' by '{y}'.",
            ),
            level=6,
        ),
    )

    def params(self, rng, variant, difficulty):
        o, c, x, y = rng.sample(CHARS, 4)
        p: Params = {"o": o, "c": c}
        if variant == "kinds":
            p |= {"x": x, "y": y}
        elif variant == "limit":
            p["k"] = rng.int(1, 4)
        elif variant == "error":
            p["v"] = rng.int(-99, -1)
        return p

    def answer(self, variant, p, s):
        o, c = p["o"], p["c"]
        if variant == "kinds":
            stack = []
            for char in s:
                if char in (o, p["x"]):
                    stack.append(c if char == o else p["y"])
                elif char in (c, p["y"]) and (not stack or stack.pop() != char):
                    return False
            return not stack
        depth = deepest = lost = pairs = 0
        for i, char in enumerate(s):
            if char == o:
                depth += 1
                deepest = max(deepest, depth)
            elif char == c:
                if depth:
                    depth -= 1
                    pairs += 1
                elif variant == "error":
                    return i
                else:
                    lost += 1
        return {
            "valid": not (depth or lost),
            "depth": deepest,
            "repairs": depth + lost,
            "error": p.get("v"),
            "limit": not (depth or lost) and deepest <= p.get("k", 0),
            "pairs": pairs,
        }[variant]

    def edge_cases(self, rng, variant, p, difficulty):
        o, c = p["o"], p["c"]
        n = rng.int(2, 2 + difficulty // 2)
        yield ("",)
        if variant == "depth":
            yield from ((o + c,), (o + c + o + c + o + c,), (o * n + c * n,), (o + o + c + c + o + c,))
            yield (o + c + o * 3 + c + o + c * 3,)
            yield (o + o + c + o + o + c * 3,)
        elif variant == "kinds":
            x, y = p["x"], p["y"]
            yield from ((o + c + x + y,), (o + x + y + c,), (o + x + c + y,), (x + o + y + c,), (o + y,), (x + c,))
            yield from (
                (c + o,),
                (y,),
                (o,),
                (o + c + x,),
                (x * 2 + o + c + y * 2,),
                (o + x + y + x + y + c,),
                (x + y + y,),
            )
        else:
            yield from ((o + c,), (c + o,), (o,), (c,), (c + c + o + o,), (o + c + c + o,), (o + o + c,), (o + c + c,))
            yield from ((o * n + c * n,), (o + c + o + c,), (c * n + o * n,), (o * n + c * (n + 1) + o,), (c + o + c,))
            k = p.get("k", 0)
            if k:
                yield from ((o * k + c * k,), (o * (k + 1) + c * (k + 1),), ((o + c) * (k + 1),))
                yield ((o + c) * k + o * k + c * k,)

    def sample(self, rng, variant, p, difficulty):
        o, c = p["o"], p["c"]
        size = rng.int(2, 4 + difficulty)
        kinds = ((o, c), (p["x"], p["y"])) if variant == "kinds" else ((o, c),)
        row, closing = [], []
        while size or closing:
            if size and (not closing or rng.chance(0.55)):
                opening, partner = rng.pick(kinds)
                row.append(opening)
                closing.append(partner)
                size -= 1
            else:
                row.append(closing.pop())
        if variant != "depth" and rng.chance(0.6):
            i, j = rng.int(0, len(row) - 1), rng.int(0, len(row) - 1)
            row[i], row[j] = row[j], row[i]
            if rng.chance(0.5):
                row.pop(rng.int(0, len(row) - 1))
        if variant != "kinds" and difficulty > 2:
            others = [a for a in LETTERS[:6] if a not in (o, c)]
            for _ in range(rng.int(0, difficulty // 2)):
                row.insert(rng.int(0, len(row)), rng.pick(others))
        return ("".join(row),)

    def write_valid(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        correct = [
            walk("d = 0", "d += 1", f"d -= 1\n{_LOST}", "d == 0"),
            f"t = ''.join(x for x in s if x == {o} or x == {c})\nwhile {p['o'] + p['c']!r} in t:\n"
            f"    t = t.replace({p['o'] + p['c']!r}, '')\nreturn not t",
            walk("t = []", "t.append(x)", "if not t:\n    return False\nt.pop()", "not t"),
        ]
        mutants = [
            ("counts", f"return s.count({o}) == s.count({c})", "compares the counts only"),
            ("left_open", walk("d = 0", "d += 1", f"d -= 1\n{_LOST}", "True"), "forgets what is left open"),
            ("swapped", walk("d = 0", "d += 1", f"d -= 1\n{_LOST}", "d == 0", o=c, c=o), "mixes the two up"),
            ("no_order", walk("d = 0", "d += 1", "d -= 1", "d == 0"), "lets a closing one come first"),
            (
                "clamped",
                walk("d = 0", "d += 1", "d = max(d - 1, 0)", "d == 0"),
                "overlooks closing ones without partner",
            ),
        ]
        return correct, mutants

    def write_depth(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        correct = [
            walk("d = m = 0", "d += 1\nm = max(m, d)", "d -= 1", "m"),
            f"return max(s[:i].count({o}) - s[:i].count({c}) for i in range(len(s) + 1))",
            walk("t = [0]", "t.append(t[-1] + 1)", "t.append(t[-1] - 1)", "max(t)"),
        ]
        mutants = [
            ("pairs", f"return s.count({o})", "counts the pairs"),
            ("end", walk("d = 0", "d += 1", "d -= 1", "d"), "returns what is open at the end"),
            (
                "never_closed",
                walk("d = m = 0", "d += 1\nm = max(m, d)", "d = 0", "m"),
                "starts anew after every closing one",
            ),
            ("swapped", walk("d = m = 0", "d += 1\nm = max(m, d)", "d -= 1", "m", o=c, c=o), "mixes the two up"),
        ]
        return correct, mutants

    def write_repairs(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        correct = [
            walk("d = n = 0", "d += 1", "if d:\n    d -= 1\nelse:\n    n += 1", "d + n"),
            f"t = ''.join(x for x in s if x == {o} or x == {c})\nwhile {p['o'] + p['c']!r} in t:\n"
            f"    t = t.replace({p['o'] + p['c']!r}, '')\nreturn len(t)",
            walk("d = low = 0", "d += 1", "d -= 1\nlow = min(low, d)", "d - 2 * low"),
        ]
        mutants = [
            ("difference", f"return abs(s.count({o}) - s.count({c}))", "compares the counts only"),
            ("left_open", walk("d = 0", "d += 1", "if d:\n    d -= 1", "d"), "forgets closing ones without partner"),
            (
                "closing_only",
                walk("d = n = 0", "d += 1", "if d:\n    d -= 1\nelse:\n    n += 1", "n"),
                "forgets what is left open",
            ),
            (
                "swapped",
                walk("d = n = 0", "d += 1", "if d:\n    d -= 1\nelse:\n    n += 1", "d + n", o=c, c=o),
                "mixes the two up",
            ),
        ]
        return correct, mutants

    def write_error(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        v = p["v"]
        indexed = "for i, x in enumerate(s):"
        correct = [
            walk("d = 0", "d += 1", "d -= 1\nif d < 0:\n    return i", v, head=indexed),
            walk("t = []", "t.append(i)", "if not t:\n    return i\nt.pop()", v, head=indexed),
            (
                f"for i in range(len(s)):\n    t = s[:i + 1]\n    if t.count({c}) > t.count({o}):\n"
                f"        return i\nreturn {v}"
            ),
        ]
        mutants = [
            ("first_closing", f"return s.index({c}) if {c} in s else {v}", "returns the first closing one"),
            (
                "other_missing",
                walk("d = 0", "d += 1", "d -= 1\nif d < 0:\n    return i", v - 1, head=indexed),
                "has another answer where there is none",
            ),
            (
                "from_one",
                walk("d = 0", "d += 1", "d -= 1\nif d < 0:\n    return i + 1", v, head=indexed),
                "counts from 1",
            ),
            (
                "zero_too",
                walk("d = 0", "d += 1", "d -= 1\nif d <= 0:\n    return i", v, head=indexed),
                "takes the last match for an error",
            ),
            (
                "swapped",
                walk("d = 0", "d += 1", "d -= 1\nif d < 0:\n    return i", v, o=c, c=o, head=indexed),
                "mixes the two up",
            ),
        ]
        return correct, mutants

    def write_limit(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        k = p["k"]

        def limit(op=">", k=k, end="d == 0"):
            return walk("d = 0", f"d += 1\nif d {op} {k}:\n    return False", f"d -= 1\n{_LOST}", end)

        correct = [
            limit(),
            walk("d = m = 0", "d += 1\nm = max(m, d)", f"d -= 1\n{_LOST}", f"d == 0 and m <= {k}"),
            walk(
                "t = []",
                f"t.append(x)\nif len(t) > {k}:\n    return False",
                "if not t:\n    return False\nt.pop()",
                "not t",
            ),
        ]
        mutants = [
            ("unlimited", walk("d = 0", "d += 1", f"d -= 1\n{_LOST}", "d == 0"), "has no limit"),
            ("one_less", limit(op=">="), "has a stricter limit"),
            ("one_more", limit(k=k + 1), "has a weaker limit"),
            ("left_open", limit(end="True"), "forgets what is left open"),
            ("counts", f"return s.count({o}) == s.count({c}) <= {k}", "limits the number of pairs"),
        ]
        return correct, mutants

    def write_pairs(self, p):
        o, c = repr(p["o"]), repr(p["c"])
        walk = partial(_walk, o=o, c=c)
        correct = [
            walk("d = n = 0", "d += 1", "if d:\n    d -= 1\n    n += 1", "n"),
            walk("t, n = [], 0", "t.append(x)", "if t:\n    t.pop()\n    n += 1", "n"),
            walk("d = low = 0", "d += 1", "d -= 1\nlow = min(low, d)", f"s.count({c}) + low"),
        ]
        mutants = [
            ("smaller_count", f"return min(s.count({o}), s.count({c}))", "pairs them in any order"),
            ("adjacent", f"return s.count({p['o'] + p['c']!r})", "counts neighbours only"),
            ("closing", f"return s.count({c})", "counts all closing ones"),
            (
                "swapped",
                walk("d = n = 0", "d += 1", "if d:\n    d -= 1\n    n += 1", "n", o=c, c=o),
                "mixes the two up",
            ),
        ]
        return correct, mutants

    def write_kinds(self, p):
        o, c, x, y = (repr(p[n]) for n in "ocxy")
        a, b = p["o"] + p["c"], p["x"] + p["y"]
        correct = [
            f"while {a!r} in s or {b!r} in s:\n    s = s.replace({a!r}, '').replace({b!r}, '')\nreturn s == ''",
            f"t, d = [], {{{c}: {o}, {y}: {x}}}\nfor b in s:\n    if b not in d:\n        t.append(b)\n"
            "    elif not t or t.pop() != d[b]:\n        return False\nreturn not t",
            (
                f"t = []\nfor b in s:\n    if b == {o}:\n        t.append({c})\n    elif b == {x}:\n"
                f"        t.append({y})\n    elif not t or t.pop() != b:\n        return False\nreturn t == []"
            ),
        ]
        mutants = [
            (
                "counts",
                f"return s.count({o}) == s.count({c}) and s.count({x}) == s.count({y})",
                "compares the counts only",
            ),
            (
                "apart",
                f"d = e = 0\nfor b in s:\n    d += (b == {o}) - (b == {c})\n    e += (b == {x}) - (b == {y})\n"
                "    if d < 0 or e < 0:\n        return False\nreturn d == e == 0",
                "lets pairs cross",
            ),
            (
                "one_kind",
                (
                    f"d = 0\nfor b in s:\n    d += 1 if b in {p['o'] + p['x']!r} else -1\n    if d < 0:\n"
                    "        return False\nreturn d == 0"
                ),
                "takes all for one kind",
            ),
            ("once", f"return s.replace({a!r}, '').replace({b!r}, '') == ''", "removes pairs only once"),
        ]
        return correct, mutants


_LOST = "if d < 0:\n    return False"


def _walk(start, opened, closed, end, o, c, head="for x in s:"):
    """A loop over the characters, with what to do at an opening and at a closing one."""
    opened, closed = indent(opened, " " * 8), indent(closed, " " * 8)
    return f"{start}\n{head}\n    if x == {o}:\n{opened}\n    elif x == {c}:\n{closed}\nreturn {end}"


FAMILY = Parentheses()
