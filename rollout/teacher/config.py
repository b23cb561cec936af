"""Settings of a teacher: who it is, what it may cost, and how long to wait for it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from problems.auto import AUTO
from rollout.config import EngineConfig
from rollout.teacher.weights import fingerprint

REFERENCE = "reference"
"""Stands for the offline teacher, which writes worked traces of the problems' own reference solutions."""

Protocol = Literal["anthropic", "openai"]
"""What servers speak."""
Place = Literal["anthropic", "openai", "engine"]
"""A server's protocol, or `engine` for engines of the run's own."""

HOMES: dict[str, str] = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
"""Where each protocol is at home: the default address."""
HOME_KEYS: dict[str, str] = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""Variables of the keys that go there unasked, and nowhere else."""
SPOKEN: dict[str, str] = {"anthropic": "Anthropic's Messages API", "openai": "OpenAI's chat API"}

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*/?)",
    re.IGNORECASE | re.ASCII,
)
"""What may be an address: nothing that two readers of addresses could understand in two ways."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)

Thought = Literal["brief", "worked"]

_DATE = re.compile(r"-\d{4}-\d\d-\d\d", re.ASCII)
"""What OpenAI adds to a model's name for one of its versions."""


class Price(BaseModel):
    """What a model's tokens cost, in dollars a million."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    input: float = Field(ge=0)
    """Prompt tokens that no cache is concerned with."""
    output: float = Field(ge=0)
    """Completion tokens."""
    cache_write: float = Field(default=1.25, ge=0)
    """Tokens written to the prompt cache (for five minutes), as a multiple of `input`."""
    cache_read: float = Field(default=0.1, ge=0)
    """Tokens read from it, as a multiple of `input`."""
    batch: float = Field(default=0.5, ge=0)
    """Everything, when asked by a batch, as a multiple."""


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


def _of_openai(input: float, output: float, cache_read: float) -> Price:
    return Price(input=input, output=output, cache_write=1, cache_read=cache_read)


# Source: https://platform.openai.com/docs/pricing. By whole names, because gpt-5-pro is twelve times as dear as gpt-5.
OPENAI_PRICES: dict[str, Price] = {
    "gpt-5.1": _of_openai(1.25, 10, 0.1),
    "gpt-5": _of_openai(1.25, 10, 0.1),
    "gpt-5-mini": _of_openai(0.25, 2, 0.1),
    "gpt-5-nano": _of_openai(0.05, 0.4, 0.1),
    "gpt-4.1": _of_openai(2, 8, 0.25),
    "gpt-4.1-mini": _of_openai(0.4, 1.6, 0.25),
    "gpt-4.1-nano": _of_openai(0.1, 0.4, 0.25),
    "gpt-4o": _of_openai(2.5, 10, 0.5),
    "gpt-4o-mini": _of_openai(0.15, 0.6, 0.5),
    "o3": _of_openai(2, 8, 0.25),
    "o4-mini": _of_openai(1.1, 4.4, 0.25),
}


class OtherTeacher(BaseModel):
    """A further teacher of a run. What it does not set is as the first one has it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    model: str
    """As `teacher.model`."""
    share: float = Field(default=1.0, gt=0)
    """As `teacher.share`."""
    protocol: Place = "anthropic"
    """As `teacher.protocol`."""
    base_url: str = ""
    """As `teacher.base_url`."""
    key_variable: str | None = None
    """As `teacher.key_variable`."""
    batch: bool = False
    """As `teacher.batch`."""
    temperature: float | Literal["first", "none"] = "first"
    """As `teacher.temperature`; none sends none."""
    max_tokens: int | None = Field(default=None, ge=1)
    """As `teacher.max_tokens`; None: as the first."""


class TeacherConfig(BaseModel):
    """Who writes the traces."""

    # An address or a key's variable that is refused may hold a password: no message repeats it.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    model: str = REFERENCE
    """`reference` (offline, free), or a model's name as its server knows it; of an `engine` a folder or Hub id."""
    protocol: Place = "anthropic"
    """What the server speaks: `anthropic`, the Messages API, or `openai`, the chat API (OpenAI, vLLM, llama.cpp,
    Gemini's compatible endpoint). `engine` asks no server: the run starts engines of `model` beside its own."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1, exclude_if=lambda count: count == 1)
    """Engines of the teacher with protocol `engine`. They are placed together with the run's other engines."""
    engine: EngineConfig = Field(default=EngineConfig(), exclude_if=lambda engine: engine == EngineConfig())
    """Each of these engines."""
    base_url: str = ""
    """Another server than the protocol's own, say a vLLM server; its answers cost nothing unless `prices` names the
    model. "" is Anthropic's or OpenAI's. An address without a path gets /v1 with protocol openai."""
    key_variable: str | None = None
    """Variable of the environment, or of `env_file`, that holds the API key, sent by https or on this machine. None:
    ANTHROPIC_API_KEY for Anthropic's host, OPENAI_API_KEY for OpenAI's, and no key for any other. Anthropic's key goes
    to no other host."""
    prompts: Path | None = None
    """Folder of template files (code.jinja, boxed.jinja, yes_no.jinja, correction.jinja) with the instructions and the
    exemplars that the teacher gets; one that it lacks is the shipped one. None: the shipped ones."""
    others: tuple[OtherTeacher, ...] = Field(default=(), exclude_if=lambda others: not others)
    """Further teachers of the same run, each with its share of the questions: lists of model, share, protocol,
    base_url, key_variable, batch, temperature and max_tokens. The budget is one for all of them."""
    share: float = Field(default=1.0, gt=0)
    """Of the questions, relative to the shares of `others`. A question and its corrections have one teacher."""
    env_file: Path = Path(".env")
    """File of NAME=value lines that is looked into where the environment has no key."""
    max_tokens: int = Field(default=4096, ge=1)
    """Longest answer, in tokens; one that reaches it counts as truncated."""
    temperature: float | None = Field(default=0.3, ge=0, le=2)
    """Of the answers; None sends none, which some models demand."""
    concurrency: int = Field(default=8, ge=1)
    """Requests to a server in flight at once; engines take as many as they have sequences."""
    batch: bool = False
    """Ask by batches, of Anthropic's or OpenAI's: half the price, answers within a day."""
    batch_size: int = Field(default=10_000, ge=1, le=100_000)
    """Requests in one batch, at most."""
    poll_seconds: float = Field(default=30.0, gt=0)
    """Time between looks at a batch that is being worked on."""
    budget: float | None = Field(default=None, ge=0)
    """Dollars that the run may cost, requests in flight at their dearest included; None: no bound."""
    prices: Mapping[str, Price] = Field(default_factory=dict)
    """Prices by the beginning of a model's name, before those that are built in."""
    cache: Path | None = None
    """Folder of answers that were paid for, shared by all runs; None: CRUCIBLE_CACHE, else ~/.cache/crucible."""
    sdk_retries: int = Field(default=2, ge=0)
    """Times that the SDK itself repeats a request that failed."""
    patience: float = Field(default=900.0, ge=0, allow_inf_nan=True)
    """Seconds during which a request is tried again while the teacher is overloaded (429, 529) or down."""
    backoff: float = Field(default=1.0, gt=0)
    """Seconds before the first of those tries; doubled each time, up to a minute, with jitter."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds that one try may take, from sending to the answer's end; `max_tokens` adds one for each 20 tokens."""
    thought: Thought | None = None
    """How the reference teacher reasons: brief (what is asked, in two lines) or worked (five steps); None is worked."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url:
            return url
        if "@" in url:
            raise ValueError("an address holds no user or password; name the variable of a key in teacher.key_variable")
        found = _ADDRESS.fullmatch(url)
        if found is None or int(found["port"] or 1) not in range(1, 65536):
            raise ValueError("it is no address of a server; give it as http(s)://HOST[:PORT][/PATH]")
        return url

    @field_validator("key_variable")
    @classmethod
    def _variable(cls, name: str | None) -> str | None:
        if name is not None and not _VARIABLE.fullmatch(name):
            raise ValueError("it is no name of a variable; put the key into one of the environment, and name that one")
        return name

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> TeacherConfig:
        if self.budget == 0:
            raise ValueError("budget 0 buys nothing; give dollars above 0, leave it out, or use the reference teacher")
        if self.model == REFERENCE:
            # What concerns every teacher has an effect where another one is asked.
            common = () if not self.is_offline else ("budget", "prompts")
            for name in ("protocol", "base_url", "batch", *common):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} has no effect on the offline reference teacher: name a model or remove it"
                    )
        elif self.thought is not None and REFERENCE not in self.names:
            raise ValueError(f"thought has no effect on the model {self.model}: it is the reference teacher's")
        self._check_engine()
        if self.share != 1 and not self.others:
            raise ValueError("share has no effect on a single teacher: name others, or leave it out")
        if (self.key_variable or "").startswith("ANTHROPIC_") and not self.is_at("anthropic"):
            raise ValueError(
                f"{self.key_variable} is of Anthropic's own host, and {self.url} is another; give its key a variable "
                "of its own and name that in teacher.key_variable"
            )
        return self

    def _check_engine(self) -> None:
        """Raises ValueError for what has no effect on engines, or on servers."""
        places = [self.protocol, *(other.protocol for other in self.others)]
        if places.count("engine") > 1:
            raise ValueError(
                "two teachers with protocol engine: a run starts the engines of one; serve the other by a vLLM server "
                "(protocol openai)"
            )
        if "engine" not in places:
            if self.engine != EngineConfig() or self.engines != 1:
                raise ValueError("engine and engines have no effect without a teacher of protocol engine: set protocol")
            return
        if self.engine.canary_bound is not None:
            raise ValueError("engine.canary_bound has no effect on a teacher, whose weights are never exchanged")
        if self.protocol == "engine":
            served = ("base_url", "key_variable", "batch", *(() if self.others else ("concurrency",)))
            for name in served:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} has no effect with protocol engine, which asks no server: remove it")

    @model_validator(mode="after")
    def _the_protocol_takes_it(self) -> TeacherConfig:
        if self.protocol == "anthropic":
            if self.is_at("openai"):
                raise ValueError(f"{self.url} speaks {SPOKEN['openai']}: set teacher.protocol openai")
            if self.temperature is not None and self.temperature > 1:
                raise ValueError(f"{SPOKEN['anthropic']} takes a temperature of 0 to 1, not {self.temperature:g}")
        if all(one.is_free for one in self.members) and self.budget is not None:
            who = f"engines of {self.model}" if self.protocol == "engine" else self.url
            raise ValueError(
                f"budget has no effect, because the answers of {who} count as free: give the model's price in "
                "teacher.prices, or remove budget"
            )
        return self

    @property
    def members(self) -> tuple[TeacherConfig, ...]:
        """Each teacher with a configuration of its own, in the order of `names`. Raises ValueError for one that cannot
        be."""
        if not self.others:
            return (self,)
        common = {name: getattr(self, name) for name in type(self).model_fields}
        common |= {"others": (), "share": 1.0, "budget": None, "prompts": None, "thought": None}
        own_engines = {"engine": common.pop("engine"), "engines": common.pop("engines")}
        own_engines |= {"concurrency": type(self).model_fields["concurrency"].default}
        found = [TeacherConfig(**{**common, **(own_engines if self.protocol == "engine" else {})})]
        for other in self.others:
            own = other.model_dump(exclude={"share", "temperature", "max_tokens"})
            own |= own_engines if other.protocol == "engine" else {}
            temperature = {"first": self.temperature, "none": None}.get(str(other.temperature), other.temperature)
            limit = other.max_tokens or self.max_tokens
            try:
                found.append(TeacherConfig(**{**common, **own, "temperature": temperature, "max_tokens": limit}))
            except ValidationError as error:
                raise ValueError(f"others, {other.model}: {error.errors()[0]['msg']}") from None
        if self.thought is not None:
            found = [one.model_copy(update={"thought": self.thought}) if one.is_offline else one for one in found]
        return tuple(found)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each member."""
        return (self.share, *(other.share for other in self.others))

    @property
    def names(self) -> tuple[str, ...]:
        """The models."""
        return (self.model, *(other.model for other in self.others))

    @property
    def is_offline(self) -> bool:
        """Whether no server is asked."""
        return set(self.names) == {REFERENCE}

    @property
    def is_served(self) -> bool:
        """Whether this one is asked over the network."""
        return self.model != REFERENCE and self.protocol != "engine"

    @property
    def on_engines(self) -> TeacherConfig | None:
        """The teacher that is asked on engines of the run; None where there is none."""
        return next((one for one in self.members if one.protocol == "engine"), None)

    def with_engine_model(self, model: str) -> TeacherConfig:
        """The same with the model of the teacher on engines as it was found: an absolute path, or a Hub id."""
        if self.protocol == "engine":
            return self.model_copy(update={"model": model})
        named = (one.model_copy(update={"model": model}) if one.protocol == "engine" else one for one in self.others)
        return self.model_copy(update={"others": tuple(named)})

    @property
    def url(self) -> str:
        """Where requests go; of engines, which weights answer."""
        if self.protocol == "engine":
            return f"engine:{fingerprint(self.model)}"
        url = self.base_url.rstrip("/") or HOMES[self.protocol]
        found = _ADDRESS.fullmatch(url)
        return f"{url}/v1" if self.protocol == "openai" and found is not None and not found["path"] else url

    def is_at(self, protocol: str) -> bool:
        """Whether requests go to the host at which a protocol is at home, by TLS."""
        found, home = _ADDRESS.fullmatch(self.url), _ADDRESS.fullmatch(HOMES[protocol])
        assert home is not None, "homes are addresses"
        where = (found["scheme"].lower(), found["host"].lower(), found["port"] or "443") if found else None
        return where == ("https", home["host"], "443")

    @property
    def is_home(self) -> bool:
        """Whether the SDK's own host is asked."""
        return self.protocol != "engine" and self.is_at(self.protocol)

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent: TLS, or a server of this machine."""
        found = _ADDRESS.fullmatch(self.url)
        if found is None or found["scheme"].lower() == "https":
            return found is not None
        host = found["host"].strip("[]").lower()
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def key_name(self) -> str:
        """Variable of the key that is sent: a server's own, or the one that belongs to the host; "" sends none."""
        if self.key_variable is not None:
            return self.key_variable
        return next((key for protocol, key in HOME_KEYS.items() if self.is_at(protocol)), "")

    @property
    def is_free(self) -> bool:
        """Whether answers cost nothing: offline, or of another server, whose model `prices` does not name."""
        return self.is_offline or not (
            _longest_beginning(self.prices, self.model) or self.is_at("anthropic") or self.is_at("openai")
        )

    @property
    def price(self) -> Price:
        """Of `model`. Raises ValueError where the price is not known: no ledger could be kept."""
        # The user's own table wins over the built-in ones.
        found = _longest_beginning(self.prices, self.model)
        if found is None and self.is_at("anthropic"):
            found = _longest_beginning(PRICES, self.model)
        elif found is None and self.is_at("openai"):
            found = OPENAI_PRICES.get(_DATE.sub("", self.model))
        elif found is None:
            return FREE
        if found is not None:
            return found
        raise ValueError(
            f"the price of model {self.model} is not known; set teacher.prices, for example "
            f'{{"{self.model}": {{"input": 3, "output": 15}}}} in dollars a million tokens'
        )


def _longest_beginning(table: Mapping[str, Price], model: str) -> Price | None:
    named = [name for name in table if model.startswith(name)]
    return table[max(named, key=len)] if named else None
