"""A slow program runs in parallel with the next ones: none waits for it, and none is affected by it."""

import time

import pytest
from conftest import HONEST, coin_problem, fenced

from problems.problem import Status
from verify.config import VerifyConfig
from verify.pool import Judge

LOOP = "def coin_change(c, a):\n    while True: pass"
SLEEP = "import time\ndef coin_change(c, a): time.sleep(99)"
HOG = """
import threading, time
threading.stack_size(65536)
def coin_change(coins, amount):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            time.sleep(0.01)
"""
FLOOD = "def coin_change(c, a):\n    import os\n    while True: os.write(3, b'x' * 60000)"
SLOW = HONEST.replace("table =", "for _ in range(3_000_000): pass\n    table =", 1)


def judge_all(codes: list[str], **settings) -> tuple[list[Status], float, Judge]:
    problem, began = coin_problem(), time.monotonic()
    with Judge(VerifyConfig(cache=False, **{"cpu_seconds": 1.0, "idle_seconds": 0.5, **settings})) as judge:
        items = [(problem, fenced(f"{code}\n# {i}"), "stop") for i, code in enumerate(codes)]
        return [v.status for v in judge.judge_batch(items)], time.monotonic() - began, judge


@pytest.mark.parametrize("overlap", [1, 3])
def test_verdicts_are_in_order(overlap):
    kinds = [
        (HONEST, Status.PASSED),
        (LOOP, Status.TIMEOUT),
        ("def coin_change(c, a): return -1", Status.WRONG_ANSWER),
        (SLEEP, Status.TIMEOUT),
        (FLOOD, Status.OUTPUT_FLOOD),
        (SLOW, Status.PASSED),
        ("def coin_change(c, a): raise KeyError", Status.EXCEPTION),
        (HONEST, Status.PASSED),
    ]
    found, _, judge = judge_all([code for code, _ in kinds], overlap=overlap, cpu_seconds=1.5)
    assert found == [status for _, status in kinds]
    assert judge.sandbox.started == 1


def test_sleeping_programs_wait_in_parallel():
    """In sequence, eight would take eight times as long as one, even on a busy machine."""
    _, alone, _ = judge_all([SLEEP], overlap=8)
    found, together, _ = judge_all([SLEEP] * 8, overlap=8)
    assert found == [Status.TIMEOUT] * 8
    assert together < 5 * alone


def test_a_sleeping_program_is_detected_next_to_a_busy_one():
    found, _, judge = judge_all([SLEEP, LOOP], cpu_seconds=1.5)
    assert found == [Status.TIMEOUT] * 2 and judge.sandbox.started == 1


@pytest.mark.parametrize("hostile", [HOG, FLOOD, SLEEP])
def test_honest_programs_in_parallel_with_a_hostile_one(hostile):
    found, _, judge = judge_all([hostile] + [HONEST] * 30 + [hostile] + [SLOW] * 3)
    assert [found[0], found[31]] != [Status.PASSED] * 2
    assert found[1:31] + found[32:] == [Status.PASSED] * 33
    assert judge.sandbox.started == 1


def test_a_zygote_with_a_running_program_is_not_replaced():
    found, _, judge = judge_all([SLOW] + [HONEST] * 40, recycle_after=8)
    assert found == [Status.PASSED] * 41 and judge.sandbox.started >= 4


@pytest.mark.parametrize("hang_up", ["os.close(3)", "os.closerange(0, 64)"])
def test_a_channel_closed_by_the_program_uses_no_cpu_time(hang_up):
    """A socket whose far end is closed is always ready: polling it would be a busy loop."""
    code = f"import os\ndef coin_change(c, a):\n    {hang_up}\n    while True: pass"
    with Judge(VerifyConfig(cpu_seconds=1.5, cache=False)) as judge:
        before = time.process_time()
        assert judge.judge_code(coin_problem(), code).status is Status.TIMEOUT
        assert time.process_time() - before < 0.3
