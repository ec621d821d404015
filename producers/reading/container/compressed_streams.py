"""gzip, bzip2 and zstd: one or more streams after another, and what follows the last one.

gunzip, bunzip2 and zstd read as many streams as there are. What follows and is none is left out by
gunzip ("trailing garbage ignored") and bunzip2; a damaged stream looks the same, so that it counts.
"""

import bz2
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from producers.reading.refusals import BZIP2, GZIP, ZSTD

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BLOCK = 1 << 16
_SIGNATURE = 4
# RFC 8878, 3.1.2: frames for other programs, 0x184D2A50 to 0x184D2A5F.
_SKIPPABLE = b"\x2a\x4d\x18"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib's, with the names that those of bz2 and zstd have."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)  # 16 for gzip, 15 for the largest window

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class Compression(NamedTuple):
    """`signature` begins each stream."""

    signature: bytes
    decompressor: Callable[[], _Decompressor]


COMPRESSIONS = {
    "gzip": Compression(GZIP, _Gunzip),
    "bzip2": Compression(BZIP2, bz2.BZ2Decompressor),
    "zstd": Compression(ZSTD, zstd.ZstdDecompressor),
}


def compression_of(head: bytes) -> str | None:
    """The compression that a file begins with; None if there is none, or for ZIP."""
    return next(
        (name for name, known in COMPRESSIONS.items() if head.startswith(known.signature)), None
    )


@dataclass
class Surplus:
    """Whether bytes were `found` behind the last stream."""

    found: bool = False


class CompressedStreams:
    """What a file of one compression inflates to. Raises EOFError if it ends within a stream."""

    def __init__(self, file: BinaryIO, compression: Compression, surplus: Surplus) -> None:
        self._file = file
        self._compression = compression
        self._surplus = surplus
        self._stream = compression.decompressor()
        self._ended = False

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        while not self._ended:
            block = self._following() if self._stream.eof else self._wanted()
            if block is None:
                self._ended = True
            elif data := self._stream.decompress(block, size):
                return data
        return b""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _wanted(self) -> bytes:
        if not self._stream.needs_input:
            return b""
        block = self._file.read(_BLOCK)
        if not block:
            raise EOFError
        return block

    def _following(self) -> bytes | None:
        """What the next stream begins with; None if this was the last one."""
        rest = self._stream.unused_data.lstrip(b"\0") or self._padding()
        if len(rest) < _SIGNATURE:
            rest += self._file.read(_BLOCK)
        skippable = self._compression.signature == ZSTD and rest[1:_SIGNATURE] == _SKIPPABLE
        if not (skippable or rest.startswith(self._compression.signature)):
            self._surplus.found |= bool(rest)
            return None
        self._stream = self._compression.decompressor()
        return rest

    def _padding(self) -> bytes:
        """What follows zeros, with which tapes and block devices are filled up."""
        while block := self._file.read(_BLOCK):
            if rest := block.lstrip(b"\0"):
                return rest
        return b""
