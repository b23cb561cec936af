"""Names that come from outside: of runs, of objects in a store, of an archive's members. Pure.

A name becomes a path of this machine, a key of an object store or a line on a terminal; what passes here stays in its
folder on all of them.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 200
"""Bytes of one name: file systems take 255, and suffixes are added."""
LONGEST_PATH = 1024
"""Bytes of a path, as S3 takes them."""
DEEPEST = 32
"""Names in a path."""
_SLASHES = "/\\\u2044\u2215\u29f5\u29f8"
"""Slashes, and what looks like one."""
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, with any ending."""


class BadName(ValueError):
    """A name that cannot be used; the message is one line that shows it escaped, and says why."""


def check_name(name: str, what: str) -> str:
    """The name itself, where it can be one file or folder anywhere. Raises BadName.

    `what` begins the message: "the run's name", say.
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
    """The path itself, where it is relative and of names that `check_name` takes, `/` between them. Raises BadName."""
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
    """The name itself, where a run may have it: a path below the folder of runs. Raises BadName."""
    check_path(name, "the run's name")
    if hidden := next((part for part in name.split("/") if part.startswith((".", "-", "~"))), None):
        raise BadName(f"the run's name {quoted(name)} begins with {hidden[0]!r}; begin it with a letter or digit")
    return name


def quoted(name: str) -> str:
    """A name for people: quoted, in ASCII alone, and short."""
    text = ascii(name if len(name) <= 80 else name[:77] + "...")
    return text if len(text) <= 120 else text[:117] + "..."
