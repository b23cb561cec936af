"""Tiny real models and made-up groups for the learner's tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from problems.problem import Group, Problem, Sample, Status, Verdict

VOCABULARY = 64
PROBLEM = Problem("p", "family", 1, 1, "train", "say it", "", "", (), ())


SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


def tiny_model(seed: int = 0, **changes) -> Qwen2ForCausalLM:
    """A random Qwen2 with peaked enough predictions that log-probabilities are not all alike."""
    settings = SHAPE | {"tie_word_embeddings": True, "max_position_embeddings": 256}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(Qwen2Config(**(settings | changes), attn_implementation="sdpa")).eval()


SMALL = SHAPE | {"pad_token_id": 0}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5}
"""The window is shorter than the prompts of the tests."""
MODELS = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen2 untied": {"model_type": "qwen2", "tie_word_embeddings": False},
    "qwen3": {"head_dim": 8},
    "llama": {},
    "mistral": {"sliding_window": 5},
    "gemma2": GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3": GEMMA | {"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]},
    "gemma3 with a vision tower": {"model_type": "gemma3"},
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
}


def model_of(name: str, attention="sdpa"):
    keys = {"model_type": name} | SMALL | MODELS[name]
    if keys["model_type"] == "gemma3":
        keys = gemma3_with_vision(SMALL | MODELS["gemma3"])
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def gemma3_with_vision(text):
    """Keys of a model whose vision tower names its layers as the language model does."""
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return {
        "model_type": "gemma3",
        "text_config": text,
        "vision_config": vision | {"image_size": 28, "patch_size": 14},
        "mm_tokens_per_image": 1,
    }


def make_group(
    rng: np.random.Generator,
    rewards: Sequence[float | None],
    *,
    index: int = 0,
    lengths: tuple[int, int] = (3, 12),
    prompt_length: int = 7,
    version: int = 0,
    logprobs: float = -3.0,
) -> Group:
    """One problem with a completion of random tokens for each reward; a positive reward passes."""
    prompt = rng.integers(0, VOCABULARY, prompt_length).astype(np.int32)
    samples = []
    for number in range(len(rewards)):
        tokens = rng.integers(0, VOCABULARY, rng.integers(*lengths)).astype(np.int32)
        sampled = (logprobs + 0.3 * rng.standard_normal(len(tokens))).astype(np.float32)
        samples.append(Sample("p", str(index), number, prompt, tokens, sampled, "", "stop", version, "hash"))
    verdicts = tuple(Verdict(Status.PASSED if reward else Status.WRONG_ANSWER) for reward in rewards)
    return Group(index, 0, PROBLEM, tuple(samples), verdicts, tuple(rewards))


def make_groups(count: int = 4, size: int = 4, seed: int = 0, version: int = 0) -> list[Group]:
    """Groups of mixed outcomes, with prompts and completions of many lengths."""
    rng = np.random.default_rng(seed)
    return [
        make_group(
            rng,
            [float(rng.random() < 0.5) for _ in range(size - 2)] + [1.0, 0.0],
            index=index,
            prompt_length=int(rng.integers(4, 20)),
            version=version,
        )
        for index in range(count)
    ]
