"""LoRA transfer: what it is trained on it says, prompts teach nothing, and nothing is cut."""

import pytest
import torch

from train.pretrain import ArchitectureConfig, Row, build_model
from train.transfer import transfer
from train.transfer_config import TransferConfig

YES, NO, END = [20, 21], [30, 31], 1
QUICK = TransferConfig(learning_rate=3e-2, epochs=30, target_modules=("q_proj", "v_proj", "up_proj", "down_proj"))


def tiny():
    shape = ArchitectureConfig(hidden=32, layers=2, intermediate=64, heads=2, kv_heads=1, max_positions=32)
    model = build_model(shape, vocabulary=64, eos_id=END, pad_id=0, seed=0)
    model.get_input_embeddings().weight.data.mul_(25)  # as after pretraining: fresh ones say nothing loud enough
    return model


def rows():
    """Whether token 5 or 6 comes third decides the answer; the rest of the prompt varies."""
    return [Row([n % 7 + 40, n % 5 + 50, 5 + n % 2, 9], [*(YES if n % 2 else NO), END]) for n in range(16)]


def test_an_adapter_learns_the_answers_and_when_to_stop():
    model = tiny()
    done = transfer(model, rows(), QUICK, "run")
    assert done.losses[-1] < 0.05 < done.losses[0] and len(done.losses) == 60
    ids = torch.tensor([[40, 50, 6, 9]])
    assert model.generate(ids, max_new_tokens=8, do_sample=False)[0, 4:].tolist() == [*YES, END]
    assert done.policy.weights and done.policy.lora_config["r"] == 8


def test_the_same_seed_gives_the_same_adapter_and_an_adapter_goes_on():
    short = QUICK.model_copy(update={"epochs": 2})
    first, again = (transfer(tiny(), rows(), short, "run") for _ in range(2))
    assert first.policy.adapter_hash == again.policy.adapter_hash and first.losses == again.losses
    onwards = transfer(tiny(), rows(), short, "run", 2, initial=first.policy)
    assert onwards.losses[0] < first.losses[0] and onwards.policy.number == 2


def test_the_loss_is_over_completions_alone():
    from train.transfer import Adapter, _loss

    adapter = Adapter(tiny(), QUICK.adapter)
    adapter.model.eval()
    alone = [Row([40, 50], [*YES, END])]
    padded = [*alone, Row([41] * 20, [*NO, END])]
    want = -torch.log_softmax(adapter.model(torch.tensor([[40, 50, *YES, END]])).logits[0, 1:4], -1)
    want = want[range(3), [*YES, END]].mean()
    assert float(_loss(adapter, alone)) == pytest.approx(float(want), rel=1e-5)
    both = (_loss(adapter, [padded[0]]) + _loss(adapter, [padded[1]])) / 2
    assert float(_loss(adapter, padded)) == pytest.approx(float(both), rel=1e-5)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([], "no row"),
        ([Row([4] * 40, [*YES, END])], r"1 of 1 rows are longer than 32 tokens.*Nothing is cut"),
        ([Row([4], [END])], "empty completion"),
    ],
)
def test_rows_that_cannot_be_learnt_are_refused(bad, says):
    with pytest.raises(ValueError, match=says):
        transfer(tiny(), bad, QUICK, "run")
