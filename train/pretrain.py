"""Pretraining of a tiny model from nothing: completions given prompts, on the CPU, in minutes.

The rows are token ids; where they come from is not known here. The loss is over completions alone (their end
token included), so the model learns to answer and not to ask.

Shapes: B rows of a batch, T padded positions, N completion positions of a batch, V vocabulary, H hidden.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from train.induction import lay_induction
from train.muon import Muon

BUCKETS = 16
"""Batches whose rows are sorted by length together; more of them pad less, and mix unlike rows less."""


class ArchitectureConfig(BaseModel):
    """A small Qwen2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = 128
    """Width of the residual stream; a multiple of `heads`."""
    layers: int = 4
    """Transformer blocks."""
    intermediate: int = 384
    """Width of the MLPs."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 2
    """Key and value heads; divides `heads`."""
    max_positions: int = 1024
    """Longest prompt and completion together, in tokens."""


class PretrainConfig(BaseModel):
    """How a tiny model is pretrained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=780, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(default=32, ge=1)
    """Rows a step."""
    matrix_lr: float = Field(default=0.02, gt=0)
    """Peak learning rate of Muon, for the matrices of the blocks."""
    lr: float = Field(default=3e-3, gt=0)
    """Peak learning rate of AdamW, for embeddings, norms and biases."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which both rates rise; a cosine takes them to a tenth after it."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of matrices and embeddings."""
    primer: float = Field(default=0.28, ge=0, lt=1)
    """Share of the steps that has the primer's rows, where there are any: skills that the others build on. Where
    there are more than it has room for, each of those drawn comes once."""
    seed: int = 0
    """Seed of the initial weights and of the order of rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One answer to one prompt."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    """With the end token."""
    weights: Sequence[float] | None = None
    """Weight of each completion token in the loss; None: all alike."""

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimiser step did."""

    number: int
    """From 1."""
    loss: float
    """Mean over the batch's completion tokens, in nats."""
    tokens: int
    """Prompt and completion tokens, without padding."""
    lr_scale: float


def build_model(
    architecture: ArchitectureConfig, *, vocabulary: int, eos_id: int, pad_id: int, seed: int
) -> Qwen2ForCausalLM:
    """A float32 Qwen2 with tied embeddings and fresh weights, which can already look tokens up.

    Raises ValueError for widths that do not divide.
    """
    a = architecture
    if a.hidden % a.heads or a.heads % a.kv_heads:
        raise ValueError(f"hidden {a.hidden}, heads {a.heads}, kv_heads {a.kv_heads}: each must divide the one before")
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=a.hidden,
        num_hidden_layers=a.layers,
        intermediate_size=a.intermediate,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        max_position_embeddings=a.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        lay_induction(model)
    return model


def pretrain(
    model: Qwen2ForCausalLM,
    rows: Sequence[Row],
    config: PretrainConfig,
    on_step: Callable[[Step], None] = lambda step: None,
    primer: Sequence[Row] = (),
) -> list[Step]:
    """Trains `model` in place and returns what each step did. The first steps are of `primer`, filled up with `rows`.

    Matrices of the blocks go to Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural
    networks"), the rest to AdamW. Raises ValueError for no rows, and for rows longer than the model's
    positions.
    """
    if not rows:
        raise ValueError("there is nothing to pretrain on; ask for more problems")
    longest, positions = max(map(len, (*rows, *primer))), model.config.max_position_embeddings
    if longest > positions:
        raise ValueError(f"a row has {longest} tokens and the model {positions} positions; raise max_positions")
    optimisers = _optimisers(model, config)
    model.train()
    done: list[Step] = []
    for number, chosen in enumerate(_chosen(rows, primer, config), 1):
        scale = lr_scale(number - 1, config)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak_lr"] * scale
        loss = completion_loss(model, chosen)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=False)
        done.append(Step(number, float(loss.detach()), sum(map(len, chosen)), scale))
        on_step(done[-1])
    model.eval()
    return done


def completion_loss(model: Qwen2ForCausalLM, rows: Sequence[Row]) -> torch.Tensor:
    """Weighted mean negative log-likelihood of all completion tokens of the rows, a scalar in nats.

    Only the N positions that predict a completion token reach the vocabulary: logits are [N, V], not [B, T,
    V].
    """
    width = max(map(len, rows))
    ids_B_T = torch.zeros(len(rows), width, dtype=torch.long)
    wanted_B_T = torch.full((len(rows), width), -1, dtype=torch.long)
    weights_B_T = torch.ones(len(rows), width)
    for b, row in enumerate(rows):
        start, end = len(row.prompt_ids), len(row)
        ids_B_T[b, :end] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        wanted_B_T[b, start - 1 : end - 1] = torch.tensor(row.completion_ids)
        if row.weights is not None:
            weights_B_T[b, start - 1 : end - 1] = torch.tensor(row.weights)
    # Padding is on the right, so causal attention alone keeps it out of every position that counts.
    hidden_B_T_H = model.model(input_ids=ids_B_T, use_cache=False).last_hidden_state
    predicts_B_T = wanted_B_T >= 0
    logits_N_V = model.lm_head(hidden_B_T_H[predicts_B_T])
    losses_N = F.cross_entropy(logits_N_V, wanted_B_T[predicts_B_T], reduction="none")
    weights_N = weights_B_T[predicts_B_T]
    return (losses_N * weights_N).sum() / weights_N.sum()


def _chosen(rows: Sequence[Row], primer: Sequence[Row], config: PretrainConfig) -> Iterator[list[Row]]:
    """The rows of each step."""
    steps = round(config.primer * config.steps) if primer else 0
    room = max(0, steps * config.batch_size - len(primer))
    filled = np.random.default_rng([config.seed, 1]).permutation(len(rows))[:room]
    for stage, count in (([*primer, *(rows[i] for i in filled)], steps), (rows, config.steps - steps)):
        if count:
            part = config.model_copy(update={"steps": count})
            yield from ([stage[i] for i in batch] for batch in batches([len(row) for row in stage], part))


def batches(lengths: Sequence[int], config: PretrainConfig) -> Iterator[np.ndarray]:
    """Row numbers [B] of each step's batch: rows of like length together, every row once before any comes
    again."""
    rng = np.random.default_rng(config.seed)
    lengths_N = np.asarray(lengths)
    size = min(config.batch_size, len(lengths_N))
    left = config.steps
    while True:
        order = rng.permutation(len(lengths_N))
        for start in range(0, len(order), size * BUCKETS):
            pool = order[start : start + size * BUCKETS]
            pool = pool[np.argsort(lengths_N[pool], kind="stable")]
            bucketed = [pool[i : i + size] for i in range(0, len(pool), size)]
            for i in rng.permutation(len(bucketed)):
                yield bucketed[i]
                left -= 1
                if not left:
                    return


def lr_scale(step: int, config: PretrainConfig) -> float:
    """Share of the peak learning rate at a step, counted from 0: a linear rise, then a cosine down to a
    tenth."""
    warmup = round(config.warmup * config.steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))


def prepare_cpu(threads: int | None = None) -> int:
    """Settles this process for training on the CPU, and returns the threads it will use (None: all it may run
    on).

    Freed blocks are kept by the allocator instead of going back to the kernel: a step frees and takes again
    the same megabytes, and the page faults of taking them would be a good part of its time.
    """
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc has it, musl and macOS do not
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**30)
    return threads


def _optimisers(model: Qwen2ForCausalLM, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    ids = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in ids]
    decayed, plain = [p for p in rest if p.ndim == 2], [p for p in rest if p.ndim < 2]
    muon = Muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay)
    adamw = torch.optim.AdamW(
        [{"params": decayed}, {"params": plain, "weight_decay": 0.0}],
        lr=config.lr,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
    )
    for optimiser, peak in ((muon, config.matrix_lr), (adamw, config.lr)):
        for group in optimiser.param_groups:
            group["peak_lr"] = peak
    return [muon, adamw]
