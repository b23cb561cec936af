"""Random numbers that are the same on any machine and Python version.

The seed is derived from a key by BLAKE2b, and everything is built on `Random.random()` only, whose sequence Python
documents as stable for an integer seed. Nothing here depends on `hash()`, set order or the platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

T = TypeVar("T")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MARKS = "-_+*/:;.,|~^=#@!"
LABELS = ("yes", "no", "good", "bad", "true", "false", "ok", "fail", "can", "cannot", "P", "N", "Y", "X", "in", "out")
"""Words that a problem may use instead of True and False."""


class Rng:
    """A random number generator for one key."""

    __slots__ = ("random",)

    def __init__(self, *key: int | str) -> None:
        digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
        self.random = Random(int.from_bytes(digest, "big")).random

    def int(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def ints(self, count: int, low: int, high: int) -> list[int]:
        """`count` independent integers from `low` to `high`, both included."""
        random, width = self.random, high - low + 1
        return [low + int(random() * width) for _ in range(count)]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.random() * len(items))]

    def picks(self, items: Sequence[T], count: int) -> list[T]:
        """`count` of the items, independently."""
        random, size = self.random, len(items)
        return [items[int(random() * size)] for _ in range(count)]

    def text(self, alphabet: str, count: int) -> str:
        """A string of `count` characters of the alphabet."""
        random, size = self.random, len(alphabet)
        return "".join([alphabet[int(random() * size)] for _ in range(count)])

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in random order. Raises ValueError if there are fewer."""
        pool = list(items)
        if count > len(pool):
            raise ValueError(f"cannot sample {count} different items out of {len(pool)}")
        for i in range(count):
            j = i + int(self.random() * (len(pool) - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in random order."""
        return self.sample(items, len(items))

    def weighted(self, items: Sequence[T], cumulative: Sequence[float]) -> T:
        """One of the items, by cumulative weights that end in 1."""
        at = self.random()
        for item, edge in zip(items, cumulative):
            if at < edge:
                return item
        return items[-1]
