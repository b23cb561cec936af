"""The teacher's part of the iterations: what it is asked, which of its answers are right, and the data they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.errors import ConfigError
from pipelines.jobs.undo import prompts
from pipelines.jobs.undo.config import Hint, UndoConfig
from pipelines.jobs.undo.dataset import Example, Trace, write_dataset
from pipelines.jobs.undo.prompts import Mistake
from pipelines.measure.evaluation import Evaluation
from pipelines.sync_teacher import SyncTeacher
from problems.problem import Problem, Status
from problems.worked_answers import worked_answers
from rollout.prompts import PromptBuilder, PromptConfig
from rollout.teacher.client import Answered
from rollout.teacher.cost_ledger import append_rows
from rollout.teacher.prompt_files import TeacherPrompts
from rollout.teacher.request_cache import TeacherRequest
from verify.pool import Judge

ATTEMPTS_FILE, GRADES_FILE = "attempts.jsonl", "grades.jsonl"
API_ERROR = "api_error"


@dataclass(frozen=True, slots=True)
class StudentOutput:
    """A student's answer and its verdict."""

    text: str
    passed: bool
    detail: str


class Teaching:
    """The verified answers to the training problems, and how the teacher comes to them."""

    def __init__(
        self,
        config: UndoConfig,
        folder: RunFolder,
        teacher: SyncTeacher,
        judge: Judge,
        console: Console,
        problems: Sequence[Problem],
    ) -> None:
        self._config = config
        self._folder = folder
        self._teacher = teacher
        self._judge = judge
        self._console = console
        self._train = problems
        # The teacher is asked in full words even where the student's own prompt says less.
        self._builder = PromptBuilder(None, PromptConfig(style=config.prompt.style))
        self._prompts = TeacherPrompts(config.teacher.prompts)
        rows = read_rows(folder.path / ATTEMPTS_FILE)
        self._attempts = {(row["iteration"], row["problem"], row["hint"]): row for row in rows}
        self._grades = {(row["iteration"], row["problem"]): row for row in read_rows(folder.path / GRADES_FILE)}
        self._traces: dict[str, Trace] = {}

    def pairs(self) -> list[tuple[Problem, str]]:
        """What is learnt next: each problem that has a right answer, with the completion made of it.

        Raises ConfigError where there is none.
        """
        if not self._traces:
            raise ConfigError("the teacher solved none of the training problems; attempts.jsonl says why")
        style, taught = self._config.prompt.style, [p for p in self._train if p.id in self._traces]
        return [(p, prompts.training_completion(p, self._traces[p.id].text, style)) for p in taught]

    def rewrite(self, number: int, train: Evaluation) -> dict[str, Any]:
        """Has the teacher write what is to be learnt next; {} where there is nothing."""
        outputs = outputs_of(train)
        signals = self._signals(number, outputs)
        low = self._config.rework_below
        todo = [p for p in self._train if p.id not in self._traces or signals.get(p.id, low) < low]
        if number == 0:
            todo = list(self._train)
        if not todo:
            return {}
        questions = [(p, self._question(p, number, outputs)) for p in todo]
        counts = self._cascade(number, questions)
        self._write_dataset(number, outputs, signals)
        return {"asked": len(todo), **counts}

    def _question(self, problem: Problem, number: int, outputs: Mapping[str, StudentOutput]) -> str:
        question, own = self._builder.message(problem), outputs.get(problem.id)
        if number == 0 or own is None:
            return question
        before = self._traces.get(problem.id)
        mistake = Mistake(problem, own.text, own.detail)
        return prompts.rework(question, before.text if before else "", mistake, self._mistakes(problem, outputs))

    def _mistakes(self, problem: Problem, outputs: Mapping[str, StudentOutput]) -> list[Mistake]:
        """The student's first errors on other training problems. Never on validation problems: they choose the
        iteration, and measure nothing once they have taught."""
        wrong = [p for p in self._train if p.id != problem.id and p.id in outputs and not outputs[p.id].passed]
        return [Mistake(p, outputs[p.id].text, "") for p in wrong[: self._config.train_errors]]

    def _cascade(self, number: int, questions: Sequence[tuple[Problem, str]]) -> dict[str, Any]:
        """Asks with more and more help until an answer is right. What stays wrong keeps its earlier trace, if any."""
        left, by_hint, statuses = list(questions), {}, Counter()
        for hint in self._config.hints:
            worked = self._worked if hint == "solution" and left else {}
            open_now = [(p, q) for p, q in left if prompts.has_hint(p, hint, worked.get(p.id, ""))]
            self._ask_all(number, hint, [(p, q) for p, q in open_now if (number, p.id, hint) not in self._attempts])
            solved = set()
            for problem, _ in open_now:
                row = self._attempts[number, problem.id, hint]
                statuses[row["status"]] += 1
                if row["status"] == Status.PASSED:
                    solved.add(problem.id)
                    self._traces[problem.id] = Trace(row["text"], hint, number)
            by_hint[hint] = len(solved)
            left = [(p, q) for p, q in left if p.id not in solved]
        dropped = [p.id for p, _ in left]
        return {"solved_with": by_hint, "dropped": len(dropped), "statuses": dict(sorted(statuses.items()))}

    def _ask_all(self, number: int, hint: Hint, todo: Sequence[tuple[Problem, str]]) -> None:
        worked = self._worked if hint == "solution" and todo else {}
        texts = [prompts.ask(question, problem, hint, worked.get(problem.id, "")) for problem, question in todo]
        requests = [
            TeacherRequest(self._system(p), (("user", text),), problem=p)
            for (p, _), text in zip(todo, texts, strict=True)
        ]

        def keep(answered: Answered) -> None:
            problem = todo[answered.index][0]
            row = {"iteration": number, "problem": problem.id, "hint": hint, **self._judged(problem, answered)}
            append_rows(self._folder.path / ATTEMPTS_FILE, [row])
            self._folder.changed()
            self._attempts[number, problem.id, hint] = row

        if todo:
            with self._console.status(f"iteration {number}: the teacher solves {len(todo)} problems, hint {hint}"):
                self._teacher.ask(requests, keep)

    @cached_property
    def _worked(self) -> dict[str, str]:
        """Training problem -> its worked solution in the data set, of those that are right."""
        sources = [part.source for part in self._config.problems.parts if part.source is not None and part.weight]
        found = worked_answers(sources, {problem.id for problem in self._train})
        return prompts.worked_hints(self._judge, self._train, found)

    def _system(self, problem: Problem) -> str:
        return f"{self._prompts.system(problem, self._config.prompt.style)}\n\n{prompts.REWORK_SYSTEM}"

    def _judged(self, problem: Problem, answered: Answered) -> dict[str, Any]:
        if answered.reply is None:
            return {"status": API_ERROR, "detail": answered.error, "text": "", "request": "", "teacher": ""}
        reply = answered.reply
        verdict = self._judge.judge(problem, reply.text, reply.finish_reason)
        row = {"status": str(verdict.status), "detail": verdict.detail, "text": reply.text, "request": reply.key}
        return {**row, "teacher": reply.model}

    def _signals(self, number: int, outputs: Mapping[str, StudentOutput]) -> dict[str, float]:
        """S of every answer of the student's: A, or .6 A + .4 R where its reasoning could be graded."""
        verdicts = {key: 1.0 if one.passed else -1.0 for key, one in outputs.items()}
        if self._config.scoring == "answer" or number == 0:
            return verdicts
        todo = [p for p in self._train if p.id in outputs and (number, p.id) not in self._grades]
        system = prompts.GRADE_SYSTEM
        requests = [TeacherRequest(system, (("user", prompts.grade_question(p, outputs[p.id].text)),)) for p in todo]

        def keep(answered: Answered) -> None:
            grade = prompts.read_grade(answered.reply.text) if answered.reply is not None else None
            status = API_ERROR if answered.reply is None else "unparsed" if grade is None else "graded"
            row = {"iteration": number, "problem": todo[answered.index].id, "grade": grade, "status": status}
            append_rows(self._folder.path / GRADES_FILE, [row])
            self._folder.changed()
            self._grades[number, row["problem"]] = row

        self._teacher.ask(requests, keep)
        grades = {key: self._grades[number, key]["grade"] for key in verdicts}
        return {key: a if grades[key] is None else 0.6 * a + 0.4 * grades[key] for key, a in verdicts.items()}

    def _write_dataset(self, number: int, outputs: Mapping[str, StudentOutput], signals: Mapping[str, float]) -> None:
        examples = []
        for idx, problem in enumerate(self._train):
            if (trace := self._traces.get(problem.id)) is not None:
                answer = outputs[problem.id].text if problem.id in outputs else ""
                examples.append(Example(idx, problem, trace, answer, signals.get(problem.id)))
        write_dataset(self._folder.path / "dataset" / f"iteration-{number}", number, examples)


def outputs_of(evaluation: Evaluation) -> dict[str, StudentOutput]:
    """Problem id -> the student's answer; without those that could not be judged."""
    return {
        group.problem.id: StudentOutput(group.samples[0].text, group.verdicts[0].passed, group.verdicts[0].detail)
        for group in evaluation.groups
        if group.verdicts[0].status is not Status.INFRASTRUCTURE
    }
