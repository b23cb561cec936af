"""The settings that a sweep tries, as text: `train.beta=0,0.05`, `lr=loguniform(1e-4,1e-2)`. Pure."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.config import GRPOConfig
from pipelines.errors import ConfigError
from pipelines.options import explain, option_keys, renamed

ALIASES = {
    "beta": "train.beta",
    "num_generations": "rollout.group_size",
    "group_size": "rollout.group_size",
    "lora_r": "train.lora_r",
    "lr": "train.learning_rate",
}
"""Short names of what is swept most."""

RANGES = ("uniform", "loguniform", "randint")
_RANGE = re.compile(rf"({'|'.join(RANGES)})\(([^,()]+),([^,()]+)\)")


@dataclass(frozen=True, slots=True)
class Axis:
    """One dotted key of the configuration and the values it may take."""

    key: str
    choices: tuple[Any, ...] = ()
    """Given values; () for a range."""
    kind: str = "choice"
    low: float = 0.0
    high: float = 0.0
    """randint: `high` itself is left out."""

    @property
    def largest(self) -> Any:
        """The largest value it can take."""
        return max(self.choices) if self.choices else (int(self.high) - 1 if self.kind == "randint" else self.high)

    def domain(self, grid: bool) -> Any:
        """What Ray Tune draws from. `grid`: every value in turn instead of at random."""
        from ray import tune

        if not self.choices:
            low, high = (int(self.low), int(self.high)) if self.kind == "randint" else (self.low, self.high)
            return getattr(tune, self.kind)(low, high)
        return tune.grid_search(list(self.choices)) if grid else tune.choice(list(self.choices))


def parse_space(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of a sweep. Raises ConfigError, with the fix, for a text or a key that means nothing."""
    axes = tuple(_axis(text) for text in texts)
    if not axes:
        raise ConfigError("the sweep has nothing to vary; give --space, for example: --space beta=0,0.05 lora_r=4,16")
    for key, named in itertools.groupby(sorted(axis.key for axis in axes)):
        if len(list(named)) > 1:
            raise ConfigError(f"space names {key} twice; put all its values after one `=`")
    return axes


def configure(base: GRPOConfig, values: Mapping[str, Any]) -> GRPOConfig:
    """`base` with dotted keys set. Raises ConfigError where the result is no valid configuration."""
    data = base.model_dump()
    for dotted, value in values.items():
        *parents, leaf = dotted.split(".")
        place = data
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    try:
        return GRPOConfig.model_validate(data)
    except ValidationError as error:
        setting = ", ".join(f"{key}={value}" for key, value in values.items())
        raise ConfigError(f"the setting {setting} cannot be run: {explain(error, GRPOConfig)}") from None


def check_space(axes: Sequence[Axis], base: GRPOConfig) -> None:
    """Raises ConfigError for a value that no trial could run with: every given value, and both ends of every range."""
    for axis in axes:
        ends = axis.choices or (axis.low, axis.high if axis.kind != "randint" else axis.high - 1)
        for value in ends:
            configure(base, {axis.key: int(value) if axis.kind == "randint" else value})


def _axis(text: str) -> Axis:
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not name or not values:
        raise ConfigError(f"space {text!r} is not KEY=VALUES; write for example train.beta=0,0.05")
    key = ALIASES.get(name, name)
    known = option_keys(GRPOConfig)
    if key not in known:
        if new := renamed(key):
            raise ConfigError(f"space: {name} is now {new}")
        near = difflib.get_close_matches(key, [*known, *ALIASES], n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"space: there is no configuration key {name}{hint}")
    if key in ("seed", "train.seed"):
        raise ConfigError("space: seeds are given by --seeds, so that settings are compared over the same ones")
    if match := _RANGE.fullmatch(values):
        kind, low, high = match[1], *map(_number, match.groups()[1:])
        if not low < high or (kind == "loguniform" and low <= 0):
            raise ConfigError(f"space {text!r}: the first end must be less than the second, and above 0 for loguniform")
        return Axis(key, (), kind, low, high)
    if "(" in values and not values.startswith("["):
        raise ConfigError(f"space {text!r}: the ranges are {', '.join(f'{kind}(a,b)' for kind in RANGES)}")
    return Axis(key, tuple(_scalar(part) for part in values.split(",")))


def _scalar(text: str) -> Any:
    """As YAML reads it, but numbers such as 1e-3, which YAML takes for text, are numbers too."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"space: {text.strip()!r} is not a number") from None
