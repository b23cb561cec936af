"""`crucible export RUN [--merged] [--to FOLDER] [--push OWNER/NAME]`: a run's adapter, or the model with it merged in.

A merged model is proven before it counts (`pipelines.publish.proof`). The folder appears whole, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder
from pipelines.console import open_console
from pipelines.errors import ConfigError, JobFailed, expected_errors, fail
from pipelines.options import parse
from pipelines.publish import card
from pipelines.publish.command import PushCommandConfig, recorded_command, status_without_run
from pipelines.publish.figures import figures_of
from pipelines.publish.hub import CARD, Hub, HubError
from pipelines.publish.products import AdapterFolder, take_snapshot, whole_model
from pipelines.publish.publisher import Target, Upload, base_license, commit, files_of, patiently
from problems.files import PARTIAL
from problems.plain_text import one_line, shown
from rollout.policy import PolicyVersion
from rollout.prompts import PROMPT_FILE, PromptConfig

KEPT = ("*.json", "*.jinja", "additional_chat_templates/*.jinja", "*.txt", "*.model", "LICENSE*", "NOTICE*")
"""Files of a model's folder that a merged model has too, beside its weights."""
LEFT = ("adapter_config.json", "base.json", "model.safetensors.index.json", "recipe.json", "train_hashes.txt")
"""What is of the base, or of an adapter, alone."""
USAGE = """\
usage: crucible export RUN [--merged] [--adapter NAME] [--model MODEL] [--to FOLDER] [--push OWNER/NAME]

Writes the adapter of a run, or with --merged the base model with the adapter in its weights, as a folder with a card.
RUN is a run folder, also s3://BUCKET/runs/NAME."""


class ExportError(JobFailed):
    """What was to be exported was not; the message is one line."""


class ExportConfig(PushCommandConfig):
    """Writes a run's adapter, or the model with it merged in, as a folder with a card."""

    merged: bool = False
    """Merge the adapter into the base model's weights, and prove the result."""
    adapter: str = ""
    """Which of the run's adapters: "" is its own, iteration-2 say one on the way there."""
    model: str = ""
    """The base model's folder or Hub id, where it is not where the run had it."""
    to: str = Field(default="")
    """Folder to write, which must not be there; "" is NAME-adapter or NAME-merged here."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a folder was made of."""

    folder: Path
    rows: tuple[tuple[str, str], ...]
    """The proof of a merged model."""


def main(argv: Sequence[str]) -> int:
    """`crucible export`."""
    argv = ["--merged=True" if word == "--merged" and (i + 1 == len(argv) or argv[i + 1].startswith("--")) else word
            for i, word in enumerate(argv)]  # fmt: skip
    if (status := status_without_run(argv, "export", USAGE)) is not None:
        return status
    console = open_console()
    try:
        config = parse(ExportConfig, argv[1:], prog="crucible export RUN")
        if config.publish.what:
            raise ConfigError("publish.what has no effect here: --merged says what is exported; leave it out")
        made = run(argv[0], config, console)
    except (*expected_errors(), HubError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; nothing was written") and 130
    for name, found in made.rows:
        console.print(shown(f"{name}: {found}"), soft_wrap=True)
    console.print(shown(f"exported: {made.folder}"), soft_wrap=True)
    return 0


def run(place: str, config: ExportConfig, console: Console) -> Export:
    """Exports, and pushes where that is asked for. Raises JobError, JobFailed."""
    with RunFolder.open(place) as folder:
        command = recorded_command(folder)
        target = _target(config) if config.push else None
        model = config.model or str(folder.config.get("model") or "")
        kind = "merged" if config.merged else "adapter"
        to = Path(config.to or f"{folder.name}{f'-{config.adapter}' if config.adapter else ''}-{kind}").expanduser()
        made = export(folder, command, model, to, config, console)
        if target is not None:
            try:
                console.print(shown(_push(target, made.folder, folder.name)), soft_wrap=True)
            except HubError as error:
                raise ExportError(f"{made.folder} is whole, and not pushed: {error}; `hf upload` can do it") from None
        return made


def _target(config: ExportConfig) -> Target:
    target = Target(Hub.find(), config.push, config.publish, ("model",))
    target.hub.check(config.push, target.types, config.publish.public)
    return target


def export(folder: RunFolder, command: str, model: str, to: Path, config: ExportConfig, console: Console) -> Export:
    """Writes the folder. Raises ExportError, ConfigError."""
    if to.exists():
        raise ConfigError(f"{to} is there already; name another folder by --to, or remove it")
    with tempfile.TemporaryDirectory(prefix="crucible-export-") as scratch, _whole(to) as aside:
        chosen = _chosen(folder, Path(scratch), config.adapter)
        rows: tuple[tuple[str, str], ...] = ()
        if config.merged:
            base = base_folder(model or chosen.base)
            rows = _merge(folder, chosen, base, aside, console)
        else:
            for file in chosen.path.iterdir():
                shutil.copyfile(file, aside / file.name)
        named = model or chosen.base
        told = card.about(command, folder.config, figures_of(folder), named, config.publish, base_license(named))
        text = card.model_card(folder.name, told, merged=config.merged, path=config.publish.path, proof=rows)
        (aside / CARD).write_text(text)
    return Export(to, rows)


@contextlib.contextmanager
def _whole(to: Path) -> Iterator[Path]:
    """A folder to write, which becomes `to` when the block ends without an exception, and is removed otherwise."""
    to.parent.mkdir(parents=True, exist_ok=True)
    aside = to.with_name(f".{to.name}-{uuid.uuid4().hex[:8]}{PARTIAL}")
    aside.mkdir()
    try:
        yield aside
        if to.exists():
            raise ConfigError(f"{to} was made by somebody else meanwhile; name another folder by --to")
        os.replace(aside, to)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _chosen(folder: RunFolder, scratch: Path, name: str) -> AdapterFolder:
    found = {one.name: one for one in take_snapshot(folder, scratch, data=False).adapters}
    if name not in found:
        if not found and (model := whole_model(folder.path)) is not None:
            raise ConfigError(f"{folder} trained all weights: {model} is the whole model, to be used as it is")
        known = ", ".join(one for one in found if one)
        also = f"; it has {known}, to be named by --adapter" if known else "; has it trained one?"
        raise ConfigError(f"{folder} has no adapter {name or 'of its own'}{also}")
    return found[name]


def base_folder(model: str) -> Path:
    """The base model's folder on this machine; a model of the Hub is downloaded. Raises ConfigError."""
    from pipelines.session import resolve_model

    if not model:
        raise ConfigError("the run does not say which model it trained; name it by --model")
    found = resolve_model(model)
    if Path(found).is_dir():
        return Path(found)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(found, allow_patterns=[*KEPT, "*.safetensors"]))
    except Exception as error:  # the client's own, or of one of the libraries that it connects with
        raise ConfigError(f"the base model {model} cannot be downloaded ({one_line(error, 200)})") from None


def _merge(
    folder: RunFolder, chosen: AdapterFolder, base: Path, target: Path, console: Console
) -> tuple[tuple[str, str], ...]:
    """Writes the merged model into `target`, and proves it. Raises ExportError."""
    from pipelines.publish.proof import ProofFailed, prove
    from train.merge import MergeError, merge

    adapter = PolicyVersion.read(chosen.path, run=folder.name, number=0)
    try:
        with console.status("merging"):
            merged = merge(base, adapter, target)
        for pattern in KEPT:
            for file in base.glob(pattern):
                copy = target / file.relative_to(base)
                if file.is_file() and file.name not in LEFT and not copy.exists():
                    copy.parent.mkdir(exist_ok=True)
                    shutil.copyfile(file, copy)
        if folder.config.get("prompt"):
            prompt = PromptConfig.model_validate(folder.config["prompt"])
            (target / PROMPT_FILE).write_text(prompt.model_dump_json(indent=1))
        with console.status("proving the merged model: weights, log-probabilities, vLLM"):
            return tuple(prove(base, adapter, target, merged).rows())
    except (MergeError, ProofFailed) as error:
        raise ExportError(f"the model was not merged: {error}") from None


def _push(target: Target, folder: Path, name: str) -> Upload:
    """Uploads an exported folder. Raises HubError."""
    files = files_of(target, folder)
    text = (folder / CARD).read_text()
    return patiently(lambda: commit(target, "model", files, text, name))


def push_merged(target: Target, command: str, folder: RunFolder, model: str, console: Console) -> Upload:
    """Merges, proves and uploads the adapter of a run that has ended. Raises ExportError, HubError."""
    with tempfile.TemporaryDirectory(prefix="crucible-export-") as scratch:
        config = ExportConfig(merged=True, push=target.repository, publish=target.settings)
        try:
            made = export(folder, command, model, Path(scratch) / "merged", config, console)
        except ConfigError as error:
            raise ExportError(str(error)) from None
        return _push(target, made.folder, folder.name)
