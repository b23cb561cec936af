"""The learner's loop, and its thin shell for Ray Train.

`run_loop` knows no Ray: it talks to a `Coordinator` by plain calls. `train_worker` is the function that a Ray Train v2
`TorchTrainer` runs on each worker; it reaches the coordinator's actor and reports to Ray. The checkpoints that count
are those of `train.checkpoint` in the run's own folder; Ray only gets their path.

The driver and Ray Train's controller read this module for `Job` alone: torch and peft are imported where learning is.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from problems.problem import Group
from rollout.policy import AdapterForm, PolicyVersion, Publication, ema_run
from train import checkpoint
from train.checkpoint import Checkpoint
from train.config import TrainConfig
from train.publication import publication_of

if TYPE_CHECKING:
    from train.learner import Learner, StepResult


class LedgerState(Protocol):
    """What has been consumed of the problem stream; opaque to the learner."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        ...


class Batch(Protocol):
    """The groups of one step, the same for every rank, and the ledger as it stands once they are consumed."""

    groups: Sequence[Group]
    ledger: LedgerState


class Coordinator(Protocol):
    """What the loop asks of `rollout.coordinator.Coordinator`, in plain calls.

    `epoch` numbers the starts of the learner, so that a stale worker is recognised. Policy version v
    is the policy after v steps.
    """

    def epoch(self) -> int:
        """Number of the newest start; -1 before the first."""
        ...

    def adapter_forms(self) -> Sequence[AdapterForm]:
        """Rank 0, once a start: in which forms the engines hold adapters, as far as is known."""
        ...

    def begin(self, epoch: int, ledger: dict[str, Any] | None, publication: Publication) -> Mapping[str, Any]:
        """Rank 0, once a start: rolls back to `ledger` (None at the beginning of a run) and to this policy."""
        ...

    def get_batch(self, epoch: int, step: int, rank: int, world_size: int) -> Batch | None:
        """Every rank: what step number `step` (0 is the first) trains on; waits for it. None ends the run."""
        ...

    def publish(self, epoch: int, publication: Publication) -> Mapping[str, Any]:
        """Rank 0, after each step: the next policy version. Returns when every engine has it loaded and proven."""
        ...

    def record(self, epoch: int, step: int, metrics: dict[str, Any]) -> None:
        """Rank 0, after each step: its metrics."""
        ...

    def settle(self, epoch: int) -> None:
        """Rank 0, before a checkpoint counts: returns when all that was recorded is where it cannot be lost."""
        ...


class CheckpointStore(Protocol):
    """Where checkpoints outlive the learner's node."""

    def push(self, checkpoint: Path, keep: int) -> None:
        """Copies a checkpoint there, and drops all but the newest `keep`."""

    def pull(self, folder: Path) -> None:
        """Makes the newest checkpoint there the newest of `folder`."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a learner worker needs to know."""

    run: str
    model: str
    """Folder or Hugging Face id of the base model."""
    config: TrainConfig
    steps: int
    """Steps of the whole run, those before a resume included."""
    checkpoints: str
    """Folder of the run's checkpoints; on several nodes a shared one, or one of each node beside a `store`."""
    canary: tuple[Sequence[int], Sequence[int]] | None = None
    """Prompt and completion token ids by which engines prove what they loaded."""
    device: str = "auto"
    initial: PolicyVersion | None = field(default=None, repr=False)
    """Adapter that the run starts from instead of a fresh one; checkpoints do not hold it."""
    publish_average: bool = False
    """Whether engines get the moving average of the policy as well."""
    store: CheckpointStore | None = None
    """Where checkpoints are copied to and resumed from; None where `checkpoints` is all there is."""


Report = Callable[["StepResult", Checkpoint | None], None]


def run_loop(
    learner: Learner,
    coordinator: Coordinator,
    job: Job,
    rank: int = 0,
    world_size: int = 1,
    report: Report | None = None,
) -> int:
    """Restores the newest checkpoint, then asks for batches and trains until the run ends; returns the steps done.

    A checkpoint is written each `checkpoint_every` steps and at the end. Whatever the coordinator or the learner raises
    ends the loop.
    """
    ledger = _restore(learner, job, rank, world_size)
    epoch, forms = 0, ()
    if rank == 0:
        epoch, forms = coordinator.epoch() + 1, coordinator.adapter_forms()
        coordinator.begin(epoch, ledger, _publication(learner, job, forms))
    else:
        _go_along(learner, job)
    epoch = _from_rank_0(epoch, world_size)
    saved = learner.steps_done
    while learner.steps_done < job.steps:
        batch = coordinator.get_batch(epoch, learner.steps_done, rank, world_size)
        if batch is None:
            break
        result = learner.step(batch.groups)
        ledger, written = batch.ledger.to_dict(), None
        if rank == 0:
            publication = _publication(learner, job, forms)
            metrics = dict(result.metrics) | _prefixed("publish", coordinator.publish(epoch, publication))
            record = _Recording(coordinator, epoch, result.step - 1, metrics)
            if result.step % job.config.checkpoint_every == 0 or result.step == job.steps:
                written, saved = _save(learner, ledger, job, record.settled), result.step
            else:
                record()
        else:
            _go_along(learner, job)
        if report is not None:
            report(result, written)
    if rank == 0 and saved != learner.steps_done:
        _save(learner, ledger, job, partial(coordinator.settle, epoch))
    return learner.steps_done


def train_worker(loop_config: Mapping[str, Any]) -> None:
    """The train function for `TorchTrainer(train_worker, train_loop_config={"job": Job, "coordinator": handle})`.

    Set RAY_TRAIN_HEALTH_CHECK_INTERVAL_S=0.2 where the driver runs, or each report waits for its two-second poll.
    """
    import ray.train
    import ray.train.torch

    from train.learner import Learner
    from train.out_of_memory import OutOfMemory

    job: Job = loop_config["job"]
    context = ray.train.get_context()
    device = str(ray.train.torch.get_device()) if job.device == "auto" else job.device
    learner = Learner(job.model, job.config, device)

    def report(result: StepResult, written: Checkpoint | None) -> None:
        metrics = {**result.metrics, "step": result.step}
        if written is None:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            pointer = {"path": str(written.path), "step": written.step}
            (Path(folder) / "pointer.json").write_text(json.dumps(pointer))
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    coordinator = RemoteCoordinator(loop_config["coordinator"])
    try:
        run_loop(learner, coordinator, job, context.get_world_rank(), context.get_world_size(), report)
    except OutOfMemory as error:  # it would find no more the next time
        coordinator.fail(str(error))
        raise


class RemoteCoordinator:
    """The coordinator's actor behind the plain calls of `Coordinator`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def epoch(self) -> int:
        """See `Coordinator`."""
        return self._call("status")["epoch"]

    def adapter_forms(self) -> Sequence[AdapterForm]:
        """See `Coordinator`."""
        return self._call("adapter_forms")

    def begin(self, epoch: int, ledger: dict[str, Any] | None, publication: Publication) -> Mapping[str, Any]:
        """See `Coordinator`."""
        return self._call("begin", epoch, ledger, publication)

    def get_batch(self, epoch: int, step: int, rank: int, world_size: int) -> Batch | None:
        """See `Coordinator`."""
        return self._call("get_batch", epoch, step, rank, world_size)

    def publish(self, epoch: int, publication: Publication) -> Mapping[str, Any]:
        """See `Coordinator`."""
        return self._call("publish", epoch, publication)

    def record(self, epoch: int, step: int, metrics: dict[str, Any]) -> None:
        """See `Coordinator`."""
        self._call("record", epoch, step, metrics)

    def settle(self, epoch: int) -> None:
        """See `Coordinator`."""
        self._call("settle", epoch)

    def fail(self, reason: str) -> None:
        """Ends the run with an error that the driver reports."""
        self._call("fail", reason)

    def _call(self, method: str, *arguments: Any) -> Any:
        import ray

        return ray.get(getattr(self._handle, method).remote(*arguments))


def _restore(learner: Learner, job: Job, rank: int, world_size: int) -> dict[str, Any] | None:
    """Restores the newest checkpoint and returns its ledger. Rank 0 chooses the checkpoint for all.

    The adapter that the run starts from is loaded first, also where a checkpoint then takes its place: the KL may be to
    it.
    """
    if job.store is not None:
        job.store.pull(Path(job.checkpoints))
    found = checkpoint.latest(Path(job.checkpoints)) if rank == 0 else None
    found = _from_rank_0(found, world_size)
    if job.initial is not None:
        learner.start_from(job.initial)
    return dict(checkpoint.restore(found, learner).ledger) if found is not None else None


def _publication(learner: Learner, job: Job, forms: Sequence[AdapterForm]) -> Publication:
    """The current policy, with the learner's own log-probabilities of the canary under it."""
    average = None
    if job.publish_average:
        with learner.averaged():
            average = publication_of(learner, ema_run(job.run), job.canary, forms)
    return replace(publication_of(learner, job.run, job.canary, forms), average=average)


def _go_along(learner: Learner, job: Job) -> None:
    """Takes part in rank 0's `_publication`, whose canaries a sharded base scores on all ranks."""
    if job.config.shard and job.canary is not None:
        for _ in range(1 + job.publish_average):
            learner.go_along()


@dataclass(frozen=True, slots=True)
class _Recording:
    """The metrics of a step, on their way to the driver."""

    coordinator: Coordinator
    epoch: int
    step: int
    metrics: dict[str, Any]
    began: float = field(default_factory=time.perf_counter)

    def __call__(self) -> None:
        self.coordinator.record(self.epoch, self.step, self.metrics)

    def settled(self) -> None:
        """Records a step with the time that its checkpoint took, and waits: a checkpoint never counts without it."""
        self.metrics["seconds/checkpoint"] = time.perf_counter() - self.began
        self()
        self.coordinator.settle(self.epoch)


def _save(learner: Learner, ledger: Mapping[str, Any] | None, job: Job, settle: Callable[[], None]) -> Checkpoint:
    keep, policy = job.config.keep_checkpoints, learner.policy(job.run, learner.steps_done)
    saved = checkpoint.save(Path(job.checkpoints), learner, policy, ledger or {}, keep, settle)
    if job.store is not None:
        job.store.push(saved.path, keep)
    return saved


def _prefixed(prefix: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in (values or {}).items()}


def _from_rank_0(value: Any, world_size: int) -> Any:
    """Rank 0's value, on every rank."""
    if world_size == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
