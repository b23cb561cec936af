"""What goes wrong between us and a teacher's server, and what it means: try again, leave a request out, or stop."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anthropic

from problems.plain_text import one_line
from rollout.teacher.config import SPOKEN, Protocol, TeacherConfig
from rollout.teacher.request_cache import RequestRefused, TeacherDown, TeacherStopped

LONGEST_WAIT = 60.0
"""Seconds between two tries of a request, at most."""
LONGEST_ERROR = 300
"""Characters of a server's own words in a message of ours."""
SHORTEST_SECRET = 8
"""Characters of a key that is looked for in answers: a shorter one may be a word of theirs."""
BUSY = ("overloaded_error", "rate_limit_error", "api_error", "timeout_error")
"""Types of errors that a server may send in the middle of a stream, and that pass."""
NO_CREDIT = ("insufficient_quota", "billing_error")
"""Types or codes of refusals for want of money; OpenAI sends one with the status of a rate limit."""

# The SDK's HTTP client is httpx or its successor, by version. What breaks while a stream is read comes from there as it
# is: the SDK turns into its own errors only what happens before.
_CLIENTS = [c.__module__.partition(".")[0] for c in anthropic.DefaultAsyncHttpxClient.__mro__]
HTTP = importlib.import_module(next(name for name in _CLIENTS if name.startswith("httpx")))
LOST: tuple[type[Exception], ...] = (HTTP.RequestError, HTTP.StreamError)
"""A connection that breaks, or keeps silent, while something is read from it."""
TORN: tuple[type[Exception], ...] = (
    *LOST,
    ValueError,
    LookupError,
    AssertionError,
    RuntimeError,
    TypeError,
    AttributeError,
)
"""What the reading of a stream raises that lacks parts or is damaged."""


class BrokenAnswer(Exception):
    """A stream that ended before its end, or an answer that lacks parts."""


class AnswerTooLarge(Exception):
    """An answer beyond what `max_tokens` can hold. It is paid for, and would be sent again."""


class Untrusted(Exception):
    """A server that does what none should: it sends us elsewhere, or answers what was not asked."""


class Disconnected(Exception):
    """No connection, or one that was lost."""


class StatusError(Exception):
    """A status that is no success, or an error in the middle of a stream (200)."""

    def __init__(self, status: int, text: str, kind: str = "", retry_after: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind
        """The type or code that the server gives to it."""
        self.retry_after = retry_after


FAULTS: tuple[type[Exception], ...] = (StatusError, Disconnected, BrokenAnswer, AnswerTooLarge, Untrusted, *LOST)
"""All that a call of the server may raise and that is no fault of ours."""
_SDKS = ("anthropic", "openai")


def neutral(error: Exception) -> Exception:
    """What an SDK raised, in no SDK's words; any other error as it is.

    Both SDKs come from one generator, and their errors have the same shape. What an SDK takes for a lost connection may
    be our own refusal of what the server does.
    """
    if type(error).__module__.partition(".")[0] not in _SDKS:
        return error
    if isinstance(error.__cause__, Untrusted | AnswerTooLarge):
        return error.__cause__
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    status, headers = _status(error, inner), getattr(getattr(error, "response", None), "headers", {})
    if status is None:
        lost = error.__cause__ if isinstance(error.__cause__, LOST) else error
        return Disconnected(f"{type(lost).__name__}: {lost}")
    named = [name for name in (inner.get("code"), inner.get("type")) if isinstance(name, str)]
    kind = next((name for name in named if name in NO_CREDIT), named[-1] if named else "")
    return StatusError(status, str(inner.get("message") or error), kind, headers.get("retry-after") or "")


def _status(error: Exception, body: Mapping[str, Any]) -> int | None:
    """The status of a refusal; 200, or the one that the server names, in the middle of a stream; None without one."""
    status = getattr(error, "status_code", None)
    if status is not None or not body:
        return status
    code = body.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 200


def passes(error: BaseException) -> bool:
    """Whether an error is of the kind that goes away: overload, rate limits, server faults, lost connections."""
    if isinstance(error, (Disconnected, BrokenAnswer, *LOST)):
        return True
    if not isinstance(error, StatusError) or 300 <= error.status < 400 or error.kind in NO_CREDIT:
        return False
    # A stream that has begun has status 200; what broke it is told by an event.
    return error.status in (200, 408, 409, 429) or error.status >= 500 or error.kind in BUSY


def retry_after(error: BaseException | None) -> float:
    """Seconds that the server asked to wait, at most `LONGEST_WAIT`; 0 where it did not."""
    try:
        seconds = float(getattr(error, "retry_after", "") or 0)
    except ValueError:  # a date: the backoff serves
        return 0.0
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds > 0 else 0.0


def plain(error: BaseException, secret: str) -> str:
    """An error in one line, without the key whatever the server echoes."""
    status = getattr(error, "status", None)
    # Control characters are replaced and the key is taken out before anything is cut: half a key is one too.
    text = without_secret(one_line(without_secret(str(error), secret)), secret)[:LONGEST_ERROR]
    if isinstance(error, Disconnected):
        return text
    return f"{status}: {text}" if status else f"{type(error).__name__}: {text}"


def without_secret(text: str, secret: str) -> str:
    """A server's text without the key; "" is no key."""
    return text.replace(secret, "***") if secret else text


@dataclass(frozen=True, slots=True)
class Setting:
    """Something of our requests that a model may not take, and what to do then."""

    pattern: str
    fix: str


_OF_THE_TEXT = re.compile(
    r"input length|context (?:length|limit|window)|prompt is too long|input tokens|messages?[.\[ ]*\d|got -\d",
    re.IGNORECASE,
)
"""Refusals for what one request says: another one may be taken."""
SETTINGS = (
    Setting(r"temperature|sampling param", "set teacher.temperature to null (--teacher.temperature None)"),
    Setting(r"max[_ ](?:output_|completion_|new_)?tokens|output tokens", "lower teacher.max_tokens"),
    Setting(r"cache_control|prompt caching", "choose another teacher.model: instructions are sent to be cached"),
    Setting(
        r"top_p|top_k|thinking|stop_sequences|[`'\"](?:stream|system)[`'\"]|\bsystem:|streaming is|anthropic-version",
        "choose another teacher.model: we send no other setting than temperature and max_tokens",
    ),
    Setting(
        r"model.*(?:not (?:exist|found|available|supported|support)|unsupported|deprecated|retired|no longer)"
        r"|(?:unknown|invalid|unsupported) model",
        "correct teacher.model",
    ),
)  # fmt: skip


def refused_setting(text: str) -> str:
    """What to do about a refusal that would meet every request alike; "" where it is about this one."""
    if _OF_THE_TEXT.search(text):
        return ""
    return next((s.fix for s in SETTINGS if re.search(s.pattern, text, re.IGNORECASE)), "")


def refusal(config: TeacherConfig, text: str) -> RequestRefused | TeacherStopped:
    """What a request that is refused as invalid means: that it is left out, or that all would be."""
    fix = refused_setting(text)
    if not fix:
        return RequestRefused(text)
    return TeacherStopped(
        f"{config.model} at {config.url} refuses every request like ours ({text}); {fix}, then --resume"
    )


def meaning(config: TeacherConfig, error: BaseException, text: str) -> RequestRefused | TeacherStopped:
    """What an error that further tries will not cure means for the run. `text` is the error in our words."""
    url = config.url
    if isinstance(error, AnswerTooLarge):
        return RequestRefused(f"{text}; the server does not keep to teacher.max_tokens")
    if isinstance(error, Untrusted):
        return TeacherStopped(f"the server at {url} is not asked any more ({text}); correct teacher.base_url")
    if not isinstance(error, StatusError):
        return TeacherDown(_down(config, text))
    if 300 <= error.status < 400:
        return TeacherStopped(
            f"{url} redirects requests to another address ({text[:3]}), which is not followed; if you trust that one, "
            "give it as teacher.base_url"
        )
    if error.status in (401, 403):
        if config.key_name:
            return TeacherStopped(
                f"{url} refuses the API key in {config.key_name} ({text}); set one that is valid, then --resume"
            )
        return TeacherStopped(
            f"{url} wants an API key ({text}), and gets none: put its own into a variable of the environment and name "
            "that in teacher.key_variable, then --resume"
        )
    if error.status == 402 or error.kind in NO_CREDIT or "credit balance" in text:
        return TeacherStopped(f"the account at {url} has no credit ({text}); add some, then --resume")
    if error.status == 404:
        return TeacherStopped(f"{url} has no model {config.model} ({text}); correct teacher.model")
    return TeacherStopped(_down(config, text)) if passes(error) else refusal(config, text)


def _down(config: TeacherConfig, text: str) -> str:
    return (
        f"the teacher at {config.url} did not answer for {config.patience:g} s ({text}); all answers so far are kept: "
        "--resume goes on when it is back, teacher.patience waits longer"
    )


def may_be_of_another_protocol(error: BaseException) -> bool:
    """Whether a server may lack what we ask of it, and not the model: the path is not found, and no model is named."""
    if not isinstance(error, StatusError) or error.status not in (404, 405):
        return False
    return error.kind != "not_found_error" and "model" not in str(error).lower()


def speaks_another(config: TeacherConfig, protocol: Protocol) -> TeacherStopped:
    """A server that has what the other protocol asks for, and not what ours does."""
    return TeacherStopped(
        f"{config.url} speaks {SPOKEN[protocol]}, not {SPOKEN[config.protocol]}: set teacher.protocol {protocol}"
    )


def no_batches(config: TeacherConfig, text: str) -> TeacherStopped:
    """A server that answers single requests, if any."""
    return TeacherStopped(f"{config.url} takes no batches ({text}); leave teacher.batch out")


def not_served(config: TeacherConfig, text: str) -> TeacherStopped:
    """A server that has what neither protocol asks for."""
    return TeacherStopped(
        f"{config.url} serves neither {SPOKEN['anthropic']} nor {SPOKEN['openai']} ({text}); correct teacher.base_url"
    )


def failure_of(state: Any) -> BaseException:
    """The error of a failed attempt, from tenacity's state of the call."""
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None, "tenacity waits after failures alone"
    return error
