"""Cells that no spreadsheet runs, and the way back.

A spreadsheet must not run what a file holds: a cell that starts with = + - @, a tab or a carriage
return gets an apostrophe before it (OWASP, "CSV Injection"). Signed numbers and phone numbers such
as -12.5 and +33 6 12 34 56 78 stay as they are: digits and signs call nothing. A cell that looks
guarded already gets one more, so that a guarded cell is distinguished from one that always had it.
"""

import re

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_HARMLESS = re.compile(r"[+-][0-9 .,()/+-]*(?:[eE][+-]?[0-9]+)?")


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    bare = cell.lstrip("'")
    if bare.startswith(_DANGEROUS) and not _HARMLESS.fullmatch(bare):
        return f"'{cell}"
    return cell


def original(cell: str) -> str:
    """The cell of which `safe` made this one."""
    return cell[1:] if cell.startswith("'") and safe(cell[1:]) == cell else cell
