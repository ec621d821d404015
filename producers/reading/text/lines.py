"""The lines of a decoded text, one after another, with their letters repaired."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TextIO

from producers.reading.text.encoding.repairs import repaired_lines

BLOCK_CHARACTERS = 1 << 18
_PADDING = "\0\x1a"
_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_LINES = 20
_SAMPLE_LIMIT = 1 << 22


class Lines:
    """`read` is how many lines were read so far. A text is repaired if some lines of it need that.

    What programs of MS-DOS and block devices append, a Ctrl-Z or NULs, is not part of the last line.
    """

    def __init__(self, file: TextIO, *, repair: bool) -> None:
        self.read = 0
        self._file = file
        self._repair = repair
        self._marks: dict[int, str] = {}

    def block(self) -> list[str]:
        """The next lines, 256 K characters and the rest of a line at most; none at the end."""
        return self._sound(self._file.readlines(BLOCK_CHARACTERS))

    def line(self) -> str:
        """The next line, "" at the end."""
        lines = self._sound([text] if (text := self._file.readline()) else [])
        return lines[0] if lines else ""

    def skip(self, count: int) -> None:
        """Passes over so many lines."""
        for _ in range(count):
            self._file.readline()
        self.read += count

    def marks(self, before: int) -> Mapping[int, str]:
        """What was repaired or unreadable in the lines before the number `before`, each reported once."""
        if not self._marks:
            return {}
        found = {line: code for line, code in self._marks.items() if line < before}
        for line in found:
            del self._marks[line]
        return found

    def _sound(self, lines: list[str]) -> list[str]:
        if self._repair:
            for at, code in repaired_lines(lines):
                self._marks[self.read + 1 + at] = code
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] = lines[-1].rstrip(_PADDING)
            if not lines[-1]:
                lines.pop()
        self.read += len(lines)
        return lines


def sample(file: TextIO, *, repair: bool) -> Sequence[str]:
    """The first whole lines: 64 K characters, and more if these are less than 20 lines."""
    text = file.read(_SAMPLE_CHARACTERS)
    while len(text) < _SAMPLE_LIMIT and _ends(text) < _SAMPLE_LINES:
        more = file.read(_SAMPLE_CHARACTERS)
        if not more:
            break
        text += more
    else:
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        text = text[:end] if end else text
    lines = Lines(StringIO(text, newline=""), repair=repair)
    return [line for block in iter(lines.block, []) for line in block]


def _ends(text: str) -> int:
    return max(text.count("\n"), text.count("\r"))
