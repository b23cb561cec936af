"""Learning from pairs: what is compared with what, and that the right completions gain on the wrong."""

import math

import numpy as np
import pytest
import torch
from train_helpers import VOCABULARY, tiny_model

from train.dpo import PairRow, train_dpo
from train.dpo_config import DPOConfig
from train.lora import Adapter
from train.sft_config import SFTConfig

EOS = 1
SHAPE = SFTConfig(lora_r=4, lora_alpha=8, lora_dropout=0.0, seed=3)
QUICK = DPOConfig(learning_rate=0.02, epochs=3, sft_weight=0.0, batch_size=4)


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"<{number}>": number for number in range(VOCABULARY)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<2>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=f"<{EOS}>", pad_token="<0>")


def rows(count=12, seed=0):
    """Prompts of random tokens; it is right to repeat the first of them, wrong to repeat the last."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(3, VOCABULARY, rng.integers(3, 9)).tolist() for _ in range(count)]
    return [PairRow(prompt, [prompt[0], EOS], [prompt[-1], prompt[-1], EOS]) for prompt in prompts]


def some_adapter():
    """An adapter far from the base model."""
    adapter = Adapter(tiny_model(), SHAPE.adapter)
    with torch.no_grad():
        for number, parameter in enumerate(adapter.parameters.values()):
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return adapter.export("run", 1)


def margin(policy):
    """Mean log-probability of right completions minus that of wrong ones."""
    adapter = Adapter(tiny_model(), SHAPE.adapter)
    if policy is not None:
        adapter.load(policy)
    adapter.model.eval()
    total = 0.0
    with torch.no_grad():
        for row in rows():
            for sign, completion in ((1, row.right_ids), (-1, row.wrong_ids)):
                ids = torch.tensor([[*row.prompt_ids, *completion]])
                logprobs = adapter.model(input_ids=ids).logits.log_softmax(-1)[0, :-1]
                taken = logprobs.gather(1, ids[0, 1:, None])[:, 0]
                total += sign * float(taken[-len(completion) :].sum())
    return total / len(rows())


@pytest.mark.parametrize("initial", [None, some_adapter()], ids=["fresh", "goes on"])
def test_right_gains_on_wrong_from_where_the_adapter_stood(tokenizer, tmp_path, initial):
    told = []
    result = train_dpo(tiny_model(), tokenizer, rows(), QUICK, SHAPE, tmp_path, "run", initial, told.append)
    # Before the first update policy and reference agree, whatever adapter that is: the loss is log 2.
    assert result.first_loss == pytest.approx(math.log(2), abs=1e-4)
    assert result.last_loss < result.first_loss and result.steps == 9 == len(told)
    assert margin(result.policy) > margin(initial) + 1


def test_the_same_again_gives_the_same_adapter(tokenizer, tmp_path):
    done = [
        train_dpo(tiny_model(), tokenizer, rows(), QUICK, SHAPE, tmp_path / str(n), "run").policy.weights
        for n in (0, 1)
    ]
    assert done[0] == done[1]


def test_right_ones_own_likelihood_counts_where_asked(tokenizer, tmp_path):
    weighted = QUICK.model_copy(update={"sft_weight": 1.0})
    result = train_dpo(tiny_model(), tokenizer, rows(), weighted, SHAPE, tmp_path, "run")
    assert result.first_loss > math.log(2) + 0.5, "the likelihood of what an untaught model never says"


def test_no_pairs_are_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="no pair"):
        train_dpo(tiny_model(), tokenizer, [], QUICK, SHAPE, tmp_path, "run")
