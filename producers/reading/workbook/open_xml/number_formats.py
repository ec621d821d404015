"""What the styles of an .xlsx workbook show a number as (ECMA-376 part 1, 18.8.30)."""

import re
from collections.abc import Mapping

from producers.reading.workbook.markup import Attributes, Markup, local
from producers.reading.workbook.open_xml.number_display import Display, display_of
from producers.reading.workbook.open_xml.package import Package

_DATES = frozenset([*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)])
_ELAPSED = 46
# Of a French Excel, where the file has but their numbers.
_USUAL_CODES = {
    "2": "0.00",
    **dict.fromkeys(("3", "37", "38", "41"), "#,##0"),
    **dict.fromkeys(("4", "39", "40", "43"), "#,##0.00"),
    **dict.fromkeys(("5", "6", "42"), '#,##0 "€"'),
    **dict.fromkeys(("7", "8", "44"), '#,##0.00 "€"'),
    "9": "0%",
    "10": "0.00%",
    "11": "0.00E+00",
    "12": "# ?/?",
    "13": "# ??/??",
    "48": "##0.0E+0",
}
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\[\]]*+\]')
_BRACKETS = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_PARTS = re.compile(r"[dmyhs]", re.IGNORECASE)
_LONGEST = 255
_MOST = 100_000

NUMBER, DATE, DURATION = range(3)


class NumberFormats:
    """What each style, by its number, shows a number as: NUMBER, DATE or DURATION.

    `displays`: of styles that show more than the number, by their numbers as they are written.
    """

    def __init__(self, package: Package) -> None:
        self._codes: dict[str, str] = {}
        self._styles: list[int] = []
        self._displays: dict[str, Display] = {}
        self._inside = False
        if package.styles is not None:
            package.read(package.styles, Markup(self._start, self._end))

    def of(self, style: str | None) -> int:
        """Of a cell's style as it is written; NUMBER for one that is not known."""
        if not style or not style.isdecimal() or len(style) > 6 or int(style) >= len(self._styles):
            return NUMBER
        return self._styles[int(style)]

    @property
    def displays(self) -> Mapping[str, Display]:
        """See above."""
        return self._displays

    def _start(self, name: str, attributes: Attributes) -> None:
        tag = local(name)
        if tag == "cellXfs":
            self._inside = True
        elif tag == "numFmt" and len(self._codes) < _MOST:
            self._codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif tag == "xf" and self._inside and len(self._styles) < _MOST:
            self._add(attributes.get("numFmtId", "0"))

    def _add(self, number: str) -> None:
        own = self._codes.get(number)
        kind = _usual(number) if own is None else _kind(own)
        code = _USUAL_CODES.get(number, "") if own is None else own
        display = display_of(code) if kind == NUMBER else None
        if display is not None:
            self._displays[str(len(self._styles))] = display
        self._styles.append(kind)

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
