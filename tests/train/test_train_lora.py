import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load, load_file
from train_helpers import VOCABULARY, model_of, tiny_model

from rollout.adapter import check_adapter_config
from rollout.policy import PolicyVersion
from train.config import TrainConfig
from train.lora import Adapter

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = torch.from_numpy(np.random.default_rng(0).integers(0, VOCABULARY, (2, 9)))


def stirred(adapter: Adapter, scale: float = 0.1) -> Adapter:
    """An adapter that changes something: fresh ones have B = 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return adapter


def test_the_export_is_what_peft_saves(tmp_path):
    model = tiny_model()
    adapter = stirred(Adapter(model, TrainConfig(lora_r=4, lora_alpha=6)))
    adapter.model.save_pretrained(tmp_path)
    policy = adapter.export("run", 3)
    saved, exported = load_file(tmp_path / "adapter_model.safetensors"), load(policy.weights)
    assert saved.keys() == exported.keys() and len(saved) == 2 * 7 * 2
    assert all(torch.equal(saved[name], exported[name]) for name in saved)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert {**config, "target_modules": sorted(config["target_modules"])} == json.loads(json.dumps(policy.lora_config))


def test_peft_reads_the_export_and_computes_the_same(tmp_path):
    model = tiny_model()
    adapter = stirred(Adapter(model, TrainConfig()))
    path = adapter.export("run", 1).write(tmp_path)
    with torch.no_grad():
        own = model(IDS).logits
        theirs = PeftModel.from_pretrained(tiny_model(), path)(IDS).logits
        base = tiny_model()(IDS).logits
        with adapter.off():
            off = model(IDS).logits
    assert torch.allclose(own, theirs, atol=1e-5)
    assert torch.equal(off, base) and (own - base).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_layer_computes_what_pefts_does(dtype):
    """Value and gradients; in bfloat16 both are near the float32 truth."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    truth = get_peft_model(tiny_model(), LoraConfig(r=8, lora_alpha=16, target_modules=names, task_type="CAUSAL_LM"))
    model = tiny_model().to(dtype)
    model.requires_grad_(False)
    adapter = stirred(Adapter(model, TrainConfig()), 0.05)
    assert {p.dtype for p in adapter.parameters.values()} == {torch.float32}
    wanted = {n.replace(".default.", "."): p for n, p in truth.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(adapter.parameters[name])
    for network in (model, truth):
        network(IDS).logits.float().log_softmax(-1)[..., 3].sum().backward()
    own, theirs = (torch.cat([table[name].grad.flatten() for name in wanted]) for table in (adapter.parameters, wanted))
    assert (own - theirs).norm() < (1e-5 if dtype is torch.float32 else 0.05) * theirs.norm()


def test_an_adapter_comes_back_from_its_bytes():
    source = stirred(Adapter(tiny_model(), TrainConfig()))
    policy = source.export("run", 1)
    other = Adapter(tiny_model(), TrainConfig(seed=5))
    assert other.export("run", 1).adapter_hash != policy.adapter_hash
    other.load(policy)
    again = other.export("run", 1)
    assert again.weights == policy.weights and again.adapter_hash == policy.adapter_hash


def test_an_adapter_of_another_shape_is_refused():
    adapter = Adapter(tiny_model(), TrainConfig())
    before = adapter.export("run", 0).weights
    for config in (TrainConfig(lora_r=4), TrainConfig(target_modules=("q_proj",))):
        with pytest.raises(ValueError, match=r"does not fit: base_model\.model"):
            adapter.load(Adapter(tiny_model(), config).export("other", 1))
    with pytest.raises(ValueError, match="nothing to load"):
        adapter.load(PolicyVersion("base", 0))
    assert adapter.export("run", 0).weights == before


def test_equal_seeds_give_equal_adapters_whatever_was_drawn_before():
    torch.manual_seed(1)
    one = Adapter(tiny_model(), TrainConfig(seed=3)).export("r", 0)
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    two = Adapter(tiny_model(), TrainConfig(seed=3)).export("r", 0)
    assert one.weights == two.weights
    assert torch.rand(1) == drawn
    assert Adapter(tiny_model(), TrainConfig(seed=4)).export("r", 0).weights != one.weights


def test_target_modules_must_be_there():
    adapter = Adapter(tiny_model(), TrainConfig(target_modules=("v_proj", "q_proj")))
    assert adapter.config["target_modules"] == ["q_proj", "v_proj"] and len(adapter.parameters) == 8
    for name in ("c_attn", "lm_head"):
        with pytest.raises(ValueError, match=f"{name} is not a linear layer"):
            Adapter(tiny_model(), TrainConfig(target_modules=(name,)))


def test_a_vision_tower_gets_no_adapter_though_its_layers_have_the_same_names():
    adapter = Adapter(model_of("gemma3 with a vision tower"), TrainConfig(lora_r=2))
    assert adapter.config["target_modules"] == sorted(SEVEN)
    assert len(adapter.parameters) == 2 * 7 * 2
    assert all(".language_model.layers." in name for name in adapter.parameters)
    check_adapter_config(adapter.config, "this adapter")
    with pytest.raises(ValueError, match="fc1 is not a linear layer inside the language model"):
        Adapter(model_of("gemma3 with a vision tower"), TrainConfig(target_modules=("fc1",)))
