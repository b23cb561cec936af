"""Infix expressions under the usual and under drawn rules of precedence."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class Arithmetic(Family):
    name = "arithmetic"
    summary = "evaluate infix expressions: usual precedence, left to right, or sums first, modulo a number"
    functions = ("evaluate", "calculate", "arithmetic", "solve")
    arguments = (Argument("expr", "str", ("text", "formula")),)
    variants = (
        Variant(
            "usual",
            "int",
            (
                (
                    "Evaluate {expr}, whose numbers, operators + - * and brackets are separated by spaces. Return "
                    "the value modulo {m}."
                ),
                (
                    "{expr} is an arithmetic expression with + - * and perhaps brackets, spaces between all "
                    "tokens. Return its value modulo {m}."
                ),
                "Return the remainder modulo {m} of the expression {expr} (+, -, *, brackets; multiplication first).",
            ),
        ),
        Variant(
            "leftmost",
            "int",
            (
                "Evaluate {expr} strictly from left to right: + - * all bind alike. Return the value modulo {m}.",
                (
                    "{expr} holds numbers and + - *, separated by spaces. Apply the operators in the order "
                    "written, without precedence, and return the result modulo {m}."
                ),
                (
                    "Return the remainder modulo {m} of {expr}, worked out from the left as a simple pocket "
                    "calculator does."
                ),
            ),
            level=2,
        ),
        Variant(
            "sums_first",
            "int",
            (
                "Evaluate {expr}, in which + and - bind more tightly than *. Return the value modulo {m}.",
                "{expr} holds numbers and + - *, separated by spaces. Do all additions and subtractions before any "
                "multiplication and return the result modulo {m}.",
                "Return the remainder modulo {m} of {expr}, where sums and differences come before products.",
            ),
            level=3,
        ),
    )

    def params(self, rng, variant, difficulty):
        return {"m": rng.int(20, 1999)}

    def solve_usual(self, p, expr):
        tokens = expr.split()[::-1]

        def factor():
            token = tokens.pop()
            if token != "(":
                return int(token)
            value = total()
            tokens.pop()
            return value

        def product():
            value = factor()
            while tokens and tokens[-1] == "*":
                tokens.pop()
                value *= factor()
            return value

        def total():
            value = product()
            while tokens and tokens[-1] in "+-":
                value = value + product() if tokens.pop() == "+" else value - product()
            return value

        return total() % p["m"]

    def solve_leftmost(self, p, expr):
        return _leftmost(expr.split()) % p["m"]

    def solve_sums_first(self, p, expr):
        value = 1
        for part in expr.split(" * "):
            value *= _leftmost(part.split())
        return value % p["m"]

    def edge_cases(self, rng, variant, p, difficulty):
        a, b, c, d = rng.sample(range(3, 40), 4)
        big = p["m"] + rng.int(1, 9)
        yield from ((f"{a}",), (f"{big}",), (f"{a} + {b} * {c}",), (f"{a} * {b} - {c}",), (f"{a} - {b} - {c}",))
        yield from ((f"{a} - {b} + {c}",), (f"{a} - {big}",), (f"{a} + {b} * {c} - {d}",), (f"{a} * {b} + {c} * {d}",))
        yield from ((f"{a} - {b} * {c} * {d}",), (f"{a} * {b} - {c} + {d} * {a}",))
        if variant == "usual" and difficulty > 3:
            yield from ((f"( {a} + {b} ) * {c}",), (f"{a} * ( {b} - {c} )",), (f"{a} - ( {b} - {c} )",))

    def sample(self, rng, variant, p, difficulty):
        top = 9 + 6 * difficulty
        row = [str(rng.int(1, top))]
        for _ in range(rng.int(2, 2 + difficulty)):
            row += [rng.pick("+-*"), str(rng.int(1, top))]
        if variant == "usual" and difficulty > 3:
            for _ in range(rng.int(0, difficulty // 3)):
                i, j = sorted(2 * rng.int(0, len(row) // 2) for _ in range(2))
                if i < j and "(" not in row[i : j + 1] and ")" not in row[i : j + 1]:
                    row[i : j + 1] = [" ".join(["(", *row[i : j + 1], ")"])]
        return (" ".join(row),)

    def write_usual(self, p):
        m = p["m"]
        parser = (
            "t = expr.split()[::-1]\ndef factor():\n    x = t.pop()\n    if x != '(':\n        return int(x)\n"
            "    x = total()\n    t.pop()\n    return x\ndef product():\n    x = factor()\n"
            "    while t and t[-1] == '*':\n        t.pop()\n        x *= factor()\n    return x\n"
            "def total():\n    x = product()\n    while t and t[-1] in '+-':\n"
            f"        x = x + product() if t.pop() == '+' else x - product()\n    return x\nreturn total() % {m}"
        )
        shunting = (
            f"s, ops, rank = [], [], {{'+': 1, '-': 1, '*': 2}}\ndef apply():\n"
            "    b, a, o = s.pop(), s.pop(), ops.pop()\n"
            "    s.append(a + b if o == '+' else a - b if o == '-' else a * b)\nfor t in expr.split():\n"
            "    if t == '(':\n        ops.append(t)\n    elif t == ')':\n        while ops[-1] != '(':\n"
            "            apply()\n        ops.pop()\n    elif t in rank:\n"
            "        while ops and rank.get(ops[-1], 0) >= rank[t]:\n            apply()\n"
            "        ops.append(t)\n    else:\n        s.append(int(t))\nwhile ops:\n    apply()\n"
            f"return s[0] % {m}"
        )
        correct = [f"return eval(expr) % {m}", parser, shunting]
        mutants = [
            ("no_modulus", "return eval(expr)", "does not take the remainder"),
            ("other_modulus", f"return eval(expr) % {m + 1}", "divides by another number"),
            ("leftmost", _fold(m, "t = expr.replace('(', '').replace(')', '').split()"), "ignores precedence"),
            ("absolute", f"return abs(eval(expr)) % {m}", "drops the sign"),
        ]
        return correct, mutants

    def write_leftmost(self, p):
        m = p["m"]
        correct = [
            _fold(m),
            "t = expr.split()\nwhile len(t) > 1:\n    t[:3] = [str(eval(' '.join(t[:3])))]\n"
            + f"return int(t[0]) % {m}",
            (
                "x, op = 0, '+'\nfor t in expr.split():\n    if t in '+-*':\n        op = t\n    elif op == '+':\n"
                "        x += int(t)\n    elif op == '-':\n        x -= int(t)\n    else:\n        x *= int(t)\n"
                f"return x % {m}"
            ),
        ]
        mutants = [
            ("usual", f"return eval(expr) % {m}", "uses the usual precedence"),
            ("no_modulus", _fold(m).replace(f" % {m}", ""), "does not take the remainder"),
            ("other_modulus", _fold(m + 1), "divides by another number"),
            ("rightmost", _fold(m, "t = expr.split()[::-1]"), "works from the right"),
        ]
        return correct, mutants

    def write_sums_first(self, p):
        m = p["m"]
        product = "x = 1\nfor t in expr.split('*'):\n    x *= eval(t)\n"
        correct = [
            f"{product}return x % {m}",
            f"t = '(' + expr.replace('*', ') * (') + ')'\nreturn eval(t) % {m}",
            (
                "out, x, sign = 1, 0, 1\nfor t in expr.split() + ['*']:\n    if t == '*':\n"
                "        out, x, sign = out * x, 0, 1\n    elif t in '+-':\n        sign = 1 if t == '+' else -1\n"
                f"    else:\n        x += sign * int(t)\nreturn out % {m}"
            ),
        ]
        mutants = [
            ("usual", f"return eval(expr) % {m}", "uses the usual precedence"),
            ("no_modulus", f"{product}return x", "does not take the remainder"),
            ("leftmost", _fold(m), "ignores precedence"),
            ("other_modulus", f"{product}return x % {m + 1}", "divides by another number"),
        ]
        return correct, mutants


def _fold(m, split="t = expr.split()"):
    return (
        f"{split}\nx = int(t[0])\nfor op, y in zip(t[1::2], t[2::2]):\n    y = int(y)\n"
        f"    x = x + y if op == '+' else x - y if op == '-' else x * y\nreturn x % {m}"
    )


def _leftmost(tokens):
    value = int(tokens[0])
    for sign, token in zip(tokens[1::2], tokens[2::2]):
        value = value + int(token) if sign == "+" else value - int(token) if sign == "-" else value * int(token)
    return value


FAMILY = Arithmetic()
