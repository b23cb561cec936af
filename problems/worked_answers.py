"""The worked answers that data sets have beside their questions: what a hint to a teacher may show."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from problems import mapping as mappings
from problems.mapping import Mapping
from problems.problem import Problem
from problems.rows import Row, SourceError
from problems.sources import OF_STRANGE_CELLS, SourceConfig, mapped_rows, source_files


def worked_answers(sources: Iterable[SourceConfig], wanted: Collection[str]) -> dict[str, str]:
    """Problem id -> its worked answer, reasoning and all or a program, of those `wanted` that have one.

    Reads the rows again, since no problem carries its solution, until all are found. Nothing is proven here.
    """
    found: dict[str, str] = {}
    left = set(wanted)
    for source in sources:
        for mapping, row in mapped_rows(source, source_files(source)):
            if not left:
                return found
            if mapping is None or mapping.trace is None or row.error:
                continue
            read = _read(mapping, row)
            if read is not None and read[0].id in left:
                left.discard(read[0].id)
                found[read[0].id] = read[1]
    return {key: text for key, text in found.items() if text}


def _read(mapping: Mapping, row: Row) -> tuple[Problem, str] | None:
    """The problem of a row and its worked answer; None for a row that is none or has none."""
    try:
        if not mappings.selects(mapping, row):
            return None
        problem, _ = mappings.to_problem(mapping, row, "test")
        worked = mappings.worked(mapping, row)
    except (SourceError, MemoryError, *OF_STRANGE_CELLS):
        return None
    if problem.kind != "answer":
        return problem, worked.code or worked.response
    return problem, "\n".join(part for part in (worked.thinking, worked.response) if part)
