"""A real engine core that is killed under its actor, and an actor under its core: AsyncLLM, on the CPU, in Ray."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from processes import titled

from problems.problem import Group, Problem
from rollout.adapter import FOLDER_PREFIX, adapter_folder, remove_stale_folders
from rollout.admission import Lease
from rollout.backends import EngineDead, InProcessBackend
from rollout.config import EngineConfig, Sampling
from rollout.engine_spec import EngineSpec
from rollout.fair_queue import FairQueue
from rollout.fleet import RolloutJob, await_ready, ended_since, load_policies, start_fleet
from rollout.policy import PolicyVersion, Publication
from rollout.prompts import PromptConfig
from rollout.stream import Rollouts

PROBLEM = Problem("p", "f", 1, 1, "test", "Say it.", "f", "def f():", (), ())
FOLDERS = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path("/tmp")


def core_of(pid):
    """The core of the actor `pid` alone: one that another test's engine has left may still be ending."""
    (core,) = [p for p in titled("VLLM::EngineCore", pid) if p.status() != psutil.STATUS_ZOMBIE]
    return core


def until(true, seconds, what):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_a_core_that_is_killed_takes_its_engine_along_and_it_comes_back_with_the_policy(
    ray_local, random_model, adapter
):
    config = EngineConfig(max_model_len=256, max_sequences=8, backend="async")
    (engine,) = start_fleet(EngineSpec(str(random_model), config), 1, "dead", {"num_cpus": 0.5})
    try:
        await_ready([engine])
        policy = PolicyVersion("run", 0, adapter.weights, adapter.lora_config)
        publication = ray_local.put(Publication(policy))
        reports, out = load_policies([engine], publication, 60.0)
        assert reports[0]["proven"] == 28 and out == {}
        before = ray_local.get(engine.ready.remote())["pid"]
        job = RolloutJob(
            "run", 2, Sampling(max_tokens=64), PromptConfig(), publication=publication,
            patience_seconds=300.0,
        )  # fmt: skip
        rollouts = Rollouts([engine])

        async def answer_all():
            leases = [Lease(0, n, 0, 0) for n in range(24)]
            running = [asyncio.ensure_future(rollouts.answer(job, lease, PROBLEM)) for lease in leases]
            await asyncio.sleep(1.0)
            core_of(before).kill()
            return await asyncio.gather(*running)

        groups = asyncio.run(answer_all())
        assert all(isinstance(group, Group) for group in groups), [g for g in groups if not isinstance(g, Group)][:1]
        assert {s.adapter_hash for group in groups for s in group.samples} == {policy.adapter_hash}
        assert ray_local.get(engine.ready.remote())["pid"] != before, "Ray started its process again"
        assert "started again" in ended_since([engine], {0: before}, 30.0)[0]

        actor = psutil.Process(ray_local.get(engine.ready.remote())["pid"])
        core = core_of(actor.pid)
        mine = [path for path in FOLDERS.glob(f"{FOLDER_PREFIX}*-{actor.pid}-*")]
        assert mine
        ray_local.kill(engine)
        until(lambda: not core.is_running() or core.status() == psutil.STATUS_ZOMBIE, 20, "the core outlives its actor")
        assert set(remove_stale_folders(FOLDERS)) >= set(mine), "what a dead engine left goes when the next one starts"
    finally:
        ray_local.kill(engine)


def test_folders_of_processes_that_have_ended_are_swept(tmp_path):
    script = (
        "import sys; from pathlib import Path; from rollout.adapter import adapter_folder;"
        "print(adapter_folder(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    left, own = Path(done.stdout.strip()), adapter_folder(tmp_path)
    assert not left.exists() and own.exists(), "a new engine sweeps what a dead one left"
    namespace, pid = own.name.removeprefix(FOLDER_PREFIX).split("-")[:2]
    reused = tmp_path / f"{FOLDER_PREFIX}{namespace}-{pid}-1-x"  # the id is another process's by now
    foreign = tmp_path / f"{FOLDER_PREFIX}1{namespace}-999999-1-x"  # of another container
    other = tmp_path / f"{FOLDER_PREFIX}unlike"
    for path in (reused, foreign, other):
        path.mkdir()
    assert remove_stale_folders(tmp_path) == [reused]
    assert own.exists() and foreign.exists() and other.exists()


class Stopped:
    """The vLLM engine of a backend, as far as it is used here; its next step raises."""

    def has_unfinished_requests(self):
        return True

    def step(self):
        time.sleep(0.2)
        raise RuntimeError("CUDA error: an illegal memory access")


@pytest.fixture
def dying(monkeypatch):
    """An in-process backend whose engine dies in its first step."""
    import vllm
    from vllm.v1.engine import llm_engine

    monkeypatch.setattr(vllm, "EngineArgs", lambda **_: None)
    monkeypatch.setattr(llm_engine.LLMEngine, "from_engine_args", staticmethod(lambda _: Stopped()))
    return InProcessBackend(EngineSpec("none"))


def test_commands_queued_when_the_engine_dies_are_answered_with_its_error(dying):
    async def ask():
        calls = [dying.remove_lora(1), dying.adapter_checksums(1, [], True), dying.abort(), dying.add_lora(None)]
        first = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        later = await asyncio.wait_for(asyncio.gather(dying.abort(), return_exceptions=True), 10)
        return [*first[1:], *later]

    errors = asyncio.run(ask())
    assert "illegal memory access" in dying.failure()
    assert isinstance(errors[-1], EngineDead) and "illegal memory access" in str(errors[-1])


def test_those_who_wait_their_turn_get_the_error_too():
    async def drive():
        gate = FairQueue(2)

        async def ask(run):
            async with gate.turn(run, 2):
                await asyncio.sleep(0.01)
                raise EngineDead("gone")

        return await asyncio.wait_for(asyncio.gather(*(ask(f"r{n}") for n in range(20)), return_exceptions=True), 10)

    assert all(isinstance(error, EngineDead) for error in asyncio.run(drive()))
