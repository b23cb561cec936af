"""Folders of hostile programs: none wins, in this process or in a Ray actor, and the runner detects every win."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import HONEST, attack_folder

from problems.problem import Problem, Status, Verdict
from verify.attacks import arena
from verify.attacks.arena import Arena
from verify.attacks.folder import BadFolder, coin_change_problem, load
from verify.attacks.run import trials
from verify.cli import RayTarget, main
from verify.config import VerifyConfig
from verify.pool import Judge, ProcessInfo

QUICK = VerifyConfig(cpu_seconds=0.5, idle_seconds=0.4, cache=False)
PATIENT = VerifyConfig(cpu_seconds=4.0, cache=False)


def programs(folder, *kinds):
    return [p for p in load(folder) if p.kind in (*kinds, "setup")]


def losses(folder, target, *kinds) -> list[str]:
    return [f"{t.program.name}: {t.traces} {t.verdict}" for t in trials(programs(folder, *kinds), target) if t.fails]


@pytest.mark.parametrize("name", ["own", "attacks", "attacks2"])
def test_attacks_lose(name):
    with Judge(QUICK) as judge:
        assert losses(attack_folder(name), judge, "attack", "semantics") == []
        assert judge.sandbox.started <= 2


@pytest.mark.parametrize("name", ["own", "attacks"])
def test_honest_programs_pass(name):
    with Judge(PATIENT) as judge:
        assert losses(attack_folder(name), judge, "compat") == []


@pytest.fixture(scope="module")
def actor(local_ray):
    with RayTarget(VerifyConfig(cpu_seconds=2.0, idle_seconds=0.4, cache=False)) as target:
        yield target


@pytest.mark.parametrize(("name", "first"), [("own", "kpsnxuc"), ("attacks", "rhc"), ("attacks2", "u")])
def test_in_a_ray_actor(name, first, actor):
    """Honest programs, and attacks on the channel, the worker and the next job; other attacks do not depend on Ray."""
    chosen = [p for p in programs(attack_folder(name), "attack", "compat") if p.name[0] in first]
    assert [t for t in trials(chosen, actor) if t.fails] == []


def test_this_room_has_attacks_and_honest_programs_of_its_own():
    kinds = [p.kind for p in load(attack_folder("own"))]
    assert kinds.count("attack") >= 40 and kinds.count("compat") >= 8


def folder_of(tmp_path, rows: dict[str, tuple[str, str, list[str]]]):
    for name, (code, _, _) in rows.items():
        (tmp_path / f"{name}.py").write_text(code)
    manifest = [{"name": n, "kind": kind, "win": win} for n, (_, kind, win) in rows.items()]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


class Gullible:
    """Runs candidates in this very process, so that every attack wins and leaves its trace."""

    def __init__(self):
        self.starts, self.taken = 1, 0

    def judge_code(self, problem: Problem, code: str) -> Verdict:
        space = {"target": self}
        try:
            exec(code, space)
            answers = [space["coin_change"](*t.args) for t in problem.hidden_tests]
        except OSError as error:
            return Verdict(Status.EXCEPTION, detail=str(error))
        right = all(a == t.expected for a, t in zip(answers, problem.hidden_tests))
        return Verdict(Status.PASSED if right else Status.WRONG_ANSWER, detail=f"test 1: answered {answers[0]}")

    def process_info(self) -> ProcessInfo:
        return ProcessInfo({os.getpid()}, os.getuid(), False, self.starts, self.taken)


def test_the_runner_detects_every_trace(tmp_path):
    wins = {
        "reward": "class E:\n    def __eq__(self, o): return True\ndef coin_change(c, a): return E()",
        "leak": "def coin_change(c, a): return 'PWNED:x'",
        "file": "def coin_change(c, a):\n    open('@ROOT@/canary/file', 'w').close(); return 0",
        "net": "import socket\ndef coin_change(c, a):\n    socket.create_connection(('127.0.0.1', "
        "int(open('@ROOT@/canary_port').read()))).close(); return 0",
        "parent": "import os\ndef coin_change(c, a):\n    os.environ['FAKE_API_KEY'] = 'gone'; return 0",
        "victim": "import os, time\ndef coin_change(c, a):\n"
        "    [os.kill(int(f.split('_')[1]), 9) for f in os.listdir('@ROOT@/canary') if f.startswith('victim_')]\n"
        "    time.sleep(0.05); return 0",
        "survivor": "import subprocess, sys\ndef coin_change(c, a):\n"
        "    target.left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9)', 'zygote.py']); return 0",
        "flood": "def coin_change(c, a):\n    target.taken += 10**9; return 0",
        "poison": "import builtins\nbuiltins.min = max\ndef coin_change(c, a): return 0",
    }
    rows = {name: (code, "attack", [name]) for name, code in wins.items()}
    rows["secret"] = (
        "def coin_change(c, a): return 'PWNED:' + open('@ROOT@/canary_secret/token').read()",
        "attack",
        ["leak"],
    )
    rows["honest"] = (HONEST, "compat", ["reward"])
    rows["wrong"] = ("def coin_change(c, a): return 0", "compat", ["reward"])
    import builtins

    real, target, results = builtins.min, Gullible(), {}
    for trial in trials(load(folder_of(tmp_path, rows)), target):
        results[trial.program.name] = trial
        builtins.min = real
        if trial.program.name == "survivor":
            target.left.kill()
            target.left.wait()
        if trial.program.name == "parent":
            import os

            os.environ["FAKE_API_KEY"] = "sk-canary-env"
    assert {name for name, trial in results.items() if trial.won} == {*wins, "secret"}
    assert not results["honest"].fails and results["wrong"].refused


def test_the_sandbox_of_another_judge_is_no_survivor():
    """Two judges may share a user, as where the machine gives the sandbox none of its own."""
    other = "import subprocess, sys, time\nsandboxed = [sys.executable, '-c', 'import time; time.sleep(9)', 'zygote' + '.py']\n"
    other += "print(subprocess.Popen(sandboxed).pid, flush=True)\ntime.sleep(9)"
    processes = arena.Processes({os.getpid()}, os.getuid(), False)
    ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(9)", "zygote.py"])
    with subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE) as judge:
        theirs = int(judge.stdout.readline())
        try:
            assert processes.survivors(0.0) == [ours.pid]
            # Without a parent it may be anybody's, so it is ours too.
            judge.kill()
            judge.wait()
            assert set(processes.survivors(0.0)) == {ours.pid, theirs}
        finally:
            os.kill(theirs, signal.SIGKILL)
            ours.kill()
            ours.wait()


def test_a_setup_program_runs_just_before_the_next_program(tmp_path):
    rows = {
        "leave": ("import builtins\nbuiltins.left = 1\ndef coin_change(c, a): return 0", "setup", []),
        "find": (
            "import builtins\ndef coin_change(c, a): return 'PWNED:' if hasattr(builtins, 'left') else 0",
            "attack",
            ["leak"],
        ),
    }
    import builtins

    folder = load(folder_of(tmp_path, rows))
    assert [t.won for t in trials(folder, Gullible())] == [True]
    del builtins.left
    with Judge(QUICK) as judge:
        assert [t.won for t in trials(folder, judge)] == [False]


@pytest.mark.parametrize(
    "manifest, complaint",
    [
        (None, "no manifest.json"),
        ("{", "not JSON"),
        ("[]", "at least one"),
        ('[{"kind": "attack"}]', "has no name"),
        ('[{"name": "a", "kind": "friend"}]', "kind 'friend'"),
        ('[{"name": "a", "kind": "attack", "win": ["luck"]}]', "'luck' is not a trace"),
        ('[{"name": "a", "kind": "attack", "win": []}]', "has no a.py"),
        ('[{"name": "../a", "kind": "attack", "win": []}]', "has no ../a.py"),
    ],
)
def test_a_bad_folder_is_reported_in_one_line(manifest, complaint, tmp_path, capsys):
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(BadFolder, match=r"."):
        load(tmp_path)
    assert main(["attack", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_the_exit_status_reports_failures(tmp_path, capsys):
    rows = {
        "honest": (HONEST, "compat", ["reward"]),
        "wrong": ("def coin_change(c, a): return 0", "attack", ["reward"]),
    }
    assert main(["attack", str(folder_of(tmp_path, rows))]) == 0
    assert "failed at none" in capsys.readouterr().out
    rows["odd"] = ("def coin_change(c, a): return 1", "compat", ["reward"])
    assert main(["attack", str(folder_of(tmp_path, rows))]) == 1
    assert "REFUSED" in capsys.readouterr().out


def test_one_arena_waits_for_another(monkeypatch):
    """Attacks use socket names that exist once on a machine."""
    first, second = Arena(os.getuid()), Arena(os.getuid())
    with concurrent.futures.ThreadPoolExecutor(1) as pool, first:
        waiting = pool.submit(second.__enter__)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        first.__exit__()
        assert waiting.result(10) is second and second.traces("nobody") == set()
        monkeypatch.setattr(arena, "WAIT_SECONDS", 0.0)
        third = Arena(os.getuid())
        with pytest.raises(TimeoutError, match="another attack run"):
            third.__enter__()
        assert not third.root.exists()
        second.__exit__()


def test_the_honest_solution_of_the_attacks_is_right():
    space: dict = {}
    exec(HONEST, space)
    for test in coin_change_problem().hidden_tests:
        assert space["coin_change"](*test.args) == test.expected
