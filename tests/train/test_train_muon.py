"""Muon in float32 on the CPU: torch's, but for bfloat16's rounding."""

import pytest
import torch

from train.muon import Muon, orthogonal

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.mark.parametrize("shape", [(16, 16), (8, 64), (96, 24), (1, 32), (32, 1)])
def test_it_walks_where_torchs_own_walks(shape):
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimisers = [kind([p], lr=0.02, weight_decay=0.1) for kind, p in ((Muon, ours), (torch.optim.Muon, theirs))]
    for _ in range(5):
        gradient = torch.randn(shape)
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    moved = (theirs.detach() - start).norm()
    assert (ours.detach() - theirs.detach()).norm() < 0.02 * moved
    states = [optimiser.state_dict()["state"][0]["momentum_buffer"] for optimiser in optimisers]
    assert torch.equal(*states), "a state that either wrote, the other reads"


@pytest.mark.parametrize("shape", [(32, 32), (8, 64), (64, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix, COEFFICIENTS, 5, 1e-7)
    turned = u.T @ found @ v.T
    large = values > 0.05 * values.max()
    assert ((turned.diagonal()[large] > 0.6) & (turned.diagonal()[large] < 1.3)).all()
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-6


def test_a_matrix_of_zeros_moves_nothing():
    assert torch.equal(orthogonal(torch.zeros(4, 3), COEFFICIENTS, 5, 1e-7), torch.zeros(4, 3))
