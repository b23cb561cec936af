"""An adapter that somebody else trained computes here what peft computes with it, or is refused by the field's name."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from shared_folder import cases
from train_helpers import tiny_model

from pipelines.config import ConfigError
from pipelines.jobs.evaluate import read_adapter
from rollout.adapter import (
    ACCEPTED,
    HONOURED,
    SILENT,
    check_adapter_config,
    largest_rank,
    layer_rank,
    layer_scale,
)
from rollout.policy import PolicyVersion
from train.config import TrainConfig
from train.learner import Learner

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPT, ANSWER = (1, 2, 3), (4, 5, 6, 7, 8)


def written(folder, **config):
    """The folder of an adapter that peft wrote, and the log-probabilities that peft computes with it."""
    lora = LoraConfig(**{"target_modules": SEVEN, "task_type": "CAUSAL_LM", **config})
    model = get_peft_model(tiny_model(), lora)
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    again = PeftModel.from_pretrained(tiny_model(), folder).eval()
    ids = torch.tensor([[*PROMPT, *ANSWER]])
    with torch.no_grad():
        logprobs = again(ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    return logprobs[len(PROMPT) - 1 :].numpy()


def started(folder, **settings):
    config = TrainConfig(**{"lora_r": 8, "lora_alpha": 16.0, **settings})
    policy = read_adapter(str(folder), "run", "", config)
    learner = Learner(tiny_model(), config, "cpu")
    learner.start_from(policy)
    return learner


@pytest.mark.parametrize("case", cases("adapters"))
def test_shared_cases(tmp_path, case):
    expected = written(tmp_path / "adapter", **case["adapter"])
    learner = started(tmp_path / "adapter", **case["settings"])
    np.testing.assert_allclose(learner.score(PROMPT, ANSWER), expected, atol=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": 16},
        {"lora_alpha": 1},
        {"lora_alpha": 64},
        {"lora_alpha": 16, "use_rslora": True},
        {"lora_alpha": 3, "use_rslora": True},
        {"lora_alpha": 16, "alpha_pattern": {"q_proj": 64}},
        {"lora_alpha": 16, "alpha_pattern": {"layers.1.mlp.up_proj": 80, "up_proj": 2}, "use_rslora": True},
        {"lora_alpha": 16, "alpha_pattern": {r".*layers\.0\..*": 1}},
        {"lora_alpha": 16, "rank_pattern": {"v_proj": 8}},
        {"lora_alpha": 32, "init_lora_weights": "gaussian", "lora_dropout": 0.3},
        {"lora_alpha": 32, "fan_in_fan_out": True},
    ],
)
@pytest.mark.parametrize("alpha", [16.0, 5.0])
def test_log_probabilities_are_pefts(tmp_path, config, alpha):
    expected = written(tmp_path / "adapter", r=8, **config)
    learner = started(tmp_path / "adapter", lora_alpha=alpha)
    np.testing.assert_allclose(learner.score(PROMPT, ANSWER), expected, atol=1e-4)
    # And what it publishes says the same of itself.
    published = learner.policy("run", 1)
    fresh = Learner(tiny_model(), learner.config, "cpu")
    fresh.start_from(published)
    np.testing.assert_array_equal(fresh.score(PROMPT, ANSWER), learner.score(PROMPT, ANSWER))


def with_config(folder, **config):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_dora", True),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("lora_bias", True),
        ("modules_to_save", ["lm_head"]),
        ("trainable_token_indices", [1, 2]),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "PiSSA_niter_4"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", "loftq"),
        ("init_lora_weights", "corda"),
        ("layer_replication", [[0, 2]]),
        ("target_parameters", ["mlp.experts.gate_up_proj"]),
        ("alora_invocation_tokens", [5]),
        ("use_qalora", True),
        ("use_bdlora", {"nblocks": 2}),
        ("arrow_config", {"top_k": 2}),
        ("kasa_config", {"x": 1}),
        ("monteclora_config", {"x": 1}),
        ("velora_config", {"x": 1}),
        ("peft_type", "LOHA"),
        ("task_type", "SEQ_CLS"),
        ("lora_alpha", 0),
        ("lora_alpha", "16"),
        ("alpha_pattern", {"q_proj": -1}),
        ("alpha_pattern", {"q_proj(": 4}),
        ("rank_pattern", {"q_proj": 4}),
        ("r", 16),
        ("a_field_of_next_year", {"on": True}),
    ],
)
def test_what_is_not_computed_here_is_refused_by_name(tmp_path, field, value):
    ranks = {field: value} if field in ("r", "rank_pattern") else {}  # which its matrices must have
    written(tmp_path / "adapter", **{"r": 8, "lora_alpha": 16, **ranks})
    with_config(tmp_path / "adapter", **{field: value})
    with pytest.raises(ConfigError, match="lora_r is 16" if field == "r" else field) as raised:
        read_adapter(str(tmp_path / "adapter"), "run", "", TrainConfig())
    assert "\n" not in str(raised.value)
    if field not in ("r", "rank_pattern"):  # which an engine serves
        with pytest.raises(ConfigError, match=field):
            read_adapter(str(tmp_path / "adapter"), "run")
        policy = PolicyVersion.read(tmp_path / "adapter", run="run", number=0)
        with pytest.raises(ValueError, match=field):
            Learner(tiny_model(), TrainConfig(), "cpu").start_from(policy)


def test_every_field_of_pefts_configuration_is_decided():
    """One that peft adds passes while it is empty, and is refused by its name when it is not."""
    empty = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]).to_dict()
    check_adapter_config({**empty, "target_modules": ["q_proj"]}, "adapter")
    decided = SILENT | HONOURED | ACCEPTED.keys()
    rest = [field for field in (f.name for f in dataclasses.fields(LoraConfig)) if field not in decided]
    for field in rest:
        if field != "runtime_config":
            with pytest.raises(ValueError, match=field):
                check_adapter_config({**empty, field: {"on": 1}}, "adapter")


def test_an_adapter_of_other_layers_is_refused(tmp_path):
    written(tmp_path / "adapter", r=8, lora_alpha=16, target_modules=SEVEN[:4])
    with pytest.raises(ValueError, match=r"does not fit: .*mlp"):
        started(tmp_path / "adapter")


def test_ranks_and_scales_of_single_layers():
    config = {"r": 8, "lora_alpha": 16, "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 32}}
    assert largest_rank(config) == 32 and largest_rank({}) == 8
    assert layer_rank(config, "model.layers.0.self_attn.q_proj") == 2
    assert layer_rank(config, "model.layers.11.mlp.up_proj") == 8, "a pattern matches at the border of a name alone"
    assert layer_rank(config, "model.layers.1.mlp.up_proj") == 32
    assert layer_scale(config, "model.layers.0.self_attn.q_proj") == 8.0
    assert layer_scale({**config, "use_rslora": True, "alpha_pattern": {"q_proj": 4}}, "q_proj") == 4 / 2**0.5
