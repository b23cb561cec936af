"""Text files, compressed or not, read line by line: their decompressed size and the length of a line are bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from problems.arrow_files import BIGGEST_ROW, room

LONGEST_LINE = BIGGEST_ROW
"""Maximum bytes of a line; of a longer line at most this many more are skipped."""
BIGGEST_WHOLE = 2**30
"""Maximum bytes of a file that must be read whole."""
_XZ_MEMORY = 2**28
"""Maximum memory for decompression in bytes; `xz -9` needs 65 MiB."""
_PART = 2**20


class TextFileError(ValueError):
    """A file that cannot be read or decompressed; the message is one line with its name."""


class _Xz(io.RawIOBase):
    """Decompresses .xz with bounded memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, out: memoryview) -> int:
        while True:
            if self._decoder.eof:  # another stream may follow, after zeros
                rest = (self._decoder.unused_data or self._file.read(_PART)).lstrip(b"\0")
                if not rest:
                    return 0
                self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            else:
                rest = self._file.read(_PART) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not rest:
                    raise EOFError("it ends too early")
            if data := self._decoder.decompress(rest, len(out)):
                out[: len(data)] = data
                return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _zstd(path: Path) -> BinaryIO:
    import pyarrow as pa

    return pa.input_stream(str(path), compression="zstd")


_UNPACKERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": _Xz, ".zst": _zstd}


class _Counted(io.RawIOBase):
    """The content of a compressed file. Raises TextFileError if there is too much of it."""

    def __init__(self, path: Path, unpacked: BinaryIO) -> None:
        self._path, self._unpacked = path, unpacked
        self._left = room(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, out: memoryview) -> int:
        data = self._unpacked.read(min(len(out), _PART))
        self._left -= len(data)
        if self._left < 0:
            raise TextFileError(
                f"{self._path}: it unpacks to more than {room(self._path.stat().st_size) >> 20:,} MiB, which is too "
                "much for its size; unpack it yourself if you trust it"
            )
        out[: len(data)] = data
        return len(data)


def inner_suffix(path: Path) -> str:
    """The suffix for a file's format, in lower case and without that of its compression."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() in _UNPACKERS else path.suffix.lower()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a text file. Raises TextFileError if it cannot be read or decompressed, also while it is read."""
    unpacker = _UNPACKERS.get(path.suffix.lower())
    try:
        with path.open("rb") if unpacker is None else unpacker(path) as file:
            yield file if unpacker is None else io.BufferedReader(_Counted(path, file), _PART)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise TextFileError(f"{path}: cannot be read ({error})") from None
    except MemoryError:
        raise TextFileError(f"{path}: cannot be read (it takes more memory than there is)") from None


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line) of each line that is not blank; None for a line of more than LONGEST_LINE bytes.

    Raises TextFileError, also for a line of more than twice that.
    """
    with opened(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) <= LONGEST_LINE:
                if line.strip():
                    yield number, line
                continue
            ended, passed = line.endswith(b"\n"), 0
            del line
            while not ended and (part := file.readline(_PART)):
                ended, passed = part.endswith(b"\n"), passed + len(part)
                if passed > LONGEST_LINE:
                    raise TextFileError(f"{path}:{number}: this line has more than {2 * LONGEST_LINE >> 20} MiB")
            yield number, None


def whole(path: Path) -> bytearray:
    """The whole content of a file. Raises TextFileError above BIGGEST_WHOLE bytes."""
    content = bytearray()
    with opened(path) as file:
        while part := file.read(_PART):
            content += part
            if len(content) > BIGGEST_WHOLE:
                raise TextFileError(
                    f"{path}: holds more than {BIGGEST_WHOLE >> 20:,} MiB, to be read whole; write it as JSON lines"
                )
    return content
