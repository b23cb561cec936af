"""What an engine is asked by messages, for a teacher whose model it serves, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

TEACHER = "teacher"
"""The run under which an engine books such requests: the model alone, without adapters."""


class NoRoomToAnswer(ValueError):
    """A prompt that leaves no token of the engine's context for an answer."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One question."""

    key: str
    """Tells requests apart."""
    system: str
    turns: tuple[tuple[str, str], ...]
    """(role, text), the user's first and last."""
    temperature: float
    max_tokens: int
    seed: int
    """Equal seeds give equal answers."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """Its answer."""

    text: str
    finish_reason: str
    """`stop` or `length`."""
    prompt_tokens: int
    completion_tokens: int
