"""The offline teacher of this job: it knows every answer, and writes journal and strategy without a model.

Its stages check the software from end to end; its scores say nothing about a strategy's worth.
"""

from __future__ import annotations

import time

from pipelines.jobs.lrl.prompts import ANY_METHOD, METHOD, TaskPrompts
from problems.questions import worked_answer
from rollout.teacher.config import REFERENCE, TeacherConfig
from rollout.teacher.cost_ledger import Account
from rollout.teacher.reference import ReferenceTeacher
from rollout.teacher.request_cache import Reply, TeacherRequest


class OfflineTeacher:
    """Problems go to the reference teacher; the questions about its own work it answers here."""

    def __init__(self, config: TeacherConfig, task: TaskPrompts) -> None:
        self._config, self._prompts = config, task
        self._solver = ReferenceTeacher(config, worked_answer)

    async def answer(self, request: TeacherRequest) -> Reply:
        """See `rollout.teacher.client.Teacher`."""
        if request.problem is not None:
            return await self._solver.answer(request)
        # A journal's facts stand in the question: figures and examples, without the request at its end.
        text = request.messages[-1][1].rpartition("\n\n")[0]
        if request.system == self._prompts.distil_system:
            text = METHOD if self._prompts.is_scheduling else ANY_METHOD
        return Reply(request.key(self._config), text, "end_turn", REFERENCE, created=round(time.time(), 3))

    def account(self) -> Account:
        """Nothing."""
        return self._solver.account()

    async def close(self) -> None:
        """There is nothing to let go."""
