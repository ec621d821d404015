"""How workbooks begin: ZIP archives, OLE files, and old ones without the container of Excel 5.

OpenOffice.org's Documentation of the Excel File Format, 5.8 "BOF".
"""

import struct

from producers.reading.refusals import EMPTY_ZIP, OLE, ZIP

BARE = (0x0009, 0x0209, 0x0409, 0x0809)
"""The codes of the record with which a workbook without a container begins, from BIFF2 to BIFF8."""

_KINDS = (0x0005, 0x0010, 0x0020, 0x0040, 0x0100)


def may_be_workbook(head: bytes) -> bool:
    """Whether a file that begins so may be a workbook."""
    return head.startswith((ZIP, EMPTY_ZIP, OLE)) or _is_bare(head)


def _is_bare(head: bytes) -> bool:
    if len(head) < 8:
        return False
    opcode, length, _, kind = struct.unpack("<HHHH", head[:8])
    return opcode in BARE and 4 <= length <= 16 and kind in _KINDS
