"""What the documents name is there: files, headings, commands, options, configuration keys."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.cli import ALIASES, VERBS
from pipelines.config import GRPOConfig
from pipelines.jobs.teacher_job_config import DistilConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.option_pages import configurations
from pipelines.options import option_keys
from problems.mapping import Mapping

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("cluster/*/*.md")]
)
GUIDE = [path for path in DOCUMENTS if path.name not in ("CHANGELOG.md", "options.md")]
"""Documents that people write about what is there now: a changelog also names what was, options are printed."""
FOLDERS = ("problems", "rollout", "verify", "train", "cluster", "pipelines", "benchmarks", "docs", "tests")
JOBS = configurations()
OF_EVERY_JOB = {"config", "resume", "or_resume", "help", "help_all"}
"""Options that are no keys of a configuration."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bcrucible ([a-z][a-z-]*)([^`)#\n]*)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_.-]*[a-z0-9])")
NAMED = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in GUIDE]


def codes(path: Path) -> list[str]:
    """Code of a document: shell blocks with their continued lines joined, and spans."""
    text = path.read_text()
    blocks = [body.replace("\\\n", " ") for language, body in FENCE.findall(text) if language in ("", "bash")]
    lines = [line for body in blocks for line in body.splitlines()]
    return lines + SPAN.findall(FENCE.sub("", text))


def commands(path: Path) -> Iterator[tuple[str, str]]:
    """(Command, its arguments), those that `crucible submit` runs elsewhere included."""
    for code in codes(path):
        for verb, rest in COMMAND.findall(code):
            own, _, submitted = rest.partition(" -- ")
            yield verb, own
            if submitted:
                verb, _, rest = submitted.partition(" ")
                yield verb, rest


@functools.cache
def keys(verb: str) -> frozenset[str]:
    return frozenset(option_keys(JOBS[verb])) | OF_EVERY_JOB


def headings(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    text = FENCE.sub("", path.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS])
def test_relative_links_resolve(path):
    links = [link for link in LINK.findall(FENCE.sub("", path.read_text())) if not re.match(r"[a-z]+:", link)]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_every_page_of_the_documentation_is_in_its_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").iterdir() if f"]({page.name})" not in index] == ["README.md"]


@pytest.mark.parametrize("path", NAMED)
def test_every_command_exists(path):
    assert {verb for verb, _ in commands(path)} <= {*VERBS, *ALIASES, "COMMAND"}


def test_the_readme_lists_every_command():
    listed = re.findall(r"^\| `crucible ([a-z-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(VERBS)


def test_the_readme_names_the_checks_that_are_run_for_each_change():
    made = re.compile(r"^make ([a-z-]+)", re.MULTILINE)
    tests = (ROOT / "README.md").read_text().partition("## Tests")[2].partition("\n## ")[0]
    checks = made.findall((ROOT / ".ci" / "run").read_text())
    assert made.findall(tests) == checks and checks
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {target for path in GUIDE for code in codes(path) for target in made.findall(code)} <= set(targets)


@pytest.mark.parametrize("path", NAMED)
def test_every_option_of_a_command_exists(path):
    for verb, arguments in commands(path):
        if verb in JOBS:
            given = {name.replace("-", "_") for name in OPTION.findall(arguments)}
            assert given <= keys(verb), f"crucible {verb} {arguments}"


@pytest.mark.parametrize("path", NAMED)
def test_every_dotted_option_belongs_to_a_command(path):
    """Options of the sandbox's own commands begin with `config`, and are those of `verify`."""
    known = frozenset().union(*map(keys, JOBS))
    for code in codes(path):
        for name in OPTION.findall(code):
            if "." in name:
                name = name.replace("-", "_")
                assert re.sub(r"^config\.", "verify.", name) in known, f"--{name}"


@pytest.mark.parametrize("path", NAMED)
def test_every_file_that_is_named_exists(path):
    """Of our own folders; what is named with a wildcard or a place to fill in is not looked for."""
    for code in SPAN.findall(FENCE.sub("", path.read_text())):
        if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", code):
            assert (ROOT / code).exists(), code
    for line in codes(path):
        for name in re.findall(r"\bpipelines/configs/[\w.]+\.yaml|\bbenchmarks/\w+\.py", line):
            assert (ROOT / name).is_file(), name
        for file, test in re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", line):
            assert f"\ndef {test}(" in (ROOT / file).read_text(), test


@pytest.mark.parametrize("path", NAMED)
def test_configuration_that_is_shown_is_accepted(path):
    for language, body in FENCE.findall(path.read_text()):
        if language == "yaml":
            data = yaml.safe_load(body)
            jobs = {"statement": Mapping, "val_problems": UndoConfig, "teacher": DistilConfig}
            next((model for key, model in jobs.items() if key in data), GRPOConfig).model_validate(data)


def test_documents_have_commands_options_links_and_configuration_to_look_at():
    """The tests above would pass if their patterns found nothing."""
    found = [command for path in GUIDE for command in commands(path)]
    assert {verb for verb, _ in found} >= set(VERBS)
    assert sum(len(OPTION.findall(arguments)) for verb, arguments in found if verb in JOBS) > 50
    assert sum(len(LINK.findall(path.read_text())) for path in DOCUMENTS) > 50
    assert sum(language == "yaml" for path in GUIDE for language, _ in FENCE.findall(path.read_text())) >= 3
