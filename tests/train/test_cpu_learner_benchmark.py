"""The CPU learner's benchmark runs, in small, and its figures add up."""

import pytest
import torch

from benchmarks import cpu_learner


def test_it_trains_small_layers(monkeypatch, capsys):
    threads = torch.get_num_threads()
    tiny = cpu_learner.SHAPES["gemma3-270m"] | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    monkeypatch.setitem(cpu_learner.SHAPES, "student", tiny | {"vocab_size": 300, "head_dim": 8})
    try:
        (result,) = cpu_learner.main(["--shapes", "student", "--groups", "2", "--tokens", "8", "--steps", "1"])
    finally:
        torch.set_num_threads(threads)
    assert result.tokens == pytest.approx(2 * 4 * 8, abs=4) and result.padding == 0
    assert result.rate == pytest.approx(result.tokens / result.cpu_seconds)
    assert cpu_learner.line(result) in capsys.readouterr().out
