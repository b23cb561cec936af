"""What the learner does on a GPU: trained tokens a second, model FLOPs utilisation and peak memory.

    python benchmarks/gpu_learner.py [--shapes qwen3-0.6b qwen3-4b] [--rows 2048 16384] [--device cuda]

Needs torch, transformers, peft and pydantic: no Ray, no vLLM, no download. The learner is the product's own
(`train.learner`); its base model has true shapes and random weights, the adapter is of rank 16 on every linear layer.
One step learns from `--tokens` tokens in rows of equal length, one row a micro-batch unless more fit into 8,192 tokens.

Tokens are prompt and completion alike, since each is run forward and backward. MFU counts 6 FLOPs a parameter and
token, and causal attention, as is the custom for full training and in prime-rl's figures; `frozen` counts 4, which is
what a frozen base model needs. Nothing is counted for what checkpointing computes again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel  # noqa: E402
from transformers.initialization import no_init_weights  # noqa: E402

from cluster.memory_plan import GIB, LearnerLoad, learner_need  # noqa: E402
from cluster.model_shapes import ModelShapes  # noqa: E402
from problems.problem import Group, Problem, Sample, Status, Verdict  # noqa: E402
from train.config import TrainConfig  # noqa: E402
from train.learner import Learner  # noqa: E402

QWEN3 = {
    "model_type": "qwen3",
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": QWEN3
    | {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "qwen3-4b": QWEN3
    | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "tiny": QWEN3
    | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512},
}
PEAK_TFLOPS = {"H200": 989, "H100": 989, "B200": 2250, "A100": 312, "L40S": 362, "L4": 121, "4090": 165}
"""Dense bfloat16, by a part of the device's name; the first that matches counts."""
BUDGET = 8192
"""Least tokens of a micro-batch, as by default."""


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    shape: str
    row: int
    checkpointing: bool
    seconds: float = 0.0
    """Of a step."""
    tokens_per_second: float = 0.0
    mfu: float | None = None
    """Share of the device's peak; None where that is not known."""
    mfu_frozen: float | None = None
    peak_gib: float = 0.0
    """Allocated by torch on a GPU; resident on a CPU."""
    planned_gib: float = 0.0
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Measures every shape with every row length and prints the table."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use: --device cpu --shapes tiny shows that the benchmark runs")
    peak = options.peak_tflops or peak_tflops(options.device)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"{device}, torch {torch.__version__}, peak {f'{peak} TFLOP/s' if peak else 'unknown'}", flush=True)
    print(f"{'shape':<12}{'row':>7}{'checkpointing':>15}{'s/step':>9}{'tokens/s':>11}{'MFU':>8}{'frozen':>8}"
          f"{'peak GiB':>10}{'planned':>9}")  # fmt: skip
    results = []
    for shape in options.shapes:
        for row in options.rows:
            result = measure(shape, row, options, peak)
            results.append(result)
            print(line(result), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps({"device": device, "rows": [asdict(r) for r in results]}, indent=1))
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["qwen3-0.6b", "qwen3-4b"])
    parser.add_argument("--rows", nargs="+", type=int, default=[2048, 16384], help="tokens of a row, prompt included")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=32768, help="tokens of a step, at least two rows")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that is not")
    parser.add_argument("--lora-r", type=int, default=16)
    parser.add_argument("--checkpointing", choices=["yes", "no"], default="yes")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="the device's dense peak, where it is not known")
    parser.add_argument("--json", default="", help="file for the results")
    options = parser.parse_args(arguments)
    if min(options.rows) <= options.prompt:
        parser.error(f"--rows {min(options.rows)} leaves no completion after --prompt {options.prompt}")
    return options


def measure(shape: str, row: int, options: argparse.Namespace, peak: float) -> Result:
    """One shape with rows of one length; an error takes the place of figures where memory does not suffice."""
    checkpointing = options.checkpointing == "yes"
    shapes = ModelShapes.from_config(SHAPES[shape], shape)
    micro_batch = max(BUDGET, row)
    load = LearnerLoad(
        dtype="bfloat16",
        lora_r=options.lora_r,
        micro_batch_tokens=min(micro_batch, max(2, options.tokens // row) * row),
        prompt_tokens=options.prompt,
        answer_tokens=row - options.prompt,
        group=1,
        checkpointing=checkpointing,
        device=options.device,
    )
    planned = learner_need(shapes, load).total / GIB
    config = TrainConfig(
        lora_r=options.lora_r,
        lora_alpha=2.0 * options.lora_r,
        learning_rate=1e-5,
        gradient_checkpointing=checkpointing,
        share_prompts=False,
        micro_batch_tokens=micro_batch,
        dtype="bfloat16",
        group_filter="off",
    )
    try:
        seconds, tokens, peak_bytes = run(SHAPES[shape], row, config, options)
    except torch.OutOfMemoryError as error:
        return Result(shape, row, checkpointing, planned_gib=planned, error=str(error).partition(". ")[0])
    rate = tokens / seconds
    used = {passes: rate * flops_a_token(shapes, row, passes) / (peak * 1e12) if peak else None for passes in (2, 3)}
    return Result(shape, row, checkpointing, seconds, rate, used[3], used[2], peak_bytes / GIB, planned)


def run(settings: dict[str, Any], row: int, config: TrainConfig, options: argparse.Namespace) -> tuple[float, int, int]:
    """(median seconds of a step, its tokens, peak bytes)."""
    learner = Learner(random_model(settings, options.device), config, options.device)
    count = max(2, options.tokens // row)
    rng = np.random.default_rng(0)
    seconds = []
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(options.steps + 1):
        groups = [group(rng, index, row, options.prompt, settings["vocab_size"], step) for index in range(count // 2)]
        began = time.perf_counter()
        result = learner.step(groups)
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        if not result.updated:
            raise RuntimeError(f"step {step} made no update: its gradient is not finite")
    if options.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return float(np.median(seconds[1:])), count // 2 * 2 * row, peak


def random_model(settings: dict[str, Any], device: str) -> PreTrainedModel:
    """The model in bfloat16 with small random weights, made where it stays."""
    keys = dict(settings)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with no_init_weights(), torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.tie_weights()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.02)
            else:
                parameter.fill_(1)  # of norms: these models' linear layers have no bias
    return model.eval()


def group(rng: np.random.Generator, index: int, row: int, prompt: int, vocabulary: int, version: int) -> Group:
    """Two completions of one problem, one right and one wrong, that fill their rows."""
    problem = Problem("p", "family", 1, 1, "train", "say it", "", "", (), ())
    ids = rng.integers(0, vocabulary, prompt).astype(np.int32)
    samples = []
    for number in range(2):
        tokens = rng.integers(0, vocabulary, row - prompt).astype(np.int32)
        logprobs = np.full(len(tokens), -np.log(vocabulary), np.float32)
        samples.append(Sample("p", str(index), number, ids, tokens, logprobs, "", "stop", version, "hash"))
    verdicts = (Verdict(Status.PASSED), Verdict(Status.WRONG_ANSWER))
    return Group(index, 0, problem, tuple(samples), verdicts, (1.0, 0.0))


def flops_a_token(shapes: ModelShapes, row: int, passes: int = 3) -> float:
    """FLOPs of training on one token: 2 a parameter and pass, and causal attention; the embedding only looks up.

    Passes: forward, gradient of the activations, gradient of the weights (3 in all; 2 with a frozen base model).
    """
    parts = shapes.parameters()
    head = shapes.vocabulary * shapes.hidden
    linear = parts["attention"] + parts["mlp"] + head
    # Queries with keys, and weights with values: 2 FLOPs each, on half of the row on average. Its backward pass takes
    # twice its forward pass whatever is frozen.
    attention = shapes.layers * 2 * 2 * shapes.q_dim * row / 2
    return passes * 2 * linear + 3 * attention


def peak_tflops(device: str) -> float:
    """Dense bfloat16 peak of the GPU at hand; 0 where it is not known."""
    if device != "cuda":
        return 0.0
    name = torch.cuda.get_device_name()
    return next((float(peak) for part, peak in PEAK_TFLOPS.items() if part in name), 0.0)


def line(result: Result) -> str:
    """A result as a line of the table."""
    start = f"{result.shape:<12}{result.row:>7,}{'yes' if result.checkpointing else 'no':>15}"
    if result.error:
        return f"{start}  {result.error}; planned {result.planned_gib:.1f} GiB"
    shares = "".join(f"{'-' if mfu is None else f'{mfu:.1%}':>8}" for mfu in (result.mfu, result.mfu_frozen))
    return (
        f"{start}{result.seconds:>9.2f}{result.tokens_per_second:>11,.0f}{shares}"
        f"{result.peak_gib:>10.1f}{result.planned_gib:>9.1f}"
    )


if __name__ == "__main__":
    main()
