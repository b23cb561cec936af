"""What one answer that is fifty times longer than the others costs a publication.

    python benchmarks/publish_wait.py [--model FOLDER|random] [--tokens 24] [--times 50] [--trials 7]

A real engine that samples all the time, as with staleness 1: one version's long answer, the next version's groups, and
then a third version is published, loaded and proven. Each trial measures the publication without and with the long
answer, and all trials are in one run. `room` is the engine as a run starts it; `no room` has adapter slots for the
versions in flight alone, and there vLLM lets the canary wait until the long answer is done. `full` has every seat taken
by long answers: the canary goes into the seat that is kept for it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RUN, SEATS, PROMPT = "wait", 8, list(range(40, 70))
ARMS = {"room": 2, "no room": 1, "full": 2}
"""Versions that an engine expects to be live at once, by arm; it has room for one more."""
BUSY = 3
"""Groups of two ordinary answers that are always in flight, no two of them at the same token."""


def main() -> None:
    """Prints a table with the medians of the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help="folder, or `random` of the default student's size")
    parser.add_argument("--tokens", type=int, default=24, help="of an ordinary answer")
    parser.add_argument("--times", type=int, default=50, help="how many times longer the long answer is")
    parser.add_argument("--trials", type=int, default=7)
    asyncio.run(measure(parser.parse_args()))


async def measure(options: argparse.Namespace) -> None:
    """All arms, one engine each."""
    import torch

    from benchmarks.endless import endless_model
    from rollout.config import EngineConfig
    from rollout.engine import Engine
    from rollout.engine_spec import EngineSpec
    from train.config import TrainConfig
    from train.learner import Learner

    torch.set_num_threads(1)
    print(f"answers of {options.tokens} tokens, a long one of {options.times * options.tokens}")
    print(f"{'arm':<9}{'without, ms':>13}{'with, ms':>11}{'longer, ms':>12}   long answers still running after it")
    with tempfile.TemporaryDirectory() as folder:
        source = "" if options.model == "random" else options.model
        model = str(endless_model(source, Path(folder) / "model"))
        learner = Learner(model, TrainConfig(lora_r=8, lora_alpha=16), "cpu")
        for arm, live in ARMS.items():
            length = max(512, len(PROMPT) + options.times * options.tokens + 16)
            config = EngineConfig(max_model_len=length, max_sequences=SEATS, backend="in_process")
            engine = Engine(EngineSpec(model, config, 8, live_adapters=live), arm.replace(" ", "-"))
            await engine.warm_up()
            await trials(engine, learner, arm, options)
            await engine.close()


async def trials(engine: Any, learner: Any, arm: str, options: argparse.Namespace) -> None:
    """Publications without and with the long answer, in turns, and their line of the table."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    running = 0
    for trial in range(-1, options.trials):  # the first warms up
        for long in (False, True):
            took, alive = await one(engine, learner, arm, long, options)
            if trial >= 0:
                seconds[long].append(took)
                running += alive
    without, with_it = (1000 * statistics.median(seconds[long]) for long in (False, True))
    longer = 1000 * statistics.median(b - a for a, b in zip(seconds[False], seconds[True], strict=True))
    print(f"{arm:<9}{without:>13.0f}{with_it:>11.0f}{longer:>12.0f}   {running} of {options.trials}")


async def one(engine: Any, learner: Any, arm: str, long: bool, options: argparse.Namespace) -> tuple[float, bool]:
    """(seconds of a publication, whether the long answer outlived it)."""
    number = iter(range(learner.steps_done + 1, learner.steps_done + 100))

    async def publish() -> float:
        learner.steps_done = next(number)
        nudge(learner)
        publication = publication_for(learner, engine)
        began = time.perf_counter()
        await engine.load(publication)
        return time.perf_counter() - began

    await publish()
    count = SEATS if arm == "full" else 1
    late = [start(engine, (n,), options.times * options.tokens) for n in range(count)] if long else []
    await asyncio.sleep(0.1)
    await publish()
    busy = [asyncio.ensure_future(keep_busy(engine, options.tokens, n)) for n in range(BUSY if arm != "full" else 0)]
    await asyncio.sleep(0.3)
    took = await publish()
    alive = bool(late) and not any(task.done() for task in late)
    for task in busy:
        task.cancel()
    await engine.abandon(RUN, None)
    await asyncio.gather(*late, *busy, return_exceptions=True)
    return took, alive


def publication_for(learner: Any, engine: Any) -> Any:
    """The learner's adapter with a canary."""
    from train.publication import publication_of

    return publication_of(learner, RUN, (PROMPT, list(range(80, 110))), [engine.form])


def nudge(learner: Any) -> None:
    """Other weights, as after a step."""
    import torch

    with torch.no_grad():
        for parameter in learner.adapter.parameters.values():
            parameter.add_(torch.randn_like(parameter), alpha=1e-4)


def start(engine: Any, seeds: tuple[int, ...], tokens: int) -> asyncio.Task[Any]:
    """A group of answers of exactly `tokens` tokens."""
    import numpy as np

    from rollout.config import Sampling
    from rollout.engine import GroupRequest

    prompt = np.asarray(PROMPT, np.int32)
    request = GroupRequest(RUN, "p", f"{seeds[0]}.0", prompt, seeds, Sampling(max_tokens=tokens))
    return asyncio.ensure_future(engine.generate(request))


async def keep_busy(engine: Any, tokens: int, number: int) -> None:
    """Ordinary groups, one after the other, until it is cancelled; begun a little later than those before it."""
    await asyncio.sleep(0.05 * number)
    first = 1000 * (number + 1)
    while True:
        await start(engine, (first, first + 1), tokens)
        first += 2


if __name__ == "__main__":
    main()
