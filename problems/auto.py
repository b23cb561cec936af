"""Options whose default follows from the model, the hardware and the job. Each is marked where it is declared:

    learning_rate: Annotated[float, AUTO, Field(gt=0)] = 3e-3

A command fills those that neither an option nor a file sets when it starts (`pipelines.defaults`); `auto` says the same
explicitly. The value in the code is that of the default student, and holds for those who make a configuration in code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

WORD = "auto"
"""What options and files call a value that is to be filled."""


class Auto:
    """The mark."""

    def __repr__(self) -> str:
        return WORD


AUTO = Auto()


def is_auto(field: FieldInfo) -> bool:
    """Whether a field has the mark."""
    return any(isinstance(mark, Auto) for mark in field.metadata)


def unset(config: BaseModel, prefix: str = "") -> Iterator[str]:
    """The dotted keys of marked fields that nobody has set."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from unset(value, f"{prefix}{name}.")
        elif is_auto(field) and name not in config.model_fields_set:
            yield prefix + name


def as_set(config: BaseModel) -> dict[str, Any]:
    """A configuration as plain data, without the marked fields that nobody has set."""
    data = config.model_dump()
    for key in unset(config):
        _remove(data, key)
    return data


def without_word(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` of a configuration without the marked fields whose value is `auto`."""
    found = dict(data)
    for name, field in model.model_fields.items():
        kind, value = field.annotation, found.get(name)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
            found[name] = without_word(kind, value)
        elif is_auto(field) and value == WORD:
            del found[name]
    return found


def _remove(data: dict[str, Any], key: str) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        data = data.get(parent, {})  # a section that is as by default may be left out
    data.pop(leaf, None)
