"""What a server of the Messages API answers, read as a stranger's: every part has its type and a bound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from problems.plain_text import one_line
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.errors import AnswerTooLarge, BrokenAnswer

TEXT_BYTES, TOKEN_TEXT = 1 << 12, 128
"""Of an answer's text: at most so many bytes, and so many more for each of its tokens (the longest are white space)."""
LONGEST_NAME = 200
"""Characters of a model's name."""

_USAGE = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_STOP_REASON = re.compile(r"[A-Za-z_]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Message:
    """A whole answer."""

    text: str
    stop_reason: str
    model: str
    """As the server names it; "" where it does not."""
    usage: Usage


class Incoming:
    """An answer that is being read, event by event. `bound` is the most that its request may use."""

    def __init__(self, bound: Usage) -> None:
        self.ended = False
        """Whether the server has said that it is whole."""
        self._bound = bound
        self._begun = False
        self._counts: dict[str, Any] = {}
        self._stop_reason: Any = None
        self._model: Any = None
        self._kinds: dict[Any, str] = {}  # index of a block -> its type
        self._texts: list[str] = []
        self._bytes = 0

    def take(self, event: Any) -> None:
        """Takes an event into account. Raises AnswerTooLarge, and what `teacher_errors.TORN` lists."""
        self._begun = True
        if event.type == "message_start":
            self._model = event.message.model
            self._count(event.message.usage)
        elif event.type == "content_block_start":
            self._kinds[event.index] = event.content_block.type
            self._add(event.index, getattr(event.content_block, "text", ""))
        elif event.type == "content_block_delta":
            self._add(event.index, getattr(event.delta, "text", "") or getattr(event.delta, "thinking", ""))
        elif event.type == "message_delta":
            self._stop_reason = event.delta.stop_reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self.ended = True

    def paid(self) -> Usage | None:
        """Tokens that are paid for even if no more comes: an upper bound, a byte of text counted as a token. None where
        nothing has come."""
        if not self._begun:
            return None
        output = self._counts.get("output_tokens")
        if type(output) is int:
            output = min(max(output, self._bytes), self._bound.output)
        return Usage.of({**self._counts, "output_tokens": output}, self._bound)

    def message(self) -> Message:
        """The whole. Raises BrokenAnswer where the stream ended before it said that it does."""
        if not self.ended or self._stop_reason is None:
            raise BrokenAnswer("the answer broke off before its end")
        return _message("".join(self._texts), self._stop_reason, self._model, self._counts, self._bound)

    def _add(self, index: int, text: Any) -> None:
        if not isinstance(text, str):
            raise TypeError("a text that is none")
        self._bytes += len(text.encode("utf-8", "surrogatepass"))
        _check_length(self._bytes, self._bound)
        if self._kinds.get(index) == "text":
            self._texts.append(text)

    def _count(self, usage: Any) -> None:
        # Counts of later events are totals, and stand for those that they do not name.
        self._counts |= {name: count for name, count in _counts(usage).items() if count is not None}


def read_message(message: Any, bound: Usage) -> Message:
    """A whole answer as the SDK hands it out. Raises BrokenAnswer where it lacks parts, and AnswerTooLarge."""
    try:
        texts = [block.text for block in message.content if block.type == "text"]
        text = "".join(texts)
        _check_length(len(text.encode("utf-8", "surrogatepass")), bound)
        return _message(text, message.stop_reason, message.model, _counts(message.usage), bound)
    except (TypeError, AttributeError, ValueError) as error:
        raise BrokenAnswer(f"the answer lacks parts ({type(error).__name__})") from None


def _message(text: str, stop_reason: Any, model: Any, counts: Mapping[str, Any], bound: Usage) -> Message:
    if not isinstance(stop_reason, str) or not _STOP_REASON.fullmatch(stop_reason):
        raise BrokenAnswer("the answer does not say why it ended")
    # Halves of characters, which JSON can spell, are no text: no file of ours could hold them.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    name = one_line(model, LONGEST_NAME) if isinstance(model, str) else ""
    return Message(text, stop_reason, name, Usage.of(counts, bound))


def _counts(usage: Any) -> dict[str, Any]:
    return {name: getattr(usage, name, None) for name in _USAGE}


def _check_length(size: int, bound: Usage) -> None:
    if size > TEXT_BYTES + TOKEN_TEXT * bound.output:
        raise AnswerTooLarge(f"the answer is longer than {bound.output} tokens can be")
