"""No floor, pin or installed package has a known vulnerability; by the list in the repository, without a network."""

import importlib.metadata
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from test_health import WHOLE

from cluster import health
from cluster.health import Grade, advisories, findings, vulnerable

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = [
    *PROJECT["project"]["dependencies"],
    *(line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines),
    *PROJECT["build-system"]["requires"],
]
ADVISORIES = advisories()
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def floor(requirement):
    """The lowest version that a requirement lets in."""
    return max((Version(s.version) for s in requirement.specifier if s.operator in (">=", "==")), default=Version("0"))


@pytest.mark.parametrize("line", WANTED)
def test_floors_are_above_the_known_vulnerabilities(line):
    requirement = Requirement(line)
    fixed = ADVISORIES.get(requirement.name.lower(), {}).get("fixed", "0")
    assert floor(requirement) >= Version(fixed)


def test_what_has_an_advisory_is_pinned_or_floored():
    floored = {Requirement(line).name.lower() for line in WANTED}
    assert not [name for name in ADVISORIES if name not in floored and name not in PINS]
    assert not [
        name for name, pin in PINS.items() if Version(pin) < Version(ADVISORIES.get(name, {}).get("fixed", "0"))
    ]


def test_the_gpu_build_is_constrained_too():
    assert {"flashinfer-python", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"} <= set(PINS)
    dockerfile = (ROOT / "cluster" / "manifests" / "Dockerfile").read_text()
    assert "bootstrap.py --extra gpu" in dockerfile, "which constrains it: see test_bootstrap"


def test_nothing_installed_here_has_a_known_vulnerability():
    assert vulnerable() == []


def test_an_old_package_is_named_by_the_doctor(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.1.5" if name == "jinja2" else "99999")
    assert vulnerable() == ["jinja2 3.1.5 is below 3.1.6: a template leaves the sandbox (CVE-2025-27516)"]
    (bad,) = [f for f in findings([replace(WHOLE, vulnerable=tuple(vulnerable()))]) if f.grade is not Grade.GOOD]
    assert bad.grade is Grade.UNSAFE and "jinja2 3.1.5" in bad.found and "make install" in bad.fix


@pytest.mark.parametrize(
    ("python", "wanted"), [("3.11.7", "3.11.13"), ("3.12.11", ""), ("3.13.3", "3.13.4"), ("3.14.0", "")]
)
def test_pythons_own_patch_level_is_reported(python, wanted):
    assert health._patch(python) == (f" ({wanted} fixes known vulnerabilities)" if wanted else "")
    assert wanted in findings([replace(WHOLE, python=python)])[0].found


@pytest.mark.parametrize("name", sorted(ADVISORIES))
def test_each_advisory_is_whole(name):
    entry = ADVISORIES[name]
    assert set(entry) == {"fixed", "known_as", "hole"} and Version(entry["fixed"]) and name == name.lower()
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,6}", one) for one in entry["known_as"])
