"""`lengths`, a tenth job in one file: how long statements are; with `--sample True` the model answers them too."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from rich.console import Console

from pipelines.config import ANSWERS_TOGETHER, NO_CANARY, NO_CURRICULUM, NO_LEARNER, JobConfig
from pipelines.errors import Interrupted
from pipelines.job import Context, Job
from pipelines.jobs.evaluate import evaluate, held_out
from pipelines.session import interruption
from rollout.config import EngineConfig
from rollout.engine_spec import EngineSpec
from rollout.policy import PolicyVersion


class LengthsConfig(JobConfig):
    """Measures lengths, a step a problem."""

    unused: ClassVar[Mapping[str, str]] = {**ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_LEARNER, **NO_CANARY}

    pause: float = Field(0.0, ge=0)
    """Seconds that a step takes longer."""
    sample: bool = False
    """Also let the model answer."""
    engine: EngineConfig = EngineConfig()
    """What answers."""


def run(context: Context[LengthsConfig]) -> dict[str, Any]:
    config, problems, folder = context.config, held_out(context.config), context.folder
    with interruption() as interrupted:
        for step, problem in list(enumerate(problems, 1))[len(folder.steps()) :]:
            folder.append_metrics({"kind": "step", "step": step, "length": len(problem.statement)})
            time.sleep(config.pause)
            if interrupted():
                raise Interrupted(f"stopped after step {step}")
    answers = 0
    if config.sample:
        session = context.session(EngineSpec(context.model, config.engine))
        found = evaluate(session, config, problems, PolicyVersion("", 0), "model", 32, context.console)
        answers = sum(len(group.samples) for group in found.groups)
    return {"folder": str(folder), "steps": len(folder.steps()), "answers": answers}


def show(console: Console, result: Mapping[str, Any]) -> None:
    console.print("{steps} statements and {answers} answers in {folder}".format(**result), soft_wrap=True)


JOB = Job("lengths", LengthsConfig, run, show)
main = JOB.main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
