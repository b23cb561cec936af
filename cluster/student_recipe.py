"""The figures that the default student was made with. They belong to it alone: no default of another model is here."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.model_shapes import ModelShapes

OWN_STUDENT = 50_000_000
"""Parameters below which a model is taken for one that Crucible pretrained itself: hardly any other is so small."""

Value = int | float | str | bool | None

_WHY = "the default student's own figure"
_FIGURES: Mapping[str, tuple[Value, str]] = {
    "rollout.groups_per_step": (8, _WHY),
    "rollout.group_size": (8, _WHY),
    "rollout.sampling.max_tokens": (192, _WHY),
    "rollout.max_staleness": (0, _WHY),
    "rollout.engines": (1, "one engine is enough for it, however many GPUs there are"),
    "rollout.engine.dtype": ("auto", "float32 on CPU, bfloat16 on a GPU"),
    "rollout.engine.max_model_len": (1024, _WHY),
    "rollout.engine.max_sequences": (64, _WHY),
    "rollout.engine.enforce_eager": (True, "compiling takes longer than it saves at this size"),
    "rollout.engine.gpu_memory_share": (0.45, _WHY),
    "rollout.engine.kv_cache_gib": (0.5, _WHY),
    "rollout.engine.tensor_parallel": (1, _WHY),
    "train.learning_rate": (3e-3, "its adapter learns from nothing: 1e-3 is slow, 1e-2 collapses"),
    "train.lora_r": (8, _WHY),
    "train.lora_alpha": (16.0, _WHY),
    "train.micro_batch_tokens": (8192, _WHY),
    "train.gradient_checkpointing": (False, "its activations are small"),
    "train.dtype": ("auto", "float32 on CPU, bfloat16 on a GPU"),
    "train.workers": (1, "one learner is enough for it"),
    "sft.learning_rate": (2e-4, _WHY),
    "sft.lora_r": (16, _WHY),
    "sft.lora_alpha": (32.0, _WHY),
    "sft.batch_size": (1, _WHY),
    "sft.grad_accumulation": (8, _WHY),
    "sft.gradient_checkpointing": (False, "its activations are small"),
    "sft.dtype": ("auto", "float32 on CPU, bfloat16 on a GPU"),
    "sft.workers": (1, "one learner is enough for it"),
    "dpo.learning_rate": (2e-4, _WHY),
    "dpo.batch_size": (4, _WHY),
    "dpo.grad_accumulation": (1, _WHY),
}
_WHOLE_BATCHES = {"sft.batch_size": 8, "sft.grad_accumulation": 1}
_OF_GPU = ("rollout.engine.gpu_memory_share", "rollout.engine.tensor_parallel")
_OF_CPU = ("rollout.engine.kv_cache_gib",)
_OF_JOB: Mapping[str, Mapping[str, Value]] = {
    "sft": {"rollout.sampling.max_tokens": 512},
    "lrl": {"sft.lora_r": 8, "sft.lora_alpha": 16.0, **_WHOLE_BATCHES},
    "undo": {"sft.learning_rate": 1e-3, **_WHOLE_BATCHES},
    "expert": {
        "rollout.sampling.max_tokens": 160,
        "rollout.engine.max_model_len": 512,
        "rollout.engine.max_sequences": 128,
        "sft.learning_rate": 1e-3,
        **_WHOLE_BATCHES,
    },
}
"""Where a job's figures are others."""


def own_figures(kind: str, shapes: ModelShapes, on_gpu: bool) -> dict[str, tuple[Value, str]]:
    """Value and reason of each option for the default student in a job of this kind."""
    own = {name: (value, _WHY) for name, value in _OF_JOB.get(kind, {}).items()}
    found = {**_FIGURES, **own}
    found["rollout.engine.max_batched_tokens"] = (2048 if on_gpu else 8192, _WHY)
    length, _ = found["rollout.engine.max_model_len"]
    if isinstance(length, int) and length > shapes.max_positions:
        found["rollout.engine.max_model_len"] = (shapes.max_positions, "as many as the model knows")
    other_device = _OF_CPU if on_gpu else _OF_GPU
    return {name: figure for name, figure in found.items() if name not in other_device}
