"""Suites: data sets that every iteration is measured on, whole. They choose nothing, and nothing of them is taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from pipelines.config import EvaluateConfig
from pipelines.errors import ConfigError
from pipelines.jobs.evaluate import Evaluation, compare
from pipelines.jobs.undo.config import UndoConfig
from pipelines.measure.problem_set import questions_of, say_report
from problems.plain_text import shown
from problems.problem import Group, Problem
from problems.questions import identity

Measure = Callable[[Sequence[Problem], str], Evaluation]
"""(problems, name of the evaluation) to the judged answers of one policy."""


class Suites:
    """The suites of a run, and what each iteration scored on them. Without any, it measures nothing."""

    def __init__(self, config: UndoConfig, console: Console | None = None) -> None:
        """Reads the suites. Raises ConfigError for one that cannot be read."""
        self.problems: list[Problem] = []
        """Of all suites."""
        self._found: dict[str, Evaluation] = {}
        if config.suites:
            whole = EvaluateConfig(suites=config.suites, suite_limit=config.suite_limit).questions
            questions = questions_of(config.student.model_copy(update={"problems": whole}), console)
            self.problems = questions.whole("test")
            if console is not None:
                say_report(questions.report, console)
        self.names = [*dict.fromkeys(problem.family for problem in self.problems)]
        self._identities = {identity(problem) for problem in self.problems}

    @property
    def size(self) -> int:
        """Problems of all suites."""
        return len(self.problems)

    def found(self, name: str) -> Sequence[Group]:
        """The judged answers of a measured iteration; () without suites."""
        return self._found[name].groups if self.problems else ()

    def asks(self, problem: Problem) -> bool:
        """Whether one of the suites asks the same question."""
        return identity(problem) in self._identities

    def measure(self, name: str, ask: Measure, console: Console) -> None:
        """Measures an iteration, all suites at once, and prints its row. Raises ConfigError where more than 1 % of the
        problems of a suite have no verdict."""
        if not self.problems:
            return
        found = ask(self.problems, f"{name}-suites")
        try:
            found.check_complete({suite: self._ids(suite) for suite in self.names})
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._found[name] = found
        rates = ", ".join(f"{suite} {found.pass_at(1, [suite])}" for suite in self.names)
        console.print(shown(f"{name}: {rates}"), soft_wrap=True)

    def results(self, best: str) -> dict[str, Any]:
        """Figures of every iteration by suite, and the kept iteration against the untaught student and against plain
        distillation, suite by suite; {} without suites."""
        if not self.problems:
            return {}
        first = [name for name in ("base", "iteration-0") if name in self._found and name != best]
        return {
            "problems": {suite: len(self._ids(suite)) for suite in self.names},
            "iterations": {
                name: {suite: asdict(found.pass_at(1, [suite])) for suite in self.names}
                for name, found in self._found.items()
            },
            "comparisons": [
                {**compare(self._part(name, suite), self._part(best, suite)), "suite": suite, "before": name}
                | {"after": best}
                for suite in self.names
                for name in first
            ],
        }

    def _ids(self, suite: str) -> list[str]:
        return [problem.id for problem in self.problems if problem.family == suite]

    def _part(self, name: str, suite: str) -> Evaluation:
        """An iteration's answers to one suite."""
        whole = self._found[name]
        return replace(whole, groups=tuple(group for group in whole.groups if group.problem.family == suite))


def columns(results: Mapping[str, Any]) -> list[str]:
    """Names of the suites, in their order; [] without suites."""
    return list(results.get("suites", {}).get("problems", ()))
