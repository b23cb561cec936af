"""One of two learner workers over gloo, with a whole base and with a sharded one: python sharded_pair.py RANK FOLDER"""

from __future__ import annotations

import copy
import dataclasses
import gc
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from test_train_worker import Books
from torch.distributed.tensor import DTensor
from train_helpers import make_group, make_groups, model_of, tiny_model

from train.config import TrainConfig
from train.learner import Learner
from train.out_of_memory import OutOfMemory
from train.worker import Job, run_loop

MODELS = {
    "tied": "qwen2",
    "untied": "qwen2 untied",
    "gemma": "gemma3 with a vision tower",
}
"""By short names, those of `train_helpers.MODELS`."""
SETTINGS = {
    "tied": {"beta": 0.05, "epochs": 2},
    "untied": {"gradient_checkpointing": True, "entropy_floor": 99.0},
    "gemma": {"beta": 0.05},
}
CANARY = ((1, 2, 3), (4, 5, 6, 7))


def config_of(name: str, shard: bool = False, workers: int = 2) -> TrainConfig:
    """Small micro-batches, so that the workers have unlike numbers of them."""
    return TrainConfig(micro_batch_tokens=50, learning_rate=1e-4, shard=shard, workers=workers, **SETTINGS[name])


def steps() -> list:
    """Groups of each step; in the last but one a single row is left, so that one of two workers has none."""
    lonely = make_group(np.random.default_rng(3), [1.0, 0.0])
    first, second = lonely.samples
    second = dataclasses.replace(second, completion_ids=second.completion_ids[:0], logprobs=second.logprobs[:0])
    lonely = dataclasses.replace(lonely, samples=(first, second))
    return [make_groups(5, 4), make_groups(2, 3, seed=1), [lonely], make_groups(3, 4, seed=2)]


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()])


def canary(learner: Learner, rank: int) -> np.ndarray | None:
    if rank == 0:
        return learner.score(*CANARY)
    learner.go_along()
    return None


def course(learner: Learner, rank: int, halfway: dict | None = None) -> dict:
    """What comes of all steps; `halfway` gets the state before the last two."""
    metrics = []
    for number, groups in enumerate(steps()):
        if number == 2 and halfway is not None:
            halfway |= copy.deepcopy(learner.state_dict())
        metrics.append(dict(learner.step(groups).metrics))
    return {"metrics": metrics, "weights": weights(learner), "canary": canary(learner, rank)}


def tensor_bytes() -> int:
    """Bytes of all tensors of this process."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = [(t.to_local() if isinstance(t, DTensor) else t).untyped_storage() for t in found]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def full_once(learner: Learner, backward: bool) -> None:
    """Has one pass find no memory: in the forward pass of the second layer, or on the way back to it."""
    (layer,) = (m for name, m in learner.adapter.model.named_modules() if name.endswith("layers.1.mlp"))

    def fail(*_):
        handle.remove()
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def fail_on_the_way_back(module, inputs, output):
        if output.requires_grad:
            handle.remove()
            output.register_hook(fail)

    handle = layer.register_forward_hook(fail_on_the_way_back if backward else fail)


def short_of_memory(rank: int) -> dict:
    """A step that one worker has no memory for, and what it comes to where there is."""
    found = {}
    for name in ("tied", "untied"):
        for backward in (None, False, True):
            config = config_of(name, shard=True).model_copy(update={"micro_batch_tokens": 90})
            learner = Learner(model_of(MODELS[name]), config, "cpu")
            if backward is not None and rank == 1:
                full_once(learner, backward)
            metrics = dict(learner.step(steps()[0]).metrics)
            found[name, backward] = {"metrics": metrics, "weights": weights(learner)}
            learner.step(steps()[3])
    return found


def too_little_memory(rank: int) -> str:
    """What a worker says for which even half was too much of another one."""
    learner = Learner(tiny_model(), config_of("tied", shard=True), "cpu")
    if rank == 1:
        learner.scorer.logprobs = out_of_memory
    try:
        learner.step(steps()[0])
    except OutOfMemory as error:
        return str(error)
    return ""


def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory.")


def published(rank: int, folder: Path) -> dict:
    """What the loop publishes with a sharded base, and what it then scores."""
    config = config_of("tied", shard=True).model_copy(update={"ema_decay": 0.5, "checkpoint_every": 1})
    job = Job("run", "unused", config, 2, str(folder / "checkpoints"), CANARY, "cpu", publish_average=True)
    learner, books = Learner(tiny_model(), config, "cpu"), Books()
    books.newest = -1 if rank == 0 else 0  # rank 0 alone begins
    run_loop(learner, books, job, rank, 2)
    return {"published": books.published, "canary": canary(learner, rank)}


def held(shard: bool) -> int:
    """Bytes of the tensors that a fresh learner has."""
    before = tensor_bytes()
    learner = Learner(model_of(MODELS["untied"]), config_of("untied", shard), "cpu")
    return tensor_bytes() - before - weights(learner).nbytes


def run(rank: int, folder: Path) -> dict:
    found: dict = {"held": {shard: held(shard) for shard in (False, True)}}
    found |= {"memory": short_of_memory(rank), "line": too_little_memory(rank), "loop": published(rank, folder)}
    for name, model in MODELS.items():
        states: dict[bool, dict] = {False: {}, True: {}}
        for shard in (False, True):
            learner = Learner(model_of(model), config_of(name, shard), "cpu")
            found[name, shard] = course(learner, rank, states[shard]) | {"signature": learner.signature}
        for shard in (False, True):
            learner = Learner(model_of(model), config_of(name, shard), "cpu")
            learner.load_state_dict(states[not shard])
            for groups in steps()[2:]:
                learner.step(groups)
            found[name, shard]["resumed"] = weights(learner)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    torch.save(run(rank, folder), folder / f"found{rank}")
    dist.destroy_process_group()
