"""From a configuration to the teacher, or to several that share the questions of a run."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from rollout.teacher.booked import LEDGER_FILE
from rollout.teacher.client import ApiTeacher, Note, Teacher
from rollout.teacher.config import TeacherConfig
from rollout.teacher.connection import proxy_of
from rollout.teacher.cost_ledger import Account, CostLedger, LedgerDamaged
from rollout.teacher.keys import find_keys
from rollout.teacher.request_cache import Reply, TeacherRequest, TeacherStopped


class SharedTeacher:
    """Several teachers, each of which gets its share of the questions, over one ledger and its budget.

    Which one is asked depends on the first message and the number of the sample alone: a resumed run asks the same one,
    and a conversation that goes on stays with it.
    """

    def __init__(self, teachers: Sequence[Teacher], shares: Sequence[float], ledger: CostLedger) -> None:
        self._teachers, self._ledger = teachers, ledger
        self._ends = [end / sum(shares) for end in accumulate(shares)]

    async def answer(self, request: TeacherRequest) -> Reply:
        """See `Teacher`."""
        return await self._teachers[self.index(request)].answer(request)

    def index(self, request: TeacherRequest) -> int:
        """Of the teacher that a request goes to."""
        text = f"{request.sample}\n{request.messages[0][1]}".encode("utf-8", "surrogatepass")
        at = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
        return min(bisect_right(self._ends, at), len(self._teachers) - 1)

    def account(self) -> Account:
        """See `Teacher`: of all together."""
        return self._ledger.account()

    async def close(self) -> None:
        """See `Teacher`."""
        for teacher in self._teachers:
            await teacher.close()


def open_teacher(
    config: TeacherConfig,
    folder: Path,
    keys: Sequence[SecretStr] = (),
    run: str = "",
    note: Note = print,
    solve: Callable[[Any], str] | None = None,
    engines: Sequence[Any] = (),
) -> Teacher:
    """The teacher that a configuration names. Raises TeacherStopped (no key, a damaged ledger) and ValueError (no
    price).

    `keys` has one for each of its teachers, and () looks for them; `solve` gives the reference solution of a problem,
    which the offline teacher needs; `engines` are the actors of a teacher with protocol `engine`.
    """
    members = config.members
    if config.is_offline:
        return _offline(members[0], solve)
    try:
        ledger = CostLedger(folder / LEDGER_FILE, config.budget)
        teachers: list[Teacher] = []
        for one, key in zip(members, keys or find_keys(config), strict=True):
            if one.is_offline:
                teachers.append(_offline(one, solve))
            elif one.is_served:
                teachers.append(ApiTeacher(one, folder, key, run, note, ledger))
            else:
                teachers.append(_on_engines(one, folder, engines, run, note, ledger))
    except LedgerDamaged as error:
        raise TeacherStopped(str(error)) from None
    return teachers[0] if len(teachers) == 1 else SharedTeacher(teachers, config.shares, ledger)


def _on_engines(
    config: TeacherConfig, folder: Path, engines: Sequence[Any], run: str, note: Note, ledger: CostLedger
) -> Teacher:
    from rollout.teacher.engine_teacher import EngineCalls, EngineTeacher

    if not engines:
        raise ValueError(f"the teacher {config.model} has no engines: a session with them must be open")
    return EngineTeacher(config, folder, EngineCalls(engines), run, note, ledger)


def _offline(config: TeacherConfig, solve: Callable[[Any], str] | None) -> Teacher:
    from rollout.teacher.reference import ReferenceTeacher

    if solve is None:
        raise ValueError("the reference teacher needs the problems' reference solutions: give `solve`")
    return ReferenceTeacher(config, solve)


def check_start(config: TeacherConfig, folder: Path) -> None:
    """Finds out, before anything is started, what a server's teacher could not begin with: its key, a proxy, or what an
    earlier session has left in `folder`. Raises TeacherStopped."""
    from rollout.teacher.message_batches import BATCHES_FILE, open_batches

    find_keys(config)
    for one in config.members:
        if one.is_served:
            proxy_of(one)
    try:
        if (folder / LEDGER_FILE).exists():
            CostLedger(folder / LEDGER_FILE)
        open_batches(folder / BATCHES_FILE)
    except LedgerDamaged as error:
        raise TeacherStopped(str(error)) from None
