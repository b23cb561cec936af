"""Which problems a run uses."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from problems.families import DRAWN, ContractChoice, full_name
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY

CORE_FAMILIES = (
    "fibonacci",
    "reverse_string",
    "is_palindrome",
    "max_subarray",
    "binary_search",
    "remove_duplicates",
    "parentheses",
    "coin_change",
    "knapsack",
    "edit_distance",
    "lcs",
    "n_queens",
)


class ProblemsConfig(BaseModel):
    """A procedural stream of problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[str, ...] = CORE_FAMILIES
    """Families to sample from; `crucible problems list` prints them all. `fizzbuzz@bundled` names one contract of a
    family, whatever `contract` says, and `fizzbuzz@drawn` the drawn ones."""
    contract: ContractChoice = Field(default=DRAWN, exclude_if=lambda contract: contract == DRAWN)
    """drawn: each problem has names, order of arguments and meaning of its own. classic: signature and meaning are
    always the family's plain ones, to compare with other systems; problems differ in their inputs only."""
    difficulties: tuple[int, ...] = tuple(range(MIN_DIFFICULTY, MAX_DIFFICULTY + 1))
    """Difficulties to sample from, each 1 (easy) to 10; one given twice is sampled twice as often."""
    weights: Mapping[str, float] = Field(default_factory=dict)
    """Relative weight of a family; 1 if not named here, 0 leaves it out."""
    seed: int = 0
    """Seed of the stream; the split of a question does not depend on it."""
    hidden_tests: int = Field(default=10, ge=4, le=100)
    """Hidden tests a problem has at least; a family's edge cases are kept even if there are more."""
    public_examples: int = Field(default=3, ge=0, le=10)
    """Examples a problem may show; never scored."""

    @field_validator("families")
    @classmethod
    def _known_families(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        if not families:
            raise ValueError("the set of problem families is empty; name at least one, for example coin_change")
        for name in families:
            full_name(name)
        return families

    @field_validator("difficulties")
    @classmethod
    def _known_difficulties(cls, difficulties: tuple[int, ...]) -> tuple[int, ...]:
        if not difficulties:
            raise ValueError("the set of difficulties is empty; name at least one from 1 to 10")
        for d in difficulties:
            if not MIN_DIFFICULTY <= d <= MAX_DIFFICULTY:
                raise ValueError(f"difficulty {d} does not exist; use {MIN_DIFFICULTY} to {MAX_DIFFICULTY}")
        return difficulties

    @model_validator(mode="after")
    def _known_contracts(self) -> ProblemsConfig:
        if len(set(self.full_names)) < len(self.families):
            raise ValueError("a family is named twice; use `weights` to sample it more often")
        if self.contract != DRAWN and all("@" in name for name in self.families):
            raise ValueError(f"contract {self.contract} has no effect, since every family names its own; leave it out")
        return self

    @model_validator(mode="after")
    def _usable_weights(self) -> ProblemsConfig:
        for name, weight in self.weights.items():
            if name not in self.families:
                near = _nearest(name, self.families)
                raise ValueError(f"weights names {name!r}, which is not among the families; {near}")
            if weight < 0:
                raise ValueError(f"the weight of {name} is {weight}; use 0 or more")
        if not any(self.weights.get(name, 1.0) > 0 for name in self.families):
            raise ValueError("every family has weight 0, so the set of problems is empty; raise one of them")
        return self

    @property
    def full_names(self) -> tuple[str, ...]:
        """The families with their contracts, as `problems.families.get` knows them, in the order of `families`."""
        return tuple(full_name(name, self.contract) for name in self.families)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
