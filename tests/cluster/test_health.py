"""What `crucible doctor` makes of machines, without any."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import health
from cluster.health import GIB, Finding, Gpu, Grade, Machine, findings

H100 = Gpu("H100", "81559 MiB", "580.65", 0.99, (9, 0))
WHOLE = Machine(
    node="a",
    python="3.12.3",
    versions={"ray": "2.60.0", "torch": "2.13.0", "vllm": "0.32.0"},
    unmet=(),
    code="c0de",
    cpus=16,
    memory=64 * GIB,
    disk_free=100 * GIB,
    disk_total=200 * GIB,
    shm_free=16 * GIB,
    open_files=65536,
    gpus=(H100,),
    cuda="13.0",
)


def test_a_machine_in_order_has_nothing_to_fix():
    assert {finding.grade for finding in findings([WHOLE])} == {Grade.GOOD}
    assert not any(finding.fix for finding in findings([WHOLE]))


@pytest.mark.parametrize(
    ("change", "what", "grade", "fix"),
    [
        ({"unmet": ("ray 2.9.0 is not ==2.60.0",)}, "packages", Grade.BREAKS, "make install"),
        ({"versions": {"ray": "2.60.0", "torch": "2.13.0"}}, "packages", Grade.BREAKS, "--install uv"),
        ({"versions": WHOLE.versions | {"torch": "2.13.0+cpu"}}, "GPUs", Grade.BREAKS, "--extra gpu"),
        ({"gpu_error": "nvidia-smi: no driver"}, "GPUs", Grade.BREAKS, "NVIDIA driver"),
        ({"ray_gpus": 0.0}, "GPUs", Grade.SLOW, "--num-gpus=1"),
        ({"gpus": (replace(H100, driver="570.1"),)}, "driver", Grade.BREAKS, "make install"),
        ({"gpus": (replace(H100, driver="470.1"),)}, "driver", Grade.BREAKS, "install 580"),
        ({"cuda": "12.9"}, "driver", Grade.BREAKS, "make install"),
        ({"gpus": (replace(H100, free=0.5),)}, "GPUs", Grade.SLOW, "gpu_memory_share"),
        ({"gpus": (H100, replace(H100, name="T4", capability=(7, 5)))}, "GPUs", Grade.SLOW, "float16"),
        ({"gpus": (replace(H100, name="V100", capability=(7, 0)),)}, "GPUs", Grade.BREAKS, "Turing"),
        ({"gpus": (), "amd": True}, "GPUs", Grade.SLOW, "NVIDIA"),
        ({"adapter": 6 * GIB}, "shared memory", Grade.SLOW, "--shm-size"),
        ({"memory": GIB}, "memory", Grade.SLOW, "4 GiB"),
        ({"shm_free": 60 * 2**20}, "shared memory", Grade.SLOW, "--shm-size"),
        ({"shm_free": 60 * 2**20, "store": GIB}, "shared memory", Grade.SLOW, "--shm-size"),
        ({"disk_free": 9 * GIB}, "disk", Grade.BREAKS, "RAY_TMPDIR"),
        ({"disk_free": 9 * GIB, "disk_total": 50 * GIB}, "disk", Grade.SLOW, "RAY_TMPDIR"),
        ({"open_files": 1024}, "open files", Grade.SLOW, "ulimit -n"),
        ({"extra": (Finding("a", "sandbox", "level 0", Grade.BREAKS, "seccomp"),)}, "sandbox", Grade.BREAKS, "seccomp"),
    ],
)
def test_each_fault_is_found_with_its_fix(change, what, grade, fix):
    bad = [finding for finding in findings([replace(WHOLE, **change)]) if finding.grade is not Grade.GOOD]
    assert [(finding.what, finding.grade) for finding in bad] == [(what, grade)]
    assert fix in bad[0].fix


def test_nodes_that_differ_are_named():
    others = [replace(WHOLE, node="b"), replace(WHOLE, node="c", python="3.11.9", code="0ther")]
    found = [finding for finding in findings([WHOLE, *others]) if finding.grade is not Grade.GOOD]
    assert [(f.node, f.what, f.found) for f in found] == [
        ("all", "our code", "c0de, but 0ther on c"),
        ("all", "Python", "3.12, but 3.11 on c"),
    ]


def test_cpu_and_cuda_builds_of_one_torch_go_together():
    other = replace(WHOLE, node="b", gpus=(), versions=WHOLE.versions | {"torch": "2.13.0+cpu"})
    assert {finding.grade for finding in findings([WHOLE, other])} == {Grade.GOOD}


def test_what_is_asked_for_and_not_there_is_named(tmp_path, monkeypatch):
    text = '[project]\ndependencies = ["ray[default]==2.9.0", "pytest>=8", "no-such-package>=1"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(health, "ROOT", tmp_path)
    assert health.unmet() == ["ray 2.60.0 is not ==2.9.0", "no-such-package is missing"]


def test_this_machine_can_be_looked_at():
    seen = health.look("here")
    assert seen.memory > 0 and seen.disk_total > seen.disk_free and len(seen.code) == 12 and "ray" in seen.versions


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'NVIDIA L4, 23034 MiB, 570.1, 22000 MiB, 8.9'; echo 'NVIDIA L4, 23034 MiB, 570.1, 22000 MiB, 8.9'", 2),
        ("case $1 in *compute_cap*) exit 2;; esac; echo 'Tesla K80, 11441 MiB, 450.1, 11000 MiB'", 1),
        ("echo 'no devices were found'; exit 6", "nvidia-smi: no devices were found"),
    ],
)
def test_the_driver_is_asked(tmp_path, monkeypatch, script, says):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gpus, error = health.find_gpus()
    assert (len(gpus) or error) == says


def test_builds_for_cuda_12_go_with_a_driver_of_it():
    old = replace(
        WHOLE, cuda="12.9", gpus=(replace(H100, driver="535.1"),), versions=WHOLE.versions | {"vllm": "0.32.0+cu129"}
    )
    assert {finding.grade for finding in findings([old])} == {Grade.GOOD}


def test_fields_of_a_gpu_are_read():
    (gpu,) = health.parse_gpus("Tesla T4, 15360 MiB, 550.54.15, 7680 MiB, 7.5\n")
    assert gpu == Gpu("Tesla T4", "15360 MiB", "550.54.15", 0.5, (7, 5))
    (gpu,) = health.parse_gpus("GRID, [N/A], 550.1, [N/A], [N/A]")
    assert (gpu.free, gpu.capability) == (1.0, (0, 0))


@given(st.text(max_size=200))
def test_whatever_nvidia_smi_says_is_judged(text):
    assert findings([replace(WHOLE, gpus=tuple(health.parse_gpus(text)))])


def test_torchs_cuda_is_read_without_importing_it():
    import torch

    assert health.torch_cuda() == (torch.version.cuda or "")
