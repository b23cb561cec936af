"""An engine loads what its own job publishes, and nothing of another job of the cluster."""

import asyncio

import pytest

from rollout import engine_actor
from rollout.engine import EngineStats, LoadReport
from rollout.engine_actor import EngineActor, ForeignPolicy
from rollout.policy import PolicyVersion, Publication


class Held:
    """An engine that notes what it is given."""

    name = "mine-engine-0"

    def __init__(self):
        self.loaded = []

    async def load(self, publication):
        self.loaded.append(publication.policy.name)
        return LoadReport(0.0, 0, 0.0)

    def stats(self):
        return EngineStats()


@pytest.fixture
def actor(monkeypatch):
    monkeypatch.setattr(engine_actor, "fleet_token", lambda: "crucible-mine")
    made = EngineActor.__new__(EngineActor)
    made._engine = Held()
    return made


@pytest.mark.parametrize("token", ["crucible-other", "", "crucible-mine ", "CRUCIBLE-MINE", "\u00fc"])
def test_another_jobs_policy_is_refused_in_one_line(actor, token):
    with pytest.raises(ForeignPolicy, match=r"mine-engine-0 belongs to another job .*other-v1") as caught:
        asyncio.run(actor.load(Publication(PolicyVersion("other", 1)), token))
    assert not actor._engine.loaded and "\n" not in str(caught.value) and "crucible-mine" not in str(caught.value)


def test_its_own_jobs_policy_is_loaded(actor):
    asyncio.run(actor.load(Publication(PolicyVersion("mine", 1)), "crucible-mine"))
    assert actor._engine.loaded == ["mine-v1-base"]
