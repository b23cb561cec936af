"""Which numbers matrix products are computed in."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX, or their like on Arm).

    Without, torch takes up to a hundred times as long for them as for float32.
    """
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def products_dtype(weight: Tensor) -> torch.dtype:
    """The dtype that products with `weight` are computed in: its own, or float32 where the processor has no such
    products."""
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and not multiplies_bfloat16():
        return torch.float32
    return weight.dtype
