"""Unpacks an archive that a node has packed (`cluster.pack`), without trusting the node."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from cluster.names import BadName, check_path, quoted

MOST_FILES = 200_000
"""Members of one archive."""
BLOCK = 1 << 20


class ArchiveError(ValueError):
    """An archive that is refused; the message is one line with the member and the reason."""


def unpack(archive: Path, target: Path) -> int:
    """Unpacks a plain tar into the new folder `target`; returns the bytes of its files.

    Only regular files are unpacked, under names that `check_path` accepts, without the archive's modes, owners and
    times. Raises ArchiveError for links, devices, folders and sparse files, for a duplicate name, for more members than
    MOST_FILES, and for a damaged archive; `target` may then hold some of the files.
    """
    target.mkdir()
    done = 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for count, member in enumerate(tar, 1):
                if count > MOST_FILES:
                    raise ArchiveError(f"the archive has more than {MOST_FILES} members")
                done += _unpack_file(tar, member, target)
    except (tarfile.TarError, EOFError, OverflowError, RecursionError, UnicodeError) as error:
        raise ArchiveError(f"the archive is damaged ({' '.join(str(error).split())[:200]}); fetch again") from None
    except OSError as error:
        raise ArchiveError(f"the archive cannot be unpacked ({error.strerror or error})") from None
    return done


def _unpack_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> int:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise ArchiveError(f"the archive's member {quoted(member.name)} is no plain file; nothing of it is kept")
    try:
        check_path(member.name, "the archive's member")
    except BadName as error:
        raise ArchiveError(str(error)) from None
    path = target / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None, "a regular file"
    # Exclusive: fails for a duplicate name, also in two spellings that are one name to the file system.
    with open(path, "xb") as file:
        shutil.copyfileobj(source, file, BLOCK)
    if path.stat().st_size != member.size:
        raise ArchiveError(f"the archive's member {quoted(member.name)} is cut off; fetch again")
    return member.size
