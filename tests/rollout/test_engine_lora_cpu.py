"""Our LoRA kernels for vLLM on CPU: right beside a request without adapter, and right for any grouping of tokens."""

import asyncio

import numpy as np
import pytest
import torch

from rollout.config import EngineConfig, Sampling
from rollout.engine import Engine, GroupRequest
from rollout.engine_spec import EngineSpec
from rollout.lora_cpu import add_adapter, token_groups
from rollout.policy import PolicyVersion, Publication

PROMPT = np.arange(40, 70, dtype=np.int32)


def ask(run):
    return GroupRequest(run, "p", "g", PROMPT, (0, 1, 2, 3), Sampling(max_tokens=24))


def test_a_request_without_adapter_is_not_answered_by_the_adapter_that_is_loaded(
    random_model, loop, adapter, logprobs_of
):
    """vLLM's own CPU path takes «no adapter» for the last slot; with one slot that is the adapter itself."""
    spec = EngineSpec(str(random_model), EngineConfig(max_model_len=256, backend="in_process"), live_adapters=1)
    engine = Engine(spec, "one-slot")

    async def both():
        await engine.load(Publication(PolicyVersion("tuned", 1, adapter.weights, adapter.lora_config)))
        await engine.load(Publication(PolicyVersion("plain", 0)))
        return await asyncio.gather(engine.generate(ask("tuned")), engine.generate(ask("plain")))

    tuned, plain = loop.run_until_complete(both())
    loop.run_until_complete(engine.close())
    for samples, on in ((tuned, True), (plain, False)):
        for sample in samples:
            mine = logprobs_of(sample.prompt_ids, sample.completion_ids, adapter=on)
            np.testing.assert_allclose(sample.logprobs, mine, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 15, 16, 40])
def test_tokens_get_their_own_adapter_or_none(count):
    generator = torch.Generator().manual_seed(count)
    x, y = torch.randn(count, 12, generator=generator), torch.randn(count, 10, generator=generator)
    a = [torch.randn(3, 4, 12, generator=generator) for _ in range(2)]
    b = [torch.randn(3, size, 4, generator=generator) for size in (6, 4)]
    slots = torch.randint(-1, 3, (count,), generator=generator)
    expected = y.clone()
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            expected[row] += torch.cat([x[row] @ a[i][slot].T @ b[i][slot].T for i in range(2)])
    for slot, rows in token_groups(slots):
        add_adapter(y, x, [w[slot] for w in a], [w[slot] for w in b], 1.0, rows)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_a_row_is_the_same_whatever_the_number_of_rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 128, generator=generator)
    a, b = [torch.randn(8, 128, generator=generator)], [torch.randn(384, 8, generator=generator)]

    def product(rows):
        y = torch.zeros(rows, 384)
        add_adapter(y, x[:rows], a, b, 1.0, None)
        return y

    whole = product(200)
    for rows in (1, 2, 7, 15, 16, 17, 33, 64, 100):
        assert torch.equal(product(rows), whole[:rows])
