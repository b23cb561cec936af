import numpy as np
import pytest
import torch
from train_helpers import VOCABULARY, make_group, make_groups, tiny_model
from transformers import (
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from train.batch import MicroBatch, TrainBatch
from train.config import TrainConfig
from train.lora import Adapter
from train.scorer import Scorer, can_share_prompts

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "attn_implementation": "sdpa",
}


def model_of(name: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        match name:
            case "qwen2":
                return tiny_model()
            case "qwen3":
                return Qwen3ForCausalLM(Qwen3Config(head_dim=8, **SMALL)).eval()
            case "llama":
                return LlamaForCausalLM(LlamaConfig(**SMALL)).eval()
            case "granite":
                return GraniteForCausalLM(GraniteConfig(logits_scaling=4.0, **SMALL)).eval()
            case "mistral":
                return MistralForCausalLM(MistralConfig(sliding_window=5, **SMALL)).eval()


def batch_of(groups):
    return MicroBatch.of(TrainBatch.from_groups(groups, TrainConfig(group_filter="off")).rows)


def plain(model, batch, temperature):
    """One sample at a time, whole logits, nothing shared: (log-probabilities, entropies) as lists."""
    logprobs, entropies = [], []
    for row in range(len(batch.mask)):
        length = int(batch.mask[row].sum())
        prompt_index = int(batch.prompt_of_row[row])
        prompt = batch.prompt_ids[prompt_index, : batch.prompt_lengths[prompt_index]]
        completion = batch.completion_ids[row, :length]
        logits = model(input_ids=torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
        table = torch.log_softmax(logits.float() / temperature, -1)
        logprobs.append(table.gather(-1, completion[:, None])[:, 0])
        entropies.append(-(table.exp() * table).sum(-1))
    return logprobs, entropies


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llama", "granite", "mistral"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_and_gradients_are_those_of_the_plain_forward_pass(name, temperature):
    model = model_of(name)
    model.requires_grad_(False)
    adapter = Adapter(model, TrainConfig(lora_r=4))
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    batch = batch_of(make_groups())
    logprobs, entropies = plain(model, batch, temperature)
    weights = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(2)) * batch.mask

    def gradient(total):
        grads = torch.autograd.grad(total, list(adapter.parameters.values()))
        return torch.cat([g.flatten() for g in grads])

    wanted = gradient(sum((lp * w[: len(lp)]).sum() for lp, w in zip(logprobs, weights)))
    for sharing in (False, True) if can_share_prompts(model) else (False,):
        scorer = Scorer(model, sharing)
        assert scorer.fused_head == (name != "granite")
        found, found_entropies = scorer.logprobs(batch, temperature)
        for row, (lp, entropy) in enumerate(zip(logprobs, entropies)):
            assert torch.allclose(found[row, : len(lp)], lp, atol=2e-5)
            assert torch.allclose(found_entropies[row, : len(lp)], entropy, atol=2e-5)
        assert (found * (1 - batch.mask) == 0).all() and not found_entropies.requires_grad
        got = gradient((found * weights).sum())
        assert (got - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("name", ["qwen2", "granite"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_entropies_have_their_gradient_where_it_is_asked_for(name, temperature, monkeypatch):
    monkeypatch.setattr("train.scorer.HEAD_BLOCK", {"cpu": VOCABULARY * 5})
    model = model_of(name)
    parameters = [p for n, p in model.named_parameters() if "q_proj.weight" in n]
    model.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    batch = batch_of(make_groups())
    logprobs, entropies = plain(model, batch, temperature)
    wanted = torch.autograd.grad(sum(e.sum() for e in entropies) + 2 * sum(lp.sum() for lp in logprobs), parameters)
    scorer = Scorer(model, can_share_prompts(model))
    found, found_entropies = scorer.logprobs(batch, temperature, entropy_gradient=True)
    got = torch.autograd.grad(found_entropies.sum() + 2 * found.sum(), parameters)
    for mine, theirs in zip(got, wanted):
        assert (mine - theirs).norm() < 1e-4 * theirs.norm()


def test_models_with_a_window_do_not_share_prompts():
    assert can_share_prompts(model_of("llama"))
    assert not can_share_prompts(model_of("mistral"))


def test_prompts_of_one_token_and_of_unlike_lengths_share_too():
    rng = np.random.default_rng(0)
    model = tiny_model()
    for lengths in ((1, 1), (1, 9), (2, 1, 30)):
        groups = [make_group(rng, [1.0, 0.0], index=i, prompt_length=n) for i, n in enumerate(lengths)]
        batch = batch_of(groups)
        with torch.no_grad():
            found, _ = Scorer(model, True).logprobs(batch, 1.0)
            for row, lp in enumerate(plain(model, batch, 1.0)[0]):
                assert torch.allclose(found[row, : len(lp)], lp, atol=2e-5)


def test_blocks_of_the_head_make_no_difference(monkeypatch):
    model, batch = tiny_model(), batch_of(make_groups())
    whole = Scorer(model, True).logprobs(batch, 1.0)
    monkeypatch.setattr("train.scorer.HEAD_BLOCK", {"cpu": VOCABULARY * 3})
    for one, other in zip(whole, Scorer(model, True).logprobs(batch, 1.0)):
        assert torch.allclose(one, other, atol=1e-6)
