"""What a recipe chooses, with the reasons: options and their values from an allocation. Pure: no torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.allocation import BUSY_SEQUENCES, Allocation, Pool
from cluster.devices import Hardware
from cluster.loads import KV_GIB, SHARE
from cluster.memory_plan import GIB, USABLE, EngineLoad, LearnerLoad, gib, nearest_learner
from cluster.model_shapes import ModelShapes

Value = Any
"""A number, a text, a truth value; of hardware.profiles a list."""
LARGE = 2_000_000_000
"""Parameters from which a model learns with a higher rank and a lower rate."""
HIGH_RATE = 5e-4
"""Learning rate above which a pretrained model soon forgets what it knows."""
REASONING_TOKENS = 2048
"""Least answer, in tokens, for suites whose problems are reasoned about at length."""
EXAMPLES = 8
"""Worked answers that one update of fine-tuning sees."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A default and why it is this one."""

    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths and counts that a recipe starts from."""

    prompt: int
    answer: int
    length: int
    groups: int
    group: int
    rank: int

    @classmethod
    def of(
        cls,
        shapes: ModelShapes,
        given: Mapping[str, Any],
        *,
        prompt: int,
        reasoning: bool,
        answer: int,
        length: int,
        batch: int,
    ) -> Sizes:
        """Within what the model knows and what is given.

        `answer`, `length` and `batch` groups are wanted where nothing is given; prompts are expected to have `prompt`
        tokens.
        """
        wanted = given.get("rollout.sampling.max_tokens") or (max(answer, REASONING_TOKENS) if reasoning else answer)
        room = given.get("rollout.engine.max_model_len")
        known = room or min(shapes.max_positions, max(length, prompt + wanted))
        prompt = min(prompt, known // 2)
        groups, group = given.get("rollout.groups_per_step", batch), given.get("rollout.group_size", min(8, batch))
        rank = 32 if shapes.total_parameters >= LARGE else 16
        return cls(prompt, min(wanted, known - prompt), known, groups, group, rank)


def sampling_choices(reasoning: bool, answer: int, sizes: Sizes, staleness: int) -> dict[str, Choice]:
    groups, group = sizes.groups, sizes.group
    enough = f"{groups} x {group} answers a step keep the engine busy and the gradient steady"
    if groups * group < BUSY_SEQUENCES:
        enough = f"{groups} x {group} answers a step: as many as a CPU samples within minutes"
    if answer < sizes.answer:
        why = f"longer answers than this do not fit beside the engine; {sizes.answer:,} were wanted"
    elif reasoning:
        why = "shorter ones cut the reasoning off before its answer"
    else:
        why = "room for a program or a short derivation"
    apart = "engine and learner have devices of their own, so that one works while the other does"
    return {
        "rollout.groups_per_step": Choice(groups, enough),
        "rollout.group_size": Choice(group, enough),
        "rollout.sampling.max_tokens": Choice(answer, why),
        "rollout.max_staleness": Choice(
            staleness, apart if staleness else "engine and learner take turns on one device"
        ),
    }


def engine_choices(found: Allocation, shapes: ModelShapes) -> dict[str, Choice]:
    """Settings of the first engine; where engines differ, hardware.profiles has each kind's."""
    pool = found.engines[0]
    load = pool.load
    assert isinstance(load, EngineLoad)
    gpu, kv = load.device == "cuda", gib(pool.need.of("KV"))
    capability = "the GPU computes in it" if load.dtype == "bfloat16" else "the GPU has no bfloat16"
    length = min(one.load.max_model_len for one in found.engines if isinstance(one.load, EngineLoad))
    context = f"of the {shapes.max_positions:,} that the model knows; more only takes memory from other sequences"
    choices = {
        "rollout.engine.dtype": Choice(load.dtype, capability if gpu else _cpu_dtype(load.dtype)),
        "rollout.engine.max_model_len": Choice(length, context),
        "rollout.engine.max_sequences": Choice(load.sequences, f"{kv} of keys and values beside the weights"),
        "rollout.engine.max_batched_tokens": Choice(load.batched_tokens, "prompts are read in pieces of this many"),
        "rollout.engine.enforce_eager": Choice(load.eager, _eager_reason(load)),
    }
    if gpu:
        shared = f"weights, {kv} for keys and values, and workspace; the rest is the learner's"
        alone = f"it has its GPU to itself: {kv} for keys and values"
        choices[SHARE] = Choice(pool.share, shared if found.shared else alone)
        over = load.tensor_parallel
        why = "one GPU holds it" if over == 1 else f"one GPU does not leave it enough sequences, {over} do"
        choices["rollout.engine.tensor_parallel"] = Choice(over, why)
    else:
        choices[KV_GIB] = Choice(
            round(pool.need.of("KV") / GIB + 0.05, 1), f"{load.sequences} sequences of {load.sequence_tokens} tokens"
        )
    return choices


def learner_choices(
    found: Allocation, sizes: Sizes, shapes: ModelShapes, given: Mapping[str, Any]
) -> dict[str, Choice]:
    pool = found.learner
    assert pool is not None and isinstance(pool.load, LearnerLoad)
    load, size = pool.load, f"{shapes.total_parameters / 1e9:.1f} B parameters"
    held = f"{gib(pool.need.of('activations') + pool.need.of('workspace'))} of activations"
    row = load.prompt_tokens + load.answer_tokens
    checkpointing = f"a third more time, and {held}" if load.checkpointing else f"{held} fit as they are"
    return {
        "train.learning_rate": Choice(
            1e-5 if shapes.total_parameters >= LARGE else 2e-5,
            f"usual for LoRA by reinforcement at {size}; above {HIGH_RATE:g} it forgets",
        ),
        "train.lora_r": Choice(sizes.rank, f"usual at {size}"),
        "train.lora_alpha": Choice(2.0 * given.get("train.lora_r", sizes.rank), "twice the rank"),
        "train.micro_batch_tokens": Choice(load.micro_batch_tokens, f"{held}; the longest row has {row:,}"),
        "train.gradient_checkpointing": Choice(load.checkpointing, checkpointing),
        "train.dtype": Choice(load.dtype, _learner_dtype_reason(load)),
        "train.workers": Choice(pool.count, found.rule),
    }


def tuning_choices(
    found: Allocation, shapes: ModelShapes, tuner: LearnerLoad, given: Mapping[str, Any], again: bool
) -> dict[str, Choice]:
    """Settings of fine-tuning on given answers, which has the learner's place. `again`: one adapter is tuned time and
    again on the model's own answers, so that little must be lost each time."""
    pool = found.learner
    assert pool is not None and isinstance(pool.load, LearnerLoad)
    beside = sum(one.need.total for one in found.engines) if found.shared else 0
    dtype = {} if "dtype" in tuner.fixed else {"dtype": pool.load.dtype}
    load = nearest_learner(shapes, replace(tuner, **dtype), int(USABLE * pool.device.bytes) - beside) or tuner
    row = load.prompt_tokens + load.answer_tokens
    batch = max(1, min(EXAMPLES, load.micro_batch_tokens // row))
    batch = 1 << (batch.bit_length() - 1)
    workers = given.get("sft.workers", pool.count)
    size, rank = f"{shapes.total_parameters / 1e9:.1f} B parameters", given.get("sft.lora_r", load.lora_r)
    each = f"{EXAMPLES} examples an update, over {workers} worker{'s' * (workers > 1)}"
    shape = given.get("sft.batch_size", batch)
    rate = 2e-5 if again else 1e-4 if shapes.total_parameters >= LARGE else 2e-4
    rule = f"usual for LoRA at {size}" if not again else "low, for it is tuned again"
    if load.full:
        rate, rule = (1e-5 if shapes.total_parameters >= LARGE else 2e-5), f"usual for all weights at {size}"
    return {
        "sft.learning_rate": Choice(rate, rule),
        "sft.lora_r": Choice(load.lora_r, f"usual at {size}"),
        "sft.lora_alpha": Choice(2.0 * rank, "twice the rank"),
        "sft.batch_size": Choice(batch, f"rows of up to {row:,} tokens that fit"),
        "sft.grad_accumulation": Choice(max(1, EXAMPLES // (shape * workers)), each),
        "sft.gradient_checkpointing": Choice(load.checkpointing, "a third more time, and far less memory"),
        "sft.dtype": Choice(load.dtype, _learner_dtype_reason(load)),
        "sft.workers": Choice(pool.count, found.rule),
        "dpo.learning_rate": Choice(1e-5, f"usual for LoRA by preference at {size}"),
        "dpo.batch_size": Choice(max(1, batch // 2), "a pair is two rows"),
        "dpo.grad_accumulation": Choice(
            max(1, EXAMPLES // max(1, batch // 2) // workers), f"{EXAMPLES} pairs an update"
        ),
    }


def kind_choices(hardware: Hardware, found: Allocation, given: Mapping[str, Any]) -> dict[str, Choice]:
    """Which kinds of GPUs they go to, where there are several."""
    choices = {}
    names = {device.name for device in hardware.devices}
    placed = {role: any(name.startswith(f"hardware.{role}.") for name in given) for role in ("engine", "learner")}
    if described := given.get("hardware.profiles"):
        if len(described) == len(found.engines):  # else they share one GPU, or the CPUs
            profiles = [dict(profile) for profile in described]
            for profile, pool in zip(profiles, found.engines, strict=True):
                profile |= {name: value for name, value in _profile(pool).items() if profile.get(name) is None}
            choices["hardware.profiles"] = Choice(profiles, "each kind as you described it, and what fits there")
    elif len(found.engines) > 1 and not placed["engine"]:
        profiles = [
            {"name": f"{pool.device.name}_{number}".replace("-", "_"), "accelerator": pool.device.name} | _profile(pool)
            for number, pool in enumerate(found.engines)
        ]
        choices["hardware.profiles"] = Choice(profiles, "the GPUs differ, and each kind has its own settings")
    elif found.engines and len(names) > 1 and not placed["engine"] and not found.shared:
        choices["hardware.engine.accelerator"] = Choice(found.engines[0].device.name, "an engine fits there")
    if found.learner and len(names) > 1 and not placed["learner"] and not found.shared:
        choices["hardware.learner.accelerator"] = Choice(found.learner.device.name, "the strongest learns")
    return choices


def _profile(pool: Pool) -> dict[str, Any]:
    load = pool.load
    assert isinstance(load, EngineLoad)
    return {
        "count": pool.count,
        "dtype": load.dtype,
        "tensor_parallel": load.tensor_parallel,
        "max_sequences": load.sequences,
        "max_batched_tokens": load.batched_tokens,
        "max_model_len": load.max_model_len,
        "enforce_eager": load.eager,
        "gpu_memory_share": pool.share,
    }


def _learner_dtype_reason(load: LearnerLoad) -> str:
    if load.device != "cuda":
        return _cpu_dtype(load.dtype)
    if load.dtype == "float32":
        return "the GPU has no bfloat16; train.dtype float16 takes half the memory, and scales its losses"
    return "the adapter stays float32"


def _eager_reason(load: EngineLoad) -> str:
    if load.device == "cpu":
        return "CPU: compiling buys nothing"
    if load.eager:
        return "no room for captured graphs"
    return "compiled and graph-captured: with LoRA two to three times faster"


def _cpu_dtype(dtype: str) -> str:
    return "CPU: exact" if dtype == "float32" else "CPU: it multiplies bfloat16, or float32 does not fit"
