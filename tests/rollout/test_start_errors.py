"""One line with the fix from what engines write before they fail."""

import pickle
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.start_errors import (
    LONGEST_LOG,
    EngineStartFailed,
    explain,
    last_error,
    start_failure,
    tail,
)

PREFIX = "(EngineCore pid=4242) ERROR 11-29 10:11:12 [core.py:950] "
WRAPPER = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)

# As vLLM 0.32, torch 2.13, transformers 5.19 and huggingface_hub 2.4 word them.
KNOWN = [
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver",
        ["driver is too old", "CUDA 12.2", "580", "make install"],
    ),
    ("cudaErrorInsufficientDriver: initialization error", ["driver is too old", "580"]),
    (
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver / "
        "cuda driver combination",
        ["different versions", "restart"],
    ),
    ("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device", ["capability"]),
    ("RuntimeError: No CUDA GPUs are available", ["no GPU is visible", "--gpus all"]),
    ("AssertionError: Torch not compiled with CUDA enabled", ["CPU build", "--extra gpu"]),
    (
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        ["libcudart.so.12", "make install"],
    ),
    ("ImportError: vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab", ["_ZN3c104cuda9SetDeviceEab"]),
    (
        "ValueError: Free memory on device cuda:0 (12.5/79.2 GiB) on startup is less than desired GPU memory utilization "
        "(0.9, 71.28 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        ["12.5 of 79.2 GiB", "gpu_memory_share 0.9", "nvidia-smi"],
    ),
    (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when",
        ["no room for keys and values", "raise gpu_memory_share"],
    ),
    (
        "ValueError: To serve at least one request with the model's max seq len (40960), (4.38 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (1.2 GiB). Based on the available memory, the estimated "
        "maximum model length is 11216. Try increasing",
        ["max_model_len 40960", "4.38 GiB", "1.2 GiB", "set max_model_len 11216 or less"],
    ),
    (
        "ValueError: To serve at least one request with the model's max seq len (40960), (4.38 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (0.01 GiB). Try increasing `gpu_memory_utilization`",
        ["max_model_len 40960", "lower max_model_len"],
    ),
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 96.00 MiB. GPU 0 has a total capacity of 23.5 GiB",
        ["memory ran out", "96.00 MiB", "gpu_memory_share"],
    ),
    (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has "
        "compute capability 7.5. You can use float16 instead",
        ["Tesla T4", "float16"],
    ),
    (
        "Value error, User-specified max_model_len (9000) is greater than the derived max_model_len "
        "(max_position_embeddings=2048 or model_max_length=None in model's config.json). To allow",
        ["9000", "max_position_embeddings 2048", "set max_model_len 2048 or less"],
    ),
    (
        "Value error, Model architectures ['Foo2ForCausalLM'] are not supported for now. Supported architectures: dict_keys",
        ["does not support", "Foo2ForCausalLM", "docs.vllm.ai"],
    ),
    (
        "ValueError: The checkpoint you are trying to load has model type `foo9` but Transformers does not recognize this "
        "architecture.",
        ["foo9", "not newer"],
    ),
    ("ValueError: FooForCausalLM does not support LoRA yet.", ["LoRA", "FooForCausalLM"]),
    (
        "ValueError: The repository me/it contains custom code which must be executed to correctly load the model.",
        ["code of its own"],
    ),
    (
        "ValueError: Total number of attention heads (14) must be divisible by tensor parallel size (4).",
        ["tensor_parallel 4", "14 attention heads"],
    ),
    (
        "ValueError: World size (2) is larger than the number of available GPUs (1) in this node.",
        ["tensor_parallel 2", "sees 1"],
    ),
    ("RuntimeError: Cannot find any model weights with `/models/it`", ["no weights"]),
    (
        "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not "
        "fully covered",
        ["damaged", "incomplete metadata"],
    ),
    ("OSError: Can't load tokenizer for 'me/it'. If you were trying to load it", ["no tokenizer"]),
    ("ValueError: Invalid repository ID or local directory specified: '/models/it'.", ["no config.json"]),
    (
        "OSError: You are trying to access a gated repo.\nCannot access gated repo for url https://x/y",
        ["gated repository", "https://huggingface.co/me/it", "HF_TOKEN"],
    ),
    (
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
        ["Ray ended", "smaller"],
    ),
    ("OSError: [Errno 28] No space left on device", ["disk is full", "HF_HOME"]),
    ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", ["cannot be reached"]),
    ("RuntimeError: Ninja build failed. Ninja output:", ["download-kernels"]),
    (
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': -9}",
        ["killed", "memory had run out"],
    ),
    (
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': -11}",
        ["exit code -11"],
    ),
]


@pytest.mark.parametrize(("error", "says"), KNOWN, ids=[error[:40] for error, _ in KNOWN])
def test_known_failures_have_a_line_with_the_fix(error, says):
    noise = "INFO 11-29 10:11:12 [core.py:134] Initializing a V1 LLM engine\nTraceback (most recent call last):\n"
    log = noise + "".join(f"{PREFIX}{line}\n" for line in error.splitlines()) + f"Traceback\n{WRAPPER}\n"
    cause = explain(log, "me/it")
    assert cause is not None
    line = str(cause)
    assert all(part in line for part in says), line
    assert "\n" not in line and "?" not in line and len(line) < 400
    failure = start_failure("me/it", log)
    assert failure.known and str(failure) == line and error.splitlines()[-1][:60] in failure.log


def test_an_unknown_failure_names_the_last_error_that_is_no_wrapper():
    log = f"{PREFIX}Traceback\n{PREFIX}KeyError: 'layers.0.q'\n{PREFIX}CustomError: the true cause\nTraceback\n{WRAPPER}\n"
    failure = start_failure("me/it", log, RuntimeError(WRAPPER.partition(": ")[2]))
    assert not failure.known and str(failure) == "CustomError: the true cause"
    assert last_error("") == "no reason was given" and last_error("only words") == "only words"


def test_an_error_without_a_log_is_explained_all_the_same():
    failure = start_failure("me/it", "", ValueError("FooForCausalLM does not support LoRA yet."))
    assert failure.known and "LoRA" in str(failure)


def test_it_travels_between_processes():
    sent = pickle.loads(pickle.dumps(EngineStartFailed("why", "log", False)))
    assert (str(sent), sent.log, sent.known) == ("why", "log", False)


_PARTS = [error for error, _ in KNOWN] + [
    PREFIX,
    "\x1b[31m",
    "\u202e",
    "\r",
    "\n",
    "\x00",
    "(" * 50,
    "9" * 50,
    "a" * 300,
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(_PARTS), st.text(max_size=60)), max_size=30), st.text(max_size=30))
def test_whatever_is_in_a_log_its_line_is_one_and_printable(parts, model):
    failure = start_failure(model, "".join(parts))
    line = str(failure)
    assert line and len(line) <= 1002 and not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", line)
    assert len(failure.log.splitlines()) <= 200 and "\x1b" not in failure.log


@pytest.mark.parametrize("piece", ["a", "(", "\n", "9", " ", "Model architectures ['", "World size (9", "Your A GPU "])
def test_a_huge_log_takes_no_long_time(piece):
    log = piece * (4 * LONGEST_LOG // len(piece))
    began = time.process_time()
    start_failure("me/it", log)
    assert len(tail(log)) <= 16 * 4097
    # Linear in what is read: a quadratic expression would take minutes.
    assert time.process_time() - began < 20
