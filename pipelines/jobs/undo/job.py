"""The iterations: teacher solves, student learns, its errors go back to the teacher, until validation falls.

With `rollback` a fall takes the student back to the best iteration, and the teacher rewrites what that one gets wrong.

attempts.jsonl                every answer of the teacher with its verdict, on disk before it counts
grades.jsonl                  its grades of the student's reasoning, with scoring `rubric`
dataset/iteration-N/          what iteration N taught, as JSON lines and Parquet
adapters/iteration-N/         what the student then was: adapter/, or with sft.full model/, of the best and the newest
samples/                      the student's answers
costs.jsonl                   what the teacher cost (rollout.teacher.cost_ledger)
results.json, report.html     all figures

There is no other state: a resumed run walks the same way and finds each part done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder, replace_file
from pipelines.errors import ConfigError
from pipelines.job import Context
from pipelines.jobs.evaluate import Evaluation, compare
from pipelines.jobs.package_job import Outcome
from pipelines.jobs.rollback import Patience
from pipelines.jobs.undo import prompts
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.suites import Suites
from pipelines.jobs.undo.teaching import Teaching
from pipelines.measure.conditions import GREEDY, LAST, Required, Result
from pipelines.measure.problem_set import check_known, questions_of, with_questions
from pipelines.student_runner import ADAPTERS, StudentRunner
from pipelines.sync_teacher import SyncTeacher, cost_row, open_sync_teacher
from pipelines.whole_model import MODEL_FOLDER
from pipelines.whole_student import WholeStudentRunner
from problems.plain_text import shown
from problems.problem import Problem, Split
from rollout.policy import PolicyVersion
from verify.pool import Judge

RESULTS_FILE = "results.json"
BASE = "base"


def run(context: Context[UndoConfig]) -> Outcome:
    """Runs the iterations, or goes on where the run folder is.

    Raises JobError, NoRoom, and TeacherStopped where the teacher cannot go on; every answer is then kept.
    """
    config, sft = context.config, context.config.sft
    if sft.full and context.lent:
        raise ConfigError("sft.full starts engines on each model that it trains: leave it out beside another job's")
    # Data sets are read, and few-shot examples chosen, once for all.
    prompt = with_questions(config.student, context.console).prompt
    config = config.model_copy(update={"prompt": prompt})
    suites = Suites(config, context.console)
    if config.require:  # what cannot be measured is refused before anything is started
        conditions_of(config, distinct(config, "test", config.test_problems), suites)
    folder = context.folder
    kind = WholeStudentRunner if sft.full else StudentRunner
    student = kind(context, config.student, config.engine, sft.lora_r, config.max_tokens, sft.workers, config.engines)
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


def conditions_of(config: UndoConfig, test: Sequence[Problem], suites: Suites) -> Required:
    """What is required of the kept student, and of the untaught one, on test problems and suites. Raises ConfigError
    for a condition that these cannot measure."""
    known = {problem.id for problem in test}
    asked = [*test, *(problem for problem in suites.problems if problem.id not in known)]
    return Required.twice(config.require, asked, 1, GREEDY)


def has_fallen(best: Evaluation, now: Evaluation, fall: Literal["any", "interval"]) -> bool:
    """Whether validation has fallen, in the way that counts."""
    if fall == "any":
        return now.pass_at(1).value < best.pass_at(1).value
    return compare(best, now)["pass_at_1"]["high"] < 0


@dataclass(frozen=True, slots=True)
class Reached:
    """An iteration, or the untaught student, and what an iteration that goes on from it needs."""

    name: str
    policy: PolicyVersion
    val: Evaluation


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
        self._suites = suites
        self._console = console
        self._train = distinct(config, "train", config.train_problems, suites)
        self._val = distinct(config, "val", config.val_problems, suites)
        self._test = distinct(config, "test", config.test_problems)
        self._required = conditions_of(config, self._test, suites)
        self._teaching = Teaching(config, folder, teacher, judge, console, self._train)

    def run(self) -> Mapping[str, Any]:
        """Teaches until validation falls too often, nothing is left to rewrite, or the iterations are done."""
        config = self._config
        best = last = self._measure(BASE, PolicyVersion(config.name, 0))
        self._measure_test_now(best)
        policies, done = {BASE: best.policy}, []
        patience, stopped = Patience(config.patience), "all iterations done"
        for number in range(config.iterations + 1):
            asked = self._teaching.rewrite(number, self._ask_student(last.name, "train", last.policy))
            if not asked:
                stopped = "the student errs nowhere on the training problems"
                break
            now, row = self._iterate(number, last)
            accepted = not has_fallen(best.val, now.val, config.fall)
            done.append({"name": now.name, **asked, **row, "from": last.name, "accepted": accepted})
            policies[now.name] = now.policy
            if now.val.pass_at(1).value > best.val.pass_at(1).value:
                best = now
            if number == 0 or best is now:
                self._measure_test_now(now)
            last = now if accepted else best
            self._tell(done[-1], best.name)
            for name in policies.keys() - {BASE, best.name, now.name}:
                self._student.forget(name)
            if not accepted and not config.rollback:
                stopped = f"validation fell in {now.name}"
                break
            if patience.ends(accepted):
                stopped = patience.reason
                break
        return self._finish(done, policies, best.name, stopped)

    def _iterate(self, number: int, last: Reached) -> tuple[Reached, dict[str, Any]]:
        """Teaches the student of `last`, and measures what it then is; with the figures of that."""
        config, pairs = self._config, self._teaching.pairs()
        initial = None if last.name == BASE else last.policy
        name = f"iteration-{number}"
        policy = self._student.learn(pairs, config.prompt, config.sft, name, number + 1, initial)
        now = self._measure(name, policy)
        rates = {"val": now.val.pass_at(1), "train": self._ask_student(name, "train", policy).pass_at(1)}
        return now, {"taught": len(pairs)} | {split: asdict(rate) for split, rate in rates.items()}

    # --- measuring

    def _measure(self, name: str, policy: PolicyVersion) -> Reached:
        """Validation and the suites."""
        val = self._ask_student(name, "val", policy)
        self._measure_suites(name, policy)
        return Reached(name, policy, val)

    def _measure_test_now(self, reached: Reached) -> None:
        """Asks the test problems, which choose nothing, while the engines of this very model are up: with `sft.full`
        they would be started again for it at the end."""
        if self._config.sft.full and self._test:
            self._ask_student(reached.name, "test", reached.policy)

    def _ask_student(self, name: str, split: Split, policy: PolicyVersion) -> Evaluation:
        problems = {"train": self._train, "val": self._val, "test": self._test}[split]
        return self._student.answer(problems, self._config.prompt, policy, f"{name}-{split}")

    def _measure_suites(self, name: str, policy: PolicyVersion) -> None:
        def ask(problems: Sequence[Problem], called: str) -> Evaluation:
            return self._student.answer(problems, self._config.prompt, policy, called)

        self._suites.measure(name, ask, self._console)

    # --- records

    def _tell(self, row: Mapping[str, Any], best: str) -> None:
        known = {r.get("name") for r in self._folder.metrics() if r.get("kind") == "undo"}
        if row["name"] not in known:
            self._folder.append_metrics({"kind": "undo", **row})
        val, train = row["val"]["value"], row["train"]["value"]
        fate = f"; rolled back to {best}" if self._config.rollback and not row["accepted"] else ""
        line = f"{row['name']}: {row['taught']} taught, validation {val:.1%}, training {train:.1%}{fate}"
        self._console.print(shown(line))

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
            "kept_at": self._kept_at(best),
            "rollback": self._config.rollback,
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
            "conditions": [asdict(result) for result in self._conditions(tests, best)],
            "cost": cost_row(self._teacher.account(), self._config.teacher),
        }
        replace_file(self._folder.path / RESULTS_FILE, json.dumps(results, indent=1))
        return results

    def _conditions(self, tests: Mapping[str, Evaluation], best: str) -> Sequence[Result]:
        """What became of those that were required."""
        found = {}
        for called, name in (("before", BASE), (LAST, best)):
            groups = {group.problem.id: group for group in self._suites.found(name)}
            groups |= {group.problem.id: group for group in (tests[name].groups if tests else ())}
            found[called] = Evaluation(name, tuple(groups.values()))
        return self._required.results(found)

    def _kept_at(self, best: str) -> str:
        """Where in the run folder it is; "" for the untaught student."""
        return "" if best == BASE else f"{ADAPTERS}/{best}/{MODEL_FOLDER if self._config.sft.full else 'adapter'}"

    def _figures(self, evaluation: Evaluation) -> dict[str, Any]:
        row = evaluation.row(0)
        kept = {key: row[key] for key in ("families", "statuses", "truncated", "tests_passed")}
        return {"pass_at_1": asdict(evaluation.pass_at(1)), **kept}
