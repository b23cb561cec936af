"""Prepares problems for judging: tests are encoded once for all samples of a problem."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from problems.problem import Problem
from verify.checkers import Checker, checker_for
from verify.config import VerifyConfig
from verify.sandbox import codec, protocol

_KEPT = 128
"""Prepared problems that are kept: a batch has few problems with many samples each."""


class BadProblem(ValueError):
    """The problem itself cannot be judged, whatever the answer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The encoded tests of a problem, shared by all of its samples."""

    problem: Problem
    checker: Checker
    requests: tuple[bytes, ...]
    """The calls to make, for problems of kind `function`."""
    expected: tuple[str, ...]
    """Encodings of the expected values. They never leave the trusted side."""
    right: list[bytes]
    """The lines of a program whose answers match the expected encodings exactly."""
    output_bytes: int
    """Most bytes that a program may send back."""
    identity: str
    """Everything about the problem that a verdict depends on."""

    @property
    def total(self) -> int:
        """Number of tests."""
        return len(self.expected)


_prepared: OrderedDict[tuple, Prepared] = OrderedDict()


def prepare(problem: Problem, config: VerifyConfig) -> Prepared:
    """Encodes a problem's tests. Raises BadProblem, which names the fault."""
    key = (id(problem), config.max_tests, config.output_kib)
    known = _prepared.get(key)
    if known is not None and known.problem is problem:
        return known
    prepared = _encode(problem, config)
    _prepared[key] = prepared
    if len(_prepared) > _KEPT:
        _prepared.popitem(last=False)
    return prepared


def _encode(problem: Problem, config: VerifyConfig) -> Prepared:
    tests = problem.hidden_tests
    if not tests:
        raise BadProblem(f"problem {problem.id} has no hidden tests to judge an answer by; add some")
    if len(tests) > config.max_tests:
        raise BadProblem(f"problem {problem.id} has {len(tests)} tests; max_tests is {config.max_tests}")
    try:
        checker = checker_for(problem.checker, problem.kind)
    except (ValueError, KeyError) as error:
        raise BadProblem(f"problem {problem.id}: {error}") from error
    requests: tuple[bytes, ...] = ()
    if problem.kind == "function":
        requests = tuple([_request(problem, i) for i in range(len(tests))])
        expected = tuple([_expected(problem, i) for i in range(len(tests))])
    else:
        expected = tuple([_printed(problem, i) for i in range(len(tests))])
    if problem.kind in ("stdin", "assert") and not all(t.args and isinstance(t.args[0], str) for t in tests):
        raise BadProblem(f"problem {problem.id} of kind {problem.kind} has a test whose first argument is not a string")
    try:
        identity = f"{problem.content_hash} {problem.kind} {problem.entry_point}"
    except (TypeError, ValueError, RecursionError) as error:
        raise BadProblem(f"problem {problem.id} holds a value that cannot be encoded: {error}") from None
    right = [protocol.VALUE + e.encode("utf-8", "replace") for e in expected]
    size = config.output_kib * 1024 + sum(map(len, right)) + protocol.SLACK_PER_ANSWER * len(tests)
    return Prepared(problem, checker, requests, expected, right, size, identity)


def _request(problem: Problem, index: int) -> bytes:
    try:
        return protocol.request(problem.hidden_tests[index].args)
    except protocol.Unencodable as error:
        raise BadProblem(f"problem {problem.id}: an argument of test {index + 1} cannot be sent: {error}") from None


def _expected(problem: Problem, index: int) -> str:
    try:
        return codec.encode(problem.hidden_tests[index].expected)
    except (TypeError, ValueError, RecursionError) as error:
        what = f"the expected value of test {index + 1} is not plain data: {error}"
        raise BadProblem(f"problem {problem.id}: {what}") from None


def _printed(problem: Problem, index: int) -> str:
    try:
        return str(problem.hidden_tests[index].expected)
    except ValueError as error:  # an int with more digits than Python converts to text
        raise BadProblem(f"problem {problem.id}: the expected value of test {index + 1}: {error}") from None
