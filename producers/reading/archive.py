"""What a file holds: itself, or what is compressed or archived in it, one level deep.

Contents are inflated while they are read, so that memory stays flat whatever their size. An archive
is refused if its content exceeds 64 GiB, or 512 MiB and 250 times its own size: text compresses 100
times at most.
"""

import bz2
import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from producers.reading.archive_damage import refused_as
from producers.reading.refusals import BZIP2, EMPTY_ZIP, GZIP, ZIP, ZSTD, RefusedError, refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

INFLATED_FREELY = 512 << 20
INFLATED_TIMES = 250
INFLATED_BYTES = 64 << 30
MEMBERS = 1000

_BUFFER = 1 << 18
_HEAD = 512

Readable = io.BufferedIOBase | IO[bytes]


@dataclass(frozen=True)
class Content:
    """Bytes that can be opened again and again. `name`: what an archive calls them, else None."""

    name: str | None
    open: Callable[[], BinaryIO]

    def head(self) -> bytes:
        """The first 512 bytes."""
        with self.open() as file:
            return file.read(_HEAD)


class Contents(NamedTuple):
    """`compression` is gzip, bzip2, zstd or zip, None for a file that is not compressed."""

    compression: str | None
    members: Sequence[Content]


def contents_of(path: Path) -> Contents:
    """What the file at `path` holds, in the order of the archive.

    Raises RefusedError if that cannot be read or is a bomb, OSError.
    """
    plain = Content(None, lambda: path.open("rb"))
    head = plain.head()
    if head.startswith((ZIP, EMPTY_ZIP)):
        members = _members(path)
        return Contents(None, [plain]) if members is None else Contents("zip", members)
    compression = compression_of(head)
    if compression is None:
        return Contents(None, [plain])
    size = path.stat().st_size
    inflate = _COMPRESSIONS[compression].open
    return Contents(compression, [Content(None, lambda: _inflating(inflate(path), size))])


class _Compression(NamedTuple):
    signature: bytes
    open: Callable[[Path], io.BufferedIOBase]


_COMPRESSIONS = {
    "gzip": _Compression(GZIP, gzip.GzipFile),
    "bzip2": _Compression(BZIP2, bz2.BZ2File),
    "zstd": _Compression(ZSTD, zstd.ZstdFile),
}


def compression_of(head: bytes) -> str | None:
    """The compression that a file begins with; None if there is none, or for ZIP."""
    return next(
        (name for name, known in _COMPRESSIONS.items() if head.startswith(known.signature)), None
    )


def _members(path: Path) -> list[Content] | None:
    """The files of a ZIP archive that people put there; None if it is one document itself."""
    try:
        with refused_as("broken-archive"), zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except RefusedError:
        if path.suffix.lower() in _WORKBOOKS:
            return None  # its own reader explains it better
        raise
    names = {part.filename for part in parts}
    if {"[Content_Types].xml", "mimetype"} & names:
        return None
    if len(parts) > MEMBERS:
        raise refusal("too-large", found=f"{len(parts)} fichiers")
    parts = [part for part in parts if not _is_litter(part.filename)]
    # zipfile never yields more than the directory states.
    _check_size(sum(part.file_size for part in parts), path.stat().st_size)
    if len({part.filename for part in parts}) < len(parts):
        raise refusal("broken-archive")  # a row would not show which file it is of
    if any(part.flag_bits & 1 for part in parts):
        raise refusal("encrypted-archive")
    return [_member(path, part) for part in parts]


_WORKBOOKS = (".xlsx", ".xlsm", ".ods")


def _member(path: Path, part: zipfile.ZipInfo) -> Content:
    def inflate() -> BinaryIO:
        with refused_as("broken-archive"), zipfile.ZipFile(path) as archive:
            stream = archive.open(part)  # which stays open until it is closed itself
        return _inflating(stream, part.file_size)

    return Content(part.filename, inflate)


def _is_litter(name: str) -> bool:
    """Folders, and what macOS and Windows put into archives by themselves."""
    last = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or last.startswith(".") or last in ("", "Thumbs.db")


def _check_size(inflated: int, size: int) -> None:
    if inflated > min(max(INFLATED_FREELY, INFLATED_TIMES * size), INFLATED_BYTES):
        raise refusal("too-large", found=f"{inflated >> 20} Mio ou plus")


def _inflating(stream: Readable, size: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Inflating(stream, size), _BUFFER))


class _Inflating(io.RawIOBase):
    """A stream whose damage and excess are refusals. `size`: of the file that it inflates."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._size = size
        self._inflated = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        with refused_as("broken-archive"):
            block = self._stream.read(len(view))
        view[: len(block)] = block
        self._inflated += len(block)
        _check_size(self._inflated, self._size)
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()
