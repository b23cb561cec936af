"""Files of the host that a program may read: the standard library, and the shared libraries that it links to.

Nothing else in the same folders: neither packages installed for this Python or the system's, nor private folders of
other software. Standard library only; the zygote calls it before it locks itself down, because it inspects the host.
"""

from __future__ import annotations

import os
import struct
import sys

_PACKAGES = ("site-packages", "dist-packages")
_NOT_MODULES = ("lib-dynload", "__pycache__")
"""Entries of the library folder that are needed although they are not modules."""
_DATA = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/usr/lib/locale", "/dev/urandom", "/dev/zero")
_OPENED_BY_NAME = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6"),
)
"""Shared libraries that programs, or the C library itself, open at run time without linking to them."""
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRINGS, _STRINGS_SIZE, _RPATH, _RUNPATH = 1, 5, 10, 15, 29
_MAX_LINKS = 40


class Readable:
    """The readable paths, in the three forms that the lockdown needs."""

    def __init__(self, extra: list[str]):
        folders = library_folders()
        wanted = [*shared_libraries(folders), *_DATA, *extra]
        ways = [way for way in map(resolved, wanted) if way]
        self.shown: set[str] = {path for way in (*map(resolved, folders), *ways) for path in way}
        """Files, folders and links to show in the sandbox's own root folder."""
        self.covered: list[str] = [f"{folder}/{name}" for folder in folders for name in _PACKAGES]
        """Folders below `shown` that appear empty."""
        self.allowed: set[str] = {path for folder in folders for path in modules_in(folder)} | {way[-1] for way in ways}
        """Files and whole folders that may be opened. No links, which could lead elsewhere."""


def library_folders() -> list[str]:
    """Folders of the standard library, resolved. Some systems keep compiled modules in a separate folder."""
    folders = [os.path.dirname(os.__file__)]
    folders += [os.path.dirname(path) for path in sys.path if os.path.basename(path) == "lib-dynload"]
    return [folder for folder in dict.fromkeys(map(os.path.realpath, folders)) if os.path.isdir(folder)]


def modules_in(folder: str) -> list[str]:
    """The entries of `folder` that belong to the standard library: the folder may hold others too."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            module = entry.name.partition(".")[0]
            own = module in sys.stdlib_module_names or module.startswith("_sysconfigdata") or module in _NOT_MODULES
            if own and (not entry.is_symlink() or os.path.realpath(entry.path).startswith(f"{folder}/")):
                found.append(entry.path)
    return found


def shared_libraries(folders: list[str]) -> list[str]:
    """Shared libraries that the standard library's compiled modules link to, directly or indirectly."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    places = [f"{sys.base_exec_prefix}/lib", "/usr/local/lib"]
    places += [f"{base}{lib}" for base in ("", "/usr") for lib in (f"/lib/{multiarch}", "/lib64", "/lib")]
    todo, found = [sys.executable], {}
    for folder in folders:
        if os.path.isdir(f"{folder}/lib-dynload"):
            todo += [f"{folder}/lib-dynload/{name}" for name in os.listdir(f"{folder}/lib-dynload") if ".so" in name]
    wanted = [(name, ()) for name in _OPENED_BY_NAME]
    while todo or wanted:
        if not wanted:
            wanted += links_of(todo.pop())
            continue
        name, own_places = wanted.pop()
        for path in [f"{place}/{name}" for place in (*own_places, *places)] if "/" not in name else [name]:
            if path not in found:
                found[path] = os.path.isfile(path)
                todo += [path] * found[path]
    return [path for path, there in found.items() if there]


def links_of(path: str) -> list[tuple[str, tuple[str, ...]]]:
    """Libraries that a 64-bit ELF file needs, as (name, its own search folders); empty for other files."""
    try:
        with open(path, "rb", 0) as f:
            head = f.read(4096)
            if head[:6] != b"\x7fELF\x02\x01":
                return []
            (at,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
            segments = [struct.unpack_from("<IIQQQQ", head, at + size * i) for i in range(count)]
            entries = []
            for kind, _, offset, _, _, length in segments:
                if kind == _DYNAMIC:
                    entries = list(struct.iter_unpack("<QQ", os.pread(f.fileno(), length // 16 * 16, offset)))
            table = dict(entries)
            strings, names = table.get(_STRINGS, 0), b""
            for kind, _, offset, address, _, length in segments:
                if kind == _LOAD and address <= strings < address + length:
                    names = os.pread(f.fileno(), table.get(_STRINGS_SIZE, 0), offset + strings - address)
    except (OSError, OverflowError, struct.error):
        return []
    text = lambda at: os.fsdecode(names[at : names.find(b"\0", at)])  # noqa: E731
    paths = [p for tag, at in entries if tag in (_RPATH, _RUNPATH) for p in text(at).split(":") if p]
    folder = os.path.dirname(os.path.realpath(path)) if paths else ""
    places = tuple(p.replace("${ORIGIN}", folder).replace("$ORIGIN", folder) for p in paths)
    return [(text(at), places) for tag, at in entries if tag == _NEEDED]


def resolved(path: str) -> list[str]:
    """The symbolic links on the way to a file, each in its resolved folder, then the file; empty if it is missing."""
    path = os.path.abspath(path)
    if not os.path.exists(path):
        return []
    found, done, todo = [], "", path.split("/")[1:]
    while todo and len(found) < _MAX_LINKS:
        name = todo.pop(0)
        if name == "..":
            done = os.path.dirname(done).rstrip("/")
        elif name not in ("", "."):
            done = f"{done}/{name}"
            if os.path.islink(done):
                found.append(done)
                target = os.readlink(done)
                todo = target.split("/") + todo
                done = "" if target.startswith("/") else os.path.dirname(done).rstrip("/")
    return [*found, done]
