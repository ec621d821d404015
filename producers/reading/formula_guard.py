"""Cells that no spreadsheet runs, and the way back.

A spreadsheet must not run what a file holds (OWASP, "CSV Injection"): an apostrophe goes before
what starts as a formula, = + - @ in any width, whatever blanks, quotes and apostrophes come before it,
and before a cell that starts with a tab or a line end. A spreadsheet of another country may split a
cell at a comma, a semicolon or a tab, so that each of its pieces counts as a cell. Signed numbers and
phone numbers such as -12.5 and +33 6 12 34 56 78 stay as they are: digits call nothing. What looks
guarded already gets one more, so that a guarded cell is distinguished from one that always had it.
"""

import re

_SEPARATORS = ",;|\t\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029"
_BEFORE = (
    "'\" \x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\xa0\xad\u1680\u180e\u2000-\u200f\u202a-\u202f"
    "\u205f-\u206f\u3000\ufeff"
)
_SIGNS = (
    "=+\\-@\u207a-\u207c\u208a-\u208c\u2212\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
_HARMLESS = rf"[+-][0-9 .()]*+(?:[eE][+-]?[0-9]++)?(?:[{_SEPARATORS}]|\Z)"
_STARTS = (
    rf"(?:\A(?='*+[\t\r\n])|(?:\A|(?<=[{_SEPARATORS}]))(?!{_HARMLESS})(?=[{_BEFORE}]*+[{_SIGNS}]))"
)
_UNGUARDED = re.compile(_STARTS)
_GUARDED = re.compile(
    rf"\A'(?='*+[\t\r\n])|(?:\A|(?<=[{_SEPARATORS}]))'(?!{_HARMLESS})(?=[{_BEFORE}]*+[{_SIGNS}])"
)


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, nor a piece of it."""
    return _UNGUARDED.sub("'", cell)


def original(cell: str) -> str:
    """The cell of which `safe` made this one."""
    return _GUARDED.sub("", cell)
