"""Creates `.venv` with the right torch and vLLM for this machine. Needs only python3 (3.11 to 3.13).

    python3 cluster/bootstrap.py [--extra cpu|gpu] [--venv FOLDER]

On a GPU the driver decides for which CUDA torch and vLLM are taken, both for the same one; a driver that is too old for
either is refused. A second call does nothing unless the driver, `pyproject.toml` or `constraints.txt` has changed. The
package indexes, find-links and certificates that pip is configured with are handed on to uv, which resolves and
installs.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv>=0.9,<1"

UNWANTED = {"cpu": ("torchvision", "torchaudio", "torchcodec"), "gpu": ("torchaudio", "torchcodec", "cuda-python")}
"""vLLM requires them but does not need them for text; builds that do not match torch break transformers' import.

cuda-python only names cuda-bindings, which torch pins by itself. No cuda-python names torch's release of those, so that
a resolver goes back to one of CUDA 12.6, whose files are other bindings in the same place; Python 3.13 has none.
"""


GPU_CONSTRAINTS = "# What the GPU build has besides"
"""Begins the part of constraints.txt that is for CUDA 13 alone."""
DRIVER_SECONDS = 30
"""That nvidia-smi may take."""
HOPPER = (9, 0)
"""Compute capability from which vLLM computes with FlashInfer's kernels."""


@dataclass(frozen=True)
class CudaBuild:
    """Builds of torch and vLLM for one version of CUDA."""

    cuda: str
    least_driver: int
    """Major version of the oldest driver that runs them; within CUDA 12, any driver of 12.0 runs builds of 12.9."""
    torch_backend: str = ""
    """uv's name for torch's index; "" where the package index has the build."""
    vllm_tag: str = ""
    """Local version of vLLM's wheel, and the folder of its index; "" where the package index has the build."""


BUILDS = (CudaBuild("13.0", 580), CudaBuild("12.9", 525, "cu129", "cu129"))
"""The first that the driver runs is installed. The package index has only vLLM for CUDA 13, and torch to match."""
VLLM_INDEX = "https://wheels.vllm.ai"


class UnfitGpu(Exception):
    """The GPU or its driver cannot run what would be installed; the message names the fix."""


@dataclass(frozen=True)
class NvidiaGpu:
    """What its driver says of a GPU."""

    driver: str
    capability: tuple[int, int]


def main() -> int:
    """Installs what is missing. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", choices=("auto", "cpu", "gpu"), default="auto", help="auto looks for an NVIDIA GPU")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment goes")
    parser.add_argument(
        "--cuda",
        choices=("auto", *(build.cuda for build in BUILDS)),
        default="auto",
        help="auto takes what the driver runs; an image, which is made without one, may name it",
    )
    parser.add_argument(
        "--image",
        action="store_true",
        help="leave out the developer's tools, and install a copy of this folder rather than a link",
    )
    options = parser.parse_args()
    if options.extra == "cpu" and options.cuda != "auto":
        parser.error(f"--cuda {options.cuda} has no effect on the CPU: leave it out")
    try:
        gpus = [] if options.extra == "cpu" else find_gpus()
        extra = ("gpu" if gpus else "cpu") if options.extra == "auto" else options.extra
        build = choose_build(gpus, options.cuda) if extra == "gpu" else None
    except UnfitGpu as error:
        print(f"crucible: {error}", file=sys.stderr)
        return 2
    if extra == "cpu" and options.extra == "auto" and Path("/dev/kfd").exists():
        print("crucible: AMD GPUs are not supported; installing for the CPU", file=sys.stderr)
    stamp = options.venv / ".crucible-installed"
    wanted = recipe_hash(extra, build)
    if stamp.is_file() and stamp.read_text().strip() == wanted:
        return 0
    python = find_python()
    if python is None:
        found = sys.version.split()[0]
        print(f"crucible needs Python 3.11 to 3.13 and found {found}; install one of them", file=sys.stderr)
        return 2
    what = f"CUDA {build.cuda}" if build else "CPU"
    print(f"crucible: installing for {what} into {options.venv} (once; about a minute)", flush=True)
    if not (options.venv / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", str(options.venv)], check=True)
    install(options.venv, extra, build, options.image)
    if any(gpu.capability >= HOPPER for gpu in gpus) and extra == "gpu":
        fetch_kernels(options.venv)
    stamp.write_text(wanted + "\n")
    return 0


def find_gpus() -> list[NvidiaGpu]:
    """The NVIDIA GPUs whose driver answers. Raises UnfitGpu where it hangs."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnfitGpu(
            f"nvidia-smi does not answer within {DRIVER_SECONDS} s: repair the NVIDIA driver, or use the CPU: "
            "python3 cluster/bootstrap.py --extra cpu"
        ) from None
    return parse_gpus(found.stdout) if found.returncode == 0 else []


def parse_gpus(text: str) -> list[NvidiaGpu]:
    """GPUs from `driver, compute capability` lines; a driver too old to name the capability gives (0, 0)."""
    found = re.findall(
        r"^ *(\d{2,4}[.\d]{0,20}) *, *(?:(\d{1,3})\.(\d{1,3}))?", text[:100_000], re.MULTILINE | re.ASCII
    )
    return [NvidiaGpu(driver, (int(major or 0), int(minor or 0))) for driver, major, minor in found]


def choose_build(gpus: list[NvidiaGpu], cuda: str = "auto") -> CudaBuild:
    """The build for `cuda`; else the newest that the driver runs, or of all without a driver. Raises UnfitGpu."""
    if not gpus or cuda != "auto":
        return next(build for build in BUILDS if cuda in ("auto", build.cuda))
    driver = min((gpu.driver for gpu in gpus), key=_major)
    for build in BUILDS:
        if _major(driver) >= build.least_driver:
            return build
    oldest = BUILDS[-1]
    raise UnfitGpu(
        f"NVIDIA driver {driver} is too old for PyTorch and vLLM: install {BUILDS[0].least_driver} or newer (at least "
        f"{oldest.least_driver}, for CUDA {oldest.cuda}), or use the CPU: python3 cluster/bootstrap.py --extra cpu"
    )


def _major(driver: str) -> int:
    return int(driver.partition(".")[0])


def find_python() -> str | None:
    """The interpreter for the environment: this one if its version is supported, else one on the PATH."""
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return sys.executable
    for minor in (12, 11, 13):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return found
    return None


def recipe_hash(extra: str, build: CudaBuild | None = None) -> str:
    """A hash that changes whenever something else would be installed."""
    digest = hashlib.sha256(f"{extra} {build.cuda if build else ''} {UV}".encode())
    for name in ("pyproject.toml", "constraints.txt", "cluster/bootstrap.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install(venv: Path, extra: str, build: CudaBuild | None = None, image: bool = False) -> None:
    """Installs this project with `extra`: with the developer's tools, editable, or as for an `image`.

    Raises CalledProcessError.
    """
    python = venv / "bin" / "python"
    environment = {**os.environ, "VIRTUAL_ENV": str(venv)}
    environment.pop("PYTHONHOME", None)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", UV], check=True, env=environment)
    pip = pip_settings(python, environment)
    environment.update(uv_environment(pip))
    # Bytecode now: with PYTHONDONTWRITEBYTECODE set, as in many images, each of a job's processes would compile all
    # that it imports, seven seconds a process.
    command = [str(venv / "bin" / "uv"), "pip", "install", "--compile-bytecode", "--python", str(python)]
    command += [f"{ROOT}[{extra}]"] if image else ["--editable", f"{ROOT}[{extra},dev]"]
    command += resolver_options(venv, extra, build)
    if extra == "cpu" and not has_cpu_torch(pip.get("find-links", "")):
        # The registry's own torch for Linux carries several GB of CUDA; this takes PyTorch's CPU builds.
        command += ["--torch-backend", "cpu"]
    subprocess.run(command, check=True, env=environment)


def resolver_options(folder: Path, extra: str, build: CudaBuild | None) -> list[str]:
    """uv's options that decide which versions and builds are taken; the files that they name go to `folder`."""
    constraints = (ROOT / "constraints.txt").read_text()
    overrides = "".join(f"{name} ; sys_platform == 'never'\n" for name in UNWANTED[extra])
    options = []
    if build and build.vllm_tag:
        # Both for the same CUDA: --torch-backend changes torch alone and leaves a vLLM that cannot load its libraries.
        constraints = constraints.partition(GPU_CONSTRAINTS)[0]
        version = vllm_version()
        overrides += f"vllm=={version}+{build.vllm_tag}\n"
        options += ["--torch-backend", build.torch_backend, "--index", f"{VLLM_INDEX}/{version}/{build.vllm_tag}"]
        options += ["--index-strategy", "unsafe-best-match"]
    for option, name, text in (("--constraint", "constraints", constraints), ("--override", "overrides", overrides)):
        path = folder / f"{name}.txt"
        path.write_text(text)
        options += [option, str(path)]
    return options


def vllm_version() -> str:
    """The version of vLLM that pyproject.toml pins for GPUs."""
    found = re.search(r'"vllm==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert found is not None
    return found[1]


def fetch_kernels(venv: Path) -> None:
    """Installs FlashInfer's compiled kernels, without which an engine on Hopper or newer compiles for minutes."""
    print("crucible: fetching FlashInfer's kernels", flush=True)
    done = subprocess.run([str(venv / "bin" / "vllm"), "download-kernels"], check=False)
    if done.returncode:
        again = f"{venv}/bin/vllm download-kernels"
        print(f"crucible: they could not be fetched, so that engines compile them when they start; later: {again}",
              file=sys.stderr)  # fmt: skip


def pip_settings(python: Path, environment: dict[str, str]) -> dict[str, str]:
    """The output of `pip config list` by option name; the environment overrides files, as in pip."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, env=environment
    )
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section):
                settings[key.removeprefix(section)] = value.strip().strip("'\"").replace("\\n", " ")
    return settings


def uv_environment(pip: dict[str, str]) -> dict[str, str]:
    """uv's environment variables for pip's settings."""
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
        "trusted-host": "UV_INSECURE_HOST",
        "default-timeout": "UV_HTTP_TIMEOUT",
    }
    found = {variable: pip[option] for option, variable in names.items() if pip.get(option)}
    found["UV_FIND_LINKS"] = ",".join(pip.get("find-links", "").split())
    # pip skips a folder that is no index; uv would fail.
    extra = [url for url in pip.get("extra-index-url", "").split() if not url.startswith("file:")]
    if extra:
        found["UV_INDEX"] = " ".join(extra)
        # pip takes the best version of all indexes; by default uv stops at the first that knows the package.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {variable: value for variable, value in found.items() if value and not os.environ.get(variable)}


def has_cpu_torch(find_links: str) -> bool:
    """Whether one of pip's find-links folders holds a CPU build of torch for this Python's platform."""
    machine = sysconfig.get_platform().rpartition("-")[2]
    folders = [link.removeprefix("file://") for link in find_links.split()]
    return any(glob.glob(os.path.join(folder, f"torch-*cpu*{machine}*.whl")) for folder in folders)


if __name__ == "__main__":
    sys.exit(main())
