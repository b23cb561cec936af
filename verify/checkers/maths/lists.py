"""Lists, sets, tuples and named values: their members and brackets."""

import re

_FEW = 40
"""Most members of a list that are compared."""
_ONE_NAME = r"[A-Za-z](?:_\{?\w\}?)?"
_NAMES = re.compile(rf"\(\s*({_ONE_NAME}(?:\s*,\s*{_ONE_NAME})+)\s*\)\s*=\s*(?=\()")
_POINT = re.compile(r"[A-Z]\s*=?\s*(?=\([^()]*,[^()]*\)$)")
_NAMED = re.compile(r"([A-Za-z])(?:_\{?(\w+)\}?)?\s*=\s*([^=]+)")
_ALPHABETICAL = ("xyzw", "abcdefgh", "pqrstuv")
"""Names in alphabetical order; for other names the order of the text counts."""


def members(text):
    """(Kind of brackets, members) of a list, set, tuple, interval or choice of values; None for anything else."""
    if r"\pm" in text and not text.startswith(r"\{"):
        return ("free", ""), _both_signs(_pieces(text))
    for opening, closing, how in ((r"\{", r"\}", "free"), ("(", ")", "ordered"), ("[", "]", "ordered")):
        for end in (closing, "]" if closing == ")" else ")" if closing == "]" else closing):
            inner = text[len(opening) : -len(end)] if text.startswith(opening) and text.endswith(end) else None
            if inner is not None and _balanced(inner):
                parts = split(inner)
                if len(parts) > 1 or how == "free":
                    parts = _both_signs(parts) if how == "free" else parts
                    return (how, opening + end), parts
    parts = _pieces(text)
    return (("free", ""), parts) if len(parts) > 1 else None


def _pieces(text):
    return [p for piece in re.split(r"\s(?:or|and)\s|;", text) for p in split(piece)]


def _both_signs(parts):
    """Replaces each member with `\\pm` by its values: up to two signs, chosen independently."""
    found = []
    for part in parts:
        signs = part.count(r"\pm")
        if not 1 <= signs <= 2:
            found.append(part)
            continue
        at_once = -1 if signs == 1 else 1
        upper = part.replace(r"\pm", "+", at_once).replace(r"\mp", "-")
        lower = part.replace(r"\pm", "-", at_once).replace(r"\mp", "+")
        upper = re.sub(r"(^|[=(,{]|\[)\s*\+\s*", r"\1", upper)
        found += [upper, lower] if signs == 1 else _both_signs([upper, lower])
    return found


def _balanced(text):
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return False
    return depth == 0


def split(text, at=","):
    """Splits at a character, but not inside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == at and depth <= 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [p.strip() for p in parts if p.strip()]


def without_names(text):
    """A tuple or point without the names before it: `(x, y) = (1, 2)` and `P(1, 2)` become `(1, 2)`."""
    found = _NAMES.match(text) or _POINT.match(text)
    return text[found.end() :] if found else text


def named_values(text):
    """The values of `x = 1, y = 2` by name; None for anything else, or if a name has two values."""
    if tupled := _NAMES.match(text):
        names, inner = [re.sub(r"[\s_{}]", "", name) for name in tupled[1].split(",")], text[tupled.end() + 1 : -1]
        parts = split(inner) if text.endswith(")") and _balanced(inner) else []
        return dict(zip(names, parts)) if len(set(names)) == len(names) == len(parts) else None
    parts = [p for piece in re.split(r"\sand\s|;", text) for p in split(piece)]
    found = [match for part in parts if (match := _NAMED.fullmatch(part))] if 1 < len(parts) <= _FEW else []
    if not found or len(found) < len(parts):
        return None
    values = {m[1] + (m[2] or ""): m[3].strip() for m in found}
    return values if len(values) == len(parts) else None


def as_tuple(values):
    """Named values in the order of a tuple: by name if the names have an order, otherwise as written."""
    names = list(values)
    letters = "".join(names)
    if any(set(letters) <= set(row) for row in _ALPHABETICAL) or len({name[0] for name in names}) == 1:
        names.sort(key=lambda name: ("xyzw".find(name), name))
    return [values[name] for name in names]


def match(mine, yours, same):
    """Whether the members can be paired. The first match is taken: equality is transitive enough for that."""
    left = list(yours)
    for member in mine:
        found = next((i for i, other in enumerate(left) if same(member, other)), None)
        if found is None:
            return False
        del left[found]
    return True
