"""The settings of a job as loads: what its memory depends on, by the options' dotted names. Pure: no torch, no Ray.

Names are those of `crucible grpo`; jobs that call an option otherwise translate it (`pipelines.defaults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from cluster.devices import Device
from cluster.memory_plan import SETTINGS, EngineLoad, LearnerLoad
from cluster.model_shapes import ModelShapes
from cluster.shares import engine_dtype, learner_dtype

REFERENCE = "train.reference"
SHARE, KV_GIB = "rollout.engine.gpu_memory_share", "rollout.engine.kv_cache_gib"
OF_PROFILE = {
    "dtype": "dtype", "tensor_parallel": "tensor_parallel", "max_sequences": "sequences",
    "max_batched_tokens": "batched_tokens", "max_model_len": "max_model_len", "enforce_eager": "eager",
}  # fmt: skip
"""Fields of a hardware profile by those of a load."""


def engine_load(
    load: EngineLoad,
    values: Mapping[str, Any],
    shapes: ModelShapes,
    device: Device | None = None,
    profile: Mapping[str, Any] | None = None,
) -> EngineLoad:
    """`load` with what `values`, and the kind of engine that `profile` describes, say of it; these fields are fixed.

    `device` decides what dtype `auto` is; without one that is left open.
    """
    found = _direct(values)
    rank, staleness = values.get("train.lora_r", values.get("sft.lora_r")), values.get("rollout.max_staleness")
    averages = 2 if values.get("rollout.ema_samples") else 1
    found |= {
        "dtype": values.get("rollout.engine.dtype"),
        "lora_rank": None if rank is None else max(8, 1 << (rank - 1).bit_length()),
        # The next version is loaded and proven while all of these sample.
        "adapters": None if staleness is None else (staleness + 1) * averages + 1,
    }
    own = {OF_PROFILE[name]: value for name, value in (profile or {}).items() if name in OF_PROFILE}
    found |= {name: value for name, value in own.items() if value is not None}
    if found["dtype"] == "auto":
        found["dtype"] = _auto(engine_dtype(shapes, device) if device else None, load.device)
    return _with(load, found)


def learner_load(load: LearnerLoad, values: Mapping[str, Any], device: Device | None = None) -> LearnerLoad:
    """`load` with what `values` say of it; these fields are fixed."""
    found = _direct(values)
    targets = values.get("train.target_modules")
    found |= {
        "dtype": values.get("train.dtype"),
        "lora_r": values.get("train.lora_r"),
        "group": values.get("rollout.group_size"),
        "targets": targets if targets is None or isinstance(targets, str) else tuple(targets),
        "moving_average": True if values.get("train.ema_decay") else None,
        "quantise": values.get("train.quantise"),
        "shards": values.get("train.workers") if values.get("train.shard") else None,
        "reference": True if values.get("train.beta") and values.get(REFERENCE) == "start" else None,
    }
    if found["dtype"] == "auto":
        found["dtype"] = _auto(learner_dtype(device) if device else None, load.device)
    return sharing(_with(load, found))


def tuner_load(load: LearnerLoad, values: Mapping[str, Any], device: Device | None = None) -> LearnerLoad:
    """The load of fine-tuning on given answers, by the options of section `sft`: rows of at most `sft.max_length`."""
    longest, batch = values.get("sft.max_length"), values.get("sft.batch_size")
    row = longest or load.prompt_tokens + load.answer_tokens
    full, workers = values.get("sft.full"), values.get("sft.workers")
    prompt = min(load.prompt_tokens, row // 2)
    targets = values.get("sft.target_modules")
    found = {
        "dtype": values.get("sft.dtype"),
        "lora_r": values.get("sft.lora_r"),
        "checkpointing": values.get("sft.gradient_checkpointing"),
        "full": full or None,
        "gradients": 1 if full and workers == 1 else None,
        "micro_batch_tokens": None if batch is None else batch * row,
        "answer_tokens": row - prompt,
        "targets": targets if targets is None or isinstance(targets, str) else tuple(targets),
    }
    if found["dtype"] == "auto":
        found["dtype"] = _auto(learner_dtype(device) if device else None, load.device)
    return _with(replace(load, prompt_tokens=prompt, group=1, share_prompts=False, can_shard=False), found)


def sharing(load: LearnerLoad) -> LearnerLoad:
    """With shared prompts, as the learner has them unless it is told otherwise."""
    return load if "share_prompts" in load.fixed else replace(load, share_prompts=True)


def _auto(by_device: str | None, kind: str) -> str | None:
    return "float32" if kind == "cpu" else by_device


def _direct(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[option] for name, option in SETTINGS.items() if option in values}


def _with(load: Any, found: Mapping[str, Any]) -> Any:
    """`load` with what of `found` is a field of it and is set at all, fixed."""
    names = {field.name for field in fields(load)}
    known = {name: value for name, value in found.items() if name in names and value is not None}
    return replace(load, **known, fixed=load.fixed | frozenset(known))
