"""Old workbooks (.xls) without the container that Excel 5 introduced.

OpenOffice.org's Documentation of the Excel File Format, 5.8 "BOF".
"""

import struct

BEGINNINGS = (0x0009, 0x0209, 0x0409, 0x0809)
"""The codes of the record with which a stream begins, from BIFF2 to BIFF8."""

_KINDS = (0x0005, 0x0010, 0x0020, 0x0040, 0x0100)


def is_stream(head: bytes) -> bool:
    """Whether a file that begins so is such a workbook."""
    if len(head) < 8:
        return False
    opcode, length, _, kind = struct.unpack("<HHHH", head[:8])
    return opcode in BEGINNINGS and 4 <= length <= 16 and kind in _KINDS
