"""How models mark their thinking: tags such as `<think>`, and channels such as `<|channel|>analysis`.

Two rooms need the same list: prompts (a chat template may leave the thinking open) and verdicts (a draft in it is no
answer).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|seed:think"
OPENING = rf"<(?:{_WORDS})>|<\|(?:begin_of_thought|START_THINKING|thinking)\|>|\[THINK\]|◁think▷"
"""Pattern of the marks that open a thinking; matched without regard to case."""
CLOSING = rf"</(?:{_WORDS})>|<\|(?:end_of_thought|END_THINKING|/thinking)\|>|\[/THINK\]|◁/think▷"
"""Pattern of the marks that close it."""
CHANNEL = r"<\|channel\|>\s*(?P<name>\w*)[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?(?:<\|message\|>)?"
"""Pattern of the head of a message in a channel. All channels but `final` are thinking."""
_LEFT_OPEN = re.compile(rf"(?:{OPENING}|<\|channel\|>(?!final)\w+<\|message\|>)\Z", re.IGNORECASE)
_TAG = re.compile(rf"{OPENING}|{CLOSING}", re.IGNORECASE)
_CHANNEL_TOKENS = {f"<|{name}|>" for name in ("channel", "message", "start", "end", "return", "call", "constrain")}
_ODD_PAIRS = {"<|begin_of_thought|>": "<|end_of_thought|>", "<|START_THINKING|>": "<|END_THINKING|>"}
_TAIL = 200
"""Characters at a prompt's end that are looked at."""


def left_open(prompt: str) -> str:
    """The mark with which a prompt ends where it leaves a thinking open; "" where it does not."""
    found = _LEFT_OPEN.search(prompt[-_TAIL:].rstrip())
    return found.group() if found else ""


def closing_of(opening: str) -> str:
    """The mark that closes what `opening` (as from `left_open`) opens."""
    if opening.startswith("<|channel|>"):
        return "<|end|><|start|>assistant<|channel|>final<|message|>"
    return _ODD_PAIRS.get(opening) or opening.replace("<", "</", 1).replace("</|", "<|/", 1).replace(
        "[", "[/", 1
    ).replace("◁", "◁/", 1)


def marks_among(tokens: Iterable[str]) -> set[str]:
    """Those of a vocabulary's special tokens without which a text's thinking could not be told from its answer."""
    tokens = set(tokens)
    channels = tokens & _CHANNEL_TOKENS if "<|channel|>" in tokens else set()
    return {token for token in tokens if _TAG.fullmatch(token)} | channels
