"""The parts of a workbook that is a ZIP archive, inflated block by block."""

import copy
import zipfile
from collections.abc import Iterator

from producers.reading.refusals import refusal
from producers.reading.workbook.memory_limit import INFLATED_BYTES

_BLOCK = 1 << 20


def inflated(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a part in blocks that end where a tag begins, whatever size the archive states; where
    none begins for a long time, anywhere.

    Raises RefusedError beyond INFLATED_BYTES.
    """
    whole = copy.copy(part)
    whole.file_size = INFLATED_BYTES + _BLOCK
    left = INFLATED_BYTES
    rest = b""
    with archive.open(whole) as stream:
        while block := stream.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise too_large()
            end = block.rfind(b"<")
            if end == -1:
                end = len(block)
            yield rest + block[:end]
            rest = block[end:]
    yield rest


def too_large() -> Exception:
    """The refusal of parts that come to more than INFLATED_BYTES."""
    return refusal("too-large", found=f"plus de {INFLATED_BYTES >> 20} Mio")
