"""What goes wrong between us and a teacher's server, and what it means: try again, leave a request out, or stop."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import dataclass
from typing import Any

import anthropic

from problems.plain_text import one_line
from rollout.teacher.config import ANTHROPIC_KEY, TeacherConfig
from rollout.teacher.request_cache import RequestRefused, TeacherDown, TeacherStopped

LONGEST_WAIT = 60.0
"""Seconds between two tries of a request, at most."""
LONGEST_ERROR = 300
"""Characters of a server's own words in a message of ours."""
SHORTEST_SECRET = 8
"""Characters of a key that is looked for in answers: a shorter one may be a word of theirs."""
BUSY = ("overloaded_error", "rate_limit_error", "api_error", "timeout_error")
"""Types of errors that a server may send in the middle of a stream, and that pass."""

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


FAULTS: tuple[type[Exception], ...] = (anthropic.AnthropicError, BrokenAnswer, AnswerTooLarge, Untrusted, *LOST)
"""All that a call of the server may raise and that is no fault of ours."""


def passes(error: BaseException) -> bool:
    """Whether an error is of the kind that goes away: overload, rate limits, server faults, lost connections."""
    if isinstance(error, Untrusted | AnswerTooLarge):
        return False
    if isinstance(error, (anthropic.APIConnectionError, BrokenAnswer, *LOST)):
        return True
    if not isinstance(error, anthropic.APIStatusError):
        return False
    if 300 <= error.status_code < 400:
        return False
    if error.status_code in (408, 409, 429) or error.status_code >= 500:
        return True
    # A stream that has begun has status 200; what broke it is told by an event.
    return error.status_code == 200 or getattr(error, "type", None) in BUSY


def cause(error: BaseException) -> BaseException:
    """What the SDK reports as a lost connection, where it was our own refusal of what the server does; else `error`."""
    inner = error.__cause__
    return inner if isinstance(inner, Untrusted | AnswerTooLarge) else error


def retry_after(error: BaseException | None) -> float:
    """Seconds that the server asked to wait, at most `LONGEST_WAIT`; 0 where it did not."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after") or 0)
    except ValueError:  # a date: the backoff serves
        return 0.0
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds > 0 else 0.0


def plain(error: BaseException, secret: str) -> str:
    """An error in one line, without the key whatever the server echoes."""
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    output = inner.get("message") if isinstance(inner, dict) else None
    status = getattr(error, "status_code", None)
    # Control characters are replaced and the key is taken out before anything is cut: half a key is one too.
    text = without_secret(one_line(without_secret(str(output or error), secret)), secret)[:LONGEST_ERROR]
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
    if 300 <= getattr(error, "status_code", 0) < 400:
        return TeacherStopped(
            f"{url} redirects requests to another address ({text[:3]}), which is not followed; if you trust that one, "
            "give it as teacher.base_url"
        )
    if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
        if config.takes_key:
            return TeacherStopped(
                f"{url} refuses the API key in {config.key_variable} ({text}); set one that is valid, then --resume"
            )
        return TeacherStopped(
            f"{url} wants an API key ({text}), and {ANTHROPIC_KEY} goes to Anthropic alone; put the server's own into "
            "another variable and name that in teacher.key_variable, then --resume"
        )
    if isinstance(error, anthropic.NotFoundError):
        return TeacherStopped(f"{url} has no model {config.model} ({text}); correct teacher.model")
    if isinstance(error, anthropic.PaymentRequiredError) or "credit balance" in text:
        return TeacherStopped(f"the account at {url} has no credit ({text}); add some, then --resume")
    if isinstance(error, anthropic.APIStatusError) and not passes(error):
        return refusal(config, text)
    kind = TeacherStopped if isinstance(error, anthropic.APIStatusError) else TeacherDown
    return kind(
        f"the teacher at {url} did not answer for {config.patience:g} s ({text}); all answers so far are kept: "
        "--resume goes on when it is back, teacher.patience waits longer"
    )


def failure_of(state: Any) -> BaseException:
    """The error of a failed attempt, from tenacity's state of the call."""
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None, "tenacity waits after failures alone"
    return error
