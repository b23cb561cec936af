"""Defaults that follow the model, the hardware and the job: one pure function. No torch, no Ray.

A recipe is a value and its reason for each option that depends on them, by the option's dotted name. What the user
sets wins over it. The student that Crucible makes itself has its own recipe; no figure of its is a default for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cluster.memory_plan import GIB, EngineLoad, LearnerLoad, gib
from cluster.model_shapes import ModelShapes
from cluster.overrides import check_room
from cluster.seating import ALONE, BUSY_SEQUENCES, Hardware, Seat, Seating, engine_with_share, seat_all, with_kv

Value = int | float | str | bool | None

OWN_STUDENT = 50_000_000
"""Parameters below which a model is taken for one that Crucible pretrained itself: hardly any other is so small."""
LARGE = 2_000_000_000
"""Parameters from which a model learns with a higher rank and a lower rate."""
HIGH_RATE = 5e-4
"""Learning rate above which a pretrained model soon forgets what it knows."""
REASONING_TOKENS = 2048
"""Least answer, in tokens, for suites whose problems are reasoned about at length."""


@dataclass(frozen=True, slots=True)
class Job:
    """What of a job its defaults depend on."""

    kind: Literal["grpo", "evaluate"] = "grpo"
    prompt_tokens: int = 512
    """Longest prompt, in tokens, examples included."""
    reasoning: bool = False
    """Whether its problems are answered after long reasoning."""

    @property
    def learns(self) -> bool:
        """Whether it has a learner."""
        return self.kind == "grpo"


@dataclass(frozen=True, slots=True)
class Choice:
    """A default and why it is this one."""

    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """Defaults of one job, and who sits where under them."""

    name: str
    choices: Mapping[str, Choice]
    seating: Seating
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Value]:
        """Value by the option's dotted name."""
        return {name: choice.value for name, choice in self.choices.items()}

    def profiles(self, hardware: Hardware) -> list[dict[str, Any]]:
        """One entry of hardware.profiles for each kind of engine; [] where all engines are alike."""
        kinds: dict[tuple[str, EngineLoad], list[Seat]] = {}
        for seat in self.seating.engines:
            if seat.devices and isinstance(seat.load, EngineLoad):
                kinds.setdefault((hardware.devices[seat.devices[0]].name, seat.load), []).append(seat)
        if len(kinds) < 2:
            return []
        return [
            {
                "name": f"{kind}_{number}".replace("-", "_"),
                "accelerator": kind,
                "count": len(seats),
                "dtype": load.dtype,
                "tensor_parallel": load.tensor_parallel,
                "max_sequences": load.sequences,
                "max_model_len": load.max_model_len,
                "gpu_memory_share": seats[0].share,
            }
            for number, ((kind, load), seats) in enumerate(kinds.items())
        ]


def recipe(shapes: ModelShapes, hardware: Hardware, job: Job = Job()) -> Recipe:
    """The defaults for `job` with this model on this hardware.

    Raises `cluster.seating.DoesNotFit`, saying what would fit, where even the smallest settings do not.
    """
    if shapes.total_parameters < OWN_STUDENT:
        return _own_student(shapes, hardware, job)
    if not hardware.devices:
        return _on_cpu(shapes, hardware, job)
    return _on_gpus(shapes, hardware, job)


def warn(values: Mapping[str, Value], shapes: ModelShapes) -> list[str]:
    """What in these values, wherever they come from, is likely to be a mistake for this model."""
    found = []
    rate = values.get("train.learning_rate")
    if isinstance(rate, int | float) and rate > HIGH_RATE and shapes.total_parameters >= OWN_STUDENT:
        found.append(
            f"train.learning_rate {rate:g} is above {HIGH_RATE:g}: a pretrained model forgets what it knows within a "
            f"few steps; 1e-5 to 2e-5 is usual"
        )
    return found


def _own_student(shapes: ModelShapes, hardware: Hardware, job: Job) -> Recipe:
    """The figures that the default student was made with."""
    why = "the default student's own figure"
    gpu = bool(hardware.devices)
    engine = EngineLoad(
        dtype="bfloat16" if gpu else "float32",
        max_model_len=min(1024, shapes.max_positions),
        sequences=64,
        prompt_tokens=128,
        answer_tokens=192,
        batched_tokens=2048 if gpu else 8192,
        lora_rank=8,
        eager=True,
        device="cuda" if gpu else "cpu",
    )
    learner = LearnerLoad(
        dtype=engine.dtype,
        lora_r=8,
        prompt_tokens=128,
        answer_tokens=192,
        checkpointing=False,
        share_prompts=not shapes.sliding_layers,
        device=engine.device,
    )
    # One engine and one learner are enough for it, however many GPUs there are.
    few = replace(hardware, devices=hardware.devices[: 2 if job.learns else 1])
    seating = _with_own_share(seat_all(shapes, few, engine, learner if job.learns else None), shapes, few)
    choices = {
        "rollout.groups_per_step": Choice(8, why),
        "rollout.group_size": Choice(8, why),
        "rollout.sampling.max_tokens": Choice(192, why),
        "rollout.max_staleness": Choice(0, why),
        "rollout.engines": Choice(1, why),
        "rollout.engine.dtype": Choice("auto", "float32 on CPU, bfloat16 on a GPU"),
        "rollout.engine.max_model_len": Choice(engine.max_model_len, why),
        "rollout.engine.max_sequences": Choice(64, why),
        "rollout.engine.max_batched_tokens": Choice(engine.batched_tokens, why),
        "rollout.engine.enforce_eager": Choice(True, "compiling takes longer than it saves at this size"),
        "rollout.engine.gpu_memory_share": Choice(0.45, why),
        "rollout.engine.kv_cache_gib": Choice(0.5, why),
        "rollout.engine.tensor_parallel": Choice(1, why),
    }
    choices |= {
        "train.learning_rate": Choice(3e-3, "its adapter learns from nothing: 1e-3 is slow, 1e-2 collapses"),
        "train.lora_r": Choice(8, why),
        "train.lora_alpha": Choice(16.0, why),
        "train.micro_batch_tokens": Choice(8192, why),
        "train.gradient_checkpointing": Choice(False, "its activations are small"),
        "train.share_prompts": Choice(None, "wherever the model allows it"),
        "train.dtype": Choice("auto", "float32 on CPU, bfloat16 on a GPU"),
        "train.workers": Choice(1, why),
    }
    return Recipe("default student", _for_job(choices, job), seating, shapes.notes)


def _with_own_share(seating: Seating, shapes: ModelShapes, hardware: Hardware) -> Seating:
    """The keys and values of the default student's engine are a fixed room, more than it needs."""
    seat, *others = seating.seats
    if hardware.devices:
        seat = engine_with_share(shapes, seat, hardware.devices[seat.devices[0]], 0.45)
    else:
        seat = replace(seat, need=with_kv(seat.need, GIB // 2, "rollout.engine.kv_cache_gib"))
    check_room(shapes, hardware, (seat, *others))
    return replace(seating, seats=(seat, *others))


def _on_gpus(shapes: ModelShapes, hardware: Hardware, job: Job) -> Recipe:
    """A pretrained model on one GPU or more."""
    rank, rate = (32, 1e-5) if shapes.total_parameters >= LARGE else (16, 2e-5)
    length = min(4096, shapes.max_positions)
    prompt = min(job.prompt_tokens, length // 2)
    wanted = min(REASONING_TOKENS if job.reasoning else 1024, length - prompt)
    groups, group = 16, 8
    staleness = int(len(hardware.devices) > 1 and job.learns)
    engine = EngineLoad(
        max_model_len=length,
        prompt_tokens=prompt,
        answer_tokens=wanted,
        batched_tokens=max(8192, length),
        adapters=staleness + 1,
        lora_rank=rank,
    )
    learner = LearnerLoad(
        lora_r=rank,
        micro_batch_tokens=max(8192, prompt + wanted),
        prompt_tokens=prompt,
        answer_tokens=wanted,
        group=group,
    )
    seating = seat_all(shapes, hardware, engine, learner if job.learns else None, most_learners=groups // 2)
    answer = _answer(seating, wanted)
    choices = _sampling(job, answer, wanted, groups, group, staleness)
    choices |= _engine_choices(seating, shapes)
    if job.learns:
        choices |= _rates(shapes, rank, rate) | _learner_choices(seating, answer + prompt)
        choices["train.workers"] = Choice(len(seating.learners), seating.rule)
    choices["rollout.engines"] = Choice(len(seating.engines), seating.rule)
    name = f"{'pretrained model' if job.learns else 'evaluation'} on {hardware}"
    return Recipe(name, _for_job(choices, job), seating, _warnings(shapes, hardware, seating, answer, wanted))


def _on_cpu(shapes: ModelShapes, hardware: Hardware, job: Job) -> Recipe:
    """A pretrained model without a GPU: few and short answers, so that a step ends within minutes."""
    length = min(2048, shapes.max_positions)
    prompt = min(job.prompt_tokens, length // 2)
    wanted = min(REASONING_TOKENS if job.reasoning else 256, length - prompt)
    engine = EngineLoad(
        dtype="float32",
        max_model_len=length,
        sequences=16,
        prompt_tokens=prompt,
        answer_tokens=wanted,
        batched_tokens=max(8192, length),
        adapters=1,
        eager=True,
        device="cpu",
    )
    learner = LearnerLoad(
        dtype="float32",
        micro_batch_tokens=2048,
        prompt_tokens=prompt,
        answer_tokens=wanted,
        group=4,
        checkpointing=False,
        share_prompts=not shapes.sliding_layers,
        device="cpu",
    )
    try:
        seating = seat_all(shapes, hardware, engine, learner if job.learns else None)
    except ValueError:
        halves = replace(engine, dtype="bfloat16"), replace(learner, dtype="bfloat16")
        seating = seat_all(shapes, hardware, halves[0], halves[1] if job.learns else None)
    answer = _answer(seating, wanted)
    choices = _sampling(job, answer, wanted, 4, 4, 0) | _engine_choices(seating, shapes)
    if job.learns:
        choices |= _rates(shapes, 16, 2e-5) | _learner_choices(seating, answer + prompt)
        choices["train.workers"] = Choice(1, seating.rule)
    choices["rollout.engines"] = Choice(1, seating.rule)
    warnings = _warnings(shapes, hardware, seating, answer, wanted)
    slow = f"{shapes.name} on {hardware}: minutes a step; it shows that everything runs, a GPU trains"
    return Recipe("pretrained model on CPU", _for_job(choices, job), seating, (*warnings, slow))


def _sampling(job: Job, answer: int, wanted: int, groups: int, group: int, staleness: int) -> dict[str, Choice]:
    enough = f"{groups} x {group} answers a step keep the engine busy and the gradient steady"
    if groups * group < BUSY_SEQUENCES:
        enough = f"{groups} x {group} answers a step: as many as a CPU samples within minutes"
    if answer < wanted:
        why = f"longer answers than this do not fit beside the engine; {wanted:,} were wanted"
    elif job.reasoning:
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


def _rates(shapes: ModelShapes, rank: int, rate: float) -> dict[str, Choice]:
    size = f"{shapes.total_parameters / 1e9:.1f} B parameters"
    return {
        "train.learning_rate": Choice(
            rate, f"usual for LoRA by reinforcement at {size}; above {HIGH_RATE:g} it forgets"
        ),
        "train.lora_r": Choice(rank, f"usual at {size}"),
        "train.lora_alpha": Choice(2.0 * rank, "twice the rank"),
    }


def _engine_choices(seating: Seating, shapes: ModelShapes) -> dict[str, Choice]:
    """Settings of the first engine; where engines differ, `Recipe.profiles` has each kind's."""
    seat = seating.engines[0]
    load = seat.load
    assert isinstance(load, EngineLoad)
    gpu = load.device == "cuda"
    kv = gib(seat.need.of("KV"))
    capability = "the GPU computes in it" if load.dtype == "bfloat16" else "the GPU has no bfloat16"
    alone = f"it has its GPU to itself: {kv} for keys and values"
    shared = f"weights, {kv} for keys and values, and workspace; the rest is the learner's"
    context = f"of the {shapes.max_positions:,} that the model knows; more only takes memory from other sequences"
    choices = {
        "rollout.engine.dtype": Choice(load.dtype, capability if gpu else _cpu_dtype(load.dtype)),
        "rollout.engine.max_model_len": Choice(load.max_model_len, context),
        "rollout.engine.max_sequences": Choice(load.sequences, f"{kv} of keys and values beside the weights"),
        "rollout.engine.max_batched_tokens": Choice(load.batched_tokens, "prompts are read in pieces of this many"),
        "rollout.engine.enforce_eager": Choice(load.eager, _eager_reason(load)),
    }
    if gpu:
        choices["rollout.engine.gpu_memory_share"] = Choice(seat.share, alone if seat.share == ALONE else shared)
        over = load.tensor_parallel
        why = "one GPU holds it" if over == 1 else f"one GPU does not leave it enough sequences, {over} do"
        choices["rollout.engine.tensor_parallel"] = Choice(over, why)
    else:
        choices["rollout.engine.kv_cache_gib"] = Choice(
            round(seat.need.of("KV") / GIB + 0.05, 1), f"{load.sequences} sequences of {load.sequence_tokens} tokens"
        )
    return choices


def _learner_choices(seating: Seating, row: int) -> dict[str, Choice]:
    seat = seating.learners[0]
    load = seat.load
    assert isinstance(load, LearnerLoad)
    held = f"{gib(seat.need.of('activations') + seat.need.of('workspace'))} of activations"
    share = "each prompt runs once for all its answers"
    if load.checkpointing:
        share = "checkpointing drops the keys and values that it needs"
    elif not load.share_prompts:
        share = "sliding windows keep no whole prompt"
    dtype = _cpu_dtype(load.dtype)
    if load.device == "cuda":
        dtype = "the adapter stays float32"
        if load.dtype == "float32":
            dtype = "the GPU has no bfloat16, and float16 would need its losses scaled"
    checkpointing = f"a third more time, and {held}" if load.checkpointing else f"{held} fit as they are"
    return {
        "train.micro_batch_tokens": Choice(load.micro_batch_tokens, f"{held}; the longest row has {row:,}"),
        "train.gradient_checkpointing": Choice(load.checkpointing, checkpointing),
        "train.share_prompts": Choice(load.share_prompts, share),
        "train.dtype": Choice(load.dtype, dtype),
    }


def _eager_reason(load: EngineLoad) -> str:
    if load.device == "cpu":
        return "CPU: compiling buys nothing"
    if load.eager:
        return "no room for captured graphs"
    return "compiled and graph-captured: with LoRA two to three times faster"


def _cpu_dtype(dtype: str) -> str:
    return "CPU: exact and quick" if dtype == "float32" else "float32 does not fit into memory"


def _answer(seating: Seating, wanted: int) -> int:
    """Tokens of the longest answer that the learner has room for."""
    return min([seat.load.answer_tokens for seat in seating.learners if isinstance(seat.load, LearnerLoad)] or [wanted])


def _warnings(shapes: ModelShapes, hardware: Hardware, seating: Seating, answer: int, wanted: int) -> tuple[str, ...]:
    found = [*shapes.notes, *(f"left idle: {text}" for text in seating.left_out)]
    if answer < wanted:
        found.append(f"answers are cut at {answer:,} tokens rather than {wanted:,}: a larger GPU or a second one helps")
    few = [s.load.sequences for s in seating.engines if isinstance(s.load, EngineLoad) and s.load.sequences < 64]
    if hardware.devices and few:
        found.append(f"an engine decodes only {min(few)} sequences at once, and a GPU wants 64 or more")
    return tuple(found)


def _for_job(choices: Mapping[str, Choice], job: Job) -> dict[str, Choice]:
    """Without what the job does not use."""
    if job.learns:
        return dict(choices)
    used = ("rollout.engine", "rollout.sampling.")
    return {name: choice for name, choice in choices.items() if name.startswith(used)}
