"""Creates `.venv` with the right torch and vLLM for this machine. Needs only python3 (3.11 to 3.13).

    python3 cluster/bootstrap.py [--extra cpu|gpu] [--venv FOLDER]

A second call does nothing unless `pyproject.toml` or `constraints.txt` has changed. The package indexes, find-links and
certificates that pip is configured with are handed on to uv, which resolves and installs.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv>=0.9,<1"

UNWANTED = {"cpu": ("torchvision", "torchaudio", "torchcodec"), "gpu": ("torchaudio", "torchcodec")}
"""vLLM requires them but does not need them for text; builds that do not match torch break transformers' import."""


def main() -> int:
    """Installs what is missing. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", choices=("auto", "cpu", "gpu"), default="auto", help="auto looks for an NVIDIA GPU")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment goes")
    options = parser.parse_args()
    extra = detect_extra() if options.extra == "auto" else options.extra
    stamp = options.venv / ".crucible-installed"
    wanted = recipe_hash(extra)
    if stamp.is_file() and stamp.read_text().strip() == wanted:
        return 0
    python = find_python()
    if python is None:
        found = sys.version.split()[0]
        print(f"crucible needs Python 3.11 to 3.13 and found {found}; install one of them", file=sys.stderr)
        return 2
    print(f"crucible: installing for {extra.upper()} into {options.venv} (once; about a minute)", flush=True)
    if not (options.venv / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", str(options.venv)], check=True)
    install(options.venv, extra)
    stamp.write_text(wanted + "\n")
    return 0


def detect_extra() -> str:
    """`gpu` if an NVIDIA driver answers, else `cpu`."""
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return "gpu" if found.returncode == 0 and "GPU" in found.stdout else "cpu"


def find_python() -> str | None:
    """The interpreter for the environment: this one if its version is supported, else one on the PATH."""
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return sys.executable
    for minor in (12, 11, 13):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return found
    return None


def recipe_hash(extra: str) -> str:
    """A hash that changes whenever something else would be installed."""
    digest = hashlib.sha256(f"{extra} {UV}".encode())
    for name in ("pyproject.toml", "constraints.txt", "cluster/bootstrap.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install(venv: Path, extra: str) -> None:
    """Installs this project with `extra` and the developer's tools, editable. Raises CalledProcessError."""
    python = venv / "bin" / "python"
    environment = {**os.environ, "VIRTUAL_ENV": str(venv)}
    environment.pop("PYTHONHOME", None)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", UV], check=True, env=environment)
    pip = pip_settings(python, environment)
    environment.update(uv_environment(pip))
    # Bytecode now: with PYTHONDONTWRITEBYTECODE set, as in many images, each of a job's processes would compile all
    # that it imports, seven seconds a process.
    command = [str(venv / "bin" / "uv"), "pip", "install", "--compile-bytecode", "--python", str(python)]
    command += ["--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}[{extra},dev]"]
    overrides = venv / "overrides.txt"
    overrides.write_text("".join(f"{name} ; sys_platform == 'never'\n" for name in UNWANTED[extra]))
    command += ["--override", str(overrides)]
    if extra == "cpu" and not has_cpu_torch(pip.get("find-links", "")):
        # The registry's own torch for Linux carries several GB of CUDA; this takes PyTorch's CPU builds.
        command += ["--torch-backend", "cpu"]
    subprocess.run(command, check=True, env=environment)


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
