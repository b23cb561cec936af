"""The registry of plain contracts: one fixed signature and meaning each, as in the systems whose figures are compared.

They are families named `family@version`: `classic` is the usual one, other versions are those of originals that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from problems.family import Family

MODULES = ("amounts", "counting", "expressions", "intervals", "lists", "long_lists", "sequences", "strings", "yes_no")
"""The modules of this package that hold contracts, in their `FAMILIES`."""


@cache
def contracts() -> Mapping[str, Family]:
    """All contracts by their full name, sorted."""
    found = [family for name in MODULES for family in import_module(f"{__name__}.{name}").FAMILIES]
    return {family.name: family for family in sorted(found, key=lambda family: family.name)}
