"""What a plan says that a learner and an engine take on a CPU is what their processes hold at their peak."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from known_models import QWEN3_06B

from cluster.loads import sharing
from cluster.memory_plan import GIB, EngineLoad, LearnerLoad, engine_need, learner_need
from cluster.model_shapes import ModelShapes
from cluster.shares import with_kv

ROOT = Path(__file__).resolve().parents[2]
LAYERS, VOCABULARY = 4, 32768
PROMPT, ANSWER, ROWS = 128, 160, 4
SHAPES = ModelShapes.from_config(QWEN3_06B | {"num_hidden_layers": LAYERS, "vocab_size": VOCABULARY})
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, Path(__file__).with_name("resident.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PEAK ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("PEAK "))


def check(need, peak):
    print(need.table(), f"resident at the peak: {peak / GIB:.2f} GiB", sep="\n")
    assert need.total == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_learner_holds_what_is_planned(dtype, checkpointing):
    found = run("learner", LAYERS, VOCABULARY, dtype, checkpointing)
    assert found["micro_batches"] == 1
    tokens = PROMPT + ROWS * ANSWER if not checkpointing else ROWS * (PROMPT + ANSWER)
    load = LearnerLoad(
        dtype=dtype, prompt_tokens=PROMPT, answer_tokens=ANSWER, group=ROWS, micro_batch_tokens=tokens, device="cpu",
        checkpointing=checkpointing,
    )  # fmt: skip
    check(learner_need(SHAPES, sharing(load)), found["peak"])


def test_an_engine_holds_what_is_planned(tmp_path):
    run("model", LAYERS, VOCABULARY, "float32", tmp_path)
    found = run("engine", LAYERS, VOCABULARY, "float32", 1.5, tmp_path)
    load = EngineLoad(
        dtype="float32", max_model_len=512, sequences=16, batched_tokens=2048, adapters=1, eager=True, device="cpu"
    )
    check(with_kv(engine_need(SHAPES, load), int(1.5 * GIB), "fixed"), found["peak"])
