"""Which styles of an .xlsx workbook show a number as a date or a time (ECMA-376 part 1, 18.8.30)."""

import re

from producers.reading.workbook.markup import Attributes, Markup, local
from producers.reading.workbook.open_xml.package import Package

_DATES = frozenset([*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)])
_ELAPSED = 46
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\[\]]*+\]')
_BRACKETS = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_PARTS = re.compile(r"[dmyhs]", re.IGNORECASE)
_LONGEST = 255
_MOST = 100_000

NUMBER, DATE, DURATION = range(3)


class NumberFormats:
    """What each style, by its number, shows a number as: NUMBER, DATE or DURATION."""

    def __init__(self, package: Package) -> None:
        self._kinds: dict[str, int] = {}
        self._styles: list[int] = []
        self._inside = False
        if package.styles is not None:
            package.read(package.styles, Markup(self._start, self._end))

    def of(self, style: str | None) -> int:
        """Of a cell's style as it is written; NUMBER for one that is not known."""
        if not style or not style.isdecimal() or len(style) > 6 or int(style) >= len(self._styles):
            return NUMBER
        return self._styles[int(style)]

    def _start(self, name: str, attributes: Attributes) -> None:
        tag = local(name)
        if tag == "cellXfs":
            self._inside = True
        elif tag == "numFmt" and len(self._kinds) < _MOST:
            self._kinds[attributes.get("numFmtId", "")] = _kind(attributes.get("formatCode", ""))
        elif tag == "xf" and self._inside and len(self._styles) < _MOST:
            number = attributes.get("numFmtId", "0")
            self._styles.append(self._kinds.get(number, _usual(number)))

    def _end(self, name: str) -> None:
        if local(name) == "cellXfs":
            self._inside = False


def _usual(number: str) -> int:
    at = int(number) if number.isdecimal() and len(number) < 6 else 0
    return DURATION if at == _ELAPSED else DATE if at in _DATES else NUMBER


def _kind(code: str) -> int:
    code = code[:_LONGEST].partition(";")[0]
    if _BRACKETS.search(code):
        return DURATION
    rest = _LITERALS.sub("", code)
    return DATE if rest.lower() != "general" and _PARTS.search(rest) else NUMBER
