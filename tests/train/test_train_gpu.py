"""The learner on a GPU: the same numbers in float32, and near them in bfloat16."""

import pytest
import torch
from train_helpers import make_groups, tiny_model

from train.config import TrainConfig
from train.learner import Learner

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_a_gpu_learns_what_a_cpu_does(dtype, bound, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    config = TrainConfig(beta=0.05, epochs=2, learning_rate=1e-3)
    host = Learner(tiny_model(), config, "cpu")
    device = Learner(tmp_path, config.model_copy(update={"dtype": dtype}), "cuda")
    for seed in range(2):
        expected, found = (learner.step(make_groups(seed=seed)) for learner in (host, device))
        for name in ("loss", "entropy", "kl", "logprob_gap/mean"):
            assert found.metrics[name] == pytest.approx(expected.metrics[name], abs=bound), name
    assert device.score([1, 2, 3], [4, 5, 6]) == pytest.approx(host.score([1, 2, 3], [4, 5, 6]), abs=bound)
    resumed = Learner(tmp_path, config.model_copy(update={"dtype": dtype}), "cuda")
    resumed.load_state_dict(device.state_dict())
    assert resumed.policy("r", 2).weights == device.policy("r", 2).weights
