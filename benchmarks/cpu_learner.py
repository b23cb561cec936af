"""What the learner does on a CPU: trained tokens a CPU-second on shapes of pretrained models.

    OMP_NUM_THREADS=1 python benchmarks/cpu_learner.py [--shapes gemma3-270m] [--dtypes float32 bfloat16] [--threads 1]

Needs torch, transformers, peft and pydantic: no Ray, no vLLM, no download. The learner is the product's own
(`train.learner`); its base model has true shapes and random weights, or is the folder that `--model` names. One step
learns from `--groups` x `--samples` completions of about `--tokens` tokens, each after its group's prompt.

Only completion tokens count as trained. CPU-seconds are of the process, over all threads, median of the steps after
the first; on a machine that others use they are what to trust.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel  # noqa: E402
from transformers.initialization import no_init_weights  # noqa: E402

from problems.problem import Group, Problem, Sample, Status, Verdict  # noqa: E402
from train.base_model import load_base  # noqa: E402
from train.config import TrainConfig  # noqa: E402
from train.learner import Learner  # noqa: E402
from train.pretrain import prepare_cpu  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    "gemma3-270m": {
        "model_type": "gemma3_text",
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "sliding_window": 512,
        "vocab_size": 262144,
        "query_pre_attn_scalar": 256,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "student": {
        "model_type": "qwen2",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 1536,
        "tie_word_embeddings": True,
    },
}


@dataclass(frozen=True)
class Result:
    """One line of the table; times and tokens are of one step."""

    shape: str
    dtype: str
    tokens: int
    cpu_seconds: float
    seconds: float
    padding: float
    peak_gib: float
    """Resident, of the whole process so far."""

    @property
    def rate(self) -> float:
        """Trained tokens a CPU-second."""
        return self.tokens / self.cpu_seconds


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Measures every shape in every dtype and prints the table."""
    options = parse(arguments)
    prepare_cpu(options.threads)
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {capability}, {options.threads} thread(s); {options.groups} x {options.samples}")
    print(f"{'shape':<16}{'dtype':>10}{'tokens':>8}{'CPU-s/step':>12}{'s/step':>9}{'tokens/CPU-s':>14}{'padding':>9}"
          f"{'peak GiB':>10}", flush=True)  # fmt: skip
    results = []
    for shape in [options.model] if options.model else options.shapes:
        for dtype in options.dtypes:
            results.append(measure(shape, dtype, options))
            print(line(results[-1]), flush=True)
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["gemma3-270m"])
    parser.add_argument("--model", default="", help="folder of a real model, in place of shapes")
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48, help="mean tokens of a completion")
    parser.add_argument("--spread", type=float, default=0.25, help="completions are up to this share longer or shorter")
    parser.add_argument("--prompt", type=int, default=100, help="tokens of each prompt")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that is not")
    parser.add_argument("--lora-r", type=int, default=8)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def measure(shape: str, dtype: str, options: argparse.Namespace) -> Result:
    """One shape in one dtype."""
    config = TrainConfig.model_validate(
        {
            "lora_r": options.lora_r,
            "learning_rate": 1e-5,
            "gradient_checkpointing": options.checkpointing,
            "dtype": dtype,
            "group_filter": "off",
        }
    )
    model = random_model(shape, dtype) if shape in SHAPES else load_base(shape, config, torch.device("cpu"))
    learner = Learner(model, config, "cpu")
    vocabulary = model.config.get_text_config().vocab_size
    rng = np.random.default_rng(0)
    spent, walls, tokens, padding = [], [], 0, 0.0
    for step in range(options.steps + 1):
        groups = [group(rng, index, options, vocabulary, step) for index in range(options.groups)]
        began = time.process_time(), time.perf_counter()
        result = learner.step(groups)
        spent.append(time.process_time() - began[0])
        walls.append(time.perf_counter() - began[1])
        tokens, padding = int(result.metrics["tokens"]), result.metrics["padding"]
        if not result.updated:
            raise RuntimeError(f"step {step} made no update: its gradient is not finite")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / (1 << 30)
    return Result(shape, dtype, tokens, float(np.median(spent[1:])), float(np.median(walls[1:])), padding, peak)


def random_model(shape: str, dtype: str) -> PreTrainedModel:
    """A model in true shapes with small random weights."""
    keys = dict(SHAPES[shape])
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    model.tie_weights()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.02)
            else:
                parameter.zero_()
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight") and config.model_type != "gemma3_text":  # Gemma's are added to 1
                parameter.fill_(1)
    return model.eval()


def group(rng: np.random.Generator, index: int, options: argparse.Namespace, vocabulary: int, version: int) -> Group:
    """The completions of one prompt, every second one right; the same lengths in each step."""
    problem = Problem("p", "family", 1, 1, "train", "say it", "", "", (), ())
    ids = rng.integers(0, vocabulary, options.prompt).astype(np.int32)
    lengths = np.linspace(1 - options.spread, 1 + options.spread, options.samples) * options.tokens
    samples = []
    for number, length in enumerate(lengths.round().astype(int)):
        tokens = rng.integers(0, vocabulary, max(1, length)).astype(np.int32)
        logprobs = np.full(len(tokens), -np.log(vocabulary), np.float32)
        samples.append(Sample("p", str(index), number, ids, tokens, logprobs, "", "stop", version, "hash"))
    rewards = tuple(float(number % 2) for number in range(options.samples))
    verdicts = tuple(Verdict(Status.PASSED if reward else Status.WRONG_ANSWER) for reward in rewards)
    return Group(index, 0, problem, tuple(samples), verdicts, rewards)


def line(result: Result) -> str:
    """A result as a line of the table."""
    return (
        f"{Path(result.shape).name:<16}{result.dtype:>10}{result.tokens:>8,}{result.cpu_seconds:>12.2f}"
        f"{result.seconds:>9.2f}{result.rate:>14.1f}{result.padding:>9.1%}{result.peak_gib:>10.1f}"
    )


if __name__ == "__main__":
    main()
