"""Embeddings that no product is asked of keep no second form of their weights; the others give the same products."""

import pytest
import torch

from rollout import embedding_cpu


@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 96)], ids=["without bias", "with bias"])
def test_the_other_form_is_made_at_the_first_product(monkeypatch, bias):
    from vllm.model_executor.layers import utils
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

    original, packed = utils.dispatch_cpu_unquantized_gemm, []
    monkeypatch.setattr(
        UnquantizedEmbeddingMethod, "process_weights_after_loading",
        UnquantizedEmbeddingMethod.process_weights_after_loading,
    )  # fmt: skip
    monkeypatch.setattr(
        utils, "dispatch_cpu_unquantized_gemm",
        lambda layer, remove_weight: (packed.append(remove_weight), original(layer, remove_weight)),
    )  # fmt: skip
    embedding_cpu.install()
    layer, method = torch.nn.Embedding(96, 32), UnquantizedEmbeddingMethod()
    layer.weight.requires_grad_(False)
    method.process_weights_after_loading(layer)
    ids = torch.arange(7)
    assert torch.equal(method.embedding(layer, ids), layer.weight[ids]) and not packed
    x = torch.randn(5, 32)
    wanted = torch.nn.functional.linear(x, layer.weight, bias)
    for _ in range(3):
        torch.testing.assert_close(utils.cpu_unquantized_gemm(layer, x, layer.weight, bias), wanted)
    assert packed == [False], "once, and the embedding keeps its weights"
