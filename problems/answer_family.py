"""Families whose problems have a final answer instead of a program: the question contains all its numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from problems.family import Family, Mutant, Params, Solutions
from problems.problem import Kind, Problem, Split, Test
from problems.rng import Rng


class AnswerFamily(Family):
    """A family of kind `answer`. Subclasses sample the numbers, tell the story and compute the gold answer.

    There is one hidden test, without arguments, whose expected value is the gold answer as text, and no public
    example. `solutions` are answers as written in the box.
    """

    kind: ClassVar[Kind] = "answer"
    functions: ClassVar[tuple[str, ...]] = ()
    even_labels: ClassVar[bool] = True
    """Whether YES and NO are equally likely and to be asked equally often; otherwise they are taken as they come."""

    @abstractmethod
    def story(self, rng: Rng, variant: str, p: Params) -> Mapping[str, Any]:
        """Values of the `{placeholders}` of a wording; names and things sampled here do not change the question."""

    @abstractmethod
    def near_misses(self, variant: str, p: Params) -> list[tuple[str, str, str]]:
        """Name, answer and reason of plausible wrong answers."""

    def other_answers(self, variant: str, p: Params) -> list[str]:
        """Correct answers in other notations than `answer`'s."""
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
        """Samples a problem with one hidden test; `hidden_tests` and `public_examples` do not apply."""
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
        """Correct and wrong answers to exactly this problem. Raises ValueError for another family's problem."""
        self.check_own(problem)
        p = dict(problem.params)
        gold = self.answer(problem.variant, p)
        mutants = [Mutant(*miss) for miss in self.near_misses(problem.variant, p) if miss[1] != gold]
        return Solutions((gold, *self.other_answers(problem.variant, p)), tuple(mutants))

    def exploits(self, problem: Problem) -> tuple[Mutant, ...]:
        """The empty answer. A constant one is sometimes correct; validation reports how often the best of them is."""
        return (Mutant("empty", "", "answers nothing"),)
