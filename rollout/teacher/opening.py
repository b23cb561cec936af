"""From a configuration to the teacher, or to several that share the questions of a run."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from rollout.teacher.client import LEDGER_FILE, ApiTeacher, Note, Teacher
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
) -> Teacher:
    """The teacher that a configuration names. Raises TeacherStopped (no key, a damaged ledger) and ValueError (no
    price).

    `keys` has one for each of its teachers, and () looks for them; `solve` gives the reference solution of a problem,
    which the offline teacher needs.
    """
    members = config.members
    if config.is_offline:
        return _offline(members[0], solve)
    try:
        ledger = CostLedger(folder / LEDGER_FILE, config.budget)
        teachers = [
            _offline(one, solve) if one.is_offline else ApiTeacher(one, folder, key, run, note, ledger)
            for one, key in zip(members, keys or find_keys(config), strict=True)
        ]
    except LedgerDamaged as error:
        raise TeacherStopped(str(error)) from None
    return teachers[0] if len(teachers) == 1 else SharedTeacher(teachers, config.shares, ledger)


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
        proxy_of(one)
    try:
        if (folder / LEDGER_FILE).exists():
            CostLedger(folder / LEDGER_FILE)
        open_batches(folder / BATCHES_FILE)
    except LedgerDamaged as error:
        raise TeacherStopped(str(error)) from None
