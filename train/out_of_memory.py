"""What a training step does when its device has no memory left: once more with half the micro-batch, then an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from train.batch import MicroBatch

Result = TypeVar("Result")
_OF_CPU = ("can't allocate memory", "not enough memory")


class OutOfMemory(RuntimeError):
    """A step that does not fit into its device; the message says what would."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on whatever device, found no memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_CPU)


def with_one_retry(
    attempt: Callable[[Sequence[MicroBatch]], Result],
    split: Callable[[int], list[MicroBatch]],
    tokens: int,
    clear: Callable[[], bool],
) -> tuple[Result, int]:
    """`attempt` on the micro-batches that `split` makes of at most `tokens` padded tokens each; where memory does not
    suffice, once more on half as large ones. Returns its result and the tokens that sufficed.

    Micro-batches never change a step's result. `clear` drops what the attempt has computed, and says whether the step
    is still as if it had not begun. Raises OutOfMemory, in one line, where that is not so, where a micro-batch is a
    single row, and where half is too much as well.
    """
    parts = split(tokens)
    try:
        return attempt(parts), tokens
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0]
    # Beyond the handler, whose traceback holds the tensors of the failed pass.
    largest = max(parts, key=lambda part: part.padded_tokens)
    if not clear() or len(largest.mask) == 1:
        raise OutOfMemory(_line(largest, tokens, reason))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = largest.padded_tokens // 2
    parts = split(half)
    try:
        return attempt(parts), half
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0]
    raise OutOfMemory(_line(max(parts, key=lambda part: part.padded_tokens), half, reason))


def _line(largest: MicroBatch, tokens: int, reason: str) -> str:
    rows = len(largest.mask)
    return (
        f"no memory left for a micro-batch of {rows} row{'s' * (rows > 1)} and {largest.padded_tokens} tokens "
        f"({reason}): set train.micro_batch_tokens below {tokens}, train.gradient_checkpointing, a lower "
        "rollout.engine.gpu_memory_share where an engine has the same GPU, or shorter rollout.sampling.max_tokens; "
        "crucible plan shows what each part takes"
    )
