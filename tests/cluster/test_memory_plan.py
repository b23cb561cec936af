"""Predicted bytes against those that torch keeps for the backward pass of the learner's own forward."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_models import FOUR, GEMMA3_270M, PHI3_MINI, QWEN3_06B, QWEN3_4B
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights
from varlen_reference import pretend_flash

from cluster import memory_plan
from cluster.activations import Backward, Rows, activations, bytes_a_token_and_layer
from cluster.loads import learner_load, tuner_load
from cluster.memory_plan import (
    GIB,
    EngineLoad,
    LearnerLoad,
    changes,
    engine_need,
    learner_need,
    nearest_engine,
    nearest_learner,
)
from cluster.model_shapes import ModelShapes
from cluster.plan_text import COLUMNS
from train import head
from train.batch import MicroBatch, Row
from train.config import TrainConfig
from train.lora import Adapter
from train.scorer import Scorer

VOCABULARY = 512


def random_model(config, layers, dtype=torch.bfloat16, **changes):
    """The model in its true shapes but for fewer layers and words."""
    keys = config | {"num_hidden_layers": layers, "vocab_size": VOCABULARY, "pad_token_id": 0} | changes
    keys.pop("torch_dtype", None)
    settings = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(settings, dtype=dtype, attn_implementation="sdpa")
    model.tie_weights()
    noise = torch.randn(65537, generator=torch.Generator().manual_seed(0)) / 64
    with torch.no_grad():
        for parameter in model.parameters():
            flat = parameter.view(-1)
            flat.copy_(noise.repeat(-(-len(flat) // len(noise)))[: len(flat)])
    return model.requires_grad_(False).eval()


class Counter:
    """Counts what the learner's forward pass keeps, on one model with one adapter."""

    def __init__(self, model, how=Backward(flash=False)):  # noqa: B008
        self.model = model
        targets = how.targets if isinstance(how.targets, tuple) else "all-linear"
        self.adapter = Adapter(model, TrainConfig(lora_r=how.lora_r, target_modules=targets))

    def saved(self, rows, how):
        """Bytes kept until the backward pass, parameters aside."""
        scorer = Scorer(self.model, how.share_prompts)
        if how.checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.adapter.model.train(how.checkpointing)
        parameters = {p.untyped_storage()._cdata for p in self.adapter.model.parameters()}
        kept = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage._cdata not in parameters:
                kept[storage._cdata] = storage  # holding it keeps its address from being used again
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            scorer.logprobs(micro_batch(rows), 1.0)
        return sum(storage.nbytes() for storage in kept.values())


def micro_batch(rows):
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, VOCABULARY, rows.prompt_tokens) for _ in range(rows.prompts)]
    each = []
    for index in range(rows.rows):
        prompt, zeros = index * rows.prompts // rows.rows, np.zeros(rows.answer_tokens, np.float32)
        answer = rng.integers(0, VOCABULARY, rows.answer_tokens)
        each.append(Row(prompt, prompts[prompt], answer, zeros, zeros, 0))
    return MicroBatch.of(each)


def shapes_of(config, layers, **changes):
    return ModelShapes.from_config(config | {"num_hidden_layers": layers, "vocab_size": VOCABULARY} | changes)


HERE = Backward(flash=False)
"""On a CPU attention goes block by block."""
WAYS = {
    "prompts in each row": HERE,
    "shared prompts": replace(HERE, share_prompts=True),
    "checkpointing": replace(HERE, checkpointing=True),
    "both": replace(HERE, share_prompts=True, checkpointing=True),
}


COUNTED = [name if "Qwen3" in name else pytest.param(name, marks=pytest.mark.slow) for name in FOUR]


@pytest.mark.parametrize("name", COUNTED)
def test_saved_bytes_of_a_layer_in_true_shapes_with_flash_attention(name, monkeypatch):
    pretend_flash(monkeypatch)
    counter, shapes = Counter(random_model(FOUR[name], 1)), shapes_of(FOUR[name], 1)
    rows = Rows(rows=2, answer_tokens=12, prompts=1, prompt_tokens=9)
    for how in (Backward(), Backward(share_prompts=True)):
        assert activations(shapes, rows, how).saved == pytest.approx(counter.saved(rows, how), rel=0.02)


@pytest.mark.parametrize("name", COUNTED)
def test_saved_bytes_of_a_layer_in_true_shapes(name):
    counter, shapes = Counter(random_model(FOUR[name], 1)), shapes_of(FOUR[name], 1)
    rows = Rows(rows=2, answer_tokens=12, prompts=1, prompt_tokens=9)
    for way, how in WAYS.items():
        predicted, found = activations(shapes, rows, how).saved, counter.saved(rows, how)
        print(f"{name}, {way}: predicted {predicted:,} bytes, counted {found:,}")
        assert predicted == pytest.approx(found, rel=0.02)


WINDOWS = {"sliding_window": 16, "_sliding_window_pattern": 2}
SMALL = {"hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 8, "num_key_value_heads": 2}
ODD = {
    "two layers, two prompts": (QWEN3_06B, {}, replace(HERE, share_prompts=True), torch.bfloat16),
    "float32": (QWEN3_4B | SMALL, {}, replace(HERE, dtype="float32", lora_r=8), torch.float32),
    "few targets": (QWEN3_4B | SMALL, {}, replace(HERE, targets=("q_proj", "v_proj")), torch.bfloat16),
    "fused projections": (PHI3_MINI | SMALL, {"sliding_window": None}, HERE, torch.bfloat16),
    "windows": (GEMMA3_270M, WINDOWS, HERE, torch.bfloat16),
    "windows, shared": (GEMMA3_270M, WINDOWS, replace(HERE, share_prompts=True), torch.bfloat16),
}


@pytest.mark.parametrize("case", ODD)
def test_saved_bytes_of_other_kinds_of_layers(case):
    config, changes, how, dtype = ODD[case]
    counter, shapes = Counter(random_model(config, 2, dtype, **changes), how), shapes_of(config, 2, **changes)
    rows = Rows(rows=6, answer_tokens=48, prompts=2, prompt_tokens=33)
    assert activations(shapes, rows, how).saved == pytest.approx(counter.saved(rows, how), rel=0.05)


MEASURED = {"Qwen3-0.6B": 60, "Qwen3-4B": 147, "Qwen2.5-7B": 206, "Llama-3.1-8B": 180}
"""KiB a token and layer with prompts in each row, counted elsewhere: LoRA of rank 16, bfloat16."""


@pytest.mark.parametrize("name", FOUR)
def test_the_whole_model_is_what_was_measured(name):
    shapes = ModelShapes.from_config(FOUR[name], name)
    rows = Rows(rows=4, answer_tokens=64, prompts=1, prompt_tokens=64)
    joined, shared = (bytes_a_token_and_layer(shapes, Backward(share_prompts=share), rows) for share in (False, True))
    assert joined / 1024 == pytest.approx(MEASURED[name], rel=0.04)
    assert joined < shared < 1.06 * joined  # gathered keys and values, of few heads


def test_parts_of_a_learner_follow_from_its_adapter():
    shapes = ModelShapes.from_config(QWEN3_4B)
    need = learner_need(shapes, LearnerLoad(lora_r=16))
    trained = shapes.lora_parameters(16)
    assert need.of("adapter") == 4 * trained == need.of("optimiser") // 2
    assert need.of("weights") == 2 * shapes.total_parameters
    assert need.total == sum(part.bytes for part in need.parts)
    assert need.fits(need.total * 2) and not need.fits(need.total)
    assert f"{need.total / GIB:.1f} GiB" in need.table()
    assert learner_need(shapes, LearnerLoad(moving_average=True)).of("average") == need.of("adapter")


def test_a_base_over_four_workers_takes_a_quarter_and_what_is_gathered():
    shapes = ModelShapes.from_config(FOUR["Qwen2.5-7B"])
    whole, split = (learner_need(shapes, LearnerLoad(shards=workers)) for workers in (1, 4))
    assert split.of("weights") == whole.of("weights") // 4 and whole.of("gathered") == 0
    ends = 2 * 2 * shapes.vocabulary * shapes.hidden
    assert 2 * ends < split.of("gathered") < 2.5 * ends  # both ends, in a buffer and out of it
    assert whole.total - split.total == whole.of("weights") - split.of("weights") - split.of("gathered")
    values = {"train.shard": True, "train.workers": 4}
    assert learner_load(LearnerLoad(), values).shards == 4 and tuner_load(LearnerLoad(), values).shards == 1


def test_linear_layers_in_few_bits_take_a_quarter_or_half_of_bfloat16():
    shapes = ModelShapes.from_config(FOUR["Qwen2.5-7B"])
    layers = shapes.layers * sum(inputs * outputs for inputs, outputs in shapes.linear_layers.values())
    others = 2 * (shapes.total_parameters - layers)
    for form, share in (("nf4", 0.516 / 2), ("int8", 0.5)):
        need = learner_need(shapes, learner_load(LearnerLoad(), {"train.quantise": form}))
        assert need.of("weights") - others == pytest.approx(share * 2 * layers, rel=1e-3)
        assert need.of("unpacked") == 2 * shapes.hidden * shapes.intermediate


@pytest.mark.parametrize(("config", "measured"), [(QWEN3_06B, 0.9), (QWEN3_4B, 2.8)])
def test_a_checkpointed_row_of_16k_is_what_was_measured(config, measured):
    shapes, rows = ModelShapes.from_config(config), Rows(1, 16384 - 512, prompt_tokens=512)
    kept = activations(shapes, rows, Backward(checkpointing=True)).layers / GIB
    assert kept == pytest.approx(measured, rel=0.07)


def test_the_head_works_in_tiles_of_the_size_that_is_planned():
    assert memory_plan.HEAD_TILE == head.HEAD_BYTES


def test_an_engine_over_two_devices_takes_half_the_weights_and_keys_of_each():
    shapes = ModelShapes.from_config(FOUR["Llama-3.1-8B"])
    one, two = (engine_need(shapes, EngineLoad(tensor_parallel=over)) for over in (1, 2))
    assert two.of("weights") == one.of("weights") // 2 and two.of("KV") == one.of("KV") // 2
    with pytest.raises(ValueError, match="tensor_parallel 3"):
        engine_need(shapes, EngineLoad(tensor_parallel=3))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_columns_of_a_plan_add_up(device):
    shapes, shown = ModelShapes.from_config(GEMMA3_270M, "gemma"), {name for _, names in COLUMNS for name in names}
    needs = [
        engine_need(shapes, EngineLoad(device=device)),
        learner_need(shapes, LearnerLoad(device=device, full=True)),
    ]
    assert [part.name for need in needs for part in need.parts if part.name not in shown] == []


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
def test_the_nearest_settings_fit_and_the_given_ones_are_kept_where_they_do(share):
    shapes, load = ModelShapes.from_config(QWEN3_4B), LearnerLoad(checkpointing=False, share_prompts=True)
    wanted = learner_need(shapes, load).total
    found = nearest_learner(shapes, load, int(share * wanted))
    assert (found == load) == (share == 1.0)
    assert learner_need(shapes, found).total <= share * wanted
    assert nearest_learner(shapes, load, shapes.total_parameters) is None
    engine = EngineLoad()
    wanted = engine_need(shapes, engine).total
    sampler = nearest_engine(shapes, engine, int(share * wanted))
    assert engine_need(shapes, sampler).total <= share * wanted
    assert changes(engine, sampler) == "" if share == 1.0 else "max_sequences" in changes(engine, sampler)


@pytest.mark.parametrize("shared", [False, True])
def test_the_largest_micro_batch_is_within_its_budget(shared):
    for budget in (100, 2000, 8192, 65536):
        rows = Rows.within(budget, prompt_tokens=300, answer_tokens=500, group=8, shared=shared)
        assert rows.rows == 1 or rows.positions(shared) <= budget
        more = Rows(rows.rows + 1, 500, -(-(rows.rows + 1) // 8), 300)
        padded = more.rows * 500 + (more.prompts if shared else more.rows) * 300
        assert padded > budget


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_learns_whole_is_counted_with_its_gradients_and_moments(dtype):
    shapes = ModelShapes.from_config(QWEN3_06B, "Qwen3-0.6B")
    values = {"sft.full": True, "sft.workers": 1, "sft.dtype": dtype, "sft.lora_r": 16}
    need = learner_need(shapes, tuner_load(LearnerLoad(), values))
    bytes_each = {"float32": 4, "bfloat16": 6}[dtype]  # with the copy that a forward pass has in 16 bits
    assert need.of("weights") == bytes_each * shapes.total_parameters and need.of("adapter") == 0
    assert (need.of("optimiser"), need.of("gradients")) == (8 * shapes.total_parameters, 4 * shapes.total_parameters)
    two = learner_need(shapes, tuner_load(LearnerLoad(), {**values, "sft.workers": 2}))
    assert two.of("gradients") == 2 * need.of("gradients"), "workers reduce a copy"
    lora = learner_need(shapes, tuner_load(LearnerLoad(), {**values, "sft.full": False}))
    assert need.total - lora.total > 11 * shapes.total_parameters
    assert need.of("activations") >= lora.of("activations")
