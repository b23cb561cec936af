"""The object store of a local Ray holds the adapters that are under way."""

import json

from cluster.connect import LOCAL_STORE
from pipelines.store_size import store_bytes
from rollout.engine_spec import EngineSpec

QWEN3_4B = {
    "model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
}  # fmt: skip


def spec(folder, rank, live, **config):
    (folder / "config.json").write_text(json.dumps({**QWEN3_4B, **config}))
    return EngineSpec(str(folder), lora_rank=rank, live_adapters=live)


def test_small_adapters_have_the_usual_store_and_large_ones_what_they_take(tmp_path):
    assert store_bytes(spec(tmp_path, 8, 2, hidden_size=128, num_hidden_layers=4, intermediate_size=384)) == LOCAL_STORE
    adapter = 132_120_576  # bytes in float32 at rank 16
    assert store_bytes(spec(tmp_path, 16, 1)) == LOCAL_STORE // 2 + 3 * adapter
    assert store_bytes(spec(tmp_path, 16, 4)) == LOCAL_STORE // 2 + 6 * adapter


def test_a_model_of_unknown_shapes_has_the_usual_store(tmp_path):
    assert store_bytes(EngineSpec(str(tmp_path))) == LOCAL_STORE
    assert store_bytes(spec(tmp_path, 16, 4, hidden_size=-1)) == LOCAL_STORE
