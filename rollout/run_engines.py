"""The engines of a run, as its coordinator calls them: thin calls of actors, and what their errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rollout.backends import EngineDead
from rollout.fleet import fleet_token, why_out
from rollout.policy import AdapterForm
from rollout.publishing import EngineOut, PolicyRefused

FORM_SECONDS = 30.0
"""How long engines have to say in which form they hold adapters; one that has not computes what it must hold itself."""


class RunEngines:
    """Handles of engine actors, and the name of the run that they serve here."""

    def __init__(self, engines: Sequence[Any], run: str):
        self.handles = list(engines)
        self._run = run

    def __len__(self) -> int:
        return len(self.handles)

    async def load(self, number: int, publication: Any) -> dict[str, Any]:
        """Has one engine load and prove a publication, given by reference. Raises EngineOut and PolicyRefused."""
        import ray.exceptions

        try:
            return await self.handles[number].load.remote(publication, fleet_token())
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(cause, EngineDead):
                raise PolicyRefused(str(cause)) from error
            raise EngineOut(why_out(error)) from error

    async def adapter_forms(self) -> list[AdapterForm]:
        """In which forms the engines hold adapters; those that do not say it in time are left out."""
        asked = [asyncio.ensure_future(engine.adapter_form.remote()) for engine in self.handles]
        done, late = await asyncio.wait(asked, timeout=FORM_SECONDS)
        for one in late:
            one.cancel()
        return list({one.result() for one in done if one.exception() is None})

    def abandon(self, oldest: int | None) -> None:
        """Has engines end what they sample from versions older than `oldest`, or all: it only saves work, so nobody
        waits for it."""
        for engine in self.handles:
            engine.abandon.remote(self._run, oldest)
