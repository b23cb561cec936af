"""What a plan says that a learner takes on a CPU is what its process holds at its peak, within 15 %."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from known_models import QWEN3_06B

from cluster.loads import sharing
from cluster.memory_plan import GIB, LearnerLoad, learner_need
from cluster.model_shapes import ModelShapes

ROOT = Path(__file__).resolve().parents[2]
LAYERS, VOCABULARY = 4, 32768
PROMPT, ANSWER, ROWS = 128, 160, 4
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, Path(__file__).with_name("resident.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PEAK ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("PEAK "))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_learner_holds_what_is_planned(checkpointing):
    shapes = ModelShapes.from_config(QWEN3_06B | {"num_hidden_layers": LAYERS, "vocab_size": VOCABULARY})
    found = run(LAYERS, VOCABULARY, checkpointing)
    assert found["micro_batches"] == 1
    tokens = PROMPT + ROWS * ANSWER
    load = LearnerLoad(
        dtype="float32", prompt_tokens=PROMPT, answer_tokens=ANSWER, group=ROWS, micro_batch_tokens=tokens,
        device="cpu", checkpointing=checkpointing,
    )  # fmt: skip
    need = learner_need(shapes, sharing(load))
    print(need.table(), f"resident at the peak: {found['peak'] / GIB:.2f} GiB", sep="\n")
    assert need.total == pytest.approx(found["peak"], rel=0.15)
