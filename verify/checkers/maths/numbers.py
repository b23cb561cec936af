"""Reads numbers as people write them, exactly, and compares them.

Shared by the trusted side (float answers) and the sandbox (mathematics). Everything is linear in the text and bounded:
no number of more than `_MAX_BITS` bits is ever created. Standard library only.
"""

import re
from fractions import Fraction
from math import factorial
from typing import NamedTuple

TOLERANCE = Fraction(1, 10**9)
"""Relative tolerance between a decimal and anything else; never more than the digits of the gold allow."""
_NOISE = 14
"""Decimal places of a gold that count: further ones are a float's rounding error."""
_EXPANSION = 10
"""Decimal places from which a decimal may approximate a number without a finite decimal expansion."""
_MAX_BITS = 50_000
"""Bits of the largest number that is read."""
_DEEPEST = 40
"""Levels of nested brackets that are read."""
_MAX_TOKENS = 200
"""Most tokens of a calculation: each may cost an operation on numbers of `_MAX_BITS` bits."""
_LONGEST = 4000
"""Most characters of a number."""

_THIN = "\u2009"
_SPACES = re.compile(r"(?<!\\)\\[,;: ]|[~\u00a0\u2007\u202f]")
"""Spaces that may separate thousands; after a backslash they end the row of a matrix."""
_THOUSANDS = re.compile(r"(?<![\d.])(?<!\d,)[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_THIN_THOUSANDS = re.compile(rf"(?<![\d.,])[1-9]\d{{0,2}}(?:{_THIN}\d{{3}})+(?!\d)")
_SPACED = re.compile(r"\s*[-+]?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?\s*")
_THIN_PLACES = re.compile(rf"(?<=\.)\d{{3}}(?:{_THIN}\d{{3}})*{_THIN}\d{{1,3}}(?!\d)")
_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_ONE_DECIMAL = re.compile(
    rf"[-+]?\s*({_DECIMAL})\s*(?:(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:\{{\s*([-+]?[0-9]{{1,4}})\s*\}}|([-+]?[0-9]))"
    r"|[eE]([-+]?[0-9]{1,4}))?"
)
_MIXED = re.compile(r"(?<![\d.)}/^])([0-9]{1,9}) ([0-9]{1,9}/[0-9]{1,9})(?![\d.^!])")
_REPEATING = re.compile(r"([-+]?)\s*([0-9]{0,30})\.([0-9]{0,30})\\(?:overline|bar|dot)\s*\{\s*([0-9]{1,30})\s*\}")
_TOKEN = re.compile(rf"\s*(?:({_DECIMAL})|(\\[a-zA-Z]+|[-+*/^!(){{}}×÷·]))")
_UNIT = re.compile(
    r"(?P<sign>\\degree|\\?%)|\s+(?P<word>[A-Za-z][A-Za-z/^0-9. ]*)|(?P<glued>cm|mm|km|kg|mg|ml)",
)
_BASED = re.compile(r"(-?[0-9A-F]{1,60})\s*_\s*(?:\{\s*(\d{1,2})\s*\}|(\d{1,2}))")
_SHORT_UNITS = "mgshlLNJWVKCF"
"""Single letters that are units rather than variables."""
_NO_UNITS = ("sin", "cos", "tan", "log", "ln", "exp", "sqrt", "pi", "mod", "i", "e")
_NO_UNIT = re.compile(r"(?<![\^A-Za-z])[0-9]|\b(?:is|or|and|not|if|plus|minus|than)\b")
"""Signs that a word is not a unit but another value, or qualifies the value before it."""
_UNIT_WORDS = {
    "degrees": "degree",
    "percent": "%",
    "per cent": "%",
    "feet": "foot",
    "inches": "inch",
    "dollars": "dollar",
    "litres": "litre",
    "liter": "litre",
    "liters": "litre",
    "meter": "metre",
    "meters": "metre",
}


class Number(NamedTuple):
    """A number, exactly as written."""

    value: Fraction
    places: int | None
    """Decimal places of a decimal; None for exact numbers (whole numbers, fractions, powers)."""


def tidy(text):
    """The text without thousands separators, and with TeX's spaces as plain spaces.

    Inside brackets, as in `(1,200)`, `[1,200]` and `\\{1,200\\}`, a comma separates members and not thousands.
    """
    text = text.replace("\u2212", "-").replace("\u2013", "-").replace("{,}", ",")
    if "\\!" in text:
        text = re.sub(r",\s*\\!\s*", ",", text).replace("\\!", "")
    text = _SPACES.sub(_THIN, text)
    if "," in text:
        opened = _brackets(text)
        text = _THOUSANDS.sub(lambda m: m[0] if opened[m.start()] in "([|" else m[0].replace(",", ""), text)
    if _THIN in text:
        text = _THIN_THOUSANDS.sub(lambda m: m[0].replace(_THIN, ""), text)
        text = _THIN_PLACES.sub(lambda m: m[0].replace(_THIN, ""), text).replace(_THIN, " ")
    return text.replace(" ", "") if _SPACED.fullmatch(text) else text


def _brackets(text):
    """For each character the innermost open bracket: `(`, `[`, `{`, `|` for that of a set, or a space for none."""
    open_now, found, escaped = [" "], [], False
    for c in text:
        found.append(open_now[-1])
        if c in "([{":
            open_now.append("|" if escaped and c == "{" else c)
        elif c in ")]}" and len(open_now) > 1:
            open_now.pop()
        escaped = c == "\\" and not escaped
    return found


def number(text, exponents=False):
    """The number that a text denotes: a decimal, fraction, mixed number, power, factorial or a calculation with those.

    None for anything else. With `exponents`, `2e7` is a number too (in mathematics e is a constant).
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if found := _ONE_DECIMAL.fullmatch(text):
        digits, braced, short, plain = found.groups()
        if plain and not exponents:
            return None
        power = int(braced or short or plain or 0)
        value = Fraction(digits) * Fraction(10) ** power
        places = max(len(digits.partition(".")[2]) - power, 0)
        # A decimal without decimal places left is a whole number, and so is exact.
        exact = "." not in digits or places == 0
        return Number(-value if text[0] == "-" else value, None if exact else places)
    if found := _REPEATING.fullmatch(text):
        return _repeating(*found.groups())
    # A whole number before a proper fraction, separated by a space, is added to it.
    text = _MIXED.sub(r"(\1+\2)", text)
    try:
        return Number(_Reader(text).whole(), None)
    except (_Unread, ZeroDivisionError):
        return None


def _repeating(sign, whole, digits, period):
    """A repeating decimal: `0.1\\overline{6}` is 1/6."""
    nines = 10 ** len(period) - 1
    value = (Fraction(int((whole or "0") + digits)) + Fraction(int(period), nines)) / 10 ** len(digits)
    return Number(-value if sign == "-" else value, None)


class _Unread(Exception):
    """The text is not a number that can be calculated exactly."""


class _Reader:
    """A recursive descent parser for sums, products, powers, fractions and factorials of exact numbers."""

    def __init__(self, text):
        self.tokens, at, text = [], 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found or len(self.tokens) == _MAX_TOKENS:
                raise _Unread
            self.tokens.append(found[1] or found[2])
            at = found.end()
        self.at = self.depth = 0

    def whole(self):
        value = self.sum()
        if self.at < len(self.tokens):
            raise _Unread
        return value

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted):
        if self.peek() in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def sum(self):
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Unread
        sign = self.take("-", "+")
        value = self.product()
        value = -value if sign == "-" else value
        while sign := self.take("-", "+"):
            term = self.product()
            value = _bounded(value - term if sign == "-" else value + term)
        self.depth -= 1
        return value

    def product(self):
        value = self.power()
        while sign := self.take("*", "/", "×", "÷", "·", "\\cdot", "\\times", "\\div"):
            factor = self.power(signed=True)
            value = _bounded(value / factor if sign in ("/", "÷", "\\div") else value * factor)
        return value

    def power(self, signed=False):
        if signed and (sign := self.take("-", "+")):
            return -self.power() if sign == "-" else self.power()
        base = self.atom()
        while self.take("!"):
            if base.denominator != 1 or not 0 <= base <= 3000:
                raise _Unread
            base = _bounded(Fraction(factorial(int(base))))
        if not self.take("^"):
            return base
        exponent = self.exponent()
        if self.peek() in ("^", "!"):
            raise _Unread
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or size * abs(exponent) > _MAX_BITS:
            raise _Unread
        return base ** int(exponent)

    def exponent(self):
        if self.peek() == "{":
            return self.group("{", "}")
        token = self.peek()
        if not token[:1].isdigit():
            raise _Unread
        # Without braces TeX's exponent is only the first digit, but in plain text all digits are meant.
        self.at += 1
        return _digits(token)

    def atom(self):
        token = self.peek()
        if token[:1].isdigit() or token[:1] == ".":
            self.at += 1
            value = _digits(token)
            if self.peek() in ("\\frac", "\\dfrac", "\\tfrac") and "." not in token:
                part = self.fraction()
                if not 0 <= part < 1:
                    raise _Unread
                return value + part
            return value
        if token in ("\\frac", "\\dfrac", "\\tfrac", "\\cfrac"):
            return self.fraction()
        if token == "(":
            return self.group("(", ")")
        if token == "{":
            return self.group("{", "}")
        raise _Unread

    def group(self, opening, closing):
        self.take(opening)
        value = self.sum()
        if not self.take(closing):
            raise _Unread
        return value

    def fraction(self):
        self.at += 1
        top, bottom = self.part(), self.part()
        return _bounded(top / bottom)

    def part(self):
        """One argument of a fraction: in braces, or a single digit."""
        token = self.peek()
        if token == "{":
            return self.group("{", "}")
        if not token[:1].isdigit() or "." in token:
            raise _Unread
        if len(token) > 1:
            self.tokens[self.at] = token[1:]
        else:
            self.at += 1
        return Fraction(int(token[0]))


def _digits(token):
    if len(token.partition(".")[2]) >= _EXPANSION:
        # It may approximate a number without a finite expansion: not exact.
        raise _Unread
    return Fraction(token)


def _bounded(value):
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise _Unread
    return value


def close(gold, answer):
    """Whether two numbers are equal: exactly, or if one is a decimal, to the digits given.

    A decimal gold must be matched to its last digit and to `TOLERANCE`. A decimal for an exact gold must be its
    rounding, within `TOLERANCE`. Exact numbers are compared exactly.
    """
    apart = abs(gold.value - answer.value)
    if not apart:
        return True
    if apart > TOLERANCE * abs(gold.value):
        return False
    if gold.places is None:
        return answer.places is not None and apart < Fraction(1, 10**answer.places)
    if apart < Fraction(1, 10 ** min(gold.places, _NOISE)):
        return True
    # Both are long decimals, and the answer may be the gold rounded to fewer places.
    if answer.places is None or not _EXPANSION <= answer.places < gold.places:
        return False
    return 2 * apart <= Fraction(1, 10**answer.places)


def with_unit(text):
    """A text without the unit after it, and the unit in its plain form ("" if there is none).

    The base of a number counts as a unit: `2516_8` may be given as `2516`, but not as `2516_9`.
    """
    if found := _BASED.fullmatch(text.strip()):
        return found[1], f"base {int(found[2] or found[3])}"
    at = next((i for i in range(len(text), 0, -1) if text[i - 1].isdigit() or text[i - 1] in "}!)]"), 0)
    found = None
    for start in dict.fromkeys((at, *_word_starts(text))):
        found = _UNIT.fullmatch(text, start, len(text.rstrip())) if start else None
        if found:
            break
    if not found:
        return text, ""
    unit = "degree" if found["sign"] == r"\degree" else "%" if found["sign"] else found["word"] or found["glued"]
    unit = " ".join(unit.rstrip(".").split())
    if _NO_UNIT.search(unit):
        return text, ""
    if found["word"] and ((len(unit) == 1 and unit not in _SHORT_UNITS) or unit.lower() in _NO_UNITS):
        return text, ""
    unit = unit.lower()
    unit = _UNIT_WORDS.get(unit, unit)
    return text[: found.start()].strip(), unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit


def _word_starts(text):
    """Positions where a unit with digits of its own (`cm^2`, `m/s2`) may start: after a value and a space."""
    return [m.start() for m in re.finditer(r"(?<=[\d}!)\]])\s+(?=[A-Za-z])", text)][-3:][::-1]
