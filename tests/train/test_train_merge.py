"""Merging an adapter into a model's files: peft is the oracle; all dtypes, shards, tied heads, what is refused."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save, save_file
from train_helpers import tiny_model
from transformers import AutoModelForCausalLM

from rollout.policy import PolicyVersion
from train import merge as merging
from train.merge import MergeError, merge, places

IDS = torch.arange(1, 30)[None]
PATTERNS = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"1.mlp.down_proj": 9}}
SETTINGS = [{}, {"use_rslora": True}, PATTERNS]


def base_model(folder, dtype=torch.float32, shard="5GB", **changes):
    folder.mkdir()
    tiny_model(**changes).to(dtype).save_pretrained(folder, max_shard_size=shard)
    return folder


def make_adapter(base, size=0.3, **settings):
    """An adapter that peft made, with weights that are not zero, as it is read from its folder."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    options = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"} | settings
    wrapped = get_peft_model(model, LoraConfig(**options))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, size)
    folder = base.parent / "adapter"
    wrapped.save_pretrained(folder)
    return PolicyVersion.read(folder, run="r", number=1)


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


@pytest.fixture
def merged(tmp_path):
    (tmp_path / "merged").mkdir()
    return tmp_path / "merged"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("settings", SETTINGS)
def test_each_weight_is_what_peft_merges_rounded_once(tmp_path, merged, dtype, tied, settings):
    base = base_model(tmp_path / "base", dtype, tie_word_embeddings=tied)
    adapter = make_adapter(base, **settings)
    done = merge(base, adapter, merged)
    assert done.matrices == 4 and done.changed > 0.9
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    oracle = PeftModel.from_pretrained(whole, base.parent / "adapter").merge_and_unload().state_dict()
    before, after = load_file(base / "model.safetensors"), load_file(merged / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert tensor.dtype == dtype
        if "q_proj.weight" in name or "down_proj" in name:
            wanted = oracle[name].to(dtype).float()
            torch.testing.assert_close(tensor.float(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-7)
            assert not torch.equal(tensor, before[name])
        else:
            assert torch.equal(tensor, before[name])


def test_shards_keep_their_names_and_a_block_of_rows_is_merged_at_a_time(tmp_path, merged, monkeypatch):
    monkeypatch.setattr(merging, "BLOCK", 100)
    base = base_model(tmp_path / "base", torch.bfloat16, shard="8KB")
    assert len(list(base.glob("*.safetensors"))) > 2
    adapter = make_adapter(base)
    merge(base, adapter, merged)
    assert sorted(p.name for p in merged.iterdir()) == sorted(p.name for p in base.glob("model*"))
    (tmp_path / "one").mkdir()
    monkeypatch.setattr(merging, "BLOCK", 1 << 24)
    merge(base, adapter, tmp_path / "one")
    assert all((tmp_path / "one" / p.name).read_bytes() == p.read_bytes() for p in merged.iterdir())


def test_the_merged_model_computes_what_base_and_adapter_do(tmp_path, merged):
    base = base_model(tmp_path / "base")
    adapter = make_adapter(base)
    merge(base, adapter, merged)
    (merged / "config.json").write_bytes((base / "config.json").read_bytes())
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain = logits(whole)
    adapted = logits(PeftModel.from_pretrained(whole, base.parent / "adapter"))
    found = logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32))
    torch.testing.assert_close(found, adapted, rtol=1e-4, atol=1e-4)
    assert (plain - adapted).abs().max() > 0.1


def test_memory_holds_blocks_and_not_the_model(tmp_path, merged, monkeypatch):
    largest = []
    monkeypatch.setattr(merging, "BLOCK", 64)
    rows = merging.read_rows

    def noted(file, place):
        for start, stop, tensor in rows(file, place):
            largest.append(tensor.numel())
            yield start, stop, tensor

    monkeypatch.setattr(merging, "read_rows", noted)
    base = base_model(tmp_path / "base")
    merge(base, make_adapter(base), merged)
    assert max(largest) <= 64


def test_a_model_with_a_tower_calls_its_layers_otherwise(tmp_path, merged):
    base = base_model(tmp_path / "base")
    adapter = make_adapter(base)
    tensors = load_file(base / "model.safetensors")
    renamed = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in tensors.items()}
    save_file(renamed | {"model.vision_tower.layers.0.q_proj.weight": torch.ones(2, 2)}, base / "model.safetensors")
    done = merge(base, adapter, merged)
    assert all(name.startswith("model.language_model.") for name in done.names.values())


def narrower(found):
    """The adapter's matrices of a model of half the width."""
    own = {name: tensor for name, tensor in found.items() if "q_proj" in name}
    return {name: (t[:, :16] if "lora_A" in name else t[:16]).contiguous() for name, t in own.items()}


def other_weights(adapter, change):
    from safetensors.torch import load

    return PolicyVersion("r", 1, save(change(load(adapter.weights)), {"format": "pt"}), adapter.lora_config)


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("zero", "the merged model is the base model"),
        ("lost in rounding", "the merged model is the base model"),
        ("overflow", "has numbers after merging that F16 cannot hold"),
        ("another model", "is \\(32, 32\\) in the model's files, and the adapter's is \\(16, 16\\)"),
        ("other layers", "no weight of the adapted layer model.layers.7.q_proj"),
        ("one matrix", "has only one matrix for"),
        ("quantised", "a quantised model has no room for an adapter; give the model in 16 or 32 bits by --model"),
        ("no safetensors", "has no safetensors files"),
        ("index", "which its index names"),
        ("dora", "use_dora"),
        ("room", "has room for"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line(tmp_path, merged, monkeypatch, case, says):
    dtype = {"lost in rounding": torch.bfloat16, "overflow": torch.float16}.get(case, torch.float32)
    base = base_model(tmp_path / "base", dtype)
    size = {"zero": 0.0, "lost in rounding": 1e-9, "overflow": 1e6}.get(case, 0.3)
    adapter = make_adapter(base, size)
    if case == "another model":
        adapter = other_weights(adapter, narrower)
    if case == "other layers":
        named = {f"base_model.model.model.layers.7.q_proj.lora_{k}.weight": torch.ones(4, 4) for k in "AB"}
        adapter = other_weights(adapter, lambda found: named)
    if case == "one matrix":
        adapter = other_weights(adapter, lambda found: {n: t for n, t in found.items() if "lora_A" in n})
    if case == "quantised":
        tensors = load_file(base / "model.safetensors")
        quantised = {n: t.to(torch.int8) if "q_proj.weight" in n else t for n, t in tensors.items()}
        save_file(quantised, base / "model.safetensors")
    if case == "no safetensors":
        (base / "model.safetensors").unlink()
    if case == "index":
        (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    if case == "dora":
        adapter = PolicyVersion("r", 1, adapter.weights, {**adapter.lora_config, "use_dora": True})
    if case == "room":
        monkeypatch.setattr(merging.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(MergeError, match=says) as refused:
        merge(base, adapter, merged)
    assert "\n" not in str(refused.value)


def test_places_are_those_that_safetensors_reads(tmp_path):
    base = base_model(tmp_path / "base", torch.bfloat16)
    tensors = load_file(base / "model.safetensors")
    for name, place in places(base).items():
        assert place.shape == tuple(tensors[name].shape)
        raw = (base / place.file).read_bytes()[place.offset : place.offset + 2 * tensors[name].numel()]
        assert torch.equal(torch.frombuffer(bytearray(raw), dtype=torch.bfloat16).view(place.shape), tensors[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_rounding_is_told_from_a_fault_also_where_base_and_adapter_cancel(tmp_path, dtype):
    torch.manual_seed(0)
    down, up, scale = torch.randn(64, 300), torch.randn(200, 64), 1.5
    delta = merging.Delta(down, up, scale)
    weight = (-delta.rows(0, 200) * (1 + 1e-4 * torch.randn(200, 300))).to(dtype)
    save_file({"w.weight": weight}, tmp_path / "model.safetensors")
    (place,) = places(tmp_path).values()
    with open(tmp_path / "model.safetensors", "r+b") as file:
        merging._add(file, place, delta, "w")
    exact = (scale * (up.double() @ down.double())).float()  # summed up by another hand

    def error():
        return merging.largest_error(tmp_path, place, lambda a, b: (weight[a:b].float(), exact[a:b]))

    assert error() <= 0.51
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["w.weight"][7, 9] += 0.01 * exact[7].abs().max()
    save_file(tensors, tmp_path / "model.safetensors")
    assert error() > 0.51
