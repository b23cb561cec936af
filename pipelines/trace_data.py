"""Traces to learn from: rows that anybody wrote, each judged again in the sandbox, whatever it says of itself."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from pipelines.artifacts.traces import Trace, TracesError
from pipelines.errors import ConfigError
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_rows import Candidate, NotATrace, NothingJudges, Reader, problems_beside, rows_of
from problems.plain_text import one_line, shown
from problems.problem import Status, Verdict
from problems.rows import SourceError
from verify.config import VerifyConfig

SHOWN = 20
"""Rows that were left out of which the reasons are shown; all are counted."""
BATCH = 1024
"""Traces that are judged together."""


@dataclass
class TraceReport:
    """What became of the rows."""

    rows: int = 0
    passed_over: int = 0
    """Rows that the mapping's `where` leaves out."""
    excluded: int = 0
    """Rows that could not be read as traces, or not judged."""
    untested: int = 0
    """Rows that nothing could judge, left out for lack of trust."""
    trusted: int = 0
    """Rows that nothing could judge, taken as they are."""
    failed: int = 0
    """Traces that failed their tests."""
    claimed: int = 0
    """Of those, that say they were verified."""
    repeats: int = 0
    """Traces that another row has too."""
    reasons: list[str] = field(default_factory=list)
    """Place and reason of the first rows that were left out."""

    def __rich__(self) -> str:
        """What a display says while the rows are read and judged."""
        return f"reading and judging traces: {self.rows:,} rows"

    def leave_out(self, reason: str, strict: bool) -> None:
        """Notes why a row is left out. Raises TracesError in strict mode."""
        if strict:
            raise TracesError(f"{one_line(reason)} (data.strict stops here)")
        if len(self.reasons) < SHOWN:
            self.reasons.append(one_line(reason))

    @property
    def figures(self) -> dict[str, int]:
        """The counts, for the run's metrics."""
        names = ("rows", "passed_over", "excluded", "untested", "trusted", "failed", "claimed", "repeats")
        return {name: getattr(self, name) for name in names}

    def summary(self, kept: int) -> str:
        """One line: what is learned from, and what became of the other rows."""
        claimed = f" (of which {self.claimed} say they are verified)" if self.claimed else ""
        parts = [
            f"{self.failed} failed their tests{claimed}" if self.failed else "",
            f"{self.untested} could not be judged and are not trusted" if self.untested else "",
            f"{self.trusted} are trusted unjudged" if self.trusted else "",
            f"{self.repeats} repeat another" if self.repeats else "",
            f"{self.passed_over} passed over" if self.passed_over else "",
            f"{self.excluded} excluded" if self.excluded else "",
        ]
        return ", ".join([f"{self.rows} rows: {kept} traces", *filter(None, parts)])


def load_traces(
    places: Sequence[str], config: TraceDataConfig, verify: VerifyConfig, console: Console
) -> tuple[list[Trace], TraceReport]:
    """The traces of files, folders, run folders and data sets of the hub that pass their own tests, and a report.

    Says what became of the rows. Raises TracesError where nothing can be learned from, ConfigError where the machine
    cannot judge.
    """
    if not places:
        raise TracesError("there are no traces to learn from; name files, folders or hub:OWNER/NAME by --traces")
    report = TraceReport()
    with console.status(cast(Any, report)):
        traces = list(_kept(places, config, verify, report, console))
    for reason in report.reasons:
        console.print(shown("left out", "yellow"), shown(reason), soft_wrap=True)
    console.print(shown(report.summary(len(traces))), soft_wrap=True)
    if not traces:
        where = ", ".join(places)
        if not report.rows:
            raise TracesError(f"{where} holds no traces")
        why = report.reasons[0] if report.reasons else "all are passed over"
        raise TracesError(f"{where}: of {report.rows} rows none can be learned from; the first: {why}")
    return traces, report


def written_traces(path: Path) -> list[Trace]:
    """The verified traces of a file, or of a run folder, that a job judged when it wrote it. Raises TracesError."""
    reader = Reader(TraceDataConfig(mapping="own"))
    try:
        rows = list(rows_of([str(path)], reader.config))
        return [found.trace for row in rows if row.values.get("verified") and (found := reader.read(row)) is not None]
    except SourceError as error:
        raise TracesError(str(error)) from None


def _kept(
    places: Sequence[str], config: TraceDataConfig, verify: VerifyConfig, report: TraceReport, console: Console
) -> Iterator[Trace]:
    candidates = _candidates(places, config, report)
    kept = 0
    with _Judging(verify) as judging:
        while batch := list(itertools.islice(candidates, BATCH)):
            for candidate, verdict in zip(batch, judging(batch), strict=True):
                if not _passes(candidate, verdict, report, config.strict):
                    continue
                yield candidate.trace
                kept += 1
                if kept == config.limit:
                    return


def _candidates(places: Sequence[str], config: TraceDataConfig, report: TraceReport) -> Iterator[Candidate]:
    """The rows that are traces, each once."""
    reader = Reader(config, problems_beside(config.problems))
    rows: Iterable[Any] = rows_of(places, config)
    if config.shuffle is not None:
        rows = list(rows)
        random.Random(config.shuffle).shuffle(rows)
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        report.rows += 1
        try:
            candidate = reader.read(row)
        except NotATrace as error:
            if isinstance(error, NothingJudges):
                report.untested += 1
            else:
                report.excluded += 1
            report.leave_out(str(error), config.strict)
            continue
        if candidate is None:
            report.passed_over += 1
            continue
        trace = candidate.trace
        key = (trace.problem.content_hash, trace.code, trace.thinking, trace.text)
        if key in seen:
            report.repeats += 1
            continue
        seen.add(key)
        yield candidate


def _passes(candidate: Candidate, verdict: Verdict | None, report: TraceReport, strict: bool) -> bool:
    if verdict is None:
        report.trusted += 1
        return True
    if verdict.status is Status.INFRASTRUCTURE:
        report.excluded += 1
        report.leave_out(f"{candidate.place}: cannot be judged: {verdict.detail}", strict)
    elif not verdict.passed:
        report.failed += 1
        report.claimed += candidate.claimed
        claim = ", although it says it is verified" if candidate.claimed else ""
        why = f"{verdict.status}, {verdict.detail}".rstrip(", ")
        report.leave_out(f"{candidate.place}: fails its own tests{claim}: {why}", strict)
    return verdict.passed


class _Judging(contextlib.AbstractContextManager["_Judging"]):
    """The sandboxes, which start with the first trace that has tests."""

    def __init__(self, config: VerifyConfig) -> None:
        self._config = config
        self._judges: Any = None

    def __call__(self, batch: Sequence[Candidate]) -> list[Verdict | None]:
        """The verdict of each candidate; None for one without tests."""
        from verify.local_judges import LocalJudges
        from verify.sandbox.probe import IsolationTooLow

        items = [(c.judged, c.trace.completion("direct"), c.finish_reason) for c in batch if c.judged.hidden_tests]
        if self._judges is None:
            self._judges = LocalJudges(self._config)
        try:
            verdicts = iter(self._judges.judge_batch(items))
        except IsolationTooLow as error:
            raise ConfigError(f"the traces cannot be judged here: {error}") from None
        return [next(verdicts) if c.judged.hidden_tests else None for c in batch]

    def __exit__(self, *_: object) -> None:
        if self._judges is not None:
            self._judges.close()
