"""A frozen base whose weights are split over the learner's workers, for models larger than one device.

torch's FSDP2 (Zhao et al. 2023, "PyTorch FSDP", arXiv 2304.11277) gathers each decoder layer where a pass comes to it
and drops it behind it; embedding and head are whole during a forward pass. The adapter, and what little stands outside
the layers, is whole on each worker.

Gathering is a collective operation: all workers must gather the same modules in the same order, though one has more
micro-batches than another, or no memory left in the middle of one. `Lockstep` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.fsdp._fully_shard._fsdp_collectives import DefaultAllGather
from transformers import PreTrainedModel

from train.batch import MicroBatch
from train.compiled import decoder_layers
from train.out_of_memory import Failure, StepOutOfMemory
from train.step_metrics import rank_and_world_size

Result = TypeVar("Result")


def shard_base(base: PreTrainedModel, adapter: Collection[nn.Parameter], device: torch.device) -> None:
    """Moves `base` to the device layer by layer, and leaves this worker's part of it there. `adapter` stays whole.

    Raises ValueError without other workers, and where the layers are not transformers' decoder layers.
    """
    workers = rank_and_world_size()[1]
    if workers == 1:
        raise ValueError("shard splits the base over several workers, and there is one: run it in a process group")
    mesh = init_device_mesh(device.type, (workers,))
    layers = decoder_layers(base, "shard")
    split = {parameter for layer in layers for parameter in layer.parameters()} - set(adapter)
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    split |= {end.weight for end in ends if end is not None}
    whole = set(base.parameters()) - split
    for layer in layers:
        layer.to(device)
        fully_shard(layer, mesh=mesh, ignored_params=whole)
    base.to(device)  # pyright: ignore[reportArgumentType] transformers wraps torch's own `to`
    root = fully_shard(base, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    root.set_unshard_in_backward(False)  # the head's gradient is formed in the forward pass, the embedding has none
    setattr(base, _WHOLE, _called)
    register_fsdp_forward_method(base, _WHOLE)


_WHOLE = "with_whole_ends"


def _called(compute: Callable[[], Result]) -> Result:
    return compute()


def with_whole_ends(model: PreTrainedModel, compute: Callable[[], Result]) -> Result:
    """`compute()`, during which embedding and output head are whole though the base may be sharded."""
    return getattr(model, _WHOLE, _called)(compute)


def abandon_pass(model: PreTrainedModel) -> None:
    """After an error in a pass: makes a base, sharded or not, ready for another one."""
    if isinstance(model, FSDPModule):
        model.reset_iter_state()


class Lockstep:
    """Runs a worker's passes; where the base is sharded, in step with the other workers."""

    def __init__(self, base: PreTrainedModel, device: torch.device) -> None:
        """`base` may be sharded or not."""
        self._base, self._device = base, device
        modules = [module for module in base.modules() if isinstance(module, FSDPModule)]
        self._alone = not modules
        self._gathered: list[FSDPModule] = []
        """In the current pass, in order."""
        self._orders: dict[bool, list[FSDPModule]] = {}
        """What a pass gathers, without and with its backward pass."""
        for module in modules:
            module.set_custom_all_gather(_Recorder(module, self._gathered))

    def learn(self, forward: Callable[[], torch.Tensor]) -> None:
        """Notes what passes gather, from one that all workers make; `forward` returns something with a gradient."""
        if self._alone:
            return
        self._gathered.clear()
        output = forward()
        self._orders[False] = list(self._gathered)
        output.sum().backward()
        self._orders[True] = list(self._gathered)
        self._finish(())

    def run(self, work: Callable[[int], Result], parts: Sequence[MicroBatch], backward: bool = False) -> list[Result]:
        """`work(index)` for each of `parts`: a forward pass each, with its backward pass where `backward`.

        Where the base is sharded, this worker gathers it as often as the one that has most parts. Raises
        StepOutOfMemory on all workers where one of them had no memory left, once the others have made their passes.
        """
        if self._alone:
            return [work(index) for index in range(len(parts))]
        count = torch.tensor(len(parts), device=self._device)
        dist.all_reduce(count, dist.ReduceOp.MAX)
        results, failure = [], None
        for index in range(int(count)):
            try:
                if index < len(parts) and failure is None:
                    results.append(work(index))
            except RuntimeError as error:
                failure = Failure.of(error, parts)
            # Beyond the handler, whose traceback holds the tensors of the failed pass.
            self._finish(self._orders[backward])
        failures: list[Failure | None] = [None] * dist.get_world_size()
        dist.all_gather_object(failures, failure)
        if found := [one for one in failures if one is not None]:
            raise StepOutOfMemory(min(found, key=lambda one: one.tokens))
        return results

    def _finish(self, order: Sequence[FSDPModule]) -> None:
        """Ends a pass that gathers modules in this order: does what is left of that, and drops what is whole."""
        abandon_pass(self._base)
        for module in order[len(self._gathered) :]:
            module.unshard()
            module.reshard()
        self._gathered.clear()


class _Recorder(DefaultAllGather):
    """torch's own operation, which notes what was gathered."""

    def __init__(self, module: FSDPModule, gathered: list[FSDPModule]) -> None:
        self._module, self._gathered = module, gathered

    def __call__(
        self, output_tensor: torch.Tensor, input_tensor: torch.Tensor, group: dist.ProcessGroup, async_op: bool = False
    ) -> dist.Work | None:
        self._gathered.append(self._module)
        return super().__call__(output_tensor, input_tensor, group, async_op)
