"""Passing calls from test code in one child to the candidate in another. The trusted side reads none of
it."""

from __future__ import annotations

import marshal
from typing import Protocol

from verify.sandbox.protocol import CALL, Stop, framed, kind


class Party(Protocol):
    """A run that can be spoken with."""

    asked: int
    answers: list[bytes]
    greeted: bool
    stop: Stop

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
            try:
                candidate.send(framed(bytes.fromhex(call[1:].decode())))
            except ValueError:
                tests.stop = tests.stop or Stop.FORGED
    if candidate.asked > tests.asked and len(candidate.answers) > tests.asked:
        answer = candidate.answers[tests.asked]
        tests.asked += 1
        # Two byte strings: the referee unmarshals this, and only decodes the text as data.
        tests.send(framed(marshal.dumps((answer[:1], answer[1:]))))
