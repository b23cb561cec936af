"""How a job ends before its time: by the user's mistake, by a failure, by Ctrl-C. A message is one line for people."""

from __future__ import annotations

import sys

from problems.plain_text import one_line


class JobError(Exception):
    """The user's mistake; the message names the thing, the cause and the fix."""


class ConfigError(JobError, ValueError):
    """A configuration that cannot be used; the message names the key and the fix."""


class JobFailed(RuntimeError):
    """A failure that is not the user's: an engine, a learner or a server that cannot go on."""


class Interrupted(Exception):
    """The user's Ctrl-C ended the job at a point that it chose; the message says which: `stopped after step 3`."""


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are reported in one line, those of rooms that cannot import this one among them.

    For an `except` clause, which evaluates it once something was raised: a command's help waits for none of these.
    """
    from cluster.auth import TokenError
    from cluster.hardware import NoRoom
    from cluster.private import NotPrivate
    from cluster.storage import StorageError
    from rollout.teacher.request_cache import TeacherStopped

    return JobError, JobFailed, NoRoom, NotPrivate, StorageError, TeacherStopped, TokenError


def fail(message: str) -> int:
    """Prints one line for people on standard error and returns the exit status of a job that ended before its time."""
    print(f"crucible: {one_line(message)}", file=sys.stderr)
    return 2
