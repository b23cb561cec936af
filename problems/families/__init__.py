"""The registry of families: every module of this package holds one, named `FAMILY`.

Families whose contract is drawn have a plain name. Their plain contracts, if there are any, are families of their own
beside them (`problems.classic`), named `family@version`.
"""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Literal

from problems.family import Family

ContractChoice = Literal["drawn", "classic"]
DRAWN: ContractChoice = "drawn"


@cache
def names() -> tuple[str, ...]:
    """Names of all families with a drawn contract, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


@cache
def contracts() -> tuple[str, ...]:
    """Full names of all plain contracts, sorted."""
    from problems import classic

    return tuple(classic.contracts())


@cache
def get(name: str) -> Family:
    """The family of that name, or of the full name of a plain contract. Raises KeyError where there is none."""
    if "@" in name and name in contracts():
        from problems import classic

        return classic.contracts()[name]
    if name not in names():
        raise KeyError(f"no problem family is called {name!r}; there are {', '.join(names())}")
    return import_module(f"{__name__}.{name}").FAMILY


def known(name: str) -> bool:
    """Whether a family, or a plain contract, is called so; data sets are not."""
    return name in (contracts() if "@" in name else names())


def full_name(name: str, contract: ContractChoice = DRAWN) -> str:
    """The name that `get` knows: a name without a version takes that of `contract`, and `@drawn` is left out.

    Raises ValueError, with the nearest known one, for an unknown family or version.
    """
    family, at, version = name.partition("@")
    if family not in names():
        near = get_close_matches(family, names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}"
        raise ValueError(f"no problem family is called {family!r}; {hint}")
    version = version if at else contract
    if version == DRAWN:
        return family
    if (found := f"{family}@{version}") in contracts():
        return found
    others = [known.partition("@")[2] for known in contracts() if known.startswith(f"{family}@")]
    if not at and not others:
        raise ValueError(f"family {family} has no {contract} contract; leave it out, or name it {family}@{DRAWN}")
    raise ValueError(f"family {family} has no contract {version!r}; it has {', '.join((DRAWN, *others))}")
