"""Isolation levels are observed, and nothing runs below the configured minimum."""

import subprocess
from dataclasses import replace

import pytest
from conftest import HONEST, attack_folder, coin_problem, fenced, ordinary_python

from problems.problem import Status
from verify.config import VerifyConfig
from verify.pool import Judge
from verify.sandbox import worker
from verify.sandbox.executor import Sandbox
from verify.sandbox.probe import DENIALS, IsolationTooLow, probe
from verify.sandbox.worker import Plan, ZygoteDied

NOTHING_SPECIAL = Plan(namespaces=False, own_uid=False)


def level_with(plan: Plan) -> int:
    with Sandbox(VerifyConfig(), plan) as sandbox:
        found = probe(sandbox)
        assert found.level == 0 or not found.breaches
        return found.level


def test_levels_follow_from_the_kernels_features():
    assert level_with(NOTHING_SPECIAL) == 2
    assert level_with(replace(NOTHING_SPECIAL, landlock=False)) == 1
    assert level_with(replace(NOTHING_SPECIAL, seccomp=False)) == 0
    assert level_with(Plan()) in (2, 3)


def test_this_machine_reaches_level_3_by_namespaces_or_user():
    with Sandbox() as sandbox:
        found = probe(sandbox)
        report = sandbox.zygote().report
    assert found.refused == dict.fromkeys(DENIALS, True)
    assert (found.level == 3) == bool(report.get("namespaces_new") or report.get("own_uid"))


@pytest.mark.parametrize("missing, fix", [("landlock", "kernel of 5.13"), ("seccomp", "CONFIG_SECCOMP_FILTER")])
def test_too_low_a_level_is_one_line(missing, fix):
    with pytest.raises(IsolationTooLow, match=fix) as caught:
        Judge(VerifyConfig(), replace(NOTHING_SPECIAL, **{missing: False}))
    assert "\n" not in str(caught.value)


def test_level_2_judges_and_defends():
    with Judge(VerifyConfig(cpu_seconds=1.0, wall_factor=3.0), NOTHING_SPECIAL) as judge:
        assert judge.judge(coin_problem(), fenced(HONEST)).passed
        hostile = judge.judge(coin_problem(), fenced("import os\ndef coin_change(c, a): return os.listdir('/')"))
        assert hostile.status is Status.FORBIDDEN and hostile.isolation == 2
        forks = judge.judge(coin_problem(), fenced("import os\ndef coin_change(c, a): return os.fork()"))
        assert forks.status is Status.FORBIDDEN


def test_level_1_judges_programs_that_open_no_file():
    with Judge(VerifyConfig(min_isolation=1), replace(NOTHING_SPECIAL, landlock=False)) as judge:
        assert judge.judge(coin_problem(), fenced("import heapq, math\n" + HONEST)).passed
        assert judge.judge(coin_problem(), fenced("import sqlite3\n" + HONEST)).status is not Status.PASSED


def test_threads_are_limited_without_a_separate_user():
    """The kernel counts threads by user; if others share the user, the trusted side counts them."""
    code = """
import threading, time
def coin_change(coins, amount):
    threading.stack_size(32768)
    made = 0
    while made < 400:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
        time.sleep(0.002)
    return 3
"""
    with Judge(VerifyConfig(threads=20, cpu_seconds=5.0), NOTHING_SPECIAL) as judge:
        verdict = judge.judge(coin_problem(), fenced(code))
    assert verdict.status is Status.FORBIDDEN and "threads" in verdict.detail


def test_a_zygote_that_cannot_start_reports_why(tmp_path, monkeypatch):
    script = tmp_path / "zygote.py"
    script.write_text("raise RuntimeError('no such luck')")
    monkeypatch.setattr(worker, "_SCRIPT", script)
    with pytest.raises(ZygoteDied, match=r"no such luck.*crucible verify probe") as caught:
        Judge()
    assert "\n" not in str(caught.value)


def attack_as_ordinary_user(name: str, kind: str, **limits: float) -> subprocess.CompletedProcess:
    options = [word for limit, value in limits.items() for word in (f"--config.{limit.replace('_', '-')}", str(value))]
    command = [*ordinary_python(), "-m", "verify.cli", "attack", str(attack_folder(name)), "--only-kind", kind]
    return subprocess.run([*command, *options], capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("name", ["own", "attacks", "attacks2"])
def test_attacks_lose_as_an_ordinary_user(name):
    done = attack_as_ordinary_user(name, "attack", cpu_seconds=0.5, idle_seconds=0.4)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("name", ["own", "attacks"])
def test_honest_programs_pass_as_an_ordinary_user(name):
    done = attack_as_ordinary_user(name, "compat", cpu_seconds=4)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
