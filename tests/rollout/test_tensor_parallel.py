"""An engine that splits its weights over two workers, on the CPU: what it holds is proven, what it samples is right."""

import asyncio

import numpy as np
import pytest

from rollout.config import EngineConfig
from rollout.engine import Engine, PolicyMismatch
from rollout.engine_spec import EngineSpec
from rollout.load_proof import adapter_checksums
from rollout.policy import AdapterForm, Canary, Publication
from tests.rollout.test_engine import ANSWER, PROMPT, ask, version


@pytest.mark.slow
def test_an_adapter_that_is_split_over_two_workers_is_proven_and_samples(random_model, adapter, logprobs_of):
    from safetensors.torch import load

    config = EngineConfig(max_model_len=256, max_sequences=8, backend="async", tensor_parallel=2, kv_cache_gib=0.1)

    async def drive():
        engine = Engine(EngineSpec(str(random_model), config, lora_rank=8), "split")
        try:
            assert engine.form == AdapterForm("float32", placed=False)
            right, canary = version(adapter, "tp", 1), Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER))
            proofs = {engine.form: adapter_checksums(load(right.weights), right.lora_config, engine.form)}
            report = await engine.load(Publication(right, canary, proofs=proofs))
            with pytest.raises(PolicyMismatch, match="others than were published"):
                await engine.load(Publication(version(adapter, "tp", 2, 1.01), proofs=proofs))
            return report, await engine.generate(ask("tp"))
        finally:
            await engine.close()

    report, samples = asyncio.run(drive())
    assert report.proven == 28 and report.canary_gap < 1e-4
    for sample in samples:
        mine = logprobs_of(sample.prompt_ids, sample.completion_ids)
        np.testing.assert_allclose(sample.logprobs, mine, atol=1e-4)
