"""An option means the same on the command line and in a file: every key of every job, alone and beside others."""

from __future__ import annotations

import random
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml

from pipelines.errors import ConfigError
from pipelines.option_pages import configurations
from pipelines.options import is_used, leaves, nested, parse
from problems.questions import QuestionsConfig

JOBS = configurations()
VALUES: dict[str, list[Any]] = {
    "families": [["lcs", "lis"]], "difficulties": [[3]], "weights": [{"coin_change": 2.0}, {"lcs": 2.0}],
    "parts": [[{"procedural": {"families": ["lcs"]}}]], "space": [["beta=0,0.1"]],
    "shots": [[{"question": "q", "answer": "a"}]], "target_modules": [["q_proj"]], "address": [], "seeds": [[5, 6]],
    "template": ["{{ problem.statement }}!"], "suites": [["gsm8k=somewhere"]],
    "push": ["me/mine"], "path": ["runs/first"], "license": ["mit"],
    "require": [["overall >= 50"]], "suite": ["focused"],
    "hints": [["answer"]], "fallbacks": [[{"a": "b"}]], "labels": [{"a": "b"}],
}  # fmt: skip
"""By the last part of a key: values to try where its type does not say one; none for what asks the network."""
INSTEAD = QuestionsConfig.replaces["parts"]
"""What data sets take the place of."""
LEAST_READ = 0.5
"""Share of the keys that must have been read, as against refused beside the defaults, for the test to say anything."""


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """In an empty folder, where nothing is found by a relative path."""
    monkeypatch.chdir(tmp_path)


def candidates(key: str, annotation: Any, default: Any) -> list[Any]:
    """Plain values that a key may have, other than its default where the type allows it."""
    if (leaf := key.rpartition(".")[2]) in VALUES:
        return VALUES[leaf]
    if get_origin(annotation) is Annotated:
        return candidates(key, get_args(annotation)[0], default)
    if get_origin(annotation) in (Union, types.UnionType):
        return [value for kind in get_args(annotation) for value in candidates(key, kind, default)]
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if value != default]
    if get_origin(annotation) is tuple:
        inner = [kind for kind in get_args(annotation) if kind is not Ellipsis]
        items = [value[0] for kind in inner if (value := candidates(key, kind, None))]
        return [items] if items else []
    if annotation is bool:
        return [not default]
    if annotation is int:
        base = default if isinstance(default, int) else 2
        return [base + 1, base * 2, max(base - 1, 1)]
    if annotation is float:
        base = default if isinstance(default, float | int) else 0.5
        return [base / 2, base + 0.25, 0.75]
    return ["other"] if annotation in (str, Path) else []


def words(value: Any) -> list[str]:
    """A value as it is written after an option."""
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return [str(item) for item in value]
    if isinstance(value, dict | list | tuple):
        return [yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()]
    return [str(value)]


def outcome(model: Any, arguments: list[str]) -> Any:
    """The configuration, or the words of the refusal without the place where the value was given."""
    try:
        return parse(model, arguments, prog="")
    except ConfigError as error:
        return str(error).removeprefix("settings.yaml: ")


def by_option(model: Any, values: dict[str, Any]) -> Any:
    return outcome(model, [word for key, value in values.items() for word in (f"--{key}", *words(value))])


def by_file(model: Any, values: dict[str, Any], folder: Path) -> Any:
    (folder / "settings.yaml").write_text(yaml.safe_dump(nested(values)))
    return outcome(model, ["--config", "settings.yaml"])


def default_of(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def given(verb: str) -> list[tuple[str, Any]]:
    """(key, value) of a job, several values a key."""
    model = JOBS[verb]
    keys = [(key, field) for key, field in leaves(model).items() if is_used(model, key)]
    return [(key, v) for key, f in keys for v in candidates(key, f.annotation, default_of(model(), key))]


@pytest.mark.parametrize("verb", JOBS)
def test_each_key_gives_the_same_configuration_by_option_and_by_file(verb, tmp_path):
    model, read, tried = JOBS[verb], set(), set()
    for key, value in given(verb):
        if key in read:
            continue
        option, file = by_option(model, {key: value}), by_file(model, {key: value}, tmp_path)
        if isinstance(option, str) and " has no effect with " in option:
            continue  # a file may hold what another option switches off
        tried.add(key)
        if isinstance(option, str) and isinstance(file, str):
            assert option.partition(":")[2] == file.partition(":")[2], key  # pydantic writes words and numbers unlike
            continue
        assert option == file, f"{key} {value}"
        read.add(key)
    assert len(read) >= LEAST_READ * len(tried) > 0, sorted(tried - read)


@pytest.mark.parametrize("verb", JOBS)
def test_a_section_keeps_the_job_s_own_defaults_of_what_is_not_given(verb, tmp_path):
    model, source, pairs = JOBS[verb], random.Random(verb), given(verb)
    read = 0
    for _ in range(40):
        values = dict(source.sample(pairs, 3))
        option, file = by_option(model, values), by_file(model, values, tmp_path)
        if isinstance(option, str) or isinstance(file, str):
            continue
        read += 1
        assert option == file, values
        replaced = {f"{key.removesuffix('parts')}{name}" for key in values if key.endswith("parts") for name in INSTEAD}
        plain, kept = model(), [key for key in leaves(model) if key not in {*values, *replaced}]
        assert all(default_of(file, key) == default_of(plain, key) for key in kept), values
    assert read >= 3
