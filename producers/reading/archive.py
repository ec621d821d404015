"""Whether a workbook fits into memory, before anything loads it.

An .xlsx file is a ZIP archive. calamine holds each sheet as a rectangle of cells and aborts the
whole process where memory runs out: 2 KB whose last cell is XFD1048576 ask for 550 GB. So every
part is inflated once, to see how much there is and how far its cells reach.
"""

import copy
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from producers.reading.refusals import refusal

INFLATED_BYTES = 512 << 20
CELLS = 16_000_000  # of 32 bytes each in calamine

_BLOCK = 1 << 20
_COLUMNS = 16_384

# References that keep any sheet below CELLS, in the form in which all that write .xlsx write
# them: it takes a fraction of the time to look for a cell that is not of the form than for the
# farthest cell.
_NEAR = tuple(
    re.compile(rb'<c(?! r="' + reference + rb'"[\s/>])[\s/>]')
    for reference in (
        rb"[A-Z](?:[0-9]{1,5}|[1-4][0-9]{5})",
        rb"[A-D]?[A-Z][0-9]{1,5}",
        rb"[A-Z]{1,2}[0-9]{1,4}",
    )
)
_PREFIXED = b":c"
_REFERENCE = rb"""(?:[^<>]*?\sr\s*=\s*["']([A-Za-z]{0,3})([0-9]{1,9}))?"""
_CELLS_AND_ROWS = re.compile(rb"<(?:\w+:)?(c|row)(?=[\s/>])" + _REFERENCE)


def check(file: BinaryIO) -> None:
    """Raises RefusedError where the file is no .xlsx workbook, is broken or is too large."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            _check_kind({part.filename for part in parts})
            if sum(part.file_size for part in parts) > INFLATED_BYTES:
                raise _too_large()
            left = INFLATED_BYTES
            for part in parts:
                left -= _size(archive, part, left)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # The last two: a compression that zipfile does not know, a part with a password.
        raise refusal("broken-workbook") from error


def _check_kind(names: set[str]) -> None:
    if "xl/workbook.bin" in names:
        raise refusal("unsupported-format", found="un classeur Excel binaire (.xlsb)")
    if not any(name.startswith("xl/") for name in names):
        found = "un classeur OpenDocument (.ods)" if "mimetype" in names else "une archive ZIP"
        raise refusal("unsupported-format", found=found)


def _size(archive: zipfile.ZipFile, part: zipfile.ZipInfo, left: int) -> int:
    """How many bytes a part really inflates to. Raises RefusedError beyond `left`."""
    size = 0
    near = _NEAR
    for xml in _inflated(archive, part):
        size += len(xml)
        if size > left:
            raise _too_large()
        # The first form that fits is that of all: a second one is not tried for each block.
        near = near and (() if _PREFIXED in xml else _fitting(near, xml))
    if not near:
        _check_reach(archive, part)
    return size


def _fitting(forms: tuple[re.Pattern[bytes], ...], xml: bytes) -> tuple[re.Pattern[bytes], ...]:
    return next(((form,) for form in forms if not form.search(xml)), ())


def _inflated(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a part in blocks that end where a tag does, whatever size the archive states."""
    whole = copy.copy(part)
    whole.file_size = INFLATED_BYTES + _BLOCK
    rest = b""
    with archive.open(whole) as stream:
        while block := stream.read(_BLOCK):
            end = block.rfind(b"<")
            if end == -1:
                end = len(block)
            yield rest + block[:end]
            rest = block[end:]
    yield rest


def _check_reach(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    rows = columns = row_tags = run = 0
    for xml in _inflated(archive, part):
        for tag, letters, number in _CELLS_AND_ROWS.findall(xml):
            rows = max(rows, int(number or 0))
            if tag == b"row":
                row_tags += 1
                run = 0
            else:
                # A cell without a reference stands to the right of the one before it.
                run = _column(letters) if letters else run + 1
                columns = max(columns, run)
    rows = max(rows, row_tags)
    columns = min(columns, _COLUMNS)
    if rows * columns > CELLS:
        raise refusal("too-large", found=f"{rows} lignes de {columns} colonnes")


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


def _too_large() -> Exception:
    return refusal("too-large", found=f"plus de {INFLATED_BYTES >> 20} Mio")
