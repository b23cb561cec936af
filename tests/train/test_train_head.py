"""Products in numbers that the processor has: the head and adapted layers in bfloat16 beside float32."""

import pytest
import torch
from torch import nn

from train import head as head_module
from train import lora, numbers
from train.head import Head, tile_shape
from train.lora import _FusedLora


@pytest.fixture(params=[False, True], ids=["no bfloat16 products", "bfloat16 products"])
def processor(request, monkeypatch):
    found = torch.bfloat16 if request.param else torch.float32
    for module in (head_module, lora):
        monkeypatch.setattr(
            module, "products_dtype", lambda weight: found if weight.dtype == torch.bfloat16 else weight.dtype
        )


def test_a_head_in_bfloat16_is_near_the_one_in_float32(processor):
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(16, 40).requires_grad_(False)
    hidden, targets = torch.randn(9, 16, generator=generator), torch.randint(0, 40, (9,), generator=generator)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        states = hidden.clone().to(dtype).requires_grad_()
        logprobs, entropies, _ = Head(linear.to(dtype), scale=0.5, cap=4.0).logprobs(states, targets, 0.8, True)
        (logprobs.sum() + entropies.sum()).backward()
        found.append((logprobs, entropies, states.grad.float()))
    for exact, near in zip(*found, strict=True):
        assert exact.dtype == near.dtype == torch.float32
        assert (near - exact).norm() < 0.03 * exact.norm()


def test_an_adapted_layer_keeps_bfloat16(processor):
    x = torch.randn(5, 16, dtype=torch.bfloat16, requires_grad=True)
    weight, a, b = (
        torch.randn(8, 16).bfloat16(),
        torch.randn(2, 16, requires_grad=True),
        torch.randn(8, 2, requires_grad=True),
    )
    out = _FusedLora.apply(x, weight, None, a, b, 2.0)
    out.sum().backward()
    wanted = x.float() @ (weight.float() + 2 * b @ a).t()
    assert out.dtype == x.grad.dtype == torch.bfloat16 and a.grad.dtype == torch.float32
    assert (out - wanted).norm() < 0.02 * wanted.norm()


def test_numbers_follow_the_processor(monkeypatch):
    weight = torch.zeros(1, dtype=torch.bfloat16)
    for capable, found in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(numbers, "multiplies_bfloat16", lambda capable=capable: capable)
        assert numbers.products_dtype(weight) == found and numbers.products_dtype(weight.float()) == torch.float32


@pytest.mark.parametrize("vocabulary", [7, 1536, 32_000, 262_144])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tiles_are_within_their_bytes_and_never_thin(vocabulary, device):
    for rows in (1, 50, 5000):
        height, width = tile_shape(rows, vocabulary, device)
        assert height * width * 4 <= max(head_module.HEAD_BYTES[device], 4 * vocabulary)
        assert height >= min(rows, head_module.TILE_ROWS[device] // 2) and 1 <= width <= vocabulary
