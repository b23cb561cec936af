import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from train_helpers import make_groups, tiny_model

from rollout.policy import PolicyVersion
from train import checkpoint
from train.config import TrainConfig
from train.learner import Learner


def learner_of(**options) -> Learner:
    return Learner(tiny_model(), TrainConfig(learning_rate=1e-3, warmup_steps=3, **options))


def train(learner, first, last):
    return [learner.step(make_groups(3, 4, seed=step)).metrics["loss"] for step in range(first, last)]


GUARDED = {"entropy_floor": 99.0, "ema_decay": 0.8, "covariance": "clip_cov", "covariance_share": 0.2}


@pytest.mark.parametrize("options", [{}, {"lora_dropout": 0.2, "epochs": 2, "beta": 0.1, "weight_decay": 0.1}, GUARDED])
def test_a_resumed_learner_goes_on_bit_for_bit(tmp_path, options):
    straight = learner_of(**options)
    losses = train(straight, 0, 4)
    first = learner_of(**options)
    assert train(first, 0, 2) == losses[:2]
    checkpoint.save(tmp_path, first, first.policy("run", 2), {"cursor": 17, "lost": [3]}, keep=3)
    torch.manual_seed(99)
    second = learner_of(**options)
    restored = checkpoint.restore(checkpoint.latest(tmp_path), second)
    assert (restored.step, restored.version, restored.run) == (2, 2, "run")
    assert restored.ledger == {"cursor": 17, "lost": [3]}
    assert checkpoint.policy(restored).adapter_hash == restored.adapter_hash == first.policy("run", 2).adapter_hash
    assert train(second, 2, 4) == losses[2:]
    assert second.policy("r", 4).weights == straight.policy("r", 4).weights
    assert second.entropy_weight == straight.entropy_weight
    assert second.averaged_policy("r", 4) == straight.averaged_policy("r", 4)


def test_the_average_lies_beside_the_adapter_as_an_adapter(tmp_path):
    learner = learner_of(ema_decay=0.8)
    train(learner, 0, 2)
    path = checkpoint.save(tmp_path, learner, learner.policy("run", 2), {}, keep=1).path
    read = PolicyVersion.read(path / "ema", run="run", number=2)
    assert read == learner.averaged_policy("run", 2)
    assert read.lora_config == learner.policy("run", 2).lora_config and read.weights != learner.policy("run", 2).weights
    plain = learner_of()
    assert not (checkpoint.save(tmp_path / "plain", plain, plain.policy("run", 0), {}, keep=1).path / "ema").exists()
    with pytest.raises(ValueError, match="without ema_decay"):
        checkpoint.restore(checkpoint.latest(tmp_path / "plain"), learner)


def test_another_model_or_adapter_is_refused_and_nothing_changes(tmp_path):
    source = learner_of()
    train(source, 0, 1)
    path = checkpoint.save(tmp_path, source, source.policy("run", 1), {}, keep=1).path
    others = {
        "lora_r 8 .* 4": learner_of(lora_r=4),
        "lora_alpha 16 .* 32": learner_of(lora_alpha=32),
        "target_modules": learner_of(target_modules=("q_proj",)),
        "base_model": Learner(tiny_model(seed=1), TrainConfig()),
    }
    for named, learner in others.items():
        before = learner.policy("r", 0).weights
        with pytest.raises(ValueError, match=f"cannot be resumed: the saved state has {named}"):
            checkpoint.restore(path, learner)
        assert learner.policy("r", 0).weights == before and learner.steps_done == 0


def test_the_newest_are_kept_and_a_step_can_be_saved_again(tmp_path):
    learner = learner_of()
    for step in range(1, 5):
        train(learner, step, step + 1)
        checkpoint.save(tmp_path, learner, learner.policy("run", step), {"step": step}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000003", "000004"]
    checkpoint.save(tmp_path, learner, learner.policy("run", 4), {"again": True}, keep=2)
    assert checkpoint.read(checkpoint.latest(tmp_path)).ledger == {"again": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000003", "000004"]


def test_after_a_rollback_the_abandoned_course_is_gone(tmp_path):
    """Restored at step 1 while steps 2 and 3 lie there from the attempt before."""
    learner = learner_of()
    for step in range(1, 4):
        train(learner, step, step + 1)
        checkpoint.save(tmp_path, learner, learner.policy("run", step), {"attempt": 1}, keep=3)
    again = learner_of()
    checkpoint.restore(tmp_path / "000001", again)
    train(again, 1, 2)
    saved = checkpoint.save(tmp_path, again, again.policy("run", 2), {"attempt": 2}, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "000002"]
    assert checkpoint.latest(tmp_path) == saved.path and saved.ledger == {"attempt": 2}


def test_unfinished_folders_are_never_picked_up(tmp_path):
    assert checkpoint.latest(tmp_path / "absent") is None
    (tmp_path / ".000009-abc").mkdir()
    (tmp_path / "000008").mkdir()
    (tmp_path / "notes").mkdir()
    assert checkpoint.latest(tmp_path) is None
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoint.read(tmp_path / "000008")


SAVER = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_train_checkpoint import learner_of
from train import checkpoint
learner = learner_of()
print("ready", flush=True)
while True:
    learner.steps_done += 1
    checkpoint.save(Path({folder!r}), learner, learner.policy("run", 1), {{}}, keep=2)
"""


def test_a_killed_writer_leaves_only_whole_checkpoints(tmp_path):
    root = Path(__file__).parents[2]
    script = SAVER.format(paths=[str(root), str(Path(__file__).parent)], folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root)
    process.stdout.readline()
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("0*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    numbered = sorted(path for path in tmp_path.iterdir() if path.name.isdecimal())
    assert numbered and checkpoint.latest(tmp_path) == numbered[-1]
    for path in numbered:
        assert checkpoint.restore(path, learner_of()).step == int(path.name)
