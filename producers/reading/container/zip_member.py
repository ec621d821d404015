"""One file of a ZIP archive: its name as people see it, and its bytes, also those of Deflate64.

Windows Explorer compresses what exceeds 2 GB by Deflate64, which Python does not read.
"""

import io
import zipfile
import zlib
from typing import IO, BinaryIO

from inflate64 import Inflater

from producers.reading.refusals import refusal

DEFLATE64 = 9
READ = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, DEFLATE64, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)

# APPNOTE.TXT 6.3.10, 4.4.5.
METHODS = {
    1: "Shrink",
    2: "Reduce",
    3: "Reduce",
    4: "Reduce",
    5: "Reduce",
    6: "Implode",
    10: "PKWARE DCL",
    18: "IBM TERSE",
    93: "Zstandard",
    94: "MP3",
    95: "XZ",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
    99: "AES",
}

_UTF_8 = 1 << 11
_LOCAL_HEADER = 30
_SIGNATURE = b"PK\x03\x04"
# A byte of Deflate64 may expand to 30,000.
_BLOCK = 1 << 10


def check_method(part: zipfile.ZipInfo) -> None:
    """Raises RefusedError if it is compressed in a way that is not read."""
    if part.compress_type not in READ:
        found = METHODS.get(part.compress_type, f"méthode {part.compress_type}")
        raise refusal("unsupported-compression", found=found)


def name_of(part: zipfile.ZipInfo) -> str:
    """Its name. Without a mark for UTF-8 it is nevertheless that on macOS, and else of code page 850.

    Python takes it for code page 437, that of the United States.
    """
    if part.flag_bits & _UTF_8 or part.filename.isascii():
        return part.filename
    try:
        name = part.filename.encode("cp437")
    except UnicodeEncodeError:  # zipfile cut it at a NUL, or Python knows of another mark
        return part.filename
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp850")


def stream_of(part: zipfile.ZipInfo, file: BinaryIO) -> io.RawIOBase | IO[bytes]:
    """The bytes of a member of the archive that `file` is, which stays open. Raises as zipfile does."""
    if part.compress_type == DEFLATE64:
        return _Deflate64(file, part)
    with zipfile.ZipFile(file) as archive:
        return archive.open(part)


class _Deflate64(io.RawIOBase):
    """Raises zipfile.BadZipFile if the data is not as the directory states."""

    def __init__(self, file: BinaryIO, part: zipfile.ZipInfo) -> None:
        self._file = file
        self._part = part
        self._inflate = Inflater()
        self._left = part.compress_size
        self._ready = memoryview(b"")
        self._size = self._sum = 0
        file.seek(part.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(_SIGNATURE):
            raise zipfile.BadZipFile
        lengths = header[26:28], header[28:30]
        file.seek(sum(int.from_bytes(length, "little") for length in lengths), io.SEEK_CUR)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._ready and self._left and not self._inflate.eof:
            block = self._file.read(min(_BLOCK, self._left))
            if not block:
                raise EOFError
            self._left -= len(block)
            self._ready = memoryview(self._inflate.inflate(block))
        some, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        view[: len(some)] = some
        self._size += len(some)
        self._sum = zlib.crc32(some, self._sum)
        if not some and (self._size, self._sum) != (self._part.file_size, self._part.CRC):
            raise zipfile.BadZipFile
        return len(some)
