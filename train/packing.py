"""Rows of unlike lengths in one sequence without padding, each prompt once where rows share it.

A packed sequence is a line of spans. A span's tokens see each other causally, and before them the tokens of its
prefix, which is another span: the prompt that several completions continue. Nothing else sees anything else. Positions
count from the start of the row, so that every span is computed as in a row of its own.

Shapes: B rows, T completion positions, N completion tokens without padding, S tokens of the packed sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from train.batch import Row

ALIKE = 2 / 3
"""Spans of one block are at least this share of its longest: attention alone is padded, to blocks."""


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring spans with one prefix and of like lengths, whose attention is computed together."""

    start: int
    """Of the first span, in the packed sequence."""
    lengths: tuple[int, ...]
    """Tokens of each span, longest first."""
    prefix: int
    """Block that holds the prefix alone; -1 for none."""

    @property
    def tokens(self) -> int:
        """Tokens of all spans."""
        return sum(self.lengths)


@dataclass(frozen=True)
class Packing:
    """One packed sequence: what the model reads, and who sees whom."""

    tokens: Tensor
    """int64 [1, S]"""
    positions: Tensor
    """int64 [1, S]"""
    predicts: Tensor
    """int64 [N]: where the state is that predicts each completion token, row by row."""
    blocks: tuple[Block, ...]
    masks: dict[tuple[int, int, int, torch.dtype], Tensor] = field(default_factory=dict, repr=False)
    """Masks of blocks, which all layers share."""

    @classmethod
    def of(cls, rows: Sequence[Row], share_prompts: bool, device: torch.device | str = "cpu") -> Packing:
        """Packs `rows`; with `share_prompts` the tokens of a prompt before its last are there once for all its rows.

        The last token of a prompt is in each row, since it predicts the row's first completion token; the last token of
        a completion predicts nothing that counts and is left out.
        """
        groups: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(row.prompt if share_prompts else index, []).append(index)
        tokens, positions, blocks, place = [], [], [], np.zeros(len(rows), np.int64)
        at = 0
        for members in groups.values():
            prompt = np.asarray(rows[members[0]].prompt_ids, np.int64)
            shared = len(members) > 1 and len(prompt) > 1
            before, prefix = len(prompt) - 1 if shared else 0, -1
            if shared:
                prefix = len(blocks)
                blocks.append(Block(at, (before,), -1))
                tokens.append(prompt[:-1])
                positions.append(np.arange(before))
                at += before
            members = sorted(members, key=lambda index: -len(rows[index].completion_ids))
            lengths = []
            for index in members:
                row = np.concatenate([prompt[before:], np.asarray(rows[index].completion_ids[:-1], np.int64)])
                place[index] = at + sum(lengths) + len(prompt) - 1 - before
                tokens.append(row)
                positions.append(before + np.arange(len(row)))
                lengths.append(len(row))
            for part in _alike(lengths):
                blocks.append(Block(at, part, prefix))
                at += sum(part)
        counts = [len(row.completion_ids) for row in rows]
        predicts = np.concatenate([start + np.arange(count) for start, count in zip(place, counts, strict=True)])
        found = (torch.from_numpy(np.concatenate(values).astype(np.int64)) for values in (tokens, positions))
        sequence, steps = (values[None].to(device, non_blocking=True) for values in found)
        return cls(sequence, steps, torch.from_numpy(predicts).to(device, non_blocking=True), tuple(blocks))

    @cached_property
    def spans(self) -> tuple[Tensor, Tensor, Tensor, int, int]:
        """The same as variable-length attention wants it: (ends of the spans' queries, int32 [spans + 1], and of what
        they see, likewise; place of each token that is seen, int64 [seen]; most queries, and most seen, of a span)."""
        queries, keys, seen = [0], [0], []
        for block in self.blocks:
            before = self.blocks[block.prefix] if block.prefix >= 0 else None
            at = block.start
            for length in block.lengths:
                pieces = [np.arange(at, at + length)]
                if before is not None:
                    pieces.insert(0, np.arange(before.start, before.start + before.tokens))
                seen += pieces
                queries.append(queries[-1] + length)
                keys.append(keys[-1] + sum(map(len, pieces)))
                at += length
        device = self.tokens.device
        query_ends, key_ends = (torch.tensor(v, dtype=torch.int32, device=device) for v in (queries, keys))
        most_queries, most_keys = (int(np.diff(values).max()) for values in (queries, keys))
        return query_ends, key_ends, torch.from_numpy(np.concatenate(seen)).to(device), most_queries, most_keys


def _alike(lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Cuts lengths, longest first, where they fall below `ALIKE` of the longest since the last cut."""
    parts: list[list[int]] = []
    for length in lengths:
        if not parts or length < ALIKE * parts[-1][0]:
            parts.append([])
        parts[-1].append(length)
    return [tuple(part) for part in parts]
