"""The learner's benchmark runs, on a CPU and in small, and its figures add up."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from benchmarks.gpu_learner import SHAPES, flops_a_token, line, main, parse
from cluster.model_shapes import ModelShapes

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {"torch", "transformers", "peft", "pydantic"} | {
    "accelerate", "safetensors", "tokenizers", "huggingface_hub", "numpy", "packaging", "psutil", "tqdm",
    "filelock", "jinja2", "markupsafe", "requests", "urllib3",
}  # fmt: skip
"""What the benchmark asks for, and what comes with it."""
SMALL = ["--device", "cpu", "--shapes", "tiny", "--rows", "48", "--prompt", "16", "--tokens", "192", "--steps", "2"]


@pytest.mark.parametrize("checkpointing", ["yes", "no"])
def test_it_trains_tiny_layers_on_a_cpu(checkpointing, tmp_path, capsys):
    file = tmp_path / "results.json"
    options = [*SMALL, "--checkpointing", checkpointing, "--peak-tflops", "0.1", "--json", str(file)]
    (result,) = main(options)
    assert result.tokens_per_second == pytest.approx(192 / result.seconds)
    shapes = ModelShapes.from_config(SHAPES["tiny"])
    assert result.mfu == pytest.approx(result.tokens_per_second * flops_a_token(shapes, 48) / 1e11)
    assert 0 < result.mfu_frozen < result.mfu and result.peak_gib > 0.1 and result.planned_gib > 0.1
    assert json.loads(file.read_text())["rows"][0]["shape"] == "tiny"
    assert line(result) in capsys.readouterr().out


def test_a_machine_with_torch_transformers_and_peft_alone_can_run_it():
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {Requirement(line).name.replace("-", "_") for line in ours} - NEEDED | {"vllm", "dotenv", "pandas"}
    script = f"import sys; sys.modules.update(dict.fromkeys({sorted(names)}))\n"
    script += f"from benchmarks.gpu_learner import main; (one,) = main({SMALL}); assert one.tokens_per_second"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_without_memory_the_line_says_so(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has 1 GiB free.")

    monkeypatch.setattr("benchmarks.gpu_learner.run", full)
    (result,) = main(SMALL)
    assert "CUDA out of memory" in line(result) and "planned" in line(result)


def test_flops_are_those_that_others_count():
    shapes = ModelShapes.from_config(SHAPES["qwen3-4b"])
    # prime-rl: 6,200 tokens/s in rows of 16k on one H100 are 21.7 % of 989 TFLOP/s.
    assert 6200 * flops_a_token(shapes, 16384) / 989e12 == pytest.approx(0.217, rel=0.15)


def test_rows_without_completion_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--rows", "128"])
    assert "--prompt 256" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_to_do():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit, match="--device cpu"):
        main([])
