"""The one way to train an adapter on given answers: TRL's trainers in Ray Train, at any place in the cluster.

A worker needs nothing of the driver's disk. Its task comes with the examples, its metrics go to the driver through a
queue, its checkpoints to the run's store where there is one, and its adapter comes back as the result. So the driver
alone writes the run folder:

metrics.jsonl   lengths of the examples, a row an update, a row a validation loss, a row with the outcome
checkpoints/    the trainer's own, to resume from, where the run is on no object store
adapter/        the adapter; model/ where the whole model was trained
outcome.json    figures of a training that has ended, or the error that ended it
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.checkpoint_store import CheckpointStore
from cluster.hardware import Demand
from cluster.private import temporary_folder
from pipelines.artifacts.plain_files import read_object
from pipelines.artifacts.run_folder import RunFolder, replace_file, write_adapter
from pipelines.errors import JobFailed
from pipelines.training_metrics import TrainingMetrics
from pipelines.whole_model import send_model
from problems.plain_text import shown
from rollout.model_files import load_config, load_tokenizer
from rollout.policy import PolicyVersion
from train.dpo_config import DPOConfig
from train.sft_config import SFTConfig

OUTCOME_FILE = "outcome.json"
MAX_FAILURES = 3
"""Times that a worker that died is started again from its last checkpoint."""


class SFTFailed(JobFailed):
    """Training ended with an error; the message is one line."""


@dataclass(frozen=True, slots=True)
class SFTTask:
    """What a worker needs to know to learn from given answers."""

    run: str
    model: str
    checkpoints: str
    """Folder of the trainer's checkpoints, where there is no `store`."""
    config: SFTConfig
    train: Sequence[Any] = field(repr=False)
    """Rows (`train.pretrain.Row`) to learn from."""
    val: Sequence[Any] = field(repr=False)
    """Rows to choose the best checkpoint by; none keeps the last."""
    initial: PolicyVersion | None = field(repr=False, default=None)
    store: CheckpointStore | None = None
    """Where checkpoints outlive the worker's node."""
    prompt: str = ""
    """Of a task that trains the whole model: content of the prompt.json that its folder gets, "" for none."""


@dataclass(frozen=True, slots=True)
class DPOTask:
    """What a worker needs to know to learn from pairs."""

    run: str
    model: str
    config: DPOConfig
    shape: SFTConfig
    """Of the adapter."""
    rows: Sequence[Any] = field(repr=False)
    """Pairs (`train.dpo.PairRow`)."""
    initial: PolicyVersion | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows that are learnt from, and how many were left out."""

    train: Sequence[Any] = field(repr=False)
    val: Sequence[Any] = field(repr=False)
    figures: Mapping[str, int]
    """For `metrics.jsonl`."""


def select_examples(rows: Sequence[Any], questions: Sequence[str], model: str, settings: SFTConfig) -> Examples:
    """Drops or refuses rows that are too long, and holds whole questions (by hash, one a row) out for validation.

    Raises SFTFailed for rows that cannot be learnt from.
    """
    from train.sft import SFTError, measure, split_rows

    try:
        positions = getattr(load_config(model), "max_position_embeddings", settings.max_length)
        limit = positions if settings.too_long == "keep" else min(settings.max_length, positions)
        end = load_tokenizer(model).eos_token_id
        if not isinstance(end, int):
            raise SFTError(f"the tokenizer of {model} has no single end token (eos_token_id is {end!r}); set one")
        lengths = measure(rows, limit, end)
        if lengths.too_long and settings.too_long != "drop":
            raise SFTError(
                f"{len(lengths.too_long)} of {len(rows)} examples are longer than {limit} tokens, the longest has "
                f"{lengths.longest}; raise sft.max_length (the model has {positions} positions) or set sft.too_long to "
                "drop. Nothing is cut: a cut answer teaches to stop in the middle"
            )
        left_out = set(lengths.too_long)
        fits = [index for index in range(len(rows)) if index not in left_out]
        train, val = split_rows([questions[index] for index in fits], settings.val_share, settings.seed)
    except ValueError as error:
        raise SFTFailed(str(error)) from None
    figures = {
        "longer_than_max_length": sum(len(row) > settings.max_length for row in rows),
        "dropped_too_long": len(lengths.too_long),
        "train": len(train),
        "val": len(val),
        "longest": lengths.longest,
        "supervised_tokens": lengths.supervised,
        "max_length": settings.max_length,
    }
    return Examples([rows[fits[index]] for index in train], [rows[fits[index]] for index in val], figures)


def finished(folder: Path) -> Mapping[str, Any] | None:
    """The figures of a training that has ended well, else None. Its adapter was complete before they were written."""
    outcome = folder / OUTCOME_FILE
    figures = read_object(outcome) if outcome.is_file() else {"error": "not begun"}
    return None if figures.get("error") else figures


def fine_tune(
    demand: Demand, task: SFTTask | DPOTask, workers: int, folder: RunFolder, storage: str, console: Console
) -> Mapping[str, Any]:
    """Trains to the end, from the newest checkpoint on, and writes adapter or model. Returns the outcome's figures.

    `storage` is where Ray Train keeps its records, reached from every node. Raises SFTFailed.
    """
    work = sft_worker if isinstance(task, SFTTask) else dpo_worker
    (folder.path / OUTCOME_FILE).unlink(missing_ok=True)
    with TrainingMetrics(folder, console) as metrics:
        policy, figures = _run(work, task, metrics.queue, demand, workers, storage)
    if "error" in figures:
        replace_file(folder.path / OUTCOME_FILE, json.dumps(figures))
        raise SFTFailed(figures["error"])
    if policy is None:
        try:
            figures["model_hash"] = metrics.model.finish(figures.pop("files"))
        except ValueError as error:
            raise SFTFailed(f"{error}; resume the run") from None
    else:
        write_adapter(folder.path, policy)
        figures = figures | {"adapter_hash": policy.adapter_hash}
    replace_file(folder.path / OUTCOME_FILE, json.dumps(figures, indent=1))
    return figures


def record_outcome(folder: RunFolder, figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sees to it that the figures are a row of `metrics.jsonl`, and returns them."""
    if not any(row.get("kind") == "sft" for row in folder.metrics()):
        folder.append_metrics({"kind": "sft", **figures})
    return figures


def skipped_note(count: int) -> str:
    """Text about updates that were skipped; "" where there were none."""
    return f"; {count} updates skipped, whose gradient was not finite" if count else ""


Result = tuple[PolicyVersion | None, dict[str, Any]]
"""Of a worker: the adapter, or None for a whole model, with figures; or None with an `error` that is not worth trying
again."""


def _run(
    work: Callable[[Mapping[str, Any]], Result],
    task: SFTTask | DPOTask,
    queue: Any,
    demand: Demand,
    workers: int,
    storage: str,
) -> Result:
    """Rank 0's result. Raises SFTFailed where the workers cannot end it."""
    from pipelines.training import train

    name, loop_config = f"sft-{uuid.uuid4().hex[:8]}", {"task": task, "queue": queue}
    try:
        result = train(work, loop_config, demand, workers, name, storage, MAX_FAILURES, task.model, alone=True)
    except Exception as error:
        causes = getattr(error, "worker_failures", None) or {}
        lines = [line for line in str(next(iter(causes.values()), error)).splitlines() if line.strip()]
        raise SFTFailed(f"the learner failed: {lines[-1].strip() if lines else type(error).__name__}") from error
    return result.return_value


def sft_worker(loop_config: Mapping[str, Any]) -> Result:
    """The train function of Ray Train's workers that learn from given answers."""
    from train.sft import fit

    task: SFTTask = loop_config["task"]
    queue = loop_config["queue"]
    try:
        base, tokenizer = _load(task.model, task.config)
        with _checkpoints(task) as (folder, callbacks):
            result = fit(
                base,
                tokenizer,
                task.train,
                task.val,
                task.config,
                folder,
                task.run,
                task.initial,
                on_row=queue.put,
                on_start=lambda rows: queue.put({"kind": "start", "rows": list(rows)}),
                callbacks=callbacks,
            )
        return result.policy, dict(result.figures) | _sent(base, tokenizer, task, queue)
    except (ValueError, FloatingPointError, RuntimeError) as error:
        return None, {"error": _final(error, task)}


def _sent(base: Any, tokenizer: Any, task: SFTTask, queue: Any) -> dict[str, Any]:
    """The sizes of the trained model's files, once rank 0 has sent them; {} where an adapter was trained."""
    import ray.train
    import torch

    if not task.config.full or ray.train.get_context().get_world_rank():
        return {}
    stored = getattr(load_config(task.model), "dtype", None) or torch.float32
    return {"files": send_model(base, tokenizer, stored, task.prompt, queue)}


def dpo_worker(loop_config: Mapping[str, Any]) -> Result:
    """The train function of Ray Train's workers that learn from pairs. A stage that was interrupted is done again."""
    import tempfile

    from train.dpo import train_dpo

    task: DPOTask = loop_config["task"]
    queue = loop_config["queue"]
    try:
        base, tokenizer = _load(task.model, task.shape)
        queue.put({"kind": "start", "rows": []})
        with tempfile.TemporaryDirectory(prefix="crucible-") as folder:
            result = train_dpo(
                base, tokenizer, task.rows, task.config, task.shape, Path(folder), task.run, task.initial, queue.put
            )
    except (ValueError, FloatingPointError, RuntimeError) as error:
        return None, {"error": _final(error, task)}
    return result.policy, result.figures


def _final(error: Exception, task: SFTTask | DPOTask) -> str:
    """What is said of an error that trying again would not help; any other is raised again."""
    from train.out_of_memory import is_out_of_memory

    if not isinstance(error, RuntimeError):
        return str(error)
    if not is_out_of_memory(error):
        raise error
    section, size = ("sft", task.config.batch_size) if isinstance(task, SFTTask) else ("dpo", task.config.batch_size)
    reason = str(error).strip().splitlines()[0]
    return (
        f"no memory left for {size} example{'s' * (size > 1)} at a time ({reason}): lower {section}.batch_size and "
        f"raise {section}.grad_accumulation as much, set sft.gradient_checkpointing, or lower sft.max_length"
    )


def _load(model: str, config: SFTConfig) -> tuple[Any, Any]:
    """(base model, tokenizer) on this worker's device."""
    import ray.train.torch
    import torch

    from train.base_model import load_base
    from train.pretrain import prepare_cpu

    if not torch.cuda.is_available():
        prepare_cpu(torch.get_num_threads())
    # Small updates of weights in 16 bits would be lost.
    shape = config.adapter.model_copy(update={"dtype": "float32"}) if config.full else config.adapter
    return load_base(model, shape, ray.train.torch.get_device()), load_tokenizer(model)


@contextmanager
def _checkpoints(task: SFTTask) -> Iterator[tuple[Path, list[Any]]]:
    """The folder of the trainer's checkpoints on this node, and what brings them to the store where there is one.

    Beside a store the folder is a scratch copy, one a rank, which goes when the training has ended.
    """
    import ray.train

    if task.store is None:
        yield Path(task.checkpoints), []
        return
    from train.trainer_checkpoint import Shelve, restore

    rank = ray.train.get_context().get_world_rank()
    folder = temporary_folder(hashlib.sha256(task.store.url.encode()).hexdigest()[:12], f"rank-{rank}")
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        restore(folder, task.store)
        yield folder, [Shelve(folder, task.store)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def say_outcome(figures: Mapping[str, Any], console: Console) -> None:
    """One line on the console."""
    stopped = ", stopped early" if figures["stopped_early"] else ""
    text = f"{figures['steps']} updates{stopped}"
    if figures["best_loss"] is None:
        text += f"; training loss {figures['first_loss']:.4f} at first, {figures['last_loss']:.4f} at last"
    else:
        text += f"; lowest validation loss {figures['best_loss']:.4f} after update {figures['best_step']}"
    console.print(shown(text + skipped_note(figures.get("skipped_steps", 0))))
