"""`crucible doctor --self-test`: the product's own run, short and watched, on the user's own machine.

Engine, publishing, sandbox and learner are those of `crucible grpo`; what they report of each step, and the memory of
their processes meanwhile, is judged and written to one file that can be attached to a report. It is written whatever
happens: a test that fails is what it is for.
"""

from __future__ import annotations

import contextlib
import json
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from pydantic import Field
from rich.console import Console

from cluster.health import Grade, Machine, of_machine
from cluster.memory_plan import MemoryNeed
from pipelines.config import ANSWERS_TOGETHER, NO_CURRICULUM, GRPOConfig
from pipelines.errors import Interrupted, expected_errors
from pipelines.job import Context, Job
from pipelines.remote import self_test_report as reports
from pipelines.remote.memory_watch import MemoryWatch
from pipelines.remote.self_test_report import Check, SelfTest
from problems.plain_text import one_line, shown
from rollout.backends import is_cuda, resolve_dtype
from rollout.engine_spec import EngineSpec
from rollout.start_errors import EngineStartFailed, tail

LIMIT_SECONDS = 600.0
"""Of the whole test. Then the step at hand is the last, and after `GRACE_SECONDS` it is ended."""
GRACE_SECONDS = 45.0
JSON, TEXT = "self-test.json", "self-test.txt"


class SelfTestConfig(GRPOConfig):
    """With --self-test: starts an engine with the model, trains an adapter for some steps, publishes it, and compares
    sampler with learner and memory with the plan. Takes at most ten minutes, downloads apart; writes one file."""

    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM,
        "adapter": "it trains a fresh one", "control": "rewards are not what is measured",
        "evaluation": "skill is not measured", "rollout.max_staleness": "it trains on samples of the current policy",
        "rollout.refill": "every group is trained on",
        "train.checkpoint_every": "nothing is kept", "train.keep_checkpoints": "nothing is kept",
        "train.group_filter": "every group is trained on", "verify.reward": "answers are rewarded for being short",
    }  # fmt: skip

    steps: int = Field(default=3, ge=2, le=20)
    """Optimiser steps; the first warms up."""


def run(context: Context[SelfTestConfig]) -> tuple[SelfTest, str]:
    """Runs the test. Returns what was found and the file's path; raises nothing that the test itself met with."""
    from pipelines.remote.doctor import examine

    config = context.config = _settings(context.config)
    machine = examine(platform.node(), "")
    found = SelfTest(_machine(machine), context.model, _shown_settings(config))
    found.checks.append(_judged(machine))
    began = time.monotonic()
    try:
        with _limited():
            _train(context, config, found)
    except Interrupted as error:
        found.error = f"ended before its time ({error}); was it at work for more than {LIMIT_SECONDS / 60:.0f} minutes?"
    except (*expected_errors(), KeyboardInterrupt) as error:
        found.error = one_line(error) or "interrupted"
        if isinstance(error.__cause__, EngineStartFailed):
            found.log = tail(error.__cause__.log, 60)
    found.seconds["whole test"] = time.monotonic() - began
    folder = context.folder.path
    (folder / JSON).write_text(json.dumps(found.as_dict(), indent=1, default=str))
    (folder / TEXT).write_text(reports.text(found))
    return found, str(folder / TEXT)


def _settings(config: SelfTestConfig) -> SelfTestConfig:
    """Every group is trained on, for being short: no answer of an untrained model need be right."""
    reward = config.verify.reward.model_copy(
        update={"length_weight": 0.5, "length_budget": config.rollout.sampling.max_tokens}
    )
    return config.model_copy(
        update={
            "verify": config.verify.model_copy(update={"reward": reward}),
            "rollout": config.rollout.model_copy(update={"max_staleness": 0, "refill": 0}),
            "train": config.train.model_copy(update={"group_filter": "off", "checkpoint_every": config.steps}),
        }
    )


def _train(context: Context[SelfTestConfig], config: SelfTestConfig, found: SelfTest) -> None:
    from pipelines.jobs.grpo import train_steps
    from rollout.engine import canary_bound

    rollout, console = config.rollout, context.console
    spec = EngineSpec(context.model, rollout.engine, config.train.lora_r, rollout.live_adapters, config.seed)
    began = time.monotonic()
    with MemoryWatch() as watch:
        session = context.session(spec, rollout.engines, config.train.workers)
        found.seconds["engine up"] = time.monotonic() - began
        found.checks.append(Check("engine", "passed", f"up in {found.seconds['engine up']:.0f} s"))
        console.print(shown(f"engine up after {found.seconds['engine up']:.0f} s; training {config.steps} steps"))
        began = time.monotonic()
        try:
            train_steps(config, session, context.folder, console, found.steps.append)
        finally:
            found.seconds["training"] = time.monotonic() - began
            bound = rollout.engine.canary_bound or canary_bound(resolve_dtype(rollout.engine), _learner_dtype(config))
            found.checks += reports.step_checks(found.steps, bound)
            found.rates = reports.rates(found.steps)
            found.memory = _memory(context, watch)
            found.checks.append(reports.memory_check(found.memory))


def _memory(context: Context[SelfTestConfig], watch: MemoryWatch) -> list[reports.MemoryRow]:
    """What was planned for all engines and all learner workers, beside what their processes had."""
    from cluster.connect import live_nodes
    from cluster.devices import ask_node, hardware_of
    from cluster.hardware import plan

    config, defaults, nodes = context.config, context.defaults, live_nodes()
    if defaults is None:
        return []
    split = config.rollout.engine.tensor_parallel
    fleet, learner = plan(config.hardware, nodes, config.rollout.engines, config.train.workers, 1, split)
    found = replace(defaults, values={**defaults.values, "rollout.max_staleness": 0})
    needs: dict[str, list[MemoryNeed]] = {}
    for tenant in found.place(fleet, learner, hardware_of(nodes, ask_node)):
        needs.setdefault(tenant.role, []).extend([tenant.need] * max(1, len(tenant.devices)))
    return [reports.memory_row(own, who, watch.peak(who), watch.how) for who, own in needs.items()]


def _learner_dtype(config: GRPOConfig) -> str:
    if config.train.quantise != "none":
        return config.train.quantise
    return ("bfloat16" if is_cuda() else "float32") if config.train.dtype == "auto" else config.train.dtype


def _machine(machine: Machine) -> dict[str, Any]:
    kept = asdict(machine)
    kept["extra"] = [f"{finding.what}: {finding.found}" for finding in machine.extra]
    return kept | {"platform": platform.platform(), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def _judged(machine: Machine) -> Check:
    bad = [finding for finding in of_machine(machine) if finding.grade is not Grade.GOOD]
    breaks = [finding for finding in bad if finding.grade in (Grade.BREAKS, Grade.UNSAFE)]
    text = "; ".join(f"{finding.what}: {finding.found} ({finding.fix})" for finding in bad) or "nothing to fix"
    return Check("machine", "failed" if breaks else "noted" if bad else "passed", text)


def _shown_settings(config: GRPOConfig) -> dict[str, Any]:
    rollout, train = config.rollout, config.train
    return {
        "dtype": resolve_dtype(rollout.engine),
        "engines": rollout.engines,
        "max_model_len": rollout.engine.max_model_len,
        "sequences": rollout.engine.max_sequences,
        "eager": rollout.engine.enforce_eager or not is_cuda(),
        "answers": f"{rollout.groups_per_step} x {rollout.group_size}",
        "max_tokens": rollout.sampling.max_tokens,
        "lora_r": train.lora_r,
        "micro_batch_tokens": train.micro_batch_tokens,
        "checkpointing": train.gradient_checkpointing,
        "learning_rate": train.learning_rate,
        "learner dtype": _learner_dtype(config),
    }


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """After `LIMIT_SECONDS` the block is interrupted as by Ctrl-C, and again, for good, after `GRACE_SECONDS`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    done = threading.Event()

    def end() -> None:
        for seconds in (LIMIT_SECONDS, GRACE_SECONDS):
            if done.wait(seconds):
                return
            signal.raise_signal(signal.SIGINT)

    threading.Thread(target=end, name="self-test-limit", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def show(console: Console, result: tuple[SelfTest, str]) -> int:
    """Prints the report and where it is; 1 where something failed."""
    found, path = result
    console.print(shown(reports.text(found)), soft_wrap=True)
    console.print(shown(f"to attach to a report: {path} and {JSON} beside it"), soft_wrap=True)
    return int(not found.passed)


JOB = Job("doctor", SelfTestConfig, run, show, report=None, resumable=False)
