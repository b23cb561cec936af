"""A load is proven by the tensors that the engine computes from, in any dtype: real engines in bfloat16, on the CPU."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from rollout.backends import AdapterRefused
from rollout.config import EngineConfig
from rollout.engine import Engine, PolicyMismatch, canary_bound
from rollout.engine_spec import EngineSpec
from rollout.load_proof import LoadMismatch, adapter_checksums, check_load, tensor_checksum
from rollout.policy import AdapterForm, Canary, PolicyVersion, Publication

PROMPT, ANSWER = np.arange(40, 70, dtype=np.int32), np.arange(100, 130, dtype=np.int32)


@pytest.fixture(scope="module")
def engine(random_model, loop):
    config = EngineConfig(max_model_len=256, backend="in_process", dtype="bfloat16")
    made = Engine(EngineSpec(str(random_model), config, lora_rank=8), "sixteen-bit")
    yield made
    loop.run_until_complete(made.close())


def changed(adapter, number=1, change=lambda tensors: tensors, **config):
    weights = save({name: value.contiguous() for name, value in change(load(adapter.weights)).items()})
    return PolicyVersion("proof", number, weights, {**adapter.lora_config, **config})


def step(tensors, rate=1e-6):
    """What a first step of AdamW does: each number moves by the rate."""
    torch.manual_seed(5)
    return {name: value + rate * torch.randn(value.shape).sign() for name, value in tensors.items()}


def load_instead(engine, monkeypatch, path_of):
    """Has vLLM read the files of another folder than those that were written."""
    add = engine._backend.add_lora

    async def astray(lora):
        path = path_of(Path(lora.lora_path))
        if path is not None:
            lora.lora_path = str(path)
            await add(lora)

    monkeypatch.setattr(engine._backend, "add_lora", astray)


@pytest.mark.parametrize("rate", [1e-6, 3e-3])
def test_a_version_that_is_one_step_stale_is_caught_and_not_served(engine, loop, adapter, monkeypatch, tmp_path, rate):
    before = changed(adapter, 1)
    after = changed(adapter, 2, lambda tensors: step(tensors, rate))
    stale = before.write(tmp_path)
    load_instead(engine, monkeypatch, lambda path: stale)
    with pytest.raises(PolicyMismatch, match=r"sixteen-bit .* version 2 .* tensors are others than were published"):
        loop.run_until_complete(engine.load(Publication(after)))
    assert not engine.holds("proof", 2)


def test_an_adapter_that_is_missing_is_caught(engine, loop, adapter, monkeypatch):
    load_instead(engine, monkeypatch, lambda path: None)
    with pytest.raises(PolicyMismatch, match="not loaded"):
        loop.run_until_complete(engine.load(Publication(changed(adapter, 3))))


def zeroed_layer(tensors):
    return {n: value * (0 if "layers.1.self_attn.k_proj.lora_B" in n else 1) for n, value in tensors.items()}


def swapped(tensors):
    """Gate and up in each other's place."""
    swap = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    part = {name: next((one for one in swap if one in name), None) for name in tensors}
    return {n: tensors[n.replace(part[n], swap[part[n]])] if part[n] else tensors[n] for n in tensors}


def dropped(tensors):
    return {name: value for name, value in tensors.items() if "down_proj" not in name}


def one_bit(tensors):
    name = next(iter(tensors))
    value = tensors[name].to(torch.bfloat16)
    bits = value.view(torch.int16)
    bits[0, 0] ^= 1
    return {**tensors, name: value.float()}


@pytest.mark.parametrize("change", [zeroed_layer, swapped, dropped, one_bit])
def test_tensors_that_are_wrong_anywhere_are_caught(engine, loop, adapter, monkeypatch, tmp_path, change):
    wrong = changed(adapter, 4, change).write(tmp_path)
    load_instead(engine, monkeypatch, lambda path: wrong)
    with pytest.raises(PolicyMismatch, match="are others than were published"):
        loop.run_until_complete(engine.load(Publication(changed(adapter, 4))))


def test_layers_that_nobody_published_are_caught(engine, loop, adapter, monkeypatch, tmp_path):
    whole = changed(adapter, 5).write(tmp_path)
    load_instead(engine, monkeypatch, lambda path: whole)
    with pytest.raises(PolicyMismatch, match=r"holds weights for .*down_proj, of which nothing was published"):
        loop.run_until_complete(engine.load(Publication(changed(adapter, 5, dropped))))


@pytest.mark.parametrize("config", [{"lora_alpha": 32}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 4}}])
def test_a_wrong_scale_is_caught(engine, loop, adapter, monkeypatch, tmp_path, config):
    def rescaled(path):
        file = path / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
        return path

    load_instead(engine, monkeypatch, rescaled)
    with pytest.raises(PolicyMismatch, match="are others than were published"):
        loop.run_until_complete(engine.load(Publication(changed(adapter, 6))))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"lora_alpha": 3},
        {"lora_alpha": 13.7},
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 4, "layers.0.mlp.up_proj": 100}},
    ],
)
def test_sound_loads_are_never_refused(engine, loop, adapter, config):
    """Fresh adapters (B is zero), trained ones, half precision files, and layers that are left out."""
    for number, change in enumerate(
        [
            lambda t: t,
            lambda t: {n: value * (0 if "lora_B" in n else 1) for n, value in t.items()},
            lambda t: {n: value.bfloat16() for n, value in t.items()},
            lambda t: {n: value.half() for n, value in t.items()},
            dropped,
            lambda t: step(t, 1e-2),
            lambda t: {n: value * 1e-30 for n, value in t.items()},
            lambda t: {n: -value for n, value in t.items()},
        ]
    ):
        policy = changed(adapter, 10 + number, change, **config)
        report = loop.run_until_complete(engine.load(Publication(policy)))
        assert report.proven == len(load(policy.weights))


def test_what_the_learner_has_is_compared_with_what_arrives(engine, loop, adapter):
    """The learner's tensors are in float32; whichever forms of the engine's it knows, what arrives is compared."""
    policy = changed(adapter, 30)
    for form, why in ((engine.form, "others than were published"), (AdapterForm("float32"), "others than the learner")):
        proofs = {form: adapter_checksums(load(policy.weights), policy.lora_config, form)}
        loop.run_until_complete(engine.load(Publication(policy, proofs=proofs)))
        with pytest.raises(PolicyMismatch, match=why):
            loop.run_until_complete(engine.load(Publication(changed(adapter, 31, step), proofs=proofs)))


def test_the_canary_takes_the_mean_and_the_coarser_dtype(engine, loop, adapter, logprobs_of):
    """A learner in float32 beside this engine: sound in bfloat16's measure; another base model is not."""
    right = logprobs_of(PROMPT, ANSWER)
    policy = changed(adapter, 40)
    report = loop.run_until_complete(engine.load(Publication(policy, Canary(PROMPT, ANSWER, right))))
    assert 1e-4 < report.canary_gap < 0.1
    one_off = right.copy()
    one_off[3] -= 2.0  # a single token far off is no gross fault
    loop.run_until_complete(engine.load(Publication(policy, Canary(PROMPT, ANSWER, one_off))))
    with pytest.raises(PolicyMismatch, match=r"in the mean, and 0.25 is allowed with bfloat16 here and float32 there"):
        loop.run_until_complete(engine.load(Publication(policy, Canary(PROMPT, ANSWER, right - 1.0))))
    assert canary_bound("float32", "float32") < canary_bound("float32", "float16") < canary_bound("float16", "bfloat16")


def test_an_adapter_that_is_refused_leaves_no_files(engine, loop, adapter):
    before = engine._held.folders.kept()
    for config, field in (({"r": 64}, "rank"), ({"use_dora": True}, "use_dora"), ({"bias": "all"}, "bias")):
        with pytest.raises(ValueError, match=f"sixteen-bit refuses the adapter .*{field}") as raised:
            loop.run_until_complete(engine.load(Publication(changed(adapter, 50, **config))))
        assert isinstance(raised.value.__cause__, AdapterRefused | ValueError)
    assert engine._held.folders.kept() == before


def test_checksums_of_parts_add_up_and_padding_adds_nothing():
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        whole = torch.randn(48, 8).to(dtype)
        parts = [tensor_checksum(part, placed=False) for part in whole.split(12)]
        assert (sum(parts) - tensor_checksum(whole, placed=False)) % 2**64 == 0
        padded = torch.zeros(64, 16, dtype=dtype)
        padded[:48, :8] = whole
        assert tensor_checksum(padded) == tensor_checksum(whole) != 0
        assert tensor_checksum(whole.flip(0)) != tensor_checksum(whole)
        assert tensor_checksum(whole.flip(1), placed=False) != tensor_checksum(whole, placed=False)
        assert tensor_checksum(torch.zeros_like(whole)) == 0


def reports(*held):
    return [{"held": dict(one), "others": [], "unread": []} for one in held]


def test_split_and_repeated_tensors_are_compared_over_all_workers():
    expected = {"a": 12, "b": -5, "unread": 9}
    assert check_load(expected, reports({"a": 12, "b": -5})) == 2
    assert check_load(expected, reports(*[{"a": 12, "b": -1}, {"a": 12, "b": -4}])) == 2, "A whole on both, B in halves"
    twice = [{"a": 12, "b": part} for part in (-2, -2, -3, -3)]
    assert check_load(expected, reports(*twice)) == 2, "two workers share each half"
    for wrong in ([{"a": 12, "b": -1}, {"a": 12, "b": -3}], [{"a": 12, "b": -5}, {"a": 11, "b": -5}]):
        with pytest.raises(LoadMismatch, match="1 of its 2 tensors"):
            check_load(expected, reports(*wrong))
    with pytest.raises(LoadMismatch, match="holds weights for x"):
        check_load(expected, [dataclasses.asdict(One()) | {"held": expected}])


@dataclasses.dataclass
class One:
    others: tuple = ("x",)
    unread: tuple = ()
