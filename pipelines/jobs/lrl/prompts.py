"""What the teacher is told and asked: rules, strategy, journal, distillation. All of it is text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from problems.families.scheduling import peak
from problems.problem import Problem

RULES = """\
You judge whether meetings fit into rooms. A meeting has a start and an end and nothing more: no priority, no people. \
A room holds one meeting at a time, all rooms are alike, and a meeting may begin in a room at the moment at which \
another ends there. Assume nothing that is not stated."""

JOURNAL_SYSTEM = """\
You keep a journal about your own work on scheduling problems. Write about what the figures and examples show, and \
invent nothing: no problem, no number and no cause that is not in them."""

DISTIL_SYSTEM = """\
You turn a journal about scheduling problems into a strategy: steps that somebody who has never seen these problems \
can follow. Name no single problem, and leave out whatever does not help to decide."""

SHOWN = 5
"""Examples of a batch that a journal entry is about."""


def solve_system(strategy: str) -> str:
    """What every question of a stage begins with; "" leaves the strategy out."""
    return f"{RULES}\n\nStrategy:\n{strategy}" if strategy else RULES


def journal_question(problems: Sequence[Problem], rows: Sequence[Mapping[str, Any]], strategy: str) -> str:
    """Asks for the entry about one batch: its accuracy, its first examples, four questions."""
    right = sum(row["said"] == row["gold"] for row in rows)
    lines = [f"The strategy was:\n{strategy}\n", f"Of {len(rows)} problems {right} were judged rightly."]
    silent = [row["status"] for row in rows if row["said"] is None]
    if silent:
        lines.append(f"{len(silent)} had no verdict: {', '.join(sorted(set(silent)))}.")
    lines.append(f"The first {min(SHOWN, len(rows))}:")
    for problem, row in list(zip(problems, rows))[:SHOWN]:
        lines.append(
            f"- {problem.statement} Expected {row['gold']}, got {row['said'] or 'no verdict'}. At most "
            f"{peak(problem.params['meetings'])} meetings are on at once; rooms: {problem.params['rooms']}."
        )
    lines.append(
        "\nWrite the entry, in at most 150 words: What worked? Which errors were made? Which cases are on the edge? "
        "What should be done otherwise?"
    )
    return "\n".join(lines)


def distil_question(journal: str, strategy: str, limit: int) -> str:
    """Asks for a strategy; `journal` is what is to be read of it, `limit` characters the longest answer."""
    return (
        f"The journal's latest pages:\n\n{journal}\n\nThe strategy so far:\n{strategy}\n\nWrite the strategy to use "
        f"from now on: numbered steps, at most {limit} characters, nothing before and nothing after them."
    )


METHOD = """\
1. Write down the start and the end of every meeting.
2. Go through all these times from the earliest to the latest; at equal times take ends before starts.
3. Count one up at a start and one down at an end, and keep the highest count.
4. Answer YES if the highest count is not above the number of rooms, otherwise NO."""
"""The strategy of the offline teacher: how the family's own reference solution decides."""
