"""Loads the frozen base model that an adapter is trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from problems.plain_text import one_line
from rollout.model_files import NO_CODE, unloadable
from train.config import TrainConfig
from train.lora import fingerprint
from train.quantised import quantisation, refuse_quantising


def load_base(model: str | Path, config: TrainConfig, device: torch.device) -> PreTrainedModel:
    """The frozen base model with scaled-dot-product attention, in the configured dtype, loaded straight to `device`.

    One that is to be sharded is loaded to the CPU, where weights that are of that dtype are mapped from their files.

    Raises ValueError, saying what was looked for, where there is no such model, and for what the device cannot do.
    """
    folder = Path(model).expanduser()
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
        return AutoModelForCausalLM.from_pretrained(
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


def base_fingerprint(model: str | Path, config: TrainConfig) -> str:
    """Identity of the base as it is published, whatever it is held in while an adapter is trained on it. Raises as
    `load_base`."""
    plain = config.model_copy(update={"quantise": "none", "dtype": "bfloat16"})
    return fingerprint(load_base(model, plain, torch.device("cpu")))
