"""Cards: the README.md of a repository on the Hub, with the YAML header that the Hub reads.

What a card says comes from a run's own files, and those from models, data sets and people. So nothing reaches the
header that is not checked or quoted, all text of the body is escaped, and what a card must not tell (keys, paths of
this machine) is left out. Only what stands between our marks is replaced in a card that is there already.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from cluster.secret_files import secret_in
from pipelines.publish.config import REPOSITORY, PublishConfig
from pipelines.publish.products import DataSet, public_name
from problems.plain_text import one_line, plain_text

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_HEADER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
UNKNOWN = "unknown"
"""The Hub's word for a licence that nobody has named."""
_LONGEST_COMMAND = 4000
_LONGEST_HEADER = 1 << 18
_NOT_TOLD = ("name", "runs", "address", "push", "publish", "hardware")
"""Keys of a configuration that are of this machine and not of what was done."""


class CardError(ValueError):
    """A card on the Hub that cannot be added to; the message is one line with the fix."""


@dataclass(frozen=True, slots=True)
class About:
    """What a card tells of a run."""

    command: str
    """As people would type it."""
    model: str
    """The base model's Hub id, or the name of a folder; "" for a run without one."""
    license: str
    figures: tuple[tuple[str, str], ...]
    """(what was measured, the figure)."""
    facts: tuple[tuple[str, str], ...]
    """(what, value): the data, the teacher."""

    @property
    def base(self) -> str:
        """The base model where it is one of the Hub."""
        return self.model if REPOSITORY.fullmatch(self.model) else ""


def about(
    command: str,
    config: Mapping[str, Any],
    figures: Iterable[tuple[str, str]],
    model: str,
    publish: PublishConfig,
    own_license: str = "",
) -> About:
    """What to tell of a run of `command`; `own_license` is that of the base model, where it is known."""
    called = public_name(model) if model else ""
    license = publish.license or own_license or UNKNOWN
    return About(command, called, license, tuple(figures), tuple(_facts(config)))


# --- whole cards


def data_card(title: str, told: About, sets: Sequence[DataSet], path: str = "") -> str:
    """The card of a data set: a configuration for each part."""
    prefix = f"{path}/" if path else ""
    configs = [
        {
            "config_name": config_name(one, path),
            "data_files": [{"split": "train", "path": f"{prefix}{one.name}/*.parquet"}],
        }
        for one in sets
    ]
    header = {"license": told.license, "task_categories": ["text-generation"], "tags": ["crucible"], "configs": configs}
    rows = [(config_name(one, path), f"{one.rows:,}", ", ".join(one.columns)) for one in sets]
    body = [f"# {escaped(title)}", "Rows that a job of Crucible wrote. Each part is a configuration of its own.",
            _table(("configuration", "rows", "columns"), rows), *_told(told)]  # fmt: skip
    return _card(header, body, path)


def model_card(title: str, told: About, *, merged: bool, adapters: Sequence[str] = (), path: str = "",
               proof: Sequence[tuple[str, str]] = (), whole: bool = False) -> str:  # fmt: skip
    """The card of an adapter, of a merged model, or of a `whole` one that was trained; `adapters` are the folders of
    further ones."""
    is_model = merged or whole
    header: dict[str, Any] = {"license": told.license}
    if told.base:
        header |= {"base_model": told.base, "base_model_relation": "finetune" if is_model else "adapter"}
    library = "transformers" if is_model else "peft"
    header |= {
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": ["crucible", *([] if is_model else ["lora"])],
    }
    kind = "A model with the LoRA adapter of a run merged into its weights." if merged else "A LoRA adapter."
    kind = "A model all of whose weights a run trained." if whole else kind
    body = [f"# {escaped(title)}", kind, f"Base model: {escaped(told.model) or 'not recorded'}."]
    if adapters:
        body.append("Adapters on the way there, each in its folder: " + ", ".join(map(escaped, adapters)) + ".")
    if proof:
        body += ["## Proof", _table(("what was compared", "found"), proof)]
    return _card(header, [*body, *_told(told)], path)


def config_name(one: DataSet, path: str) -> str:
    """The name of a configuration in its repository: with a path, runs that share one do not meet."""
    return f"{path.replace('/', '-')}-{one.name}" if path else one.name


def _told(told: About) -> Iterator[str]:
    if told.figures:
        yield "## Figures"
        yield _table(("", ""), told.figures)
    if told.facts:
        yield "## Data"
        yield _table(("", ""), told.facts)
    yield "## Command"
    yield fenced(told.command)
    yield f"License: {escaped(told.license)}."


def _card(header: Mapping[str, Any], body: Sequence[str], path: str) -> str:
    begin, end = _marks(path)
    return f"{_yaml_header(header)}\n{begin}\n\n" + "\n\n".join(body) + f"\n\n{end}\n"


def _yaml_header(header: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=False, width=10_000)}---\n"


def _marks(path: str) -> tuple[str, str]:
    at = f" {path}" if path else ""
    return f"<!-- crucible{at}: written by a run, and replaced by the next -->", f"<!-- crucible{at}: end -->"


def merged_card(there: str, ours: str, path: str = "") -> str:
    """`ours` put into the card that the repository has: other text and other configurations stay.

    Raises CardError for a header that is no YAML.
    """
    if not there.strip():
        return ours
    header, text = _split(there)
    own_header, own_text = _split(ours)
    mine = {config["config_name"] for config in own_header.get("configs", [])}
    kept = [c for c in _items(header, "configs") if isinstance(c, dict) and c.get("config_name") not in mine]
    # What people have set stays; what a program reads must fit the files at the root, which are the run's.
    ours_first = () if path else ("library_name", "pipeline_tag", "base_model", "base_model_relation")
    joined = {**own_header, **header, **{key: own_header[key] for key in ours_first if key in own_header}}
    if own_header.get("license", UNKNOWN) != UNKNOWN and not path:
        joined["license"] = own_header["license"]
    tags = [tag for tag in _items(header, "tags") if isinstance(tag, str)]
    joined["tags"] = [*dict.fromkeys([*tags, *own_header.get("tags", [])])]
    if mine or kept:
        joined["configs"] = [*kept, *own_header.get("configs", [])]
    begin, end = _marks(path)
    section = own_text.strip()
    start = text.find(begin)
    stop = text.find(end, max(start, 0))
    if start >= 0 and stop < 0:  # somebody has removed our end: what stays is theirs
        text = text.replace(begin, "")
    if 0 <= start < stop:
        text = text[:start] + section + text[stop + len(end) :]
    else:
        text = f"{text.strip()}\n\n{section}\n" if text.strip() else f"{section}\n"
    return _yaml_header(joined) + "\n" + text.lstrip()


def _items(header: Mapping[str, Any], key: str) -> list[Any]:
    """The list of a header, [] where it has none."""
    found = header.get(key)
    return found if isinstance(found, list) else []


def license_of(card: str) -> str:
    """The licence that a card's header names, "" where it names none. Raises CardError."""
    found = _split(card)[0].get("license")
    return found if isinstance(found, str) and re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", found) else ""


def _split(card: str) -> tuple[dict[str, Any], str]:
    found = _HEADER.match(card)
    if found is None:
        return {}, card
    if len(found[1]) > _LONGEST_HEADER:
        raise CardError("the README.md on the Hub has a header of more than 256 KiB; shorten it there")
    try:
        header = yaml.safe_load(found[1]) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        raise CardError("the README.md on the Hub has a header that is no YAML; correct it there") from None
    if not isinstance(header, dict):
        raise CardError("the README.md on the Hub has a header without keys; correct it there")
    return header, card[found.end() :]


# --- text from outside


def escaped(text: object, longest: int = 300) -> str:
    """One line of Markdown that shows the text as it is: no markup, links or HTML."""
    return _PUNCTUATION.sub(r"\\\1", one_line(text, longest))


def fenced(text: str) -> str:
    """A block of code; the fence is longer than any in the text."""
    text = plain_text(text).replace("<!--", "<! --")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(escaped(cell, 600) for cell in row) + " |" for row in rows)])


# --- what was done


def command_of(job: str, config: Mapping[str, Any], kind: type[BaseModel] | None = None) -> str:
    """The command that a configuration is of: the options that differ from the job's defaults, without those of this
    machine. A key or password among them keeps the whole back. `kind` is the configuration's model, for a job that
    is no command of `crucible`."""
    defaults = _defaults(job, kind)
    words = ["crucible", job]
    for key, value in _flat({name: value for name, value in config.items() if name not in _NOT_TOLD}):
        if defaults is None or value != defaults.get(key):
            words += [f"--{key.replace('_', '-')}", *map(_without_path, _words(value))]
    line = shlex.join(words)
    if secret_in(words):
        return f"crucible {job} (its options hold a key or a password, and are not shown)"
    return line if len(line) <= _LONGEST_COMMAND else f"{line[:_LONGEST_COMMAND]} ..."


def _defaults(job: str, kind: type[BaseModel] | None) -> dict[str, Any] | None:
    from pipelines.option_pages import configurations

    model = kind or configurations().get(job)
    return dict(_flat(model().model_dump(mode="json"))) if model is not None else None


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value and all(isinstance(name, str) for name in value):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(value: Any) -> list[str]:
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return [str(one) for one in value]
    if isinstance(value, Mapping | list | tuple):
        return [yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()]
    return [str(value)]


def _without_path(word: str) -> str:
    """Without the folders of this machine."""
    return Path(word).name if word.startswith(("/", "~/")) else re.sub(r"(?<=[\s'\"\[{,])/[^\s'\",}\]]*/", "", word)


def _facts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("problems", "focus", "general"):
        section = config.get(name)
        if isinstance(section, Mapping):
            parts = section.get("parts") or ()
            if parts:
                sources = [(part.get("source") or {}).get("mapping", "families") for part in parts]
                yield name, f"{len(parts)} data sets: {', '.join(map(str, sources))}"
            else:
                families = ", ".join(map(str, section.get("families") or ()))
                yield (
                    name,
                    f"families {families}, difficulties {', '.join(map(str, section.get('difficulties') or ()))}",
                )
    if traces := config.get("traces"):
        yield "traces", ", ".join(_without_path(str(one)) for one in traces)
    teacher = config.get("teacher")
    if isinstance(teacher, Mapping) and teacher.get("model"):
        yield "teacher", str(teacher["model"])
