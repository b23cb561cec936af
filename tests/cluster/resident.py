"""Run by test_resident_memory.py: a learner's step, or an engine's answers, with random weights; prints the peak.

python resident.py learner LAYERS VOCABULARY DTYPE CHECKPOINTING
python resident.py engine LAYERS VOCABULARY DTYPE KV_GIB
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from tests.known_models import QWEN3_06B

PROMPT, ANSWER, ROWS = 128, 160, 4


def random_model(layers, vocabulary, dtype):
    from transformers import AutoConfig, AutoModelForCausalLM

    keys = QWEN3_06B | {"num_hidden_layers": layers, "vocab_size": vocabulary}
    keys.pop("torch_dtype")
    settings = AutoConfig.for_model(keys.pop("model_type"), **keys)
    return AutoModelForCausalLM.from_config(settings, dtype=getattr(torch, dtype), attn_implementation="sdpa")


def learner(layers, vocabulary, dtype, checkpointing):
    from train_helpers import make_group

    from train.config import TrainConfig
    from train.learner import Learner

    torch.set_num_threads(1)
    config = TrainConfig(lora_r=16, gradient_checkpointing=checkpointing == "True")
    made = Learner(random_model(layers, vocabulary, dtype), config, "cpu")
    rewards = [float(row % 2) for row in range(ROWS)]
    group = make_group(np.random.default_rng(0), rewards, prompt_length=PROMPT, lengths=(ANSWER, ANSWER + 1))
    return made.step([group]).metrics


def engine(layers, vocabulary, dtype, kv_gib):
    """The model is made in a process of its own, so that this one holds the engine alone."""
    from rollout.backends import EngineSpec
    from rollout.config import EngineConfig, Sampling
    from rollout.engine import Engine, GroupRequest
    from rollout.policy import PolicyVersion, Publication

    config = EngineConfig(
        dtype=dtype, max_model_len=512, max_sequences=16, max_batched_tokens=2048, kv_cache_gib=float(kv_gib),
        backend="in_process",
    )  # fmt: skip
    folder = Path(sys.argv[6])

    async def answer():
        made = Engine(EngineSpec(str(folder), config, 16, 1), "resident")
        await made.load(Publication(PolicyVersion("run", 0)))
        prompt = np.arange(PROMPT, dtype=np.int32) % 200 + 10
        sampling = Sampling(max_tokens=ANSWER)
        await made.generate(GroupRequest("run", "p", "g", prompt, tuple(range(16)), sampling))
        await made.close()

    asyncio.run(answer())
    return {}


def save_model(layers, vocabulary, dtype, folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<|pad|>", "<|end|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>").save_pretrained(
        folder
    )
    random_model(layers, vocabulary, dtype).save_pretrained(folder)
    return {}


if __name__ == "__main__":
    role, layers, vocabulary, dtype, last = sys.argv[1:6]
    work = {"learner": learner, "engine": engine, "model": save_model}[role]
    found = work(int(layers), int(vocabulary), dtype, last)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("PEAK", json.dumps({"peak": peak, **found}), flush=True)
