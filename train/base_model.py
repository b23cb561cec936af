"""Loads the frozen base model that an adapter is trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from problems.plain_text import one_line
from rollout.model_files import NO_CODE, place_of, unloadable
from train.config import TrainConfig
from train.lora import fingerprint
from train.quantised import quantisation, refuse_quantising


def base_and_identity(
    model: str | Path | PreTrainedModel, config: TrainConfig, device: torch.device
) -> tuple[PreTrainedModel, str]:
    """The base, loaded unless it is given, and its fingerprint; "" where that is still to be told from its weights.

    Of a quantised base it is that of the published weights. Raises as `load_base`, and for a given model that is to be
    quantised.
    """
    if isinstance(model, PreTrainedModel):
        if config.quantise != "none":
            raise ValueError(f"quantise {config.quantise} is of models in files: give the model's folder or id")
        return model, ""
    base = load_base(model, config, device)
    if config.quantise == "none":
        return base, ""
    published = config.model_copy(update={"quantise": "none", "dtype": "bfloat16"})
    return base, fingerprint(load_base(model, published, torch.device("cpu")))


def load_base(model: str | Path, config: TrainConfig, device: torch.device) -> PreTrainedModel:
    """The frozen base model with scaled-dot-product attention, in the configured dtype, loaded straight to `device`.

    One that is to be sharded is loaded to the CPU, where weights that are of that dtype are mapped from their files.

    Raises ValueError, saying what was looked for, where there is no such model, and for what the device cannot do.
    """
    folder = Path(place_of(model)).expanduser()
    looks_local = folder.is_absolute() or str(model).startswith((".", "~"))
    if (looks_local or folder.is_dir()) and not (folder / "config.json").is_file():
        raise ValueError(f"model folder {model} has no config.json: give a Hugging Face model folder or id")
    name = config.dtype
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name == "float16" and device.type == "cpu":
        raise ValueError("dtype float16 is for GPUs, a CPU has no use for it: set float32, or bfloat16 to save memory")
    refuse_quantising(config.quantise, on_gpu=device.type == "cuda")
    dtype = getattr(torch, name)
    try:
        base = AutoModelForCausalLM.from_pretrained(
            str(folder if folder.is_dir() else model),
            dtype=dtype,
            quantization_config=quantisation(config.quantise, dtype),
            attn_implementation="sdpa",
            device_map={"": "cpu" if config.shard else device},
            **NO_CODE,
        )
    except OSError as error:
        reason = one_line(str(error).strip().partition("\n")[0], 300)
        raise ValueError(f"model {model} is no folder and cannot be fetched from the Hub: {reason}") from error
    except Exception as error:  # libraries raise anything for damaged files
        raise unloadable(model, "weights", error) from error
    base.name_or_path = str(model)  # an adapter records it, and not a copy that this node has
    return base
