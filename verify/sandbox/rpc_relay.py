"""Relays calls from the test driver in one child to the candidate in another. The trusted side reads none of them."""

from __future__ import annotations

import marshal
from typing import Protocol

from verify.sandbox.protocol import CALL, Stop, framed, kind


class Peer(Protocol):
    """One end of the relay: a running child."""

    delivered: int
    answers: list[bytes]
    greeted: bool
    stop: Stop

    def take_answers(self) -> None: ...
    def send(self, data: bytes | None = None) -> None: ...


def relay(tests: Peer, candidate: Peer) -> None:
    """Forwards a new call of the tests to the candidate, and the candidate's answer, if there is one, to the tests.

    A candidate that has not sent its greeting may still be reading its program. `candidate.delivered` counts the calls
    forwarded, `tests.delivered` the answers returned: they never differ by more than one.
    """
    tests.take_answers()
    candidate.take_answers()
    if candidate.greeted and len(tests.answers) > candidate.delivered:
        call = tests.answers[candidate.delivered]
        if kind(call) == CALL:
            candidate.delivered += 1
            try:
                candidate.send(framed(bytes.fromhex(call[1:].decode())))
            except ValueError:
                tests.stop = tests.stop or Stop.FORGED
    if candidate.delivered > tests.delivered and len(candidate.answers) > tests.delivered:
        answer = candidate.answers[tests.delivered]
        tests.delivered += 1
        # Two byte strings: the test driver unmarshals the pair, and decodes the text only as data.
        tests.send(framed(marshal.dumps((answer[:1], answer[1:]))))
