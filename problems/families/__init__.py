"""The registry of families: every module of this package holds one, named `FAMILY`."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from problems.family import Family


@cache
def names() -> tuple[str, ...]:
    """Names of all families, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


@cache
def get(name: str) -> Family:
    """The family of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(f"no problem family is called {name!r}; there are {', '.join(names())}")
    return import_module(f"{__name__}.{name}").FAMILY
