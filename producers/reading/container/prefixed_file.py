"""A workbook or an archive with something before it, such as the line end that a PHP script prints."""

import io
from pathlib import Path
from typing import BinaryIO, cast

from producers.reading.refusals import OLE, ZIP

_BUFFER = 1 << 16
_TEXT = frozenset(b"\t\n\r\f ")
_MARK = b"\xef\xbb\xbf"


def start_of(head: bytes) -> int:
    """Where the workbook or archive begins in a file that begins with these bytes; else 0.

    Blanks and a byte order mark may precede an old workbook, and any text a ZIP archive, as its
    directory is at the end.
    """
    start = head.find(ZIP)
    if start > 0 and b"\0" not in head[:start]:
        return start
    blanks = head.removeprefix(_MARK).lstrip(bytes(_TEXT))
    return len(head) - len(blanks) if blanks.startswith(OLE) else 0


def opened(path: Path, start: int) -> BinaryIO:
    """The file from the byte `start` on."""
    file = path.open("rb")
    if not start:
        return file
    return cast(BinaryIO, io.BufferedReader(_From(file, start), _BUFFER))


class _From(io.RawIOBase):
    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            if offset < 0:
                raise ValueError(offset)
            offset += self._start
        return max(0, self._file.seek(offset, whence) - self._start)

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        block = self._file.read(len(view))
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()
