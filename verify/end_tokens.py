"""End tokens of models that were left in a completion's text."""

from __future__ import annotations

import re

END_TOKEN = r"(?:<[|｜][^<>|｜\s]{1,40}[|｜]>|</s>|<eos>|<end_of_turn>|<turn\|>|\[EOS\])"
"""Pattern of an end token."""
_AT_END = re.compile(rf"{END_TOKEN}\Z")
_LONGEST_TOKEN = 44
_CHUNK = 4096


def content_length(text: str) -> int:
    """Length of the text without trailing whitespace and end tokens. Linear in the text."""
    end = _without_space(text, len(text))
    while token := _AT_END.search(text, max(0, end - _LONGEST_TOKEN), end):
        end = _without_space(text, token.start())
    return end


def _without_space(text: str, end: int) -> int:
    while end:
        start = max(0, end - _CHUNK)
        if kept := len(text[start:end].rstrip()):
            return start + kept
        end = start
    return 0


def without_end_tokens(text: str) -> str:
    """The text without trailing whitespace and end tokens."""
    return text[: content_length(text)]
