"""Whichever process is killed, every job gets the right verdict, and no process is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from conftest import HONEST, coin_problem, fenced

from problems.problem import Status
from verify.chaos import ProcessKiller, descendants, wait_until_gone
from verify.config import VerifyConfig
from verify.pool import Judge

WRONG = "def coin_change(c, a): return -1"


def test_a_child_killed_from_outside_is_retried():
    problem = coin_problem()
    code = "import time\nfor _ in range(400): sum(range(10**5))\n" + HONEST
    with Judge(VerifyConfig(cpu_seconds=5.0, retries=3, cache=False)) as judge:
        zygote = judge.sandbox.zygote()
        killed = []

        def kill_once():
            deadline = time.monotonic() + 5
            while not killed and time.monotonic() < deadline:
                for pid in descendants(zygote.pids[-1]):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

        thread = threading.Thread(target=kill_once)
        thread.start()
        verdict = judge.judge_code(problem, code)
        thread.join()
        assert killed and verdict.passed


def test_a_job_that_cannot_be_judged_is_neither_scored_nor_cached():
    """The zygotes are killed until a job has failed after all its retries; then the same job is judged again."""
    problem, verdicts = coin_problem(), []
    with Judge(VerifyConfig(retries=1, cache=True)) as judge:

        def zygotes():
            # One that has ended keeps its number here, which may be another judge's process by now.
            return {pid for z in judge.sandbox.zygotes for pid in z.pids}.intersection(descendants(os.getpid()))

        with ProcessKiller(zygotes, every=0.0005) as killer:
            deadline = time.monotonic() + 30
            while Status.INFRASTRUCTURE not in verdicts and time.monotonic() < deadline:
                completion = fenced(f"{WRONG}\n# {len(verdicts)}")
                verdicts.append(judge.judge(problem, completion).status)
        assert killer.kills > 0 and verdicts[-1] is Status.INFRASTRUCTURE
        assert set(verdicts) <= {Status.INFRASTRUCTURE, Status.WRONG_ANSWER}
        assert judge.judge(problem, completion).status is Status.WRONG_ANSWER


def test_a_stopped_zygote_is_replaced():
    with Judge(VerifyConfig(cpu_seconds=0.2, wall_factor=1.0, retries=1, cache=False)) as judge:
        stopped = judge.sandbox.zygote()
        os.kill(stopped.pids[-1], signal.SIGSTOP)
        verdict = judge.judge_code(coin_problem(), HONEST)
        assert verdict.passed and judge.sandbox.started == 2
        assert wait_until_gone(set(stopped.pids), 3.0) == set()


def test_a_judge_that_is_killed_leaves_nothing(tmp_path):
    """The judge runs in a separate process, which is killed while an endless program runs."""
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\nfrom verify.pool import Judge\nfrom verify.config import VerifyConfig\n"
        "from verify.attacks.folder import coin_change_problem\n"
        "with Judge(VerifyConfig(cpu_seconds=60.0, idle_seconds=60.0)) as judge:\n"
        "    print(*judge.process_info().pids, flush=True)\n"
        "    judge.judge_code(coin_change_problem(), 'def coin_change(c, a):\\n    import time\\n    time.sleep(60)')\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    pids = set(map(int, process.stdout.readline().split()))
    deadline = time.monotonic() + 10
    while len(found := descendants(process.pid)) <= len(pids - {process.pid}) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) > len(pids - {process.pid}), "the endless program's child was not seen"
    process.kill()
    process.wait()
    assert wait_until_gone(set(found), 3.0) == set()
