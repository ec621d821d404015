"""What a file holds: itself, or what is compressed or archived in it, one level deep.

Contents are inflated while they are read, so that memory stays flat whatever their size. An archive
is refused if its content exceeds 64 GiB, or 512 MiB and 250 times its own size: text compresses 100
times at most.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from producers.reading.container import prefixed_file
from producers.reading.container.archive_damage import refused_as
from producers.reading.container.compressed_streams import (
    COMPRESSIONS,
    CompressedStreams,
    Surplus,
    compression_of,
)
from producers.reading.container.foreign_format import HEAD, check_document, check_format
from producers.reading.container.signatures import signature_of
from producers.reading.container.workbook_beginnings import may_be_workbook
from producers.reading.container.zip_member import check_method, name_of, stream_of
from producers.reading.refusals import EMPTY_ZIP, ZIP, RefusedError, refusal

INFLATED_FREELY = 512 << 20
INFLATED_TIMES = 250
INFLATED_BYTES = 64 << 30
MEMBERS = 1000

_BUFFER = 1 << 18


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Content:
    """Bytes that can be opened again and again. `name`: what an archive calls them, else None."""

    name: str | None
    open: Callable[[], BinaryIO]

    def head(self) -> bytes:
        """The first HEAD bytes."""
        with self.open() as file:
            return file.read(HEAD)


class Contents(NamedTuple):
    """`compression` is gzip, bzip2, zstd or zip, None for a file that is not compressed.

    `surplus` shows, once the members have been read to their end, whether bytes follow the compressed ones.
    """

    compression: str | None
    members: Sequence[Content]
    surplus: Surplus


def contents_of(path: Path) -> Contents:
    """What the file at `path` holds, in the order of the archive.

    Raises RefusedError if that cannot be read or is a bomb, OSError.
    """
    head = Content(None, partial(prefixed_file.opened, path, 0)).head()
    surplus = Surplus()
    compression = compression_of(head)
    if compression is not None:
        source = partial(_decompressed, path, compression, surplus)
        return Contents(compression, [Content(None, source)], surplus)
    start = 0
    if not may_be_workbook(head):
        start = 0 if signature_of(head) else prefixed_file.start_of(head)
        if not start:
            check_format(head)
    plain = Content(None, partial(prefixed_file.opened, path, start))
    if head[start:].startswith((ZIP, EMPTY_ZIP)):
        members = _members(path, plain)
        if members is not None:
            return Contents("zip", members, surplus)
    return Contents(None, [plain], surplus)


def _decompressed(path: Path, compression: str, surplus: Surplus) -> BinaryIO:
    file = path.open("rb")
    streams = CompressedStreams(file, COMPRESSIONS[compression], surplus)
    return _inflating(path.stat().st_size, streams)


def _members(path: Path, whole: Content) -> list[Content] | None:
    """The files of a ZIP archive that people put there; None if it is one document itself."""
    try:
        with (
            refused_as("broken-archive"),
            whole.open() as file,
            zipfile.ZipFile(file) as archive,
        ):
            parts = archive.infolist()
            check_document(archive)
    except RefusedError as reason:
        if reason.code == "broken-archive" and path.suffix.lower() in _WORKBOOKS:
            return None  # its own reader explains it better
        raise
    names = {part.filename for part in parts}
    if {"[Content_Types].xml", "mimetype", "xl/workbook.xml"} & names:
        return None
    if len(parts) > MEMBERS:
        raise refusal("too-large", found=f"{len(parts)} fichiers")
    parts = [part for part in parts if not _is_litter(part.filename)]
    # zipfile never yields more than the directory states.
    _check_size(sum(part.file_size for part in parts), path.stat().st_size)
    named = {name_of(part): part for part in parts}
    if len(named) < len(parts):
        raise refusal("broken-archive")  # a row would not show which file it is of
    if any(part.flag_bits & 1 for part in parts):
        raise refusal("encrypted-archive")
    for part in parts:
        check_method(part)
    return [Content(name, partial(_member, whole, part)) for name, part in named.items()]


_WORKBOOKS = (".xlsx", ".xlsm", ".ods")


def _member(whole: Content, part: zipfile.ZipInfo) -> BinaryIO:
    file = whole.open()
    try:
        with refused_as("broken-archive"):
            stream = stream_of(part, file)
    except BaseException:
        file.close()
        raise
    return _inflating(part.file_size, stream, file)


def _is_litter(name: str) -> bool:
    """Folders, and what macOS and Windows put into archives by themselves."""
    last = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or last.startswith(".") or last in ("", "Thumbs.db")


def _check_size(inflated: int, size: int) -> None:
    if inflated > min(max(INFLATED_FREELY, INFLATED_TIMES * size), INFLATED_BYTES):
        raise refusal("too-large", found=f"{inflated >> 20} Mio ou plus")


def _inflating(size: int, stream: _Readable, *beneath: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Inflating(size, stream, beneath), _BUFFER))


class _Inflating(io.RawIOBase):
    """A stream whose damage and excess are refusals. `size`: of the file that it inflates.

    It closes what is `beneath` with itself.
    """

    def __init__(self, size: int, stream: _Readable, beneath: Sequence[BinaryIO]) -> None:
        self._stream = stream
        self._beneath = beneath
        self._size = size
        self._inflated = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        with refused_as("broken-archive"):
            block = self._stream.read(len(view)) or b""
        view[: len(block)] = block
        self._inflated += len(block)
        _check_size(self._inflated, self._size)
        return len(block)

    def close(self) -> None:
        for stream in (self._stream, *self._beneath):
            stream.close()
        super().close()
