"""What speaks for the encoding of a text, collected from all of its lines in flat memory."""

import re
from typing import NamedTuple

from producers.reading.text.encoding.repairs import has_letters_encoded_twice, is_cesu8, set_aside

_UNDEFINED_IN_CP1252 = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
_ASCII_IN_LINES = bytes(code for code in range(0x80) if code not in b"\r\n")
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_END = 8
_IN_A_BOM = 2
_BELIEVED = re.compile("[\x80-\xffŒœŸ\u2010-\u2026€\U00010000-\U0010ffff]").match
_ENOUGH_LINES = 100
_SAMPLE_BYTES = 1 << 16
_OF_A_BLOCK = 1 << 13
_LONGEST_SAMPLE = 1 << 11


class Sample(NamedTuple):
    """A line that is not ASCII, cut after 2 KiB. `line` is its number, from 1."""

    line: int
    text: bytes


class Evidence:
    """`letters` are bytes of letters in UTF-8 beyond the first of each, `damaged` lines that are not
    UTF-8, counted up to 101, with `damaged_bytes`; `surrogates`: whether there are emoji in CESU-8; `undefined` are bytes
    that Windows-1252 does not have, `end` the last ones of the text; `twice`: whether letters look as if encoded twice.

    `samples` are lines that are not UTF-8 from all over the text, 64 KiB at most; `line_in_utf8` is
    one that is, of a text that has both.
    """

    def __init__(self) -> None:
        self.lines = self.letters = self.damaged = self.damaged_bytes = self.undefined = 0
        self.surrogates = self.twice = False
        self.samples: list[Sample] = []
        self.line_in_utf8: Sample | None = None
        self._sampled = 0
        self.end = b""

    def add(self, block: bytes) -> None:
        """Takes whole lines."""
        self.end = block[-_END:].lstrip(_CONTINUATIONS)
        # The few signs that matter, with what separates them: most of a block is ASCII.
        signs = block.translate(None, _ASCII_IN_LINES)
        if not block.isascii():
            try:
                text = block.decode()
            except UnicodeDecodeError:
                self._damaged(block, block.splitlines())
            else:
                self.letters += _letters(block, text)
                self.twice = self.twice or (
                    has_letters_encoded_twice(signs.decode()) and has_letters_encoded_twice(text)
                )
        ends, returns = signs.count(b"\n"), signs.count(b"\r")
        self.lines += ends
        if returns not in (0, ends):
            self.lines += returns - block.count(b"\r\n")

    def _damaged(self, block: bytes, lines: list[bytes]) -> None:
        self.undefined += len(block) - len(block.translate(None, _UNDEFINED_IN_CP1252))
        self.twice = self.twice or has_letters_encoded_twice(block.decode("latin-1"))
        room = min(_OF_A_BLOCK, _SAMPLE_BYTES - self._sampled)
        counting = self.damaged <= _ENOUGH_LINES
        if not counting and room <= 0:
            return
        for number, line in enumerate(lines, self.lines + 1):
            if line.isascii():
                continue
            damaged = self._is_damaged(number, line) if counting else True
            if damaged and room > 0:
                sample = Sample(number, line[:_LONGEST_SAMPLE])
                self.samples.append(sample)
                self._sampled += len(sample.text)
                room -= len(sample.text)

    def _is_damaged(self, number: int, line: bytes) -> bool:
        try:
            self.letters += _letters(line, line.decode())
        except UnicodeDecodeError:
            pass
        else:
            if self.line_in_utf8 is None:
                self.line_in_utf8 = Sample(number, line[:_LONGEST_SAMPLE])
            return False
        # "L’É" of a Mac is a letter of UTF-8 as well, but an Armenian one.
        sound = "".join(filter(_BELIEVED, line.decode("utf-8", "ignore")))
        self.letters += _letters(sound.encode(), sound)
        aside = set_aside(line)
        if is_cesu8(aside):
            self.surrogates = True
            return False
        self.damaged += 1
        self.damaged_bytes += len(aside)
        return True


def _letters(raw: bytes, text: str) -> int:
    return len(raw) - len(text) - _IN_A_BOM * text.count("\ufeff")
