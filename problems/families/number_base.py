"""Whole numbers written and read in drawn bases and digits."""

from __future__ import annotations

from problems.family import Argument, Family, Variant
from problems.rng import LETTERS

_N = (Argument("n", "int", ("number", "value")),)
_S = (Argument("s", "str", ("text", "digits")),)


class NumberBase(Family):
    name = "number_base"
    summary = "write and read numbers in drawn bases and alphabets, digit sums, palindromic digits"
    functions = ("number_base", "convert", "to_base", "solve")
    arguments = _N
    variants = (
        Variant(
            "digit_sum",
            "int",
            (
                "Return {w} times the sum of the digits of {n} in base {b}. {n} is not negative.",
                "Write the non-negative {n} in base {b}, add up its digits and multiply by {w}.",
                "What is {w} times the digit sum of {n} (0 or more) in the number system of base {b}?",
            ),
        ),
        Variant(
            "write",
            "str",
            (
                (
                    "Write {n} in base {b}, with the letters '{a}', '{a2}', '{a3}', ... of the alphabet as digits "
                    "0, 1, 2, ... {n} is not negative."
                ),
                (
                    "Return the non-negative {n} as text in base {b}. The digit 0 is '{a}', 1 is '{a2}', 2 is "
                    "'{a3}', and so on through the alphabet."
                ),
                "Convert {n} (0 or more) to base {b}, using '{a}' for 0, '{a2}' for 1, '{a3}' for 2 and so forth.",
            ),
            level=2,
        ),
        Variant(
            "read",
            "int",
            (
                (
                    "{s} is a number in base {b} with the letters '{a}', '{a2}', '{a3}', ... as digits 0, 1, 2, "
                    "..., perhaps after a '-'. Return its value."
                ),
                (
                    "Read {s} as a number in base {b}. The digit 0 is '{a}', 1 is '{a2}', 2 is '{a3}', and so on "
                    "through the alphabet; '-' in front makes it negative."
                ),
                (
                    "Return the integer that {s} stands for in base {b}, where '{a}' is 0, '{a2}' is 1, '{a3}' is "
                    "2 and so forth, with an optional leading '-'."
                ),
            ),
            level=3,
            arguments=_S,
        ),
        Variant(
            "zeros",
            "int",
            (
                "With how many zeros does {n} end in base {b}? Return {v} for {n} = 0. {n} is not negative.",
                "Count the zeros at the end of the non-negative {n} written in base {b}; for 0 itself return {v}.",
                "How often can {n} (0 or more) be divided by {b} without remainder? Return {v} for 0.",
            ),
        ),
    )

    def params(self, rng, variant, difficulty):
        b = rng.int(2, 20) if variant == "zeros" else rng.int(3, 12)
        if variant == "digit_sum":
            return {"b": b if b != 10 else 11, "w": rng.int(2, 99)}
        return {"b": b, "v": -rng.int(1, 99)} if variant == "zeros" else {"b": b, "a": rng.pick(LETTERS[:14])}

    def template_vars(self, variant, p):
        if "a" not in p:
            return p
        i = LETTERS.index(p["a"])
        return {**p, "a2": LETTERS[i + 1], "a3": LETTERS[i + 2]}

    def solve_digit_sum(self, p, n):
        return p["w"] * sum(_digits(n, p["b"]))

    def solve_write(self, p, n):
        i = LETTERS.index(p["a"])
        return "".join([LETTERS[i + d] for d in _digits(n, p["b"])])

    def solve_read(self, p, s):
        value, i = 0, LETTERS.index(p["a"])
        for c in s.lstrip("-"):
            value = value * p["b"] + LETTERS.index(c) - i
        return -value if s[0] == "-" else value

    def solve_zeros(self, p, n):
        if n == 0:
            return p["v"]
        zeros = 0
        while n % p["b"] == 0:
            n //= p["b"]
            zeros += 1
        return zeros

    def edge_cases(self, rng, variant, p, difficulty):
        b = p["b"]
        if variant == "read":
            i = LETTERS.index(p["a"])
            zero, one, top = LETTERS[i], LETTERS[i + 1], LETTERS[i + b - 1]
            yield from (
                (zero,),
                (one,),
                (one + zero,),
                ("-" + one + zero,),
                (top,),
                (top + one,),
                (one + top,),
                (zero + one,),
                ("-" + top,),
            )
            yield (one + zero + zero,)
            return
        yield from (
            (0,),
            (1,),
            (b - 1,),
            (b,),
            (b + 1,),
            (b * b,),
            (b * b - 1,),
            (3 * b * b,),
            (b**3 + b,),
            (10,),
            (100 * b,),
            (b * (b + 1),),
        )

    def sample(self, rng, variant, p, difficulty):
        b = p["b"]
        if variant == "read":
            i = LETTERS.index(p["a"])
            text = rng.text(LETTERS[i : i + b], rng.int(2, 2 + difficulty))
            return ("-" + text if rng.chance(0.3) else text,)
        n = rng.int(1, 60 * difficulty**2)
        return (n * b ** rng.int(0, 1 + difficulty // 3) if variant == "zeros" else n,)

    def write_digit_sum(self, p):
        b, w = p["b"], p["w"]

        def digit_sum(b=b, w=w, end="{w} * out"):
            return f"out = 0\nwhile n:\n    out += n % {b}\n    n //= {b}\nreturn {end.format(w=w)}"

        correct = [
            digit_sum(),
            f"def go(n):\n    return n % {b} + go(n // {b}) if n else 0\nreturn {w} * go(n)",
            f"t = []\nwhile n > 0:\n    n, r = divmod(n, {b})\n    t.append(r)\nreturn sum(t) * {w}",
        ]
        mutants = [
            ("base_ten", f"return {w} * sum(int(c) for c in str(n))", "uses base 10"),
            ("other_base", digit_sum(b + 1), "uses another base"),
            ("no_factor", digit_sum(end="out"), "leaves the factor out"),
            ("count", f"out = 0\nwhile n:\n    out += 1\n    n //= {b}\nreturn {w} * out", "counts digits"),
            ("remainder", f"return {w} * (n % {b})", "takes the last digit only"),
        ]
        return correct, mutants

    def write_write(self, p):
        b, a = p["b"], repr(p["a"])

        def write(b=b, a=a, guard=f"if n == 0:\n    return {a}\n", add="chr(ord({a}) + n % {b}) + out"):
            return f"{guard}out = ''\nwhile n:\n    out = {add.format(a=a, b=b)}\n    n //= {b}\nreturn out"

        i = LETTERS.index(p["a"])
        digits = repr(LETTERS[i : i + b])
        correct = [
            write(),
            f"d = {digits}\nout = d[n % {b}]\nwhile n >= {b}:\n    n //= {b}\n    out = d[n % {b}] + out\nreturn out",
            (
                f"def go(n):\n    c = chr(ord({a}) + n % {b})\n    return go(n // {b}) + c if n >= {b} else c\n"
                "return go(n)"
            ),
        ]
        mutants = [
            ("empty_zero", write(guard=""), "writes nothing for 0"),
            ("backwards", write(add="out + chr(ord({a}) + n % {b})"), "writes the digits backwards"),
            ("other_base", write(b + 1), "uses another base"),
            ("decimal", f"return ''.join(chr(ord({a}) + int(c)) for c in str(n))", "uses base 10")
            if b != 10
            else ("digits", "return str(n)", "writes digits"),
        ]
        if p["a"] != "a":
            mutants.append(("from_a", write(a="'a'"), "starts at the letter a"))
        else:
            mutants.append(("from_b", write(a="'b'", guard="if n == 0:\n    return 'b'\n"), "starts at the letter b"))
        return correct, mutants

    def write_read(self, p):
        b, a = p["b"], repr(p["a"])

        def read(b=b, a=a, sign="-out if s[0] == '-' else out", digit="ord(c) - ord({a})", over="s.strip('-')"):
            return f"out = 0\nfor c in {over}:\n    out = {b} * out + {digit.format(a=a)}\nreturn {sign}"

        correct = [
            read(),
            (
                f"t = [ord(c) - ord({a}) for c in s if c != '-']\n"
                f"out = sum(d * {b} ** i for i, d in enumerate(t[::-1]))\nreturn -out if '-' in s else out"
            ),
            (
                f"def go(t):\n    return {b} * go(t[:-1]) + ord(t[-1]) - ord({a}) if t else 0\n"
                "return -go(s[1:]) if s.startswith('-') else go(s)"
            ),
        ]
        mutants = [
            ("no_sign", read(sign="out"), "overlooks the sign"),
            ("backwards", read(over="s.strip('-')[::-1]"), "reads backwards"),
            ("other_base", read(b + 1), "uses another base"),
            ("from_one", read(digit="ord(c) - ord({a}) + 1"), "counts digits from 1"),
            ("sum", read(1), "adds up the digits"),
        ]
        return correct, mutants

    def write_zeros(self, p):
        b, v = p["b"], p["v"]

        def zeros(b=b, v=v, guard="if n == 0:\n    return {v}\n"):
            return f"{guard.format(v=v)}out = 0\nwhile n % {b} == 0:\n    n //= {b}\n    out += 1\nreturn out"

        correct = [
            zeros(),
            f"if not n:\n    return {v}\nreturn max(i for i in range(64) if n % {b} ** i == 0)",
            f"def go(n):\n    return 1 + go(n // {b}) if n % {b} == 0 else 0\nreturn go(n) if n else {v}",
        ]
        mutants = [
            (
                "all_zeros",
                f"if n == 0:\n    return {v}\nout = 0\nwhile n:\n    out += n % {b} == 0\n    n //= {b}\nreturn out",
                "counts inner zeros too",
            ),
            ("other_base", zeros(b + 1), "uses another base"),
            ("other_sentinel", zeros(v=v - 1), "has another answer for 0"),
            ("once", f"if n == 0:\n    return {v}\nreturn int(n % {b} == 0)", "divides once"),
        ]
        if b != 10:
            mutants.append(
                (
                    "decimal",
                    f"if n == 0:\n    return {v}\nt = str(n)\nreturn len(t) - len(t.rstrip('0'))",
                    "uses base 10",
                )
            )
        return correct, mutants


def _digits(n, base):
    digits = [n % base]
    while n >= base:
        n //= base
        digits.append(n % base)
    return digits[::-1]


FAMILY = NumberBase()
