"""Traces: a teacher's worked answers with their verdicts, as rows, JSON lines and Parquet, and back again.

`crucible distil` writes them; `pipelines.trace_rows` reads them, and what others write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts.run_folder import replace_file
from pipelines.errors import JobError
from problems.boxes import last_box
from problems.plain_text import storable
from problems.problem import Problem, Verdict, encode_value
from rollout.prompts import THINK_CLOSE, THINK_OPEN, Style, completion_text
from rollout.teacher.request_cache import Reply
from verify.extract import extract_code
from verify.thinking import after_thinking

TRACE_SCHEMA = pa.schema(
    [
        ("problem_type", pa.string()),  # the family
        ("problem_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("signature", pa.string()),
        ("function_name", pa.string()),
        ("tests", pa.string()),  # hidden tests: [[arguments, expected], ...] as tagged JSON
        ("difficulty", pa.int32()),
        ("thinking", pa.string()),
        ("code", pa.string()),  # of a problem of kind `answer`: the final answer
        ("raw_response", pa.string()),
        ("teacher", pa.string()),
        ("verified", pa.bool_()),
        ("tests_passed", pa.int32()),
        ("tests_total", pa.int32()),
        ("timestamp", pa.string()),
        ("status", pa.string()),  # of the verdict; `refused` where the teacher gave no answer at all
        ("detail", pa.string()),
        ("round", pa.int32()),  # 0 is the first answer, 1 the first correction
        ("number", pa.int32()),  # of the question within its run
        ("finish_reason", pa.string()),
        ("request", pa.string()),  # key of the request: names the stored answer
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("dollars", pa.float64()),
        ("isolation", pa.int32()),
        ("problem", pa.string()),  # the whole problem, by Problem.to_row
    ]
)
REFUSED = "refused"


class TracesError(JobError, ValueError):
    """A file that cannot be used as traces; the message is one line that names file, row and cause."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What is learnt from a trace."""

    problem: Problem
    code: str
    """The program, or of a problem of kind `answer` the final answer."""
    thinking: str
    text: str = ""
    """Of a problem of kind `answer`: the worked lines that end in the boxed answer; "" for the box alone."""

    def completion(self, style: Style) -> str:
        """The text to learn to write; style `direct` leaves the thinking out."""
        thinking = self.thinking if style == "think" else ""
        whole = completion_text(self.code, style, thinking, self.problem.kind)
        if not self.text:
            return whole
        return whole.removesuffix(completion_text(self.code, kind=self.problem.kind)) + self.text


def read_answer(problem: Problem, text: str) -> tuple[str, str]:
    """(thinking, code) of a teacher's answer; "" for what it does not hold. The code is what was judged."""
    answer = after_thinking(text) or ""
    thought = text[: text.rfind(answer)] if answer else text
    opening, closing = thought.find(THINK_OPEN), thought.rfind(THINK_CLOSE)
    thinking = thought[opening + len(THINK_OPEN) : closing].strip() if 0 <= opening < closing else ""
    if problem.kind == "answer":
        return thinking, last_box(answer) or ""
    found = extract_code(text, problem.entry_point if problem.kind != "stdin" else "")
    return thinking, (found.code or "").strip()


def trace_row(
    problem: Problem, number: int, round: int, reply: Reply | None, verdict: Verdict | None, error: str = ""
) -> dict[str, Any]:
    """The row of one answer, by `TRACE_SCHEMA`; without a reply, of a request that the teacher refused."""
    thinking, code = read_answer(problem, reply.text) if reply else ("", "")
    moment = time.gmtime(reply.created if reply else None)
    row = {
        "problem_type": problem.family,
        "problem_id": problem.id,
        "title": f"{problem.family}: {problem.variant}".replace("_", " ").removesuffix(": "),
        "description": problem.statement,
        "signature": problem.signature,
        "function_name": problem.entry_point,
        "tests": encode_value([[list(t.args), t.expected] for t in problem.hidden_tests]),
        "difficulty": problem.difficulty,
        "thinking": thinking,
        "code": code,
        "raw_response": reply.text if reply else "",
        "teacher": reply.model if reply else "",
        "verified": bool(verdict and verdict.passed),
        "tests_passed": verdict.tests_passed if verdict else 0,
        "tests_total": verdict.tests_total if verdict else len(problem.hidden_tests),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", moment),
        "status": str(verdict.status) if verdict else REFUSED,
        "detail": verdict.detail if verdict else error,
        "round": round,
        "number": number,
        "finish_reason": reply.finish_reason if reply else "",
        "request": reply.key if reply else "",
        "input_tokens": reply.usage.input + reply.usage.cache_write + reply.usage.cache_read if reply else 0,
        "output_tokens": reply.usage.output if reply else 0,
        "dollars": reply.dollars if reply else 0.0,
        "isolation": verdict.isolation if verdict else -1,
        "problem": json.dumps(problem.to_row()),
    }
    return {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}


def write_traces(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `<name>.jsonl` and `<name>.parquet`, each whole or not at all."""
    replace_file(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    columns = {field.name: [row.get(field.name) for row in rows] for field in TRACE_SCHEMA}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=TRACE_SCHEMA), buffer, compression="zstd")
    replace_file(folder / f"{name}.parquet", buffer.getvalue().to_pybytes())
