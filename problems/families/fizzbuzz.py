"""Words in place of numbers, by drawn divisors or digits."""

from __future__ import annotations

from problems.family import Argument, Family, Variant

WORDS = ("Fizz", "Buzz", "Ping", "Pong", "Tick", "Tock", "Zip", "Zap", "Foo", "Bar", "Clip", "Clop")


class FizzBuzz(Family):
    name = "fizzbuzz"
    summary = "say words for multiples or digits: one number, a list, or the sum of plain numbers"
    functions = ("fizzbuzz", "say", "call", "solve")
    arguments = (Argument("n", "int", ("number", "k")),)
    variants = (
        Variant(
            "word",
            "str",
            (
                (
                    "Return '{x}{y}' if {n} is divisible by {a} and by {b}, '{x}' if only by {a}, '{y}' if only by "
                    "{b}, else {n} as text."
                ),
                (
                    "Multiples of {a} become '{x}', multiples of {b} '{y}', multiples of both '{x}{y}', other "
                    "numbers their digits. What becomes of {n}?"
                ),
                "Say '{x}' for a number divisible by {a}, '{y}' for one divisible by {b}, both words for both, and the "
                "number itself otherwise. Return what is said for {n}.",
            ),
        ),
        Variant(
            "digit",
            "str",
            (
                "Return '{x}' if {n} is divisible by {a} or has the digit {c}, else {n} as text.",
                (
                    "Multiples of {a} and numbers that contain a {c} become '{x}', others their digits. What "
                    "becomes of {n}?"
                ),
                (
                    "Say '{x}' for a number with a digit {c} or divisible by {a}, and the number itself otherwise. "
                    "Return what is said for {n}."
                ),
            ),
            level=2,
        ),
        Variant(
            "listed",
            "list[str]",
            (
                (
                    "Count from 1 to {n}. Multiples of {a} become '{x}', other multiples of {b} '{y}', the rest "
                    "their digits. Return the list."
                ),
                (
                    "Return the list for 1 to {n}: '{x}' where {a} divides, otherwise '{y}' where {b} divides, "
                    "otherwise the number as text."
                ),
                (
                    "Write 1 to {n} as texts, but '{x}' for numbers divisible by {a} and '{y}' for those divisible "
                    "by {b} and not by {a}."
                ),
            ),
            level=3,
        ),
        Variant(
            "plain",
            "int",
            (
                "Add up the numbers from 1 to {n} that are divisible neither by {a} nor by {b}.",
                "What is the sum of all numbers up to {n}, from 1, without the multiples of {a} and of {b}?",
                "Return the total of 1 to {n} after striking out each multiple of {a} and each multiple of {b}.",
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        a, b = sorted(rng.sample(range(2, 10), 2))
        if b % a == 0:
            b += 1
        x, y = rng.sample(WORDS, 2)
        if variant == "digit":
            return {"a": rng.int(3, 20), "c": rng.int(1, 9), "x": x}
        return {"a": a, "b": b} if variant == "plain" else {"a": a, "b": b, "x": x, "y": y}

    def solve_word(self, p, n):
        return (p["x"] * (n % p["a"] == 0) + p["y"] * (n % p["b"] == 0)) or str(n)

    def solve_digit(self, p, n):
        return p["x"] if n % p["a"] == 0 or str(p["c"]) in str(n) else str(n)

    def solve_listed(self, p, n):
        a, b = p["a"], p["b"]
        return [p["x"] if i % a == 0 else p["y"] if i % b == 0 else str(i) for i in range(1, n + 1)]

    def solve_plain(self, p, n):
        return sum([i for i in range(1, n + 1) if i % p["a"] and i % p["b"]])

    def edge_cases(self, rng, variant, p, difficulty):
        a, b = p["a"], p.get("b", 7)
        if variant == "digit":
            c = p["c"]
            yield from ((c,), (a,), (10 * a,), (a * 10 + 1,), (10 * c + 7,), (100 + c,), (c * 10,), (200 + 10 * c + 3,))
            yield (next(i for i in range(1, 400) if i % a == 0 and str(c) not in str(i)),)
            yield (next(i for i in range(1, 400) if i % a and str(c) in str(i) and i > 9),)
            yield (next(i for i in range(20, 400) if i % a and str(c) not in str(i)),)
            yield (a * c,)
        else:
            yield from ((a,), (b,), (a * b,), (2 * a * b,), (1,), (a * b + 1,), (a * a,), (b * b,))
            yield (a + 1,)
            yield (next(i for i in range(a * b + 1, 400) if i % a and i % b),)

    def sample(self, rng, variant, p, difficulty):
        return (rng.int(2, (14 + 4 * difficulty) if variant == "listed" else 30 + 40 * difficulty),)

    def write_word(self, p):
        a, b, x, y = p["a"], p["b"], repr(p["x"]), repr(p["y"])
        both = repr(p["x"] + p["y"])

        def word(a=a, b=b, x=x, y=y, end=" or str(n)"):
            return f"return {x} * (n % {a} == 0) + {y} * (n % {b} == 0){end}"

        correct = [
            word(),
            (
                f"if n % {a} == 0 and n % {b} == 0:\n    return {both}\nif n % {a} == 0:\n    return {x}\n"
                f"if n % {b} == 0:\n    return {y}\nreturn str(n)"
            ),
            f"t = ''\nif n % {a} == 0:\n    t += {x}\nif n % {b} == 0:\n    t += {y}\nreturn t if t else str(n)",
        ]
        mutants = [
            (
                "first_only",
                f"if n % {a} == 0:\n    return {x}\nif n % {b} == 0:\n    return {y}\nreturn str(n)",
                "says one word only",
            ),
            ("swapped", word(b, a), "mixes the divisors up"),
            ("number", word(end=" or n"), "returns a number"),
            ("silent", word(end=""), "says nothing for other numbers"),
            ("other_divisor", word(b=b + 1), "has another divisor"),
        ]
        return correct, mutants

    def write_digit(self, p):
        a, c, x = p["a"], p["c"], repr(p["x"])

        def digit(test=f"n % {a} == 0 or '{c}' in str(n)"):
            return f"return {x} if {test} else str(n)"

        correct = [
            digit(),
            (
                f"d = n\nwhile d:\n    if d % 10 == {c}:\n        return {x}\n    d //= 10\n"
                f"return {x} if n % {a} == 0 else str(n)"
            ),
            f"if n % {a} == 0:\n    return {x}\nif str(n).count('{c}') > 0:\n    return {x}\nreturn str(n)",
        ]
        mutants = [
            ("multiples", digit(f"n % {a} == 0"), "forgets the digit"),
            ("digits", digit(f"'{c}' in str(n)"), "forgets the multiples"),
            ("last_digit", digit(f"n % {a} == 0 or n % 10 == {c}"), "looks at the last digit only"),
            ("both", digit(f"n % {a} == 0 and '{c}' in str(n)"), "asks for both"),
            ("other_digit", digit(f"n % {a} == 0 or '{(c + 1) % 10}' in str(n)"), "looks for another digit"),
        ]
        return correct, mutants

    def write_listed(self, p):
        a, b, x, y = p["a"], p["b"], repr(p["x"]), repr(p["y"])

        def listed(a=a, b=b, x=x, y=y, span="range(1, n + 1)", number="str(i)"):
            return f"return [{x} if i % {a} == 0 else {y} if i % {b} == 0 else {number} for i in {span}]"

        correct = [
            listed(),
            (
                f"out = []\nfor i in range(1, n + 1):\n    if i % {a} == 0:\n        out.append({x})\n"
                f"    elif i % {b} == 0:\n        out.append({y})\n    else:\n        out.append(str(i))\nreturn out"
            ),
            f"out = [str(i + 1) for i in range(n)]\nfor i in range({b - 1}, n, {b}):\n    out[i] = {y}\n"
            f"for i in range({a - 1}, n, {a}):\n    out[i] = {x}\nreturn out",
        ]
        mutants = [
            ("from_zero", listed(span="range(n)"), "counts from 0"),
            ("too_short", listed(span="range(1, n)"), "leaves the last out"),
            ("numbers", listed(number="i"), "returns numbers"),
            ("second_first", listed(b, a, y, x), "prefers the second word"),
            (
                "both",
                f"return [{x} * (i % {a} == 0) + {y} * (i % {b} == 0) or str(i) for i in range(1, n + 1)]",
                "says both words",
            ),
        ]
        return correct, mutants

    def write_plain(self, p):
        a, b = p["a"], p["b"]

        def plain(test=f"i % {a} and i % {b}", span="range(1, n + 1)", what="i"):
            return f"return sum({what} for i in {span} if {test})"

        correct = [
            plain(),
            f"out = 0\nfor i in range(1, n + 1):\n    if i % {a} != 0 and i % {b} != 0:\n        out += i\nreturn out",
            f"t = set(range(1, n + 1)) - set(range({a}, n + 1, {a})) - set(range({b}, n + 1, {b}))\nreturn sum(t)",
        ]
        mutants = [
            ("either", plain(f"i % {a} or i % {b}"), "strikes out multiples of both only"),
            ("multiples", plain(f"i % {a} == 0 or i % {b} == 0"), "adds the multiples"),
            ("too_short", plain(span="range(1, n)"), "leaves the last out"),
            ("count", plain(what="1"), "counts them"),
            ("one_divisor", plain(f"i % {a}"), "forgets a divisor"),
        ]
        return correct, mutants


FAMILY = FizzBuzz()
