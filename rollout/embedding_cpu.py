"""Embeddings on CPU without a second copy that nobody reads.

vLLM keeps another form of each embedding's weights, the one that the matrix library wants, in case it is the output
head too. Where the head is a module of its own, tied or not, the embedding's form is never used: at a vocabulary of
262,144 and 640 numbers each that is 0.6 GiB in float32.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def install() -> None:
    """Has engines that are made afterwards in this process make that form at the first product, where there is one."""
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

    def process_weights_after_loading(self: Any, layer: Any) -> None:
        def first_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
            return layer.cpu_linear(x, weight, bias)

        layer.cpu_linear = first_product

    UnquantizedEmbeddingMethod.process_weights_after_loading = process_weights_after_loading
