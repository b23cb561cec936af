"""What of a run goes to the Hugging Face Hub, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

What = Literal["data", "adapter", "merged"]
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FOLDERS = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95}){0,7}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")


def _repository(name: str) -> str:
    if name and (not REPOSITORY.fullmatch(name) or "--" in name or ".." in name):
        raise ValueError(
            f"push {name!r} is no repository of the Hugging Face Hub; write OWNER/NAME, with letters, digits, `-`, `_` "
            "and `.`"
        )
    return name


def _folder(path: str) -> str:
    if path and (not _FOLDERS.fullmatch(path) or ".." in path or "--" in path):
        raise ValueError(f"publish.path {path!r} is no folder of a repository; write names such as runs/first")
    return path


def _license(name: str) -> str:
    if name and not _LICENSE.fullmatch(name):
        raise ValueError(f"publish.license {name!r} is no identifier of a licence; write one as apache-2.0 or mit")
    return name


Repository = Annotated[str, AfterValidator(_repository)]


class PublishConfig(BaseModel):
    """What `push` uploads, and how. The token is that of HF_TOKEN, or the one that `hf auth login` stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    what: tuple[What, ...] = ()
    """data and adapter go as the job makes them (of sft.full the whole model in the adapter's place), merged (the base
    model with the adapter in it) at the end; () is the data and the adapters that the job makes."""
    path: Annotated[str, AfterValidator(_folder)] = ""
    """Folder in the repository; "" is its root. Runs that share a repository need one each."""
    public: bool = False
    """Whether the repository is public. One that exists already must be what this says."""
    minutes: float = Field(default=15.0, ge=0)
    """Minutes between uploads in the background; 0 uploads at the end alone."""
    license: Annotated[str, AfterValidator(_license)] = ""
    """Licence named in the cards, as the Hub spells it; "" is that of the base model where its own card says one, and
    else `unknown`."""


def check_needs_push(push: str, publish: PublishConfig) -> None:
    """Raises ValueError for options of publishing without a repository."""
    plain = PublishConfig()
    given = [name for name in PublishConfig.model_fields if getattr(publish, name) != getattr(plain, name)]
    if given and not push:
        raise ValueError(f"publish.{given[0]} has no effect without push: name a repository, or leave it out")


PUBLISH_KEYS = ("push", *(f"publish.{name}" for name in PublishConfig.model_fields))
"""Dotted keys that a resumed run may have other values for."""
NO_PUSH = {
    "push": "this command makes nothing to publish; `crucible push RUN` publishes a run",
    "publish": "this command makes nothing to publish; `crucible push RUN` publishes a run",
}
"""For the `unused` of such a command."""
