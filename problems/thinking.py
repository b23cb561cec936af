"""How models mark their thinking: tags such as `<think>`, and channels such as `<|channel|>analysis`.

Prompts and verdicts need the same list: a chat template may leave the thinking open, and a draft inside it is not an
answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|seed:think"
OPENING = rf"<(?:{_WORDS})>|<\|(?:begin_of_thought|START_THINKING|thinking)\|>|\[THINK\]|◁think▷"
"""Pattern of the marks that start the thinking; matched case-insensitively."""
CLOSING = rf"</(?:{_WORDS})>|<\|(?:end_of_thought|END_THINKING|/thinking)\|>|\[/THINK\]|◁/think▷"
"""Pattern of the marks that end it."""
CHANNEL = r"<\|channel\|>\s*(?P<name>\w*)[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?(?:<\|message\|>)?"
"""Pattern of the header of a message in a channel. All channels except `final` are thinking."""
_LEFT_OPEN = re.compile(rf"(?:{OPENING}|<\|channel\|>(?!final)\w+<\|message\|>)\Z", re.IGNORECASE)
_TAG = re.compile(rf"{OPENING}|{CLOSING}", re.IGNORECASE)
_CHANNEL_TOKENS = {f"<|{name}|>" for name in ("channel", "message", "start", "end", "return", "call", "constrain")}
_ODD_PAIRS = {"<|begin_of_thought|>": "<|end_of_thought|>", "<|START_THINKING|>": "<|END_THINKING|>"}
_TAIL = 200
"""Characters at a prompt's end that are searched."""


def left_open(prompt: str) -> str:
    """The mark at the end of a prompt that leaves the thinking open; "" if it does not."""
    found = _LEFT_OPEN.search(prompt[-_TAIL:].rstrip())
    return found.group() if found else ""


def closing_of(opening: str) -> str:
    """The mark that ends the thinking started by `opening` (from `left_open`)."""
    if opening.startswith("<|channel|>"):
        return "<|end|><|start|>assistant<|channel|>final<|message|>"
    return _ODD_PAIRS.get(opening) or opening.replace("<", "</", 1).replace("</|", "<|/", 1).replace(
        "[", "[/", 1
    ).replace("◁", "◁/", 1)


def marks_among(tokens: Iterable[str]) -> set[str]:
    """The special tokens of a vocabulary that are needed to separate a text's thinking from its answer."""
    tokens = set(tokens)
    channels = tokens & _CHANNEL_TOKENS if "<|channel|>" in tokens else set()
    return {token for token in tokens if _TAG.fullmatch(token)} | channels
