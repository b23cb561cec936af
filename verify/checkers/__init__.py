"""Checkers decide whether an answer is right. All of them run on the trusted side, on plain data.

A problem names its checker as `name` or `name:parameter`: `exact`, `unordered`, `unordered:deep`,
`float:1e-6`, `any_valid:problems.families.two_sum:is_valid`, and for problems of kind `answer` also `math`,
`choice`, `yes_no`.
"""

from __future__ import annotations

from verify.checkers.registry import Checker, checker_for

__all__ = ["Checker", "checker_for"]
