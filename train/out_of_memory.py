"""What a training step does when its device has no memory left: once more with half the micro-batch, then an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A pass for which a device had no memory left."""

    rows: int
    """Of the worker's largest micro-batch."""
    tokens: int
    """Padded ones of that micro-batch."""
    reason: str

    @classmethod
    def of(cls, error: RuntimeError, parts: Sequence[MicroBatch]) -> Failure:
        """What `error` says of passes over `parts`. Raises it where it is another error, or of no pass."""
        if isinstance(error, StepOutOfMemory):
            return error.failure
        if not is_out_of_memory(error) or not parts:
            raise error
        largest = max(parts, key=lambda part: part.padded_tokens)
        return cls(len(largest.mask), largest.padded_tokens, str(error).strip().splitlines()[0])


class StepOutOfMemory(RuntimeError):
    """Raised on all workers where one of those that make their passes together had no memory left."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def with_one_retry(
    attempt: Callable[[Sequence[MicroBatch]], Result],
    split: Callable[[int], list[MicroBatch]],
    tokens: int,
    clear: Callable[[], bool],
    alone: bool = True,
) -> tuple[Result, int]:
    """`attempt` on the micro-batches that `split` makes of at most `tokens` padded tokens each; where memory does not
    suffice, once more on half as large ones. Returns its result and the tokens that sufficed.

    Micro-batches never change a step's result. `clear` drops what the attempt has computed, and says whether the step
    is still as if it had not begun. Raises OutOfMemory, in one line, where that is not so, where a micro-batch is a
    single row, and where half is too much as well. A worker that is not `alone` only tries again with all the others,
    after a StepOutOfMemory.
    """
    parts = split(tokens)
    try:
        return attempt(parts), tokens
    except RuntimeError as error:
        failure, agreed = Failure.of(error, parts), alone or isinstance(error, StepOutOfMemory)
    # Beyond the handler, whose traceback holds the tensors of the failed pass.
    if not clear() or not agreed or failure.rows == 1:
        raise OutOfMemory(_line(failure, tokens))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = failure.tokens // 2
    parts = split(half)
    try:
        return attempt(parts), half
    except RuntimeError as error:
        failure = Failure.of(error, parts)
    raise OutOfMemory(_line(failure, half))


def _line(failure: Failure, tokens: int) -> str:
    return (
        f"no memory left for a micro-batch of {failure.rows} row{'s' * (failure.rows > 1)} and {failure.tokens} tokens "
        f"({failure.reason}): set train.micro_batch_tokens below {tokens}, train.gradient_checkpointing, a lower "
        "rollout.engine.gpu_memory_share where an engine has the same GPU, or shorter rollout.sampling.max_tokens; "
        "crucible plan shows what each part takes"
    )
