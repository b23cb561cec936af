"""What a GRPO step costs: ours beside TRL's, on the same prompts, generations and numbers of tokens.

    python benchmarks/step.py [--model FOLDER|student|random] [--prompts 8] [--group 8] [--tokens 64] [--arms ours trl]

Arms: `trl` is `GRPOTrainer` with transformers' generation; `trl-vllm` its colocated vLLM; `ours` our engine and learner
in one process, one after the other (S = 0 without Ray, what the parts cost); `s0` and `s1` the whole of `crucible grpo`
with `max_staleness` 0 and 1: Ray, problem stream, sandbox, coordinator, checkpoints.

Fairness. Every completion has exactly `--tokens` tokens in all arms: the model's end token is replaced by one that it
never writes. Every process has one compute thread. TRL gets the faster of two micro-batch sizes. Each arm
runs in processes of its own; its first steps (kernels, caches) are left out. CPU-seconds are of the arm's process and
all of its children, and are what to trust on a machine that others use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ARMS = ("ours", "trl", "trl-vllm", "s0", "s1")
WARM = 2
"""Steps left out at the start of each arm."""
LORA = {"r": 8, "alpha": 16}
LEARNING_RATE = 1e-4
"""Small, so that the policy stays where it is and every step costs the same."""


@dataclass(frozen=True)
class Task:
    """The work of one step."""

    model: str
    prompts: int
    group: int
    tokens: int
    steps: int
    beta: float

    @property
    def rows(self) -> int:
        """Completions a step."""
        return self.prompts * self.group


def main() -> None:
    """Runs the arms one after the other and prints a table with ratios to the first."""
    from benchmarks.endless import endless_model
    from pipelines.session import resolve_model

    task, arms, worker = arguments()
    if worker:
        print("RESULT " + json.dumps(ARM[worker](task)), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = "" if task.model == "random" else resolve_model(task.model)
        model = endless_model(source, Path(folder) / "model")
        results = {arm: run_arm(arm, replace(task, model=str(model))) for arm in arms}
    show(task, results)


def arguments() -> tuple[Task, list[str], str]:
    """(task, arms, the arm that this process is; "" for the parent)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="student", help="folder, `student`, or `random` of the student's size")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each arm")
    parser.add_argument("--beta", type=float, default=0.0)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    arms, worker = options.pop("arms"), options.pop("worker")
    return Task(**options), arms, worker


def run_arm(arm: str, task: Task) -> dict:
    """One arm in its own process: its result, or why there is none."""
    command = [sys.executable, __file__, "--worker", arm]
    for name in ("model", "prompts", "group", "tokens", "steps", "beta"):
        command += [f"--{name}", str(getattr(task, name))]
    print(f"{arm} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    last = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:]
    return {"error": last[0].strip() if last else f"exit {done.returncode}"}


def show(task: Task, results: dict[str, dict]) -> None:
    """The table: medians a step, and how many times the first arm's each costs."""
    work = f"{task.prompts} prompts x {task.group} completions x {task.tokens} tokens, beta {task.beta}"
    print(f"\n{work}: medians of {task.steps} steps")
    print(f"{'arm':<10}{'seconds':>9}{'CPU-s':>9}{'x wall':>8}{'x CPU':>8}   where")
    base = next((r for r in results.values() if "error" not in r), None)
    for arm, result in results.items():
        if "error" in result:
            print(f"{arm:<10}  does not run here: {result['error'][:110]}")
            continue
        ratios = result["seconds"] / base["seconds"], result["cpu"] / base["cpu"]
        where = "  ".join(f"{name} {value:.2f}" for name, value in result.get("where", {}).items())
        print(f"{arm:<10}{result['seconds']:>9.3f}{result['cpu']:>9.3f}{ratios[0]:>8.2f}{ratios[1]:>8.2f}   {where}")


def make_prompts(task: Task) -> list[tuple]:
    """(problem, text, token ids) of as many problems as all steps need, in the product's own words."""
    from problems.config import ProblemsConfig
    from problems.stream import ProblemStream
    from rollout.model_files import load_tokenizer
    from rollout.prompts import PromptBuilder, PromptConfig

    builder = PromptBuilder(load_tokenizer(task.model), PromptConfig(examples=1))
    problems = ProblemStream(ProblemsConfig(), "train").range(0, task.prompts * (task.steps + WARM))
    return [(p, prompt.text, prompt.ids) for p in problems for prompt in [builder.build(p)]]


def coin(*key: object) -> float:
    """A reward of 0 or 1 that does not look at the completion: both sides pay for training, neither for judging."""
    import random

    return float(random.Random(repr(key)).random() < 0.5)


# Ours, in one process.


def ours(task: Task) -> dict:
    """Engine, learner, publication with its proof, one after the other."""
    return asyncio.run(_ours(task))


async def _ours(task: Task) -> dict:
    import torch

    from rollout.config import EngineConfig
    from rollout.engine import Engine
    from rollout.engine_spec import EngineSpec
    from train.config import TrainConfig
    from train.learner import Learner

    torch.set_num_threads(1)
    config = TrainConfig(lora_r=LORA["r"], lora_alpha=LORA["alpha"], learning_rate=LEARNING_RATE, beta=task.beta)
    learner = Learner(task.model, config, "cpu")
    prompts = make_prompts(task)
    engine = Engine(EngineSpec(task.model, EngineConfig(max_sequences=task.rows), LORA["r"]))
    await engine.warm_up()
    await engine.load(publication(learner, prompts))
    steps = []
    for step in range(task.steps + WARM):
        began = clock()
        groups = await generate(engine, task, prompts[step * task.prompts : (step + 1) * task.prompts], step)
        generated = clock()
        result = learner.step(groups)
        trained = clock()
        report = await engine.load(publication(learner, prompts))
        ended = clock()
        assert result.updated and result.metrics["tokens"] == task.rows * task.tokens
        where = {
            "generate": generated[0] - began[0],
            "train": trained[0] - generated[0],
            "publish": ended[0] - trained[0],
        }
        steps.append((ended[0] - began[0], ended[1] - began[1], where))
        assert report.canary_gap < 1e-4
    await engine.close()
    return summary(steps)


def publication(learner, prompts):
    """The learner's policy with a canary of a prompt's own tokens."""
    from rollout.policy import AdapterForm
    from train.publication import publication_of

    ids = prompts[0][2]
    return publication_of(learner, "bench", (ids[:40], ids[40:60]), [AdapterForm("float32")])


async def generate(engine, task: Task, prompts: list[tuple], step: int):
    """The step's groups, sampled together, with rewards drawn by coin."""
    import numpy as np

    from problems.problem import Group, Status, Verdict
    from rollout.config import Sampling
    from rollout.engine import GroupRequest

    def request(number: int, problem, ids) -> GroupRequest:
        seeds = tuple(range(task.group))
        sampling = Sampling(max_tokens=task.tokens)
        return GroupRequest("bench", problem.id, f"{step}.{number}", np.asarray(ids, np.int32), seeds, sampling)

    answers = await asyncio.gather(*(engine.generate(request(n, p, ids)) for n, (p, _, ids) in enumerate(prompts)))
    groups = []
    for number, (samples, (problem, _, _)) in enumerate(zip(answers, prompts, strict=True)):
        rewards = [coin(step, number, index) for index in range(task.group - 2)] + [1.0, 0.0]
        verdicts = tuple(Verdict(Status.PASSED if r else Status.WRONG_ANSWER) for r in rewards)
        groups.append(Group(number, 0, problem, tuple(samples), verdicts, tuple(rewards)))
    return groups


# The whole system.


def whole(task: Task, staleness: int) -> dict:
    """`crucible grpo` itself; wall and CPU between its metrics' lines."""
    from rich.console import Console

    from pipelines.config import EvaluationConfig, GRPOConfig
    from pipelines.jobs.grpo import JOB
    from rollout.config import EngineConfig, RolloutConfig, Sampling
    from rollout.prompts import PromptConfig
    from train.config import TrainConfig

    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            model=task.model,
            name="step",
            runs=Path(folder),
            steps=task.steps + WARM,
            evaluation=EvaluationConfig(problems=1, samples=2),
            prompt=PromptConfig(examples=1),
            rollout=RolloutConfig(
                group_size=task.group,
                groups_per_step=task.prompts,
                max_staleness=staleness,
                sampling=Sampling(max_tokens=task.tokens),
                engine=EngineConfig(max_sequences=task.rows * (1 + staleness)),
            ),
            # Without an end token no completion passes: training on every group keeps the work that it would be.
            train=TrainConfig(group_filter="off", learning_rate=LEARNING_RATE, beta=task.beta, checkpoint_every=1000),
        )
        watch = Watch(Path(folder) / "step" / "metrics.jsonl")
        JOB.execute(config, Console(file=sys.stderr, quiet=True))
        watch.stop()
    first, last = watch.seen[WARM], watch.seen[WARM + task.steps]
    count = task.steps
    return {"seconds": (last[0] - first[0]) / count, "cpu": (last[1] - first[1]) / count, "where": watch.where()}


class Watch:
    """Notes wall and CPU time as steps appear in a metrics file: `seen[n]` is when n steps were done."""

    def __init__(self, path: Path) -> None:
        self._path, self._stopped = path, threading.Event()
        self.seen: dict[int, tuple[float, float]] = {}
        self._rows: list[dict] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()
        self._thread.join()

    def where(self) -> dict[str, float]:
        """Median seconds a step, by what the learner did."""
        rows = self._rows[WARM:]
        names = sorted({name for row in rows for name in row if name.startswith(("seconds/", "publish/seconds"))})
        return {name.replace("seconds/", ""): statistics.median(row.get(name, 0.0) for row in rows) for name in names}

    def _watch(self) -> None:
        while not self._stopped.wait(0.02):
            if not self._path.exists():
                continue
            rows = [json.loads(line) for line in self._path.read_text().splitlines() if line.endswith("}")]
            self._rows = [row for row in rows if row.get("kind") == "step"]
            for number in range(1, len(self._rows) + 1):
                if number not in self.seen:
                    self.seen[number] = (time.perf_counter(), tree_cpu())


def tree_cpu() -> float:
    """CPU-seconds of this process and all its descendants, those that have ended included."""
    import psutil

    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def clock() -> tuple[float, float]:
    """(wall, CPU-seconds of this process) now."""
    return time.perf_counter(), time.process_time()


def summary(steps: list[tuple[float, float, dict]]) -> dict:
    """Medians over the steps after the first few."""
    timed = steps[WARM:]
    where = {name: statistics.median(step[2][name] for step in timed) for name in timed[0][2]}
    return {
        "seconds": statistics.median(step[0] for step in timed),
        "cpu": statistics.median(step[1] for step in timed),
        "where": where,
    }


def trl(task: Task) -> dict:
    """`GRPOTrainer` with transformers' generation, at the faster of two micro-batches."""
    from benchmarks.step_trl import grpo_trainer

    found = [grpo_trainer(task, vllm=False, micro_batches=count) for count in (1, 2)]
    return min(found, key=lambda result: result["cpu"])


def trl_vllm(task: Task) -> dict:
    """`GRPOTrainer` with vLLM in its own process."""
    from benchmarks.step_trl import grpo_trainer
    from rollout.backends import prepare_environment

    prepare_environment()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    return grpo_trainer(task, vllm=True, micro_batches=1)


ARM = {
    "ours": ours,
    "trl": trl,
    "trl-vllm": trl_vllm,
    "s0": lambda task: whole(task, 0),
    "s1": lambda task: whole(task, 1),
}

if __name__ == "__main__":
    main()
