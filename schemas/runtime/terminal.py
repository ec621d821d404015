"""The one place that writes to terminals: what a file or a sender has written never controls one.

Escape sequences move the cursor or retitle the window, marks of direction show a name backwards,
and a line end begins a line that foxstream did not write.
"""

import json
import sys
import unicodedata


def shown(text: str) -> str:
    """One line: whatever is not printed as a character is written as JSON escapes it."""
    if text.isprintable():
        return text
    return "".join(map(_character, text))


def _character(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return json.dumps(character)[1:-1]


def say(*lines: str, err: bool = False) -> None:
    """Writes lines to standard output or standard error; a JSON document keeps its meaning."""
    for line in lines:
        print(shown(line), file=sys.stderr if err else sys.stdout, flush=err)


def write_out(document: bytes) -> None:
    """Writes a whole document to standard output, unchanged unless that is a terminal."""
    if sys.stdout.isatty():
        say(*document.decode("utf-8-sig").splitlines())
    else:
        sys.stdout.buffer.write(document)
