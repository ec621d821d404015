"""Lines whose letters are damaged, repaired where there is one plausible reading.

A text is decoded with the bytes that are not of its encoding kept aside, as Python's error handler
`surrogateescape` does. Such a byte may be a letter of Windows-1252, pasted into UTF-8; six of them an
emoji as Oracle and Java write it (CESU-8). Besides, programs that take UTF-8 for another encoding
and encode it again write "Ã©", "√©" or "├®" for "é".
"""

import codecs
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from producers.reading.text.encoding.french import of_sign

UNREADABLE = "unreadable-character"
REPAIRED = "encoding-repaired"

ASIDE = "foxstream-aside"
"""The error handler that keeps bytes aside which are not of the encoding."""

UNREADABLE_SIGN = "\udc81"
"""Where bytes cannot be kept aside: a byte that Windows-1252 does not have."""


def _aside(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        damaged = error.object[error.start : error.end]
        wide = error.encoding.startswith(("utf-16", "utf-32"))
        if not wide and min(damaged) > 0x7F:
            return damaged.decode("ascii", "surrogateescape"), error.end
        return UNREADABLE_SIGN, error.end
    raise error


codecs.register_error(ASIDE, _aside)

_ASIDE = re.compile("[\udc80-\udcff]+")
_CESU8 = re.compile(b"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_PLAUSIBLE = -5.0
_CLEARLY = 1.0
_OTHERS = ("mac_roman", "cp850")


class Repaired(NamedTuple):
    """A line without bytes kept aside. `code` is UNREADABLE or REPAIRED, None if it was sound."""

    text: str
    code: str | None


def repaired(line: str) -> Repaired:
    """The line, in which damaged bytes and letters encoded twice are replaced by the letters that they were."""
    text = _ASIDE.sub(_letters, line) if not line.isascii() else line
    if "\ufffd" in text and text.count("\ufffd") > line.count("\ufffd"):
        return Repaired(text, UNREADABLE)
    text = once(text)
    return Repaired(text, None if text is line or text == line else REPAIRED)


def set_aside(line: bytes) -> bytes:
    """The bytes of the line that are not UTF-8."""
    found = _ASIDE.findall(line.decode("utf-8", "surrogateescape"))
    return "".join(found).encode("ascii", "surrogateescape")


def is_cesu8(damaged: bytes) -> bool:
    """Whether these bytes, which are not UTF-8, are nothing but emoji in CESU-8."""
    return len(damaged) % 6 == 0 and len(_CESU8.findall(damaged)) * 6 == len(damaged)


def is_cut(damaged: bytes) -> bool:
    """Whether the bytes end in the middle of a letter of UTF-8."""
    try:
        damaged.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _letters(found: re.Match[str]) -> str:
    damaged = found[0].encode("ascii", "surrogateescape")
    if found.end() == len(found.string) and is_cut(damaged):
        return "\ufffd"
    if is_cesu8(damaged):
        pairs = damaged.decode("utf-8", "surrogatepass")
        return pairs.encode("utf-16", "surrogatepass").decode("utf-16")
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    letters = damaged.decode("cp1252", "replace")
    framed = before + letters + after
    for at, byte in enumerate(damaged, len(before)):
        if not is_plausible(byte, framed[at - 1 : at] if at else "", framed[at + 1 : at + 2]):
            return "\ufffd"
    return letters


def is_plausible(byte: int, before: str, after: str) -> bool:
    """Whether Windows-1252's reading of a byte fits, and better than those of other encodings."""
    single = bytes([byte])
    merit = of_sign(single.decode("cp1252", "replace"), before, after)
    others = [of_sign(single.decode(name), before, after) for name in _OTHERS]
    return merit >= _PLAUSIBLE and merit >= max(others) + _CLEARLY


_FRENCH = "àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸŒÆ’‘“”«»–—…°€\u00a0"
_WESTERN = "áíóúñãõåøßÁÍÓÚÑÃÕÅØŠšŽž•·²³´®©™½¼\u202f"


def is_western(text: str) -> bool:
    """Whether the letters of the text beyond ASCII are those of French and its neighbours."""
    return all(sign.isascii() or sign in _FRENCH or sign in _WESTERN for sign in text)


class _Detour(NamedTuple):
    """UTF-8 read as another encoding: what its letters look like, one and several in a row, the bytes that
    they were, and the letters that are believed: "√∫" is more likely mathematics than "ú" in Mac OS Roman.
    """

    letter: re.Pattern[str]
    letters: re.Pattern[str]
    byte: dict[int, int]
    believed: frozenset[str]


def _detour(encoding: str) -> _Detour:
    signs = [bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in range(0x80, 0x100)]
    rest = re.escape("".join(signs[:0x40]))
    c1 = "\x80-\x9f" if encoding == "cp1252" else ""
    two, three, four = (re.escape(signs[at - 0x80]) for at in (0xC3, 0xE2, 0xF0))
    two += re.escape(signs[0xC2 - 0x80] + signs[0xC5 - 0x80])
    rest = f"[{rest}{c1}]"
    letter = f"(?:[{two}]{rest}|{three}{rest}{{2}}|{four}{rest}{{3}})"
    byte = {ord(sign): 0x80 + at for at, sign in enumerate(signs)}
    if c1:
        byte = {control: control for control in range(0x80, 0xA0)} | byte
    believed = frozenset(_FRENCH + (_WESTERN if c1 else ""))
    return _Detour(re.compile(letter), re.compile(f"{letter}+"), byte, believed)


_DETOURS = tuple(map(_detour, ("cp1252", "mac_roman", "cp850")))
_BEGINNINGS = ("Ã", "Â", "Å", "â€", "â\x80", "â‚", "ðŸ", "√", "¬", "‚Ä", "├", "┬", "ÔÇ")
_LARGEST = 0xFFFF


def has_letters_encoded_twice(text: str) -> bool:
    """Whether the text holds what looks like letters that were encoded twice."""
    return any(map(text.__contains__, _BEGINNINGS)) and any(
        detour.letter.search(text) for detour in _DETOURS
    )


def once(text: str) -> str:
    """The text with the letters that were encoded twice, or more often, as they were at first."""
    if not text.isascii() and has_letters_encoded_twice(text):
        for detour in _DETOURS:
            text = detour.letters.sub(partial(_back, detour), text)
    return text


def _back(detour: _Detour, found: re.Match[str]) -> str:
    """The letters of a run, all of which may have been encoded a third time, or those of them that are believed."""
    decoded = _decoded(detour, found[0])
    for text in (decoded, once(decoded)):
        if text and all(sign in detour.believed or ord(sign) > _LARGEST for sign in text):
            return text
    return detour.letter.sub(partial(_letter_back, detour), found[0])


def _letter_back(detour: _Detour, found: re.Match[str]) -> str:
    sign = _decoded(detour, found[0])
    return sign if sign in detour.believed or sign > chr(_LARGEST) else found[0]


def _decoded(detour: _Detour, letters: str) -> str:
    """ "" if they are not UTF-8."""
    try:
        return bytes(map(detour.byte.__getitem__, map(ord, letters))).decode()
    except ValueError:
        return ""


# Those that are not blanks: of "’" in half of UTF-16 a byte 19 is left.
_CONTROLS = "".join(map(chr, (*range(1, 9), *range(0x0E, 0x1C))))
_CONTROL = re.compile(f"[{_CONTROLS}\x80-\x84\x86-\x9f]")


def as_written(cell: str) -> str:
    """The cell with letters encoded twice as they were at first, and for a control character, which nobody
    types, the letter of Windows-1252 that has its code: U+FFFD if there is none.
    """
    return _CONTROL.sub(_of_windows, once(cell))


def _of_windows(found: re.Match[str]) -> str:
    if found[0] in _CONTROLS:
        return "\ufffd"
    return found[0].encode("latin-1").decode("cp1252", "replace")


def may_be_misread(text: str) -> bool:
    """Whether as_written may change a part of the text."""
    for encoding, usual in _USUAL.items():
        try:
            encoded = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if not encoded.translate(None, usual):
            return False
    return _CONTROL.search(text) is not None or has_letters_encoded_twice(text)


def _without(signs: str, encoding: str) -> bytes:
    return bytes(range(256)).translate(None, signs.encode(encoding))


_USUAL = {
    "latin-1": _without("ÃÂÅ" + _CONTROLS + "".join(map(chr, range(0x80, 0xA0))), "latin-1"),
    "cp1252": _without("ÃÂÅ¬‚ð€" + _CONTROLS, "cp1252"),
}
"""By encoding, the bytes of letters that as_written leaves as they are: most texts have only these."""


def repaired_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Repairs the lines in place; the positions of those that needed it, and their codes."""
    for at, line in enumerate(lines):
        if not line.isascii():
            text, code = repaired(line)
            if code is not None:
                lines[at] = text
                yield at, code
