"""The iterations: teacher solves, student learns, its errors go back to the teacher, until validation falls.

attempts.jsonl                every answer of the teacher with its verdict, on disk before it counts
grades.jsonl                  its grades of the student's reasoning, with scoring `rubric`
dataset/iteration-N/          what iteration N taught, as JSON lines and Parquet
adapters/iteration-N/         what the student then was
samples/                      the student's answers
costs.jsonl                   what the teacher cost (rollout.teacher.cost_ledger)
results.json, report.html     all figures

There is no other state: a resumed run walks the same way and finds each part done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder, replace_file
from pipelines.errors import ConfigError
from pipelines.job import Context
from pipelines.jobs.evaluate import Evaluation, compare
from pipelines.jobs.package_job import Outcome
from pipelines.jobs.undo import prompts
from pipelines.jobs.undo.config import Hint, UndoConfig
from pipelines.jobs.undo.dataset import Example, Trace, write_dataset
from pipelines.jobs.undo.hub import PushFailed, push
from pipelines.jobs.undo.prompts import Mistake
from pipelines.jobs.undo.suites import Suites
from pipelines.measure.problem_set import check_known, questions_of, with_questions
from pipelines.student_runner import StudentRunner
from pipelines.sync_teacher import SyncTeacher, cost_row, open_sync_teacher
from problems.plain_text import shown
from problems.problem import Problem, Split, Status
from problems.worked_answers import worked_answers
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder, PromptConfig
from rollout.teacher.client import Answered
from rollout.teacher.cost_ledger import append_rows
from rollout.teacher.prompt_files import TeacherPrompts
from rollout.teacher.request_cache import TeacherRequest
from verify.pool import Judge

ATTEMPTS_FILE, GRADES_FILE, RESULTS_FILE = "attempts.jsonl", "grades.jsonl", "results.json"
API_ERROR = "api_error"
BASE = "base"


@dataclass(frozen=True, slots=True)
class StudentOutput:
    """A student's answer and its verdict."""

    text: str
    passed: bool
    detail: str


def run(context: Context[UndoConfig]) -> Outcome:
    """Runs the iterations, or goes on where the run folder is.

    Raises JobError, NoRoom, and TeacherStopped where the teacher cannot go on; every answer is then kept.
    """
    config, folder, sft = context.config, context.folder, context.config.sft
    with_questions(config.student, context.console)  # says what became of the rows of data sets
    suites = Suites(config, context.console)
    student = StudentRunner(
        context, config.student, config.engine, sft.lora_r, config.max_tokens, sft.workers, config.engines
    )
    engines = student.session().teachers if config.teacher.on_engines else ()
    return Outcome(str(folder), teach(config, folder, student, context.console, suites, engines))


def teach(
    config: UndoConfig,
    folder: RunFolder,
    student: StudentRunner,
    console: Console,
    suites: Suites | None = None,
    engines: Sequence[Any] = (),
) -> Mapping[str, Any]:
    """All iterations, with a teacher on `engines` where it has its own. Returns all figures, which are then in `folder`
    too."""
    teacher = open_sync_teacher(config.teacher, folder, prompts.gold, engines)
    try:
        with Judge(config.verify) as judge:
            return _Job(config, folder, student, teacher, judge, suites or Suites(config), console).run()
    finally:
        teacher.close()


def distinct(config: UndoConfig, split: Split, count: int, suites: Suites | None = None) -> list[Problem]:
    """`count` problems of different questions; of training and validation, none that a suite asks.

    Raises ConfigError where there are fewer, or where the offline teacher knows no answer to one of those that it is to
    solve.
    """
    if not count:
        return []
    skip = suites.asks if suites is not None and split != "test" else lambda problem: False
    more = suites.size if suites is not None and split != "test" else 0
    try:
        found = questions_of(config.student).distinct(split, count + more, config.problems.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    chosen = [problem for problem in found if not skip(problem)][:count]
    if len(chosen) < count:
        raise ConfigError(f"there are only {len(chosen)} different {split} questions; ask for fewer ({split}_problems)")
    if split == "train" and config.teacher.is_offline:
        check_known(chosen)
    return chosen


class _Job:
    """One run."""

    def __init__(
        self,
        config: UndoConfig,
        folder: RunFolder,
        student: StudentRunner,
        teacher: SyncTeacher,
        judge: Judge,
        suites: Suites,
        console: Console,
    ) -> None:
        self._config = config
        self._folder = folder
        self._student = student
        self._teacher = teacher
        self._judge = judge
        self._suites = suites
        self._console = console
        # The teacher is asked in full words even where the student's own prompt says less.
        self._builder = PromptBuilder(None, PromptConfig(style=config.prompt.style))
        self._prompts = TeacherPrompts(config.teacher.prompts)
        self._train = distinct(config, "train", config.train_problems, suites)
        self._val = distinct(config, "val", config.val_problems, suites)
        self._test = distinct(config, "test", config.test_problems)
        rows = read_rows(folder.path / ATTEMPTS_FILE)
        self._attempts = {(row["iteration"], row["problem"], row["hint"]): row for row in rows}
        self._grades = {(row["iteration"], row["problem"]): row for row in read_rows(folder.path / GRADES_FILE)}
        self._traces: dict[str, Trace] = {}
        self._hub: dict[str, str] = {}

    def run(self) -> Mapping[str, Any]:
        """Teaches until validation falls, nothing is left to rewrite, or the iterations are done."""
        config = self._config
        policy = PolicyVersion(config.name, 0)
        policies, done = {BASE: policy}, []
        best, best_val = BASE, self._ask_student(BASE, "val", policy).pass_at(1).value
        self._measure_suites(BASE, policy)
        before, stopped = BASE, "all iterations done"
        for number in range(config.iterations + 1):
            name = f"iteration-{number}"
            asked = self._teach(number, self._ask_student(before, "train", policy))
            if not asked:
                stopped = "the student errs nowhere on the training problems"
                break
            if not self._traces:
                raise ConfigError("the teacher solved none of the training problems; attempts.jsonl says why")
            pairs = [
                (p, prompts.training_completion(p, self._traces[p.id].text, config.prompt.style))
                for p in self._taught()
            ]
            initial = policy if policy.weights else None
            policy = self._student.learn(pairs, config.prompt, config.sft, name, number + 1, initial)
            policies[name] = policy
            rates = {split: self._ask_student(name, split, policy).pass_at(1) for split in ("val", "train")}
            done.append({"name": name, **asked, "taught": len(pairs)} | {s: asdict(rate) for s, rate in rates.items()})
            self._tell(done[-1])
            self._measure_suites(name, policy)
            reached = rates["val"].value
            if reached < best_val:
                stopped = f"validation fell in {name}"
                break
            if reached > best_val:
                best, best_val = name, reached
            before = name
        return self._finish(done, policies, best, stopped)

    # --- the teacher

    def _teach(self, number: int, train: Evaluation) -> dict[str, Any]:
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

    # --- records

    def _taught(self) -> list[Problem]:
        return [problem for problem in self._train if problem.id in self._traces]

    def _write_dataset(self, number: int, outputs: Mapping[str, StudentOutput], signals: Mapping[str, float]) -> None:
        examples = []
        for idx, problem in enumerate(self._train):
            if (trace := self._traces.get(problem.id)) is not None:
                answer = outputs[problem.id].text if problem.id in outputs else ""
                examples.append(Example(idx, problem, trace, answer, signals.get(problem.id)))
        folder = self._folder.path / "dataset" / f"iteration-{number}"
        write_dataset(folder, number, examples)
        self._push(folder)

    def _push(self, folder: Path) -> None:
        """Pushes one iteration's data, once; a push that fails is reported, and the run goes on."""
        config, pushed = self._config, self._folder.path / "pushed.jsonl"
        known = {row["name"]: row["url"] for row in read_rows(pushed) if row["repo"] == config.hub_repo}
        if not config.hub_repo or folder.name in known:
            self._hub |= known
            return
        try:
            url = push(folder, config.hub_repo, folder.name, private=config.hub_private, endpoint=config.hub_endpoint)
        except PushFailed as error:
            self._hub[folder.name] = f"failed: {error}"
            self._folder.log(f"push failed: {error}")
            self._console.print(shown(f"not pushed: {error}; --resume tries again", "yellow"))
            return
        append_rows(pushed, [{"name": folder.name, "repo": config.hub_repo, "url": url}])
        self._hub[folder.name] = url

    def _ask_student(self, name: str, split: Split, policy: PolicyVersion) -> Evaluation:
        problems = {"train": self._train, "val": self._val, "test": self._test}[split]
        return self._student.answer(problems, self._config.prompt, policy, f"{name}-{split}")

    def _measure_suites(self, name: str, policy: PolicyVersion) -> None:
        def ask(problems: Sequence[Problem], called: str) -> Evaluation:
            return self._student.answer(problems, self._config.prompt, policy, called)

        self._suites.measure(name, ask, self._console)

    def _tell(self, row: Mapping[str, Any]) -> None:
        known = {r.get("name") for r in self._folder.metrics() if r.get("kind") == "undo"}
        if row["name"] not in known:
            self._folder.append_metrics({"kind": "undo", **row})
        val, train = row["val"]["value"], row["train"]["value"]
        self._console.print(shown(f"{row['name']}: {row['taught']} taught, validation {val:.1%}, training {train:.1%}"))

    def _finish(
        self, done: Sequence[Mapping[str, Any]], policies: Mapping[str, PolicyVersion], best: str, stopped: str
    ) -> Mapping[str, Any]:
        """Measures the test problems untaught, after plain distillation (iteration 0) and at the best iteration."""
        names = [name for name in dict.fromkeys((BASE, "iteration-0", best)) if name in policies]
        tests = {name: self._ask_student(name, "test", policies[name]) for name in names if self._test}
        base = {split: self._ask_student(BASE, split, policies[BASE]).pass_at(1) for split in ("val", "train")}
        results = {
            "job": "undo",
            "model": self._config.model,
            "best": best,
            "stopped": stopped,
            "base": {split: asdict(found) for split, found in base.items()},
            "iterations": list(done),
            "test": {name: self._figures(evaluation) for name, evaluation in tests.items()},
            "comparisons": [
                {**compare(tests[one], tests[best]), "before": one, "after": best}
                for one in (BASE, "iteration-0")
                if one in tests and one != best
            ],
            "suites": self._suites.results(best),
            "hub": self._hub,
            "cost": cost_row(self._teacher.account(), self._config.teacher),
        }
        replace_file(self._folder.path / RESULTS_FILE, json.dumps(results, indent=1))
        return results

    def _figures(self, evaluation: Evaluation) -> dict[str, Any]:
        row = evaluation.row(0)
        kept = {key: row[key] for key in ("families", "statuses", "truncated", "tests_passed")}
        return {"pass_at_1": asdict(evaluation.pass_at(1)), **kept}


def outputs_of(evaluation: Evaluation) -> dict[str, StudentOutput]:
    """Problem id -> the student's answer; without those that could not be judged."""
    return {
        group.problem.id: StudentOutput(group.samples[0].text, group.verdicts[0].passed, group.verdicts[0].detail)
        for group in evaluation.groups
        if group.verdicts[0].status is not Status.INFRASTRUCTURE
    }
