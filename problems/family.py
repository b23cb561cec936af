"""What a family of problems is: it draws questions, makes tests that expose wrong programs, writes programs.

A question is a mode (which of the family's questions is asked) and drawn parameters. Everything else about a
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
"""Questions to draw for one of the wanted split."""
MAX_INPUTS = 400
"""Inputs to draw for the tests of one question."""
MAX_QUESTIONS = 20
"""Questions to try where one has too few different inputs or answers."""
ORDINARY_TESTS = 3
"""Hidden tests of the difficulty's own size that a problem has beside its traps."""

ATOMS = frozenset((int, str, bool, float, type(None)))
"""Types of values that need no copy."""

Params = dict[str, Any]
Args = tuple[Any, ...]
WrongBody = tuple[str, str, str]
"""Name, body and reason of a wrong program."""
Programs = tuple[list[str], list[WrongBody]]
"""Bodies of correct programs and wrong ones, in the family's own argument names."""


CONSTANT = "constant"
"""Name of the cheats that return the same for every input."""


class DegenerateQuestion(Exception):
    """A question whose inputs or answers are too much alike to be a test of anything."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the function that is asked for."""

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
    """Asked from this difficulty on."""
    last_level: int = MAX_DIFFICULTY
    """Not asked above this difficulty."""
    arguments: tuple[Argument, ...] = ()
    """Where they differ from the family's."""
    checker: str = ""
    """Where it differs from the family's."""
    most_inputs: int = 0
    """Where there are only so many different inputs: a quarter become public examples, the rest tests."""


@dataclass(frozen=True, slots=True)
class WrongProgram:
    """A plausible program that does not solve its problem."""

    name: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Solutions:
    """Programs for one problem, under its own function and argument names."""

    correct: tuple[str, ...]
    """Differently written; the first is the shortest idiomatic one."""
    wrong: tuple[WrongProgram, ...]


class Family(ABC):
    """A family of problems: subclasses declare the attributes, draw inputs, solve and write programs."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever the meaning of a mode or parameter changes."""
    summary: ClassVar[str]
    """One line for people."""
    kind: ClassVar[Kind] = "function"
    checker: ClassVar[str] = "exact"
    functions: ClassVar[tuple[str, ...]]
    """Names that the function to write may have."""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    modes: ClassVar[tuple[Variant, ...]]

    @abstractmethod
    def params(self, rng: Rng, mode: str, difficulty: int) -> Params:
        """Draws the parameters of a question."""

    def answer(self, mode: str, p: Params, *args: Any) -> Any:
        """The reference solution; calls `solve_<mode>(p, *args)` unless overridden.

        What it returns must not alias its arguments.
        """
        return getattr(self, f"solve_{mode}")(p, *args)

    def reference(self, mode: str, p: Params) -> Callable[..., Any]:
        """The reference solution of one question, as a function of its arguments alone."""
        solve = getattr(self, f"solve_{mode}", None)
        return partial(solve, p) if solve else partial(self.answer, mode, p)

    @abstractmethod
    def traps(self, rng: Rng, mode: str, p: Params, difficulty: int) -> Iterable[Args]:
        """Inputs made to expose wrong programs: all of them become hidden tests."""

    @abstractmethod
    def sample(self, rng: Rng, mode: str, p: Params, difficulty: int) -> Args:
        """An ordinary input, for public examples and the rest of the hidden tests."""

    def programs(self, mode: str, p: Params) -> Programs:
        """Bodies of correct and wrong programs; calls `write_<mode>(p)` unless overridden.

        A wrong program that these parameters make right must be left out.
        """
        return getattr(self, f"write_{mode}")(p)

    def words(self, mode: str, p: Params) -> Mapping[str, Any]:
        """What fills the parameters' places in a wording; by default the parameters themselves."""
        return p

    def mode(self, name: str) -> Variant:
        """The mode of that name. Raises KeyError."""
        return _modes(type(self))[name]

    def question(self, rng: Rng, difficulty: int, split: Split) -> tuple[Variant, Params]:
        """Draws questions until one belongs to the split. Raises RuntimeError after `MAX_DRAWS`."""
        modes = _open_modes(type(self), difficulty)
        for _ in range(MAX_DRAWS):
            mode = rng.pick(modes)
            params = self.params(rng, mode.name, difficulty)
            if split_of(question_hash(self.name, self.version, mode.name, params, self.kind)) == split:
                return mode, params
        raise RuntimeError(
            f"family {self.name} has no question of difficulty {difficulty} in split {split} "
            f"(none in {MAX_DRAWS} draws); widen its parameters"
        )

    def problem(
        self, rng: Rng, *, id: str, difficulty: int, split: Split, hidden_tests: int, public_examples: int
    ) -> Problem:
        """Draws a problem of this family.

        It has at least `hidden_tests` hidden tests (every trap is kept) with at least two different answers
        among them, and `public_examples` public ones on other inputs.
        """
        for attempt in range(MAX_QUESTIONS):
            mode, p = self.question(rng, difficulty, split)
            try:
                hidden, seen = self._hidden(rng, mode, p, difficulty, hidden_tests)
                public = self._public(rng, mode, p, difficulty, public_examples, seen)
                break
            except DegenerateQuestion as error:
                if attempt == MAX_QUESTIONS - 1:
                    raise RuntimeError(f"{error}; ask for fewer tests, or exclude these parameters") from None
        arguments = mode.arguments or self.arguments
        names = {a.name: rng.pick((a.name, *a.others)) for a in arguments}
        function = rng.pick(self.functions)
        slots = ", ".join([f"{names[a.name]}: {a.type}" for a in arguments])
        places = {name: f"`{asked}`" for name, asked in names.items()}
        return Problem(
            id=id,
            family=self.name,
            family_version=self.version,
            difficulty=difficulty,
            split=split,
            statement=rng.pick(mode.statements).format(**{**self.words(mode.name, p), **places}),
            entry_point=function,
            signature=f"def {function}({slots}) -> {mode.returns}:",
            public_examples=public,
            hidden_tests=tuple(hidden),
            checker=mode.checker or self.checker,
            kind=self.kind,
            mode=mode.name,
            params=p,
        )

    def _hidden(self, rng: Rng, mode: Variant, p: Params, difficulty: int, count: int) -> tuple[list[Test], set[str]]:
        solve = self.reference(mode.name, p)
        tests: list[Test] = []
        seen: set[str] = set()

        def add(args: Args) -> None:
            if (key := repr(args)) not in seen:
                seen.add(key)
                tests.append(Test(args, solve(*[a if type(a) in ATOMS else plain_copy(a) for a in args])))

        for args in self.traps(rng, mode.name, p, difficulty):
            add(args)
        count = max(count, len(tests) + ORDINARY_TESTS)
        if mode.most_inputs:
            count = mode.most_inputs - mode.most_inputs // 4
        for _ in range(MAX_INPUTS):
            if len(tests) >= count and any([t.expected != tests[0].expected for t in tests]):
                return tests, seen
            add(self.sample(rng, mode.name, p, difficulty))
        raise DegenerateQuestion(
            f"family {self.name}, mode {mode.name}, parameters {p}: {MAX_INPUTS} draws gave {len(tests)} "
            f"different inputs, but not {count} with two different answers"
        )

    def _public(
        self, rng: Rng, mode: Variant, p: Params, difficulty: int, count: int, seen: set[str]
    ) -> tuple[Test, ...]:
        if mode.most_inputs:
            count = min(count, mode.most_inputs // 4)
        solve = self.reference(mode.name, p)
        tests: list[Test] = []
        spare = 4  # tries to show a second answer, where all examples so far have the same
        for _ in range(MAX_INPUTS):
            if len(tests) >= count:
                return tuple(tests)
            args = self.sample(rng, mode.name, p, difficulty)
            if (key := repr(args)) in seen:
                continue
            test = Test(args, solve(*[a if type(a) in ATOMS else plain_copy(a) for a in args]))
            if spare and len(tests) == count - 1 > 0 and all([t.expected == test.expected for t in tests]):
                spare -= 1
                continue
            seen.add(key)
            tests.append(test)
        raise DegenerateQuestion(
            f"family {self.name}, mode {mode.name}: not enough different inputs for {count} public examples"
        )

    def solutions(self, problem: Problem) -> Solutions:
        """Correct and wrong programs for exactly this problem. Raises ValueError for another family's."""
        self.check_own(problem)
        own = [a.name for a in self.mode(problem.mode).arguments or self.arguments]
        asked = argument_names(problem.signature)
        correct, wrong = self.programs(problem.mode, dict(problem.params))
        head = f"def {problem.entry_point}({', '.join(asked)}):\n"
        write = _renamer(tuple(own), tuple(asked))
        codes = {head + indent(write(body), "    ") + "\n": None for body in correct}
        found: dict[str, WrongProgram] = {}  # for some parameters two slips make the same program
        for name, body, why in wrong:
            code = head + indent(write(body), "    ") + "\n"
            found.setdefault(code, WrongProgram(name, code, why))
        return Solutions(tuple(codes), tuple(found.values()))

    def check_own(self, problem: Problem) -> None:
        """Raises ValueError for a problem of another family or version."""
        if problem.family != self.name or problem.family_version != self.version:
            raise ValueError(
                f"{problem.id} is of family {problem.family} version {problem.family_version}, "
                f"not {self.name} version {self.version}"
            )

    def cheats(self, problem: Problem) -> tuple[WrongProgram, ...]:
        """Programs that do not look at the question.

        A constant for each answer, the examples by heart, the argument itself, and the argument emptied, which passes
        where inputs are not copied and expected values share their lists.
        """
        asked = argument_names(problem.signature)
        head = f"def {problem.entry_point}({', '.join(asked)}):\n"
        answers = {repr(t.expected): None for t in (*problem.public_examples, *problem.hidden_tests)}
        cheats = [
            WrongProgram(CONSTANT, f"{head}    return {answer}\n", "returns the same for every input")
            for answer in answers
        ]
        if asked:
            known = "\n".join(
                f"    if ({', '.join(asked)},) == {t.args!r}:\n        return {t.expected!r}"
                for t in problem.public_examples
            )
            last = repr(problem.public_examples[-1].expected) if problem.public_examples else "None"
            code = f"{head}{known}\n    return {last}\n"
            cheats.append(WrongProgram("hard_coded", code, "knows the public examples by heart"))
            cheats.append(WrongProgram("echo", f"{head}    return {asked[0]}\n", "returns its argument"))
            if isinstance(problem.hidden_tests[0].args[0], list):
                code = f"{head}    {asked[0]}.clear()\n    return {asked[0]}\n"
                cheats.append(WrongProgram("mutates", code, "empties its argument and returns it"))
        return tuple(cheats)


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


def _renamer(own: tuple[str, ...], asked: tuple[str, ...]):
    changed = {a: b for a, b in zip(own, asked) if a != b}
    if not changed:
        return lambda body: body
    pattern = re.compile(r"(?<!['\"])\b(" + "|".join(changed) + r")\b(?!['\"])")
    return lambda body: pattern.sub(lambda m: changed[m[1]], body)


@cache
def _modes(family: type[Family]) -> Mapping[str, Variant]:
    return {m.name: m for m in family.modes}


@cache
def _open_modes(family: type[Family], difficulty: int) -> tuple[Variant, ...]:
    return tuple(m for m in family.modes if m.level <= difficulty <= m.last_level)
