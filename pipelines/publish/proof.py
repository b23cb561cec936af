"""The proof of a merged model: its weights are base + adapter as peft computes them, its log-probabilities agree with
those of base + adapter, and vLLM loads it and computes the same.

The models are loaded one after the other, never two at a time.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.plain_text import one_line
from rollout.engine import canary_bound
from rollout.policy import PolicyVersion
from train.merge import DTYPES, Merged, largest_error, places

if TYPE_CHECKING:
    from torch import Tensor

TEXT = (
    "def add(a, b):\n    return a + b\n\nA box holds 12 apples and 7 are eaten. How many are left?\n"
    "12 - 7 = 5\n\\boxed{5}\n```python\nfor i in range(3):\n    print(i)\n```\n"
)
"""What the models are compared on."""
LONGEST = 96
"""Tokens of it, at most."""
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Variables that the process of vLLM is not given: it reads one folder."""
ROUNDING = 0.51
"""Largest difference of a weight, in units of its dtype's rounding: one rounding is half a unit."""


class ProofFailed(ValueError):
    """A merged model that is not what it should be; the message is one line."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found; all of it within its bounds."""

    rounding: float
    """Largest difference of a weight, in units of its dtype's rounding."""
    gap: float
    """Mean |merged - (base + adapter)| log-probability over the canary's tokens."""
    effect: float
    """Mean |(base + adapter) - base|: what the adapter does to these tokens."""
    served_gap: float
    """Mean |vLLM - merged|."""
    bound: float
    dtype: str
    changed: float

    def rows(self) -> list[tuple[str, str]]:
        """For people."""
        return [
            (
                "weights that are others than the base's",
                f"{self.changed:.2%} of the adapted matrices, kept as {self.dtype}",
            ),
            ("largest difference of a weight from base + adapter", f"{self.rounding:.2f} units of its rounding"),
            ("log-probabilities, merged and base + adapter", f"{self.gap:.2g} in the mean (at most {self.bound:g})"),
            ("log-probabilities, base + adapter and base", f"{self.effect:.2g} in the mean"),
            ("log-probabilities, vLLM and merged", f"{self.served_gap:.2g} in the mean (at most {self.bound:g})"),
        ]


def prove(base: Path, adapter: PolicyVersion, target: Path, merged: Merged) -> Proof:
    """Proves the merged model in `target`. Raises ProofFailed."""
    ids = canary_ids(base)
    plain, adapted, rounding = _of_base(base, adapter, target, merged, ids)
    gc.collect()  # peft's modules know each other in circles, and hold the whole model
    found = _of_merged(target, ids)
    gc.collect()
    dtype = str(DTYPES[merged.dtype.partition(",")[0]]).removeprefix("torch.")
    bound, gap, effect = canary_bound(dtype), _gap(found, adapted), _gap(adapted, plain)
    if not gap <= bound:
        raise ProofFailed(f"its log-probabilities differ from those of base + adapter by {gap:.3g}, at most {bound:g}")
    if effect > bound and not gap < _gap(found, plain):
        raise ProofFailed("it is nearer to the base model than to base + adapter")
    served = serve(target, ids, dtype)
    served_gap = _gap(np.array(served["logprobs"]), found)
    if not served_gap <= bound:
        raise ProofFailed(f"vLLM's log-probabilities differ from its own by {served_gap:.3g}, at most {bound:g}")
    return Proof(rounding, gap, effect, served_gap, bound, merged.dtype, merged.changed)


def canary_ids(base: Path) -> list[int]:
    """Tokens that every model of this tokenizer reads. Raises ProofFailed."""
    from rollout.model_files import load_tokenizer

    try:
        ids = load_tokenizer(base)(TEXT)["input_ids"][:LONGEST]
    except ValueError as error:
        raise ProofFailed(str(error)) from None
    if len(ids) < 4:
        raise ProofFailed("its tokenizer makes almost nothing of a text; is it the model's own?")
    return [int(i) for i in ids]


def _of_base(
    base: Path, adapter: PolicyVersion, target: Path, merged: Merged, ids: list[int]
) -> tuple[Any, Any, float]:
    """Log-probabilities of the base alone and with the adapter, by peft, and the largest difference of a weight."""
    from peft import PeftModel
    from peft.tuners.lora.layer import LoraLayer

    from train.lora import fingerprint

    model = _load(base)
    recorded = adapter.base.get("fingerprint")
    if recorded and recorded != (here := fingerprint(model)):
        raise ProofFailed(
            f"the adapter was trained on base model {one_line(adapter.base.get('model'), 100)} ({recorded}), and this "
            f"is another one ({here}); give it by --model"
        )
    with tempfile.TemporaryDirectory(prefix="crucible-") as folder:
        wrapped: Any = PeftModel.from_pretrained(model, str(adapter.write(Path(folder))))
    adapted = _logprobs(wrapped, ids)
    with wrapped.disable_adapter():
        plain = _logprobs(wrapped, ids)
    known, worst, seen = places(target), 0.0, set()
    for name, module in wrapped.base_model.model.named_modules():
        if isinstance(module, LoraLayer) and name in merged.names:
            layer: Any = module
            weight, delta = layer.get_base_layer().weight.detach(), layer.get_delta_weight("default").detach()
            place = known[merged.names[name]]
            worst, seen = max(worst, largest_error(target, place, rows_of(weight, delta))), seen | {name}
            if not worst <= ROUNDING:
                raise ProofFailed(f"{name} differs from base + adapter by {worst:.3g} units of its rounding")
    if seen != set(merged.names):
        raise ProofFailed(f"peft knows {len(seen)} of the {len(merged.names)} layers that were merged")
    return plain, adapted, worst


def rows_of(weight: Tensor, delta: Tensor) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """Rows of both, in float32."""
    return lambda start, stop: (weight[start:stop].float(), delta[start:stop].float())


def _of_merged(target: Path, ids: list[int]) -> Any:
    return _logprobs(_load(target), ids)


def _load(folder: Path) -> Any:
    """A model in the numbers of its files, on the CPU. Raises ProofFailed."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from rollout.model_files import NO_CODE, unloadable

    disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype="auto", attn_implementation="sdpa", **NO_CODE
        ).eval()
    except Exception as error:  # libraries raise anything for damaged files
        raise ProofFailed(str(unloadable(folder, "weights", error))) from None


def _logprobs(model: Any, ids: list[int]) -> np.ndarray:
    """float32 [len(ids) - 1]: of each token but the first, given those before it."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, :-1].float()
        chosen = logits.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        return (chosen - logits.logsumexp(-1)).numpy()


def _gap(one: Any, other: Any) -> float:
    return float(np.mean(np.abs(np.asarray(one) - np.asarray(other))))


# --- vLLM, in a process of its own: it leaves no room for anything else in one, and its end frees all of it


def serve(folder: Path, ids: list[int], dtype: str, seconds: float = 1800.0) -> dict[str, Any]:
    """Has vLLM load the folder and score the canary: {"logprobs": [...], "tokens": [...]}. Raises ProofFailed."""
    from rollout.start_errors import start_failure

    with tempfile.TemporaryDirectory(prefix="crucible-") as place:
        task, answer = Path(place) / "task.json", Path(place) / "answer.json"
        task.write_text(json.dumps({"model": str(folder), "ids": ids, "dtype": dtype, "answer": str(answer)}))
        command = [sys.executable, "-m", "pipelines.publish.proof", str(task)]
        environment = {key: value for key, value in os.environ.items() if key not in _TOKENS}
        environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise ProofFailed(f"vLLM did not load it in {seconds:.0f} s") from None
        if done.returncode or not answer.is_file():
            raise ProofFailed(f"vLLM does not load it: {start_failure(str(folder), done.stdout + done.stderr)}")
        return json.loads(answer.read_text())


def main(path: str) -> None:
    """The process."""
    task = json.loads(Path(path).read_text())
    from rollout.backends import engine_args, is_cuda, prepare_environment
    from rollout.config import EngineConfig
    from rollout.engine_spec import EngineSpec

    prepare_environment()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM, SamplingParams

    ids, cuda = task["ids"], is_cuda()
    dtype = task["dtype"] if cuda or task["dtype"] != "float16" else "float32"
    length = len(ids) + 16
    config = EngineConfig(dtype=dtype, max_model_len=length, max_sequences=4, gpu_memory_share=0.9, kv_cache_gib=0.5)
    wanted = engine_args(EngineSpec(task["model"], config))
    args = {key: value for key, value in wanted.items() if "lora" not in key and key != "worker_extension_cls"}
    engine = LLM(**args)
    params = SamplingParams(temperature=0.0, max_tokens=8, prompt_logprobs=0)
    output: Any
    (output,) = engine.generate([{"prompt_token_ids": ids}], params, use_tqdm=False)
    scored = [row[token].logprob for row, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
    found = {"logprobs": scored, "tokens": list(output.outputs[0].token_ids)}
    Path(task["answer"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
