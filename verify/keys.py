"""Removes keys from processes that drive sandboxes: a program that escapes finds none in its parent's memory."""

from __future__ import annotations

import os
import re

KEY_NAME = re.compile(r"(?i)(^|_)(tokens?|keys?|secrets?|passw(or)?ds?|passphrase|credentials?|auth|sas)(_|$)|apikey")
PASSWORD_IN_URL = re.compile(r"://[^/\s@]+@")
KEPT = ("RAY_", "CRUCIBLE_")
"""Prefixes of variables that are kept. Ray's token is among them: its processes need it."""


def drop_keys() -> list[str]:
    """Removes keys from this process's environment; returns their names. For processes that only judge."""
    dropped = [
        name
        for name, value in os.environ.items()
        if not name.startswith(KEPT) and (KEY_NAME.search(name) or PASSWORD_IN_URL.search(value))
    ]
    for name in dropped:
        del os.environ[name]
    return dropped
