"""Words grouped by what they have in common."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS


class AnagramGroups(Family):
    name = "anagram_groups"
    summary = "group anagrams (groups in any order) by size, ignoring letters; count pairs; group by rotation"
    functions = ("anagram_groups", "group_words", "anagrams", "solve")
    arguments = (Argument("words", "list[str]", ("items", "texts")),)
    variants = (
        Variant(
            "groups",
            "list[list[str]]",
            (
                (
                    "Group the words of {words} that have the same letters apart from '{x}' and '{y}', which "
                    "do not count. Return the groups of at least {k} words, in any order; within a group keep "
                    "the order of {words}."
                ),
                (
                    "Two words are alike if they are anagrams once every '{x}' and '{y}' is removed. Return "
                    "all groups of {k} or more alike words (any order of groups, words as ordered in {words})."
                ),
                (
                    "Ignore '{x}' and '{y}'. Return, in any order, each set of {k} or more anagrams in {words} "
                    "as a list in the given order."
                ),
            ),
            checker="unordered",
        ),
        Variant(
            "pairs",
            "int",
            (
                (
                    "How many pairs of places in {words} hold words that are anagrams of each other when '{x}' and "
                    "'{y}' count as the same letter?"
                ),
                (
                    "Treat '{x}' as '{y}'. Count the pairs i < j for which the words of {words} at i and j have "
                    "the same letters."
                ),
                (
                    "Return the number of pairs of words in {words} with equal letters in some order, where '{x}' "
                    "and '{y}' are not told apart."
                ),
            ),
        ),
        Variant(
            "largest",
            "list[str]",
            (
                (
                    "Return the largest group of words in {words} with the same letters apart from '{x}' and '{y}', in "
                    "their order. Of groups of equal size take the one whose first word comes first."
                ),
                (
                    "Words are alike if they are anagrams without their '{x}' and '{y}'. Return the most "
                    "numerous group of {words} as a list in the given order; at a tie the group that begins "
                    "first."
                ),
                (
                    "Ignore '{x}' and '{y}'. List, in order, the words of the biggest set of anagrams in "
                    "{words}; at a tie, of the one that begins first."
                ),
            ),
            level=3,
        ),
        Variant(
            "rotations",
            "list[list[str]]",
            (
                (
                    "Group the words of {words} that are rotations of each other (like abc, bca, cab). Return the "
                    "groups of at least {k} words, in any order, leaving out words with '{x}' or '{y}'; keep the order "
                    "within a group."
                ),
                (
                    "Drop words that contain '{x}' or '{y}'. Return all groups (any order) of {k} or more "
                    "words of {words} that can be turned into each other by moving letters from front to back, "
                    "words in the given order."
                ),
                (
                    "Without the words that have an '{x}' or '{y}', return each set of {k} or more cyclic rotations in "
                    "{words} as a list in the given order. Groups may come in any order."
                ),
            ),
            level=5,
            checker="unordered",
        ),
    )

    def params(self, rng, variant, difficulty):
        x, y = rng.sample(LETTERS, 2)
        p = {"x": x, "y": y}
        return p | {"k": rng.int(1, 4)} if variant in ("groups", "rotations") else p

    def solve_groups(self, p, words):
        return [
            g for g in _groups(words, lambda w: sorted(w.replace(p["x"], "").replace(p["y"], ""))) if len(g) >= p["k"]
        ]

    def solve_pairs(self, p, words):
        sizes = map(len, _groups(words, lambda w: sorted(w.replace(p["x"], p["y"]))))
        return sum([n * (n - 1) // 2 for n in sizes])

    def solve_largest(self, p, words):
        return max(_groups(words, lambda w: sorted(w.replace(p["x"], "").replace(p["y"], ""))), key=len, default=[])

    def solve_rotations(self, p, words):
        kept = [w for w in words if p["x"] not in w and p["y"] not in w]
        groups = _groups(kept, lambda w: min([w[i:] + w[:i] for i in range(len(w) + 1)]))
        return [g for g in groups if len(g) >= p["k"]]

    def edge_cases(self, rng, variant, p, difficulty):
        x, y, k = p["x"], p["y"], p.get("k", 2)
        a, b, c, d = rng.sample([ch for ch in LETTERS if ch not in (x, y)], 4)
        word = a + b + c
        yield ([],)
        yield ([word],)
        yield ([a + a + b, a + b + b, b + a + a],)
        yield (["", a, ""],)
        yield ([word, x + word, d, c + b + a + x],)
        yield ([word, b + a + c, c + b + a, d + d, b + c + a],)
        yield ([d, word] * k + [a + c + b] * k,)
        yield ([word] * k + [d] * (k - 1) + [c + a + b] + [a + x] * k,)
        yield ([a + b + x * i for i in range(k)],)
        yield ([a + b + y * i for i in range(k)],)
        yield ([a + a + b] * (k - 1) + [a + b + b],)
        yield ([a] * (k - 1) + [a + a],)
        yield ([d] * (k + 1) + [word] * k + [c + b + a, a + c + b],)
        yield ([x, y + x, a + b, b + a],)
        yield ([x + a + b, b + x + a, b + a + x, a + b + x],)
        if variant == "pairs":
            yield from (
                ([x + a, a + y, y + b],),
                ([x + y, y + y, x + x],),
                ([x + a, a + x, y + a, a],),
                ([a + b + x, y + b + a],),
            )

    def sample(self, rng, variant, p, difficulty):
        alphabet = rng.text(LETTERS, 3) + p["x"] + p["y"]
        stems = [rng.text(alphabet, rng.int(2, 3 + difficulty // 4)) for _ in range(2 + difficulty // 3)]
        words = []
        for _ in range(rng.int(3, 4 + difficulty)):
            stem = rng.pick(stems)
            i = rng.int(0, len(stem))
            words.append(
                stem[i:] + stem[:i] if variant == "rotations" or rng.chance(0.3) else "".join(rng.shuffled(stem))
            )
        return (words,)

    def write_groups(self, p):
        x, y, k = repr(p["x"]), repr(p["y"]), p["k"]
        key = f"''.join(sorted(w.replace({x}, '').replace({y}, '')))"
        keep = f"return [g for g in d.values() if len(g) >= {k}]"
        correct = [
            _collect(key, keep),
            (
                "out = []\nfor w in words:\n    for g in out:\n"
                f"        if sorted(g[0].replace({x}, '').replace({y}, '')) == sorted(w.replace({x}, "
                f"'').replace({y}, '')):\n            g.append(w)\n            break\n    else:\n"
                f"        out.append([w])\nreturn [g for g in out if len(g) >= {k}]"
            ),
            (
                f"t = [sorted(c for c in w if c not in {p['x'] + p['y']!r}) for w in words]\nout = []\n"
                "for i, a in enumerate(t):\n    if a not in t[:i]:\n"
                "        out.append([w for w, b in zip(words, t) if a == b])\n"
                f"return [g for g in out if len(g) >= {k}]"
            ),
        ]
        mutants = [
            ("letter_counts", _collect("''.join(sorted(w))", keep), "does not ignore the letters"),
            ("one_of_two", _collect(f"''.join(sorted(w.replace({x}, '')))", keep), "ignores one of the two"),
            ("more_than", _collect(key, keep.replace(">=", ">")), "asks for one more"),
            (
                "sets",
                _collect(f"''.join(sorted(set(w.replace({x}, '').replace({y}, ''))))", keep),
                "forgets repeated letters",
            ),
            (
                "stripped",
                _collect(key, keep).replace(".append(w)", f".append(w.replace({x}, '').replace({y}, ''))"),
                "removes the letter from the words",
            ),
            ("equal_words", _collect(f"w.replace({x}, '').replace({y}, '')", keep), "groups equal words only"),
        ]
        return correct, mutants

    def write_pairs(self, p):
        x, y = repr(p["x"]), repr(p["y"])

        def pairs(key=f"sorted(w.replace({x}, {y}))", count="t[:i].count(a)", end="sum"):
            return f"t = [{key} for w in words]\nreturn {end}({count} for i, a in enumerate(t))"

        correct = [
            pairs(),
            f"from collections import Counter\nd = Counter(''.join(sorted(w.replace({x}, {y}))) for w in words)\n"
            "return sum(n * (n - 1) // 2 for n in d.values())",
            (
                f"n = 0\nt = [w.replace({x}, {y}) for w in words]\nfor i in range(len(t)):\n    for j in range(i):\n"
                "        n += sorted(t[i]) == sorted(t[j])\nreturn n"
            ),
        ]
        mutants = [
            ("told_apart", pairs("sorted(w)"), "tells the letters apart"),
            ("both_ways", pairs(count="t.count(a) - 1"), "counts each pair twice"),
            ("with_itself", pairs(count="t[:i + 1].count(a)"), "pairs a word with itself"),
            ("dropped", pairs(f"sorted(w.replace({x}, '').replace({y}, ''))"), "ignores the letters"),
            (
                "words",
                f"t = [sorted(w.replace({x}, {y})) for w in words]\nreturn sum(t.count(a) > 1 for a in t)",
                "counts words",
            ),
        ]
        return correct, mutants

    def write_largest(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        key = f"''.join(sorted(w.replace({x}, '').replace({y}, '')))"
        best = "return max(d.values(), key=len, default=[])"
        correct = [
            _collect(key, best),
            (
                f"t = [sorted(w.replace({x}, '').replace({y}, '')) for w in words]\n"
                "best = max(t, key=t.count, default=None)\nreturn [w for w, a in zip(words, t) if a == best]"
            ),
            (
                "best = []\nfor v in words:\n"
                f"    g = [w for w in words if sorted(w.replace({x}, '').replace({y}, '')) == "
                f"sorted(v.replace({x}, '').replace({y}, ''))]\n    if len(g) > len(best):\n        best = g\n"
                "return best"
            ),
        ]
        mutants = [
            ("letter_counts", _collect("''.join(sorted(w))", best), "does not ignore the letters"),
            ("one_of_two", _collect(f"''.join(sorted(w.replace({x}, '')))", best), "ignores one of the two"),
            (
                "last_tie",
                _collect(key, "return max(list(d.values())[::-1], key=len, default=[])"),
                "takes the last at a tie",
            ),
            ("sorted", _collect(key, "return sorted(max(d.values(), key=len, default=[]))"), "sorts the group"),
            ("size", _collect(key, "return max(map(len, d.values()), default=0)"), "returns its size"),
            ("equal_words", _collect(f"w.replace({x}, '').replace({y}, '')", best), "groups equal words only"),
        ]
        return correct, mutants

    def write_rotations(self, p):
        x, y, k = repr(p["x"]), repr(p["y"]), p["k"]
        drop = f"words = [w for w in words if {x} not in w and {y} not in w]\n"
        key = "min([w[i:] + w[:i] for i in range(len(w))] + [w])"
        keep = f"return [g for g in d.values() if len(g) >= {k}]"
        correct = [
            drop + _collect(key, keep),
            (
                f"{drop}out = []\nfor w in words:\n    for g in out:\n"
                "        if len(w) == len(g[0]) and w in g[0] * 2:\n            g.append(w)\n            break\n"
                f"    else:\n        out.append([w])\nreturn [g for g in out if len(g) >= {k}]"
            ),
            (
                f"{drop}out, seen = [], set()\nfor v in words:\n    if v not in seen:\n"
                "        g = [w for w in words if len(w) == len(v) and v in w + w]\n        seen |= set(g)\n"
                f"        if len(g) >= {k}:\n            out.append(g)\nreturn out"
            ),
        ]
        mutants = [
            ("anagrams", drop + _collect("''.join(sorted(w))", keep), "groups all anagrams"),
            ("not_dropped", _collect(key, keep), "does not drop words"),
            ("more_than", drop + _collect(key, keep.replace(">=", ">")), "asks for one more"),
            (
                "any_length",
                (
                    f"{drop}out, seen = [], set()\nfor v in words:\n    if v not in seen:\n"
                    "        g = [w for w in words if v in w + w]\n        seen |= set(g)\n"
                    f"        if len(g) >= {k}:\n            out.append(g)\nreturn out"
                ),
                "forgets the length",
            ),
            ("equal_words", drop + _collect("w", keep), "groups equal words only"),
        ]
        return correct, mutants


def _collect(key, end):
    return f"d = {{}}\nfor w in words:\n    d.setdefault({key}, []).append(w)\n{end}"


def _groups(words, key):
    groups = {}
    for w in words:
        groups.setdefault("".join(key(w)), []).append(w)
    return list(groups.values())


FAMILY = AnagramGroups()
