"""A frozen base whose linear layers are held in 4 or 8 bits by bitsandbytes, for models larger than a GPU.

nf4 is QLoRA's (Dettmers et al. 2023, arXiv 2305.14314), with its constants quantised again; int8 is LLM.int8()
(Dettmers et al. 2022, arXiv 2208.07339). Embedding, head and norms are in the base's dtype.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig


def refuse_quantising(quantise: str, on_gpu: bool, section: str = "") -> None:
    """Raises ValueError, naming the fix, where the base is to be quantised and that is not possible here."""
    if quantise == "none":
        return
    name = f"{section}quantise {quantise}"
    if not on_gpu:
        raise ValueError(f"{name} is for GPUs, and the learner has none: set it to none")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            f"{name} needs bitsandbytes, which is not installed: pip install bitsandbytes (the extra `quantised`), or "
            "set it to none"
        )


def quantisation(quantise: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """How transformers is to hold the base's linear layers; None leaves them as they are. `dtype` is that of products
    in 4 bits."""
    if quantise == "none":
        return None
    from transformers import BitsAndBytesConfig

    if quantise == "int8":
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says at each product that it rounds to 16 bits
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
