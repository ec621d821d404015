"""What the parts of an .xlsx workbook hold that calamine does not report, found by patterns.

Its XML is what few programs write, in few forms, and of up to half a gigabyte: a pattern finds in
a second what a parser would take a minute for. What a pattern misses is not reported; nothing is
misread by it.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from html import unescape

from producers.reading.refusals import refusal
from producers.reading.workbook.memory_limit import TEXT_BYTES
from producers.reading.workbook.sheet import Notes

_UNCALCULATED = rb"<f(?:\s[^<>]*)?(?:/>|>[^<]*</f>)\s*(?:(?:<v\s*/>|<v></v>)\s*)?</c>"
_FORMULA = re.compile(_UNCALCULATED)
_ERROR = b't="e"'
_HIDDEN = re.compile(rb'<(row|col)\s([^<>]*\bhidden="(?:1|true)"[^<>]*)>')
_ODD = re.compile(
    rb"<c\s([^<>]*)>(?:" + _UNCALCULATED + rb"|(?:<f[^<>]*(?:/>|>[^<]*</f>))?\s*<v>(#[^<]*)</v>)"
)
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_BOUND = re.compile(rb'\b(min|max)="([0-9]{1,5})"')

UNCALCULATED = "#CALC!"
"""The text of a formula whose value the file does not hold, as Excel has it for another cause."""

_MOST_ODD = 200_000


class Scan:
    """What is to be looked at more closely in a part. A sheet holds no texts that are shared."""

    def __init__(self, part: str) -> None:
        self._may_hold_texts = not part.startswith("xl/worksheets/")
        self.noteworthy = False
        self.shared = 0
        self.longest = 0
        self._open = 0

    def feed(self, xml: bytes) -> None:
        """One block of the part, ending where a tag begins."""
        self.shared += xml.count(b't="s"')
        if self._may_hold_texts and b"</si>" in xml:
            first, *others = xml.split(b"</si>")
            self.longest = max(self.longest, self._open + len(first), *map(len, others))
            self._open = len(others[-1])
        else:
            self._open += len(xml)
        if not self.noteworthy:
            self.noteworthy = (
                b' hidden="' in xml
                or _ERROR in xml
                or (b"<f" in xml and _FORMULA.search(xml) is not None)
            )


def notes_of(blocks: Iterator[bytes]) -> Notes:
    """The notes on the sheet that a part is."""
    notes = Notes()
    rest = b""
    for block in blocks:
        xml = rest + block
        end = max(xml.rfind(b"</c>") + 4, xml.rfind(b"<row"))
        end = end if end >= 4 else len(xml)
        rest, xml = xml[end:], xml[:end]
        _add(notes, xml)
    _add(notes, rest)
    return notes


def _add(notes: Notes, xml: bytes) -> None:
    for tag, attributes in _HIDDEN.findall(xml):
        if tag == b"row":
            notes.hidden_rows += 1
        else:
            bounds = {name: int(number) for name, number in _BOUND.findall(attributes)}
            notes.hidden_columns += bounds.get(b"max", 0) - bounds.get(b"min", 0) + 1
    for attributes, error in _ODD.findall(xml):
        if error and _ERROR not in attributes:
            continue
        if not error and b't="str"' in attributes:
            continue  # an empty text is a value
        if place := _REFERENCE.search(attributes):
            text = error.decode(errors="replace") or UNCALCULATED
            notes.odd[int(place[2]) - 1, column_of(place[1]) - 1] = text
    if len(notes.odd) > _MOST_ODD:
        raise refusal("too-large", found=f"plus de {_MOST_ODD} formules sans résultat")


def column_of(letters: bytes) -> int:
    """The number of a column, from 1."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


class SharedTexts:
    """How much text the cells have that share theirs: calamine copies it for each."""

    _NAME = "xl/sharedStrings.xml"

    def __init__(self) -> None:
        self._shared: dict[str, int] = {}
        self._longest = 0

    def add(self, name: str, scan: Scan) -> None:
        """What was found in a part."""
        if scan.shared:
            self._shared[name] = scan.shared
        self._longest = max(self._longest, scan.longest)

    def may_be_large(self) -> bool:
        """Whether it must be counted."""
        return sum(self._shared.values()) * self._longest > TEXT_BYTES

    def check(self, read: Callable[[str], Iterator[bytes]]) -> None:
        """Counts it, `read` giving the blocks of a part. Raises RefusedError, KeyError."""
        lengths = array("I")
        rest = b""
        for block in read(self._NAME):
            *items, rest = (rest + block).split(b"</si>")
            lengths.extend(map(len, items))
        total = 0
        for name in self._shared:
            rest = b""
            for block in read(name):
                xml = rest + block
                end = xml.rfind(b"<c") if b"<c" in xml else len(xml)
                rest = xml[end:]
                total += sum(
                    lengths[at] for at in map(int, _SHARED.findall(xml[:end])) if at < len(lengths)
                )
                if total > TEXT_BYTES:
                    raise refusal("too-large", found=f"plus de {TEXT_BYTES >> 20} Mio de texte")


_SHARED = re.compile(rb't="s"[^<>]*>\s*<v>\s*([0-9]{1,9})')


_SHEET = re.compile(rb"<(?:\w+:)?sheet\s([^<>]*)>")
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\s([^<>]*)>")
_ATTRIBUTE = re.compile(rb"""(?<![\w:])([\w:]+)\s*=\s*["']([^"'<>]*)["']""")


def by_sheet(notes: Mapping[str, Notes], read: Callable[[str], bytes]) -> dict[str, Notes]:
    """The notes, of parts by their names, by the names of their sheets."""
    try:
        sheets = read("xl/workbook.xml")
        relations = read("xl/_rels/workbook.xml.rels")
    except KeyError:
        return {}
    targets = {
        found.get("Id", ""): found.get("Target", "").lstrip("/").removeprefix("xl/")
        for found in map(_attributes, _RELATION.findall(relations))
    }
    found_sheets = list(map(_attributes, _SHEET.findall(sheets)))
    return {
        sheet.get("name", ""): notes[part]
        for sheet in found_sheets
        if (part := f"xl/{targets.get(sheet.get('r:id', ''))}") in notes
    }


def _attributes(text: bytes) -> dict[str, str]:
    return {
        name.decode(errors="replace"): unescape(value.decode(errors="replace"))
        for name, value in _ATTRIBUTE.findall(text)
    }
