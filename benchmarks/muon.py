"""Muon on this CPU: torch's, whose products are in bfloat16, and ours in float32, turn about on one model's matrices.

    python -m benchmarks.muon [--rounds N]

Prints CPU-seconds an update, the best of the rounds, and their ratio.
"""

from __future__ import annotations

import argparse
import time

import torch

from train.muon import Muon
from train.pretrain import ArchitectureConfig, build_model


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = build_model(ArchitectureConfig(), vocabulary=1024, eos_id=0, pad_id=1, seed=0)
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    optimisers = {"torch.optim.Muon": torch.optim.Muon(matrices), "train.muon.Muon": Muon(matrices)}
    best = dict.fromkeys(optimisers, float("inf"))
    for _ in range(rounds):
        for parameter in matrices:
            parameter.grad = torch.randn_like(parameter)
        for name, optimiser in optimisers.items():
            began = time.process_time()
            optimiser.step()
            best[name] = min(best[name], time.process_time() - began)
    for name, seconds in best.items():
        print(f"{name:<18} {seconds:.4f} CPU-s an update of {len(matrices)} matrices")
    theirs, ours = best.values()
    print(f"ratio              {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
