"""Which split a question belongs to.

A split is a property of the question (family, version, variant, parameters) and not of a seed: a question of the
test split occurs in no training stream of any seed, not even with another wording or other tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from problems.problem import Split, encode_value

SPLITS: tuple[Split, ...] = get_args(Split)

BUCKETS = 100
TRAIN_BUCKETS = 80
VAL_BUCKETS = 10


def split_of(question_hash: str) -> Split:
    """The split of a question, by the bucket of its hash: 80 % train, 10 % val, 10 % test."""
    bucket = int(question_hash[:12], 16) % BUCKETS
    if bucket < TRAIN_BUCKETS:
        return "train"
    return "val" if bucket < TRAIN_BUCKETS + VAL_BUCKETS else "test"


def question_hash(family: str, version: int, variant: str, params: Mapping[str, Any], kind: str) -> str:
    """`Problem.question_hash` of a problem that does not exist yet; a test compares the two."""
    key = f"{family}\x1f{version}\x1f{variant}\x1f{encode_value(dict(params))}\x1f{kind}"
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_split(name: str) -> Split:
    """The split of that name. Raises ValueError with the three names."""
    for split in SPLITS:
        if name == split:
            return split
    raise ValueError(f"no split is called {name!r}; use one of {', '.join(SPLITS)}")
