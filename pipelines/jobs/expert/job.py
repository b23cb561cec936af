"""The iterations: sample, keep what passes, mix with replay, learn, measure, and go back where skill falls.

samples/                       every sample with its verdict: evaluation-iteration-N-train, -val; start-val; test
iterations/N/solutions.jsonl   what passed of iteration N's samples, each solution once (also .parquet)
iterations/N/traces.jsonl      what it learnt: focus and replay (also .parquet)
iterations/N/pairs.jsonl       with negatives: the right and the wrong sample of each pair
iterations/N/sft/, dpo/        the learner's own run folders
adapter/                       the best iteration's, as `grpo --adapter` and `evaluate --adapter` take it
results.json, report.html      all figures

There is no other state: every decision follows from what is recorded, so a resumed run walks the same way and finds
each part done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.adapters import read_adapter
from pipelines.artifacts.run_folder import RunFolder, replace_file, write_adapter
from pipelines.artifacts.traces import write_traces
from pipelines.config import EvaluationConfig
from pipelines.errors import ConfigError
from pipelines.job import Context
from pipelines.jobs.evaluate import Evaluation, compare
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.expert.replay_mix import (
    FilteredSamples,
    Pair,
    Solution,
    filter_correct,
    fresh_only,
    pairs,
    replay_mix,
    solutions_of,
)
from pipelines.jobs.package_job import Outcome
from pipelines.jobs.rollback import Patience
from pipelines.measure.conditions import LAST, Required
from pipelines.measure.problem_set import questions_of, with_questions
from pipelines.measure.statistics import Difference
from pipelines.student_runner import StudentRunner
from pipelines.trace_data import load_traces
from problems.plain_text import shown
from problems.problem import Problem, Split
from problems.questions import QuestionsConfig, identity
from rollout.policy import PolicyVersion

START = "start"
SIDES = ("focus", "general")
RESULTS_FILE = "results.json"
ITERATIONS = "iterations"
SFT_RUN, DPO_RUN = "sft", "dpo"
"""In an iteration's folder: the run folders of its two ways to learn."""


@dataclass(frozen=True, slots=True)
class Good:
    """What an iteration starts from: the policy of the last one that was not rolled back."""

    name: str
    policy: PolicyVersion


def run(context: Context[ExpertConfig]) -> Outcome:
    """Runs the iterations, or goes on where the run folder is. Raises JobError, NoRoom, SFTFailed."""
    config, console, model = context.config, context.console, context.model
    initial = read_adapter(config.adapter, config.name, model, config.sft.adapter)
    folder = context.folder
    # Data sets are read, and few-shot examples sampled, once for all.
    prompt = with_questions(config.asking(config.focus), console).prompt
    config = config.model_copy(update={"prompt": prompt})
    before: list[Solution] = []
    if config.replay_traces:
        before = solutions_of(load_traces(config.replay_traces, config.data, config.verify, console)[0])
    asking, sft = config.asking(config.focus), config.sft
    student = StudentRunner(context, asking, config.engine, sft.lora_r, config.max_tokens, sft.workers, config.engines)
    return Outcome(str(folder), iterate(config, folder, student, initial, console, before))


def iterate(
    config: ExpertConfig,
    folder: RunFolder,
    student: StudentRunner,
    initial: PolicyVersion,
    console: Console,
    before: Sequence[Solution] = (),
) -> Mapping[str, Any]:
    """All iterations, from the policy `initial` and the replay that was there `before`. Returns all figures, which are
    then in `folder` too."""
    return _Job(config, folder, student, console, before).run(initial)


def fallen(changes: Mapping[str, Difference]) -> tuple[str, ...]:
    """The sides whose skill fell beyond chance: the whole paired interval of the change lies below 0."""
    return tuple(side for side, change in changes.items() if change.worsened)


def best_of(start: float, rows: Sequence[Mapping[str, Any]]) -> str:
    """The name of the accepted iteration of the highest focus validation, the earliest of several; the start where
    none is above it."""
    best, value = START, start
    for row in rows:
        if row["accepted"] and row["val"]["focus"]["value"] > value:
            best, value = row["name"], row["val"]["focus"]["value"]
    return best


class _Job:
    """One run."""

    def __init__(
        self,
        config: ExpertConfig,
        folder: RunFolder,
        student: StudentRunner,
        console: Console,
        before: Sequence[Solution],
    ) -> None:
        self._config = config
        self._folder = folder
        self._student = student
        self._console = console
        rounds = config.iterations
        self._train = {
            "focus": self._draw(config.focus, "train", config.focus_problems * rounds, 2),
            "general": self._draw(config.general, "train", config.general_problems * rounds) if config.replay else [],
        }
        held: tuple[tuple[Split, int], ...] = (("val", config.val_problems), ("test", config.test_problems))
        self._held = {
            split: {
                "focus": self._draw(config.focus, split, count),
                "general": self._draw(config.general, split, count),
            }
            for split, count in held
        }
        tested = [problem for side in self._held["test"].values() for problem in side]
        self._required = Required.twice(config.require, tested, config.measured, "raise measured")
        self._pool: list[Solution] = self._unmeasured(before)
        """All solutions of the iterations so far, and those of replay's own files. One that was rolled back found its
        own with a good policy."""

    def run(self, initial: PolicyVersion) -> Mapping[str, Any]:
        """Iterates until all is done or too much was rolled back."""
        config = self._config
        good, policies = Good(START, initial), {START: initial}
        before = self._measure(START, "val", initial)
        start = {side: one.pass_at(1) for side, one in before.items()}
        self._say(f"{START}: " + ", ".join(f"{side} validation {start[side]}" for side in SIDES))
        rows: list[Mapping[str, Any]] = []
        patience, stopped = Patience(config.patience), "all iterations are done"
        for number in range(1, config.iterations + 1):
            taught = self._teach(number, good, initial)
            if taught is None:
                stopped = f"no focus problem of iteration {number} was solved"
                break
            policy, row = taught
            name = row["name"]
            after = self._measure(name, "val", policy)
            changes = {side: _difference(before[side], after[side]) for side in SIDES}
            lost = fallen(changes)
            accepted = not (lost and config.rollback)
            row |= {
                "from": good.name,
                "val": {side: asdict(after[side].pass_at(1)) for side in SIDES},
                "change": {side: asdict(change) for side, change in changes.items()},
                "fallen": list(lost),
                "accepted": accepted,
            }
            self._tell(row)
            rows.append(row)
            policies[name] = policy
            if accepted:
                good = Good(name, policy)
            if patience.ends(accepted):
                stopped = patience.reason
                break
        best = best_of(start["focus"].value, rows)
        return self._finish(rows, start, best, policies, stopped)

    def _unmeasured(self, before: Sequence[Solution]) -> list[Solution]:
        """Those of questions that no split measures: what is learned by heart measures nothing."""
        held = {identity(problem) for sides in self._held.values() for side in sides.values() for problem in side}
        kept = [solution for solution in before if identity(solution.problem) not in held]
        if len(kept) < len(before):
            self._say(f"replay_traces: {len(before) - len(kept)} solutions left out, whose questions are measured")
        return kept

    # --- one iteration

    def _teach(self, number: int, good: Good, initial: PolicyVersion) -> tuple[PolicyVersion, dict[str, Any]] | None:
        """Samples, keeps, mixes and learns; None where there is nothing to learn. Raises ConfigError where nothing was
        there from the start."""
        config, name = self._config, f"iteration-{number}"
        asked = {side: self._turn(side, number) for side in SIDES}
        problems = [problem for side in SIDES for problem in asked[side]]
        sampled = self._student.answer(problems, config.prompt, good.policy, f"{name}-train", config.drawing(number))
        by_id = {problem.id: problem for problem in problems}
        found = filter_correct(sampled.groups, by_id, frozenset(p.id for p in asked["focus"]), number, config.keep)
        new = fresh_only(found.solutions, self._pool)
        where = self._folder.path / ITERATIONS / str(number)
        where.mkdir(parents=True, exist_ok=True)
        write_traces(where, "solutions", [solution.row for solution in new])
        learnt, replay = self._replay_mix(number, new)
        self._pool += new
        if len({s.problem.question_hash for s in learnt}) < 2:
            if number > 1:
                return None
            raise ConfigError(
                f"of {len(asked['focus'])} focus problems the model solved {found_focus(found)} in {config.samples} "
                "samples each, and at least two are needed; ask easier ones, raise samples, or teach it first "
                "(crucible distil, crucible sft)"
            )
        self._say(
            f"{name}: {found.passed} of {found.sampled} samples passed, {found.repeats} of them repeats; learning from "
            f"{len(learnt)} focus solutions and {len(replay)} of replay"
        )
        row = {"name": name, "samples": _counts(found), "learnt": _mixed(learnt, replay)}
        chosen = None
        if config.negatives == "dpo":
            chosen = pairs(sampled.groups, by_id, config.dpo.pairs_per_problem)
            row["pairs"] = len(chosen)
            _write_pairs(where / "pairs.jsonl", chosen)
        start = good.policy if config.grow == "adapter" else initial
        policy = self._learn(where, (*learnt, *replay), chosen, number, start if start.weights else None)
        return None if policy is None else (policy, row)

    def _learn(
        self,
        where: Path,
        solutions: Sequence[Solution],
        chosen: Sequence[Pair] | None,
        number: int,
        policy: PolicyVersion | None,
    ) -> PolicyVersion | None:
        """The adapter that went on from `policy` with solutions, pairs or both; None where it learnt from neither."""
        config, student = self._config, self._student
        settings = config.sft.model_copy(update={"seed": config.seed})
        if chosen is None or config.dpo.stage == "after":
            write_traces(where, "traces", [solution.row for solution in solutions])
            traces = where / "traces.jsonl"
            policy = student.learn_traces(where / SFT_RUN, traces, config.prompt, settings, number, policy)
        if chosen:
            policy = student.prefer(where / DPO_RUN, chosen, config.prompt, config.dpo, settings, number, policy)
        return policy

    def _replay_mix(self, number: int, new: Sequence[Solution]) -> tuple[list[Solution], list[Solution]]:
        """(focus, replay) of an iteration. An adapter that goes on learns what is new; one that starts afresh has
        learnt nothing yet, and gets all focus solutions."""
        config = self._config
        everything = [*self._pool, *new]
        if config.grow == "base":
            learnt = [s for s in everything if s.focus]
            pool = [s for s in everything if not s.focus]
        else:
            learnt = [s for s in new if s.focus]
            pool = [s for s in everything if not s.focus or s.iteration < number]
        return learnt, replay_mix(pool, len(learnt), config.replay, config.draw, f"replay {config.seed} {number}")

    def _turn(self, side: str, number: int) -> list[Problem]:
        """The problems of an iteration: the next of all there are, from the first again where they end."""
        config, held = self._config, self._train[side]
        count = min(len(held), config.focus_problems if side == "focus" else config.general_problems)
        return [held[((number - 1) * count + at) % len(held)] for at in range(count)]

    # --- measuring

    def _measure(self, name: str, split: Split, policy: PolicyVersion) -> dict[str, Evaluation]:
        """Focus and general problems of a split, asked together."""
        held = self._held[split]
        sampling = EvaluationConfig(samples=self._config.measured, seed=self._config.seed, split=split)
        problems = [*held["focus"], *held["general"]]
        whole = self._student.answer(problems, self._config.prompt, policy, f"{name}-{split}", sampling)
        ids = {side: {problem.id for problem in held[side]} for side in SIDES}
        return {
            side: Evaluation(f"{name}, {side}", tuple(g for g in whole.groups if g.problem.id in ids[side]))
            for side in SIDES
        }

    def _draw(self, questions: QuestionsConfig, split: Split, count: int, least: int = 1) -> list[Problem]:
        """Different questions of a split, up to `count`. Raises ConfigError where there are fewer than `least`."""
        try:
            found = questions_of(self._config.asking(questions)).distinct(split, count, self._config.seed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if len(found) < least:
            asked = "problems.parts" if questions.parts else ", ".join(questions.families)
            raise ConfigError(f"{asked} have {len(found)} {split} questions; name more")
        if len(found) < count:
            self._say(f"{split}: there are {len(found)} different questions of the {count} asked for")
        return found

    # --- records

    def _say(self, line: str) -> None:
        self._console.print(shown(line), soft_wrap=True)
        self._folder.log(line)

    def _tell(self, row: Mapping[str, Any]) -> None:
        known = {r.get("name") for r in self._folder.metrics() if r.get("kind") == "expert"}
        if row["name"] not in known:
            self._folder.append_metrics({"kind": "expert", **row})
        changes = ", ".join(f"{side} validation {Difference(**row['change'][side])}" for side in SIDES)
        fate = "" if row["accepted"] else f"; rolled back to {row['from']}: {' and '.join(row['fallen'])} fell"
        self._say(f"{row['name']}: {changes}, against the start{fate}")

    def _finish(
        self,
        rows: Sequence[Mapping[str, Any]],
        start: Mapping[str, Any],
        best: str,
        policies: Mapping[str, PolicyVersion],
        stopped: str,
    ) -> Mapping[str, Any]:
        """Measures the test problems at the start and at the best iteration, and writes all down."""
        if best != START and not (self._folder.path / "adapter").is_dir():
            write_adapter(self._folder.path, policies[best])
        tests = {name: self._measure(name, "test", policies[name]) for name in dict.fromkeys((START, best))}
        whole = {
            name: Evaluation(name, tuple(g for s in SIDES for g in found[s].groups)) for name, found in tests.items()
        }
        conditions = self._required.results({"before": whole[START], LAST: whole[best]})
        results = {
            "job": "expert",
            "model": self._config.model,
            "seed": self._config.seed,
            "replay": self._config.replay,
            "rollback": self._config.rollback,
            "negatives": self._config.negatives,
            "start": {side: asdict(estimate) for side, estimate in start.items()},
            "iterations": list(rows),
            "best": best,
            "stopped": stopped,
            "test": {name: {side: _figures(found[side]) for side in SIDES} for name, found in tests.items()},
            "change": {side: asdict(_difference(tests[START][side], tests[best][side])) for side in SIDES}
            if best != START
            else {},
            "conditions": [asdict(result) for result in conditions],
        }
        replace_file(self._folder.path / RESULTS_FILE, json.dumps(results, indent=1))
        return results


def found_focus(found: FilteredSamples) -> int:
    """Focus problems with a solution."""
    return len({s.problem.id for s in found.solutions if s.focus})


def _difference(before: Evaluation, after: Evaluation) -> Difference:
    return Difference(**compare(before, after)["pass_at_1"])


def _counts(found: FilteredSamples) -> dict[str, int]:
    names = ("sampled", "failed", "passed", "repeats", "solved")
    return {name: getattr(found, name) for name in names} | {"kept": len(found.solutions)}


def _mixed(learnt: Sequence[Solution], replay: Sequence[Solution]) -> dict[str, Any]:
    """What the training set is made of."""
    return {
        "focus": len(learnt),
        "replay": len(replay),
        "general": sum(not solution.focus for solution in replay),
        "share": len(replay) / max(1, len(learnt) + len(replay)),
        "families": dict(sorted(Counter(s.problem.family for s in (*learnt, *replay)).items())),
    }


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    row = evaluation.row(0)
    kept = {key: row[key] for key in ("families", "statuses", "truncated", "tests_passed", "unscored")}
    return {"pass_at_1": asdict(evaluation.pass_at(1)), **kept}


def _write_pairs(path: Path, chosen: Sequence[Pair]) -> None:
    rows = [
        {
            "problem_id": pair.problem.id,
            "family": pair.problem.family,
            "problem": pair.problem.statement,
            "right": pair.right.text,
            "wrong": pair.wrong.text,
            "status": str(pair.status),
        }
        for pair in chosen
    ]
    replace_file(path, "".join(json.dumps(row) + "\n" for row in rows))
