"""Workbooks that Excel encrypts with its own password and opens without asking for one.

Excel gives "VelvetSweatshop" to a workbook of which a part is protected and that nobody gave a
password ([MS-OFFCRYPTO], 2.1.4).
"""

import io
import re

import msoffcrypto

from producers.reading.refusals import refusal

_PASSWORD = "VelvetSweatshop"  # noqa: S105 - everybody knows it  # nosec B105
_SPINS = re.compile(rb'spinCount="([0-9]{1,12})"')
_MOST_SPINS = 1_000_000
"""Excel has 100,000: a file chooses for how long its reader computes."""


def decrypted(content: bytes) -> bytes:
    """The workbook within an encrypted one. Raises RefusedError if it has another password."""
    if any(int(found) > _MOST_SPINS for found in _SPINS.findall(content)):
        raise refusal("encrypted-workbook")
    target = io.BytesIO()
    try:
        office = msoffcrypto.OfficeFile(io.BytesIO(content))
        # Its own check of the password fails with SHA-1; what another one decrypts is not a ZIP archive.
        office.load_key(password=_PASSWORD)
        office.decrypt(target)
    except MemoryError:
        raise
    except Exception as error:
        raise refusal("encrypted-workbook") from error
    return target.getvalue()
