"""`crucible plan`: what a job would take of which device, and which defaults it would get, before anything starts.

It runs what the job itself runs when it starts: the recipe, the placement and the memory of what is placed. With
`--gpus` it does so for machines that are not there.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.devices import GIB, Hardware, described, session_hardware
from cluster.hardware import plan
from cluster.model_shapes import ModelShapes
from cluster.nodes import Node
from cluster.plan_text import choice_lines, headline, memory_lines
from cluster.recipes import warn
from pipelines import defaults
from pipelines.config import STUDENT
from pipelines.errors import ConfigError, expected_errors, fail
from pipelines.job import Job
from pipelines.options import OwnOption, nearest, parse, take_option
from problems.plain_text import shown

JOBS = ("grpo", "sweep", "evaluate", "sft", "distil", "hard-distil", "expert-iteration", "lrl", "undo")
OWN = (
    OwnOption(
        "gpus", "KIND:COUNT,...", "GPUs to plan for, H100:8,L4:2 say, or none; this machine's, or the cluster's."
    ),
    OwnOption("cpus", "INT", "CPU cores of a node to plan for."),
    OwnOption("memory", "GIB", "Memory of a node to plan for, in GiB."),
)
USAGE = f"""\
usage: crucible plan [JOB] [--gpus KIND:COUNT,...] [--cpus INT] [--memory GIB] [options of JOB]

Shows who would sit on which device and what it would take there, in GiB, and the default of each option that follows
from model and hardware, with its reason. What does not fit is refused with what would. Nothing is started; of a model
on the Hugging Face hub config.json is read.

JOB is one of {", ".join(JOBS)}; grpo where none is named.
Without --gpus it plans for this machine, or for the cluster that --address or RAY_ADDRESS names.

  --gpus H100:8,L4:2   GPUs to plan for; MyCard@24:2 are two of a kind that is not known, with 24 GiB; none: a CPU
  --cpus 32            CPU cores of a node
  --memory 256         memory of a node, in GiB

  crucible plan --model Qwen/Qwen3-4B
  crucible plan grpo --model Qwen/Qwen3-4B --gpus H100:8 --rollout.sampling.max-tokens 4096
  crucible plan evaluate --model Qwen/Qwen3-4B --gpus L4 --suites math500

crucible plan JOB --help shows the options of JOB."""


def main(argv: Sequence[str]) -> int:
    """`crucible plan`."""
    argv = list(argv)
    if argv[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    try:
        print(report(argv))
        return 0
    except expected_errors() as error:
        return fail(str(error))


def report(argv: Sequence[str]) -> str:
    """The plan that the arguments ask for, in lines for people. Raises JobError and NoRoom, in one line."""
    argv = list(argv)
    job = _job(argv.pop(0) if argv and not argv[0].startswith("-") else "grpo")
    machine = _machine(argv)
    config = parse(job.config, argv, prog=f"crucible plan {job.command}", own=OWN)
    config, shapes = _with_model(config, job)
    teacher = _teacher_shapes(config)
    if shapes is None and teacher is None:
        raise ConfigError(f"crucible {job.command} starts no engines but a teacher's own: set teacher.protocol engine")
    nodes, hardware = machine or _session(getattr(config, job.part) if job.part else config)
    filled = defaults.fill(config, job.part, shapes, hardware, teacher)
    own = getattr(filled.config, job.part) if job.part else filled.config
    fleet, learner = plan(own.hardware, nodes, *filled.counts, filled.tensor_parallel, filled.teachers)
    found = filled.place(fleet, learner, hardware)
    lines = [headline(shapes or filled.shapes, hardware)]
    if filled.teacher is not None:
        lines += [headline(filled.teacher.engines.shapes, hardware, "teacher")]
    lines += ["", *memory_lines(hardware, found), "", f"Placement: {filled.recipe.rule}."]
    lines += ["", f"Defaults ({filled.recipe.name}):", *choice_lines(filled.recipe, filled.given, filled.own_names)]
    if filled.teacher is not None:
        chosen, names = filled.teacher.shown
        lines += ["", "The teacher's engines:", *choice_lines(chosen, filled.teacher.given, names)]
    warnings = [*filled.recipe.warnings, *warn(filled.values, filled.shapes)]
    if warnings:
        lines += ["", *(f"Warning: {defaults.in_own_words(text, filled.own_names)}" for text in warnings)]
    return str(shown("\n".join(lines)))


def _job(verb: str) -> Job[Any, Any]:
    from pipelines.cli import VERBS

    if verb not in JOBS:
        near = nearest(verb, JOBS)
        raise ConfigError(f"there is no job {verb} to plan; " + (f"did you mean {near}?" if near else ", ".join(JOBS)))
    return importlib.import_module(VERBS[verb][0]).JOB


def _machine(argv: list[str]) -> tuple[list[Node], Hardware] | None:
    """The machine that the options describe, which are taken out of `argv`; None where they describe none."""
    gpus, cpus, memory = (take_option(argv, f"--{option.name}") for option in OWN)
    if gpus is None and cpus is None and memory is None:
        return None
    try:
        size = int(float(memory) * GIB) if memory else 0
        hardware = described("" if gpus in (None, "none") else gpus, int(cpus or 0), size)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--gpus, --cpus, --memory: {error}") from None
    if size < 0 or hardware.cpus < 1:
        raise ConfigError("--cpus and --memory are numbers above 0")
    return hardware.nodes(), hardware


def _session(part: Any) -> tuple[list[Node], Hardware]:
    """Nodes and hardware of the session that the job would open."""
    hardware = defaults.hardware_now(part.address)
    if hardware is not None:
        return hardware.nodes(), hardware
    from cluster.connect import live_nodes, ray_session

    with ray_session(part.address or None):
        nodes = live_nodes()
        return nodes, session_hardware(nodes)


def _teacher_shapes(config: Any) -> ModelShapes | None:
    """The sizes of a teacher that has engines of the job's; None without one."""
    teacher = getattr(config, "teacher", None)
    one = teacher.on_engines if teacher is not None else None
    if one is None:
        return None
    if one.model == STUDENT:
        return student_shapes()
    from pipelines.session import resolve_model

    return defaults.read_shapes(resolve_model(one.model))


def _with_model(config: Any, job: Job[Any, Any]) -> tuple[Any, ModelShapes | None]:
    """The configuration with the model's own prompt, and the model's sizes, if the job has one of its own. The default
    student need not be made."""
    part = getattr(config, job.part) if job.part else config
    if "model" not in type(part).model_fields:
        return config, None
    if part.model == STUDENT:
        return config, student_shapes()
    from pipelines.session import resolve_model, with_model_prompt

    model = resolve_model(part.model)
    if job.takes_prompt:
        part = with_model_prompt(part, model, Console(quiet=True))
        config = config.model_copy(update={job.part: part}) if job.part else part
    return config, defaults.read_shapes(model)


def student_shapes() -> ModelShapes:
    """The sizes of the default student, by its recipe."""
    from pipelines.student import StudentRecipe

    recipe = StudentRecipe()
    size = recipe.architecture
    keys = {
        "model_type": "qwen2",
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "vocab_size": recipe.vocabulary,
        "max_position_embeddings": size.max_positions,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    return ModelShapes.from_config(keys, Path(STUDENT).name)
