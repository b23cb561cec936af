"""Untrusted Python code, parsed and never run; the memory of its syntax tree is bounded."""

from __future__ import annotations

import ast
import re
import warnings

LONGEST = 4 * 2**20
"""Maximum characters of code; the largest tests of public benchmarks have one or two million."""
MOST_WORDS = 2**19
"""Names, numbers, texts and brackets of code: each takes about 1 KiB in the tree."""
_WORD = re.compile(r"\w+|\.{3}|[\[({'\"]")


class CodeError(ValueError):
    """Text that is not Python, or too long."""


def parse(source: str) -> ast.Module:
    """The syntax tree of `source`. Raises CodeError."""
    if len(source) > LONGEST:
        raise CodeError(f"it has {len(source):,} characters, and {LONGEST:,} is the most")
    if len(source) > MOST_WORDS and sum(1 for _ in _WORD.finditer(source)) > MOST_WORDS:
        raise CodeError(f"it has more than {MOST_WORDS:,} words")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its escapes, say, which would print its lines
            return ast.parse(source)
    except (RecursionError, MemoryError):
        raise CodeError("it is nested too deep") from None
    except (SyntaxError, ValueError) as error:
        raise CodeError(str(error)) from None
