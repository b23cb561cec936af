"""A teacher for jobs that need its answers before they know the next question: blocking calls, one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import ConfigError
from problems.problem import Problem
from rollout.teacher.client import Answered, Teacher, answer_all
from rollout.teacher.config import TeacherConfig
from rollout.teacher.cost_ledger import Account
from rollout.teacher.keys import find_keys
from rollout.teacher.opening import open_teacher
from rollout.teacher.prompt_files import TeacherPrompts
from rollout.teacher.request_cache import TeacherRequest, TeacherStopped


class SyncTeacher:
    """A teacher with blocking calls. Every answer of a server is on disk before it is returned, so a job that repeats a
    request, resumed or not, pays nothing."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._runner = asyncio.Runner()

    def ask(self, requests: Sequence[TeacherRequest], on_answer: Callable[[Answered], None]) -> None:
        """Calls `on_answer` with every answer and every refusal as it arrives. Raises TeacherStopped, once everything
        that could still be answered was."""
        self._runner.run(self._ask(requests, on_answer))

    def ask_one(self, request: TeacherRequest) -> Answered:
        """One answer, or why there is none. Raises TeacherStopped."""
        found: list[Answered] = []
        self.ask([request], found.append)
        return found[0]

    def account(self) -> Account:
        """What all answers of the run have cost, over all its sessions."""
        return self._teacher.account()

    def close(self) -> None:
        """Closes all connections."""
        self._runner.run(self._teacher.close())
        self._runner.close()

    async def _ask(self, requests: Sequence[TeacherRequest], on_answer: Callable[[Answered], None]) -> None:
        stopped = ""
        async with aclosing(answer_all(self._teacher, requests)) as answers:
            async for answered in answers:
                if answered.stopped:
                    stopped = stopped or answered.error
                else:
                    on_answer(answered)
        if stopped:
            raise TeacherStopped(stopped)


def open_sync_teacher(
    config: TeacherConfig, folder: RunFolder, solve: Callable[[Problem], str], engines: Sequence[Any] = ()
) -> SyncTeacher:
    """The teacher of a run; `engines` are those of one with protocol engine.

    Raises TeacherStopped without a key, ConfigError without a price.
    """
    path = folder.path.resolve()
    try:
        return SyncTeacher(open_teacher(config, path, run=str(path), note=folder.log, solve=solve, engines=engines))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def check_teacher(config: TeacherConfig) -> None:
    """Refuses a teacher without a key, a price or prompts before anything is started. Raises ConfigError,
    TeacherStopped."""
    if config.is_offline:
        return
    find_keys(config)
    try:
        for one in config.members:
            _ = one.price
        TeacherPrompts(config.prompts).check()
    except ValueError as error:
        raise ConfigError(str(error)) from None


def cost_row(account: Account, config: TeacherConfig) -> dict[str, Any]:
    """The ledger's totals as plain data."""
    kinds = ("input", "output", "cache_write", "cache_read")
    return {
        "teacher": ", ".join(config.names),
        "requests_paid": account.requests,
        "tokens": {kind: getattr(account.usage, kind) for kind in kinds},
        "dollars": account.dollars,
        "dollars_open": account.open_dollars,
    }
