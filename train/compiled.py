"""The decoder layers of a model, and torch.compile for them."""

from __future__ import annotations

import os
import shutil

from torch.utils._triton import has_triton
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def compile_layers(model: PreTrainedModel) -> None:
    """Compiles each decoder layer of `model` at its first use, for sequences of any length; attention stays as it is.

    Raises ValueError where nothing could be compiled: no layers that are known as such, no compiler.
    """
    layers = decoder_layers(model, "torch_compile")
    if model.device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise ValueError("torch_compile needs a C++ compiler on a CPU, and there is no g++: install it or remove it")
    if model.device.type == "cuda" and not has_triton():
        raise ValueError("torch_compile needs Triton on a GPU, and it is not installed: install it or remove it")
    for layer in layers:
        layer.compile(dynamic=True)


def decoder_layers(model: PreTrainedModel, option: str) -> list[GradientCheckpointingLayer]:
    """The decoder layers of `model`. Raises ValueError, naming the option that wants them, where none is known."""
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"{option} has no effect on {model.config.name_or_path}, whose layers are not transformers' decoder "
            "layers: remove it"
        )
    inner = {module for layer in layers for module in layer.modules() if module is not layer}
    return [layer for layer in layers if layer not in inner]
