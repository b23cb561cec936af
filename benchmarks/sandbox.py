"""What judging a program costs: ours beside other ways to run it, on the same programs in one run.

    python benchmarks/sandbox.py [--parts correct hostile workers actors ready memory load] [--rounds 3]

Arms: `ours` is a `Judge` at this machine's full isolation, from the completion to the verdict; `subprocess` starts an
interpreter a program; `human-eval`, `verl` and `evalplus` fork a process a program as those projects do
(`other_judges.py`).

Fairness. Every arm judges the same programs of `coin_change`, 8 tests each, with a limit of 1 s, one after the
other, in a process of its own that imported little else; arms take turns, and each keeps its best round. The
answers are checked: what an arm misjudges, mostly by its limit of wall time on a busy machine, is counted.
CPU-seconds are of the whole tree of processes. `ours` may run two programs at once when one is slow (`overlap`);
`workers` therefore gives every arm as many processes as there are cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from benchmarks.other_judges import (  # noqa: E402
    IMPORTS,
    LIMIT,
    as_in_evalplus,
    as_in_human_eval,
    as_in_verl,
    with_subprocess,
)
from verify.attacks.folder import HONEST, coin_change_problem  # noqa: E402

PARTS = ("correct", "hostile", "workers", "actors", "ready", "memory", "load")
ODD = {
    "wrong": (0.2, "def coin_change(coins, amount):\n    return amount\n"),
    "endless": (0.05, "def coin_change(coins, amount):\n    while True:\n        pass\n"),
    "1 GiB": (0.05, "def coin_change(coins, amount):\n    return len(b'x' * (1 << 30))\n"),
    "100 MB of output": (
        0.05,
        "for _ in range(100):\n    print('x' * 10**6)\n\ndef coin_change(coins, amount):\n    return 0\n",
    ),
    "exception": (0.05, "def coin_change(coins, amount):\n    raise ValueError(amount)\n"),
}
"""The hostile mix beside its correct programs: the share of each, and what."""

Program = tuple[str, bool]
"""Code, and whether it is right."""
Judging = Callable[[list[Program]], list[bool]]


def programs(mix: str, count: int) -> list[Program]:
    """`correct`: correct ones alone; `hostile`: 60 % correct, 20 % wrong, the rest takes time, memory or output."""
    odd = [(code, False) for share, code in ODD.values() for _ in range(round(share * count))]
    odd = odd if mix == "hostile" else []
    found = [(HONEST, True)] * (count - len(odd)) + odd
    random.Random(0).shuffle(found)
    return [(f"{code}\n# {number}\n", right) for number, (code, right) in enumerate(found)]


# The arms. Each is a function from programs to one bool a program.


def ours() -> Judging:
    """The product's own judge, isolation level 3 where the machine gives it; 32 completions a call."""
    from verify.config import VerifyConfig
    from verify.pool import Judge

    judge, problem = Judge(VerifyConfig(cpu_seconds=LIMIT, cache=False)), coin_change_problem()

    def run(work: list[Program]) -> list[bool]:
        items = [(problem, f"```python\n{code}```", "stop") for code, _ in work]
        return [v.passed for at in range(0, len(items), 32) for v in judge.judge_batch(items[at : at + 32])]

    return run


def one_by_one(judge: Callable[[str], bool]) -> Callable[[], Judging]:
    """An arm that judges one program after the other."""
    return lambda: lambda work: [judge(code) for code, _ in work]


ARMS: dict[str, Callable[[], Judging]] = {
    "ours": ours,
    "subprocess": one_by_one(with_subprocess),
    "human-eval": one_by_one(as_in_human_eval),
    "verl": one_by_one(as_in_verl),
    "evalplus": one_by_one(as_in_evalplus),
}


# Measuring.


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    programs: int
    rounds: int


def tree_cpu(pid: int) -> float:
    """CPU-seconds of a process, of all below it, and of those of them that have ended and were waited for."""
    total = 0.0
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat") as f:
            total += sum(map(int, f.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                total += sum(map(tree_cpu, map(int, f.read().split())))
    return total


def worker(arm: str, mix: str, count: str, share: str) -> None:
    """One process of an arm: says that it is ready, and for each line that it reads judges its share and says how."""
    part, parts = map(int, share.split("/"))
    for name in IMPORTS.get(arm, ()):
        __import__(name)
    work, run = programs(mix, int(count))[part::parts], ARMS[arm]()
    repeats = 5 if mix == "correct" and arm == "ours" else 1  # enough for a clock of 10 ms
    run(programs("correct", 40 if arm == "ours" else 4))
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu, began = tree_cpu(os.getpid()), time.monotonic()
        found = [run(work) for _ in range(repeats)][-1]
        seconds, cpu = time.monotonic() - began, tree_cpu(os.getpid()) - cpu
        wrong = sum(answer != right for answer, (_, right) in zip(found, work, strict=True))
        print(json.dumps({"programs": repeats * len(work), "seconds": seconds, "cpu": cpu, "wrong": wrong}), flush=True)


class Arm:
    """The processes of an arm, started and warm."""

    def __init__(self, name: str, mix: str, count: int, workers: int = 1):
        command = [sys.executable, __file__, "--worker", name, mix, str(count)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.name = name
        self.processes = [subprocess.Popen([*command, f"{i}/{workers}"], **pipes) for i in range(workers)]
        for process in self.processes:
            if process.stdout.readline() != "ready\n":
                raise SystemExit(f"the arm {name} does not run here")

    def round(self) -> dict[str, float]:
        """One round: all programs, wall seconds of the slowest process, CPU-seconds of all."""
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(process.stdout.readline()) for process in self.processes]
        both = {key: sum(s[key] for s in said) for key in ("programs", "cpu", "wrong")}
        if both["wrong"] and self.name == "ours":
            raise SystemExit(f"ours misjudged {both['wrong']} programs")
        return {**both, "seconds": max(s["seconds"] for s in said)}

    def close(self) -> None:
        """Ends the processes."""
        for process in self.processes:
            process.stdin.close()
            process.wait()


def compare(mix: str, options: Options, workers: int = 1) -> dict[str, dict[str, float]]:
    """By arm its best round: the least CPU on correct programs, the least wall time on the hostile mix."""
    arms = [Arm(name, mix, options.programs, workers) for name in ARMS]
    key = "cpu" if mix == "correct" else "seconds"
    done: dict[str, list] = {arm.name: [] for arm in arms}
    for number in range(options.rounds):
        for arm in arms:
            print(f"{mix}, round {number + 1} of {options.rounds}: {arm.name} ...", file=sys.stderr, flush=True)
            done[arm.name].append(arm.round())
    for arm in arms:
        arm.close()
    return {name: min(found, key=lambda row: row[key] / row["programs"]) for name, found in done.items()}


def show(title: str, results: dict[str, dict[str, float]], by_wall: bool) -> None:
    """A table of arms, with what each costs in terms of ours."""
    columns = "approach", "programs per CPU-s", "programs per s", "wall s of 200", "misjudged", "ours is better by"
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    cost = {name: row["seconds" if by_wall else "cpu"] / row["programs"] for name, row in results.items()}
    for name, row in results.items():
        per_cpu, per_second = row["programs"] / row["cpu"], row["programs"] / row["seconds"]
        ratio = f"{cost[name] / cost['ours']:.1f}" if name != "ours" else ""
        print(
            f"| {name} | {per_cpu:.0f} | {per_second:.0f} | {200 / per_second:.2f} | {row['wrong']} | {ratio} |",
            flush=True,
        )


# What concerns ours alone.


def correct(options: Options) -> None:
    """Programs per CPU-second."""
    show("Correct programs, one worker", compare("correct", options), by_wall=False)


def hostile(options: Options) -> None:
    """Wall time of the hostile mix."""
    show("Hostile mix, one worker", compare("hostile", options), by_wall=True)


def workers(options: Options) -> None:
    """The hostile mix with as many workers as cores for everyone, and what a second worker of ours adds."""
    cores = len(os.sched_getaffinity(0))
    show(f"Hostile mix, {cores} workers", compare("hostile", options, cores), by_wall=True)
    one, many = (_alone(options, count) for count in (1, cores))
    print(f"\nCorrect programs: {cores} of our workers do {many / one:.2f} times the work of one in the same time")


def _alone(options: Options, count: int) -> float:
    """Programs a second of our workers on correct programs."""
    arm = Arm("ours", "correct", options.programs, count)
    best = max(row["programs"] / row["seconds"] for row in [arm.round() for _ in range(options.rounds + 2)])
    arm.close()
    return best


def actors(options: Options) -> None:
    """One Ray actor and two, and how soon an actor is ready."""
    import ray

    from verify.config import VerifyConfig
    from verify.pool import VerifyPool, start_actor

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    config = VerifyConfig(cpu_seconds=LIMIT, cache=False)
    ready = []
    for _ in range(options.rounds + 1):
        began = time.monotonic()
        actor = start_actor(config)
        level = ray.get(actor.ready.remote())
        ready.append(time.monotonic() - began)
        ray.kill(actor)
    print(
        f"\nRay actor ready (isolation {level}): {min(ready[1:]):.2f} s; the first, with a cold Ray, {ready[0]:.2f} s"
    )
    problem = coin_change_problem()
    pools = {count: VerifyPool(config.model_copy(update={"actors": count})) for count in (1, 2)}
    items = [(problem, f"```python\n{code}```", "stop") for code, _ in programs("correct", 4 * options.programs)]
    best: dict[tuple[str, int], float] = {}
    for _ in range(options.rounds + 1):  # the first warms up
        for count, pool in pools.items():
            began = time.monotonic()
            assert all(verdict.passed for verdict in pool.judge_batch(items))
            keep(best, ("actors", count), len(items) / (time.monotonic() - began))
            keep(best, ("loop", count), plain_loops(count))
    for pool in pools.values():
        pool.close()
    one, two = best["actors", 1], best["actors", 2]
    print(f"Ray actors: one {one:.0f} programs/s, two {two:.0f}: {two / one:.2f} times; a plain loop in two processes "
          f"does {best['loop', 2] / best['loop', 1]:.2f} times the work of one on these cores")  # fmt: skip
    ray.shutdown()


def keep(best: dict[tuple[str, int], float], name: tuple[str, int], rate: float) -> None:
    """Keeps the best rate of each name."""
    best[name] = max(best.get(name, 0.0), rate)


def plain_loops(count: int) -> float:
    """Loops a second of `count` processes that only count: what the cores themselves give to a second process."""
    began = time.monotonic()
    loops = [subprocess.Popen([sys.executable, "-c", "for i in range(20_000_000): pass"]) for _ in range(count)]
    for loop in loops:
        loop.wait()
    return count / (time.monotonic() - began)


def ready(options: Options) -> None:
    """From nothing to a judge that has proven itself, without Ray and imports."""
    from verify.config import VerifyConfig
    from verify.pool import Judge

    times = []
    for _ in range(options.rounds + 2):
        began = time.monotonic()
        with Judge(VerifyConfig()):
            times.append(time.monotonic() - began)
    print(f"\nJudge ready: {min(times):.2f} s (median {statistics.median(times):.2f})")


def memory(options: Options) -> None:
    """Proportional memory of the plain and the numpy zygote."""
    from verify.config import VerifyConfig
    from verify.pool import Judge

    with Judge(VerifyConfig()) as judge:
        judge.judge_code(coin_change_problem(), "import numpy\n" + HONEST)
        mib = 0.0
        for pid in (pid for zygote in judge.sandbox.zygotes for pid in zygote.pids):
            with open(f"/proc/{pid}/smaps_rollup") as f:
                mib += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) / 1024
    print(f"\nA pair of zygotes (plain and numpy), proportional memory: {mib:.0f} MiB")


def load(options: Options) -> None:
    """Correct programs that take a good part of their limit, beside 4 busy processes a core."""
    from verify.config import VerifyConfig
    from verify.pool import Judge

    count, cores = 4 * options.rounds, len(os.sched_getaffinity(0))
    slow = HONEST.replace("    table =", "    for _ in range(5_000_000): pass\n    table =", 1)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * cores)]
    try:
        with Judge(VerifyConfig(cpu_seconds=LIMIT, cache=False)) as judge:
            items = [(coin_change_problem(), f"```python\n{slow}\n# {i}\n```", "stop") for i in range(count)]
            verdicts = judge.judge_batch(items)
        theirs = sum(with_subprocess(f"{slow}\n# {i}\n") for i in range(count))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    used = statistics.median(v.cpu_seconds for v in verdicts)
    wall = statistics.median(v.wall_seconds for v in verdicts)
    passed = sum(v.passed for v in verdicts)
    print(
        f"\nBeside 4 busy processes a core, programs of {used:.2f} CPU-s, limit {LIMIT} s ({wall:.1f} s of wall time): "
        f"{passed} of {count} pass; with a limit of {LIMIT} s of wall time {theirs} of {count} do"
    )


def main() -> None:
    """Runs the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return worker(*given.worker)
    for part in given.parts:
        globals()[part](Options(given.programs, given.rounds))


if __name__ == "__main__":
    main()
