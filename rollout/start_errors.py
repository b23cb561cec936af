"""Why an engine did not start: from the log that vLLM, torch and the Hub's client leave to one line with the fix.

vLLM's own error for a core that dies says only "Engine core initialization failed. See root cause above"; the cause
stands in the standard error of its processes. Pure functions of text, which may be long and hostile.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from problems.plain_text import one_line, plain_text

LONGEST_LOG = 1 << 18
"""Characters of a log that are read, from its end."""
LONGEST_LOG_LINE = 4096
TAIL_LINES = 15
"""Lines of its log that are shown of an engine whose error is not known."""

_PREFIX = re.compile(
    r"^(?:\([\w .:=-]{1,60}\) )?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]{5,10} [\d:]{8} \[[^\]\n]{1,80}\] ?)?"
)
"""What vLLM puts before each line: its process, level, time, and place in the source."""
_RAISED = re.compile(r"^[A-Za-z_][\w.]{0,100}(?:Error|Exception|Refused|Failed|Exit|NotFound): \S")
_WRAPPER = re.compile(r"Engine core initialization failed|WorkerProc initialization failed|EngineDeadError")
"""Errors that only say that another one happened."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A known reason, and what to do."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


class EngineStartFailed(RuntimeError):
    """An engine did not start. `line` is for people; `log` is the end of what its processes wrote."""

    def __init__(self, line: str, log: str = "", known: bool = True):
        super().__init__(line, log, known)  # all of them: Ray pickles exceptions by their arguments
        self.line = line
        self.log = log
        self.known = known
        """Whether `line` names the cause; if not, the end of the log may."""

    def __str__(self) -> str:
        return self.line


def start_failure(model: str, log: str, error: BaseException | None = None) -> EngineStartFailed:
    """What is raised for an engine that could not start with `model`: its processes' log, and the error at hand."""
    raised = "".join(traceback.format_exception(error)) if error is not None else ""
    text = f"{log}\n{raised}"
    cause = explain(text, model)
    return EngineStartFailed(str(cause) if cause else last_error(text), tail(text, 200), cause is not None)


def explain(log: str, model: str) -> Cause | None:
    """The cause of a failed start, if the log shows one that is known. The first of `_KNOWN` that matches counts."""
    text = "\n".join(log_lines(log))
    for pattern, cause in _KNOWN:
        if found := pattern.search(text):
            what, fix = cause(found, one_line(model, 200))
            return Cause(one_line(what, 500), one_line(fix, 500))
    return None


def last_error(log: str) -> str:
    """The last error that the log names, in one line, leaving out those that only point to another."""
    lines = log_lines(log)
    raised = [line for line in lines if _RAISED.match(line) and not _WRAPPER.search(line)]
    if raised:
        return one_line(raised[-1], 500)
    return one_line(next((line for line in reversed(lines) if line.strip()), "no reason was given"), 500)


def tail(log: str, count: int = TAIL_LINES) -> str:
    """The last lines of a log that are not empty, as printable text."""
    lines = [line for line in plain_text(log[-LONGEST_LOG:]).split("\n") if line.strip()]
    return "\n".join(line[:LONGEST_LOG_LINE] for line in lines[-count:])


def log_lines(log: str) -> list[str]:
    """The lines at the end of a log, printable, without what vLLM puts before each."""
    return [_PREFIX.sub("", line[:LONGEST_LOG_LINE], count=1) for line in plain_text(log[-LONGEST_LOG:]).split("\n")]


Match = re.Match[str]
_Entry = tuple[re.Pattern[str], Callable[[Match, str], tuple[str, str]]]


def _known(pattern: str, what: str, fix: str) -> _Entry:
    """An entry whose texts take {model} and the pattern's named groups."""

    def cause(found: Match, model: str) -> tuple[str, str]:
        groups = {name: value or "?" for name, value in found.groupdict().items()} | {"model": model}
        return what.format(**groups), fix.format(**groups)

    return re.compile(pattern, re.MULTILINE), cause


def _old_driver(found: Match, model: str) -> tuple[str, str]:
    version = found["version"]
    speaks = f" (it speaks CUDA {int(version) // 1000}.{int(version) % 1000 // 10})" if version else ""
    return f"the NVIDIA driver is too old for the installed PyTorch{speaks}", _DRIVER_FIX


def _killed(found: Match, model: str) -> tuple[str, str]:
    if found["code"] == "-9":
        return (
            "the engine's process was killed, most likely by the kernel because memory had run out",
            "end other programs, take a smaller model, or give the container more memory",
        )
    return (
        f"the engine's process ended with exit code {found['code']}",
        "see the log; on a GPU also `dmesg | grep -i xid`, which names faults of the hardware and the driver",
    )


_DRIVER_FIX = (
    "install driver 580 or newer, or run `make install` on that machine again: it takes the builds for CUDA 12.9 where "
    "the driver is older"
)
_SHARE_FIX = "end what else uses the GPU (`nvidia-smi` lists it), or lower gpu_memory_share"
_INSTALL_FIX = "run `make install` on that machine again, and `crucible doctor` to see what it finds"
_WHOLE_FOLDER = "copy or download the model again: a download may have been cut off"

_KNOWN: tuple[_Entry, ...] = (
    # The Hub
    _known(
        r"[Cc]annot access gated repo|Access to model \S{1,200} is restricted|GatedRepoError",
        "{model} is a gated repository, and this account has no access",
        "accept its terms at https://huggingface.co/{model}, then set HF_TOKEN or run `hf auth login`",
    ),
    _known(
        r"401 Client Error|Invalid user token|Invalid credentials in Authorization header",
        "the Hugging Face hub refuses the access token",
        "set HF_TOKEN to a valid one, or unset it",
    ),
    _known(
        r"Repository Not Found|RepositoryNotFoundError|is not a local folder and is not a valid model identifier",
        "there is no model {model}, neither as a folder on that machine nor on the Hugging Face hub",
        "give a folder that every node can read, or a Hugging Face id",
    ),
    # The driver and the installation
    (
        re.compile(
            r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d{4,6})\))?"
            r"|CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver"
        ),
        _old_driver,
    ),
    _known(
        r"Error 803|unsupported display driver / cuda driver combination",
        "the NVIDIA driver and its library have different versions",
        "restart the machine after an update of the driver; in a container, remove its own libcuda (`cuda-compat`)",
    ),
    _known(
        r"no kernel image is available for execution|CUDA capability sm_\d+ is not compatible",
        "the installed PyTorch has no kernels for this GPU's compute capability",
        "use a GPU of compute capability 7.5 or newer; " + _INSTALL_FIX,
    ),
    _known(
        r"No CUDA GPUs are available|Found no NVIDIA driver|[Nn]o CUDA-capable device is detected"
        r"|Failed to infer device type",
        "no GPU is visible to the engine",
        "check `nvidia-smi` there, and the container's access to GPUs (`docker run --gpus all`)",
    ),
    _known(
        r"Torch not compiled with CUDA enabled",
        "the installed PyTorch is the CPU build",
        "run `python3 cluster/bootstrap.py --extra gpu` on that machine",
    ),
    _known(
        r"(?P<library>lib(?:cu|nv|nccl|torch)[\w.+-]{1,60}\.so[\d.]{0,12}): cannot open shared object file",
        "{library} is missing: PyTorch and vLLM are builds for different versions of CUDA",
        _INSTALL_FIX,
    ),
    _known(
        r"undefined symbol: (?P<symbol>\w{1,80})",
        "PyTorch and vLLM do not fit together (undefined symbol {symbol})",
        _INSTALL_FIX,
    ),
    _known(
        r"all CUDA-capable devices are busy or unavailable|CUDA-capable device\(s\) is/are busy or unavailable",
        "the GPU is held by another process in exclusive mode",
        "end that process, or set `nvidia-smi -c 0`",
    ),
    _known(
        r"Could not find nvcc|nvcc: not found|CUDA_HOME environment variable is not set|[Nn]inja build failed"
        r"|ninja: build stopped",
        "kernels had to be compiled here, and that failed",
        "run `.venv/bin/vllm download-kernels` on that machine, or install the CUDA toolkit of its version",
    ),
    # The GPU's numbers and its memory
    _known(
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0\. "
        r"(?:Your (?P<gpu>[\w .()/-]{1,60}?) GPU)?",
        "bfloat16 needs a GPU of compute capability 8.0 (Ampere) or newer, and this one ({gpu}) is older",
        "set dtype float16 for the engine, float32 for models that overflow in it (Gemma)",
    ),
    _known(
        r"Free memory on device (?P<device>[\w:]{1,20}) \((?P<free>[\d.]{1,12})/(?P<all>[\d.]{1,12}) GiB\) on startup "
        r"is less than desired GPU memory utilization \((?P<share>[\d.]{1,12}), (?P<wanted>[\d.]{1,12}) GiB\)",
        "{free} of {all} GiB of the GPU's memory are free, and gpu_memory_share {share} is {wanted} GiB",
        _SHARE_FIX,
    ),
    _known(
        r"No available memory for the cache blocks",
        "the weights leave no room for keys and values within the engine's share of the GPU",
        "raise gpu_memory_share, split the model with tensor_parallel, or take a smaller one",
    ),
    _known(
        r"\((?P<length>\d{1,12})\), \((?P<needed>[\d.]{1,12}) GiB KV cache is needed, which is larger than the "
        r"available KV cache memory \((?P<room>[\d.]{1,12}) GiB\)\.?[^.\n]{0,40}"
        r"the estimated maximum model length is (?P<longest>\d{1,12})",
        "a sequence of max_model_len {length} needs {needed} GiB of keys and values, and there is room for {room} GiB",
        "set max_model_len {longest} or less, or give the engine more memory (gpu_memory_share; kv_cache_gib on CPU)",
    ),
    _known(
        r"\((?P<length>\d{1,12})\), \((?P<needed>[\d.]{1,12}) GiB KV cache is needed, which is larger than the "
        r"available KV cache memory \((?P<room>[\d.]{1,12}) GiB\)",
        "a sequence of max_model_len {length} needs {needed} GiB of keys and values, and there is room for {room} GiB",
        "lower max_model_len, or give the engine more memory (gpu_memory_share; kv_cache_gib on CPU)",
    ),
    _known(
        r"Available memory on node \S{1,20} \((?P<free>[\d.]{1,12})/(?P<all>[\d.]{1,12}) GiB\) on kv cache allocation "
        r"is less than requested memory for kv \((?P<wanted>[\d.]{1,12})",
        "{free} of {all} GiB of memory are free, and keys and values are to have {wanted} GiB",
        "lower kv_cache_gib, or end other programs",
    ),
    _known(
        r"out of memory\. Tried to allocate (?P<wanted>[\d.]{1,12} [KMG]iB)",
        "the GPU's memory ran out while the engine started (the last {wanted} did not fit)",
        _SHARE_FIX + ", max_sequences or max_model_len",
    ),
    _known(
        r"DefaultCPUAllocator: can't allocate memory|Cannot allocate memory|^MemoryError",
        "this machine has not enough memory for the engine",
        "end other programs, take a smaller model, or lower kv_cache_gib",
    ),
    _known(
        r"running low on memory",
        "Ray ended the engine's process because the memory of its machine ran out",
        "end other programs, take a smaller model, or lower kv_cache_gib",
    ),
    _known(
        r"Bus error|unable to (?:write to file|allocate shared memory|open shared memory object)",
        "/dev/shm is too small for the engine's processes",
        "docker run --shm-size=4g, or an emptyDir of medium Memory at /dev/shm",
    ),
    _known(
        r"No space left on device",
        "a disk is full",
        "free some, or set HF_HOME to another disk; `df -h` shows which",
    ),
    # The model
    _known(
        r"User-specified max_model_len \((?P<length>\d{1,12})\) is greater than the derived max_model_len "
        r"\((?P<key>\w{1,60})=(?P<longest>[\d.]{1,12})",
        "max_model_len {length} is more than {model} knows ({key} {longest} in its config.json)",
        "set max_model_len {longest} or less",
    ),
    _known(
        r"Model architectures? \[?'?(?P<name>[\w', ]{1,200}?)'?\]? (?:are|is) not supported",
        "vLLM does not support the architecture of {model} ({name})",
        "take a model that vLLM supports: https://docs.vllm.ai/en/latest/models/supported_models",
    ),
    _known(
        r"model type `(?P<name>[^`\n]{1,100})` but Transformers does not recognize",
        "the installed transformers does not know the architecture of {model} (model type {name})",
        "take a model that is not newer than it",
    ),
    _known(
        r"contains custom code which must be executed|trust_remote_code=True|trust_remote_code` to True",
        "{model} needs code of its own to load, and Crucible runs none of a model's",
        "take a model whose architecture vLLM and transformers know",
    ),
    _known(
        r"(?P<name>\w{1,100}) does not support LoRA yet",
        "vLLM takes no LoRA adapters for the architecture of {model} ({name}), and Crucible trains those",
        "take another model",
    ),
    _known(
        r"attention heads \((?P<heads>\d{1,6})\) must be divisible by tensor parallel size \((?P<over>\d{1,6})\)",
        "tensor_parallel {over} does not divide the {heads} attention heads of {model}",
        "set it to a divisor of {heads}",
    ),
    _known(
        r"World size \((?P<size>\d{1,6})\) is larger than the number of available GPUs \((?P<found>\d{1,6})\)",
        "tensor_parallel {size} needs as many GPUs, and the engine sees {found}",
        "set tensor_parallel {found} or less",
    ),
    _known(
        r"Cannot find any model weights|no file named (?:pytorch_model|model)[\w.]{0,20}(?:bin|safetensors)",
        "{model} has no weights: no *.safetensors beside its config.json",
        _WHOLE_FOLDER,
    ),
    _known(
        r"Error while deserializing header: (?P<why>[\w ,:-]{1,100})",
        "the weights of {model} are damaged ({why})",
        _WHOLE_FOLDER,
    ),
    _known(r"SafetensorError|PytorchStreamReader failed", "the weights of {model} are damaged", _WHOLE_FOLDER),
    _known(
        r"(?:Attempted|Tried) to load weight|exceeds dimension size|weights were not initialized from checkpoint"
        r"|size mismatch for \S{1,200}|There is no module or parameter named",
        "the weights of {model} do not fit its config.json",
        _WHOLE_FOLDER,
    ),
    _known(
        r"[Cc]an't load tokenizer|[Cc]ouldn't instantiate the backend tokenizer|not have a file named tokenizer"
        r"|[Uu]nable to load (?:vocabulary|tokenizer)|[Tt]okenizer class \S{1,100} does not exist",
        "{model} has no tokenizer that can be loaded",
        "put tokenizer.json and tokenizer_config.json of its base model beside its config.json",
    ),
    _known(
        r"not a valid JSON file|JSONDecodeError",
        "a JSON file of {model} is damaged",
        _WHOLE_FOLDER,
    ),
    _known(
        r"Invalid repository ID or local directory specified|no config file found"
        r"|not have a file named config\.json",
        "{model} is no model that the engine's machine can read: there is no config.json",
        "give a folder that every node can read, or a Hugging Face id",
    ),
    # What is left
    _known(
        r"couldn't connect to ['\"]?https?://|LocalEntryNotFoundError|Temporary failure in name resolution"
        r"|Max retries exceeded with url|OfflineModeIsEnabled",
        "{model} is not in the cache of the engine's machine, and the Hugging Face hub cannot be reached from there",
        "give that machine access, or a folder that every node can read",
    ),
    _known(
        r"Timed out waiting for engine core processes",
        "the engine's process was not up in time",
        "raise start_seconds if it was still at work",
    ),
    (re.compile(r"Failed core proc\(s\): \{[^}\n]{0,80}?: (?P<code>-\d{1,4})"), _killed),
)
