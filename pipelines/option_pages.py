"""`crucible options`: every command's options as a page of Markdown, which is `docs/options.md`."""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from pipelines.errors import fail
from pipelines.help import text_of, yaml_text
from pipelines.options import is_structured, is_used
from problems.auto import WORD, is_auto

HEAD = """\
# Options of all commands

This page is written by `crucible options > docs/options.md`.

Options are the dotted keys of a command's configuration. They can be given on the command line
(`--rollout.group-size 16`), or in a file (`--config FILE.yaml`), nested:

```yaml
rollout:
  group_size: 16
```

The command line wins over files, and a later file over an earlier one. A list is written as several words
(`--problems.difficulties 1 2 3`), a mapping as pairs of them, and what has more structure as one word of YAML. All
but `evaluate` also take `--resume RUN_FOLDER` and `--or-resume`.

`crucible COMMAND --help` shows the common options, `--help-all` all of them, `--help SECTION` those of one section.
"""
USAGE = "usage: crucible options\n\nPrints all options of all commands as Markdown."


def main(argv: Sequence[str]) -> int:
    """`crucible options`."""
    if argv and argv[0] not in ("-h", "--help"):
        return fail(f"crucible options takes no {argv[0]!r}; crucible COMMAND --help-all shows a command's options")
    print(USAGE if argv else page(configurations()), end="\n" if argv else "")
    return 0


def configurations() -> dict[str, type[BaseModel]]:
    """Command -> its configuration, for those that have one."""
    from pipelines.cli import VERBS

    jobs = {verb: getattr(importlib.import_module(module), "JOB", None) for verb, (module, _) in VERBS.items()}
    return {verb: job.config for verb, job in jobs.items() if job is not None}


def page(commands: Mapping[str, type[BaseModel]]) -> str:
    """The page: a part for each command, and one for each section, which commands share."""
    sections: dict[type[BaseModel], list[str]] = {}
    parts = [HEAD]
    for verb, model in commands.items():
        parts += [f"## crucible {verb}\n", _paragraphs(model)]
        parts += _table(model)
        parts += _sections_of(model)
        for key, kind in _inner_sections(model):
            sections.setdefault(kind, []).append(key)
    parts.append("## Sections\n")
    for kind, keys in sections.items():
        names = ", ".join(f"`{key}`" for key in dict.fromkeys(keys))
        if rows := _table(kind):
            parts += [f"### {_anchor(kind)}\n", f"{names}: {_paragraphs(kind)}", *rows]
    return "\n".join(parts)


def _sections_of(model: type[BaseModel]) -> Iterator[str]:
    """What sections a command has, which of their defaults are its own, and what it cannot use."""
    defaults = model()
    found = [(key, kind) for key, kind in _inner_sections(model) if is_used(model, key) and _table(kind)]
    links = ", ".join(f"[`{key}`](#{_anchor(kind).lower()})" for key, kind in found)
    yield f"Sections: {links}\n"
    own = [
        f"`{key}.{name}` {yaml_text(value)}"
        for key, kind in found
        for name, value in _values(_at(defaults, key)).items()
        if value != _values(kind())[name] and is_used(model, f"{key}.{name}")
    ]
    if own:
        yield f"Other defaults in these: {', '.join(own)}\n"
    if unused := getattr(model, "unused", {}):
        yield "Not used, and refused:\n"
        yield "\n".join(f"- `{key}`: {reason}" for key, reason in unused.items()) + "\n"


def _inner_sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{prefix}{name}", kind
            yield from _inner_sections(kind, f"{prefix}{name}.")


def _table(model: type[BaseModel]) -> list[str]:
    """The options that a configuration has itself, sections left out; [] where it has none."""
    defaults, rows = model(), []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        kind, default = _kind(field.annotation), _default(defaults, name)
        if is_auto(field):
            kind, default = kind if WORD in kind else f"{kind} or {WORD}", WORD
        cells = (f"`{name}`", kind, f"`{default}`", text_of(model, name))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return ["| option | values | default | |\n|---|---|---|---|", *rows, ""] if rows else []


def _default(defaults: BaseModel, name: str) -> str:
    value = getattr(defaults, name)
    return "CRUCIBLE_RUNS, or runs" if name == "runs" and isinstance(value, Path) else yaml_text(value)


def _values(config: BaseModel) -> dict[str, Any]:
    """The values of a configuration's own options."""
    found = {name: getattr(config, name) for name in type(config).model_fields}
    return {name: value for name, value in found.items() if not isinstance(value, BaseModel)}


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def _kind(annotation: Any) -> str:
    """What values an option takes, in a word or two."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(part) for part in get_args(annotation)))
    if origin is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if is_structured(annotation):
        return "YAML"
    if origin is not None and issubclass(origin, Mapping):
        return "name and value, ..."
    if origin is not None and issubclass(origin, tuple | list):
        inner = [kind for kind in get_args(annotation) if kind is not ...]
        return " ".join(map(_kind, inner)) if len(inner) > 1 else f"{_kind(inner[0])}, ..."
    names = {int: "whole number", float: "number", bool: "True, False", str: "text", Path: "path", type(None): "None"}
    return names.get(annotation, "text")


def _paragraphs(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split()) + "\n"


def _anchor(kind: type[BaseModel]) -> str:
    return kind.__name__
