"""What the plain contracts have in common.

The program to write is the same in every problem of a contract, so a question is an instance of it: the number of a
draw, from which its inputs follow. Splits are made by instance. Two instances could still hold the same inputs, so
inputs are divided as well: an ordinary one belongs to a split, and no other split shows or asks it. Two things are in
all splits: the fixed cases, which are hidden in every problem and shown in none, and the inputs of contracts that have
too few of them to divide (`ordinary`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from textwrap import dedent
from typing import Any, ClassVar

from problems.family import (
    MAX_DIFFICULTY,
    MIN_DIFFICULTY,
    ORDINARY_TESTS,
    Args,
    Family,
    MutantBody,
    Params,
    Programs,
    Variant,
    plain_copy,
)
from problems.problem import Problem, Split
from problems.rng import Rng
from problems.splits import question_hash, split_of

PLAIN = "plain"
"""Name of the only variant of a contract."""
INSTANCES = 1_000_000
"""Draws of a contract."""
MAX_TRIES = 5000
"""Inputs to draw until one belongs to the wanted split."""


class Contract(Family):
    """A plain contract. Subclasses declare it, draw ordinary inputs, solve, and list programs.

    Bodies of programs are written indented; they use the arguments' names.
    """

    function: ClassVar[str]
    returns: ClassVar[str]
    """Annotation of the return value."""
    statement: ClassVar[str]
    """The wording, with `{argument}` for each argument."""
    cases: ClassVar[Sequence[Args]]
    """Inputs chosen to catch mutants: hidden tests of every problem."""
    correct: ClassVar[Sequence[str]]
    mutants: ClassVar[Sequence[MutantBody]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "statement"):  # otherwise it is a base of several
            cls.functions = (cls.function,)
            cls.variants = (Variant(PLAIN, cls.returns, (cls.statement,)),)

    @abstractmethod
    def draw(self, rng: Rng, difficulty: int) -> Args:
        """An ordinary input, of the original's size at this difficulty."""

    @abstractmethod
    def solve(self, *args: Any) -> Any:
        """The reference solution; its value does not alias the arguments."""

    def ordinary(self, difficulty: int) -> int:
        """How many different ordinary inputs there are, if these are too few to be divided among splits; else 0."""
        return 0

    def fixed(self, difficulty: int) -> Sequence[Args]:
        """The fixed cases of this difficulty."""
        return self.cases

    # --- the interface of a family

    def params(self, rng, variant, difficulty):
        """The number of a draw: nothing else of a contract varies."""
        return {"draw": rng.int(0, INSTANCES - 1)}

    def answer(self, variant, p, *args):
        """The reference solution; it is known already for the fixed cases, which every problem asks."""
        known = _known(self)
        return plain_copy(known[key]) if (key := repr(args)) in known else self.solve(*args)

    def input_rng(self, rng: Rng, p: Params, difficulty: int) -> Rng:
        """One that depends on the instance alone, so that its inputs follow from its number."""
        return Rng("contract", self.name, self.version, difficulty, p["draw"])

    def edge_cases(self, rng, variant, p, difficulty):
        """See `Family`."""
        return [plain_copy(args) for args in self.fixed(difficulty)]  # they are constants of the contract

    def sample(self, rng, variant, p, difficulty):
        """An ordinary input of the instance's split. Raises RuntimeError after `MAX_TRIES`."""
        split, fixed = _split(self.name, self.version, p["draw"]), _keys(self, difficulty)
        few = self.ordinary(difficulty)
        for _ in range(MAX_TRIES):
            args = self.draw(rng, difficulty)
            if (key := repr(args)) not in fixed and (few or self.input_split(key) == split):
                return args
        raise RuntimeError(f"{self.name} has no input of difficulty {difficulty} in split {split}")

    def programs(self, variant: str, p: Params) -> Programs:
        """See `Family`."""
        return _programs(type(self))

    def hidden_count(self, variant: Variant, difficulty: int, wanted: int, edge_cases: int) -> int:
        """As many as wanted; of few ordinary inputs at most half, since the others are shown."""
        count = max(wanted, edge_cases + ORDINARY_TESTS)
        few = self.ordinary(difficulty)
        return min(count, edge_cases + few - few // 2) if few else count

    def public_count(self, variant: Variant, difficulty: int, wanted: int) -> int:
        """As many as wanted; of few ordinary inputs at most half."""
        few = self.ordinary(difficulty)
        return min(wanted, few // 2) if few else wanted

    # --- splits

    def input_split(self, key: str) -> Split:
        """The split that an ordinary input belongs to, by its text; the same for all versions of a family."""
        return split_of(sha256(f"{self.name.partition('@')[0]}\x1f{key}".encode()).hexdigest())

    def divided_inputs(self, problem: Problem) -> list[str]:
        """Text of the inputs that no other split may show or ask; none where all splits share the few there are."""
        if self.ordinary(problem.difficulty):
            return []
        fixed = _keys(self, problem.difficulty)
        inputs = [repr(test.args) for test in (*problem.public_examples, *problem.hidden_tests)]
        return [key for key in inputs if key not in fixed]


@lru_cache(maxsize=64)
def _split(name: str, version: int, draw: int) -> Split:
    return split_of(question_hash(name, version, PLAIN, {"draw": draw}, "function"))


@cache
def _known(contract: Contract) -> Mapping[str, Any]:
    """The answers to the fixed cases of all difficulties, by their text."""
    fixed = [args for d in range(MIN_DIFFICULTY, MAX_DIFFICULTY + 1) for args in contract.fixed(d)]
    return {repr(args): contract.solve(*plain_copy(args)) for args in fixed}


@cache
def _keys(contract: Contract, difficulty: int) -> frozenset[str]:
    """The fixed cases as text."""
    return frozenset(map(repr, contract.fixed(difficulty)))


@cache
def _programs(contract: type[Contract]) -> Programs:
    mutants = [(name, clean(body), why) for name, body, why in contract.mutants]
    return [clean(body) for body in contract.correct], mutants


def clean(body: str) -> str:
    """A body without the indentation that it is written with."""
    return dedent(body).strip("\n").rstrip()


def changed(body: str, *changes: tuple[str, str]) -> str:
    """A program with parts replaced, for mutants. Raises ValueError where a part is not in it."""
    for old, new in changes:
        if old not in body:
            raise ValueError(f"there is no {old!r} in the program to change")
        body = body.replace(old, new)
    return body


def band(difficulty: int) -> int:
    """0 for difficulties up to 3, 1 up to 6, 2 above: the originals' easy, medium and hard."""
    return (difficulty > 3) + (difficulty > 6)
