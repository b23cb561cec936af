"""What a teacher is asked and answers; answers that were paid for lie on disk under the hash of their request.

Nothing is paid twice, by any run.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from problems.problem import Problem
from rollout.purse import Usage
from rollout.teacher_config import TeacherConfig

CUT_OFF = ("max_tokens", "model_context_window_exceeded")
"""Reasons to stop that mean the answer is not whole."""
NOT_WHOLE = ("None", "", None)
"""Reasons to stop of an answer that broke off: it is asked for again."""


class TeacherStopped(RuntimeError):
    """The teacher cannot answer any more; the message says why and how to go on."""


class TeacherDown(TeacherStopped):
    """The connection was lost for good: whether the last requests were paid for is not known."""


class RequestRefused(RuntimeError):
    """The teacher will not answer this one request, however often it is asked."""


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """One question to a teacher."""

    system: str
    """What all requests of a job begin with: the server keeps it in its prompt cache."""
    messages: tuple[tuple[str, str], ...]
    """(role, text), the user's first."""
    sample: int = 0
    """Tells several answers to the same question apart; part of the key, never sent."""
    problem: Problem | None = field(default=None, repr=False)
    """What is asked about; the offline teacher needs it, servers never see it."""

    def body(self, config: TeacherConfig) -> dict[str, Any]:
        """The parameters of the Messages API."""
        cached = {"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}
        body = {
            "model": config.model,
            "max_tokens": config.max_tokens,
            "system": [cached],
            "messages": [{"role": role, "content": text} for role, text in self.messages],
        }
        return body if config.temperature is None else {**body, "temperature": config.temperature}

    def key(self, config: TeacherConfig) -> str:
        """SHA-256 over all that the answer depends on: server, parameters, texts, and the sample's number."""
        parts = [config.url, self.body(config), self.sample]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def texts(self) -> list[str]:
        """All that is sent."""
        return [self.system, *(text for _, text in self.messages)]


@dataclass(frozen=True, slots=True)
class Reply:
    """A teacher's answer."""

    key: str
    text: str
    stop_reason: str
    model: str
    """The model that answered, as the server names it."""
    usage: Usage = field(default_factory=Usage)
    dollars: float = 0.0
    batch: bool = False
    created: float = 0.0
    """When it was answered: seconds since 1970."""
    seconds: float = 0.0
    """How long that took."""
    run: str = ""
    """The run that paid for it."""
    cached: bool = False
    """Whether it was taken from the disk."""

    @property
    def finish_reason(self) -> str:
        """`length` where the answer was cut off, else `stop`."""
        return "length" if self.stop_reason in CUT_OFF else "stop"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Reply:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**row, "usage": Usage(**row["usage"])})


class AnswerCache:
    """One file an answer, written aside and renamed: readers and later runs meet whole answers only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Reply | None:
        """The stored answer, or None."""
        try:
            row = json.loads(self._path(key).read_text())
        except (FileNotFoundError, ValueError):  # no answer, or one that a full disk or a crash has spoiled
            return None
        if row["reply"]["stop_reason"] in NOT_WHOLE:
            return None
        return Reply.from_row({**row["reply"], "cached": True})

    def put(self, reply: Reply, body: Mapping[str, Any]) -> None:
        """Stores an answer with the request's parameters (which hold no key), for people who look."""
        path = self._path(reply.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
        with open(aside, "w") as file:
            json.dump({"request": body, "reply": asdict(reply)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def answers_folder(config: TeacherConfig) -> Path:
    """Where answers are kept: as configured, under CRUCIBLE_CACHE where that is set, else in the user's cache
    folder."""
    if config.cache is not None:
        return config.cache.expanduser()
    root = os.environ.get("CRUCIBLE_CACHE")
    if root:
        return Path(root).expanduser() / "teacher"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crucible" / "teacher"
