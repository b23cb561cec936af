"""Mathematical answers: reads numbers, and decides equality in the sandbox.

The modules here import nothing of ours except each other, so that they can be sent to the sandbox as one text.
"""

from __future__ import annotations

import marshal
import re
from functools import cache
from pathlib import Path

_PARTS = ("numbers", "cleaning", "lists", "reals", "symbolic", "equality")
"""In the order of their dependencies."""
_OWN_IMPORT = re.compile(r"^from verify\.checkers\.maths\.\w+ import [^\n]+\n", re.MULTILINE)


@cache
def source() -> str:
    """The source of a program that defines `equal(gold, answer)`: all modules in one text."""
    folder = Path(__file__).parent
    return "\n".join(_OWN_IMPORT.sub("", (folder / f"{part}.py").read_text()) for part in _PARTS)


@cache
def program() -> str:
    """The same program, compiled, so that a child does not have to compile a thousand lines to compare two answers.

    Valid for this interpreter only, which is also the sandbox's.
    """
    code = marshal.dumps(compile(source(), "<maths>", "exec", dont_inherit=True))
    return f"import marshal\nexec(marshal.loads({code!r}))\n"
