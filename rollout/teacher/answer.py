"""What a server answers, read as a stranger's: every part has its type and a bound."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
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
_STOP_REASON = re.compile(r"[A-Za-z_]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Message:
    """A whole answer."""

    text: str
    stop_reason: str
    model: str
    """As the server names it; "" where it does not."""
    usage: Usage


class Incoming(ABC):
    """An answer that is being read, event by event. `bound` is the most that its request may use."""

    def __init__(self, bound: Usage) -> None:
        self.ended = False
        """Whether the server has said that it is whole."""
        self._bound = bound
        self._begun = False
        self._counts: dict[str, Any] = {}
        self._stop_reason: Any = None
        self._model: Any = None
        self._texts: list[str] = []
        self._bytes = 0

    def take(self, event: Any) -> None:
        """Takes an event into account. Raises AnswerTooLarge, and what `errors.TORN` lists."""
        self._begun = True
        self._take(event)

    @abstractmethod
    def _take(self, event: Any) -> None:
        """Of one protocol."""

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
        if self._stop_reason is None:
            raise BrokenAnswer("the answer broke off before its end")
        return _message("".join(self._texts), self._stop_reason, self._model, self._counts, self._bound)

    def _add(self, text: Any, shown: bool = True) -> None:
        """Counts a part of the text, and keeps it unless it is thinking."""
        if not isinstance(text, str):
            raise TypeError("a text that is none")
        self._bytes += len(text.encode("utf-8", "surrogatepass"))
        check_length(self._bytes, self._bound)
        if shown:
            self._texts.append(text)

    def _count(self, counts: Mapping[str, Any]) -> None:
        # Counts of later events are totals, and stand for those that they do not name.
        self._counts |= {name: count for name, count in counts.items() if count is not None}


def read_text(text: str, stop_reason: Any, model: Any, counts: Mapping[str, Any], bound: Usage) -> Message:
    """A whole answer whose parts are known. Raises BrokenAnswer where one is of the wrong type, and AnswerTooLarge."""
    check_length(len(text.encode("utf-8", "surrogatepass")), bound)
    return _message(text, stop_reason, model, counts, bound)


def _message(text: str, stop_reason: Any, model: Any, counts: Mapping[str, Any], bound: Usage) -> Message:
    if not isinstance(stop_reason, str) or not _STOP_REASON.fullmatch(stop_reason):
        raise BrokenAnswer("the answer does not say why it ended")
    # Halves of characters, which JSON can spell, are no text: no file of ours could hold them.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    name = one_line(model, LONGEST_NAME) if isinstance(model, str) else ""
    return Message(text, stop_reason, name, Usage.of(counts, bound))


def check_length(size: int, bound: Usage) -> None:
    """Raises AnswerTooLarge where a text has more bytes than its tokens can."""
    if size > TEXT_BYTES + TOKEN_TEXT * bound.output:
        raise AnswerTooLarge(f"the answer is longer than {bound.output} tokens can be")
