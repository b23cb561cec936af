"""Cuts a model's thinking away: what a completion answers is what stands behind it.

Shared by all readers of completions, so that a draft in the thinking is an answer nowhere. Completions are hostile
input: everything here is a few linear passes.
"""

from __future__ import annotations

import re

_WORDS = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|seed:think"
_TAGS = (
    rf"<(?:{_WORDS})>|<\|(?:begin_of_thought|START_THINKING|thinking)\|>|\[THINK\]|◁think▷",
    rf"</(?:{_WORDS})>|<\|(?:end_of_thought|END_THINKING|/thinking)\|>|\[/THINK\]|◁/think▷",
)
_START = re.compile(rf"\s*(?:{_TAGS[0]})", re.IGNORECASE)
_END = re.compile(_TAGS[1], re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?(?:<\|message\|>)?")
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>")
_BARE_CHANNEL = re.compile(r"\s*analysis(?=\s*[A-Z\d\"'(*\\])")
"""The first channel's name where the tokens around it were left out of the text."""
_BARE_FINAL = "assistantfinal"


def after_thinking(text: str) -> str | None:
    """What stands behind the thinking; the whole text where there is none, None where it ends inside its thinking.

    Knows tags (`<think>`, `<reasoning>`, `[THINK]` and their kin; the opening one may be missing, because chat
    templates write it into the prompt) and channels (`<|channel|>analysis`, then `<|channel|>final`). A reasoning
    channel or tag counts from where it opens a completion; one that is only mentioned in an answer does not. Never
    raises; linear in the text.
    """
    if channels := list(_CHANNEL.finditer(text)):
        if channels[-1].group(1) != "final":
            return None
        text = text[channels[-1].end() :]
        end = _MESSAGE_END.search(text)
        return text[: end.start()] if end else text
    if _BARE_CHANNEL.match(text) and _BARE_FINAL in text:
        return text.rpartition(_BARE_FINAL)[2]
    ends = list(_END.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    return None if _START.match(rest) else rest
