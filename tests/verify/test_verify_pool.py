"""The pool: caches, recycling, memory, the Ray actor and the Ray Data stage."""

import subprocess
import sys
import time

import pytest
from conftest import HONEST, coin_problem, fenced, function_problem, problem

from problems.problem import Status, Verdict
from verify.config import VerifyConfig
from verify.pool import Judge, JudgeRows, VerifyPool

WRONG = "def coin_change(c, a): return 0"


def proportional_kib(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def test_a_pair_of_zygotes_is_small():
    with Judge(VerifyConfig()) as judge:
        judge.judge_code(coin_problem(), "import numpy\n" + HONEST)
        pids = [pid for zygote in judge.sandbox.zygotes for pid in zygote.pids]
        assert len(judge.sandbox.zygotes) == 2
        assert sum(map(proportional_kib, pids)) < 60 * 1024


def test_nothing_heavy_is_imported():
    heavy = ("torch", "transformers", "vllm", "ray", "pandas", "pyarrow")
    code = f"import sys, verify.pool, verify.cli; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_recycling():
    with Judge(VerifyConfig(recycle_after=10, cache=False)) as judge:
        first = judge.sandbox.zygote().pid
        verdicts = judge.judge_batch([(coin_problem(), fenced(HONEST + f"# {i}"), "stop") for i in range(35)])
        assert all(v.passed for v in verdicts)
        assert judge.sandbox.started >= 4 and judge.sandbox.zygote().pid != first


def test_the_cache_distinguishes_problems_and_programs():
    one = function_problem("f", [((1,), 1)])
    two = function_problem("f", [((1,), 2)])
    tests = {"f": 1}
    with Judge(VerifyConfig(cache_size=3)) as judge:
        assert judge.judge(one, fenced("def f(x): return 1")).passed
        assert not judge.judge(two, fenced("def f(x): return 1")).passed
        assert judge.judge(two, fenced("def f(x): return 2")).passed
        assert judge.counts["cached"] == 0
        assert judge.judge(one, "Well:\n" + fenced("def f(x): return 1")).passed
        assert judge.counts["cached"] == 1
        for i in range(9):
            judge.judge(one, fenced(f"def f(x): return {i}"))
        assert len(judge._verdicts) == 3
    assert tests == {"f": 1}


def test_the_cache_can_be_switched_off():
    with Judge(VerifyConfig(cache=False)) as judge:
        judge.judge_batch([(coin_problem(), fenced(HONEST), "stop")])
        judge.judge_batch([(coin_problem(), fenced(HONEST), "stop")])
        assert judge.counts == {"judged": 2, "cached": 0, "infrastructure": 0, "not_compared": 0}


def test_kinds_mixed_in_one_batch(judge):
    items = [
        (coin_problem(), fenced(HONEST), "stop"),
        (problem("stdin", [(("3",), "9")]), fenced("print(int(input()) ** 2)"), "stop"),
        (problem("assert", [(("assert f(2) == 4",), None)], entry_point="f"), fenced("f = lambda x: 2 * x"), "stop"),
        (problem("answer", [((), "B")], checker="choice"), "So it is (B).", "stop"),
        (problem("answer", [((), "yes")], checker="yes_no"), "No.", "stop"),
        (coin_problem(), "no code", "stop"),
        (function_problem("f", []), fenced("def f(): pass"), "stop"),
    ]
    statuses = [v.status for v in judge.judge_batch(items)]
    passed, wrong = Status.PASSED, Status.WRONG_ANSWER
    assert statuses == [passed, passed, passed, passed, wrong, Status.UNPARSED, Status.INFRASTRUCTURE]


def test_rows_for_ray_data():
    stage = JudgeRows(VerifyConfig())
    rows = [coin_problem().to_row()] * 3
    batch = {
        "problem": rows,
        "text": [fenced(HONEST), fenced(WRONG), ""],
        "finish_reason": ["stop"] * 3,
        "id": [1, 2, 3],
    }
    done = stage(batch)
    found = [Verdict.from_row(row).status for row in done["verdict"]]
    assert found == [Status.PASSED, Status.WRONG_ANSWER, Status.UNPARSED]
    assert done["id"] == [1, 2, 3] and "verdict" not in batch
    broken = stage({"problem": [{**rows[0], "hidden_tests": "{"}], "text": [""], "finish_reason": ["stop"]})
    assert Verdict.from_row(broken["verdict"][0]).status is Status.INFRASTRUCTURE
    stage.judge.close()


def test_in_ray(local_ray):
    ray = local_ray
    pool = VerifyPool(VerifyConfig(actors=2, batch_size=4))
    coins = coin_problem()
    items = [(coins, fenced(f"{code}\n# {i // 2}"), "stop") for i in range(12) for code in (HONEST, WRONG)]
    verdicts = pool.judge_batch(items)
    assert [v.passed for v in verdicts] == [True, False] * 12
    assert all(v.isolation >= 2 for v in verdicts)
    stats = ray.get([actor.stats.remote() for actor in pool.actors])
    assert sum(s["judged"] + s["cached"] for s in stats) == 24 and all(s["judged"] for s in stats)
    pool.close()
    rows = [{"problem": coins.to_row(), "text": fenced(c), "finish_reason": "stop"} for c in (HONEST, WRONG) * 4]
    judged = ray.data.from_items(rows).map_batches(JudgeRows, concurrency=1, batch_size=4).take_all()
    # By text and not by position: other jobs of this process may have allowed Ray Data to reorder rows.
    found = sorted((row["text"] == fenced(HONEST), str(row["verdict"]["status"])) for row in judged)
    assert found == [(False, "wrong_answer")] * 4 + [(True, "passed")] * 4


def test_an_actor_is_ready_in_under_a_second():
    """In addition to the interpreter and its imports: a zygote, the canary and two known programs.

    In CPU time, so that a busy machine does not fail it.
    """
    before = time.process_time()
    with Judge(VerifyConfig()) as judge:
        ours = time.process_time() - before
        zygote = sum(cpu_seconds(pid) for pid in judge.sandbox.zygote().pids)
    assert ours + zygote < 0.7


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


@pytest.mark.parametrize("field, value", [("min_isolation", 4), ("batch_size", 0), ("actors", 0), ("cpu_seconds", 0)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        VerifyConfig(**{field: value})


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="cpu_second"):
        VerifyConfig(cpu_second=1.0)
