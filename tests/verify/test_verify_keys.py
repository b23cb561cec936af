"""Keys of a run reach neither the sandbox's processes nor the actors that drive them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

from verify.config import VerifyConfig
from verify.keys import drop_keys
from verify.sandbox.executor import Sandbox

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "ANTHROPIC_API_KEY", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OPENAI_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS", "WANDB_API_KEY", "SSH_AUTH_SOCK", "DATABASE_PASSWORD", "GITHUB_TOKEN", "MY_SECRET",
    "openai_api_key", "PGPASSWD_FILE_KEY", "VLLM_API_KEY", "AZURE_STORAGE_KEY",
]  # fmt: skip
HONEST = {
    "PATH": "/usr/bin", "HOME": "/root", "TOKENIZERS_PARALLELISM": "false", "KEYBOARD": "us", "AUTHOR": "me",
    "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t", "CRUCIBLE_RUNS": "s3://bucket/runs", "MONKEY": "1", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def test_keys_are_recognised_by_name_and_form(monkeypatch):
    urls = {"PIP_INDEX_URL": "https://me:pw@host/simple", "DATABASE_URL": "postgres://me:pw@host"}
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in (dict.fromkeys(KEYS, "x") | HONEST | urls).items():
        monkeypatch.setenv(name, value)
    assert set(drop_keys()) == {*KEYS, *urls}
    assert dict(os.environ) == HONEST


def test_no_process_of_the_sandbox_has_a_key(monkeypatch):
    for name in KEYS:
        monkeypatch.setenv(name, "tell-nobody")
    with Sandbox(VerifyConfig(cache=False)) as sandbox:
        sandbox.zygote()
        seen = 0
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already
                assert "tell-nobody" not in str(process.environ())
                seen += 1
        assert seen


JUDGES = """
import os
from pipelines.jobs.distil import JudgeTraces
from pipelines.stream import Judges
from verify.config import VerifyConfig
from verify.pool import JudgeRows, VerifyActor
for kind in (JudgeTraces, lambda config: Judges(), JudgeRows, VerifyActor):
    os.environ["HF_TOKEN"] = "tell-nobody"
    judge = kind(VerifyConfig())
    print(os.environ.get("HF_TOKEN"))
"""


def test_verify_actors_have_no_keys():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", JUDGES], env=environment, capture_output=True, text=True, timeout=200)
    assert done.stdout.split() == ["None"] * 4, done.stderr
