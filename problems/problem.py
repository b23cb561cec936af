"""The records that all packages share, one definition each.

All are frozen. `Problem` and `Verdict` convert to and from plain rows (`to_row`, `from_row`) of types that
Arrow holds natively; argument and expected values, which may be any nesting of Python data, travel as tagged
JSON (`encode_value`, `decode_value`), never as pickle, because sandbox-side code reads the same encoding.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from problems import json_text

Split = Literal["train", "val", "test"]
Kind = Literal["function", "stdin", "assert", "answer"]
GroupFilter = Literal["outcome", "reward", "off"]


class Status(StrEnum):
    """How the judging of one sample ended."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_FLOOD = "output_flood"
    UNPARSED = "unparsed"
    TRUNCATED = "truncated"
    FORBIDDEN = "forbidden"
    INFRASTRUCTURE = "infrastructure"
    """The infrastructure failed, not the sample: retried, then excluded and counted, never scored."""


@dataclass(frozen=True, slots=True)
class Test:
    """One input and its correct answer; their meaning depends on the problem's `kind`.

    function: `args` are positional arguments, `expected` the return value. stdin: `args` is (standard input
    text,), `expected` the standard output text. assert: `args` is (source of assert statements,), `expected`
    None. answer: `args` is (), `expected` the gold answer as text.
    """

    __test__ = False

    args: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """A question whose answer can be checked."""

    id: str
    family: str
    family_version: int
    difficulty: int
    """1 (easy) to 10."""
    split: Split
    statement: str
    """The question in prose, without examples and signature: the prompt builder adds those."""
    entry_point: str
    """Name of the function to write ("" if `kind` is not function)."""
    signature: str
    """For example `def change(coins: list[int], amount: int) -> int:` ("" if `kind` is not function)."""
    public_examples: tuple[Test, ...]
    """May be shown; never scored."""
    hidden_tests: tuple[Test, ...]
    """Scored; never shown."""
    checker: str = "exact"
    """Name of a checker in `verify.checkers`, with its parameter after a colon: `float:1e-6`."""
    kind: Kind = "function"
    variant: str = ""
    """Which of its family's questions this is."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The sampled parameters: family, version, variant and params are enough to write its solutions again."""
    preamble: str = ""
    """Imports and helpers that the statement shows, for kind assert: they run before the solution and the tests."""

    @property
    def question_hash(self) -> str:
        """Identity of the question, whatever its wording and its tests. Splits are disjoint on it."""
        return _sha(self.family, self.family_version, self.variant, encode_value(dict(self.params)), self.kind)

    @property
    def content_hash(self) -> str:
        """Identity of the whole content: question, wording and tests."""
        tests = [encode_value([list(t.args), t.expected]) for t in (*self.public_examples, *self.hidden_tests)]
        shown = [self.preamble] if self.preamble else []
        return _sha(self.question_hash, self.statement, self.signature, self.checker, *tests, *shown)

    def to_row(self) -> dict[str, Any]:
        """A flat row of strings and integers for Arrow, Parquet and JSONL. The column `mode` holds `variant`."""
        row = {column_of(f.name): getattr(self, f.name) for f in fields(self)}
        row["params"] = encode_value(dict(self.params))
        for name in ("public_examples", "hidden_tests"):
            row[name] = encode_value([[list(t.args), t.expected] for t in row[name]])
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Problem:
        """The inverse of `to_row`; `preamble` may be missing. Raises KeyError for another missing column, ValueError
        for a malformed cell."""
        values = {f.name: row[column_of(f.name)] for f in fields(cls) if f.name != "preamble"}
        values["preamble"] = row.get("preamble") or ""
        values["params"] = decode_value(values["params"])
        for name in ("public_examples", "hidden_tests"):
            values[name] = tuple(Test(tuple(args), expected) for args, expected in decode_value(values[name]))
        return cls(**values)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One completion of one prompt, with the sampler's own record of it."""

    problem_id: str
    group_id: str
    index: int
    """0 .. G-1 within the group."""
    prompt_ids: np.ndarray
    """int32 [prompt length]."""
    completion_ids: np.ndarray
    """int32 [completion length], the end token included where the model produced one."""
    logprobs: np.ndarray
    """float32 [completion length]: the sampler's own log-probabilities, after temperature."""
    text: str
    """The completion without special tokens, nor what it wrote behind its answer."""
    finish_reason: str
    """`stop`, `length` (truncated) or `abort`."""
    policy_version: int
    adapter_hash: str
    """Hash of the bytes of the adapter that sampled it; "" for the base model."""
    engine: str = ""
    averaged: bool = False
    """Sampled from the moving average of the policy, not from the policy itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking one sample. Rewards are pure functions of it."""

    status: Status
    tests_passed: int = 0
    tests_run: int = 0
    tests_total: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    memory_mib: float = 0.0
    isolation: int = -1
    """Isolation level of the sandbox that ran it (see verify/sandbox); -1 if nothing was run."""
    detail: str = ""
    """One line for people: the exception, the first failing test, the refused call."""

    @property
    def passed(self) -> bool:
        """True if every hidden test passed."""
        return self.status is Status.PASSED

    def to_row(self) -> dict[str, Any]:
        """A flat row for Arrow and Parquet."""
        return {**asdict(self), "status": str(self.status)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Verdict:
        """The inverse of `to_row`."""
        return cls(**{**row, "status": Status(row["status"])})


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The G samples of one problem with their verdicts and rewards: the unit that the learner consumes."""

    index: int
    """Position in the run's problem stream; with `attempt` the key of its lease."""
    attempt: int
    problem: Problem
    samples: tuple[Sample, ...]
    verdicts: tuple[Verdict, ...] = ()
    rewards: tuple[float | None, ...] = ()
    """None for a sample that must not be scored, because the infrastructure failed."""
    prompt: str = ""
    """The prompt as the model saw it, for people; training uses the samples' `prompt_ids`."""


def informative(group: Group, group_filter: GroupFilter) -> bool:
    """Whether a group has anything to learn from under the filter; the learner and the refill of its batch both ask.

    outcome: at least one scored sample passes and at least one does not; differences of partial credit
    inside an all-fail group do not count. reward: at least two scored samples have different rewards. off:
    at least two samples are scored. Raises ValueError for a group without rewards, or without verdicts
    if the filter is outcome.
    """
    if len(group.rewards) != len(group.samples):
        raise ValueError(
            f"group {group.index} of problem {group.problem.id} has {len(group.rewards)} rewards for "
            f"{len(group.samples)} samples: reward it before training on it"
        )
    scored = [i for i, reward in enumerate(group.rewards) if reward is not None]
    if group_filter == "off":
        return len(scored) > 1
    if group_filter == "reward":
        return len({group.rewards[i] for i in scored}) > 1
    if len(group.verdicts) != len(group.samples):
        raise ValueError(
            f"group {group.index} of problem {group.problem.id} has {len(group.verdicts)} verdicts for "
            f"{len(group.samples)} samples: verify it, or use group_filter=reward"
        )
    return len({group.verdicts[i].passed for i in scored}) > 1


def encode_value(value: Any) -> str:
    """Tagged JSON of any nesting of None, bool, int, float, str, bytes, list, tuple, set, frozenset and dict.

    Canonical: equal values of equal types give equal text (sets and dicts are written in sorted order).
    Raises TypeError for any other type.
    """
    return _ENCODER.encode(_tag(value))


def decode_value(text: str) -> Any:
    """The inverse of `encode_value`. Raises ValueError for text that it did not write."""
    return _untag(json_text.loads(text))


_COLUMNS = {"variant": "mode"}
"""Columns of `Problem` rows that are not called as the field is: files keep the name that they have always had."""
_MAX_COLLISIONS = 1000
"""Keys of one set or dict that may have the same hash."""
_DECIMAL = 10**4000
"""Integers from here on are written in hexadecimal: Python limits decimal text to 4,300 digits."""
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _tag(value: Any) -> Any:
    if type(value) is str:
        return value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"i": str(value) if abs(value) < _DECIMAL else hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"f": repr(value)}
    if isinstance(value, list):
        return [_tag(v) for v in value]
    if isinstance(value, tuple):
        return {"t": [_tag(v) for v in value]}
    if isinstance(value, set | frozenset):
        tag = "s" if isinstance(value, set) else "z"
        return {tag: sorted((_tag(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))}
    if isinstance(value, dict):
        items = [[_tag(k), _tag(v)] for k, v in value.items()]
        if all(type(k) is str and k.isidentifier() and k.isascii() for k in value):
            return {"d": sorted(items, key=itemgetter(0))}  # the same order, but faster
        return {"d": sorted(items, key=lambda kv: json.dumps(kv[0], sort_keys=True))}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    raise TypeError(f"a value of type {type(value).__name__} cannot be part of a problem; use plain Python data")


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"not an encoded value: {str(value)[:80]}")
    ((tag, inner),) = value.items()
    match tag:
        case "t":
            return tuple(_untag(v) for v in inner)
        case "d":
            items = [(_untag(k), _untag(v)) for k, v in inner]
            return dict(zip(_hashable([k for k, _ in items]), (v for _, v in items), strict=True))
        case "s":
            return set(_hashable([_untag(v) for v in inner]))
        case "z":
            return frozenset(_hashable([_untag(v) for v in inner]))
        case "i":
            return int(inner, 16 if "x" in inner else 10)
        case "f":
            return float(inner)
        case "b":
            return bytes.fromhex(inner)
    raise ValueError(f"not an encoded value: unknown tag {tag!r}")


def _hashable(keys: list[Any]) -> list[Any]:
    """The keys of a set or dict. Raises ValueError if so many share a hash that building it takes quadratic time;
    strings cannot be made to collide, because Python salts their hashes."""
    if len(keys) > _MAX_COLLISIONS and not all(type(key) is str for key in keys):
        counts = Counter(map(hash, keys))
        if counts.most_common(1)[0][1] > _MAX_COLLISIONS:
            raise ValueError(f"not an encoded value: more than {_MAX_COLLISIONS} keys have the same hash")
    return keys


def column_of(field_name: str) -> str:
    """The column of `to_row` that holds a field of `Problem`."""
    return _COLUMNS.get(field_name, field_name)


def _sha(*parts: Any) -> str:
    return hashlib.sha256("\x1f".join(str(p) for p in parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
