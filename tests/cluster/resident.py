"""Run by test_resident_memory.py: one step of a learner with random weights, in its own process; prints the peak.

python resident.py LAYERS VOCABULARY CHECKPOINTING
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from train_helpers import make_group

from tests.known_models import QWEN3_06B
from train.config import TrainConfig
from train.learner import Learner

PROMPT, ANSWER, ROWS = 128, 160, 4


def step(layers, vocabulary, checkpointing):
    torch.set_num_threads(1)
    keys = QWEN3_06B | {"num_hidden_layers": layers, "vocab_size": vocabulary}
    keys.pop("torch_dtype")
    settings = AutoConfig.for_model(keys.pop("model_type"), **keys)
    model = AutoModelForCausalLM.from_config(settings, dtype=torch.float32, attn_implementation="sdpa")
    learner = Learner(model, TrainConfig(lora_r=16, gradient_checkpointing=checkpointing), "cpu")
    rewards = [float(row % 2) for row in range(ROWS)]
    group = make_group(np.random.default_rng(0), rewards, prompt_length=PROMPT, lengths=(ANSWER, ANSWER + 1))
    return learner.step([group]).metrics


if __name__ == "__main__":
    found = step(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")
    # Not getrusage's figure: it is that of the process that started this one, where that was larger.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    print("PEAK", json.dumps({"peak": peak, "micro_batches": found["micro_batches"]}), flush=True)
