"""Fresh weights of a tiny model that can already look tokens up."""

import pytest
import torch

from train.pretrain import ArchitectureConfig, build_model

SHAPES = [
    {},
    {"hidden": 64, "heads": 2, "kv_heads": 1, "intermediate": 96},
    {"heads": 8, "kv_heads": 8, "layers": 2},
    {"hidden": 256, "heads": 4, "kv_heads": 4},
]
LENGTH = 24


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fresh_model_finds_what_came_after_the_same_token(shape):
    model = build_model(ArchitectureConfig(**shape), vocabulary=600, eos_id=1, pad_id=0, seed=3)
    model.set_attn_implementation("eager")
    drawn = torch.stack(
        [torch.randperm(590, generator=torch.Generator().manual_seed(n))[:LENGTH] + 5 for n in range(8)]
    )
    ids = torch.cat([drawn, drawn], dim=1)
    with torch.no_grad():
        out = model(input_ids=ids, output_attentions=True)
    places = torch.arange(LENGTH, 2 * LENGTH - 1)
    found = out.attentions[1][:, :, places, places - LENGTH + 1].mean()
    assert found > 2.5 / (1.5 * LENGTH), "several times what an even look at all tokens would give"
    losses = -out.logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    assert losses[:, LENGTH:].mean() < losses[:, : LENGTH - 1].mean() - 0.02


def test_equal_seeds_give_equal_models_and_one_layer_is_no_circuit():
    one, two = (build_model(ArchitectureConfig(), vocabulary=600, eos_id=1, pad_id=0, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    single = build_model(ArchitectureConfig(layers=1), vocabulary=600, eos_id=1, pad_id=0, seed=3)
    assert not single.model.layers[0].self_attn.q_proj.bias.any()
