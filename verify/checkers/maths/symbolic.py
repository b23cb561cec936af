"""Comparison by computer algebra: closed forms, expressions, equations. Parsed by math-verify, compared by exact rules.

Imports sympy only when needed: most answers are decided without it. It may run for ever, so it never runs outside the
sandbox.
"""

import re
from fractions import Fraction

from verify.checkers.maths.lists import match
from verify.checkers.maths.numbers import Number, close

_ANGLE = re.compile(r"(\d+(?:\.\d+)?)\s*\\degree")
_OF_AN_ANGLE = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_LONG_DECIMAL = re.compile(r"\.\d{10}")
"""Decimals that may approximate a number without a finite expansion; shorter ones are exact."""
_LETTERS = re.compile(r"[A-Za-z]{2,}")
_DIGITS = 60
"""Digits to which two closed forms are compared at first."""
_MAX_DIGITS = 6000
_TOLERANCE = 1e-9
"""Relative tolerance if an expression contains a long decimal."""
_POINTS = ((7, 5), (-11, 3), (13, 17), (29, 7), (-3, 19), (41, 23), (5, 31), (-37, 11), (43, 13))
"""Fractions at which two expressions are evaluated before algebra is tried."""


def parsed(text):
    """The sympy object that math-verify parses from a text, or None."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    config = [LatexExtractionConfig(), ExprExtractionConfig()]
    found = parse("\\boxed{" + _radians(text) + "}", config, parsing_timeout=None)  # pyright: ignore[reportArgumentType]  # None is its way to say "no timeout"
    return next((value for value in found if not isinstance(value, str)), None)


def _radians(text):
    """Converts degrees: a factor inside trigonometric functions, otherwise a unit."""
    if _OF_AN_ANGLE.search(text):
        return _ANGLE.sub(r"(\1 \\cdot \\frac{\\pi}{180})", text)
    return text.replace(r"\degree", r"^\circ")


def same_by_algebra(ours, theirs, mine=None, yours=None):
    """Whether two expressions are equal. `mine` and `yours` are their values if they are plain numbers."""
    if _LETTERS.fullmatch(ours) and _LETTERS.fullmatch(theirs):
        # The parser ignores case, and the segment AB is not the product ab.
        return sorted(ours) == sorted(theirs)
    a, b = parsed(ours), parsed(theirs)
    if a is None or b is None:
        return False
    if mine or yours:
        # A decimal is compared digit by digit, so the other side is needed as a number.
        first, second = mine or _exact_number(a), yours or _exact_number(b)
        return bool(first and second) and close(first, second)
    loose = bool(_LONG_DECIMAL.search(ours) or _LONG_DECIMAL.search(theirs))
    return _same_objects(a, b, loose)


def number_by_algebra(text):
    """The value of a closed form without variables; None if it has no value."""
    value = parsed(text)
    return None if value is None else _exact_number(value)


def same_equations(ours, theirs):
    """Whether two equations or inequalities are equivalent. Those without variables or solutions never are."""
    a, b = parsed(ours), parsed(theirs)
    return a is not None and b is not None and _same_relations(a, b)


def _same_objects(a, b, loose):
    from sympy import Expr, FiniteSet, Interval, MatrixBase, Tuple

    if isinstance(a, MatrixBase) and isinstance(b, MatrixBase):
        return a.shape == b.shape and all(_same_objects(x, y, loose) for x, y in zip(a.flat(), b.flat()))
    if isinstance(a, Expr) and isinstance(b, Expr):
        return _same_expressions(_exact(a), _exact(b), loose)
    if isinstance(a, FiniteSet | Tuple) and type(a) is type(b):
        return len(a.args) == len(b.args) and all(_same_objects(x, y, loose) for x, y in zip(a.args, b.args))
    if isinstance(a, Interval) and isinstance(b, Interval):
        opened = (a.left_open, a.right_open) == (b.left_open, b.right_open)
        return opened and _same_objects(a.start, b.start, loose) and _same_objects(a.end, b.end, loose)
    return _same_relations(a, b)


def _exact(expression):
    """The evaluated expression, with decimals as fractions and `i` as the imaginary unit."""
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
    variables = a.free_symbols | b.free_symbols
    if not variables:
        return _same_constants(a, b, loose)
    return not _differ_somewhere(a, b, variables) and _is_zero(a - b)


def _same_constants(a, b, loose):
    """Whether two constants are equal: exactly if both are rational, otherwise to as many digits as could differ."""
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
    if needed > _MAX_DIGITS:
        return _is_zero(a - b)
    x, y = _evaluated(a, needed), _evaluated(b, needed)
    return x is not None and y is not None and abs(x - y) <= size / 10 ** (needed - 40)


def _digits_needed(expression):
    """Digits that suffice to tell a number of this size and these exponents from a different one."""
    from sympy import Integer, Pow, Rational, exp, log

    size = sum(len(str(abs(value.p))) + len(str(value.q)) for value in expression.atoms(Rational))
    for power in expression.atoms(Pow, exp):
        base, exponent = power.as_base_exp()
        exponent = abs(exponent.evalf(15))
        scale = abs(log(abs(base)).evalf(15)) if base.is_nonzero else Integer(1)
        if not (exponent.is_Float or exponent.is_Integer) or not (scale.is_Float or scale.is_Integer):
            return _MAX_DIGITS
        digits = exponent * max(scale, 1) / 2
        size += int(digits) if digits < _MAX_DIGITS else _MAX_DIGITS
    return size


def _evaluated(expression, digits):
    """Real and imaginary part of a number, to `digits` digits; None if it has no finite value."""
    from sympy import sympify

    value = expression.evalf(digits, maxn=2 * digits)
    real, imaginary = map(sympify, value.as_real_imag())
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    if not (real.is_finite and imaginary.is_finite):
        return None
    return _Complex(_fraction(real), _fraction(imaginary))


def _fraction(value):
    from sympy import Rational, fraction

    top, bottom = fraction(Rational(value))
    return Fraction(int(top), int(bottom))


class _Complex:
    """A complex number of two fractions, without rounding or overflow."""

    def __init__(self, real, imaginary):
        self.real, self.imaginary = real, imaginary

    def __sub__(self, other):
        return _Complex(self.real - other.real, self.imaginary - other.imaginary)

    def __mul__(self, other):
        real = self.real * other.real - self.imaginary * other.imaginary
        return _Complex(real, self.real * other.imaginary + self.imaginary * other.real)

    def __abs__(self):
        """The larger absolute part, which is the absolute value to within a factor of 2."""
        return max(abs(self.real), abs(self.imaginary))


def _exact_number(value):
    """The value to many digits, treated as exact."""
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


def _at_points(expression, variables):
    """The values of an expression at a few points; None where it has no value."""
    ordered = sorted(variables, key=lambda symbol: symbol.name)
    return [_at(expression, ordered, first) for first in range(3)]


def _at(expression, ordered, first):
    from sympy import Rational

    points = [Rational(*_POINTS[(first + i * 2) % len(_POINTS)]) for i in range(len(ordered))]
    try:
        value = expression.subs(dict(zip(ordered, points)))
        return _evaluated(value, _DIGITS) if _finite(value) and not value.free_symbols else None
    except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
        return None


def _differ_somewhere(a, b, variables):
    for x, y in zip(_at_points(a, variables), _at_points(b, variables)):
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
    return _multiples(_without_denominators(p), _without_denominators(q)) or _same_solutions(p, q)


def _over_zero(relation):
    """(Sign, left side) of a relation after moving everything to the left; less-than becomes greater-than."""
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
    """Whether p is a constant multiple of q, and both have the same variables, at least one."""
    from sympy import cancel, expand, simplify

    variables = expand(p).free_symbols
    if not variables or variables != expand(q).free_symbols or not (_finite(p) and _finite(q)):
        return False
    pairs = [(x, y) for x, y in zip(_at_points(p, variables), _at_points(q, variables)) if x and y]
    for x, y in pairs[1:]:
        # Multiples have the same ratio everywhere.
        left, right = x * pairs[0][1], y * pairs[0][0]
        if abs(left - right) > max(abs(left), abs(right)) / 10**20:
            return False
    factor = simplify(cancel(p / q))
    if factor.free_symbols or not factor.is_finite or not factor.is_nonzero:
        return False
    return not positive or factor.is_positive is True


def _same_solutions(p, q):
    """Whether two equations have the same solutions, at least one, whichever variable they are solved for."""
    from sympy import solve

    variables = p.free_symbols
    if not variables or variables != q.free_symbols:
        return False
    for variable in variables:
        try:
            first, second = (solve(side, variable) for side in (p, q))
        except (NotImplementedError, TypeError, ValueError, ArithmeticError, AttributeError):
            return False
        if not first or not match(first, second, lambda a, b: _same_expressions(a, b, False)):
            return False
        if len(first) != len(second):
            return False
    return True
