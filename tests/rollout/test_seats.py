"""Who gets vLLM's sequences: ordinary requests in their order, as many as there are seats; urgent ones at once."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from rollout.backends import InProcessBackend, Request
from rollout.config import EngineConfig
from rollout.engine_spec import EngineSpec

SEATS = 2


class Pretended:
    """vLLM's engine, as far as it is used here: it ends a request when it is told to."""

    def __init__(self):
        self.entered, self.priorities, self.running, self.told = [], {}, set(), set()
        self.engine_core = SimpleNamespace(shutdown=lambda: None)
        self.lock = threading.Lock()

    def has_unfinished_requests(self):
        return bool(self.running)

    def add_request(self, request_id, prompt, params, lora_request, priority):
        self.entered.append(request_id)
        self.priorities[request_id] = priority
        self.running.add(request_id)

    def abort_request(self, ids):
        self.running -= set(ids)

    def step(self):
        with self.lock:
            done, self.told = self.told & self.running, self.told - self.running
        self.running -= done
        return [SimpleNamespace(request_id=one, finished=True) for one in sorted(done)]

    def end(self, *ids):
        with self.lock:
            self.told |= set(ids)


@pytest.fixture
def pretended(monkeypatch):
    import vllm
    from vllm.v1.engine import llm_engine

    made = Pretended()
    monkeypatch.setattr(vllm, "EngineArgs", lambda **_: None)
    monkeypatch.setattr(llm_engine.LLMEngine, "from_engine_args", staticmethod(lambda _: made))
    return made


def drive(pretended, test):
    async def main():
        backend = InProcessBackend(EngineSpec("none", EngineConfig(max_sequences=SEATS)))
        try:
            await asyncio.wait_for(test(backend), 30)
        finally:
            await backend.close()

    asyncio.run(main())


def ask(backend, *ids, urgent=False, on_done=lambda: None):
    requests = [Request(one, [1], None, urgent=urgent) for one in ids]
    return asyncio.ensure_future(backend.generate(requests, on_done))


async def until(true):
    while not true():
        await asyncio.sleep(0.01)


def test_ordinary_requests_wait_for_a_seat_and_urgent_ones_do_not(pretended):
    async def test(backend):
        done = []
        many = ask(backend, "a", "b", "c", "d", on_done=lambda: done.append(1))
        await until(lambda: len(pretended.entered) == SEATS)
        canary = ask(backend, "canary", urgent=True)
        await until(lambda: "canary" in pretended.entered)
        assert pretended.entered == ["a", "b", "canary"]
        assert pretended.priorities == {"a": 0, "b": 0, "canary": -1}
        pretended.end("canary")
        await canary
        assert pretended.entered == ["a", "b", "canary"], "its seat is no ordinary one"
        pretended.end("b")
        await until(lambda: "c" in pretended.entered)
        await until(lambda: len(done) == 1)
        pretended.end("a", "c")
        await until(lambda: "d" in pretended.entered)
        pretended.end("d")
        assert [output.request_id for output in await many] == ["a", "b", "c", "d"]
        assert len(done) == 4

    drive(pretended, test)


def test_aborted_requests_free_their_seats_whether_they_had_one_or_not(pretended):
    async def test(backend):
        first, second = ask(backend, "a", "b", "c"), ask(backend, "d")
        await until(lambda: len(pretended.entered) == SEATS)
        assert await backend.abort(["a", "b", "c", "unknown"]) == 3
        with pytest.raises(asyncio.CancelledError):
            await first
        await until(lambda: "d" in pretended.entered)
        assert pretended.entered == ["a", "b", "d"] and pretended.running == {"d"}
        pretended.end("d")
        await second

    drive(pretended, test)
