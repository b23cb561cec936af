"""What a teacher is asked and answers; answers that were paid for lie on disk under the hash of their request.

Nothing is paid twice, by any run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from problems.files import replace_file
from problems.problem import Problem
from rollout.teacher.config import TeacherConfig
from rollout.teacher.cost_ledger import MOST_IN_ROW, Usage, private_folder

CUT_OFF = ("max_tokens", "model_context_window_exceeded", "length")
"""Reasons to stop that mean the answer is not whole."""
NOT_WHOLE = ("None", "", None)
"""Reasons to stop of an answer that broke off: it is asked for again."""

LARGEST_ENTRY = 1 << 26
"""Bytes of a stored answer; a larger file is none of ours."""

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


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
        """The parameters of the protocol's call, of which the answer depends."""
        turns = [{"role": role, "content": content} for role, content in self.messages]
        body: dict[str, Any] = {"model": config.model}
        if config.protocol == "anthropic":
            cached = {"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}
            body |= {"max_tokens": config.max_tokens, "system": [cached], "messages": turns}
        else:
            # OpenAI's newer models know the one name alone, many other servers the other.
            limit = "max_completion_tokens" if config.is_home else "max_tokens"
            system = [{"role": "system", "content": self.system}] if self.system else []
            body |= {limit: config.max_tokens, "messages": [*system, *turns]}
        return body if config.temperature is None else {**body, "temperature": config.temperature}

    def key(self, config: TeacherConfig) -> str:
        """SHA-256 over all that the answer depends on: server or weights, parameters, texts, the sample's number."""
        return _digest(config.url, self.body(config), self.sample)

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
    """One file an answer, written aside and renamed: readers and later runs meet whole answers only.

    A file counts only under the digest of the request that it holds, of the server's address as well: an answer of one
    server is never one of another. Folders and files are the user's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, body: Mapping[str, Any] | None = None) -> Reply | None:
        """The stored answer, or None. Entries that earlier versions wrote do not name their server: they count where
        they hold the same parameters, `body`, as the request that `key` is the digest of."""
        if not _DIGEST.fullmatch(key):
            return None
        try:
            row = json.loads(_read(self._path(key)))
            if "url" in row:
                matches = _digest(row["url"], row["request"], row["sample"]) == key
            else:
                matches = body is not None and _canonical(row["request"]) == _canonical(body)
            reply = Reply.from_row({**row["reply"], "cached": True})
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None  # no answer, or one that a full disk, a crash or a stranger has spoiled
        return reply if matches and reply.key == key and _is_whole(reply) else None

    def put(self, reply: Reply, request: TeacherRequest, config: TeacherConfig) -> None:
        """Stores an answer with its request (which holds no key)."""
        path = self._path(reply.key)
        private_folder(path.parent).chmod(0o700)
        entry = {"url": config.url, "sample": request.sample, "request": request.body(config), "reply": asdict(reply)}
        replace_file(path, json.dumps(entry, indent=1), private=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _digest(url: str, body: Mapping[str, Any], sample: int) -> str:
    return hashlib.sha256(_canonical([url, body, sample]).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _read(path: Path) -> bytes:
    """The bytes of a plain file. Raises OSError, and ValueError for what is none or too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = file.read(LARGEST_ENTRY + 1)
    if len(data) > LARGEST_ENTRY:
        raise ValueError("it is too large")
    return data


def _is_whole(reply: Reply) -> bool:
    """Whether every part of a stored answer has its type, and it did not break off."""
    texts = (reply.text, reply.stop_reason, reply.model, reply.run)
    numbers = (*asdict(reply.usage).values(), reply.dollars, reply.created)
    return (
        all(isinstance(text, str) for text in texts)
        and type(reply.batch) is bool
        and all(type(number) in (int, float) and 0 <= number <= MOST_IN_ROW for number in numbers)
        and reply.stop_reason not in NOT_WHOLE
    )


def answers_folder(config: TeacherConfig) -> Path:
    """Where answers are kept: as configured, under CRUCIBLE_CACHE where that is set, else in the user's cache
    folder."""
    if config.cache is not None:
        return config.cache.expanduser()
    root = os.environ.get("CRUCIBLE_CACHE")
    if root:
        return Path(root).expanduser() / "teacher"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crucible" / "teacher"
