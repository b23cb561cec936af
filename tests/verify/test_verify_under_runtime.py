"""The isolation level inside a container: under a runtime's own seccomp profile, without root's capabilities."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the profile is written for x86-64")


def probe(*options, interpreter=sys.executable, environment=None):
    contained = [interpreter, Path(__file__).with_name("container_runtime.py"), *options]
    command = [*contained, interpreter, "-m", "pipelines.cli", "verify", "probe"]
    inherited = {**os.environ, "PYTHONPATH": str(ROOT), "ANTHROPIC_API_KEY": "x", **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True, timeout=100)
    return done.returncode, (done.stdout.strip().splitlines() or [""])[-1], done.stdout


@pytest.fixture(scope="module")
def without():
    """Skips if this machine lacks something even without the runtime."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "verify", "probe"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=100,
    )  # fmt: skip
    if done.returncode or os.geteuid():
        pytest.skip("needs root, and a machine on which the sandbox reaches level 2")


def test_level_2_under_the_default_profile(without):
    status, line, shown = probe()
    assert status == 0 and line.startswith("isolation level 2 (at least 2"), shown


def test_a_profile_without_landlock_is_too_low(without):
    status, line, shown = probe("--without", "landlock")
    assert status == 1 and line.startswith("isolation level 1 ") and "container that allows it" in shown, shown


def test_level_2_for_an_ordinary_user(without, tmp_path):
    # The interpreter of this environment may be in a folder that only root can read.
    interpreter = "/usr/bin/python3"
    site = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {"PYTHONPATH": site, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    version = "import sys; print(sys.version_info[:2])"
    found = subprocess.run([interpreter, "-c", version], capture_output=True, text=True).stdout.strip()
    if found != str(sys.version_info[:2]):
        pytest.skip(f"{interpreter} is no Python {sys.version_info[0]}.{sys.version_info[1]}")
    status, line, shown = probe("--uid", "65534", interpreter=interpreter, environment=environment)
    if not shown:
        pytest.skip("another user cannot read this environment")
    assert status == 0 and line.startswith("isolation level 2 "), shown
