"""Equality of two mathematical answers. Runs inside the sandbox, in a zygote with math-verify loaded.

The worker gives it a deadline and bounded memory: symbolic simplification of a hostile answer can take for
ever. It is read as text and run there; nothing of ours may be imported here. What is plain (numbers,
fractions, lists, sets, units, letters) is decided by exact rules; math-verify is asked only about what is
left.
"""

import re
from fractions import Fraction
from math import factorial, isfinite

TOLERANCE = 1e-9
"""Relative, between a decimal and anything else."""

_DROPPED = (
    r"\left",
    r"\right",
    r"\!",
    r"\,",
    r"\;",
    r"\:",
    r"\displaystyle",
    r"\limits",
    r"\$",
    "$",
    r"\(",
    r"\)",
)
_REPLACED = (
    (r"\dfrac", r"\frac"),
    (r"\tfrac", r"\frac"),
    (r"\cfrac", r"\frac"),
    (r"\lbrace", r"\{"),
    (r"\rbrace", r"\}"),
    ("{,}", ","),
    ("\u2212", "-"),
    ("\u2013", "-"),
    ("\u00d7", r"\times "),
    ("\u00b7", r"\cdot "),
    ("\u03c0", r"\pi "),
    ("\u00b1", r"\pm "),
    (r"^{\circ}", r"\degree"),
    (r"^\circ", r"\degree"),
    ("\u00b0", r"\degree"),
    (r"\%", "%"),
    ("~", " "),
)
_SPACE = re.compile(r"(?<!\\)\\ ")
"""TeX's space; behind a backslash it is the end of a matrix's row."""
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LABEL = re.compile(r"\(?([A-J])\)?(?:[.:)]\s*|\s+|$)(.*)", re.DOTALL)
_UNIT = re.compile(
    r"(?P<value>.*[\d}!)\]])"
    r"(?:(?P<sign>\\degree|%)|\s+(?P<word>[A-Za-z][A-Za-z/^0-9. ]*)|(?P<glued>cm|mm|km|kg|mg|ml))\s*",
    re.DOTALL,
)
_SCIENTIFIC = re.compile(r"(\S+?)\s*\\times\s*10\s*\^\s*(?:\{\s*([-+]?\d{1,3})\s*\}|(\d))")
_ANGLE = re.compile(r"(\d+(?:\.\d+)?)\s*\\degree")
_OF_AN_ANGLE = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_FRACTION = re.compile(r"([-+]?)\s*\\frac\s*(?:\{\s*([-+]?\d+)\s*\}|(\d))\s*(?:\{\s*([-+]?\d+)\s*\}|(\d))")
_DECIMAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
_SHORT_UNITS = "mgshlLNJWVKCF"
"""Single letters that are units rather than unknowns."""
_FUNCTIONS = ("sin", "cos", "tan", "log", "ln", "exp", "sqrt", "pi", "mod", "i", "e")
_FEW = 40
"""Members of a list that are compared."""


def equal(gold, answer):
    """Whether `answer` is mathematically `gold`. Both are what stands in the box, without the box."""
    ours, theirs = _clean(gold), _clean(answer)
    if not theirs:
        return False
    if _bare(ours) == _bare(theirs):
        return True
    return _same(ours, theirs)


def _clean(text):
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = _SPACE.sub(" ", text)
    for word in _DROPPED:
        text = text.replace(word, "")
    text = _TEXT.sub(r" \1 ", text)
    for number in range(1, 21):
        text = text.replace(chr(0x2460 + number - 1), str(number))
    return text.strip().rstrip(".").strip()


def _bare(text):
    """Without the spaces that say nothing: two numbers, or two words, are not one."""
    return re.sub(r"\s+", " ", re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text))


def _same(ours, theirs):
    mine, yours = _members(ours), _members(theirs)
    if mine is None and yours is None:
        return _same_one(ours, theirs)
    if mine is None or yours is None:
        # A list of one is its member; any other list is no single value.
        only = (mine or yours)[1]
        other = theirs if yours is None else ours
        return len(only) == 1 and _same_one(only[0], other)
    (how, mine), (other_how, yours) = mine, yours
    if len(mine) != len(yours) or len(mine) > _FEW:
        return False
    if "ordered" in (how[0], other_how[0]):
        brackets_differ = how[0] == other_how[0] and how[1] != other_how[1]
        return not brackets_differ and all(_same(a, b) for a, b in zip(mine, yours))
    return _match(mine, yours)


def _match(mine, yours):
    """Whether the members pair off; equality is transitive enough for the first match to do."""
    left = list(yours)
    for member in mine:
        found = next((i for i, other in enumerate(left) if _same(member, other)), None)
        if found is None:
            return False
        del left[found]
    return True


def _members(text):
    """The members of a list, set, tuple, interval or choice between values, with how it is bracketed; else
    None."""
    if r"\pm" in text:
        return ("free", ""), [text.replace(r"\pm", "+", 1).lstrip("+ "), text.replace(r"\pm", "-", 1)]
    for opening, closing, how in ((r"\{", r"\}", "free"), ("(", ")", "ordered"), ("[", "]", "ordered")):
        for end in (closing, "]" if closing == ")" else ")" if closing == "]" else closing):
            inner = text[len(opening) : -len(end)] if text.startswith(opening) and text.endswith(end) else None
            if inner is not None and _balanced(inner):
                parts = _split(inner)
                if len(parts) > 1 or how == "free":
                    return (how, opening + end), parts
    if _THOUSANDS.fullmatch(text):
        return None
    parts = [p for piece in re.split(r"\s+(?:or|and)\s+|;", text) for p in _split(piece)]
    return (("free", ""), parts) if len(parts) > 1 else None


def _balanced(text):
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _split(text):
    """Splits at commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth <= 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [p.strip() for p in parts if p.strip()]


def _same_one(ours, theirs):
    if _bare(ours) == _bare(theirs):
        return True
    (label, mine), (other_label, yours) = _labelled(ours), _labelled(theirs)
    if label and other_label:
        return label == other_label and (not mine or not yours or _same_value(mine, yours))
    if label or other_label:
        # One names a choice: what it says beside the letter counts, and the letter alone is no value.
        return bool(mine and yours) and _same_value(mine, yours)
    return _same_value(ours, theirs)


def _labelled(text):
    found = _LABEL.fullmatch(text.strip())
    return (found.group(1), found.group(2).strip()) if found else ("", text)


def _same_value(ours, theirs):
    ours, theirs = _assigned(ours), _assigned(theirs)
    (mine, unit), (yours, other_unit) = _with_unit(ours), _with_unit(theirs)
    if unit and other_unit and unit != other_unit:
        return False
    a, b = _number(mine), _number(yours)
    if a is not None and b is not None:
        if _close(a, b):
            # A share below 1 is not that many per cents.
            return not (other_unit == "%" and not unit and 0 < abs(a) < 1)
        # A percentage may be given as the number of per cents or as the share.
        return (unit == "%") != (other_unit == "%") and _close(a / (100 if unit else 1), b / (100 if other_unit else 1))
    if (unit and other_unit) or not (unit or other_unit):
        return _symbolic(mine, yours)
    # Words behind an expression might be part of it: only a number has a unit.
    return _symbolic(ours, theirs) if a is None and b is None else _symbolic(mine, yours)


def _assigned(text):
    """What stands behind `x =`, for one variable."""
    found = re.fullmatch(r"\s*[A-Za-z](?:\([A-Za-z]\))?\s*=\s*([^=]+)", text)
    return found.group(1).strip() if found else text


def _with_unit(text):
    found = _UNIT.fullmatch(text)
    if not found:
        return text, ""
    unit = "degree" if found["sign"] == r"\degree" else found["sign"] or found["word"] or found["glued"]
    unit = " ".join(unit.rstrip(".").split())
    if found["word"] and ((len(unit) == 1 and unit not in _SHORT_UNITS) or unit.lower() in _FUNCTIONS):
        return text, ""
    unit = unit.lower()
    words = {
        "degrees": "degree",
        "percent": "%",
        "per cent": "%",
        "feet": "foot",
        "inches": "inch",
        "dollars": "dollar",
    }
    unit = words.get(unit, unit)
    return found["value"].strip(), unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit


def _number(text):
    """The exact value of a plain number, a fraction, a quotient of integers or a factorial; else None."""
    text = text.strip()
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if len(text) > 200:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text)
    if found := re.fullmatch(r"(\d{1,3})!", text):
        return Fraction(factorial(int(found.group(1))))
    if (found := _SCIENTIFIC.fullmatch(text)) and _DECIMAL.fullmatch(found.group(1)):
        return Fraction(found.group(1)) * Fraction(10) ** int(found.group(2) or found.group(3))
    if found := re.fullmatch(r"([-+]?\d+)\s*/\s*([-+]?\d+)", text):
        return _quotient(found.group(1), found.group(2), "")
    if found := _FRACTION.fullmatch(text):
        sign, top, short_top, bottom, short_bottom = found.groups()
        return _quotient(top or short_top, bottom or short_bottom, sign)
    return None


def _quotient(top, bottom, sign):
    if int(bottom) == 0:
        return None
    value = Fraction(int(top), int(bottom))
    return -value if sign == "-" else value


def _close(a, b):
    return a == b or abs(a - b) <= Fraction(TOLERANCE) * max(abs(a), abs(b))


def _symbolic(ours, theirs):
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig(), ExprExtractionConfig()]
    golds, answers = (parse("\\boxed{" + _radians(t) + "}", config, parsing_timeout=None) for t in (ours, theirs))
    if not golds or not answers:
        return False
    return verify(golds, answers, float_rounding=9, timeout_seconds=None) or _no_difference(golds[0], answers[0])


def _radians(text):
    """Degrees of a sine and its kin are a factor; elsewhere a unit."""
    if _OF_AN_ANGLE.search(text):
        return _ANGLE.sub(r"(\1 \\cdot \\frac{\\pi}{180})", text)
    return text.replace(r"\degree", r"^\circ")


def _no_difference(ours, theirs):
    """Whether two expressions differ by nothing, where math-verify, which takes i for an unknown, sees a difference."""
    from sympy import Expr, I

    if not (isinstance(ours, Expr) and isinstance(theirs, Expr)):
        return False
    imaginary = {symbol: I for symbol in (ours - theirs).free_symbols if symbol.name == "i"}
    mine, yours = (value.doit().subs(imaginary) for value in (ours, theirs))
    if mine.free_symbols or yours.free_symbols:
        return bool(imaginary and (mine - yours).equals(0))
    a, b = complex(mine.evalf(30)), complex(yours.evalf(30))
    return isfinite(abs(a)) and abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
