"""Log-probabilities and gradients of packed and shared rows beside those of one plain forward pass a sample."""

import numpy as np
import pytest
import torch
from train_helpers import MODELS, VOCABULARY, make_group, make_groups, model_of, tiny_model
from transformers import MambaConfig, MambaForCausalLM
from transformers.modeling_outputs import CausalLMOutput
from varlen_reference import pretend_flash

from train import head
from train.batch import Layout, MicroBatch, TrainBatch
from train.config import TrainConfig
from train.head import find_head
from train.learner import Learner
from train.lora import Adapter
from train.packing import Packing
from train.scorer import Scorer


def adapted(name: str, attention="sdpa"):
    """(model, adapter with weights that are no longer 0)."""
    model = model_of(name, attention).requires_grad_(False)
    adapter = Adapter(model, TrainConfig(lora_r=4))
    with torch.no_grad():
        for number, parameter in enumerate(adapter.parameters.values()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return model, adapter


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


def gradient(total, adapter):
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(adapter.parameters.values()))])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_and_gradients_are_those_of_the_plain_forward_pass(name, temperature):
    """Eager attention, one sample at a time and whole logits give the truth: it shares no code with what is tested."""
    batch = batch_of(make_groups())
    weights = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(2)) * batch.mask
    model, adapter = adapted(name, "eager")
    logprobs, entropies = plain(model, batch, temperature)
    wanted = gradient(sum((lp * w[: len(lp)]).sum() for lp, w in zip(logprobs, weights)), adapter)
    model, adapter = adapted(name)
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        for sharing in (False, True):
            model.eval()
            scorer = Scorer(model, sharing)
            assert scorer.layout == Layout(packed=True, shared=sharing)
            model.train(checkpointing)
            found, found_entropies = scorer.logprobs(batch, temperature)
            for row, (lp, entropy) in enumerate(zip(logprobs, entropies)):
                assert torch.allclose(found[row, : len(lp)], lp, atol=1e-5)
                assert torch.allclose(found_entropies[row, : len(lp)], entropy, atol=1e-5)
            assert (found * (1 - batch.mask) == 0).all() and not found_entropies.requires_grad
            got = gradient((found * weights).sum(), adapter)
            assert (got - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("name", ["qwen2", "gemma3"])
@pytest.mark.parametrize("sharing", [False, True])
def test_flash_attention_is_told_who_sees_whom(name, sharing, monkeypatch):
    """The way that attention takes on a GPU, with the same function in place of the kernel."""
    batch = batch_of(make_groups())
    model, adapter = adapted(name)
    by_blocks, _ = Scorer(model, sharing).logprobs(batch, 1.0)
    wanted = gradient(by_blocks.sum(), adapter)
    pretend_flash(monkeypatch)
    found, _ = Scorer(model, sharing).logprobs(batch, 1.0)
    assert torch.allclose(found, by_blocks, atol=1e-5)
    assert (gradient(found.sum(), adapter) - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("name", ["qwen2", "granite", "gemma2"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_entropies_have_their_gradient_where_it_is_asked_for(name, temperature, monkeypatch):
    monkeypatch.setattr(head, "HEAD_BYTES", {"cpu": 4 * 7 * 5})  # seven words at a time
    monkeypatch.setattr(head, "TILE_ROWS", {"cpu": 5})
    batch = batch_of(make_groups())
    model, adapter = adapted(name, "eager")
    logprobs, entropies = plain(model, batch, temperature)
    wanted = gradient(sum(e.sum() for e in entropies) + 2 * sum(lp.sum() for lp in logprobs), adapter)
    model, adapter = adapted(name)
    found, found_entropies = Scorer(model).logprobs(batch, temperature, entropy_gradient=True)
    got = gradient(found_entropies.sum() + 2 * found.sum(), adapter)
    assert (got - wanted).norm() < 1e-5 * wanted.norm()


def test_recurrent_models_run_in_padded_rows():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0)
        model = MambaForCausalLM(config).eval()
    scorer, batch = Scorer(model), batch_of(make_groups())
    assert scorer.layout == Layout(packed=False, shared=False)
    with torch.no_grad():
        found, _ = scorer.logprobs(batch, 1.0)
        for row, lp in enumerate(plain(model, batch, 1.0)[0]):
            assert torch.allclose(found[row, : len(lp)], lp, atol=2e-5)
    with pytest.raises(ValueError, match="share_prompts=false"):
        Scorer(model, share_prompts=True)


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


@pytest.mark.parametrize(("size", "rows"), [(1, 1), (3, 512), (1 << 30, 4)])
@pytest.mark.parametrize("name", ["qwen2", "gemma2"])
def test_tiles_of_the_head_make_no_difference(name, size, rows, monkeypatch):
    model, batch = model_of(name), batch_of(make_groups())
    whole = Scorer(model).logprobs(batch, 1.0)
    monkeypatch.setattr(head, "HEAD_BYTES", {"cpu": 4 * size * rows})
    monkeypatch.setattr(head, "TILE_ROWS", {"cpu": rows})
    for one, other in zip(whole, Scorer(model).logprobs(batch, 1.0)):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_head_of_another_form_is_refused():
    model = model_of("qwen2")
    model.register_forward_hook(lambda module, inputs, output: CausalLMOutput(logits=output.logits.square()))
    assert find_head(model) is None
    with pytest.raises(ValueError, match="scaled or soft-capped"):
        Scorer(model)


def test_mixed_lengths_are_not_padded():
    rng = np.random.default_rng(0)
    groups = [make_group(rng, [1.0, 0.0, 1.0, 0.0], index=i, prompt_length=n) for i, n in enumerate((5, 80, 300))]
    rows = TrainBatch.from_groups(groups, TrainConfig(group_filter="off")).rows
    answers = sum(len(row.completion_ids) for row in rows)
    # A shared prompt's last token is in each of its rows, and no row holds its completion's last.
    assert Packing.of(rows, True).tokens.shape[1] == sum((5, 80, 300)) - 3 + answers
    assert Packing.of(rows, False).tokens.shape[1] == 4 * sum((5, 80, 300)) + answers - len(rows)
    assert Layout(packed=False, shared=False).tokens(rows) > 1.5 * Layout(True, False).tokens(rows)
    result = Learner(tiny_model(max_position_embeddings=400), TrainConfig(group_filter="off")).step(groups)
    assert result.metrics["padding"] == 0
