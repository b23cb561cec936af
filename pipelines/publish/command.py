"""`crucible push RUN --push OWNER/NAME`: uploads what a run made, or what of it is not on the Hub yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.console import open_console
from pipelines.errors import ConfigError, expected_errors, fail
from pipelines.options import parse
from pipelines.publish.config import PublishConfig, Repository, check_needs_push
from problems.plain_text import shown

USAGE = """\
usage: crucible push RUN [--push OWNER/NAME] [--publish.public True] [--publish.path FOLDER] ...

Uploads the data and the adapters of a run to the Hugging Face Hub: to the repository that the run was given, or to this
one. What is there already is not uploaded again. RUN is a run folder, also s3://BUCKET/runs/NAME."""


class PushCommandConfig(BaseModel):
    """Uploads what a run made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    push: Repository = ""
    """Repository of the Hugging Face Hub, OWNER/NAME."""
    publish: PublishConfig = PublishConfig()
    """What is uploaded there, and how."""

    @model_validator(mode="after")
    def _publish_needs_push(self) -> PushCommandConfig:
        check_needs_push(self.push, self.publish)
        return self


def main(argv: Sequence[str]) -> int:
    """`crucible push`."""
    if (status := status_without_run(argv, "push", USAGE)) is not None:
        return status
    from pipelines.publish.hub import HubError
    from pipelines.publish.publisher import Target, Upload, patiently, upload

    console = open_console()
    try:
        with RunFolder.open(argv[0]) as folder:
            config = parse(PushCommandConfig, argv[1:], prog="crucible push RUN", default=_recorded(folder))
            if not config.push:
                raise ConfigError(f"{folder} was not given a repository; name one: --push OWNER/NAME")
            command, model = recorded_command(folder), str(folder.config.get("model") or "")
            target = Target.find(config.push, config.publish, folder.config, command.split()[1])
            lines: list[Upload | str] = patiently(lambda: list(upload(target, command, folder, model)))
            if target.takes("merged"):
                from pipelines.publish.export import push_merged

                lines.append(push_merged(target, command, folder, model, console))
    except (*expected_errors(), HubError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; crucible push goes on where it was") and 130
    for line in lines or ["the run has nothing to push yet"]:
        console.print(shown(line), soft_wrap=True)
    return 0


def status_without_run(argv: Sequence[str], verb: str, usage: str) -> int | None:
    """The exit status of a command that is not given the run folder that comes first: the help is asked for, or an
    error is printed. None where it is given."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0].startswith("--"):
        return fail(f"crucible {verb} needs a run folder before {argv[0]}: crucible {verb} runs/NAME ...")
    return None


def _recorded(folder: RunFolder) -> PushCommandConfig:
    """The repository that the run was given, and how it was to publish. Raises ConfigError."""
    given = {name: folder.config[name] for name in ("push", "publish") if folder.config.get(name)}
    try:
        return PushCommandConfig.model_validate(given)
    except ValueError as error:
        raise ConfigError(f"{folder} has a config.yaml that says no repository: {error}") from None


def recorded_command(folder: RunFolder) -> str:
    """The command that made a run: what its uploads say, and otherwise what its configuration is of."""
    from pipelines.publish.card import command_of
    from pipelines.publish.publisher import PUSHES_FILE

    said = [row.get("command") for row in read_rows(folder.path / PUSHES_FILE)]
    if said and isinstance(said[-1], str) and len(said[-1].split()) > 1:
        return said[-1]
    return command_of(job_of(folder.config), folder.config)


def job_of(config: Mapping[str, Any]) -> str:
    """The job that a run's configuration is of: the one whose keys it has."""
    from pipelines.option_pages import configurations

    keys = set(config)

    def likeness(model: type[BaseModel]) -> float:
        known = set(model.model_fields)
        return len(keys & known) / len(keys | known)

    jobs = configurations()
    return max(jobs, key=lambda job: likeness(jobs[job]))
