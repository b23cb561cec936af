"""Unlike GPUs, on real raylets with labels and pretended GPUs: two fast nodes, four slow ones, one for learners."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.hardware import GPU_LABEL

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def found():
    script = Path(__file__).with_name("simulated.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=ROOT, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("FOUND "))


@pytest.mark.slow
def test_every_engine_and_learner_lands_where_its_profile_says(found):
    wanted = {"fast": "H100", "slow": "L4"}
    assert len(found["engines"]) == 6
    for name, labels in found["engines"]:
        assert labels[GPU_LABEL] == wanted[name.split("-")[1]], name
    assert found["learner"]["pool"] == "train"


@pytest.mark.slow
def test_the_fast_ones_take_their_share(found):
    """Fast engines are four times as fast: two of them and four slow ones share work as 8 to 4."""
    shares = found["shares"]
    fast = sum(count for name, count in shares.items() if "fast" in name) / sum(shares.values())
    assert len(shares) == 6 and fast == pytest.approx(2 / 3, abs=0.08)


@pytest.mark.slow
def test_a_kind_that_no_node_has_is_refused_at_once_with_what_there_is(found):
    status, output, seconds = found["refusal"]
    assert status == 2 and seconds < 60, "it does not wait for one to come"
    assert "B200" in output and "H100" in output and "L4" in output
