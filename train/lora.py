"""The adapter: attached to a base model by peft, computed in one fused step, exported as bytes.

peft owns the structure (which layers, names, files); the forward of a plain LoRA layer is replaced by one
autograd function that does the same sum with fewer passes over the activations and keeps fewer of them for
the backward pass.
"""

from __future__ import annotations

import hashlib
import re
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from transformers import PreTrainedModel

from problems.plain_text import one_line
from rollout.adapter import TENSOR, check_adapter_config, layer_scale
from rollout.load_proof import adapter_checksums
from rollout.policy import AdapterForm, PolicyVersion
from train.config import TrainConfig
from train.numbers import products_dtype

_ADAPTER = "default"
"""peft's name for the only adapter of a model; it is not part of the names in the file."""


class Adapter:
    """A LoRA adapter on a base model, the only part of it that learns."""

    def __init__(self, base: PreTrainedModel, config: TrainConfig, identity: str = "") -> None:
        """Wraps `base` (changed in place) with fresh random weights: equal seeds give equal weights on any
        device. `identity` is its fingerprint, where that cannot be told from its weights.

        Raises ValueError for target modules that the model does not have, and for the output head.
        """
        targets = _target_modules(base, config)
        self.base = {"model": base.name_or_path, "fingerprint": identity or fingerprint(base)}
        self.dtype = str(base.dtype).removeprefix("torch.")
        alpha = int(config.lora_alpha) if config.lora_alpha.is_integer() else config.lora_alpha
        lora = LoraConfig(
            r=config.lora_r,
            lora_alpha=alpha,  # pyright: ignore[reportArgumentType] peft only divides by the rank
            lora_dropout=config.lora_dropout,
            target_modules=targets,
            exclude_modules=_outside_decoder(base),
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model: PeftModel = get_peft_model(base, lora)
        for layer in self.model.modules():
            if isinstance(layer, LoraLinear) and _is_plain(layer):
                layer.forward = types.MethodType(_fused_forward, layer)
        self.parameters: dict[str, nn.Parameter] = {
            name.replace(f".{_ADAPTER}.", "."): parameter
            for name, parameter in sorted(self.model.named_parameters())
            if parameter.requires_grad
        }
        self.config = _file_config(lora, targets)

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base model alone, for as long as the context lasts."""
        with self.model.disable_adapter():
            yield

    @contextmanager
    def holding(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Other weights, by the names of `parameters`, in place of its own for as long as the context lasts. Nothing is
        copied."""
        own = {name: parameter.data for name, parameter in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = tensors[name]
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = own[name]

    def export(
        self, run: str, number: int, tensors: Mapping[str, Tensor] | None = None, dtype: str = "float32"
    ) -> PolicyVersion:
        """The adapter as peft's `save_pretrained` would write it: same names, same tensors; in `dtype`.

        `tensors`, by the names of `parameters` and in their order, are used in place of the current weights.
        """
        values = [value.detach().to(getattr(torch, dtype)) for value in (tensors or self.parameters).values()]
        flat = torch.cat([value.flatten() for value in values]).cpu()  # one copy off the device, not one a tensor
        parts = torch.split(flat, [value.numel() for value in values])
        shaped = {
            name: part.view(value.shape) for name, part, value in zip(self.parameters, parts, values, strict=True)
        }
        weights = save_safetensors(shaped, metadata={"format": "pt"})
        return PolicyVersion(run=run, number=number, weights=weights, lora_config=self.config, base=self.base)

    def checksums(self, form: AdapterForm) -> dict[str, int]:
        """Checksums of the weights as they are now, as an engine of that form must hold them."""
        return adapter_checksums(self.parameters, self.config, form)

    def copy(self) -> dict[str, Tensor]:
        """The weights as they are now, by the names of `parameters`."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def load(self, policy: PolicyVersion) -> None:
        """Loads what `policy` computes, in place: where its layers are scaled otherwise (lora_alpha, use_rslora,
        alpha_pattern), B is rescaled by the difference.

        Raises ValueError where they are not of this adapter's layers and shapes, where its configuration asks for what
        is not computed here, naming the field, and for the bare base model.
        """
        if not policy.weights:
            raise ValueError(f"{policy.name} is the base model without adapter: there is nothing to load")
        check_adapter_config(policy.lora_config, f"adapter {policy.name}")
        tensors = load_safetensors(policy.weights)
        if policy.lora_config:
            tensors = {name: self._rescaled(name, tensor, policy.lora_config) for name, tensor in tensors.items()}
        self.load_tensors(tensors, policy.name)

    def _rescaled(self, name: str, tensor: Tensor, config: Mapping[str, Any]) -> Tensor:
        found = TENSOR.fullmatch(name)
        if found is None or found[2] == "A":
            return tensor
        ratio = layer_scale(config, found[1]) / layer_scale(self.config, found[1])
        return tensor if ratio == 1 else tensor.float() * ratio

    def load_tensors(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """As `load`, from tensors by their names in the adapter file; `source` is named in errors."""
        shapes = {name: tuple(parameter.shape) for name, parameter in self.parameters.items()}
        given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != given:
            name = next(n for n in sorted({*shapes, *given}) if shapes.get(n) != given.get(n))
            raise ValueError(
                f"adapter {source} does not fit: {one_line(name, 200)} is {given.get(name, 'absent')} there and "
                f"{shapes.get(name, 'absent')} here; use the same base model, lora_r and target_modules"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[name])


@torch.no_grad()
def fingerprint(base: PreTrainedModel) -> str:
    """Identity of a base model, independent of dtype and path: names, shapes and first values of its parameters."""
    digest = hashlib.sha256()
    for name, parameter in base.named_parameters():
        first = parameter.flatten()[:64].to(device="cpu", dtype=torch.bfloat16).view(torch.int16)
        digest.update(f"{name}{tuple(parameter.shape)}".encode() + first.numpy().tobytes())
    return digest.hexdigest()[:16]


class _FusedLora(torch.autograd.Function):
    """x W' + b + s (x A') B', with frozen W and b.

    The arithmetic is in the base model's dtype, or in float32 where the processor has no products in that dtype; what
    is kept for the backward pass is in the base model's.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, lora_a, lora_b, scale):
        dtype = products_dtype(weight)
        a, b = lora_a.to(dtype), lora_b.to(dtype)
        kept_N_I = x.reshape(-1, x.shape[-1])
        x_N_I = kept_N_I.to(dtype)
        inner_N_R = x_N_I @ a.t()
        bias = None if bias is None else bias.to(dtype)
        out_N_O = F.linear(x_N_I, weight.to(dtype), bias).addmm_(inner_N_R, b.t(), alpha=scale).to(x.dtype)
        ctx.save_for_backward(kept_N_I, inner_N_R.to(x.dtype), weight, lora_a, lora_b)
        ctx.scale, ctx.shape = scale, x.shape
        return out_N_O.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad):
        x_N_I, inner_N_R, weight, lora_a, lora_b = ctx.saved_tensors
        dtype = products_dtype(weight)
        grad_N_O = grad.reshape(-1, grad.shape[-1]).to(dtype)
        # In these orders thin products take a CPU up to twenty times less than in the plain ones.
        grad_b = (inner_N_R.to(dtype).t() @ grad_N_O).mul_(ctx.scale).t()
        grad_inner_N_R = F.linear(grad_N_O, lora_b.to(dtype).t().contiguous()).mul_(ctx.scale)
        grad_a = grad_inner_N_R.t() @ x_N_I.to(dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_N_O @ weight.to(dtype)).addmm_(grad_inner_N_R, lora_a.to(dtype))
            grad_x = grad_x.to(grad.dtype).view(ctx.shape)
        return grad_x, None, None, grad_a.to(lora_a.dtype), grad_b.to(lora_b.dtype), None


def _fused_forward(self: LoraLinear, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Takes the place of peft's forward on plain layers."""
    if self.disable_adapters:
        return self.base_layer(x, *args, **kwargs)
    base = self.base_layer
    lora_a, lora_b = self.lora_A[_ADAPTER].weight, self.lora_B[_ADAPTER].weight
    return _FusedLora.apply(x, base.weight, base.bias, lora_a, lora_b, self.scaling[_ADAPTER])


def _is_plain(layer: LoraLinear) -> bool:
    """Whether the fused sum is the whole of what peft would compute."""
    base_is_linear = type(layer.base_layer) is nn.Linear
    no_dropout = isinstance(layer.lora_dropout[_ADAPTER], nn.Identity)
    return base_is_linear and no_dropout and _ADAPTER not in layer.lora_variant and not layer.fan_in_fan_out


def _target_modules(base: PreTrainedModel, config: TrainConfig) -> list[str]:
    """Sorted names of the layers to adapt: sorted, so that equal adapters have equal configurations and
    hashes. Engines serve adapters of the language model's linear layers alone: not of the output head, the embedding,
    or a vision tower."""
    head, decoder = base.get_output_embeddings(), base.get_decoder()
    linear = {
        name.rpartition(".")[2]
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    if config.target_modules == "all-linear":
        return sorted(linear)
    for name in config.target_modules:
        if name not in linear:
            raise ValueError(
                f"target module {name} is not a linear layer inside the language model, and engines serve no other: "
                f"choose among {sorted(linear)}"
            )
    return sorted(set(config.target_modules))


def _outside_decoder(base: PreTrainedModel) -> str | None:
    """A pattern of all modules outside the language model, where some are linear layers: a vision tower calls its
    layers by the same names. None for models of text alone."""
    head, decoder = base.get_output_embeddings(), base.get_decoder()
    inside = {id(module) for module in decoder.modules()} | {id(head)}
    if all(id(module) in inside for module in base.modules() if isinstance(module, nn.Linear)):
        return None
    prefix = next(name for name, module in base.named_modules() if module is decoder)
    return rf"(?!{re.escape(prefix)}\.).*"


def _file_config(lora: LoraConfig, targets: list[str]) -> dict[str, Any]:
    """The content of adapter_config.json: peft's, in a fixed order and of JSON types alone."""
    values = {**lora.to_dict(), "inference_mode": True, "target_modules": targets}
    return {
        name: sorted(value) if isinstance(value, set) else getattr(value, "value", value)
        for name, value in sorted(values.items())
    }
