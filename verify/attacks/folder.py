"""A folder of programs with a manifest. Each program is a candidate solution for `coin_change(coins, amount)`.

`manifest.json` is a list of objects with `name` (of `name.py`), `kind` and `win`; other keys are comments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from problems.problem import Problem, Test

KINDS = ("attack", "compat", "semantics", "setup")
"""An attack must not win, a compat program must pass, a semantics program is only reported, a setup program prepares
the next one."""
TRACES = ("reward", "leak", "file", "net", "parent", "victim", "survivor", "hang", "flood", "poison")
"""Traces by which an attack can win; `arena.py` and `run.py` detect them."""

HONEST = """
def coin_change(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1
"""
_CASES = (
    ([1, 2, 5], 11),
    ([2], 3),
    ([1], 0),
    ([3, 7], 14),
    ([1, 5, 10, 25], 63),
    ([4, 9], 1),
    ([2, 5], 28),
    ([1, 3, 4], 6),
)
_EXPECTED = (3, -1, 0, 2, 6, -1, 8, 2)


class BadFolder(ValueError):
    """The folder does not have the expected layout."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a folder."""

    name: str
    kind: str
    win: tuple[str, ...]
    code: str
    """Its source, in which `@ROOT@` is not yet replaced."""
    about: str = ""


def coin_change_problem() -> Problem:
    """The problem that the programs solve."""
    return Problem(
        id="coin_change",
        family="coin_change",
        family_version=0,
        difficulty=5,
        split="test",
        statement="The fewest coins that make the amount, -1 if impossible.",
        entry_point="coin_change",
        signature="def coin_change(coins: list[int], amount: int) -> int:",
        public_examples=(),
        hidden_tests=tuple(Test(case, answer) for case, answer in zip(_CASES, _EXPECTED)),
    )


def load(folder: Path) -> list[Program]:
    """The programs of a folder, in the order of its manifest. Raises BadFolder, which names the fault."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise BadFolder(f"{folder} has no manifest.json; give a folder of programs with a manifest")
    try:
        rows = json.loads(manifest.read_text())
    except ValueError as error:
        raise BadFolder(f"{manifest} is not JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise BadFolder(f"{manifest} must be a list of at least one program")
    return [_program(folder, row) for row in rows]


def _program(folder: Path, row: object) -> Program:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise BadFolder(f"{folder / 'manifest.json'}: an entry has no name: {str(row)[:80]}")
    name, kind, win = row["name"], row.get("kind"), row.get("win") or []
    if kind not in KINDS:
        raise BadFolder(f"{name}: kind {kind!r} is not one of {', '.join(KINDS)}")
    unknown = [trace for trace in win if trace not in TRACES]
    if unknown:
        raise BadFolder(f"{name}: {unknown[0]!r} is not a trace; use {', '.join(TRACES)}")
    path = folder / f"{name}.py"
    if path.parent != folder or not path.is_file():
        raise BadFolder(f"{folder} has no {name}.py, which its manifest names")
    return Program(name, kind, tuple(win), path.read_text("utf-8", "surrogateescape"), str(row.get("desc", "")))
