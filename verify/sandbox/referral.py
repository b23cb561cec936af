"""Passing calls from test code in one child to the candidate in another. The trusted side reads none of
it."""

from __future__ import annotations

import marshal
from typing import Protocol

from verify.sandbox.jobs import CALL, framed, kind


class Party(Protocol):
    """A run that can be spoken with."""

    asked: int
    answers: list[bytes]
    greeted: bool

    def take_answers(self) -> None: ...
    def send(self, data: bytes | None = None) -> None: ...


def relay(tests: Party, candidate: Party) -> None:
    """Hands on the call that the tests wait for, if it is new, and the candidate's answer, if it is there.

    A candidate that has not greeted may still be reading its program. `candidate.asked` counts calls handed
    on, `tests.asked` answers handed back: the two never differ by more than one.
    """
    tests.take_answers()
    candidate.take_answers()
    if candidate.greeted and len(tests.answers) > candidate.asked:
        call = tests.answers[candidate.asked]
        if kind(call) == CALL:
            candidate.asked += 1
            candidate.send(framed(marshal.dumps(call[1:])))
    if candidate.asked > tests.asked and len(candidate.answers) > tests.asked:
        answer = candidate.answers[tests.asked]
        tests.asked += 1
        # Byte strings both ways: the children unmarshal those, and decode the text in them as data.
        tests.send(framed(marshal.dumps((answer[:1], answer[1:]))))
