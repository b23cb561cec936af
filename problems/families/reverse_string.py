"""Strings turned round: wholly, in parts, or around characters that stay."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS, MARKS

SPECIAL = "éßñ漢🙂"


class ReverseString(Family):
    name = "reverse_string"
    summary = "reverse a string, its pieces, blocks, prefix, or all but some characters"
    functions = ("reverse_string", "reverse", "transform", "solve")
    arguments = (Argument("s", "str", ("text", "word")),)
    variants = (
        Variant(
            "replace",
            "str",
            (
                "Return {s} reversed, with every '{x}' replaced by '{y}'.",
                "Turn {s} round and change each '{x}' into '{y}'.",
                "Write {s} backwards. Wherever it has '{x}', write '{y}' instead.",
            ),
        ),
        Variant(
            "drop",
            "str",
            (
                "Return {s} reversed and without every '{x}' and '{y}'.",
                "Remove each '{x}' and each '{y}' from {s} and return the rest backwards.",
                "Write {s} backwards, leaving out all characters '{x}' and '{y}'.",
            ),
        ),
        Variant(
            "join",
            "str",
            (
                "Return the characters of {s} in reverse order with '{c}' between neighbours.",
                "Reverse {s} and put '{c}' between every two adjacent characters.",
                "Write {s} backwards, its characters joined by '{c}'.",
            ),
        ),
        Variant(
            "prefix",
            "str",
            (
                "Reverse the first {k} characters of {s}, then write '{c}', then the rest unchanged.",
                "Return the first {k} characters of {s} backwards, followed by '{c}' and the remaining characters.",
                "Cut {s} after {k} characters. Turn the first part round and join both parts with '{c}'.",
            ),
            level=2,
        ),
        Variant(
            "suffix",
            "str",
            (
                "Keep the first {k} characters of {s}, then write '{c}', then the rest reversed.",
                "Return the first {k} characters of {s} unchanged, followed by '{c}' and the remaining characters "
                "backwards.",
                "Cut {s} after {k} characters. Turn the second part round and join both parts with '{c}'.",
            ),
            level=2,
        ),
        Variant(
            "order",
            "str",
            (
                "{s} is a row of pieces separated by '{x}'. Return the pieces in reverse order, joined by '{y}'.",
                "Split {s} at each '{x}', reverse the order of the pieces, and join them with '{y}'.",
                "Write the pieces of {s} (they are separated by '{x}') from last to first with '{y}' between them.",
            ),
            level=3,
        ),
        Variant(
            "pieces",
            "str",
            (
                "{s} is a row of pieces separated by '{x}'. Reverse each piece, keep their order, and join them by "
                "'{y}'.",
                "Split {s} at each '{x}', turn every piece round, and join them in the same order with '{y}'.",
                "Write each piece of {s} backwards (they are separated by '{x}'), in the old order, with '{y}' "
                "between them.",
            ),
            level=3,
        ),
        Variant(
            "blocks",
            "str",
            (
                "Cut {s} into blocks of {k} characters (the last may be shorter), reverse each block, and join them "
                "by '{c}'.",
                "Reverse every {k} characters of {s} on their own, a shorter rest too, with '{c}' between the blocks.",
                "Turn round each block of {k} characters of {s}, also a shorter last one, and join with '{c}'.",
            ),
            level=5,
        ),
        Variant(
            "stay",
            "str",
            (
                "Reverse {s}, but every '{x}' and '{y}' stays where it is.",
                "Turn the characters of {s} round without moving any '{x}' or '{y}'.",
                "Return {s} with all characters but '{x}' and '{y}' in reverse order; these two keep their places.",
            ),
            level=6,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant in ("replace", "drop", "stay"):
            x, y = rng.sample(LETTERS, 2)
            return {"x": x, "y": y}
        if variant in ("order", "pieces"):
            x, y = rng.sample(MARKS, 2)
            return {"x": x, "y": y}
        c = rng.text(MARKS, rng.int(1, 2))
        return {"c": c} if variant == "join" else {"k": rng.int(2, 9), "c": c}

    def answer(self, variant, p, s):
        if variant == "replace":
            return s[::-1].replace(p["x"], p["y"])
        if variant == "drop":
            return "".join([c for c in s[::-1] if c != p["x"] and c != p["y"]])
        if variant == "join":
            return p["c"].join(s[::-1])
        if variant == "prefix":
            return s[: p["k"]][::-1] + p["c"] + s[p["k"] :]
        if variant == "suffix":
            return s[: p["k"]] + p["c"] + s[p["k"] :][::-1]
        if variant == "order":
            return p["y"].join(s.split(p["x"])[::-1])
        if variant == "pieces":
            return p["y"].join([w[::-1] for w in s.split(p["x"])])
        if variant == "blocks":
            return p["c"].join([s[i : i + p["k"]][::-1] for i in range(0, len(s), p["k"])])
        fixed = p["x"] + p["y"]
        moving = [c for c in s if c not in fixed]
        return "".join([c if c in fixed else moving.pop() for c in s])

    def edge_cases(self, rng, variant, p, difficulty):
        yield ("",)
        if "k" in p:
            k = p["k"]
            text = rng.shuffled(LETTERS)
            yield from (("".join(text[:n]),) for n in (1, k - 1, k, k + 1, 2 * k, 2 * k + 1))
            yield ("".join(text[: k + 3]) + rng.pick(SPECIAL),)
        elif variant == "join":
            yield from (("x",), ("ab",), ("abc" + rng.pick(SPECIAL),))
        elif variant in ("order", "pieces"):
            x, y = p["x"], p["y"]
            yield from (
                (f"ab{x}cd{x}efg",),
                (f"{x}ab{x}{x}cd",),
                ("abc",),
                (f"ab{y}cd{x}e f{y}g",),
                (f"qr{x}s{x}",),
            )
        else:
            x, y = p["x"], p["y"]
            a, b, c, d = rng.sample([c for c in LETTERS if c not in (x, y)], 4)
            yield from ((x + a + b + y,), (a + b + c,), (x,), (y + y + a + x,), (a + x + x + b + c + y + d,))
            yield ((x + a).upper() + b + y + rng.pick(SPECIAL),)
            yield (a + y + b + c + x + d,)

    def sample(self, rng, variant, p, difficulty):
        size = rng.int(3, 5 + 2 * difficulty)
        if variant in ("order", "pieces"):
            words = [rng.text(LETTERS, rng.int(1, 4)) for _ in range(rng.int(1, 2 + difficulty))]
            return (p["x"].join(words),)
        alphabet = LETTERS if "x" not in p else (p["x"] + p["y"]) * 4 + LETTERS
        return (rng.text(alphabet, size),)

    def write_replace(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        correct = [
            f"return s[::-1].replace({x}, {y})",
            f"return s.replace({x}, {y})[::-1]",
            f"return ''.join({y} if c == {x} else c for c in reversed(s))",
            _LOOP.format(f"out = ({y} if c == {x} else c) + out"),
        ]
        mutants = [
            ("not_replaced", "return s[::-1]", "does not replace"),
            ("not_reversed", f"return s.replace({x}, {y})", "does not reverse"),
            ("backwards", f"return s[::-1].replace({y}, {x})", "replaces the wrong way"),
            ("dropped", f"return s[::-1].replace({x}, '')", "drops the character"),
            ("first_only", f"return s[::-1].replace({x}, {y}, 1)", "replaces once"),
        ]
        return correct, mutants

    def write_drop(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        correct = [
            f"return s[::-1].replace({x}, '').replace({y}, '')",
            f"return ''.join(c for c in s[::-1] if c not in {p['x'] + p['y']!r})",
            _LOOP.format(f"if c != {x} and c != {y}:\n        out = c + out"),
        ]
        mutants = [
            ("not_dropped", "return s[::-1]", "drops nothing"),
            ("not_reversed", f"return s.replace({x}, '').replace({y}, '')", "does not reverse"),
            ("one_of_two", f"return s[::-1].replace({x}, '')", "drops one of the two"),
            ("replaced", f"return s[::-1].replace({x}, {y})", "replaces one by the other"),
            ("as_pair", f"return s[::-1].replace({p['x'] + p['y']!r}, '')", "drops only the pair"),
        ]
        return correct, mutants

    def write_join(self, p):
        c = repr(p["c"])
        correct = [
            f"return {c}.join(s[::-1])",
            f"return {c}.join(reversed(s))",
            f"return {c}.join(s[i] for i in range(len(s) - 1, -1, -1))",
        ]
        mutants = [
            ("not_joined", "return s[::-1]", "puts nothing between"),
            ("not_reversed", f"return {c}.join(s)", "does not reverse"),
            ("after_each", f"return ''.join(c + {c} for c in s[::-1])", "puts one after the last too"),
            ("in_front", f"return {c} + {c}.join(s[::-1])", "puts one in front"),
        ]
        if len(p["c"]) == 2 and p["c"][0] != p["c"][1]:
            mutants.append(("reversed_after", f"return {c}.join(s)[::-1]", "turns the joint round too"))
        return correct, mutants

    def write_prefix(self, p):
        return self._write_part("prefix", p)

    def write_suffix(self, p):
        return self._write_part("suffix", p)

    def _write_part(self, variant, p):
        c, k = repr(p["c"]), p["k"]
        first, second = ("[::-1]", "") if variant == "prefix" else ("", "[::-1]")

        def cut(k, c=c, first=first, second=second):
            return f"return s[:{k}]{first} + {c} + s[{k}:]{second}"

        correct = [
            cut(k),
            f"a, b = s[:{k}], s[{k}:]\nreturn a{first} + {c} + b{second}",
            f"a, b = list(s[:{k}]), list(s[{k}:])\n{'a' if variant == 'prefix' else 'b'}.reverse()\n"
            f"return ''.join(a) + {c} + ''.join(b)",
        ]
        mutants = [
            ("other_part", cut(k, first=second, second=first), "reverses the other part"),
            ("both_parts", cut(k, first="[::-1]", second="[::-1]"), "reverses both parts"),
            ("one_more", cut(k + 1), "cuts one character later"),
            ("not_joined", cut(k, c="''"), "leaves out what goes between"),
            ("whole", f"return s[::-1][:{k}] + {c} + s[::-1][{k}:]", "reverses everything first"),
        ]
        return correct, mutants

    def write_order(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        correct = [
            f"return {y}.join(s.split({x})[::-1])",
            f"return {y}.join(reversed(s.split({x})))",
            f"out = s.split({x})\nout.reverse()\nreturn {y}.join(out)",
        ]
        mutants = [
            ("letters", f"return {y}.join(w[::-1] for w in s.split({x}))", "reverses each piece"),
            ("whole", f"return s[::-1].replace({x}, {y})", "reverses the whole string"),
            ("old_joint", f"return {x}.join(s.split({x})[::-1])", "joins by the old separator"),
            ("not_reversed", f"return s.replace({x}, {y})", "keeps the order"),
            ("no_empty", f"return {y}.join([w for w in s.split({x}) if w][::-1])", "loses empty pieces"),
        ]
        return correct, mutants

    def write_pieces(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        correct = [
            f"return {y}.join(w[::-1] for w in s.split({x}))",
            f"return {y}.join(s[::-1].split({x})[::-1])",
            f"out = []\nfor w in s.split({x}):\n    out.append(w[::-1])\nreturn {y}.join(out)",
        ]
        mutants = [
            ("order", f"return {y}.join(s.split({x})[::-1])", "reverses the order of the pieces"),
            ("whole", f"return s[::-1].replace({x}, {y})", "reverses the whole string"),
            (
                "old_joint",
                f"return {x}.join(w[::-1] for w in s.split({x}))",
                "joins by the old separator",
            ),
            ("not_reversed", f"return s.replace({x}, {y})", "does not reverse"),
            ("no_empty", f"return {y}.join(w[::-1] for w in s.split({x}) if w)", "loses empty pieces"),
        ]
        return correct, mutants

    def write_blocks(self, p):
        c, k = repr(p["c"]), p["k"]

        def cut(k, c=c, turn="[::-1]", size="len(s)"):
            return f"return {c}.join(s[i:i + {k}]{turn} for i in range(0, {size}, {k}))"

        correct = [
            cut(k),
            f"out = []\nwhile s:\n    out.append(s[:{k}][::-1])\n    s = s[{k}:]\nreturn {c}.join(out)",
            f"out = [s[i:i + {k}] for i in range(0, len(s), {k})]\nreturn {c}.join(b[::-1] for b in out)",
        ]
        mutants = [
            ("not_joined", cut(k, c="''"), "puts nothing between the blocks"),
            ("not_reversed", cut(k, turn=""), "does not reverse the blocks"),
            ("other_size", cut(k + 1), "has blocks of another size"),
            ("no_rest", cut(k, size=f"len(s) - {k - 1}"), "loses a shorter last block"),
            ("from_the_end", "s = s[::-1]\n" + cut(k, turn=""), "cuts the reversed string"),
        ]
        return correct, mutants

    def write_stay(self, p):
        x = repr(p["x"])
        fixed = repr(p["x"] + p["y"])

        def stay(test=f"not in {fixed}", pop="pop()"):
            return f"t = [c for c in s if c {test}]\nreturn ''.join(t.{pop} if c {test} else c for c in s)"

        correct = [
            stay(),
            f"t = iter([c for c in s[::-1] if c not in {fixed}])\n"
            f"return ''.join(c if c in {fixed} else next(t) for c in s)",
            f"t = list(s)\ni, j = 0, len(t) - 1\nwhile i < j:\n    if t[i] in {fixed}:\n        i += 1\n"
            f"    elif t[j] in {fixed}:\n        j -= 1\n    else:\n        t[i], t[j] = t[j], t[i]\n"
            f"        i += 1\n        j -= 1\nreturn ''.join(t)",
        ]
        mutants = [
            ("whole", "return s[::-1]", "moves everything"),
            ("one_of_two", stay(f"!= {x}"), "keeps only one of the two in place"),
            ("dropped", f"return ''.join(c for c in s[::-1] if c not in {fixed})", "drops them"),
            ("unmoved", stay(pop="pop(0)"), "moves nothing"),
        ]
        return correct, mutants


_LOOP = "out = ''\nfor c in s:\n    {}\nreturn out"


FAMILY = ReverseString()
