"""Shared by the tests of the verify room: a judge, the problem that the attacks solve, the folders of attacks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared_folder import MISSING, REPOSITORY, shared_folder

from problems.problem import Problem, Test
from verify.config import VerifyConfig
from verify.pool import Judge


def fewest_coins(coins: list[int], amount: int) -> int:
    """The reference solution of the problem that the attacks solve."""
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


HONEST = """
def coin_change(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1
"""

CASES = [
    ([1, 2, 5], 11),
    ([2], 3),
    ([1], 0),
    ([3, 7], 14),
    ([1, 5, 10, 25], 63),
    ([4, 9], 1),
    ([2, 5], 28),
    ([1, 3, 4], 6),
]


def coin_problem() -> Problem:
    return function_problem("coin_change", [(case, fewest_coins(*case)) for case in CASES])


def function_problem(name: str, tests: list, checker: str = "exact") -> Problem:
    """A problem of kind function from (arguments, expected) pairs."""
    return problem("function", tests, entry_point=name, signature=f"def {name}(*args):", checker=checker)


def problem(kind: str, tests: list, **fields) -> Problem:
    """A problem of any kind from (arguments, expected) pairs."""
    given = {
        "id": "p",
        "family": "tests",
        "family_version": 1,
        "difficulty": 1,
        "split": "train",
        "statement": "s",
        "entry_point": "",
        "signature": "",
        "public_examples": (),
        "hidden_tests": tuple(Test(tuple(args), expected) for args, expected in tests),
        "kind": kind,
    }
    return Problem(**{**given, **fields})


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def attack_folder(name: str) -> Path:
    """A folder of attacks: `own` for this room's, `attacks` or `attacks2` for those in `shared`; skips without those."""
    if name == "own":
        return Path(__file__).parent / "attacks"
    folder = shared_folder(name)
    if folder is None:
        pytest.skip(MISSING.format(name))
    return folder


def ordinary_python() -> list[str]:
    """A command that runs python as a user without privileges."""
    if os.geteuid() != 0:
        return [sys.executable]
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv, which is needed to become an ordinary user, is not installed")
    site = next(p for p in sys.path if p.endswith("site-packages"))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "env",
            "HOME=/tmp",
            "LANG=C.UTF-8",
        ]
        command += [f"PYTHONPATH={REPOSITORY}:{site}", python]
        if (
            subprocess.run([*command, "-c", "import pydantic, rich, tyro"], capture_output=True, cwd="/").returncode
            == 0
        ):
            return command
    pytest.skip("an ordinary user can run no Python on this machine: its files are closed to others")


@pytest.fixture(scope="session")
def coins() -> Problem:
    return coin_problem()


_SETTINGS = VerifyConfig(cpu_seconds=1.0, wall_factor=3.0, cache=False)


@pytest.fixture(scope="session")
def one_judge():
    with Judge(_SETTINGS) as judge:
        yield judge


@pytest.fixture
def judge(one_judge):
    """The session's judge, without a cache. A test may change the configuration of its sandbox; it is restored."""
    yield one_judge
    one_judge.sandbox.config = _SETTINGS


@pytest.fixture(scope="session")
def local_ray():
    """One Ray for the tests of this room, shut down at the end."""
    ray = pytest.importorskip("ray")
    ray.shutdown()
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=2, **quiet)
    yield ray
    ray.shutdown()
