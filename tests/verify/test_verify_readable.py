"""Files of the host that the sandbox can read: the standard library and what it links to, but no installed package."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HONEST, attack_folder, coin_problem, fenced

from verify.attacks.folder import load
from verify.attacks.run import trials
from verify.config import VerifyConfig
from verify.pool import Judge
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import FUNCTION, Job, Stop, request
from verify.sandbox.worker import Plan

SANDBOX = Path(__file__).resolve().parents[2] / "verify" / "sandbox"
sys.path.insert(0, str(SANDBOX))

import readable  # noqa: E402

sys.path.remove(str(SANDBOX))

LEVEL_2 = Plan(namespaces=False, own_uid=False)
WITHOUT_OWN_ROOT = Plan(namespaces=False)


def answer(code: str, plan: Plan | None = None, library: str = "") -> str:
    with Sandbox(VerifyConfig(), plan) as sandbox:
        (outcome,) = sandbox.run([Job(FUNCTION, code, "f", (request(()),), 20.0, 60.0, 1 << 20, library=library)])
    assert outcome.stop is Stop.NONE, outcome
    return outcome.answers[0].decode()


def test_only_entries_of_the_standard_library(tmp_path):
    folder = tmp_path / "lib" / "python3.12"
    outside = tmp_path / "elsewhere"
    for name in (
        "json",
        "site-packages/problems",
        "dist-packages/apt",
        "lib-dynload",
        "__pycache__",
        "problems",
        "ray",
    ):
        (folder / name).mkdir(parents=True)
    outside.mkdir()
    for name in ("os.py", "problems.py", "_sysconfigdata__linux_x86_64-linux-gnu.py", "sitecustomize.py", "heapq.pyc"):
        (folder / name).write_text("")
    (folder / "re").symlink_to(outside)
    (folder / "ast.py").symlink_to("os.py")
    found = {os.path.basename(path) for path in readable.modules_in(str(folder))}
    expected = {"json", "lib-dynload", "__pycache__", "os.py", "_sysconfigdata__linux_x86_64-linux-gnu.py", "heapq.pyc"}
    assert found == expected | {"ast.py"}


def test_links_are_followed_one_by_one(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "lib.so.1.2").write_text("")
    (tmp_path / "real" / "deep" / "lib.so.1").symlink_to("lib.so.1.2")
    (tmp_path / "relative").symlink_to("real/../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    root = os.path.realpath(tmp_path)
    assert readable.resolved(f"{root}/absolute/deep/lib.so.1") == [
        *(f"{root}/absolute", f"{root}/relative", f"{root}/real/deep/lib.so.1", f"{root}/real/deep/lib.so.1.2")
    ]
    assert readable.resolved(f"{root}/real/deep") == [f"{root}/real/deep"]
    for missing in ("lost", "loop", "nothing"):
        assert readable.resolved(f"{root}/{missing}") == []


@pytest.mark.parametrize(
    "text", [b"", b"#!/bin/sh", b"\x7fELF\x02\x01" + b"\xff" * 58, b"\x7fELF\x01\x01" + bytes(60)], ids=range(4)
)
def test_other_files_link_to_nothing(text, tmp_path):
    (tmp_path / "file").write_bytes(text)
    assert readable.links_of(str(tmp_path / "file")) == []
    assert readable.links_of(str(tmp_path / "missing")) == []


def test_a_librarys_own_search_folders_are_used(tmp_path):
    """`$ORIGIN` in a library's own search path, as conda uses it."""
    source = "int f(void) { return 1; }"
    for command in (
        ["cc", "-shared", "-fPIC", "-xc", "-", "-o", "libinner.so"],
        ["cc", "-shared", "-fPIC", "-xc", "-", "-xnone", "-Wl,--no-as-needed,-rpath,$ORIGIN/../lib", "libinner.so", "-o", "outer.so"],
    ):  # fmt: skip
        try:
            subprocess.run(
                command, input=source.replace("f(", f"f{len(command)}("), text=True, check=True, cwd=tmp_path
            )
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no C compiler here to make a library with")
    found = dict(readable.links_of(str(tmp_path / "outer.so")))
    assert found["libinner.so"] == (f"{os.path.realpath(tmp_path)}/../lib",)


def test_no_package_or_private_folder_is_readable():
    files = readable.Readable([])
    for path in files.allowed:
        assert not os.path.islink(path) or os.path.dirname(path) in readable.library_folders()
        assert "-packages" not in path
        inside = any(path.startswith(f"{folder}/") for folder in readable.library_folders())
        data = path in ("/usr/share/zoneinfo", "/usr/lib/locale")
        assert inside or data or not os.path.isdir(path), path
    assert any("libc.so" in path for path in files.allowed)


@pytest.mark.parametrize("plan", [Plan(), WITHOUT_OWN_ROOT, LEVEL_2], ids=["level 3", "without a root", "level 2"])
def test_the_whole_standard_library_can_be_imported(plan):
    code = """
import importlib, sys
SKIPPED = {"antigravity", "this", "idlelib", "turtledemo", "test", "__main__"}
def f():
    importlib.invalidate_caches()
    missing = []
    for name in sorted(sys.stdlib_module_names - SKIPPED):
        try:
            importlib.import_module(name)
        except BaseException as error:
            missing.append(name)
    return missing
"""
    space: dict = {}
    here = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{code}\nprint(f())"], capture_output=True, text=True, check=True
    )
    expected = eval(here.stdout.strip().splitlines()[-1], space)
    assert answer(code, plan) == "=" + str(expected).replace("'", '"').replace(", ", ",")


@pytest.mark.parametrize("name", ["own", "attacks2"])
@pytest.mark.parametrize("plan", [Plan(), LEVEL_2], ids=["level 3", "level 2"])
def test_packages_of_the_host_are_out_of_reach(plan, name):
    chosen = [program for program in load(attack_folder(name)) if program.name[0] == "u"]
    assert chosen
    with Judge(VerifyConfig(cpu_seconds=2.0, idle_seconds=0.4, cache=False), plan) as judge:
        assert [t.program.name for t in trials(chosen, judge) if t.fails] == []


def test_a_program_cannot_import_the_reference_solution(monkeypatch, tmp_path):
    """Not even if the product is in a folder of packages that the interpreter knows."""
    root = str(Path(__file__).resolve().parents[2])
    code = f"import sys\nsys.path.append({root!r})\nimport problems.families\n" + HONEST
    with Judge(VerifyConfig(cache=False)) as judge:
        assert not judge.judge(coin_problem(), fenced(code)).passed
        assert judge.judge(coin_problem(), fenced("import sys\n" + HONEST)).passed


def test_only_numpy_is_known_of_its_folder():
    code = """
import os, sys, numpy
def f():
    site = os.path.dirname(os.path.dirname(numpy.__file__))
    from numpy import random, fft, ma
    return [sorted(sys.path_importer_cache[site]._path_cache), float(numpy.linalg.det(numpy.eye(2)))]
"""
    for plan in (Plan(), LEVEL_2):
        known = answer(code, replace(plan), "numpy")
        assert known in ('=[["numpy","numpy.libs"],1.0]', '=[["numpy"],1.0]')
    stray = [p for p in answer("import sys\ndef f(): return sys.path", Plan()) if "sandbox" in p]
    assert not stray


def test_the_host_name_is_hidden():
    with Sandbox() as sandbox:
        if not sandbox.zygote().report.get("namespaces"):
            pytest.skip("this machine gives no namespaces")
    code = "import os, socket\ndef f(): return [socket.gethostname(), os.uname().nodename]"
    assert answer(code) == '=["sandbox","sandbox"]'
