"""Plain contracts: values of expressions, in infix and in reverse Polish notation."""

from __future__ import annotations

from problems.classic.contract import Contract, changed
from problems.family import Argument

_DESCENT = """
    t = expression.split()
    def factor():
        x = t.pop(0)
        if x == "(":
            value = total()
            t.pop(0)
            return value
        return int(x)
    def term():
        value = factor()
        while t and t[0] == "*":
            t.pop(0)
            value *= factor()
        return value
    def total():
        value = term()
        while t and t[0] in "+-":
            value = value + term() if t.pop(0) == "+" else value - term()
        return value
    return total()
    """
_TWO_STACKS = """
    rank = {"+": 1, "-": 1, "*": 2}
    values, waiting = [], []
    def apply():
        b, a, x = values.pop(), values.pop(), waiting.pop()
        values.append(a + b if x == "+" else a - b if x == "-" else a * b)
    for x in expression.split():
        if x == "(":
            waiting.append(x)
        elif x == ")":
            while waiting[-1] != "(":
                apply()
            waiting.pop()
        elif x in rank:
            while waiting and waiting[-1] != "(" and rank[waiting[-1]] >= rank[x]:
                apply()
            waiting.append(x)
        else:
            values.append(int(x))
    while waiting:
        apply()
    return values[0]
    """
_INNERMOST = """
    t = expression.split()
    def flat(t):
        total, sign, product = 0, 1, 1
        for x in t:
            if x in ("+", "-"):
                total += sign * product
                sign, product = 1 if x == "+" else -1, 1
            elif x != "*":
                product *= int(x)
        return total + sign * product
    while "(" in t:
        j = t.index(")")
        i = max(k for k in range(j) if t[k] == "(")
        t[i:j + 1] = [flat(t[i + 1:j])]
    return flat(t)
    """
_IN_ORDER = """
    t = expression.split()
    value = int(t[0])
    for x, y in zip(t[1::2], t[2::2]):
        value = value + int(y) if x == "+" else value - int(y) if x == "-" else value * int(y)
    return value
    """
_BARE = """
    t = [x for x in expression.split() if x not in "()"]
    total, product = 0, int(t[0])
    for x, y in zip(t[1::2], t[2::2]):
        if x == "*":
            product *= int(y)
        else:
            total, product = total + product, int(y) if x == "+" else -int(y)
    return total + product
    """


class Arithmetic(Contract):
    name = "arithmetic@classic"
    summary = "the value of an expression with + - * and one pair of parentheses"
    function, returns = "evaluate", "int"
    arguments = (Argument("expression", "str"),)
    statement = (
        "Return the value of {expression}: integers, the operators +, - and *, and parentheses, all separated by "
        "single spaces. Multiplication binds tighter than addition and subtraction, which go from left to right."
    )
    cases = (
        ("7",), ("3 - 5",), ("2 + 3 * 4",), ("2 * 3 + 4",), ("9 - 3 - 2",), ("( 2 + 3 ) * 4",), ("2 * ( 3 - 7 )",),
        ("10 - ( 4 - 1 )",), ("12 - 3 * 4 + 5",), ("20 - 2 * 3 * 2",), ("6 * ( 2 + 8 )",), ("( 8 - 2 ) - 3",),
    )  # fmt: skip
    correct = (_DESCENT, _TWO_STACKS, _INNERMOST)
    mutants = (
        ("in_order", changed(_IN_ORDER, ("expression.split()", "[x for x in expression.split() if x not in '()']")),
         "ignores precedence and parentheses"),
        ("no_parentheses", _BARE, "ignores parentheses"),
        ("equal_rank", changed(_TWO_STACKS, ('"*": 2', '"*": 1')), "ignores precedence"),
        ("right_to_left", changed(_TWO_STACKS, (">= rank[x]", "> rank[x]")), "goes from right to left"),
        ("swapped", changed(_TWO_STACKS, ("a - b", "b - a")), "mixes the operands up"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        a, b, c = map(str, rng.ints(3, 1, 20))
        first, second = rng.picks("+-*", 2)
        if difficulty <= 3:
            return (f"{a} {first} {b}",)
        if difficulty <= 6:
            return (f"{a} {first} {b} {second} {c}",)
        return (rng.pick((f"( {a} {first} {b} ) {second} {c}", f"{a} {first} ( {b} {second} {c} )")),)

    def solve(self, expression):
        tokens = expression.split()
        value = _sum(tokens)
        assert not tokens, expression
        return value


_FLOORED = """
    t = expression.split()
    total, sign, product = 0, 1, int(t[0])
    for x, y in zip(t[1::2], t[2::2]):
        if x == "*":
            product *= int(y)
        elif x == "//":
            product //= int(y)
        else:
            total += sign * product
            sign, product = 1 if x == "+" else -1, int(y)
    return total + sign * product
    """


class ArithmeticV1(Contract):
    name = "arithmetic@v1"
    summary = "the value of an expression with + - * // and 2 to 10 numbers"
    function, returns = "evaluate", "int"
    arguments = (Argument("expression", "str"),)
    statement = (
        "Return the value of {expression}: positive integers and the operators +, -, * and // (division that rounds "
        "down), separated by single spaces. * and // bind tighter than + and -; equal ones go from left to right."
    )
    cases = (
        ("7",), ("3 - 5",), ("2 + 3 * 4",), ("2 * 3 + 4",), ("9 - 3 - 2",), ("10 - 7 // 2",), ("8 // 3 * 3",),
        ("9 * 2 // 4",), ("20 // 4 // 2",), ("1 // 5",), ("12 - 3 * 4 + 5",), ("3 + 17 // 5 - 2 * 6",),
    )  # fmt: skip
    correct = (
        _FLOORED,
        """
        t = expression.split()
        def term():
            value = int(t.pop(0))
            while t and t[0] in ("*", "//"):
                value = value * int(t.pop(0)) if t.pop(0) == "*" else value // int(t.pop(0))
            return value
        value = term()
        while t:
            value = value + term() if t.pop(0) == "+" else value - term()
        return value
        """,
        """
        t = expression.split()
        for first in (("*", "//"), ("+", "-")):
            out = t[:1]
            for x, y in zip(t[1::2], t[2::2]):
                a, b = int(out[-1]), int(y)
                if x not in first:
                    out += [x, y]
                else:
                    out[-1] = a * b if x == "*" else a // b if x == "//" else a + b if x == "+" else a - b
            t = out
        return int(t[0])
        """,
    )
    mutants = (
        ("in_order", changed(_IN_ORDER, ("value * int(y)", 'value * int(y) if x == "*" else value // int(y)')),
         "ignores precedence"),
        ("true_division", changed(_FLOORED, ("//= int", "/= int")), "does not round down"),
        ("sign_first",
         changed(_FLOORED, ("sign, product = 1", "product = int(y)"), ("else -1, int(y)", "else -int(y)")),
         "divides what is negative already"),
        ("division_last", changed(_FLOORED, ("product //= int(y)", "product = product // int(y) or 1")),
         "rounds to 1 at least"),
        ("one_product", _BARE, "takes division for subtraction"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        count = min(10, 1 + difficulty)
        row = [str(rng.int(1, 20))]
        for _ in range(count - 1):
            row += [rng.pick(("+", "-", "*", "//")), str(rng.int(1, 20))]
        return (" ".join(row),)

    def solve(self, expression):
        tokens = expression.split()
        value = _sum(tokens)
        assert not tokens, expression
        return value


_STACK = """
    s = []
    for x in expression.split():
        if x in ("+", "-", "*"):
            b, a = s.pop(), s.pop()
            s.append(a + b if x == "+" else a - b if x == "-" else a * b)
        else:
            s.append(int(x))
    return s[0]
    """
_BACKWARDS = """
    t = expression.split()
    def go():
        x = t.pop()
        if x not in ("+", "-", "*"):
            return int(x)
        b = go()
        a = go()
        return a + b if x == "+" else a - b if x == "-" else a * b
    return go()
    """
_REWRITES = """
    t = expression.split()
    while len(t) > 1:
        i = next(i for i, x in enumerate(t) if x in ("+", "-", "*"))
        a, b = int(t[i - 2]), int(t[i - 1])
        t[i - 2:i + 1] = [a + b if t[i] == "+" else a - b if t[i] == "-" else a * b]
    return int(t[0])
    """
_PAIRWISE = """
    t = expression.split()
    numbers = [int(x) for x in t if x not in ("+", "-", "*")]
    value = numbers[0]
    for y, x in zip(numbers[1:], [x for x in t if x in ("+", "-", "*")]):
        value = value + y if x == "+" else value - y if x == "-" else value * y
    return value
    """


class Rpn(Contract):
    name = "rpn@classic"
    summary = "the value of an expression in reverse Polish notation"
    function, returns = "evaluate_rpn", "int"
    arguments = (Argument("expression", "str"),)
    statement = (
        "Return the value of {expression}, which is in reverse Polish notation: positive integers and the operators +, "
        "- and *, separated by single spaces. An operator takes the two values before it."
    )
    cases = (
        ("7",), ("3 4 -",), ("4 3 -",), ("2 3 4 * +",), ("2 3 + 4 *",), ("9 1 2 - -",), ("5 1 2 + 4 * + 3 -",),
        ("1 2 3 4 5 + - * -",), ("8 3 - 2 -",), ("12 3 *",), ("2 3 - 4 5 - *",),
    )  # fmt: skip
    correct = (_STACK, _BACKWARDS, _REWRITES)
    mutants = (
        ("operands_swapped", changed(_STACK, ("b, a = s.pop()", "a, b = s.pop()")), "mixes the operands up"),
        ("in_order", _PAIRWISE, "applies the operators in their order to the numbers in theirs"),
        ("first_two", changed(_STACK, ("s.pop(), s.pop()", "s.pop(1), s.pop(0)")), "takes the first two values"),
        ("sum", changed(_STACK, ("a * b", "a + b")), "takes a product for a sum"),
        ("digits", changed(_STACK, ("expression.split()", "expression.replace(' ', '')")), "reads single digits"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        return (" ".join(_postfix(rng, min(1 + difficulty // 2, 5), "+-*")),)

    def solve(self, expression):
        return _value(expression.split())


class RpnV1(Rpn):
    name = "rpn@v1"
    summary = "the value of an expression in reverse Polish notation, with //"
    statement = (
        "Return the value of {expression}, which is in reverse Polish notation: integers and the operators +, -, * and "
        "//, separated by single spaces. An operator takes the two values before it; // rounds down, also below zero."
    )
    cases = (
        ("7",), ("3 4 -",), ("7 2 //",), ("2 7 //",), ("3 10 - 2 //",), ("9 1 2 - -",), ("5 1 2 + 4 * + 3 -",),
        ("20 3 // 2 *",), ("20 3 2 * //",), ("1 2 3 4 5 + - * -",), ("12 3 *",), ("1 6 - 4 //",), ("30 4 // 2 //",),
    )  # fmt: skip
    _OPS = (('("+", "-", "*")', '("+", "-", "*", "//")'), ("else a * b", 'else a * b if x == "*" else a // b'))
    correct = (
        changed(_STACK, *_OPS),
        changed(_BACKWARDS, *_OPS),
        changed(_REWRITES, _OPS[0], ("else a * b", 'else a * b if t[i] == "*" else a // b')),
    )
    mutants = (
        ("operands_swapped", changed(_STACK, *_OPS, ("b, a = s.pop()", "a, b = s.pop()")), "mixes the operands up"),
        ("truncates", changed(_STACK, *_OPS, ("a // b", "int(a / b)")), "rounds towards zero"),
        ("true_division", changed(_STACK, *_OPS, ("a // b", "a / b")), "does not round"),
        ("in_order",
         changed(_PAIRWISE, _OPS[0], ("else value * y", 'else value * y if x == "*" else value // (y or 1)')),
         "applies the operators in their order to the numbers in theirs"),
        ("remainder", changed(_STACK, *_OPS, ("a // b", "a % b")), "takes the remainder"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        while True:
            row = _postfix(rng, min(10, 1 + difficulty) - 1, ("+", "-", "*", "//"), most=20)
            try:
                _value(row)
            except ZeroDivisionError:
                continue
            return (" ".join(row),)


class RpnExp16(Rpn):
    name = "rpn@exp16"
    summary = "the value of a list of tokens in reverse Polish notation, some of them negative"
    arguments = (Argument("tokens", "list[str]"),)
    statement = (
        "Return the value of {tokens}, an expression in reverse Polish notation: each token is an integer, perhaps "
        "negative, or one of the operators +, - and *. An operator takes the two values before it."
    )
    cases = (
        (["7"],), (["-7"],), (["3", "4", "-"],), (["-3", "4", "*"],), (["2", "-3", "4", "*", "+"],),
        (["9", "1", "2", "-", "-"],), (["5", "1", "2", "+", "4", "*", "+", "3", "-"],), (["12", "-3", "-"],),
        (["1", "2", "3", "4", "5", "+", "-", "*", "-"],), (["8", "3", "-", "2", "-"],), (["-1", "-2", "-"],),
    )  # fmt: skip
    correct = tuple(
        changed(body, ("expression.split()", words))
        for body, words in ((_STACK, "tokens"), (_BACKWARDS, "tokens[:]"), (_REWRITES, "tokens[:]"))
    )
    _LIST = ("expression.split()", "tokens")
    mutants = (
        ("operands_swapped", changed(_STACK, _LIST, ("b, a = s.pop()", "a, b = s.pop()")), "mixes the operands up"),
        ("no_negative", changed(_STACK, _LIST, ("s.append(int(x))", "s += [int(x)] if x.isdigit() else []")),
         "drops negative numbers"),
        ("unsigned", changed(_STACK, _LIST, ("int(x)", "abs(int(x))")), "drops the sign of numbers"),
        ("in_order", changed(_PAIRWISE, _LIST), "applies the operators in their order to the numbers in theirs"),
        ("first_two", changed(_STACK, _LIST, ("s.pop(), s.pop()", "s.pop(1), s.pop(0)")), "takes the first two values"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        row = _postfix(rng, min(difficulty, 5), "+-*")
        return ([f"-{x}" if x.isdigit() and rng.chance(0.2) else x for x in row],)

    def solve(self, tokens):
        return _value(tokens)


def _sum(tokens: list[str]) -> int:
    """The value of the tokens up to a closing parenthesis, which are taken from the list."""
    value = _product(tokens)
    while tokens and tokens[0] in "+-":
        value = value + _product(tokens) if tokens.pop(0) == "+" else value - _product(tokens)
    return value


def _product(tokens: list[str]) -> int:
    value = _factor(tokens)
    while tokens and tokens[0] in ("*", "//"):
        value = value * _factor(tokens) if tokens.pop(0) == "*" else value // _factor(tokens)
    return value


def _factor(tokens: list[str]) -> int:
    token = tokens.pop(0)
    if token != "(":
        return int(token)
    value = _sum(tokens)
    tokens.pop(0)
    return value


def _value(tokens: list[str]) -> int:
    stack: list[int] = []
    for token in tokens:
        if token not in ("+", "-", "*", "//"):
            stack.append(int(token))
            continue
        b, a = stack.pop(), stack.pop()
        stack.append(a + b if token == "+" else a - b if token == "-" else a * b if token == "*" else a // b)
    return stack[0]


def _postfix(rng, operators: int, signs, most: int = 9) -> list[str]:
    """A random expression with that many operators and numbers from 1 to `most`."""
    row, depth, left = [str(rng.int(1, most))], 1, operators
    while operators:
        if depth > 1 and (not left or rng.chance(0.5)):
            row.append(rng.pick(signs))
            depth, operators = depth - 1, operators - 1
        elif left:
            row.append(str(rng.int(1, most)))
            depth, left = depth + 1, left - 1
    return row


FAMILIES = (Arithmetic(), ArithmeticV1(), Rpn(), RpnV1(), RpnExp16())
