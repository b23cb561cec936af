"""The stages of linguistic reinforcement learning, each of which can be taken up again where it was left.

state.json                figures of the stages that are done, the batch that is next, strategy and journal
answers.jsonl             every answer of the teacher with its verdict, on disk before it counts
journal.md                what the teacher wrote about its batches
strategy.txt              the strategy that stages 3 and 4 use
strategy_evolution.jsonl  a row a distillation: what became of it, and how well the strategy before it had done
synthesis.jsonl           the labelled examples that the student learnt from
costs.jsonl               what the teacher cost (rollout.teacher.cost_ledger)
samples/, adapters/       the student's answers, and its adapter
results.json, report.html all figures
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from pipelines.artifacts.plain_files import LARGEST_JSON, read_bytes, read_rows
from pipelines.artifacts.run_folder import RunFolder, replace_file
from pipelines.job import Context
from pipelines.jobs.lrl import prompts, scores
from pipelines.jobs.lrl.balanced_problems import gold, is_yes_no, problems_of
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.lrl.examples import check_room, completion_of, even
from pipelines.jobs.lrl.offline import OfflineTeacher
from pipelines.jobs.lrl.prompts import TaskPrompts
from pipelines.jobs.lrl.reading import read_answer
from pipelines.jobs.lrl.scores import ANSWERED, API_ERROR, Answer
from pipelines.jobs.package_job import Outcome
from pipelines.measure.conditions import GREEDY, LAST, Required, Result
from pipelines.measure.problem_set import check_known, questions_of, say_report, with_shots
from pipelines.measure.recorded import load_evaluation
from pipelines.student_runner import StudentRunner
from pipelines.sync_teacher import SyncTeacher, cost_row, open_sync_teacher
from problems import families
from problems.plain_text import shown
from problems.problem import Problem, Status
from rollout.model_files import load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder, PromptConfig
from rollout.teacher.client import Answered
from rollout.teacher.config import REFERENCE
from rollout.teacher.cost_ledger import append_rows
from rollout.teacher.request_cache import TeacherRequest
from verify.pool import Judge

STATE_FILE, ANSWERS_FILE, RESULTS_FILE = "state.json", "answers.jsonl", "results.json"


class State(BaseModel):
    """How far a run has come. What is in it is done, and is not done again."""

    model_config = ConfigDict(extra="forbid")

    strategy: str
    batch: int = 0
    """The batch of stage 2 that is next."""
    journal: list[str] = []
    """An entry a batch."""
    evolution: list[dict[str, Any]] = []
    """A row a distillation."""
    stages: dict[str, dict[str, Any]] = {}
    """Name of a measurement -> its figures."""


def run(context: Context[LRLConfig]) -> Outcome:
    """Runs the stages that `stages` names, or goes on where the run folder is.

    Raises JobError, NoRoom, and TeacherStopped where the teacher cannot go on; every answer is then kept.
    """
    config, sft = context.config, context.config.sft
    questions = questions_of(config, context.console)
    if config.problems.parts:
        say_report(questions.report, context.console)
    config = config.model_copy(update={"prompt": with_shots(config.prompt, questions)})
    if config.synthesis == "worked" and 4 in config.stages:  # refused before anything is started
        check_room(config, load_tokenizer(context.model))
    if config.require:  # what cannot be measured is refused before anything is started
        conditions_of(config, problems_of(config, "test", config.test_problems, config.test_seed))
    folder = context.folder
    student = StudentRunner(
        context, config.student, config.engine, sft.lora_r, config.max_tokens, sft.workers, config.engines
    )
    engines: Sequence[Any] = ()
    if config.teacher.on_engines:
        engines = student.session().teachers if {0, 4} & set(config.stages) else context.teachers()
    return Outcome(str(folder), learn(config, folder, student, context.console, engines))


def learn(
    config: LRLConfig, folder: RunFolder, student: StudentRunner, console: Console, engines: Sequence[Any] = ()
) -> Mapping[str, Any]:
    """The stages in order, with a teacher on `engines` where it has its own. Returns all figures, which are then in
    `folder` too."""
    if config.teacher.model == REFERENCE:
        teacher = SyncTeacher(OfflineTeacher(config.teacher, TaskPrompts(config.names)))
    else:
        teacher = open_sync_teacher(config.teacher, folder, gold, engines)
    try:
        with Judge(config.verify) as judge:
            job = _Job(config, folder, student, teacher, judge, console)
            for stage in config.stages:
                (job.student_alone, job.teacher_alone, job.bootstrap, job.frozen, job.transfer)[stage]()
        return job.finish()
    finally:
        teacher.close()


def conditions_of(config: LRLConfig, test: Sequence[Problem]) -> Required:
    """What is required of the student that has learnt, and of that of stage 0. Raises ConfigError for a condition that
    the stages do not measure."""
    return Required.of(config.require, {LAST: test} | ({"before": test} if 0 in config.stages else {}), 1, GREEDY)


class _Job:
    """One run."""

    def __init__(
        self,
        config: LRLConfig,
        folder: RunFolder,
        student: StudentRunner,
        teacher: SyncTeacher,
        judge: Judge,
        console: Console,
    ) -> None:
        self._config = config
        self._folder = folder
        self._student = student
        self._teacher = teacher
        self._judge = judge
        self._console = console
        self._builder = PromptBuilder(None, config.prompt)
        self._prompts = TaskPrompts(config.names)
        self._test = problems_of(config, "test", config.test_problems, config.test_seed)
        self._train = problems_of(config, "train", config.train_problems, config.train_seed)
        if config.teacher.is_offline:
            check_known([*self._test, *self._train])
        self._required = conditions_of(config, self._test)
        self._rows = {(row["stage"], row["problem"]): row for row in read_rows(self._path(ANSWERS_FILE))}
        path = self._path(STATE_FILE)
        self._state = State(strategy=config.strategy or self._prompts.first_strategy)
        if path.is_file():
            self._state = State.model_validate_json(read_bytes(path, LARGEST_JSON))

    # --- the stages

    def student_alone(self) -> None:
        """Stage 0: the untaught student on the test problems."""
        self._measure_student("student", self._config.prompt, PolicyVersion(self._config.name, 0))

    def teacher_alone(self) -> None:
        """Stage 1: the teacher on the test problems, without a strategy."""
        self._measure_teacher("teacher", "")

    def bootstrap(self) -> None:
        """Stage 2: batch by batch solve, write the journal, and now and then distil it into a new strategy."""
        config, state = self._config, self._state
        batches = [self._train[start : start + config.batch] for start in range(0, len(self._train), config.batch)]
        while state.batch < len(batches):
            number, problems = state.batch + 1, batches[state.batch]
            rows = self._solve(f"bootstrap-{number}", problems, state.strategy)
            state.journal.append(self._entry(number, problems, rows))
            if number % config.distil_every == 0 or number == len(batches):
                self._distil(number)
            state.batch = number
            self._keep()
        if "bootstrap" not in state.stages:
            done = [
                self._answer(problem, self._rows[f"bootstrap-{number}", problem.id])
                for number, problems in enumerate(batches, 1)
                for problem in problems
            ]
            self._record("bootstrap", done)

    def frozen(self) -> None:
        """Stage 3: the teacher on the test problems, under the strategy as it now is."""
        self._measure_teacher("teacher_with_strategy", self._state.strategy)

    def transfer(self) -> None:
        """Stage 4: the student learns labelled examples under the strategy, and is asked under that very prompt.

        It is also asked so before it has learnt: what a prompt alone does is no merit of the adapter.
        """
        config = self._config
        prompt = config.prompt.model_copy(update={"system": self._prompts.solve_system(self._state.strategy)})
        self._measure_student("student_with_strategy", prompt, PolicyVersion(config.name, 0))
        if "student_trained" not in self._state.stages:
            pairs = self._synthesise()
            policy = self._student.learn(pairs, prompt, config.sft, "student")
            self._measure_student("student_trained", prompt, policy)

    def finish(self) -> Mapping[str, Any]:
        """Writes results and report."""
        results = {
            "job": "lrl",
            "model": self._config.model,
            "strategy": self._state.strategy,
            "distillations": len(self._state.evolution),
            "stages": self._state.stages,
            "comparisons": self._comparisons(),
            "conditions": [asdict(result) for result in self._conditions()],
            "cost": cost_row(self._teacher.account(), self._config.teacher),
        }
        replace_file(self._path(RESULTS_FILE), json.dumps(results, indent=1))
        return results

    # --- the teacher

    def _solve(self, stage: str, problems: Sequence[Problem], strategy: str) -> list[dict[str, Any]]:
        """The rows of all problems; those that `answers.jsonl` lacks are asked for. Raises TeacherStopped."""
        todo = [problem for problem in problems if (stage, problem.id) not in self._rows]
        system = self._prompts.solve_system(strategy)
        requests = [TeacherRequest(system, (("user", self._builder.message(p)),), problem=p) for p in todo]

        def keep(answered: Answered) -> None:
            row = {"stage": stage, **self._judged(todo[answered.index], answered)}
            append_rows(self._path(ANSWERS_FILE), [row])
            self._folder.changed()
            self._rows[stage, row["problem"]] = row

        if todo:
            with self._console.status(f"{stage}: the teacher judges {len(todo)} problems"):
                self._teacher.ask(requests, keep)
        return [self._rows[stage, problem.id] for problem in problems]

    def _judged(self, problem: Problem, answered: Answered) -> dict[str, Any]:
        row = {"problem": problem.id, "level": self._level(problem), "gold": gold(problem), "said": None}
        if answered.reply is None:
            return {**row, "status": API_ERROR, "detail": answered.error, "text": "", "request": ""}
        reply = answered.reply
        verdict = self._judge.judge(problem, reply.text, reply.finish_reason)
        given, status = read_answer(problem, verdict.status, reply.text)
        return {
            **row,
            "said": given,
            "status": status,
            "detail": verdict.detail,
            "text": reply.text,
            "request": reply.key,
        }

    def _entry(self, number: int, problems: Sequence[Problem], rows: Sequence[Mapping[str, Any]]) -> str:
        question = prompts.journal_question(problems, rows, self._state.strategy)
        text, status = self._write(self._prompts.journal_system, question)
        right = sum(row["said"] == row["gold"] for row in rows)
        mark = "" if status == ANSWERED else f" ({status})"
        return f"## Batch {number}: {right} of {len(rows)} right{mark}\n\n{text}"

    def _distil(self, number: int) -> None:
        """Replaces the strategy, unless what comes is empty, cut off or too long: then the one before stays."""
        config, state = self._config, self._state
        journal = "\n\n".join(state.journal)[-config.journal_chars :]
        question = prompts.distil_question(journal, state.strategy, config.strategy_chars)
        text, status = self._write(self._prompts.distil_system, question)
        if status == ANSWERED and len(text) > config.strategy_chars:
            status = "too_long"
        since = state.evolution[-1]["batch"] if state.evolution else 0
        under = [row for b in range(since + 1, number + 1) for row in self._batch_rows(b)]
        yes_no = {problem.id: is_yes_no(problem) for problem in self._train}
        answers = [
            Answer(r["problem"], r["level"], r["gold"], r["said"], r["status"], yes_no[r["problem"]]) for r in under
        ]
        if status == ANSWERED:
            state.strategy = text
        state.evolution.append(
            {
                "version": len(state.evolution) + 1,
                "batch": number,
                "status": status,
                "strategy": text,
                "accuracy_before": scores.figures(answers)["accuracy"],
            }
        )

    def _batch_rows(self, number: int) -> list[dict[str, Any]]:
        return [row for (stage, _), row in self._rows.items() if stage == f"bootstrap-{number}"]

    def _write(self, system: str, question: str) -> tuple[str, str]:
        """A text of the teacher's, and `answered` or why it cannot be used as it is."""
        answered = self._teacher.ask_one(TeacherRequest(system, (("user", question),)))
        if answered.reply is None:
            return answered.error, API_ERROR
        text = answered.reply.text.strip()
        if answered.reply.finish_reason == "length":
            return text, str(Status.TRUNCATED)
        return text, ANSWERED if text else str(Status.UNPARSED)

    # --- the student

    def _synthesise(self) -> list[tuple[Problem, str]]:
        """Labelled examples, of YES as many as of NO; also written to `synthesis.jsonl`."""
        config = self._config
        known = {problem.question_hash for problem in self._train}
        problems = problems_of(config, "train", config.synthesis_problems, config.synthesis_seed, known)
        pairs = [(problem, completion_of(problem, config.synthesis == "worked")) for problem in problems]
        if config.synthesis == "teacher":
            rows = self._solve("synthesis", problems, self._state.strategy)
            right = [(p, row["text"].strip()) for p, row in zip(problems, rows) if row["said"] == row["gold"]]
            pairs = even(right)
        lines = [{"problem": p.to_row(), "gold": gold(p), "completion": text} for p, text in pairs]
        replace_file(self._path("synthesis.jsonl"), "".join(json.dumps(line) + "\n" for line in lines))
        return pairs

    def _measure_student(self, name: str, prompt: PromptConfig, policy: PolicyVersion) -> None:
        if name in self._state.stages:
            return
        evaluation = self._student.answer(self._test, prompt, policy, name)
        groups = {group.problem.id: group for group in evaluation.groups}
        answers = []
        for problem in self._test:
            group = groups.get(problem.id)
            given, status = None, str(Status.INFRASTRUCTURE)
            if group is not None:
                given, status = read_answer(problem, group.verdicts[0].status, group.samples[0].text)
            answers.append(Answer(problem.id, self._level(problem), gold(problem), given, status, is_yes_no(problem)))
        self._record(name, answers)

    # --- records

    def _measure_teacher(self, name: str, strategy: str) -> None:
        if name not in self._state.stages:
            rows = self._solve(name, self._test, strategy)
            self._record(name, [self._answer(problem, row) for problem, row in zip(self._test, rows)])

    def _answer(self, problem: Problem, row: Mapping[str, Any]) -> Answer:
        return Answer(problem.id, row["level"], row["gold"], row["said"], row["status"], is_yes_no(problem))

    def _level(self, problem: Problem) -> str:
        """The variant, behind its family's name where there are several."""
        own = families.known(problem.family)
        if len(self._config.names) > 1:
            return f"{problem.family} {problem.variant}" if own else problem.family
        return problem.variant if own else str(problem.difficulty)

    def _record(self, name: str, answers: Sequence[Answer]) -> None:
        """A measurement's figures, with its single answers for the comparisons."""
        found = scores.figures(answers)
        single = [[a.problem, a.level, a.gold, a.said, a.status, *([] if a.yes_no else [False])] for a in answers]
        self._state.stages[name] = {**found, "answers": single}
        self._keep()
        self._folder.append_metrics({"kind": "lrl", "name": name, **found})
        rates = f"accuracy {scores.text(found['accuracy'])}"
        rates += f", balanced {scores.text(found['balanced_accuracy'])}" if found["balanced_accuracy"] else ""
        if "boxed" in found:
            rates += f", the most frequent answers {100 * (found['majority']['accuracy'] or 0):.1f} %"
        self._console.print(shown(f"{name}: {rates}"))

    def _keep(self) -> None:
        """Writes the state last: what it does not tell of is done again, from answers that are on disk."""
        state = self._state
        replace_file(self._path("journal.md"), "\n\n".join(state.journal) + "\n")
        replace_file(self._path("strategy.txt"), state.strategy + "\n")
        evolution = "".join(json.dumps(row) + "\n" for row in state.evolution)
        replace_file(self._path("strategy_evolution.jsonl"), evolution)
        replace_file(self._path(STATE_FILE), state.model_dump_json(indent=1))

    def _comparisons(self) -> dict[str, Any]:
        """Paired differences of accuracy between measurements of the same test problems."""
        pairs = (
            ("teacher", "teacher_with_strategy"),
            ("student", "student_with_strategy"),
            ("student_with_strategy", "student_trained"),
            ("student", "student_trained"),
        )
        answers = {name: [Answer(*single) for single in stage["answers"]] for name, stage in self._state.stages.items()}
        return {
            f"{before} -> {after}": scores.compare(answers[before], answers[after])
            for before, after in pairs
            if before in answers and after in answers
        }

    def _conditions(self) -> Sequence[Result]:
        """What became of those that were required."""
        stages = {LAST: "student_trained", "before": "student"} if self._config.require else {}
        found = {name: load_evaluation(self._folder, stage) for name, stage in stages.items()}
        return self._required.results({name: one for name, one in found.items() if one is not None})

    def _path(self, name: str) -> Path:
        return self._folder.path / name
