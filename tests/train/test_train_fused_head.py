"""The head under TRL's trainers on a CPU: TRL's own results, and memory that the vocabulary does not set."""

import subprocess
import sys

import pytest
import torch
from train_helpers import VOCABULARY, tiny_model
from trl.trainer.utils import add_fused_lm_head

from train.config import TrainConfig
from train.fused_head import IGNORED, score_labels_alone
from train.head import find_head
from train.lora import Adapter

SHAPE = TrainConfig(lora_r=4, lora_alpha=8)


def scored(own_head, **batch):
    """What a forward pass gives, and the gradient of the loss by the adapter."""
    base = tiny_model()
    base.requires_grad_(False)
    adapter = Adapter(base, SHAPE)
    with torch.no_grad():
        for number, parameter in enumerate(adapter.parameters.values()):
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    head = find_head(base)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    if own_head:
        score_labels_alone(base, head)
    output = adapter.model(**batch, fused_lm_head=True)
    (-output.log_probs.sum()).backward()
    return output, torch.cat([p.grad.flatten() for p in adapter.parameters.values()])


def test_outputs_and_gradients_are_those_of_trl():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, VOCABULARY, (3, 20), generator=generator)
    labels = ids.clone()
    labels[:, :7] = IGNORED
    labels[1, 15:] = IGNORED
    batch = {"input_ids": ids, "labels": labels, "attention_mask": (torch.arange(20) < 18).long().expand(3, -1)}
    (own, gradient), (trls, wanted) = scored(True, **batch), scored(False, **batch)
    for name in ("log_probs", "entropy"):
        torch.testing.assert_close(getattr(own, name), getattr(trls, name), rtol=1e-4, atol=1e-5)
    assert torch.equal(own.is_top1, trls.is_top1) and torch.equal(own.label_mask, trls.label_mask)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)
    assert wanted.abs().max() > 0.1


PEAK = """
import re, sys
import torch
from test_train_sft import QUICK, rows, word_tokenizer
from train_helpers import tiny_model
from train.pretrain import Row
from train.sft import fit
from pathlib import Path

torch.set_num_threads(1)
model = tiny_model(vocab_size=200_000, hidden_size=16, num_attention_heads=2, max_position_embeddings=600)
config = QUICK.model_copy(update={"batch_size": 8, "grad_accumulation": 1, "epochs": 1, "val_share": 0.0})
examples = [Row([5] * 400, [*range(10, 110), 1])] * 8


def peak():  # getrusage's figure would be that of the process that started this one, where that was larger
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])


before = peak()
fit(model, word_tokenizer(), examples, [], config, Path(sys.argv[1]), "run")
print((peak() - before) >> 10)
"""


def test_whole_logits_are_never_held(tmp_path, request):
    """Eight rows of 500 tokens and a vocabulary of 200,000: their logits are 3,052 MiB."""
    folder = request.path.parent
    environment = {"PYTHONPATH": f"{folder}:{folder.parents[1]}", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PEAK, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Beside the libraries that the trainer brings there is room for a few blocks of the head, of 25 MiB each.
    assert int(done.stdout.splitlines()[-1]) < 800, done.stdout


@pytest.mark.parametrize("name", ["input_ids", "labels"])
def test_a_forward_pass_without_the_fused_head_is_as_before(name):
    base = tiny_model()
    ids = torch.arange(5, 15)[None]
    more = {"labels": ids} if name == "labels" else {}
    before = base(input_ids=ids, **more)
    head = find_head(base)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    score_labels_alone(base, head)
    after = base(input_ids=ids, **more)
    assert torch.equal(before.logits, after.logits)
    assert name == "input_ids" or torch.equal(before.loss, after.loss)
