"""Whether right adapters are accepted and wrong ones refused, on real pretrained weights in bfloat16.

    python benchmarks/publish_proof.py --model FOLDER [--publishes 20] [--learning-rate 1e-6] [--dtype bfloat16]

Engine and learner compute in `--dtype`, in one process. Each step samples a few answers, trains on them with rewards
drawn by coin, and publishes: the table has a line a publication. Then the engine is made to load the files of the
version before, none at all, and the right tensors under twice their scale. The last column is the gap that the canary
alone would have seen: in 16-bit numbers it tells none of the three from a right adapter, the checksums do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RUN, GROUPS, GROUP, TOKENS = "proof", 2, 2, 24
CANARY_TOKENS = 40
TEXTS = (
    "The river rises in the mountains and flows through three countries before it reaches the sea.",
    "A function that takes a list of numbers returns the largest sum of neighbours in it.",
    "In the morning the baker opens his shop, and by noon most of the bread is sold.",
)


def main() -> None:
    """Prints the two tables. Exit status 1 where a right adapter is refused or a wrong one accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or Hugging Face id of a pretrained model")
    parser.add_argument("--publishes", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-6)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    sys.exit(asyncio.run(prove(parser.parse_args())))


async def prove(options: argparse.Namespace) -> int:
    """The whole measurement; returns the exit status."""
    import torch

    from rollout.backends import open_backend
    from rollout.config import EngineConfig
    from rollout.engine import Engine, PolicyMismatch
    from rollout.engine_spec import EngineSpec
    from train.config import TrainConfig
    from train.learner import Learner
    from train.publication import publication_of

    torch.set_num_threads(1)
    config = TrainConfig(lora_r=8, lora_alpha=16, learning_rate=options.learning_rate, dtype=options.dtype)
    learner = Learner(options.model, config)
    settings = EngineConfig(dtype=options.dtype, max_model_len=256, max_sequences=GROUPS * GROUP)
    backend = open_backend(EngineSpec(options.model, settings, config.lora_r))
    engine = Engine(EngineSpec(options.model, settings, config.lora_r), "engine", backend)
    ids = [engine.tokenizer(text)["input_ids"] for text in TEXTS]
    canary = ids[0][:8], (ids[0][8:] + ids[1] + ids[2])[:CANARY_TOKENS]

    def published() -> Any:
        return publication_of(learner, RUN, canary, [engine.form])

    print(f"{options.model}, engine and learner in {options.dtype}, learning rate {options.learning_rate:g}\n")
    print(f"{'version':>7} {'MB':>6} {'tensors proven':>15} {'canary gap':>11} {'seconds':>8}")
    await engine.load(newest := published())
    right = 0
    for number in range(1, options.publishes + 1):
        learner.step(await sampled(engine, ids, number))
        newest = published()
        try:
            report = await engine.load(newest)
        except PolicyMismatch as error:
            print(f"{number:>7} REFUSED: {error}")
            continue
        right += 1
        size = report.bytes / 1e6
        print(f"{number:>7} {size:>6.2f} {report.proven:>15} {report.canary_gap:>11.4f} {report.seconds:>8.3f}")
    print(f"\n{right} of {options.publishes} right adapters accepted\n")
    learner.step(await sampled(engine, ids, 0))
    caught = await refused(engine, backend, newest, published(), Path(tempfile.mkdtemp()))
    await engine.close()
    return int(right < options.publishes or caught < 3)


async def sampled(engine: Any, ids: list[list[int]], step: int) -> list[Any]:
    """A few groups of short answers, with rewards drawn by coin."""
    import numpy as np

    from problems.problem import Group, Problem, Status, Verdict
    from rollout.config import Sampling
    from rollout.engine import GroupRequest

    problem, groups = Problem("text", "text", 1, 1, "train", "", "", "", (), ()), []
    for number in range(GROUPS):
        prompt = np.asarray(ids[(step + number) % len(ids)], np.int32)
        seeds = tuple(1000 * step + 10 * number + i for i in range(GROUP))
        request = GroupRequest(RUN, "text", f"{step}.{number}", prompt, seeds, Sampling(max_tokens=TOKENS))
        samples = tuple(await engine.generate(request))
        rewards = tuple(float(i % 2 == step % 2) for i in range(GROUP))
        verdicts = tuple(Verdict(Status.PASSED if r else Status.WRONG_ANSWER) for r in rewards)
        groups.append(Group(number, 0, problem, samples, verdicts, rewards))
    return groups


async def refused(engine: Any, backend: Any, before: Any, after: Any, folder: Path) -> int:
    """Has vLLM load something else than what is published, three times; returns how many of them were refused."""
    from rollout.engine import PolicyMismatch
    from rollout.policy import PolicyVersion, Publication

    add = backend.add_lora
    scale = 2 * after.policy.lora_config["lora_alpha"]
    twice = replace(after.policy, lora_config={**after.policy.lora_config, "lora_alpha": scale})
    wrong: dict[str, tuple[Callable[[Path], Path | None], Any]] = {
        "stale": (lambda path: before.policy.write(folder / "stale"), before.policy),
        "missing": (lambda path: None, PolicyVersion(RUN, 0)),
        "twice the scale": (lambda path: rescaled(path, scale), twice),
    }
    caught = 0
    print(f"{'adapter':>16} {'verdict':>9} {'canary alone':>13}   why")
    for name, (path_of, policy) in wrong.items():

        async def astray(lora: Any, path_of: Callable[[Path], Path | None] = path_of) -> None:
            if (path := path_of(Path(lora.lora_path))) is not None:
                lora.lora_path = str(path)
                await add(lora)

        backend.add_lora = astray
        try:
            await engine.load(after)
            verdict, why = "ACCEPTED", ""
        except PolicyMismatch as error:
            verdict, why, caught = "refused", str(error).partition("): ")[2], caught + 1
        backend.add_lora = add
        await engine.load(Publication(replace(policy, run=f"{RUN}-{name}")))
        scores = await engine.score(
            after.canary.prompt_ids.tolist(), after.canary.completion_ids.tolist(), f"{RUN}-{name}"
        )
        print(f"{name:>16} {verdict:>9} {abs(scores - after.canary.logprobs).mean():>13.4f}   {why}")
    return caught


def rescaled(path: Path, alpha: float) -> Path:
    """The same adapter with another lora_alpha in its configuration."""
    file = path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": alpha}))
    return path


if __name__ == "__main__":
    main()
