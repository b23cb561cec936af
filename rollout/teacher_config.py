"""Settings of a teacher: who it is, what it may cost, and how long to wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

REFERENCE = "reference"
"""Stands for the offline teacher, which writes worked traces of the problems' own reference solutions."""

API_URL = "https://api.anthropic.com"

Thought = Literal["brief", "worked"]


class Price(BaseModel):
    """What a model's tokens cost, in dollars a million."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    input: float = Field(ge=0)
    """Prompt tokens that no cache is concerned with."""
    output: float = Field(ge=0)
    """Completion tokens."""
    cache_write: float = Field(1.25, ge=0)
    """Tokens written to the prompt cache (for five minutes), as a multiple of `input`."""
    cache_read: float = Field(0.1, ge=0)
    """Tokens read from it, as a multiple of `input`."""
    batch: float = Field(0.5, ge=0)
    """Everything, when asked by the Message Batches API, as a multiple."""


FREE = Price(input=0, output=0)
"""Of a server of one's own."""

# Source: https://platform.claude.com/docs/en/about-claude/pricing
PRICES: dict[str, Price] = {
    "claude-opus-5-5": Price(input=4, output=20, cache_read=0.05),
    "claude-opus-5": Price(input=5, output=25),
    "claude-opus-4-8": Price(input=5, output=25),
    "claude-opus-4-7": Price(input=5, output=25),
    "claude-opus-4-6": Price(input=5, output=25),
    "claude-opus-4-5": Price(input=5, output=25),
    "claude-sonnet-5-5": Price(input=2, output=10, cache_read=0.05),
    "claude-sonnet-5": Price(input=2, output=10),
    "claude-sonnet-4-6": Price(input=3, output=15),
    "claude-sonnet-4-5": Price(input=3, output=15),
    "claude-haiku-4-5": Price(input=1, output=5),
    "claude-3-5-haiku": Price(input=0.8, output=4),
}


class TeacherConfig(BaseModel):
    """Who writes the traces."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = REFERENCE
    """`reference` (offline, free), or a model's name as its Messages API knows it."""
    base_url: str = ""
    """Any server of the Messages API (a vLLM server, say), whose answers cost nothing unless `prices` names the model;
    "" is Anthropic's."""
    key_variable: str = "ANTHROPIC_API_KEY"
    """Variable of the environment, or of `env_file`, that holds the API key."""
    env_file: Path = Path(".env")
    """File of NAME=value lines that is looked into where the environment has no key."""
    max_tokens: int = Field(4096, ge=1)
    """Longest answer, in tokens; one that reaches it counts as truncated."""
    temperature: float | None = Field(0.3, ge=0, le=1)
    """Of the answers; None sends none, which some models demand."""
    concurrency: int = Field(8, ge=1)
    """Requests in flight at once."""
    batch: bool = False
    """Ask by the Message Batches API: half the price, answers within a day."""
    batch_size: int = Field(10_000, ge=1, le=100_000)
    """Requests in one batch, at most."""
    poll_seconds: float = Field(30.0, gt=0)
    """Time between looks at a batch that is being worked on."""
    budget: float | None = Field(None, ge=0)
    """Dollars that the run may cost, requests in flight at their dearest included; None: no bound."""
    prices: Mapping[str, Price] = Field(default_factory=dict)
    """Prices by the beginning of a model's name, before those that are built in."""
    cache: Path | None = None
    """Folder of answers that were paid for, shared by all runs; None: CRUCIBLE_CACHE, else ~/.cache/crucible."""
    sdk_retries: int = Field(2, ge=0)
    """Times that the SDK itself repeats a request that failed."""
    patience: float = Field(900.0, ge=0)
    """Seconds during which a request is tried again while the teacher is overloaded (429, 529) or down."""
    backoff: float = Field(1.0, gt=0)
    """Seconds before the first of those tries; doubled each time, up to a minute, with jitter."""
    timeout: float = Field(600.0, gt=0)
    """Seconds that one try may take."""
    thought: Thought | None = None
    """How the reference teacher reasons: brief (what is asked, in two lines) or worked (five steps); None is worked."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> TeacherConfig:
        if self.budget == 0:
            raise ValueError("budget 0 buys nothing; give dollars above 0, leave it out, or use the reference teacher")
        if self.model == REFERENCE:
            for name in ("base_url", "batch", "budget"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} has no effect on the offline reference teacher: name a model or remove it"
                    )
        elif self.thought is not None:
            raise ValueError(f"thought has no effect on the model {self.model}: it is the reference teacher's")
        return self

    @property
    def url(self) -> str:
        """Where requests go."""
        return self.base_url.rstrip("/") or API_URL

    @property
    def price(self) -> Price:
        """Of `model`. Raises ValueError where the price is not known: no ledger could be kept."""
        known = {**PRICES, **self.prices}
        # The longest beginning wins, and the user's own table wins over the built-in one.
        for table in (self.prices, {} if self.base_url else known):
            named = [name for name in table if self.model.startswith(name)]
            if named:
                return table[max(named, key=len)]
        if self.base_url:
            return FREE
        raise ValueError(
            f"the price of model {self.model} is not known; set teacher.prices, for example "
            f'{{"{self.model}": {{"input": 3, "output": 15}}}} in dollars a million tokens'
        )
