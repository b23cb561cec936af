"""A model that is up in seconds: random weights are enough to prove who computes what."""

import asyncio

import numpy as np
import pytest

from rollout.policy import PolicyVersion


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """Folder of a small Qwen2 with random weights and a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("random-model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<|pad|>", "<|end|>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>").save_pretrained(
        folder
    )
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=128,
        num_hidden_layers=2,
        intermediate_size=256,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def peft_model(random_model):
    """The same model under peft with a LoRA adapter whose output is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(random_model, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.fixture(scope="session")
def loop():
    """One event loop for the engine's whole life."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="session")
def logprobs_of(peft_model):
    """Log-probabilities of a completion by transformers and peft: the learner's side."""
    import contextlib

    import torch

    def score(prompt, completion, adapter=True):
        ids = torch.tensor(np.concatenate([prompt, completion]))[None].long()
        with torch.no_grad(), contextlib.nullcontext() if adapter else peft_model.disable_adapter():
            logits = peft_model(ids).logits[0, :-1].float()
        picked = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        return picked[len(prompt) - 1 :].numpy()

    return score


@pytest.fixture(scope="session")
def adapter(peft_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    peft_model.save_pretrained(folder)
    return PolicyVersion.read(folder, run="read", number=0)
