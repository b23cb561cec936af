"""Converts the cells of a data set to text: plain values as people write them, chats to their question.

A cell is never converted to Python's notation: a cell without plain text is refused, with a hint how to name the part
that is meant.
"""

from __future__ import annotations

import ast
import io
import itertools
import math
import re
import tokenize
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from problems import json_text

LONGEST_NOTATION = 1 << 20
"""Maximum characters of a cell that is parsed as Python's notation of a list or object."""
EXACT_DIGITS = 15
"""Digits of any decimal that survive conversion to a float."""
_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
          "gpt": "assistant", "model": "assistant"}  # fmt: skip


class CellError(ValueError):
    """A cell that cannot be used as it is; the message gives its content and the fix."""


def plain(value: Any) -> str:
    """A text or number as text: 11.0 becomes 11, and integers are exact.

    Raises CellError for anything else, and for numbers that are not finite.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise CellError(f"is the truth value {str(value).lower()}, which is no text")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise CellError(f"is {value}, which is no number")
        number = Decimal(repr(value)) if isinstance(value, float) else value
        if isinstance(value, float) and abs(value) >= 2**53 and len(number.as_tuple().digits) > EXACT_DIGITS:
            raise CellError(f"is {value}, which has lost digits as a float; write it as text or as a whole number")
        text = format(number, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if value is None:
        raise CellError("is empty")
    if isinstance(value, Mapping):
        raise CellError(f"is an object; name one of its fields: {', '.join(map(str, value)) or 'there are none'}")
    if isinstance(value, list | tuple):
        raise CellError(f"is a list of {len(value)}; name an item of it, for example COLUMN.0")
    raise CellError(f"holds {type(value).__name__}, which is no text")


def question_text(value: Any) -> str:
    """The text of a question: a plain value, "" for an empty cell, or the system and user messages of a chat.

    Raises CellError for other lists and objects, and for a chat that continues after an answer.
    """
    if value is None:
        return ""
    messages = chat(value)
    if messages is None:
        return plain(value)
    if messages and messages[-1][0] == "assistant":  # the answer to the question
        messages = messages[:-1]
    if not messages:
        raise CellError("is a chat in which nobody asks")
    if any(role == "assistant" for role, _ in messages):
        raise CellError("is a chat with an answer in its middle; name one message, for example COLUMN.0.content")
    return "\n\n".join(text for _, text in messages if text.strip())


def chat(value: Any) -> list[tuple[str, str]] | None:
    """(role, text) of each message of a chat, None if the value is not a chat.

    Messages have `role` and `content`, or `from` and `value`. Raises CellError for an unknown role, and for content
    that is not text.
    """
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list | tuple) or not items or not all(map(_is_message, items)):
        return None
    messages = []
    for item in items:
        role, content = (item["role"], item["content"]) if "content" in item else (item["from"], item["value"])
        if role not in _ROLES:
            raise CellError(f"is a chat with a message of the role {role!r}; name one message, as COLUMN.0.content")
        messages.append((_ROLES[role], _content(content)))
    return messages


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) and ({"role", "content"} <= item.keys() or {"from", "value"} <= item.keys())


def _content(content: Any) -> str:
    if not isinstance(content, list | tuple):
        return plain(content)
    parts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise CellError("is a chat with a message that is not all text")
        parts.append(text)
    return "\n".join(parts)


def answers(value: Any) -> list[str]:
    """The parts of a gold answer: the items of a list, the last answer of a chat, otherwise the value itself.

    A text in the notation of a list of texts, as tables write lists, counts as that list. Raises CellError for values
    without plain text.
    """
    messages = chat(value)
    if messages is not None:
        if messages[-1][0] != "assistant":
            raise CellError("is a chat that ends without an answer")
        return [messages[-1][1]]
    items = as_list(value)
    if items is None:
        return [plain(value)]
    while len(items) == 1 and isinstance(items[0], list | tuple):
        items = list(items[0])
    if not items:
        raise CellError("is an empty list")
    return [plain(item) for item in items]


def joined(parts: Sequence[str]) -> str:
    """Several answers as one list. Raises CellError if a part is itself a list: the parts would run together."""
    if len(parts) == 1:
        return parts[0].strip()
    plain_parts = []
    for part in parts:
        text = part.strip()
        if len(text) > 1 and text[0] == text[-1] == "$" and "$" not in text[1:-1]:
            text = text[1:-1].strip()
        if re.fullmatch(r"[-+]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?", text):
            text = text.replace("{,}", "").replace(",", "")
        if not text:
            raise CellError("is a list with an empty item")
        if _has_outer_comma(text):
            raise CellError(f"is a list whose item {text!r} is a list itself; name one item, for example COLUMN.0")
        plain_parts.append(text)
    return ", ".join(plain_parts)


def _has_outer_comma(text: str) -> bool:
    depth = 0
    for char in text.replace("{,}", ""):
        depth += (char in "([{") - (char in ")]}")
        if char in ",;" and depth <= 0:
            return True
    return False


def as_list(value: Any) -> list[Any] | None:
    """A list, also one of texts in JSON's or Python's notation, as in tables; None for anything else.

    Raises CellError for adjacent texts without commas, as numpy prints them.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str) or not re.match(r"""\s*\[\s*[rRuU]?['"]""", value):
        return None
    items = parsed(value)
    return items if isinstance(items, list) and all(isinstance(item, str) for item in items) else None


def parsed(text: str) -> Any:
    """The list or object with this JSON or Python notation; None if the text is neither.

    Raises CellError for adjacent texts without commas, which Python would join.
    """
    if not re.match(r"\s*[\[{]", text):
        return None
    try:
        return json_text.loads(text)
    except ValueError:
        pass
    if len(text) > LONGEST_NOTATION:
        return None
    try:
        value = ast.literal_eval(text.strip())
        tokens = [t.type for t in tokenize.generate_tokens(io.StringIO(text.strip()).readline) if t.type != tokenize.NL]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        return None
    if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(tokens):
        raise CellError("is a list without commas, as numpy prints it; write the file again with real lists")
    return value if isinstance(value, list | dict) else None
