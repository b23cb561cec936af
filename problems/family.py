"""A family of problems: it samples questions, builds tests that catch wrong programs, and writes programs.

A question is a variant (which of the family's questions it is) and sampled parameters. Everything else about a
problem (wording, names, inputs) may vary without changing the question, so splits are made by question.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from textwrap import indent
from typing import Any, ClassVar

from problems.problem import Kind, Problem, Split, Test
from problems.rng import Rng
from problems.splits import question_hash, split_of

MIN_DIFFICULTY = 1
MAX_DIFFICULTY = 10
MAX_DRAWS = 2000
"""Questions to sample until one belongs to the wanted split."""
MAX_INPUTS = 400
"""Inputs to sample for the tests of one question."""
MAX_QUESTIONS = 20
"""Questions to try when one has too few different inputs or answers."""
ORDINARY_TESTS = 3
"""Hidden tests of ordinary size that a problem has in addition to its edge cases."""

ATOMS = frozenset((int, str, bool, float, type(None)))
"""Types whose values need no copy."""

Params = dict[str, Any]
Args = tuple[Any, ...]
MutantBody = tuple[str, str, str]
"""Name, body of the program, and what is wrong with it."""
Programs = tuple[list[str], list[MutantBody]]
"""Bodies of correct programs and of mutants, with the family's own argument names."""


CONSTANT = "constant"
"""Name of the exploits that return the same value for every input."""


class DegenerateQuestion(Exception):
    """A question with too few different inputs or answers to test anything."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the function to write."""

    name: str
    """The name that the family's own programs use."""
    type: str
    others: tuple[str, ...] = ()
    """Names that a problem may use instead; the family's programs must not use them as local names."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of a family's questions."""

    name: str
    returns: str
    """Annotation of the return value."""
    statements: tuple[str, ...]
    """Wordings, with `{parameter}` and `{argument}` to fill in; arguments are put in backticks."""
    level: int = MIN_DIFFICULTY
    """Lowest difficulty."""
    last_level: int = MAX_DIFFICULTY
    """Highest difficulty."""
    arguments: tuple[Argument, ...] = ()
    """Empty: the family's."""
    checker: str = ""
    """Empty: the family's."""
    max_inputs: int = 0
    """Number of different inputs if it is small (0: no limit): a quarter become public examples, the rest tests."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A plausible program that does not solve its problem."""

    name: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Solutions:
    """Programs for one problem, with its function and argument names."""

    correct: tuple[str, ...]
    """Written in different ways; the first is the shortest idiomatic one."""
    mutants: tuple[Mutant, ...]


class Family(ABC):
    """A family of problems. Subclasses declare the attributes, sample inputs, solve, and write programs."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increased whenever the meaning of a variant or parameter changes."""
    summary: ClassVar[str]
    """One line for people."""
    kind: ClassVar[Kind] = "function"
    checker: ClassVar[str] = "exact"
    functions: ClassVar[tuple[str, ...]]
    """Names that the function to write may have."""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    variants: ClassVar[tuple[Variant, ...]]

    @abstractmethod
    def params(self, rng: Rng, variant: str, difficulty: int) -> Params:
        """Samples the parameters of a question."""

    def answer(self, variant: str, p: Params, *args: Any) -> Any:
        """The reference solution; calls `solve_<variant>(p, *args)` unless overridden.

        The returned value must not alias the arguments.
        """
        return getattr(self, f"solve_{variant}")(p, *args)

    def reference(self, variant: str, p: Params) -> Callable[..., Any]:
        """The reference solution of one question as a function of its arguments only."""
        solve = getattr(self, f"solve_{variant}", None)
        return partial(solve, p) if solve else partial(self.answer, variant, p)

    @abstractmethod
    def edge_cases(self, rng: Rng, variant: str, p: Params, difficulty: int) -> Iterable[Args]:
        """Inputs chosen to catch mutants; all of them become hidden tests."""

    @abstractmethod
    def sample(self, rng: Rng, variant: str, p: Params, difficulty: int) -> Args:
        """An ordinary input, for the public examples and the remaining hidden tests."""

    def programs(self, variant: str, p: Params) -> Programs:
        """Bodies of correct programs and of mutants; calls `write_<variant>(p)` unless overridden.

        A mutant that happens to be correct for these parameters must be left out.
        """
        return getattr(self, f"write_{variant}")(p)

    def input_rng(self, rng: Rng, p: Params, difficulty: int) -> Rng:
        """The generator that the inputs of a question are sampled with; by default the problem's own."""
        return rng

    def hidden_count(self, variant: Variant, difficulty: int, wanted: int, edge_cases: int) -> int:
        """Number of hidden tests, where `wanted` are requested and there are so many edge cases."""
        if variant.max_inputs:
            return variant.max_inputs - variant.max_inputs // 4
        return max(wanted, edge_cases + ORDINARY_TESTS)

    def public_count(self, variant: Variant, difficulty: int, wanted: int) -> int:
        """Number of public examples, where `wanted` are requested."""
        return min(wanted, variant.max_inputs // 4) if variant.max_inputs else wanted

    def template_vars(self, variant: str, p: Params) -> Mapping[str, Any]:
        """Values of the `{placeholders}` of a wording; by default the parameters themselves."""
        return p

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises KeyError."""
        return _variants(type(self))[name]

    def question(self, rng: Rng, difficulty: int, split: Split) -> tuple[Variant, Params]:
        """Samples questions until one belongs to the split. Raises RuntimeError after `MAX_DRAWS`."""
        variants = _variants_at(type(self), difficulty)
        for _ in range(MAX_DRAWS):
            variant = rng.pick(variants)
            params = self.params(rng, variant.name, difficulty)
            if split_of(question_hash(self.name, self.version, variant.name, params, self.kind)) == split:
                return variant, params
        raise RuntimeError(
            f"family {self.name} has no question of difficulty {difficulty} in split {split} "
            f"(none in {MAX_DRAWS} tries); widen its parameters"
        )

    def problem(
        self, rng: Rng, *, id: str, difficulty: int, split: Split, hidden_tests: int, public_examples: int
    ) -> Problem:
        """Samples a problem of this family.

        It has at least `hidden_tests` hidden tests (every edge case is kept) with at least two different answers
        among them, and `public_examples` public ones on other inputs. Raises RuntimeError if `MAX_QUESTIONS` questions
        all have too few different inputs or answers.
        """
        for attempt in range(MAX_QUESTIONS):
            variant, p = self.question(rng, difficulty, split)
            inputs = self.input_rng(rng, p, difficulty)
            try:
                hidden, seen = self._hidden(inputs, variant, p, difficulty, hidden_tests)
                public = self._public(inputs, variant, p, difficulty, public_examples, seen)
                break
            except DegenerateQuestion as error:
                if attempt == MAX_QUESTIONS - 1:
                    raise RuntimeError(f"{error}; request fewer tests, or exclude these parameters") from None
        arguments = variant.arguments or self.arguments
        names = {a.name: rng.pick((a.name, *a.others)) for a in arguments}
        function = rng.pick(self.functions)
        slots = ", ".join([f"{names[a.name]}: {a.type}" for a in arguments])
        quoted = {own: f"`{shown}`" for own, shown in names.items()}
        return Problem(
            id=id,
            family=self.name,
            family_version=self.version,
            difficulty=difficulty,
            split=split,
            statement=rng.pick(variant.statements).format(**{**self.template_vars(variant.name, p), **quoted}),
            entry_point=function,
            signature=f"def {function}({slots}) -> {variant.returns}:",
            public_examples=public,
            hidden_tests=tuple(hidden),
            checker=variant.checker or self.checker,
            kind=self.kind,
            variant=variant.name,
            params=p,
        )

    def _hidden(
        self, rng: Rng, variant: Variant, p: Params, difficulty: int, count: int
    ) -> tuple[list[Test], set[str]]:
        solve = self.reference(variant.name, p)
        tests: list[Test] = []
        seen: set[str] = set()

        def add(args: Args) -> None:
            if (key := repr(args)) not in seen:
                seen.add(key)
                tests.append(Test(args, solve(*[a if type(a) in ATOMS else plain_copy(a) for a in args])))

        for args in self.edge_cases(rng, variant.name, p, difficulty):
            add(args)
        count = self.hidden_count(variant, difficulty, count, len(tests))
        for _ in range(MAX_INPUTS):
            if len(tests) >= count and any([t.expected != tests[0].expected for t in tests]):
                return tests, seen
            add(self.sample(rng, variant.name, p, difficulty))
        raise DegenerateQuestion(
            f"family {self.name}, variant {variant.name}, parameters {p}: {MAX_INPUTS} sampled inputs gave "
            f"{len(tests)} different ones, but not {count} with two different answers"
        )

    def _public(
        self, rng: Rng, variant: Variant, p: Params, difficulty: int, count: int, seen: set[str]
    ) -> tuple[Test, ...]:
        count = self.public_count(variant, difficulty, count)
        solve = self.reference(variant.name, p)
        tests: list[Test] = []
        spare = 4  # tries to find a second answer if all examples so far have the same one
        for _ in range(MAX_INPUTS):
            if len(tests) >= count:
                return tuple(tests)
            args = self.sample(rng, variant.name, p, difficulty)
            if (key := repr(args)) in seen:
                continue
            test = Test(args, solve(*[a if type(a) in ATOMS else plain_copy(a) for a in args]))
            if spare and len(tests) == count - 1 > 0 and all([t.expected == test.expected for t in tests]):
                spare -= 1
                continue
            seen.add(key)
            tests.append(test)
        raise DegenerateQuestion(
            f"family {self.name}, variant {variant.name}: not enough different inputs for {count} public examples"
        )

    def solutions(self, problem: Problem) -> Solutions:
        """Correct programs and mutants for exactly this problem. Raises ValueError for another family's problem."""
        self.check_own(problem)
        own = [a.name for a in self.variant(problem.variant).arguments or self.arguments]
        names = argument_names(problem.signature)
        correct, mutants = self.programs(problem.variant, dict(problem.params))
        head = f"def {problem.entry_point}({', '.join(names)}):\n"
        write = _renamer(tuple(own), tuple(names))
        codes = {head + indent(write(body), "    ") + "\n": None for body in correct}
        found: dict[str, Mutant] = {}  # for some parameters two mutations give the same program
        for name, body, why in mutants:
            code = head + indent(write(body), "    ") + "\n"
            found.setdefault(code, Mutant(name, code, why))
        return Solutions(tuple(codes), tuple(found.values()))

    def working(self, problem: Problem) -> str:
        """How the answer to exactly this problem is found, step by step in plain text and without the answer itself; ""
        where the family does not say.
        """
        return ""

    def check_own(self, problem: Problem) -> None:
        """Raises ValueError for a problem of another family or version."""
        if problem.family != self.name or problem.family_version != self.version:
            raise ValueError(
                f"{problem.id} is of family {problem.family} version {problem.family_version}, "
                f"not {self.name} version {self.version}"
            )

    def exploits(self, problem: Problem) -> tuple[Mutant, ...]:
        """Programs that ignore the question.

        They return a constant (one program for each answer), the memorised examples, the argument itself, or the
        argument after emptying it, which passes if inputs are not copied and expected values share their lists.
        """
        names = argument_names(problem.signature)
        head = f"def {problem.entry_point}({', '.join(names)}):\n"
        answers = {repr(t.expected): None for t in (*problem.public_examples, *problem.hidden_tests)}
        exploits = [
            Mutant(CONSTANT, f"{head}    return {answer}\n", "returns the same value for every input")
            for answer in answers
        ]
        if names:
            known = "\n".join(
                f"    if ({', '.join(names)},) == {t.args!r}:\n        return {t.expected!r}"
                for t in problem.public_examples
            )
            last = repr(problem.public_examples[-1].expected) if problem.public_examples else "None"
            code = f"{head}{known}\n    return {last}\n"
            exploits.append(Mutant("hard_coded", code, "memorises the public examples"))
            exploits.append(Mutant("echo", f"{head}    return {names[0]}\n", "returns its argument"))
            if isinstance(problem.hidden_tests[0].args[0], list):
                code = f"{head}    {names[0]}.clear()\n    return {names[0]}\n"
                exploits.append(Mutant("mutates", code, "empties its argument and returns it"))
        return tuple(exploits)


def plain_copy(value: Any) -> Any:
    """A deep copy of plain data; strings and numbers are returned as they are."""
    kind = type(value)
    if kind is list:
        return [v if type(v) in (int, str) else plain_copy(v) for v in value]
    if kind is tuple:
        return tuple([plain_copy(v) for v in value])
    if kind is dict:
        return {k: plain_copy(v) for k, v in value.items()}
    if kind is set:
        return set(value)
    return value


def argument_names(signature: str) -> list[str]:
    """The argument names in a signature like `def f(xs: list[int], n: int) -> int:`."""
    inside = signature[signature.index("(") + 1 : signature.index(") ->")]
    return [part.split(":")[0].strip() for part in re.split(r",\s*(?![^\[]*\])", inside) if part.strip()]


def _renamer(own: tuple[str, ...], names: tuple[str, ...]) -> Callable[[str], str]:
    changed = {a: b for a, b in zip(own, names) if a != b}
    if not changed:
        return lambda body: body
    pattern = re.compile(r"(?<!['\"])\b(" + "|".join(changed) + r")\b(?!['\"])")
    return lambda body: pattern.sub(lambda m: changed[m[1]], body)


@cache
def _variants(family: type[Family]) -> Mapping[str, Variant]:
    return {m.name: m for m in family.variants}


@cache
def _variants_at(family: type[Family], difficulty: int) -> tuple[Variant, ...]:
    return tuple(m for m in family.variants if m.level <= difficulty <= m.last_level)
