"""How traces that others wrote are read: the section `data` of the jobs that learn from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Places = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str | Path) else given)]
"""Files, folders and data sets of the hub, of which a single one may be given without a list."""


class TraceDataConfig(BaseModel):
    """How the rows of traces are read."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mapping: str = ""
    """Mapping of the rows: its name or a YAML file; "" takes for each row the first that fits."""
    problems: Places = ()
    """Files or folders of the problems that rows of mere solutions name by `problem_id`."""
    trust: bool = False
    """Also learn from rows that have neither tests nor a gold answer, and so cannot be judged again."""
    hub_split: str = "train"
    """Split of data sets of the Hugging Face hub (hub:OWNER/NAME)."""
    shuffle: int | None = None
    """Seed of the order of the rows; None keeps that of the files."""
    limit: int = Field(default=0, ge=0)
    """At most so many traces, the first that can be learned from; 0 takes all."""
    strict: bool = False
    """Stop at the first row that cannot be used, instead of leaving it out and counting it."""
