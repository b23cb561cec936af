"""Families whose problems have one final answer instead of a program: the question holds all its numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from problems.family import Family, Mutant, Params, Solutions
from problems.problem import Kind, Problem, Split, Test
from problems.rng import Rng


class AnswerFamily(Family):
    """A family of kind `answer`. Subclasses draw the numbers, tell the story and know the gold answer.

    There is one hidden test, without arguments, whose expected value is the gold answer as text, and no public
    example. `solutions` are answers, as they stand in the box.
    """

    kind: ClassVar[Kind] = "answer"
    functions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def story(self, rng: Rng, variant: str, p: Params) -> Mapping[str, Any]:
        """What fills the places of a wording; names and things drawn here do not change the question."""

    @abstractmethod
    def near_misses(self, variant: str, p: Params) -> list[tuple[str, str, str]]:
        """Name, answer and reason of plausible wrong answers."""

    def other_answers(self, variant: str, p: Params) -> list[str]:
        """Right answers written otherwise than `answer` writes them."""
        return []

    def edge_cases(self, rng, variant, p, difficulty):
        """None: a question is its own input."""
        return ()

    def sample(self, rng, variant, p, difficulty):
        """None: a question is its own input."""
        return ()

    def problem(
        self, rng: Rng, *, id: str, difficulty: int, split: Split, hidden_tests: int, public_examples: int
    ) -> Problem:
        """Draws a problem with one hidden test; `hidden_tests` and `public_examples` do not apply."""
        variant, p = self.question(rng, difficulty, split)
        return Problem(
            id=id,
            family=self.name,
            family_version=self.version,
            difficulty=difficulty,
            split=split,
            statement=rng.pick(variant.statements).format(**self.story(rng, variant.name, p)),
            entry_point="",
            signature="",
            public_examples=(),
            hidden_tests=(Test((), self.answer(variant.name, p)),),
            checker=variant.checker or self.checker,
            kind=self.kind,
            variant=variant.name,
            params=p,
        )

    def solutions(self, problem: Problem) -> Solutions:
        """Right and wrong answers to exactly this problem. Raises ValueError for another family's problem."""
        self.check_own(problem)
        p = dict(problem.params)
        gold = self.answer(problem.variant, p)
        mutants = [Mutant(*miss) for miss in self.near_misses(problem.variant, p) if miss[1] != gold]
        return Solutions((gold, *self.other_answers(problem.variant, p)), tuple(mutants))

    def exploits(self, problem: Problem) -> tuple[Mutant, ...]:
        """No answer. A constant one is sometimes right; validation says how often the best of them is."""
        return (Mutant("empty", "", "answers nothing"),)
