"""The learner's benchmark runs, on a CPU and in small, and its figures add up."""

import json

import pytest
import torch

from benchmarks.gpu_learner import SHAPES, flops_a_token, line, main, parse
from cluster.model_shapes import ModelShapes

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
