"""Real Ray with pretended GPUs places engines and learners as they were planned, and says so where it cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(600)


def run(mode):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, Path(__file__).with_name("pretended_gpus.py"), mode]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("FOUND "))


def check_planned(job):
    """Each actor is on the kind of node that the plan shows: together where it shows one GPU, else apart."""
    names = {}
    assert len(job["planned"]) == len(job["landed"])
    for planned, landed in zip(job["planned"], job["landed"], strict=True):
        assert landed["node"] == planned["node"] and len(landed["gpus"]) == len(planned["gpus"])
        place = (planned["node"], *planned["gpus"])
        assert names.setdefault(place, landed["gpus"]) == landed["gpus"]
    assert len({(place[0], *gpus) for place, gpus in names.items()}) == len(names)
    return names


@pytest.fixture(scope="module")
def machine():
    return run("machine")


@pytest.mark.slow
def test_what_the_planner_accepts_ray_places(machine):
    assert len(machine["placed"]) >= 4


@pytest.mark.slow
def test_the_readmes_command_runs_on_two_gpus(machine):
    """Two engines and a learner: two thirds of a GPU for each are in no single one."""
    job = machine["command"]
    assert sorted(engine["gpus"] for engine in job["engines"]) == [["0"], ["1"]]
    assert len(job["learner"]) == 1 and len(job["learner"][0]["gpus"]) == 1 and job["waiting"] == ""


@pytest.mark.slow
def test_two_workers_of_a_learner_have_a_gpu_each_beside_the_engines(machine):
    job = machine["two_workers"]
    assert sorted(worker["gpus"] for worker in job["learner"]) == [["0"], ["1"]]
    assert sorted(engine["gpus"] for engine in job["engines"]) == [["0"], ["1"]]


@pytest.mark.slow
def test_on_the_cpu_nobody_sees_a_gpu(machine):
    job = machine["on_cpu"]
    assert [found["visible"] for found in (*job["engines"], *job["learner"])] == ["", ""]


@pytest.mark.slow
def test_the_trials_of_a_sweep_hold_one_place_each(machine):
    places, (said, _) = machine["places"]
    assert len(set(map(tuple, places))) == 2 and len(places) == 3  # two of the three on one GPU
    assert said.startswith("all 3 places of learners are held") and machine["again"]


@pytest.mark.slow
def test_who_gets_no_place_is_named(machine):
    said, seconds = machine["taken"]
    assert said.startswith("Ray found no free place in 4 s for 1 engine of 1 GPU and 1 CPU; 1 learner worker")
    assert "Free now: " in said and seconds < 10
    said, seconds = machine["no_place"]
    assert said.startswith("Ray found no free place in 3 s for 1 learner worker of 1 GPU and 1 CPU") and seconds < 40


@pytest.mark.slow
def test_what_the_plan_of_a_models_defaults_shows_is_reserved(machine):
    assert len(check_planned(machine["defaults"])) == 2, "both GPUs are used"


@pytest.fixture(scope="module")
def raylets():
    return run("raylets")


@pytest.mark.slow
def test_what_the_plan_shows_on_unlike_gpus_is_reserved(raylets):
    """Two H100 learn, an A100 samples, and the four L4 sample in pairs, for the model is too large for one of them."""
    job = raylets["defaults"]
    check_planned(job)
    assert sum(len(one["gpus"]) for one in job["planned"]) == 7
    assert sorted((one["role"], one["node"], len(one["gpus"])) for one in job["planned"]) == [
        ("engine", "A100", 1), ("engine", "L4", 2), ("engine", "L4", 2), ("learner", "H100", 1), ("learner", "H100", 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_the_readmes_unlike_gpus_on_raylets(raylets):
    job = raylets["profiles"]
    assert sorted((e["name"], e["node"]) for e in job["engines"]) == [("fast", "H100")] * 2 + [("slow", "L4")] * 4
    assert sorted(e["gpus"] for e in job["engines"] if e["name"] == "slow") == [["0"], ["1"], ["2"], ["3"]]
    assert [worker["node"] for worker in job["learner"]] == ["A100"]
