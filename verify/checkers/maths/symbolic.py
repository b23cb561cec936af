"""What only algebra can decide: closed forms, expressions, equations. Parsed by math-verify, compared by exact rules.

Imports sympy only where it is needed: most answers are decided without it. It may run for ever and is never run
outside of the sandbox.
"""

import re
from fractions import Fraction

from verify.checkers.maths.lists import match
from verify.checkers.maths.numbers import Number, close

_ANGLE = re.compile(r"(\d+(?:\.\d+)?)\s*\\degree")
_OF_AN_ANGLE = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_LONG_DECIMAL = re.compile(r"\.\d{10}")
"""Decimals that may stand for what no decimal is; shorter ones are exact."""
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_DIGITS = 60
"""Digits by which two closed forms are told apart at first."""
_MOST_DIGITS = 6000
_TOLERANCE = 1e-9
"""Relative, where an expression holds a long decimal."""
_POINTS = ((7, 5), (-11, 3), (13, 17), (29, 7), (-3, 19), (41, 23), (5, 31), (-37, 11), (43, 13))
"""Fractions at which two expressions are compared before algebra is tried."""


def parsed(text):
    """What math-verify reads out of a text: a sympy object, or None."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    config = [LatexExtractionConfig(), ExprExtractionConfig()]
    found = parse("\\boxed{" + _radians(text) + "}", config, parsing_timeout=None)
    return next((value for value in found if not isinstance(value, str)), None)


def _radians(text):
    """Degrees of a sine and its kin are a factor; elsewhere a unit."""
    if _OF_AN_ANGLE.search(text):
        return _ANGLE.sub(r"(\1 \\cdot \\frac{\\pi}{180})", text)
    return text.replace(r"\degree", r"^\circ")


def same_by_algebra(ours, theirs, mine=None, yours=None):
    """Whether two expressions are one. `mine` and `yours` are the numbers that they plainly are, if they are."""
    if _LETTERS.fullmatch(ours) and _LETTERS.fullmatch(theirs):
        # The parser knows no capitals, and segment AB is not the product ab.
        return sorted(ours) == sorted(theirs)
    a, b = parsed(ours), parsed(theirs)
    if a is None or b is None:
        return False
    if mine or yours:
        # A decimal is compared by its digits, so the other side's value is needed as a number.
        first, second = mine or _exact_number(a), yours or _exact_number(b)
        return bool(first and second) and close(first, second)
    loose = bool(_LONG_DECIMAL.search(ours) or _LONG_DECIMAL.search(theirs))
    return _same_objects(a, b, loose)


def number_by_algebra(text):
    """The value of a closed form without unknowns; None where it has none."""
    value = parsed(text)
    return None if value is None else _exact_number(value)


def same_equations(ours, theirs):
    """Whether two equations or inequalities say the same; those without unknowns or solutions say nothing."""
    a, b = parsed(ours), parsed(theirs)
    return a is not None and b is not None and _same_relations(a, b)


def _same_objects(a, b, loose):
    from sympy import Expr, FiniteSet, Interval, MatrixBase, Tuple

    if isinstance(a, MatrixBase) and isinstance(b, MatrixBase):
        return a.shape == b.shape and all(_same_objects(x, y, loose) for x, y in zip(a, b))
    if isinstance(a, Expr) and isinstance(b, Expr):
        return _same_expressions(_exact(a), _exact(b), loose)
    if isinstance(a, FiniteSet | Tuple) and type(a) is type(b):
        return len(a.args) == len(b.args) and all(_same_objects(x, y, loose) for x, y in zip(a.args, b.args))
    if isinstance(a, Interval) and isinstance(b, Interval):
        opened = (a.left_open, a.right_open) == (b.left_open, b.right_open)
        return opened and _same_objects(a.start, b.start, loose) and _same_objects(a.end, b.end, loose)
    return _same_relations(a, b)


def _exact(expression):
    """Evaluated, with decimals as the fractions that they are and `i` as the imaginary unit."""
    from sympy import Float, I, Rational

    numbers = {value: Rational(str(value)) for value in expression.atoms(Float) if value.is_finite}
    units = {symbol: I for symbol in expression.free_symbols if symbol.name == "i"}
    return expression.xreplace({**numbers, **units}).doit()


def _finite(expression):
    from sympy import nan, oo, zoo

    return not expression.has(oo, -oo, zoo, nan)


def _same_expressions(a, b, loose):
    if not (_finite(a) and _finite(b)):
        return a == b and a.is_infinite is True and a.is_extended_real is True
    if a == b:
        return True
    unknowns = a.free_symbols | b.free_symbols
    if not unknowns:
        return _same_constants(a, b, loose)
    return not _differ_somewhere(a, b, unknowns) and _is_zero(a - b)


def _same_constants(a, b, loose):
    """Numbers without unknowns: exactly where both are rational, else by as many digits as could tell them apart."""
    if a.is_Rational and b.is_Rational and not loose:
        return a == b
    x, y = _evaluated(a, _DIGITS), _evaluated(b, _DIGITS)
    if x is None or y is None:
        return _is_zero(a - b)
    size, apart = max(abs(x), abs(y)), abs(x - y)
    if size < Fraction(1, 10 ** (_DIGITS - 10)):
        return _is_zero(a - b)
    if apart > size / 10 ** (_DIGITS - 20):
        return loose and apart <= size * Fraction(_TOLERANCE)
    needed = _DIGITS * 2 + _digits_needed(a) + _digits_needed(b)
    if needed > _MOST_DIGITS:
        return _is_zero(a - b)
    x, y = _evaluated(a, needed), _evaluated(b, needed)
    return x is not None and y is not None and abs(x - y) <= size / 10 ** (needed - 40)


def _digits_needed(expression):
    """Digits by which a number of this size and these exponents can differ from another one that is not it."""
    from sympy import Integer, Pow, Rational, exp, log

    size = sum(len(str(abs(value.p))) + len(str(value.q)) for value in expression.atoms(Rational))
    for power in expression.atoms(Pow, exp):
        base, exponent = power.as_base_exp()
        exponent = abs(exponent.evalf(15))
        scale = abs(log(abs(base)).evalf(15)) if base.is_nonzero else Integer(1)
        if not (exponent.is_Float or exponent.is_Integer) or not (scale.is_Float or scale.is_Integer):
            return _MOST_DIGITS
        digits = exponent * max(scale, 1) / 2
        size += int(digits) if digits < _MOST_DIGITS else _MOST_DIGITS
    return size


def _evaluated(expression, digits):
    """A number of so many digits: its real and imaginary part; None where it has no finite value."""
    from sympy import sympify

    value = expression.evalf(digits, maxn=2 * digits)
    real, imaginary = map(sympify, value.as_real_imag())
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    if not (real.is_finite and imaginary.is_finite):
        return None
    return _Complex(_fraction(real), _fraction(imaginary))


def _fraction(value):
    from sympy import Rational

    exact = Rational(value)
    return Fraction(int(exact.p), int(exact.q))


class _Complex:
    """A complex number by two fractions, so that nothing is lost or overflows."""

    def __init__(self, real, imaginary):
        self.real, self.imaginary = real, imaginary

    def __sub__(self, other):
        return _Complex(self.real - other.real, self.imaginary - other.imaginary)

    def __mul__(self, other):
        real = self.real * other.real - self.imaginary * other.imaginary
        return _Complex(real, self.real * other.imaginary + self.imaginary * other.real)

    def __abs__(self):
        """The larger of its parts, which is its size to a factor below 2."""
        return max(abs(self.real), abs(self.imaginary))


def _exact_number(value):
    """The value to many digits, taken for exact."""
    from sympy import Expr

    if not isinstance(value, Expr):
        return None
    value = _exact(value)
    if value.free_symbols or not _finite(value):
        return None
    found = _evaluated(value, _DIGITS)
    return Number(found.real, None) if found and not found.imaginary else None


def _is_zero(difference):
    from sympy import expand, simplify

    if expand(difference) == 0 or simplify(difference) == 0:
        return True
    return difference.equals(0) is True


def _at_points(expression, unknowns):
    """The values of an expression at a few points; where it has none, None."""
    ordered = sorted(unknowns, key=lambda symbol: symbol.name)
    return [_at(expression, ordered, first) for first in range(3)]


def _at(expression, ordered, first):
    from sympy import Rational

    points = [Rational(*_POINTS[(first + i * 2) % len(_POINTS)]) for i in range(len(ordered))]
    try:
        value = expression.subs(dict(zip(ordered, points)))
        return _evaluated(value, _DIGITS) if _finite(value) and not value.free_symbols else None
    except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
        return None


def _differ_somewhere(a, b, unknowns):
    for x, y in zip(_at_points(a, unknowns), _at_points(b, unknowns)):
        if x and y and abs(x - y) > max(abs(x), abs(y), Fraction(1, 10**20)) / 10**20:
            return True
    return False


def _same_relations(a, b):
    from sympy import And
    from sympy.core.relational import Relational

    if isinstance(a, And) and isinstance(b, And):
        left = list(b.args)
        for one in a.args:
            found = next((other for other in left if _same_relations(one, other)), None)
            if found is None:
                return False
            left.remove(found)
        return not left
    if not (isinstance(a, Relational) and isinstance(b, Relational)):
        return False
    (sign, p), (other_sign, q) = _over_zero(a), _over_zero(b)
    if sign != other_sign or p is None or q is None:
        return False
    if sign in (">", ">="):
        return _multiples(p, q, positive=True)
    if _multiples(p, q) or sign == "!=":
        return _multiples(p, q)
    return _multiples(*map(_without_denominators, (p, q))) or _same_solutions(p, q)


def _over_zero(relation):
    """A relation as its sign and what stands before it where 0 stands behind; less-than as greater-than."""
    try:
        difference = _exact(relation.lhs) - _exact(relation.rhs)
    except (TypeError, AttributeError):
        return relation.rel_op, None
    if relation.rel_op in ("<", "<="):
        return relation.rel_op.replace("<", ">"), -difference
    return relation.rel_op, difference


def _without_denominators(expression):
    from sympy import fraction, together

    return fraction(together(expression))[0]


def _multiples(p, q, positive=False):
    """Whether p is a constant times q, and both hold the same unknowns, of which there are some."""
    from sympy import cancel, expand, simplify

    unknowns = expand(p).free_symbols
    if not unknowns or unknowns != expand(q).free_symbols or not (_finite(p) and _finite(q)):
        return False
    pairs = [(x, y) for x, y in zip(_at_points(p, unknowns), _at_points(q, unknowns)) if x and y]
    for x, y in pairs[1:]:
        # Of multiples the ratio is the same everywhere.
        left, right = x * pairs[0][1], y * pairs[0][0]
        if abs(left - right) > max(abs(left), abs(right)) / 10**20:
            return False
    factor = simplify(cancel(p / q))
    if factor.free_symbols or not factor.is_finite or not factor.is_nonzero:
        return False
    return not positive or factor.is_positive is True


def _same_solutions(p, q):
    """Whether two equations have the same solutions, and have any, whichever unknown they are solved for."""
    from sympy import solve

    unknowns = p.free_symbols
    if not unknowns or unknowns != q.free_symbols:
        return False
    for unknown in unknowns:
        try:
            first, second = (solve(side, unknown) for side in (p, q))
        except (NotImplementedError, TypeError, ValueError, ArithmeticError, AttributeError):
            return False
        if not first or not match(first, second, lambda a, b: _same_expressions(a, b, False)):
            return False
        if len(first) != len(second):
            return False
    return True
