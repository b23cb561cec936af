"""Rows of traces, in the layouts of this product, of other systems and of public data sets, as traces to be judged.

A row is read by a mapping (`problems.mapping`), which says where it has its question, its tests or gold answer, and
its worked answer; where none is named, by the first that fits. Whoever wrote the rows is a stranger: nothing in them is
run here, unpickled or believed, and what is read of a row is bounded.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.storage import Storage, StorageError, url_of
from pipelines.artifacts.traces import Trace, TracesError
from pipelines.trace_config import TraceDataConfig
from problems import json_text
from problems import mapping as mappings
from problems.boxes import last_box
from problems.data_files import find_files
from problems.hub import hub_rows
from problems.problem import Problem, encode_value
from problems.rows import SUFFIXES, MissingColumnError, Row, SourceError, read_rows, suffix_of
from problems.sources import OF_STRANGE_CELLS, OWN, SourceConfig, own_problem, read
from problems.thinking import CHANNEL, CLOSING, OPENING
from problems.worked import LONGEST, Worked
from verify.extract import extract_code
from verify.thinking import after_thinking

HUB = "hub:"
"""Beginning of the name of a data set on the Hugging Face hub, among paths."""
TRIED = ("functions", "mbpp", "humaneval", "programs", "boxed", "answers", "gsm8k", "chat", "solutions")
"""Mappings that are tried for a row that is not our own, in this order: those with tests first."""
OF_PROBLEMS = (OWN, "functions", "boxed")
"""Mappings that are tried for files of problems."""
MOST_ROWS = 5_000_000
"""Rows of all files; a data set of the hub may have no end."""
OWN_PROBLEM, UNDO_PROBLEM = "problem", "problem_row"
"""Columns of our own files with the whole problem as JSON: those of traces, and those of `crucible undo`."""
TRACES, TAUGHT, SOLUTIONS = "traces.parquet", "dataset/iteration-*/train.parquet", "iterations/*/solutions.parquet"
"""What the run folders of `distil`, `undo` and `expert-iteration` hold to be learned from."""
_MARKS = re.compile(rf"{OPENING}|{CLOSING}|{CHANNEL}", re.IGNORECASE)
_BARE_THINK = re.compile(r"\s{0,40}think(?:ing)?[ \t]*:?[ \t]*\r?\n", re.IGNORECASE)
_BARE_END = re.compile(r"\n[ \t]*/?(?:end )?think(?:ing)?[ \t]*\Z", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t>]*(?:`{3}|~{3})", re.MULTILINE)


class NotATrace(SourceError):
    """A row that fits no mapping, or that has nothing to learn; the message is one line with its place."""


class NothingJudges(NotATrace):
    """A row without tests and without a gold answer."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trace that was read, and is still to be judged."""

    place: str
    """File and row."""
    trace: Trace
    judged: Problem
    """Its problem with every test that the row has among the scored ones."""
    finish_reason: str = "stop"
    claimed: bool = False
    """Whether the row says that it was verified."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A problem that rows of solutions name."""

    problem: Problem
    judged: Problem
    """With the tests of every problem that asks the same."""


@dataclass
class Reader:
    """Reads rows one by one."""

    config: TraceDataConfig
    beside: Mapping[str, Beside] = field(default_factory=dict)
    """Problems by their ids, for rows that hold solutions alone."""

    def __post_init__(self) -> None:
        chosen = (self.config.mapping,) if self.config.mapping else TRIED
        self._own = self.config.mapping in ("", OWN)
        try:
            self._mappings = [mappings.load(name) for name in chosen if name != OWN]
        except SourceError as error:
            raise TracesError(f"data.mapping: {error}") from None
        if silent := next((mapping.name for mapping in self._mappings if mapping.trace is None), ""):
            raise TracesError(f"data.mapping: {silent} says nothing of worked answers; give it a `trace`")

    def read(self, row: Row) -> Candidate | None:
        """A row as a candidate; None for one that the mapping's `where` leaves out. Raises NotATrace."""
        if row.error:
            raise NotATrace(f"{row.place}: {row.error}")
        try:
            if self._own and (problem := _own_problem(row)) is not None:
                return _own(row, problem)
            found = self._mapped(row) if self._mappings else _nothing_of_ours(row)
        except NotATrace:
            raise
        except (*OF_STRANGE_CELLS, MemoryError) as error:
            tried = ", ".join([OWN] * self._own + [mapping.name for mapping in self._mappings])
            raise NotATrace(f"{row.place}: has the layout of none of {tried}: {error!r}") from None
        if found is not None and not found.judged.hidden_tests and not self.config.trust:
            raise NothingJudges(
                f"{row.place}: has no tests and no gold answer, so it cannot be judged again; set data.trust to True "
                "to learn from such rows as they are, or give the problems' files by data.problems"
            )
        return found

    def _mapped(self, row: Row) -> Candidate | None:
        reasons = [f"{OWN}: no column with a whole problem"] * self._own
        for mapping in self._mappings:
            try:
                if not mappings.selects(mapping, row):
                    return None
                return self._by(mapping, row)
            except SourceError as error:
                why, fits = str(error).removeprefix(f"{row.place}: "), not isinstance(error, MissingColumnError)
                # Tests, or the name of a problem, that are there and of no use are not the same as none.
                if self.config.mapping or (fits and (mapping.tests or mapping.problem)):
                    raise NotATrace(f"{row.place}: {why} (read by mapping {mapping.name})") from None
                reasons.append(f"{mapping.name}: {why if fits else why.partition('; ')[0]}")
        there = ", ".join(str(name)[:80] for name in list(row.values)[:40]) or "none"
        raise NotATrace(
            f"{row.place}: fits no mapping; its columns are {there}; name a mapping of yours by data.mapping; tried "
            f"{'; '.join(reasons)}"
        )

    def _by(self, mapping: mappings.Mapping, row: Row) -> Candidate:
        worked = mappings.worked(mapping, row)
        if mapping.problem:
            name = mappings.text_of(row, mapping.problem)
            if (found := self.beside.get(name)) is None:
                why = "data.problems has none of that id" if self.beside else "data.problems names no file that has it"
                raise SourceError(f"{row.place}: column {mapping.problem!r} names the problem {name[:80]!r}: {why}")
            trace = trace_of(row, found.problem, worked)
            return Candidate(row.place, trace, found.judged, claimed=_claimed(row))
        problem, gold = mappings.to_problem(mapping, row, "train")
        until = mapping.trace.until if mapping.trace else ""
        trace = trace_of(row, problem, worked, gold if until and problem.kind == "answer" else "")
        return Candidate(row.place, trace, with_all_tests([problem]), claimed=_claimed(row))


def _claimed(row: Row) -> bool:
    return row.values.get("verified") is True


def trace_of(row: Row, problem: Problem, worked: Worked, gold: str = "") -> Trace:
    """What is learned from a worked answer. Raises NotATrace where it holds no program or no boxed answer."""
    thought, answer = split_response(worked.response)
    thinking = worked.thinking or thought
    if problem.kind != "answer":
        entry_point = problem.entry_point if problem.kind != "stdin" else ""
        code = worked.code or extract_code(worked.response, entry_point).code or ""
        if not code.strip():
            raise NotATrace(f"{row.place}: its worked answer holds no program")
        return Trace(problem, code.strip(), thinking)
    text = answer.strip()
    if gold and last_box(text) is None:
        text = f"{text}\n\\boxed{{{gold}}}"
    boxed = last_box(text) if text else worked.code
    if not boxed:
        raise NotATrace(f"{row.place}: its worked answer has no \\boxed answer")
    return Trace(problem, boxed, thinking, text)


def split_response(text: str) -> tuple[str, str]:
    """(thinking, answer) of a response; the thinking may be marked by tags, by channels, or by the bare word `think`
    in a first line, which lost its tags: it then ends where the program begins."""
    answer = after_thinking(text)
    if answer is None:
        return "", ""
    if len(answer) < len(text):
        return _MARKS.sub("", text[: text.rfind(answer)] if answer else text).strip(), answer
    begin, fence = _BARE_THINK.match(text), _FENCE.search(text)
    if begin is None or fence is None or fence.start() < begin.end():
        return "", text
    return _BARE_END.sub("", text[begin.end() : fence.start()].rstrip()).strip(), text[fence.start() :]


# --- our own rows


def _own_problem(row: Row) -> Problem | None:
    """The problem of a row of our own; None for a row of others. Raises NotATrace for one that cannot be read."""
    name = UNDO_PROBLEM if UNDO_PROBLEM in row.values else OWN_PROBLEM
    text = row.values.get(name)
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    try:
        values = json_text.loads(text)
    except ValueError:
        return None  # a question that begins with a brace
    if not isinstance(values, dict):
        return None
    try:
        return own_problem(Row(values, row.file, row.number))[0]
    except SourceError as error:
        raise NotATrace(f"{row.place}: its problem cannot be read: {error}") from None


def _own(row: Row, problem: Problem) -> Candidate:
    if UNDO_PROBLEM in row.values:
        worked = Worked("", "", _own_text(row, "teacher_solution"))
        return Candidate(row.place, trace_of(row, problem, worked), problem)
    code, thinking = _own_text(row, "code"), _own_text(row, "thinking")
    if not code.strip():
        raise NotATrace(f"{row.place}: column 'code' is empty")
    # Of an answer the worked lines are learned too, where they are those that the recorded answer was read from.
    text = split_response(_own_text(row, "raw_response"))[1].strip() if problem.kind == "answer" else ""
    text = text if last_box(text) == code.strip() else ""
    finish_reason = "length" if row.values.get("finish_reason") == "length" else "stop"
    return Candidate(row.place, Trace(problem, code, thinking, text), problem, finish_reason, _claimed(row))


def _nothing_of_ours(row: Row) -> None:
    raise NotATrace(
        f"{row.place}: there is no column {OWN_PROBLEM!r} with a whole problem, as `crucible distil` writes"
    )


def _own_text(row: Row, name: str) -> str:
    if name not in row.values:
        raise NotATrace(f"{row.place}: there is no column {name!r}")
    value = row.values[name]
    if not isinstance(value, str) or len(value) > LONGEST:
        raise NotATrace(f"{row.place}: column {name!r} holds no text of up to {LONGEST:,} characters")
    return value


# --- files


def rows_of(places: Sequence[str], config: TraceDataConfig) -> Iterator[Row]:
    """The rows of files, folders, run folders and data sets of the hub, one after another.

    Raises TracesError where one of them cannot be read at all.
    """
    count = 0
    for place in places:
        try:
            for row in _rows(place, config):
                count += 1
                if count > MOST_ROWS:
                    raise TracesError(f"{place} has more than {MOST_ROWS:,} rows; set data.limit, or name fewer files")
                yield row
        except SourceError as error:
            raise TracesError(str(error)) from None


def _rows(place: str, config: TraceDataConfig) -> Iterator[Row]:
    if place.startswith(HUB):
        name = place.removeprefix(HUB)
        known = (mappings.load(other) for other in mappings.names())
        found = next((mapping for mapping in known if mapping.hub == name), None)
        # Of a mapping only what names the data set matters here.
        yield from hub_rows(found or mappings.load("boxed").model_copy(update={"hub": name}), config.hub_split)
        return
    with brought(place) as path:
        if not path.exists():
            raise TracesError(
                f"there are no traces at {place}; correct the path, or write {HUB}OWNER/NAME for a data set of the hub"
            )
        # What is said of a file of a store names its place there, and not that of a copy that is soon gone.
        named = place.rstrip("/") if url_of(place) else str(path)
        try:
            for file in files_of(path):
                for row in read_rows(file):
                    yield row if named == str(path) else replace(row, file=row.file.replace(str(path), named))
        except (SourceError, TracesError) as error:
            raise type(error)(str(error).replace(str(path), named)) from None


@contextlib.contextmanager
def brought(place: str) -> Iterator[Path]:
    """The path itself, or for the block a copy of the data files at a place on an object store. Raises TracesError."""
    try:
        url = url_of(place)
        if url is None:
            yield Path(place)
            return
        there = Storage(url).names()
        names = {name: size for name, size in there.items() if is_of_use(name, is_run="config.yaml" in there)}
        folder, _, file = (url, "", "") if names else url.rpartition("/")
        with Storage(folder).copied(names or [file]) as copy:
            yield copy / file
    except StorageError as error:
        raise TracesError(f"there are no traces at {place}: {error}") from None


def is_of_use(name: str, is_run: bool) -> bool:
    """Whether `files_of` may want a file of a folder: of a run folder what is learned from, else all data files."""
    if not is_run:
        return suffix_of(Path(name)) in SUFFIXES
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in ("config.yaml", TRACES, TAUGHT, SOLUTIONS))


def files_of(path: Path) -> list[Path]:
    """The files of traces at a path: of a run folder those that its job wrote to be learned from; else as
    `find_files`. Raises TracesError for a run folder without any, SourceError."""
    if not (path / "config.yaml").is_file():
        return find_files(path)
    if (path / TRACES).is_file():
        return [path / TRACES]
    taught = sorted(path.glob(TAUGHT), key=_iteration)
    files = taught[-1:] or sorted(path.glob(SOLUTIONS), key=_iteration)
    if not files:
        raise TracesError(f"{path} is a run folder and holds no traces (of distil, undo or expert-iteration)")
    return files


def _iteration(path: Path) -> int:
    number = path.parent.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def problems_beside(paths: Sequence[str]) -> dict[str, Beside]:
    """Problems by the ids that their files give them. Raises TracesError for files without any problem."""
    held: list[Problem] = [problem for path in paths for problem in _problems(path)]
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in held:
        alike.setdefault((problem.question_hash, problem.signature), []).append(problem)
    found: dict[str, Beside] = {}
    for problem in held:
        judged = with_all_tests([problem, *alike[problem.question_hash, problem.signature]])
        for key in (problem.id, problem.id.removeprefix(f"{problem.family}-")):
            other = found.setdefault(key, Beside(problem, judged))
            if other.problem.content_hash != problem.content_hash:
                raise TracesError(f"data.problems holds two problems of the id {key[:80]!r}; name fewer files")
    return found


def _problems(path: str) -> list[Problem]:
    reasons = []
    for name in OF_PROBLEMS:
        try:
            if held := list(read(SourceConfig(mapping=name, path=path, split="train", prove=False))):
                return held
        except SourceError as error:
            reasons.append(f"{name}: {error}")
    raise TracesError(f"data.problems: {path} holds no problems; tried {'; '.join(reasons) or ', '.join(OF_PROBLEMS)}")


def with_all_tests(alike: Sequence[Problem]) -> Problem:
    """The first of problems that ask the same, to be judged by the tests of all, those that are shown included.

    Files may ask one question several times, each time with a few tests: a solution must pass them all. Where two
    tests contradict each other, the questions were not the same, and the first problem's own tests count.
    """
    first = alike[0]
    if first.kind != "function":
        return first
    own = (*first.public_examples, *first.hidden_tests)
    tests = {encode_value(list(test.args)): test for test in own}
    for test in (test for other in alike[1:] for test in (*other.public_examples, *other.hidden_tests)):
        known = tests.setdefault(encode_value(list(test.args)), test)
        if encode_value(known.expected) != encode_value(test.expected):
            return replace(first, hidden_tests=own)
    return replace(first, hidden_tests=tuple(tests.values()))
