"""`crucible distil`: a teacher's worked traces, each verified in the sandbox; what passes is kept, the rest kept apart.

attempts.jsonl              every answer with its verdict: what a resumed run goes on from
costs.jsonl, batches.jsonl  what the teacher cost (rollout.teacher.cost_ledger, rollout.teacher.message_batches)
traces.jsonl, .parquet      the answers that passed every hidden test
failures.jsonl, .parquet    all others, corrections included, with their verdicts
report.html                 what was kept, how the rest failed, what the teacher wrote
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.connect import live_nodes
from cluster.hardware import check_labels
from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.traces import REFUSED, trace_row, write_traces
from pipelines.errors import ConfigError, fail
from pipelines.job import Context, Job
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE, DistilConfig
from pipelines.measure.problem_set import check_known, questions_of, say_report
from pipelines.measure.statistics import wilson_interval
from pipelines.progress import CountedProgress
from pipelines.sync_teacher import check_teacher
from problems.grid import grid, wording
from problems.plain_text import shown
from problems.problem import Problem, Status
from problems.questions import worked_answer
from rollout.prompts import PromptBuilder, Style
from rollout.teacher.booked import LEDGER_FILE
from rollout.teacher.client import Answered
from rollout.teacher.cost_ledger import CostLedger, append_rows
from rollout.teacher.keys import find_keys
from rollout.teacher.opening import check_start
from rollout.teacher.prompt_files import TeacherPrompts
from rollout.teacher.request_cache import TeacherRequest, TeacherStopped

ATTEMPTS_FILE = "attempts.jsonl"
MAY_CHANGE = ("address", "runs", "name", *TEACHER_MAY_CHANGE)
OFFLINE_CHUNK = 32
"""Requests that travel together to a teacher that answers at once; those of a server travel alone, and come back as
they are answered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    folder: str
    """Its path or its URL."""
    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    """Every answer with its verdict, in the order of the problems and the rounds."""


def select_problems(config: DistilConfig) -> list[Problem]:
    """The problems to ask about, all different: `count` of each family and difficulty, or of `problems.parts` as many
    as `total` says. Raises ConfigError."""
    if config.problems.parts:
        return _of_parts(config)
    every = config.problems.model_copy(update={"weights": {}})
    try:
        return grid(every, "train", config.count, identity=wording)
    except ValueError as error:
        raise ConfigError(f"{error}; lower count") from None


def _of_parts(config: DistilConfig) -> list[Problem]:
    """Every training problem of the data sets once, or `total` of the mix."""
    questions = questions_of(config)
    try:
        questions.part("train", config.problems.seed)  # says what is wrong where there are none
        if config.total:
            found = questions.distinct("train", config.total, config.problems.seed)
        else:
            found = questions.whole("train")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if len(found) < config.total:
        raise ConfigError(f"problems.parts has only {len(found)} different training problems; lower total")
    return found


class Requests:
    """What the teacher is asked."""

    def __init__(self, config: DistilConfig) -> None:
        self._style: Style = config.prompt.style
        self._builder = PromptBuilder(None, config.prompt)
        self._prompts = TeacherPrompts(config.teacher.prompts)

    def first(self, problem: Problem) -> TeacherRequest:
        """The question."""
        system = self._prompts.system(problem, self._style)
        return TeacherRequest(system, (("user", self._builder.message(problem)),), problem=problem)

    def correction(self, problem: Problem, request: TeacherRequest, row: dict[str, Any]) -> TeacherRequest:
        """The question, the answer that failed, and why: what the teacher gets in the next round."""
        answer = ("assistant", row["raw_response"].strip() or "(no answer)")
        detail = self._prompts.correction(problem, self._style, row["detail"] or row["status"])
        return TeacherRequest(request.system, (*request.messages, answer, ("user", detail)), problem=problem)


class JudgeTraces:
    """A Ray Data stage: packed (number, request, Answered) in, with the verdict behind them out."""

    def __init__(self, config: Any):
        from verify.keys import drop_keys
        from verify.pool import Judge

        drop_keys()
        self._judge = Judge(config)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One row in, one row out."""
        from rollout.stream import pack, unpack

        items = unpack(batch)
        answers = [(r.problem, a.reply.text, a.reply.finish_reason) for _, r, a in items if a.reply is not None]
        verdicts = iter(self._judge.judge_batch(answers))
        return pack([(n, r, a, next(verdicts) if a.reply is not None else None) for n, r, a in items])


def check(config: DistilConfig) -> None:
    """Finds out before anything is started that there is no key, or no price. Raises ConfigError, TeacherStopped."""
    check_teacher(config.teacher)


def run(context: Context[DistilConfig]) -> Outcome:
    """Asks, verifies, corrects and writes the traces; or goes on where the run folder is.

    Raises JobError, and TeacherStopped where the teacher cannot go on: everything that it answered is then in the
    folder.
    """
    config, folder, console = context.config, context.folder, context.console
    if not config.teacher.is_offline:
        check_start(config.teacher, folder.path)
    if config.problems.parts:
        questions_of(config, console)  # shows what is read
    problems = select_problems(config)
    say_report(questions_of(config).report, console)
    if config.teacher.is_offline:
        check_known(problems)
    rows = {(row["number"], row["round"]): row for row in read_rows(folder.path / ATTEMPTS_FILE)}
    engines = context.teachers()
    if not engines:
        context.ray()
    check_labels("verify.labels", config.verify.labels, live_nodes())
    for round in range(config.corrections + 1):
        _ask_round(config, folder, problems, rows, round, console, engines)
    ordered = [rows[key] for key in sorted(rows)]
    kept = [row for row in ordered if row["verified"]]
    write_traces(folder.path, "traces", kept)
    write_traces(folder.path, "failures", [row for row in ordered if not row["verified"]])
    figures = figures_of(config, problems, ordered, folder.path)
    if not any(row.get("kind") == "distil" for row in folder.metrics()):
        folder.append_metrics(figures)
    return Outcome(str(folder), figures, ordered)


def _ask_round(
    config: DistilConfig,
    folder: RunFolder,
    problems: Sequence[Problem],
    rows: dict[tuple[int, int], dict[str, Any]],
    round: int,
    console: Console,
    engines: Sequence[Any],
) -> None:
    """Asks what this round has still to ask and adds the rows, each on disk before it counts."""
    todo, requests = [], Requests(config)
    for number, problem in enumerate(problems):
        request = requests.first(problem)
        for earlier in range(round):
            row = rows.get((number, earlier))
            if row is None or not wants_correction(row):
                break
            request = requests.correction(problem, request, row)
        else:
            if (number, round) not in rows:
                todo.append((number, request))
    if not todo:
        return
    stopped = ""
    what = "asking the teacher" if round == 0 else f"correction {round}"
    with CountedProgress(console, what, len(todo)) as progress:
        done = kept = 0
        for items in answered(config, folder, todo, engines):
            fresh = []
            for number, _, answer, verdict in items:
                if answer.stopped or (verdict is not None and verdict.status is Status.INFRASTRUCTURE):
                    stopped = stopped or answer.error or f"the sandbox failed: {verdict.detail}"
                    continue
                row = trace_row(problems[number], number, round, answer.reply, verdict, answer.error)
                rows[number, round] = row
                fresh.append(row)
            append_rows(folder.path / ATTEMPTS_FILE, fresh)
            folder.changed()
            kept += sum(row["verified"] for row in fresh)
            done += len(fresh)
            progress.update(done, f"{kept} passed")
    if stopped:
        folder.log(stopped)
        raise TeacherStopped(stopped)


def wants_correction(row: dict[str, Any]) -> bool:
    """Whether a trace failed in a way that another answer may correct."""
    return not row["verified"] and row["status"] != REFUSED


def answered(
    config: DistilConfig, folder: RunFolder, todo: Sequence[tuple[int, TeacherRequest]], engines: Sequence[Any] = ()
) -> Iterator[list[tuple[int, TeacherRequest, Answered, Any]]]:
    """(number, request, answer, verdict) of every request, as they come: the teacher and the sandbox as one stream."""
    import ray.data
    from ray.data import ActorPoolStrategy

    from rollout.stream import configure_data, pack, unpack
    from rollout.teacher.stage import teacher_stream

    configure_data()
    teacher = config.teacher
    by_batch = any(one.batch for one in teacher.members)
    size = OFFLINE_CHUNK if teacher.is_offline else teacher.batch_size if by_batch else 1
    chunks = [todo[start : start + size] for start in range(0, len(todo), size)]
    source = ray.data.from_items(
        [{"payload": pack(chunk)["payload"][0]} for chunk in chunks], override_num_blocks=len(chunks)
    )
    answers = teacher_stream(
        source,
        teacher,
        folder.path.resolve(),
        find_keys(teacher),
        str(folder.path.resolve()),
        folder.log_file,
        reference_solution,
        engines,
    )
    judged = answers.map_batches(
        JudgeTraces,
        fn_constructor_args=(config.verify,),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=config.verify.actors, max_tasks_in_flight_per_actor=2),
        zero_copy_batch=True,
        **config.verify.placement,
    )
    for batch in judged.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        yield unpack(batch)


def reference_solution(problem: Problem) -> str:
    """The shortest program that the problem's family knows for it, or the true final answer."""
    return worked_answer(problem)


def figures_of(
    config: DistilConfig, problems: Sequence[Problem], rows: Sequence[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """The run's row of `metrics.jsonl`."""
    first = [row for row in rows if row["round"] == 0]
    kept = [row for row in rows if row["verified"]]
    low, high = wilson_interval(len(kept), len(problems))
    cells: dict[str, dict[str, list[int]]] = {}
    for row in first:
        cells.setdefault(row["problem_type"], {}).setdefault(str(row["difficulty"]), [0, 0])[1] += 1
    for row in kept:
        cells[row["problem_type"]][str(row["difficulty"])][0] += 1
    account = CostLedger(folder / LEDGER_FILE).account() if (folder / LEDGER_FILE).exists() else None
    return {
        "kind": "distil",
        "teacher": ", ".join(config.teacher.names),
        "teachers": _by_teacher(rows),
        "asked": len(problems),
        "kept": len(kept),
        "kept_share": {"value": len(kept) / len(problems), "low": low, "high": high},
        "kept_first": sum(row["verified"] for row in first),
        "corrected": sum(row["round"] > 0 for row in kept),
        "distinct_programs": len({row["code"] for row in kept}),
        "without_thinking": sum(not row["thinking"] for row in kept),
        "truncated": sum(row["finish_reason"] == "length" for row in rows),
        "statuses": dict(sorted(Counter(row["status"] for row in rows).items())),
        "families": cells,  # family -> difficulty -> [kept, asked]
        "requests_paid": account.requests if account else 0,
        "tokens": {kind: getattr(account.usage, kind) for kind in ("input", "output", "cache_write", "cache_read")}
        if account
        else {},
        "dollars": account.dollars if account else 0.0,
        "dollars_open": account.open_dollars if account else 0.0,
    }


def _by_teacher(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Model -> answers, those that were kept, and dollars. What a teacher refused to answer is no one's."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["teacher"]:
            of_it = found.setdefault(row["teacher"], {"answers": 0, "kept": 0, "dollars": 0.0})
            of_it["answers"] += 1
            of_it["kept"] += row["verified"]
            of_it["dollars"] += row["dollars"]
    return dict(sorted(found.items()))


def show(console: Console, outcome: Outcome) -> int:
    """Prints kept of requested by family and difficulty, how the others failed, and the cost."""
    figures = outcome.figures
    difficulties = sorted({d for cells in figures["families"].values() for d in cells}, key=int)
    table = Table(title="Traces kept of those requested", title_justify="left")
    for heading in ("", *(f"difficulty {d}" for d in difficulties)):
        table.add_column(heading, justify="right" if heading else "left")
    for family, cells in figures["families"].items():
        table.add_row(shown(family), *("{} / {}".format(*cells[d]) if d in cells else "" for d in difficulties))
    console.print(table)
    share = figures["kept_share"]
    console.print(
        shown(
            f"{figures['kept']} of {figures['asked']} kept ({100 * share['value']:.1f} %, 95 % interval "
            f"[{100 * share['low']:.1f}, {100 * share['high']:.1f}]), {figures['corrected']} of them by correction; "
            f"{figures['distinct_programs']} distinct programs; {figures['without_thinking']} without thinking"
        )
    )
    failed = {status: count for status, count in figures["statuses"].items() if status != Status.PASSED}
    if failed:
        console.print(shown("failed: " + ", ".join(f"{count} {status}" for status, count in failed.items())))
    if len(figures["teachers"]) > 1:
        for name, of_it in figures["teachers"].items():
            console.print(shown(f"{name}: {of_it['kept']} of {of_it['answers']} answers kept, ${of_it['dollars']:.4f}"))
    if figures["requests_paid"]:
        console.print(shown(f"{figures['requests_paid']} answers paid, ${figures['dollars']:.4f}"))
    console.print(shown(f"traces: {outcome.folder}/traces.jsonl and .parquet"))
    if not figures["kept"]:
        return fail(f"no trace passed its tests; {outcome.folder}/failures.jsonl says why")
    return 0


def write_report(context: Context[DistilConfig], outcome: Outcome) -> None:
    """Writes what was kept, how the rest failed, and what the teacher wrote."""
    from pipelines.report.traces import render  # help, and a mistyped option, need not wait for the charts

    context.folder.write_report(render(outcome.figures, outcome.rows, context.folder))


JOB = Job("distil", DistilConfig, run, show, write_report, check=check, may_change=MAY_CHANGE, named_after="teacher")
main = JOB.main
