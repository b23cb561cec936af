"""Examples and values as prompts write them."""

from __future__ import annotations

from typing import Any

from problems.problem import Problem, Test

_DECIMAL_BITS = 14_000
"""Whole numbers of more bits are written in hexadecimal: Python bounds the digits of decimal text (4,300)."""


def example_text(problem: Problem, example: Test) -> str:
    """One public example as people write it: a call and its value, input and output, or the asserts."""
    match problem.kind:
        case "function":
            arguments = ", ".join(value_text(value) for value in example.args)
            return f"{problem.entry_point}({arguments}) -> {value_text(example.expected)}"
        case "stdin":
            return f"Input:\n{str(example.args[0]).rstrip()}\nOutput:\n{str(example.expected).rstrip()}"
        case "assert":
            return str(example.args[0]).strip()
    return f"Answer: {example.expected}"


def value_text(value: Any) -> str:
    """Python source of a value; sets and dicts in sorted order, so that hash seeds change nothing."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(value_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, set | frozenset):
        inner = ", ".join(sorted(map(value_text, value)))
        if isinstance(value, frozenset):
            return f"frozenset({{{inner}}})" if value else "frozenset()"
        return f"{{{inner}}}" if value else "set()"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{value_text(k)}: {value_text(v)}' for k, v in value.items()))}}}"
    if isinstance(value, int) and value.bit_length() > _DECIMAL_BITS:
        return hex(value)
    return repr(value)
