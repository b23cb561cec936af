"""What the teacher is told and asked: rules, strategy, journal, distillation. All of it is text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.jobs.lrl.balanced_problems import FAMILY
from problems import families
from problems.families.scheduling import peak
from problems.problem import Problem

RULES = """\
You judge whether meetings fit into rooms. A meeting has a start and an end and nothing more: no priority, no people. \
A room holds one meeting at a time, all rooms are alike, and a meeting may begin in a room at the moment at which \
another ends there. Assume nothing that is not stated."""

JOURNAL_SYSTEM = """\
You keep a journal about your own work on {subject}. Write about what the figures and examples show, and \
invent nothing: no problem, no number and no cause that is not in them."""

DISTIL_SYSTEM = """\
You turn a journal about {subject} into a strategy: steps that somebody who has never seen these problems \
can follow. Name no single problem, and leave out whatever does not help to {decide}."""

SHOWN = 5
"""Examples of a batch that a journal entry is about."""


class TaskPrompts:
    """The words for the problems of a run: those of scheduling, or those in which its families describe themselves."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` are families, or names of data sets."""
        self.is_scheduling = [_family(name) for name in names] == [FAMILY]
        subject = "scheduling problems" if self.is_scheduling else f"problems of {_listed(names)}"
        self.rules = RULES if self.is_scheduling else _rules(names)
        self.journal_system = JOURNAL_SYSTEM.format(subject=subject)
        self.distil_system = DISTIL_SYSTEM.format(subject=subject, decide="decide" if self.is_scheduling else "solve")
        watched = "time" if self.is_scheduling else "number"
        self.first_strategy = f"Read every {watched} with care, and check the answer before giving it."

    def solve_system(self, strategy: str) -> str:
        """What every question of a stage begins with; "" leaves the strategy out."""
        return f"{self.rules}\n\nStrategy:\n{strategy}" if strategy else self.rules


def _rules(names: Sequence[str]) -> str:
    """What is asked, by each family's own summary."""
    described = [(name, families.get(name).summary) for name in names if families.known(name)]
    kinds = [f"- {_plain(name)}: {RULES if _family(name) == FAMILY else summary}" for name, summary in described]
    kinds += [f"- {_plain(name)}" for name in names if not families.known(name)]
    return "\n".join(["You solve problems of these kinds:", *kinds, "Assume nothing that is not stated."])


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(map(_plain, names[:-1])), *map(_plain, names[-1:]))))


def _plain(name: str) -> str:
    return _family(name).replace("_", " ")


def _family(name: str) -> str:
    """Without the version of its contract, which is no business of the teacher's."""
    return name.partition("@")[0]


def journal_question(problems: Sequence[Problem], rows: Sequence[Mapping[str, Any]], strategy: str) -> str:
    """Asks for the entry about one batch: its accuracy, its first examples, four questions."""
    right = sum(row["said"] == row["gold"] for row in rows)
    lines = [f"The strategy was:\n{strategy}\n", f"Of {len(rows)} problems {right} were judged rightly."]
    silent = [row["status"] for row in rows if row["said"] is None]
    if silent:
        lines.append(f"{len(silent)} had no verdict: {', '.join(sorted(set(silent)))}.")
    lines.append(f"The first {min(SHOWN, len(rows))}:")
    for problem, row in list(zip(problems, rows))[:SHOWN]:
        line = f"- {problem.statement} Expected {row['gold']}, got {row['said'] or 'no verdict'}."
        lines.append(line + _facts(problem))
    lines.append(
        "\nWrite the entry, in at most 150 words: What worked? Which errors were made? Which cases are on the edge? "
        "What should be done otherwise?"
    )
    return "\n".join(lines)


def _facts(problem: Problem) -> str:
    """What decides a problem, where that is known."""
    if _family(problem.family) != FAMILY:
        return ""
    meetings, rooms = problem.params["meetings"], problem.params["rooms"]
    return f" At most {peak(meetings)} meetings are on at once; rooms: {rooms}."


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

ANY_METHOD = """\
1. Write down every number that the question gives, and what is asked.
2. Go from these to the answer one step at a time, each step with its numbers.
3. Put the answer into the question and check that all of it holds."""
"""The strategy of the offline teacher for other problems."""
