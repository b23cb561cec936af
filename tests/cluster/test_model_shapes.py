"""Sizes read from config.json are those of the models that transformers and peft build from it."""

import pytest
import torch
from known_models import (
    FOUR,
    GEMMA3_4B,
    GEMMA3_270M,
    LLAMA31_8B,
    MISTRAL_7B,
    PHI3_MINI,
    QWEN3_06B,
    QWEN25_7B,
)
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from cluster.model_shapes import ModelShapes, UnknownShapes

MODELS = FOUR | {"gemma": GEMMA3_270M, "gemma-nested": GEMMA3_4B, "mistral": MISTRAL_7B, "phi3": PHI3_MINI}


def on_meta(config):
    """The whole model in its true size, without memory."""
    keys = {"model_type": "gemma3_text", "vocab_size": 262208} | config.get("text_config", config)
    settings = AutoConfig.for_model(keys.pop("model_type"), **(keys | {"pad_token_id": 0}))
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(settings)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_adapter_are_those_of_the_real_model(name):
    shapes, model = ModelShapes.from_config(MODELS[name], name), on_meta(MODELS[name])
    assert shapes.total_parameters == sum(p.numel() for p in model.parameters())
    parts = shapes.parameters()
    assert parts["embedding"] == model.get_input_embeddings().weight.numel()
    assert (parts["head"] == 0) == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
    targets = ["q_proj", "v_proj", "down_proj"] if name == "Qwen3-4B" else "all-linear"
    adapted = get_peft_model(model, LoraConfig(r=16, target_modules=targets, task_type="CAUSAL_LM"))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shapes.lora_parameters(16, targets) == trained
    assert shapes.family.fused_projections == any("gate_up_proj" in n for n, _ in adapted.named_modules())


def test_sliding_windows_bound_what_a_long_sequence_keeps():
    full, gemma = ModelShapes.from_config(QWEN3_06B), ModelShapes.from_config(GEMMA3_270M)
    assert full.sliding_layers == ModelShapes.from_config(QWEN25_7B).sliding_layers == 0
    assert full.kv_bytes(4096) == 2 * full.kv_bytes(2048) == 4096 * 28 * 2 * 8 * 128 * 2
    assert gemma.sliding_layers == 15
    assert gemma.kv_bytes(4096) == (3 * 4096 + 15 * 512) * 2 * 256 * 2
    assert full.kv_bytes(17) == full.kv_bytes(32), "vLLM gives keys and values in blocks of 16 tokens"


def test_windows_of_the_layers_are_those_of_transformers():
    keys = dict(GEMMA3_270M)
    types = AutoConfig.for_model(keys.pop("model_type"), **keys).layer_types
    windows = ModelShapes.from_config(GEMMA3_270M).windows
    assert [window > 0 for window in windows] == [kind == "sliding_attention" for kind in types]
    assert (
        ModelShapes.from_config(QWEN25_7B | {"use_sliding_window": True, "max_window_layers": 20}).sliding_layers == 8
    )
    assert ModelShapes.from_config(MISTRAL_7B | {"sliding_window": 4096}).sliding_layers == 32


def test_an_unknown_type_is_counted_by_the_usual_keys_and_says_so():
    shapes = ModelShapes.from_config(LLAMA31_8B | {"model_type": "newcomer"})
    assert shapes.total_parameters == ModelShapes.from_config(LLAMA31_8B).total_parameters
    assert "newcomer" in shapes.notes[0]
    assert not ModelShapes.from_config(LLAMA31_8B).notes
    mixture = ModelShapes.from_config(LLAMA31_8B | {"model_type": "mixtral", "num_local_experts": 8})
    assert mixture.parameters()["mlp"] > 7.9 * shapes.parameters()["mlp"]
    assert any("mixture" in note for note in mixture.notes)


@pytest.mark.parametrize(
    "change", [{"hidden_size": None}, {"num_hidden_layers": "28"}, {"vocab_size": -1}, {"num_hidden_layers": 10**9}]
)
def test_what_is_no_language_model_is_refused_by_the_key(change):
    with pytest.raises(UnknownShapes, match=next(iter(change))):
        ModelShapes.from_config(QWEN3_06B | change)


def test_a_target_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"q_proj.*qkv_proj"):
        ModelShapes.from_config(PHI3_MINI).lora_parameters(8, ("q_proj",))
