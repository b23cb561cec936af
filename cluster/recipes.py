"""Defaults that follow the model, the hardware and the job: one pure function. No torch, no Ray.

A recipe is a value and its reason for each option that depends on them, by the option's dotted name. What the user
sets wins over it, and the others follow from that. Counts, shares and splits come from `cluster.allocation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cluster.allocation import Allocation, Request, Wishes, allocate
from cluster.choices import (
    EXAMPLES,
    HIGH_RATE,
    Choice,
    Sizes,
    Value,
    engine_choices,
    kind_choices,
    learner_choices,
    sampling_choices,
    tuning_choices,
)
from cluster.devices import Hardware
from cluster.loads import REFERENCE, SHARE, engine_load, learner_load, sharing, tuner_load
from cluster.memory_plan import EngineLoad, LearnerLoad
from cluster.model_shapes import ModelShapes
from cluster.nodes import GPU_LABEL
from cluster.student_recipe import OWN_STUDENT, own_figures

BFLOAT16_FROM = 100_000_000
"""Parameters from which a CPU that multiplies bfloat16 in hardware computes in it: products of smaller matrices take
little of a step, and float32 keeps the sampler and the learner alike to the last digits."""

Kind = Literal["grpo", "evaluate", "sft", "hard-distil", "lrl", "undo", "expert"]


@dataclass(frozen=True, slots=True)
class Job:
    """What of a job its defaults depend on."""

    kind: Kind = "grpo"
    prompt_tokens: int = 512
    """Longest prompt, in tokens, examples included."""
    reasoning: bool = False
    """Whether its problems are answered after long reasoning."""
    trials: int = 1
    """Learners at once that share the engines, as in a sweep."""
    samples: bool = True
    """Whether it has engines: fine-tuning that measures nothing has none."""
    from_adapter: bool = False
    """Whether learning from rewards goes on from an adapter."""

    @property
    def learns(self) -> bool:
        """Whether it has a learner."""
        return self.kind != "evaluate"

    @property
    def rewards(self) -> bool:
        """Whether that learns from rewards."""
        return self.kind in ("grpo", "hard-distil")

    @property
    def tunes(self) -> bool:
        """Whether it, or a stage of the job, learns from given answers."""
        return self.learns and self.kind != "grpo"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Defaults of one job."""

    name: str
    choices: Mapping[str, Choice]
    rule: str
    """How the devices are shared out."""
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Value]:
        """Value by the option's dotted name."""
        return {name: choice.value for name, choice in self.choices.items()}


def recipe(shapes: ModelShapes, hardware: Hardware, job: Job = Job(), given: Mapping[str, Any] | None = None) -> Recipe:
    """The defaults for `job` with this model on this hardware, beside the options that are `given` by dotted name.

    Raises `cluster.shares.DoesNotFit`, saying what would fit, where even the smallest settings do not.
    """
    reference = _reference(job)
    given = {REFERENCE: reference.value, **(given or {})}
    if given.get("hardware.device") == "cpu":
        hardware = replace(hardware, devices=())
    if shapes.total_parameters < OWN_STUDENT:
        figures = own_figures(job.kind, shapes, bool(hardware.devices))
        rule = "the default student: one engine and one learner, whatever there is"
        choices = {name: Choice(*figure) for name, figure in figures.items()}
        found = Recipe("default student", _for_job(choices, job), rule, shapes.notes)
    else:
        found = (_on_gpus if hardware.devices else _on_cpu)(shapes, hardware, job, given)
    choices = {**found.choices, REFERENCE: reference} if job.rewards else found.choices
    idle = "sft.lora_" if given.get("sft.full") else "-"  # no adapter is trained
    return replace(found, choices={name: choice for name, choice in choices.items() if not name.startswith(idle)})


def warn(values: Mapping[str, Value], shapes: ModelShapes) -> list[str]:
    """What in these values, wherever they come from, is likely to be a mistake for this model."""
    found = []
    for name in ("train.learning_rate", "sft.learning_rate", "dpo.learning_rate"):
        rate = values.get(name)
        if isinstance(rate, int | float) and rate > HIGH_RATE and shapes.total_parameters >= OWN_STUDENT:
            usual = "1e-5 to 2e-5" if name == "train.learning_rate" else "1e-5 to 2e-4"
            found.append(
                f"{name} {rate:g} is above {HIGH_RATE:g}: a pretrained model forgets what it knows within a few "
                f"steps; {usual} is usual"
            )
    return found


def _reference(job: Job) -> Choice:
    if job.from_adapter:
        return Choice("start", "the KL is to the adapter that the run goes on from, not to the model below it")
    return Choice("base", "a fresh adapter starts as the model itself")


def _on_gpus(shapes: ModelShapes, hardware: Hardware, job: Job, given: Mapping[str, Any]) -> Recipe:
    """A pretrained model on one GPU or more."""
    sizes = Sizes.of(
        shapes, given, prompt=job.prompt_tokens, reasoning=job.reasoning, answer=1024, length=4096, batch=16
    )
    engine = EngineLoad(
        max_model_len=sizes.length,
        prompt_tokens=sizes.prompt,
        answer_tokens=sizes.answer,
        batched_tokens=max(8192, sizes.length, 2 * given.get("rollout.engine.max_sequences", 0)),
        adapters=(3 if len(hardware.devices) > 1 else 2) if job.rewards else 1,
        lora_rank=sizes.rank,
    )
    learner = LearnerLoad(
        lora_r=sizes.rank,
        micro_batch_tokens=max(8192, sizes.prompt + sizes.answer),
        prompt_tokens=sizes.prompt,
        answer_tokens=sizes.answer,
        group=sizes.group,
    )
    return _built(shapes, hardware, job, given, sizes, engine, learner)


def _on_cpu(shapes: ModelShapes, hardware: Hardware, job: Job, given: Mapping[str, Any]) -> Recipe:
    """A pretrained model without a GPU: few and short answers, so that a step ends within minutes."""
    sizes = replace(
        Sizes.of(shapes, given, prompt=job.prompt_tokens, reasoning=job.reasoning, answer=256, length=2048, batch=4),
        rank=16,
    )
    is_fast = hardware.cpu_bfloat16 and shapes.total_parameters >= BFLOAT16_FROM
    engine = EngineLoad(
        dtype="bfloat16" if is_fast else "float32",
        max_model_len=sizes.length,
        sequences=16,
        prompt_tokens=sizes.prompt,
        answer_tokens=sizes.answer,
        batched_tokens=max(8192, sizes.length),
        adapters=2,
        eager=True,
        device="cpu",
    )
    learner = LearnerLoad(
        dtype=engine.dtype,
        micro_batch_tokens=2048,
        prompt_tokens=sizes.prompt,
        answer_tokens=sizes.answer,
        group=sizes.group,
        checkpointing=False,
        device="cpu",
    )
    try:
        found = _built(shapes, hardware, job, given, sizes, engine, learner)
    except ValueError:
        halves = replace(engine, dtype="bfloat16"), replace(learner, dtype="bfloat16")
        found = _built(shapes, hardware, job, given, sizes, *halves)
    slow = f"{shapes.name} on {hardware}: minutes a step; it shows that everything runs, a GPU trains"
    return replace(found, warnings=(*found.warnings, slow))


def _built(
    shapes: ModelShapes,
    hardware: Hardware,
    job: Job,
    given: Mapping[str, Any],
    sizes: Sizes,
    engine: EngineLoad,
    learner: LearnerLoad,
) -> Recipe:
    """The recipe of loads that are wanted, once they are made to fit."""
    engine = engine_load(engine, given, shapes)
    tuner = replace(learner, micro_batch_tokens=EXAMPLES * given.get("sft.max_length", 2048))
    tuner = replace(tuner_load(tuner, given), fixed=tuner_load(tuner, given).fixed | {"answer_tokens"})
    learner = sharing(learner_load(learner, given))
    wishes = replace(_wishes(given, engine, shapes), learners=job.trials)
    most = sizes.groups // 2 if job.rewards else EXAMPLES
    wanted = None if not job.learns else learner if job.rewards else tuner
    found = allocate(shapes, hardware, engine if job.samples else None, wanted, wishes, max(1, most))
    choices: dict[str, Choice] = {}
    if job.samples:
        staleness = int(job.rewards and bool(hardware.devices) and not found.shared)
        choices |= sampling_choices(job.reasoning, _answer(found, sizes.answer), sizes, staleness) | engine_choices(
            found, shapes
        )
        if len(found.engines) == 1:  # else each kind has its own number
            choices["rollout.engines"] = Choice(sum(pool.count for pool in found.engines), found.rule)
    if job.rewards:
        choices |= learner_choices(found, sizes, shapes, given)
    if job.tunes:
        choices |= tuning_choices(found, shapes, tuner, given, job.kind in ("expert", "undo"))
    choices |= kind_choices(hardware, found, given)
    where = f"on {hardware}" if hardware.devices else "on CPU"
    name = f"{'pretrained model' if job.learns else 'evaluation'} {where}"
    return Recipe(name, _for_job(choices, job), found.rule, _warnings(shapes, hardware, found, sizes))


def _wishes(given: Mapping[str, Any], engine: EngineLoad, shapes: ModelShapes) -> Wishes:
    requests = tuple(
        Request(
            profile.get("count", 1),
            engine_load(engine, {}, shapes, profile=profile),
            profile.get("accelerator") or dict(profile.get("labels") or {}).get(GPU_LABEL, ""),
            profile.get("gpu_memory_share") or given.get(SHARE),
        )
        for profile in given.get("hardware.profiles") or ()
    )
    return Wishes(
        engines=given.get("rollout.engines"),
        workers=given.get("train.workers", given.get("sft.workers")) or None,
        share=given.get(SHARE),
        engine_kind=_kind(given, "engine"),
        learner_kind=_kind(given, "learner"),
        requests=requests,
    )


def _answer(found: Allocation, wanted: int) -> int:
    """Tokens of the longest answer that a learner by rewards has room for."""
    load = found.learner.load if found.learner else None
    return min(wanted, load.answer_tokens) if isinstance(load, LearnerLoad) and load.group > 1 else wanted


def _warnings(shapes: ModelShapes, hardware: Hardware, found: Allocation, sizes: Sizes) -> tuple[str, ...]:
    answer = _answer(found, sizes.answer)
    texts = [*shapes.notes, *hardware.notes, *(f"left idle: {text}" for text in found.left_out)]
    if answer < sizes.answer:
        texts.append(
            f"answers are cut at {answer:,} tokens rather than {sizes.answer:,}: a larger GPU or a second one helps"
        )
    few = [p.load.sequences for p in found.engines if isinstance(p.load, EngineLoad) and p.load.sequences < 64]
    if hardware.devices and few:
        texts.append(f"an engine decodes only {min(few)} sequences at once, and a GPU wants 64 or more")
    return tuple(texts)


def _kind(given: Mapping[str, Any], role: str) -> str:
    """The kind of GPUs that somebody chose for engines or learners."""
    labels = given.get(f"hardware.{role}.labels") or {}
    return given.get(f"hardware.{role}.accelerator") or labels.get(GPU_LABEL, "")


def _for_job(choices: Mapping[str, Choice], job: Job) -> dict[str, Choice]:
    """Without what the job does not use."""
    used = ["rollout.engine", "rollout.sampling.", "hardware.engine", "hardware.profiles"] if job.samples else []
    used += ["rollout.", "train."] if job.rewards else []
    used += ["sft."] if job.tunes else []
    used += ["dpo."] if job.kind == "expert" else []
    used += ["hardware.learner"] if job.learns else []
    return {name: choice for name, choice in choices.items() if name.startswith(tuple(used))}
