"""Equality of two mathematical answers. Plain ones (numbers, lists, sets, intervals, units, letters, words) are
compared by exact rules; only the rest needs computer algebra.

Runs inside the sandbox: a hostile answer can keep computer algebra busy for ever.
"""

import re

from verify.checkers.maths.cleaning import bare, clean, same_words
from verify.checkers.maths.lists import as_tuple, match, members, named_values, split, without_names
from verify.checkers.maths.numbers import Number, close, number, with_unit
from verify.checkers.maths.reals import reals, same_reals
from verify.checkers.maths.symbolic import number_by_algebra, same_by_algebra, same_equations

_FEW_MEMBERS = 40
"""Most members of a list that are compared."""
_LABEL = re.compile(
    r"(?:(?i:option|choice|answer)\s+)?(?:\(([A-J])\)[.:]?\s*|([A-J])(?:[.:)]\s*|\s+(?=-?[\d.])|$))(.*)", re.DOTALL
)
_NO_LABEL = re.compile(
    r"\s*(?:[=+*/^_<>|!,']|-(?!\d)|\\(?:cdot|times|div|pm|mp|le|ge|ne|in|approx|equiv|sim|to|cup|cap)(?![a-zA-Z]))"
)
"""Text after a letter that makes the letter a variable rather than an option."""
_NAME = re.compile(r"\|?[A-Za-z](?:_\{?\w+\}?|')*(?:\([^()=]{1,20}\))?\|?")
_NUMBER_SETS = re.compile(r"[A-Za-z]\s*\\in(?![a-zA-Z])\s*(?=\\\{|\\emptyset)")
_AXIS = re.compile(r"\s*(?P<name>[xyz])\s*=(?P<value>[^=]+)|(?P<first>[^=]+)=\s*(?P<last>[xyz])\s*")
_INEQUALITY = re.compile(r"!=|[<>]|\\(?:le|ge|ne|not|sim|equiv)(?![a-zA-Z])")
_RELATION = re.compile(r"[=<>]|\\(?:le|ge|ne|approx)(?![a-zA-Z])")
_MAX_LINKS = 6
"""Most members of a chain of equations that are compared."""


def equal(gold, answer):
    """Whether `answer` is mathematically equal to `gold`. Both are contents of boxes, without the box."""
    ours, theirs = clean(gold), clean(answer)
    if not theirs:
        return False
    if bare(ours) == bare(theirs) or same_words(gold, answer, ours, theirs) or _same(ours, theirs):
        return True
    # If the gold is a list, commas that could be thousands separators may separate members.
    apart = re.sub(r"(?<=\d),(?=\d)", ", ", answer)
    return apart != answer and members(ours) is not None and _same(ours, clean(apart))


def _same(ours, theirs):
    if bare(ours) == bare(theirs):
        return True
    ours, theirs = _NUMBER_SETS.sub("", ours), _NUMBER_SETS.sub("", theirs)
    mine, yours = reals(ours), reals(theirs)
    if mine and yours and (mine.only_a_set or yours.only_a_set):
        return same_reals(mine, yours, _same_quantity)
    names, other_names = named_values(ours), named_values(theirs)
    if names and other_names:
        return names.keys() == other_names.keys() and all(_same(names[n], other_names[n]) for n in names)
    # The order of a gold tuple is as written, whatever the names.
    plain, other = without_names(ours), without_names(theirs)
    return _same_members(plain, other, names if plain == ours else None, other_names)


def _same_members(ours, theirs, names, other_names):
    mine, yours = members(ours), members(theirs)
    if mine is None and yours is None:
        return _same_one(ours, theirs)
    if mine is None or yours is None:
        # A list with one member equals that member; any other list does not equal a single value.
        only = (mine or yours or ((), ()))[1]
        other = theirs if yours is None else ours
        return len(only) == 1 and _same_one(only[0], other)
    (how, mine), (other_how, yours) = mine, yours
    if len(mine) != len(yours) or len(mine) > _FEW_MEMBERS:
        return False
    if names or (other_names and how[0] == "ordered"):
        # If the other side is a tuple, named values are compared as a tuple.
        mine, yours = as_tuple(names) if names else mine, as_tuple(other_names) if other_names else yours
        return how[1] != r"\{\}" and other_how[1] != r"\{\}" and all(_same(a, b) for a, b in zip(mine, yours))
    if "ordered" in (how[0], other_how[0]):
        brackets_differ = how[0] == other_how[0] and how[1] != other_how[1]
        return not brackets_differ and all(_same(a, b) for a, b in zip(mine, yours))
    return match(mine, yours, _same)


def _same_one(ours, theirs):
    if bare(ours) == bare(theirs):
        return True
    (label, mine), (other_label, yours) = _labelled(ours), _labelled(theirs)
    if label and other_label:
        return label == other_label and (not mine or not yours or _same_value(mine, yours))
    if label or other_label:
        # Only one has an option's letter: the value next to the letter counts, and a letter alone is no value.
        return bool(mine and yours) and _same_value(mine, yours)
    return _same_value(ours, theirs)


def _labelled(text):
    """The letter of an option and the text after it; the letter is "" if there is none, or if it is a variable."""
    found = _LABEL.fullmatch(text.strip())
    if not found or _NO_LABEL.match(found[3]):
        return "", text
    return found[1] or found[2], found[3].strip()


def _same_value(ours, theirs):
    """Whether two values, equations or inequalities are equal."""
    value = _assigned(ours)
    if _RELATION.search(ours) and _RELATION.search(theirs):
        if _other_axis(ours, theirs):
            return False
        other = _assigned(theirs)
        if value is not None and other is not None and _same_quantity(value, other):
            return True
        if r"\approx" not in ours + theirs:
            return same_equations(ours, theirs)
        if value is None:
            return False
    return any(_same_quantity(ours if value is None else value, other) for other in _values(theirs))


def _other_axis(ours, theirs):
    """Whether the two give values to different coordinates: `x = 2` is a different line than `y = 2`. Other names are
    arbitrary: `n = 2` is equivalent to `x = 2`."""
    axes = [found for text in (ours, theirs) if (found := _AXIS.fullmatch(text))]
    if len(axes) < 2 or any(_has_variables(axis["value"] or axis["first"]) for axis in axes):
        return False
    return len({axis["name"] or axis["last"] for axis in axes}) > 1


def _assigned(text):
    """The value that a text assigns to a variable: `x = 5`, `5 = x`, `f(x) = 5`; None for any other text."""
    parts = split(text, "=")
    if len(parts) != 2 or _INEQUALITY.search(text):
        return None
    for name, value in (parts, parts[::-1]):
        if _NAME.fullmatch(name):
            return value
    return None


def _values(text):
    """The values that an answer states: empty if it is a chain of equations whose members differ."""
    if (value := _assigned(text)) is not None:
        return [value]
    if _INEQUALITY.search(text):
        return []
    links = [split(part, "\0") for part in split(text.replace(r"\approx", "\0"), "=")]
    parts = [part for link in links for part in link]
    if len(parts) == 1:
        return [text]
    if not 1 < len(parts) <= _MAX_LINKS:
        return []
    if not _has_variables(parts[-1]):
        # A name and its formula before the value: `S = n(n + 1)/2 = 55`.
        links = [[part for part in link if not _has_variables(part)] for link in links]
    elif _NAME.fullmatch(parts[0]):
        links[0] = links[0][1:]
    links = [link for link in links if link]
    exact = [link[0] for link in links]
    if not all(_same_quantity(exact[0], other) for other in exact[1:]):
        return []
    rounded = [part for link in links for part in link[1:]]
    if not all(_is_rounding(part, exact[0]) for part in rounded):
        return []
    return [exact[-1], *rounded]


def _has_variables(text):
    """Whether a text has letters other than function names, e and i."""
    return re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+|(?<![A-Za-z])[ei](?![A-Za-z])", "", text)) is not None


def _is_rounding(text, exact):
    """Whether a decimal of three or more digits is `exact` rounded to that many places."""
    shown = number(text)
    if not shown or shown.places is None or len(text.strip("-0. ").replace(".", "")) < 3:
        return False
    value = number(exact) or number_by_algebra(exact)
    return value is not None and 2 * abs(value.value - shown.value) * 10**shown.places <= 1


def _same_quantity(ours, theirs):
    (mine, unit), (yours, other_unit) = with_unit(ours), with_unit(theirs)
    if unit and other_unit and unit != other_unit:
        return False
    a, b = number(mine), number(yours)
    if a and b:
        if close(a, b):
            # A share below 1 does not equal the same number of percent.
            return not (other_unit == "%" and not unit and 0 < abs(a.value) < 1)
        # A percentage may be given as a number of percent or as a share.
        return (unit == "%") != (other_unit == "%") and close(_share(a, unit), _share(b, other_unit))
    if (unit and other_unit) or not (unit or other_unit):
        return same_by_algebra(mine, yours, *_decimals(a, b))
    # Words after an expression may be part of it: only a number has a unit.
    return same_by_algebra(ours, theirs) if not (a or b) else same_by_algebra(mine, yours, *_decimals(a, b))


def _share(value, unit):
    if not unit:
        return value
    return Number(value.value / 100, None if value.places is None else value.places + 2)


def _decimals(a, b):
    """The numbers for the comparison by algebra, if one of them is a decimal."""
    return (a, b) if any(n and n.places is not None for n in (a, b)) else (None, None)
