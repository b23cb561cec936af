"""Proof of a load: the tensors that an engine computes from are those that were published, bit for bit.

A checksum is a sum over a tensor's rows, each mixed with its own contents: it can be taken where the tensor lies, and
rows that are split over devices add up to the whole. Padding is zero and adds nothing: it counts if it is not.
Shapes: R rank, I inputs, O outputs, N rows of R numbers (A is read by columns, B by rows).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.adapter import TENSOR, layer_scale
from rollout.policy import AdapterForm, Publication

_ODD = (-0x61C8864680B583EB, -0x4B47D0C5A1A6E4E5, 0x2545F4914F6CDD1D)
"""Multipliers of integer hashing, as signed 64-bit numbers."""


class LoadMismatch(RuntimeError):
    """An engine holds other tensors than those that were published."""


def tensor_checksum(rows_N_R: Any, placed: bool = True) -> int:
    """64-bit checksum of the bits of a two-dimensional tensor of 16- or 32-bit numbers; that of zeros is 0.

    `placed` lets rows count with their position; without it, sums of parts of the rows add up (modulo 2^64).
    """
    return tensor_checksums([rows_N_R], placed)[0]


def tensor_checksums(tensors: Sequence[Any], placed: bool = True) -> list[int]:
    """`tensor_checksum` of several tensors of one device, which is waited for once."""
    import torch

    return torch.stack([_checksum(rows_N_R, placed) for rows_N_R in tensors]).tolist() if tensors else []


def _checksum(rows_N_R: Any, placed: bool) -> Any:
    import torch

    whole = {2: torch.int16, 4: torch.int32}[rows_N_R.element_size()]
    bits_N_R = rows_N_R.contiguous().view(whole).to(torch.int64)
    mixed_N = _mix((bits_N_R * _weights(bits_N_R.shape[1], bits_N_R.device)).sum(dim=1))
    if placed:
        mixed_N = mixed_N * _weights(len(mixed_N), bits_N_R.device)
    return mixed_N.sum()


def adapter_checksums(tensors: Mapping[str, Any], lora_config: Mapping[str, Any], form: AdapterForm) -> dict[str, int]:
    """What an engine must hold of an adapter, by the names of its file; taken on the device where the tensors are.

    vLLM casts both matrices and multiplies the layer's scale into B.
    """
    import torch

    rows = {}
    for name, tensor in tensors.items():
        if (parts := TENSOR.fullmatch(name)) is None:
            continue
        cast = tensor.detach().to(getattr(torch, form.dtype))
        scale = layer_scale(lora_config, parts[1])
        rows[name] = cast.T if parts[2] == "A" else cast if scale == 1 else cast * scale
    return dict(zip(rows, tensor_checksums(list(rows.values()), form.placed), strict=True))


def expected_checksums(publication: Publication, form: AdapterForm) -> Mapping[str, int]:
    """What an engine of that form must hold, by the learner; where it did not know of the form, by what has arrived.

    Raises LoadMismatch where that is not what the learner had.
    """
    from safetensors.torch import load

    policy = publication.policy
    if form in publication.proofs:
        return publication.proofs[form]
    tensors = load(policy.weights)
    if publication.proofs:
        own = AdapterForm(_dtype_of(tensors))
        if adapter_checksums(tensors, policy.lora_config, own) != publication.proofs.get(own):
            raise LoadMismatch("the tensors that reached it are others than the learner's")
    return adapter_checksums(tensors, policy.lora_config, form)


def _dtype_of(tensors: Mapping[str, Any]) -> str:
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    return dtypes.pop() if len(dtypes) == 1 else "float32"


def check_load(expected: Mapping[str, int], reports: Sequence[Mapping[str, Any]]) -> int:
    """Compares with what each worker of an engine reports. Returns how many tensors are proven. Raises LoadMismatch."""
    others = sorted({layer for report in reports for layer in report["others"]})
    if others:
        raise LoadMismatch(f"it holds weights for {others[0]}, of which nothing was published")
    wrong, proven = [], 0
    for name, whole in expected.items():
        sums = [report["held"][name] for report in reports if name in report["held"]]
        if len(sums) < len(reports):
            continue
        proven += 1
        # Workers hold it whole, or parts of it, or (few key and value heads) parts each of which several hold.
        total, copies = sum(sums), [n for n in range(1, len(sums) + 1) if len(sums) % n == 0]
        if not any((total - n * whole) % 2**64 == 0 for n in copies):
            wrong.append(name)
    if wrong:
        raise LoadMismatch(f"{len(wrong)} of its {proven} tensors are others than were published, the first {wrong[0]}")
    return proven


@functools.lru_cache(maxsize=64)
def _weights(count: int, device: Any) -> Any:
    """Odd multipliers, one a position."""
    import torch

    return _mix(torch.arange(1, count + 1, dtype=torch.int64, device=device) * _ODD[0]) | 1


def _mix(values: Any) -> Any:
    """Spreads every bit over all (0 stays 0). Shifts of signed numbers are arithmetic: alike on all devices."""
    values = (values ^ (values >> 30)) * _ODD[1]
    values = (values ^ (values >> 27)) * _ODD[2]
    return values ^ (values >> 31)
