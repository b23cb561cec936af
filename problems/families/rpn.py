"""Postfix expressions, with a drawn operator beside the usual ones."""

from __future__ import annotations

from problems.family import Argument, Family, Variant

_NEW = "a # b means {u} * a + {v} * b"


class Rpn(Family):
    name = "rpn"
    summary = "evaluate postfix expressions with a new operator, a sentinel for broken ones, or the stack height"
    functions = ("evaluate_rpn", "rpn", "postfix", "solve")
    arguments = (Argument("expr", "str", ("text", "tokens")),)
    variants = (
        Variant(
            "value",
            "int",
            (
                (
                    f"Evaluate the postfix expression {{expr}}, its tokens separated by spaces. + - * are as usual "
                    f"and {_NEW}."
                ),
                f"{{expr}} is in reverse Polish notation with integers, + - * and #, where {_NEW}. Return its value.",
                f"Return the value of {{expr}}: each operator (+, -, * or #) takes the two values before it; {_NEW}.",
            ),
        ),
        Variant(
            "checked",
            "int",
            (
                "Evaluate the postfix expression {expr} with + - *. Return {e} if an operator lacks operands or not "
                "exactly one value is left.",
                "{expr} should be in reverse Polish notation (integers, + - *). Return its value, or {e} if it is not "
                "well formed.",
                "Return the value of the postfix expression {expr} (integers, + - *); a malformed one, also an empty "
                "one, gives {e}.",
            ),
            level=2,
        ),
        Variant(
            "height",
            "int",
            (
                "Evaluate the postfix expression {expr} (integers, + - *) with a stack. Return {w} times the greatest "
                "number of values on it.",
                "How many values does a stack hold at most while it evaluates {expr}, which is in reverse Polish "
                "notation? Return that number times {w}.",
                "Return {w} times the stack height that the postfix expression {expr} needs.",
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "value":
            return {"u": rng.int(1, 30), "v": rng.int(2, 30)}
        return {"e": -rng.int(1000, 9999)} if variant == "checked" else {"w": rng.int(2, 900)}

    def solve_value(self, p, expr):
        return _run(expr, p["u"], p["v"])[0]

    def solve_checked(self, p, expr):
        value = _run(expr, 0, 0)[0]
        return p["e"] if value is None else value

    def solve_height(self, p, expr):
        return _run(expr, 0, 0)[1] * p["w"]

    def edge_cases(self, rng, variant, p, difficulty):
        a, b, c = rng.sample(range(2, 40), 3)
        yield from ((f"{a}",), (f"{a} {b} -",), (f"-{a} {b} *",), (f"{a} {b} {c} - -",), (f"{a} {b} - {c} -",))
        yield (f"{a} {b} + {c} *",)
        if variant == "value":
            yield from ((f"{a} {b} #",), (f"{b} {a} #",), (f"{a} {b} {c} # #",), (f"-{a} {b} # {c} -",))
        elif variant == "checked":
            yield from (
                ("",),
                ("+",),
                (f"{a} +",),
                (f"{a} {b}",),
                (f"{a} {b} + +",),
                (f"{a} + {b}",),
                (f"{a} {b} {c} *",),
            )
            yield from ((f"{a} {b} * {c}",), (f"-{a}",), (f"{a} - {b} {c} -",))
        else:
            yield from ((f"{a} {b} {c} {a} + * -",), (f"{a} {b} + {c} + {a} +",), (f"{a} {b} + {c} {a} - *",))

    def sample(self, rng, variant, p, difficulty):
        row = _expression(rng, rng.int(2, 2 + difficulty), "+-*#" if variant == "value" else "+-*")
        if variant == "checked" and rng.chance(0.4):
            if rng.chance(0.5):
                row.pop(rng.int(0, len(row) - 1))
            else:
                i = rng.int(0, len(row) - 2)
                row[i], row[i + 1] = row[i + 1], row[i]
        return (" ".join(row),)

    def write_value(self, p):
        u, v = p["u"], p["v"]
        correct = [
            _stack("s.append(OPS)", f"{u} * a + {v} * b"),
            f"s = []\nd = {{'+': lambda a, b: a + b, '-': lambda a, b: a - b, '*': lambda a, b: a * b, "
            f"'#': lambda a, b: {u} * a + {v} * b}}\nfor t in expr.split():\n    if t in d:\n        b = s.pop()\n"
            "        s.append(d[t](s.pop(), b))\n    else:\n        s.append(int(t))\nreturn s[0]",
            (
                "t = expr.split()\ndef go():\n    x = t.pop()\n    if x not in ('+', '-', '*', '#'):\n"
                "        return int(x)\n    b = go()\n    a = go()\n    if x == '#':\n"
                f"        return {u} * a + {v} * b\n    return a + b if x == '+' else a - b if x == '-' else a * b\n"
                "return go()"
            ),
        ]
        mutants = [
            ("plain_sum", _stack("s.append(OPS)", "a + b"), "takes the new operator for a sum"),
            (
                "operands_swapped",
                _stack("s.append(OPS)", f"{u} * a + {v} * b", "a, b = s.pop(), s.pop()"),
                "mixes the operands up",
            ),
            ("other_factor", _stack("s.append(OPS)", f"{u} * a + {v + 1} * b"), "has another factor"),
            (
                "no_negative",
                _stack("s.append(OPS)", f"{u} * a + {v} * b", test="t.isdigit()", other=True),
                "cannot read negative numbers",
            ),
        ]
        if u != v:
            mutants.append(("factors_swapped", _stack("s.append(OPS)", f"{v} * a + {u} * b"), "mixes the factors up"))
        return correct, mutants

    def write_checked(self, p):
        e = p["e"]

        def check(
            few=f"if len(s) < 2:\n            return {e}\n        ",
            end=f"s[0] if len(s) == 1 else {e}",
            pair="b, a = s.pop(), s.pop()",
        ):
            return (
                f"s = []\nfor t in expr.split():\n    if t in '+-*':\n        {few}{pair}\n"
                "        s.append(a + b if t == '+' else a - b if t == '-' else a * b)\n    else:\n"
                f"        s.append(int(t))\nreturn {end}"
            )

        correct = [
            check(),
            (
                "s = []\ntry:\n    for t in expr.split():\n        if t in '+-*':\n"
                "            b, a = s.pop(), s.pop()\n"
                "            s.append(a + b if t == '+' else a - b if t == '-' else a * b)\n        else:\n"
                "            s.append(int(t))\n    x, = s\n    return x\nexcept (IndexError, ValueError):\n"
                f"    return {e}"
            ),
            (
                "n = 0\nt = expr.split()\nfor i, x in enumerate(t):\n    n += -1 if x in '+-*' else 1\n"
                f"    if n < 1:\n        return {e}\nif n != 1:\n    return {e}\nt.reverse()\ns = []\nwhile t:\n"
                "    x = t.pop()\n    if x in '+-*':\n        b, a = s.pop(), s.pop()\n"
                "        s.append(a + b if x == '+' else a - b if x == '-' else a * b)\n    else:\n"
                "        s.append(int(x))\nreturn s[0]"
            ),
        ]
        mutants = [
            ("left_over", check(end=f"s[-1] if s else {e}"), "overlooks values left over"),
            ("few_operands", check(few=""), "fails where operands are lacking"),
            ("other_sentinel", check(end=f"s[0] if len(s) == 1 else {e - 1}"), "has another answer for broken ones"),
            ("operands_swapped", check(pair="a, b = s.pop(), s.pop()"), "mixes the operands up"),
        ]
        return correct, mutants

    def write_height(self, p):
        w = p["w"]

        def height(w=w, update="m = max(m, n)", down="n -= 1"):
            return (
                f"n = m = 0\nfor t in expr.split():\n    if t in '+-*':\n        {down}\n    else:\n        n += 1\n"
                f"    {update}\nreturn {w} * m"
            )

        correct = [
            height(),
            (
                "s, m = [], 0\nfor t in expr.split():\n    if t in '+-*':\n        s.pop()\n    else:\n"
                f"        s.append(t)\n    m = max(m, len(s))\nreturn m * {w}"
            ),
            "t = [-1 if x in ('+', '-', '*') else 1 for x in expr.split()]\n"
            f"return {w} * max(sum(t[:i + 1]) for i in range(len(t)))",
        ]
        mutants = [
            ("numbers", f"return {w} * sum(t not in '+-*' for t in expr.split())", "counts the numbers"),
            ("both_popped", height(down="n -= 2"), "forgets the result of an operation"),
            ("other_weight", height(w + 1), "has another factor"),
            ("at_the_end", height(update="m = n"), "looks at the end"),
            ("tokens", f"return {w} * len(expr.split())", "counts all tokens"),
        ]
        return correct, mutants


def _stack(push, new, pair="b, a = s.pop(), s.pop()", test="t in '+-*#'", other=False):
    ops = f"a + b if t == '+' else a - b if t == '-' else a * b if t == '*' else {new}"
    apply, keep = f"{pair}\n        {push.replace('OPS', ops)}", "s.append(int(t))"
    if other:
        apply, keep = keep, apply
    return f"s = []\nfor t in expr.split():\n    if {test}:\n        {apply}\n    else:\n        {keep}\nreturn s[0]"


def _run(expr, u, v):
    """Value (None where malformed) and greatest stack height."""
    stack, height = [], 0
    for t in expr.split():
        if t in ("+", "-", "*", "#"):
            if len(stack) < 2:
                return None, height
            b, a = stack.pop(), stack.pop()
            stack.append(a + b if t == "+" else a - b if t == "-" else a * b if t == "*" else u * a + v * b)
        else:
            stack.append(int(t))
            height = max(height, len(stack))
    return (stack[0] if len(stack) == 1 else None), height


def _expression(rng, operators, signs):
    row, depth = [], 0
    while operators or depth > 1:
        if depth > 1 and (not operators or rng.chance(0.5)):
            row.append(rng.pick(signs))
            depth -= 1
        elif operators:
            row.append(str(rng.int(-20, 40) if depth else rng.int(1, 40)))
            depth += 1
            operators -= depth > 1
    return row


FAMILY = Rpn()
