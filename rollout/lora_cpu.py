"""LoRA on CPU: two matrix products an adapter, in place of vLLM's reference code.

vLLM's CPU path copies the adapter's weights once a token before it multiplies, which costs more than the model itself
for small models, and it reads the index -1, which stands for «no adapter», as the last adapter that is loaded: a
request for the base model is then answered by somebody's adapter. This replacement groups tokens by adapter once a
step, multiplies each group at once, and leaves tokens without adapter alone.

Results do not depend on what else is in the batch: groups are padded to 16 rows, below which the BLAS changes kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MIN_ROWS = 16
"""Rows from which a matrix product's row is the same whatever the number of rows (float32, MKL and oneDNN)."""


def install() -> None:
    """Puts the replacement into vLLM's wrapper class; for engines that are made afterwards in this process."""
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    if getattr(PunicaWrapperCPU, "_crucible", False):
        return
    update = PunicaWrapperCPU.update_metadata

    def update_metadata(self: Any, *args: Any, **kwargs: Any) -> None:
        update(self, *args, **kwargs)
        self._crucible_groups = token_groups(self.token_lora_indices)

    def add_lora_linear(
        self: Any,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: tuple[Tensor, ...],
        lora_b_stacked: tuple[Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_: Any,
    ) -> None:
        for slot, rows in self._crucible_groups:
            add_adapter(y, x, [a[slot, 0] for a in lora_a_stacked], [b[slot, 0] for b in lora_b_stacked], scale, rows)

    PunicaWrapperCPU.update_metadata = update_metadata
    PunicaWrapperCPU.add_lora_linear = add_lora_linear
    PunicaWrapperCPU._crucible = True  # pyright: ignore[reportAttributeAccessIssue] - our own mark


def token_groups(indices_N: Tensor) -> list[tuple[int, Tensor | None]]:
    """(adapter's slot, its rows) for every adapter of a step; rows None where all tokens are its own."""
    slots = torch.unique(indices_N).tolist()
    if len(slots) == 1:
        return [(slots[0], None)] if slots[0] >= 0 else []
    return [(slot, torch.nonzero(indices_N == slot).flatten()) for slot in slots if slot >= 0]


def add_adapter(
    y_N_O: Tensor, x_N_I: Tensor, a_R_I: list[Tensor], b_O_R: list[Tensor], scale: float, rows: Tensor | None
) -> None:
    """y += scale * x A^T B^T on `rows`, in place; the B of each slice writes its own stretch of y's columns."""
    x = x_N_I if rows is None else x_N_I.index_select(0, rows)
    count = x.shape[0]
    if count < MIN_ROWS:
        x = torch.cat([x, x.new_zeros(MIN_ROWS - count, x.shape[1])])
    down = torch.mm(x, (a_R_I[0] if len(a_R_I) == 1 else torch.cat(a_R_I)).T)
    column, rank = 0, 0
    for a, b in zip(a_R_I, b_O_R, strict=True):
        up = torch.mm(down[:, rank : rank + a.shape[0]], b.T)[:count]
        target = y_N_O[:, column : column + b.shape[0]]
        if rows is None:
            target.add_(up, alpha=scale)
        else:
            target.index_add_(0, rows, up, alpha=scale)
        column, rank = column + b.shape[0], rank + a.shape[0]
