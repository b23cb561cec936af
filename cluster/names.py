"""Names from outside: of runs, of objects in a store, of an archive's members. Pure.

A name becomes a local path, a key of an object store, or a line on a terminal. A name that passes these checks stays in
its folder on all of them.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 200
"""Maximum bytes of one name: file systems allow 255, and suffixes are added."""
LONGEST_PATH = 1024
"""Maximum bytes of a path, as for S3."""
DEEPEST = 32
"""Maximum names in a path."""
_SLASHES = "/\\\u2044\u2215\u29f5\u29f8"
"""Slashes, and characters that look like one."""
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, with any ending."""


class BadName(ValueError):
    """A name that cannot be used; the message is one line with the escaped name and the reason."""


def check_name(name: str, what: str) -> str:
    """Returns the name if it can be that of a file or folder on any system. Raises BadName.

    `what` begins the message, for example "the run's name".
    """
    plain = unicodedata.normalize("NFKC", name[: LONGEST_NAME + 1])
    if not name:
        fault = "is empty"
    elif len(name) > LONGEST_NAME:
        fault = f"is longer than {LONGEST_NAME} bytes"
    elif not name.isprintable():
        fault = "holds characters that do not print"
    elif any(slash in text for slash in _SLASHES for text in (name, plain)):
        fault = "holds a slash or backslash"
    elif set(plain.strip()) <= {"."}:
        fault = "names no file"
    elif name != name.strip() or name.endswith("."):
        fault = "begins or ends with a space, or ends with a dot"
    elif len(name.encode()) > LONGEST_NAME:
        fault = f"is longer than {LONGEST_NAME} bytes"
    elif _DEVICE.fullmatch(plain):
        fault = "is the name of a device on some systems"
    else:
        return name
    raise BadName(f"{what} {quoted(name)} {fault}; choose another one")


def check_path(path: str, what: str) -> str:
    """Returns the path if it is relative and all its names, separated by `/`, pass `check_name`. Raises BadName."""
    if len(path.encode("utf-8", "surrogatepass")) > LONGEST_PATH or path.count("/") >= DEEPEST:
        raise BadName(
            f"{what} {quoted(path)} is longer than {LONGEST_PATH} bytes or deeper than {DEEPEST} folders; remove it"
        )
    for name in path.split("/"):
        try:
            check_name(name, what)
        except BadName as error:
            raise BadName(str(error) if name == path else f"{error} (it is in {quoted(path)})") from None
    return path


def check_run_name(name: str) -> str:
    """Returns the name if it can be a run's: a path below the folder of runs. Raises BadName."""
    check_path(name, "the run's name")
    if hidden := next((part for part in name.split("/") if part.startswith((".", "-", "~"))), None):
        raise BadName(f"the run's name {quoted(name)} begins with {hidden[0]!r}; begin it with a letter or digit")
    return name


def quoted(name: str) -> str:
    """A name for messages: quoted, in ASCII, and short."""
    text = ascii(name if len(name) <= 80 else name[:77] + "...")
    return text if len(text) <= 120 else text[:117] + "..."
