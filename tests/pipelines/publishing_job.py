"""`toy`, a job that makes data and an adapter without a model to run: what the frame publishes of a new job."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from pydantic import Field
from safetensors.numpy import save

from pipelines.artifacts.run_folder import write_adapter
from pipelines.artifacts.traces import trace_row, write_traces
from pipelines.config import RunConfig
from pipelines.errors import Interrupted
from pipelines.job import Context, Job
from pipelines.session import interruption
from problems.config import ProblemsConfig
from problems.files import append_rows
from problems.problem import Status, Verdict
from problems.stream import ProblemStream
from rollout.policy import PolicyVersion
from rollout.teacher.config import TeacherConfig
from rollout.teacher.request_cache import Reply
from train.sft_config import SFTConfig

PROBLEMS = ProblemsConfig(families=("lcs",), difficulties=(3,))


class ToyConfig(RunConfig):
    """Writes traces, and an adapter."""

    rounds: int = Field(2, ge=1)
    """Traces that are written."""
    pause: float = Field(0.0, ge=0)
    """Seconds before each."""
    base: str = "owner/base"
    """What the adapter says that it was trained on."""
    teacher: TeacherConfig = TeacherConfig()
    """Who writes them."""
    sft: SFTConfig = SFTConfig()
    """How the adapter learns."""


def adapter(base, seed=0):
    rng = np.random.default_rng(seed)
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    down, up = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 32), (32, 2)))
    weights = save({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, {"format": "pt"})
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
              "base_model_name_or_path": base, "task_type": "CAUSAL_LM"}  # fmt: skip
    return PolicyVersion("toy", 1, weights, config, {"model": base, "fingerprint": "0" * 16})


def row(number, text="```python\nx\n```"):
    problem = ProblemStream(PROBLEMS, "train").problem(number)
    reply = Reply("key", text, "end_turn", "toy-teacher")
    return trace_row(problem, number, 0, reply, Verdict(Status.PASSED, tests_passed=1, tests_total=1))


def run(context: Context[ToyConfig]) -> str:
    config, folder = context.config, context.folder
    with interruption() as interrupted:
        done = len(folder.steps())
        for number in range(done, config.rounds):
            time.sleep(config.pause)
            append_rows(folder.path / "attempts.jsonl", [row(number)])
            folder.append_metrics({"kind": "step", "step": number + 1})
            if interrupted():
                raise Interrupted(f"stopped after round {number + 1}")
    rows = [json.loads(line) for line in (folder.path / "attempts.jsonl").read_text().splitlines()]
    write_traces(folder.path, "traces", rows)
    write_adapter(folder.path, adapter(config.base))
    return str(folder)


JOB = Job("toy", ToyConfig, run, report=None, may_change=("name", "runs", "rounds", "pause"))
main = JOB.main
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(sys.argv[1:]))
