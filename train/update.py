"""A gradient as one vector: put together, summed over workers, clipped, and applied."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.distributed as dist
from torch import Tensor, nn

from train.step_metrics import rank_and_world_size


def reduced_gradient(parameters: Collection[nn.Parameter], loss: Tensor) -> Tensor:
    """The whole batch's gradient as one vector, and `loss` [1] at its end, summed over workers.

    The parameters' own are cleared.
    """
    pieces = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    gradient = torch.cat([*(piece.flatten() for piece in pieces), loss.to(pieces[0].dtype)])
    for parameter in parameters:
        parameter.grad = None
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(gradient)
    return gradient


def overflows(gradient: Tensor) -> bool:
    """Whether a reduced gradient is not finite though the loss at its end is."""
    return bool(torch.isfinite(gradient[-1])) and not bool(torch.isfinite(gradient).all())


def descend(
    optimiser: torch.optim.Optimizer,
    parameters: Collection[nn.Parameter],
    gradient: Tensor,
    rate: float,
    excess: float,
) -> None:
    """One update with `gradient`, without a loss at its end, which is divided in place by an `excess` above 1."""
    if excess > 1:
        gradient /= excess
    start = 0
    for parameter in parameters:
        parameter.grad = gradient[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    for settings in optimiser.param_groups:
        settings["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
