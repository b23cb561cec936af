"""Mathematical answers: reading numbers, and equality as the sandbox runs it.

The modules here import nothing of ours but each other, so that they can be sent into the sandbox as one text.
"""

from __future__ import annotations

import marshal
import re
from functools import cache
from pathlib import Path

_PARTS = ("numbers", "cleaning", "lists", "reals", "symbolic", "equality")
"""In the order in which they need each other."""
_OWN_IMPORT = re.compile(r"^from verify\.checkers\.maths\.\w+ import [^\n]+\n", re.MULTILINE)


@cache
def source() -> str:
    """The text of a program that defines `equal(gold, answer)`: all modules as one."""
    folder = Path(__file__).parent
    return "\n".join(_OWN_IMPORT.sub("", (folder / f"{part}.py").read_text()) for part in _PARTS)


@cache
def program() -> str:
    """The same program, compiled: a child that compares two answers need not compile a thousand lines first.

    Only for the interpreter that runs this, which is the sandbox's too.
    """
    code = marshal.dumps(compile(source(), "<maths>", "exec", dont_inherit=True))
    return f"import marshal\nexec(marshal.loads({code!r}))\n"
