"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), quick on every CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch


class Muon(torch.optim.Muon):
    """`torch.optim.Muon`, but on the CPU its matrix products are in the parameters' own dtype.

    torch's are in bfloat16, which is fast on GPUs and on the few CPUs that have instructions for it. On others the
    products of a small model's matrices take longer than its forward and backward passes together.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient. Returns the closure's loss."""
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict) -> None:
        parameters: list[torch.Tensor] = []
        gradients: list[torch.Tensor] = []
        momenta: list[torch.Tensor] = []
        self._init_group(group, parameters, gradients, momenta)
        for parameter, gradient, mean in zip(parameters, gradients, momenta, strict=True):
            mean.lerp_(gradient, 1 - group["momentum"])
            update = orthogonal(
                gradient.lerp(mean, group["momentum"]), group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            rows, columns = parameter.shape
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))


def orthogonal(matrix: torch.Tensor, coefficients: Sequence[float], steps: int, eps: float) -> torch.Tensor:
    """The [M, N] matrix nearest in direction to `matrix` with all singular values near 1 (0.7 to 1.2 or so).

    `steps` Newton-Schulz iterations with the quintic polynomial a x + b x^3 + c x^5, `coefficients` (a, b, c); see the
    source of the method. Products are in the matrix's dtype.
    """
    a, b, c = coefficients
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    x = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.size(0) > matrix.size(1) else x
