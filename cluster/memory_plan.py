"""What an engine and a learner take of a device, in bytes, before either starts. Pure: no torch, no Ray.

Weights, keys and values, adapters, optimiser and activations are counted from layer shapes. What no shape tells (CUDA
contexts, libraries' workspaces, captured graphs) is an allowance, and called so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from cluster.activations import FLOAT, Backward, Rows, activations
from cluster.model_shapes import ALL_LINEAR, DTYPE_BYTES, ModelShapes

GIB = 1 << 30

CONTEXT = {"cuda": int(0.6 * GIB), "cpu": int(0.55 * GIB)}
"""Allowance for a process: its CUDA context and kernels, or Python with its libraries."""
ENGINE_WORKSPACE = {"cuda": int(0.6 * GIB), "cpu": int(0.2 * GIB)}
"""Allowance for attention's and the matrix library's buffers, and for the sampler's."""
TOKENIZERS, TOKEN_BYTES = 3, 1200
"""In an engine's process, vLLM's two and our own, and what each takes for a token of the vocabulary."""
GRAPHS = GIB
"""Allowance for captured CUDA graphs, with and without adapters."""
HEAD_TILE = {"cuda": 1 << 28, "cpu": 1 << 21}
"""Bytes of the float32 tile of logits that the learner's head works on at a time."""
TILES = 4
"""Tiles that live at once: logits in the model's numbers and in float32, their exponentials, slopes of a soft cap."""
HEAP = {"cuda": 0.0, "cpu": 1.5}
"""Allowance for freed blocks that the allocator keeps: times the workspace. On a GPU they are used again."""
USABLE = 0.95
"""Share of a device that plans may fill: drivers, fragments and other processes want the rest."""
QUANTISED_BYTES = {"nf4": 0.5 + (1 + 4 / 256) / 64, "int8": 1.0}
"""Bytes of a quantised weight: nf4 has a constant of one byte for each 64, and of four for each 256 of these."""
SHARDS = (2, 4, 8, 16)
"""Numbers of workers that plans suggest to split a base over."""
FEWEST_SEQUENCES, SHORTEST_ANSWER, SHORTEST_CONTEXT = 8, 256, 1024
"""Below these no plan goes to make things fit."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that lies in memory."""

    name: str
    bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Everything that one actor holds on one device at its peak."""

    what: str
    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(part.bytes for part in self.parts)

    def of(self, name: str) -> int:
        """Bytes of one part; 0 where there is none."""
        return sum(part.bytes for part in self.parts if part.name == name)

    def fits(self, device_bytes: int, usable: float = USABLE) -> bool:
        """Whether it all fits into a device of so many bytes."""
        return self.total <= usable * device_bytes

    def table(self) -> str:
        """One line a part, in GiB, for people."""
        lines = [f"{self.what}: {gib(self.total)}"]
        lines += [f"  {part.name:<12} {gib(part.bytes):>10}  {part.note}".rstrip() for part in self.parts if part.bytes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The settings of one engine that its memory depends on."""

    dtype: str = "bfloat16"
    max_model_len: int = 4096
    sequences: int = 256
    prompt_tokens: int = 512
    answer_tokens: int = 1024
    """The longest answer."""
    batched_tokens: int = 8192
    adapters: int = 2
    """Adapters that lie on the device at once."""
    lora_rank: int = 16
    """Rank that there is room for (vLLM's `max_lora_rank`)."""
    tensor_parallel: int = 1
    eager: bool = False
    device: str = "cuda"
    fixed: frozenset[str] = frozenset()
    """Fields that were decided elsewhere, and that no smaller engine changes."""

    @property
    def sequence_tokens(self) -> int:
        """Tokens that a running sequence holds on average: its prompt and half of its longest answer."""
        return min(self.prompt_tokens + self.answer_tokens // 2, self.max_model_len)


@dataclass(frozen=True, slots=True)
class LearnerLoad:
    """The settings of one learner worker that its memory depends on."""

    dtype: str = "bfloat16"
    lora_r: int = 16
    targets: str | tuple[str, ...] = ALL_LINEAR
    micro_batch_tokens: int = 8192
    prompt_tokens: int = 512
    answer_tokens: int = 1024
    group: int = 8
    """Answers to one prompt."""
    checkpointing: bool = True
    share_prompts: bool = False
    moving_average: bool = False
    reference: bool = False
    """Whether the KL is to an adapter, which is held beside the one that learns."""
    full: bool = False
    """Whether all weights learn, in float32, in place of an adapter."""
    quantise: str = "none"
    """What its linear layers are held in."""
    shards: int = 1
    """Workers that the frozen base is split over."""
    can_shard: bool = True
    """Whether it can be split: not where it is fine-tuned on given answers."""
    gradients: int = 2
    """Copies of the gradient: each parameter's own, and the one that workers reduce."""
    device: str = "cuda"
    fixed: frozenset[str] = frozenset()
    """Fields that were decided elsewhere, and that no smaller learner changes."""

    @property
    def rows(self) -> Rows:
        """The largest micro-batch of the longest rows."""
        return Rows.within(
            self.micro_batch_tokens, self.prompt_tokens, self.answer_tokens, self.group, self.share_prompts
        )

    @property
    def backward(self) -> Backward:
        """How its activations are counted."""
        flash = self.device == "cuda" and self.dtype != "float32"
        # Where all weights learn, what lies between 16-bit products is float32.
        dtype = "float32" if self.full else self.dtype
        return Backward(dtype, self.lora_r, self.targets, self.checkpointing, self.share_prompts, flash)


def engine_need(shapes: ModelShapes, load: EngineLoad) -> MemoryNeed:
    """What one engine takes of each device that it is split over. Raises ValueError for an uneven split."""
    over, number = load.tensor_parallel, DTYPE_BYTES[load.dtype]
    if shapes.heads % over:
        raise ValueError(f"tensor_parallel {over} does not divide the {shapes.heads} attention heads of {shapes.name}")
    held = max(
        load.sequences * shapes.kv_bytes(load.sequence_tokens, number),
        shapes.kv_bytes(load.max_model_len, number),
    )
    kv = held // min(over, shapes.kv_heads)
    adapter = shapes.lora_parameters(load.lora_rank) + load.lora_rank * (shapes.vocabulary + shapes.hidden)
    inner = batched_width(shapes, over)
    logits = load.sequences * shapes.vocabulary * (number + 2 * FLOAT + 1)
    forward = max(load.batched_tokens * inner * number, logits)
    weights, note = shapes.total_parameters, f"{load.dtype}, {size(shapes)} parameters"
    if load.device == "cpu":  # of other layers vLLM keeps the form alone that the matrix library wants
        weights += shapes.vocabulary * shapes.hidden
        note += ", those of the head twice"
    tokenizers = TOKENIZERS * TOKEN_BYTES * shapes.vocabulary if load.device == "cpu" else 0
    parts = (
        Part("weights", weights * number // over, note),
        Part("KV", kv, f"{load.sequences} sequences of {load.sequence_tokens:,} tokens"),
        Part("adapters", load.adapters * adapter * number // over, f"{load.adapters} of rank {load.lora_rank}"),
        Part("activations", forward, f"{load.batched_tokens:,} tokens at once, logits of {load.sequences} sequences"),
        Part("graphs", 0 if load.eager else GRAPHS, "captured CUDA graphs, an allowance"),
        Part("tokenizers", tokenizers, f"{TOKENIZERS}, of {shapes.vocabulary:,} tokens"),
        Part("context", CONTEXT[load.device] + ENGINE_WORKSPACE[load.device], "libraries, an allowance"),
    )
    return MemoryNeed("engine" if over == 1 else f"engine, on each of {over}", parts)


def batched_width(shapes: ModelShapes, over: int) -> int:
    """Numbers that the widest moment of one layer holds of a token: feed-forward or attention, and the residual."""
    return 2 * shapes.hidden + max(3 * shapes.intermediate, 2 * shapes.q_dim + 2 * shapes.kv_dim) // over


def learner_need(shapes: ModelShapes, load: LearnerLoad) -> MemoryNeed:
    """What one learner worker takes of its device."""
    rows = load.rows
    live, positions = activations(shapes, rows, load.backward), rows.positions(load.share_prompts)
    # Rows may be shorter than the longest: then more of them fill the budget to its end.
    full = max(load.micro_batch_tokens, positions)
    trained = shapes.total_parameters if load.full else shapes.lora_parameters(load.lora_r, load.targets)
    head = TILES * min(HEAD_TILE[load.device], rows.rows * rows.answer_tokens * shapes.vocabulary * FLOAT)
    how = "shared prompts" if load.share_prompts else "prompts in each row"
    how += ", checkpointed" if load.checkpointing else ""
    parts = (
        *_learning(shapes, load, trained),
        Part("optimiser", trained * 2 * FLOAT, "AdamW's two moments"),
        Part("gradients", trained * load.gradients * FLOAT, "each parameter's own, and what workers reduce"),
        Part("average", trained * FLOAT if load.moving_average else 0, "moving average of the adapter"),
        Part("reference", trained * FLOAT if load.reference else 0, "adapter of the start, which the KL is to"),
        Part("activations", live.saved * full // positions, f"{full:,} tokens a micro-batch, {how}"),
        Part("workspace", live.workspace * full // positions, "of one layer in the backward pass"),
        Part("heap", int(HEAP[load.device] * live.workspace * full / positions), "freed blocks, an allowance"),
        Part("head", head, "tiles of logits"),
        Part("context", CONTEXT[load.device], "libraries, an allowance"),
    )
    return MemoryNeed("learner", parts)


def _learning(shapes: ModelShapes, load: LearnerLoad, trained: int) -> tuple[Part, ...]:
    """The weights of the model, and those that learn."""
    number, what = DTYPE_BYTES[load.dtype], f"{size(shapes)} parameters"
    if load.full:
        copies = trained * number if number < FLOAT else 0
        note = f"float32, {what}, all of which learn"
        return (Part("weights", trained * FLOAT + copies, f"{note}; a pass has them in {load.dtype}"),)
    shared = f", split over {load.shards} workers" if load.shards > 1 else ""
    held, unpacked = shapes.total_parameters * number, 0
    if load.quantise != "none":
        inputs_outputs = [inputs * outputs for inputs, outputs in shapes.linear_layers.values()]
        count = shapes.layers * sum(inputs_outputs) if shapes.experts == 1 else 0
        held, unpacked = held - int(count * (number - QUANTISED_BYTES[load.quantise])), max(inputs_outputs) * number
        shared = f", linear layers in {load.quantise}"
    return (
        Part("weights", held // load.shards, f"{load.dtype}, {what}, frozen{shared}"),
        Part("unpacked", unpacked, "the largest matrix, for a product"),
        Part("gathered", _gathered(shapes) * number if load.shards > 1 else 0, "embedding, head and two layers, whole"),
        Part("adapter", trained * FLOAT, f"{trained / 1e6:.1f} M parameters of rank {load.lora_r}, float32"),
    )


def _gathered(shapes: ModelShapes) -> int:
    """Numbers that are whole at once where the base is split: both ends, two layers, and what the largest of these
    travels in."""
    counts = shapes.parameters()
    ends = counts["embedding"] + counts["head"]
    layer = (shapes.total_parameters - ends) // shapes.layers
    return ends + 2 * layer + max(ends, layer)


Load = TypeVar("Load", EngineLoad, LearnerLoad)

SETTINGS = {
    "sequences": "rollout.engine.max_sequences",
    "max_model_len": "rollout.engine.max_model_len",
    "batched_tokens": "rollout.engine.max_batched_tokens",
    "tensor_parallel": "rollout.engine.tensor_parallel",
    "eager": "rollout.engine.enforce_eager",
    "micro_batch_tokens": "train.micro_batch_tokens",
    "answer_tokens": "rollout.sampling.max_tokens",
    "checkpointing": "train.gradient_checkpointing",
    "share_prompts": "train.share_prompts",
}
"""Fields of loads by the options that set them."""


def smaller_engines(load: EngineLoad) -> Iterator[EngineLoad]:
    """Engines that take less and less, the least painful change first. What is fixed stays."""
    while load.sequences > FEWEST_SEQUENCES and "sequences" not in load.fixed:
        load = _lighter(load, sequences=max(FEWEST_SEQUENCES, load.sequences // 2))
        yield load
        if load.sequences == 32 and load.batched_tokens > 2048:
            load = _lighter(load, batched_tokens=2048)
            yield load
    if not load.eager:
        load = _lighter(load, eager=True)
        yield load
    shortest = max(SHORTEST_CONTEXT, load.prompt_tokens + load.answer_tokens)
    while load.max_model_len > shortest and "max_model_len" not in load.fixed:
        load = _lighter(load, max_model_len=max(shortest, load.max_model_len // 2))
        yield load


def smaller_learners(load: LearnerLoad) -> Iterator[LearnerLoad]:
    """Learners that take less and less, the least painful change first; none changes what is computed but the last.
    What is fixed stays."""
    row = load.prompt_tokens + load.answer_tokens
    if not load.checkpointing and "checkpointing" not in load.fixed:
        load = replace(load, checkpointing=True)
        yield load
    while load.micro_batch_tokens > row and "micro_batch_tokens" not in load.fixed:
        load = _lighter(load, micro_batch_tokens=max(row, load.micro_batch_tokens // 2))
        yield load
    while load.answer_tokens > SHORTEST_ANSWER and "answer_tokens" not in load.fixed:
        answer = max(SHORTEST_ANSWER, load.answer_tokens // 2)
        load = _lighter(load, answer_tokens=answer, micro_batch_tokens=load.prompt_tokens + answer)
        yield load


def _lighter(load: Load, **changes: Any) -> Load:
    return replace(load, **{name: value for name, value in changes.items() if name not in load.fixed})


def nearest(
    shapes: ModelShapes,
    load: Load,
    budget: int,
    need: Callable[[ModelShapes, Load], MemoryNeed],
    smaller: Callable[[Load], Iterator[Load]],
) -> Load | None:
    """`load` itself if it needs at most `budget` bytes, else the first smaller one that does, else None."""
    if need(shapes, load).total <= budget:
        return load
    return next((other for other in smaller(load) if need(shapes, other).total <= budget), None)


def nearest_engine(shapes: ModelShapes, load: EngineLoad, budget: int) -> EngineLoad | None:
    """The engine nearest to `load` within `budget` bytes; None where even the smallest is too large."""
    return nearest(shapes, load, budget, engine_need, smaller_engines)


def nearest_learner(shapes: ModelShapes, load: LearnerLoad, budget: int) -> LearnerLoad | None:
    """The learner nearest to `load` within `budget` bytes; None where even the smallest is too large."""
    return nearest(shapes, load, budget, learner_need, smaller_learners)


def sharding_that_fits(shapes: ModelShapes, load: LearnerLoad, budget: int) -> str:
    """The options by which a learner fits in `budget` bytes of each of several GPUs, with answers as long as they are
    if that can be; "" where none do."""
    if not load.can_shard or load.device != "cuda":
        return ""
    wider = [replace(load, shards=workers) for workers in SHARDS if workers > load.shards]
    found = [other for one in wider if (other := nearest_learner(shapes, one, budget))]
    if not found:
        return ""
    best = min(found, key=lambda one: (-one.answer_tokens, one.shards))
    return ", ".join(filter(None, ("train.shard=true", f"train.workers={best.shards}", changes(load, best))))


def changes(before: Load, after: Load) -> str:
    """The options to set to come from one load to another; "" where they are alike."""
    found = []
    for field in fields(before):
        value = getattr(after, field.name)
        if value != getattr(before, field.name) and field.name in SETTINGS:
            found.append(f"{SETTINGS[field.name]}={str(value).lower() if isinstance(value, bool) else value}")
    return ", ".join(found)


def least_learner(shapes: ModelShapes, load: LearnerLoad) -> int:
    """Bytes of the smallest learner of this model."""
    return min(learner_need(shapes, other).total for other in (load, *smaller_learners(load)))


def least_engine(shapes: ModelShapes, load: EngineLoad) -> int:
    """Bytes of the smallest engine of this model, on each of its devices."""
    return min(engine_need(shapes, other).total for other in (load, *smaller_engines(load)))


def gib(count: float) -> str:
    """Bytes for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / (1 << 20):.1f} MiB"


def size(shapes: ModelShapes) -> str:
    """A model's parameters for people."""
    count = shapes.total_parameters
    return f"{count / 1e9:.3g} B" if count >= 1e8 else f"{count / 1e6:.3g} M"
